/* ops-private.h: what the parts of ops share. */
#pragma once

#include "ops.h"

/* EPERM, counted. */
void op_refuse(fuse_req_t req);
/* Answers a change, which is safe here: at once, or with -o sync when the server has it. What it
 * changed, directories say (0: none), is frozen meanwhile, as its user wanted. */
void op_changed(fuse_req_t req, const char *what, guint64 parent, guint64 other_parent);
/* An attempt that answers once the server has everything. */
gboolean op_flush_attempt(Request *request, const GError *woken_by);

/* ops-write.c */
void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *info);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void op_write(fuse_req_t req, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
              struct fuse_file_info *info);
void op_setattr(fuse_req_t req, fuse_ino_t inode, struct stat *attr, int to_set,
                struct fuse_file_info *info);
void op_flush(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info);
void op_fsync(fuse_req_t req, fuse_ino_t inode, int only_data, struct fuse_file_info *info);
/* The kernel does not know an arrival any more. */
void op_arrival_forgotten(Fs *fs, guint64 inode);

/* ops-names.c */
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned int flags);

/* ops-folders.c: these wait for the server, and their directories are locked by the kernel
 * meanwhile. */
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
/* FALSE, and nothing done, when `name` is no folder. */
gboolean op_rename_folder(fuse_req_t req, fuse_ino_t parent, const char *name,
                          fuse_ino_t new_parent, const char *new_name, unsigned int flags);
/* Answers with a folder's entry. */
void op_reply_folder(Request *request, const Folder *folder);
void op_statfs(fuse_req_t req, fuse_ino_t inode);
