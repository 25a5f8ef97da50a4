/* mountpoint.h: the directory that is mounted on, and the kernel's side of mounting. */
#pragma once

#include "fs.h"

/* The mount point exists, is a directory and free; canonical on return, g_free. */
char *mountpoint_check(const char *path, GError **error);
/* Whether something is still mounted there, as the kernel's table says; nothing else is asked. */
gboolean mountpoint_is_mounted(const char *point);
/* A session that is mounted there; NULL with an error that has what fusermount3 said. Its requests
 * come with `fs`. */
struct fuse_session *mountpoint_mount(Fs *fs, const char *point, GError **error);
