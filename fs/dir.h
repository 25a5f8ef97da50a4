/* dir.h: listing directories. */
#pragma once

#include "fs.h"

/* One answer to READDIRPLUS, as a view fills it. "." and ".." have offsets below DIR_FIRST_OFFSET.
 */
typedef struct Listing Listing;
#define DIR_FIRST_OFFSET 16
Fs *dir_listing_fs(Listing *listing);
/* FALSE: it does not fit any more. offset: what comes behind this entry is asked for by it. */
gboolean dir_add(Listing *listing, const char *name, const struct fuse_entry_param *entry,
                 guint64 offset);

void dir_open(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info);
void dir_read_plus(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
                   struct fuse_file_info *info);
