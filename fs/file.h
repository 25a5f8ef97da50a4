/* file.h: the files of a folder: messages, and arrivals, which are to become messages.
 *
 * A message has its proper name (names.h), which is listed. It is also found by its bare one
 * ("1234.eml"), and by the name under which a user put it there. The kernel may have entries of all
 * of them, so the others that were looked up are remembered for as long as it knows the message. */
#pragma once

#include "fs.h"
#include "view-eml.h"

typedef struct {
    guint64 inode; /* the kernel's number for it */
    Folder *folder;
    MailUid uid;      /* of a message */
    Arrival *arrival; /* NULL: it is a message */
    EmlName found_by; /* when it was looked up: what the name is to the message */
} File;

guint64 file_arrival_inode(guint32 id);
/* What a number stands for now: that of an arrival means the message that it became. A message need
 * not be there any more. FALSE: it is no file, or nothing any more. */
gboolean file_find(Fs *fs, guint64 inode, File *file);
/* The visible file of that name. An arrival comes before a message, and a name that somebody gave
 * before a bare one. */
gboolean file_lookup(Fs *fs, Folder *folder, const char *name, File *file);
/* FALSE: it is not there any more. *timeout: how long the kernel may believe it. */
gboolean file_attr(Fs *fs, const File *file, struct stat *attr, double *timeout);
/* What LOOKUP, CREATE and listings hand out. A file that is being written is not to be kept by the
 * kernel: its FORGET tells that nobody has it open any more. */
gboolean file_entry(Fs *fs, const File *file, struct fuse_entry_param *entry);
gboolean file_is_writable(const File *file);
/* To be called after each reply to LOOKUP, CREATE and their like that handed out the file. */
void file_looked_up(Fs *fs, const File *file, guint64 parent, const char *name);

/* The kernel drops every name of the message but `except` (may be NULL). */
void file_drop_names(Fs *fs, Folder *folder, const Message *message, const char *except);
/* The kernel does not know the number any more. */
void file_forget_names(Fs *fs, guint64 inode);
/* Of fs->other_names. */
GHashTable *file_names_new(void);
