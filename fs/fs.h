/* fs.h: the mount as a whole, and what the parts of fs/ share. One thread owns all of it. */
#pragma once

#include <fuse_lowlevel.h>
#include <glib.h>

#include "account.h"
#include "config.h"
#include "inode.h"

typedef struct Fs Fs;
typedef struct Request Request;
typedef struct Notifier Notifier;
typedef struct Seen Seen;
typedef struct Control Control;

/* What the kernel asked, counted for `mailfs status`. */
typedef enum {
    COUNT_LOOKUP,
    COUNT_FORGET,
    COUNT_GETATTR,
    COUNT_OPEN,
    COUNT_READ,
    COUNT_FLUSH,
    COUNT_RELEASE,
    COUNT_OPENDIR,
    COUNT_READDIRPLUS,
    COUNT_CREATE,
    COUNT_WRITE,
    COUNT_SETATTR,
    COUNT_RENAME,
    COUNT_UNLINK,
    COUNT_STATFS,
    COUNT_XATTR,
    COUNT_REFUSED,
    COUNT_OTHER,
    COUNT_LAST,
} FsCount;

struct Fs {
    const Config *config;
    Account *account;
    GMainLoop *loop;
    struct fuse_session *session;
    guint dispatcher; /* the source of its requests */
    Inodes *inodes;
    Notifier *notifier;
    Seen *seen;
    Control *control;
    GHashTable *listed; /* inode of a directory -> the generation the kernel has cached */
    GQueue parked;      /* of Request */
    guint parked_timer;
    GHashTable *late;        /* inode -> until when (gint64) what would wait for it fails */
    GHashTable *other_names; /* file.c's */
    GHashTable *writers;     /* ops-write.c's */
    guint64 counts[COUNT_LAST];
    gboolean ending; /* nothing may wait any more */
};

/* How long the kernel may keep names and attributes: until it is told otherwise. */
#define FS_FOREVER 1e7
