/* seen.h: when a read marks a message as read. Only a program that people read with does (or, with
 * seen=any, whatever is not a searcher or a copier); a script that marks ten years of mail cannot be undone. */
#pragma once

#include "fs.h"

Seen *seen_new(Fs *fs);
void seen_free(Seen *seen);
/* A READ of a message was answered; `end`: it reached the end of the message. */
void seen_read(Seen *seen, Folder *folder, MailUid uid, guint64 inode, pid_t pid, gboolean end);
