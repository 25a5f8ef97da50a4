/* view-failed.h: .mailfs/failed, where files lie that the server refused, or that are incomplete.
 *
 * `.mailfs` is found at the root by its name, and never listed. What lies in `failed` can be read,
 * copied and removed. Its files are those of account_failed_directory(), "<id>-<name>", and their
 * numbers are made of that id. They are few, and looked for on the disk each time. */
#pragma once

#include "dir.h"
#include "fs.h"

/* Whether this view answers for `name` in the directory. */
gboolean failed_has(guint64 parent, const char *name);
void failed_lookup(fuse_req_t req, guint64 parent, const char *name);
void failed_getattr(fuse_req_t req, guint64 inode);
void failed_read(fuse_req_t req, guint64 inode, gsize size, off_t offset);
void failed_unlink(fuse_req_t req, guint64 parent, const char *name);
/* Lists a directory of this view from an offset on. */
void failed_list(Listing *listing, guint64 inode, guint64 offset);
