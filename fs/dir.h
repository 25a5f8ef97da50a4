/* dir.h: listing directories. */
#pragma once

#include "fs.h"

void dir_open(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info);
void dir_read_plus(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
                   struct fuse_file_info *info);
