/* seen.h: when a read marks a message as read. Only a program that people read with does (or, with
 * seen=any, whatever is not a searcher or a copier); a script that marks ten years of mail cannot
 * be undone. */
#pragma once

#include "fs.h"

Seen *seen_new(Fs *fs);
void seen_free(Seen *seen);
/* Whose READ is about to be answered. Asked before the answer: the program may be gone right after.
 */
typedef enum { SEEN_IS_SEEN, SEEN_READER, SEEN_OTHER } SeenBy;
SeenBy seen_by(Seen *seen, Folder *folder, MailUid uid, pid_t pid);
/* It was answered; `end`: up to the end of the message. */
void seen_read(Seen *seen, Folder *folder, MailUid uid, guint64 inode, pid_t pid, SeenBy by,
               gboolean end);
