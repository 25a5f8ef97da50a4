/* xattr.h: what is known of a message, as extended attributes for `getfattr` and scripts: with -o
 * xattr, read-only.
 *
 *   user.mail.flags     "seen flagged $Label1": the system flags by their names, then the keywords
 *   user.mail.from      the sender's name or address, decoded; there unless empty
 *   user.mail.subject   decoded; there unless empty
 *   user.mail.date      when it arrived, 2026-06-11T06:38:00Z
 *   user.mail.uid       its number in the folder */
#pragma once

#include "fs.h"

void xattr_get(fuse_req_t req, fuse_ino_t inode, const char *name, size_t size);
void xattr_list(fuse_req_t req, fuse_ino_t inode, size_t size);
/* "seen flagged"; keywords: NULL or separated by spaces. g_free. */
char *xattr_flags(guint32 flags, const char *keywords);
