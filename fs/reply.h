/* reply.h: the only caller of fuse_reply_*, and the only map from MailError to errno. */
#pragma once

#include "fs.h"

int reply_errno(const GError *error);
/* Answers with the errno of error, and logs it (what: "read", with the inode's number). */
void reply_error(Fs *fs, fuse_req_t req, const char *what, guint64 inode, const GError *error);
void reply_code(fuse_req_t req, int code); /* 0: success */
void reply_none(fuse_req_t req);
void reply_attr(fuse_req_t req, const struct stat *attr, double timeout);
/* Counts the lookup, unless the kernel did not take the reply: FALSE. */
gboolean reply_entry(Fs *fs, fuse_req_t req, const struct fuse_entry_param *entry);
gboolean reply_create(Fs *fs, fuse_req_t req, const struct fuse_entry_param *entry,
                      const struct fuse_file_info *info);
void reply_write(fuse_req_t req, gsize size);
/* FALSE: the kernel did not take it. */
gboolean reply_buffer(fuse_req_t req, const char *bytes, gsize size);
void reply_open(fuse_req_t req, const struct fuse_file_info *info);
void reply_statfs(fuse_req_t req, const struct statvfs *stat);
void reply_xattr_size(fuse_req_t req, gsize size);
