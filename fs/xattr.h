/* xattr.h: what is known of a message, as extended attributes for `getfattr` and scripts: with -o
 * xattr.
 *
 *   user.mail.flags     "seen flagged $Label1": the system flags by their names, then the keywords.
 *                       Writing it sets exactly these, removing it takes all away
 *   user.mail.from      the sender's name or address, decoded; there unless empty
 *   user.mail.subject   decoded; there unless empty
 *   user.mail.date      when it arrived, 2026-06-11T06:38:00Z
 *   user.mail.message-id   "<x@example.com>"; there unless it has none
 *   user.mail.uid       its number in the folder
 *
 * The others cannot be written. */
#pragma once

#include "fs.h"

void xattr_get(fuse_req_t req, fuse_ino_t inode, const char *name, size_t size);
void xattr_list(fuse_req_t req, fuse_ino_t inode, size_t size);
void xattr_set(fuse_req_t req, fuse_ino_t inode, const char *name, const char *value, size_t size,
               int flags);
void xattr_remove(fuse_req_t req, fuse_ino_t inode, const char *name);
