/* watch.h: which folders the server is asked to tell of, and what becomes of the news.
 *
 * Watched are INBOX and the folders that somebody listed or read lately. What is told of a folder
 * only leads to a sync of it, at once, whether somebody looks or not; where nothing is told, it is
 * synced from time to time. A folder of which news are told need not be asked about when it is
 * listed, unless some were told that no sync has dealt with. */
#pragma once

#include "account-private.h"

/* The account starts: from now on the server is asked, unless it can only be asked by a login. */
void watch_start(Account *account);
void watch_end(Account *account);
/* Somebody looks at the folder. */
void watch_use(Folder *folder);
/* The folder is no more. */
void watch_forget(Folder *folder);
/* The server hinted at a change in it. */
void watch_hint(Folder *folder);
/* A sync of it is over. found: it learnt something. */
void watch_synced(Folder *folder, gboolean found);
/* The age in microseconds from which its listing is stale by itself. */
gint64 watch_age(const Folder *folder);
