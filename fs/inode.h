/* inode.h: inode numbers, and how often the kernel refers to each.
 *
 * A number is view (6 bits) | folder row (26) | uid (32). Rows and uids are never reused, so a
 * number means the same message for ever, after a remount too, and no table maps one to the other.
 * The root is FUSE_ROOT_ID (1): no folder row is 0, so nothing else has that number. What is no
 * message has numbers of a view of its own: an arrival (row 0, its id for the uid), and what
 * .mailfs/failed shows (view-failed.c).
 *
 * What is kept is the kernel's lookup count for each number: a message that was removed stays
 * readable for a program that has it open, until FORGET brings the count to 0. The count
 * rises with every entry that a LOOKUP or READDIRPLUS hands out, and a reply that the kernel did
 * not take is taken back. */
#pragma once

#include <glib.h>

#include "mail.h"

typedef enum { VIEW_EML = 0, VIEW_ARRIVAL = 1, VIEW_FAILED = 2 } View;

/* For hash tables of inodes kept in pointers, compared directly: GLib's own hash of a pointer drops
 * the upper half, and with it the folder. */
guint inode_hash(gconstpointer inode);

guint64 inode_make(View view, guint32 row, MailUid uid);
View inode_view(guint64 inode);
guint32 inode_row(guint64 inode); /* 0 for the root, and for an arrival */
MailUid inode_uid(guint64 inode); /* 0 for a directory */

typedef struct Inodes Inodes;
Inodes *inodes_new(void);
void inodes_free(Inodes *inodes);
void inodes_looked_up(Inodes *inodes, guint64 inode);
/* Returns whether the kernel now holds no reference to it any more. */
gboolean inodes_forget(Inodes *inodes, guint64 inode, guint64 count);
gboolean inodes_known(Inodes *inodes, guint64 inode);
guint inodes_count(Inodes *inodes);
/* All of a view that the kernel refers to: of guint64. g_array_unref. */
GArray *inodes_of_view(Inodes *inodes, View view);
