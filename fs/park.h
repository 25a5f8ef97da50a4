/* park.h: requests that wait. A parked request is kept, never a thread.
 *
 * Its `attempt` runs at once, and again each time that what it waits for may be there; it answers
 * and returns TRUE, or has its waiter on some list and returns FALSE. A request ends early when its
 * deadline passes, or when the program behind it is about to die of a signal: the kernel tells of
 * the first signal only, and of none where it reads ahead, so the programs behind old requests are
 * looked at now and then.
 *
 * A deadline that passed belongs to the inode: the kernel repeats a failed READ at once, so for
 * some seconds what would wait for the same inode fails instead. */
#pragma once

#include "fs.h"

struct Request {
    Waiter waiter; /* first: what wakes it hands back this address */
    Fs *fs;
    fuse_req_t req;
    const char *what; /* for the log */
    guint64 inode;
    guint64 holds; /* the inode whose invalidations must wait for the answer, or 0 */
    guint64 holds_too;
    /* error: what was waited for failed or took too long; then it must answer. */
    gboolean (*attempt)(Request *request, const GError *error);
    gboolean parked; /* on fs->parked, and counted as unanswered by the notifier */
    gint64 deadline; /* monotonic */
    gint64 since;
    pid_t pid;
    GList link;
    /* Arguments of the operation. */
    guint stage; /* how far it got, where it waits for one thing after the other */
    guint64 offset;
    gsize size;
    char *name;
    guint64 new_parent;
    char *new_name;
    struct fuse_file_info info;
};

#define REQUEST_DEADLINE 60 /* seconds */

/* Fill in the rest, then run it; it is freed once it is answered. */
Request *request_new(Fs *fs, fuse_req_t req, const char *what, guint64 inode,
                     gboolean (*attempt)(Request *request, const GError *error));
void request_run(Request *request);
/* Answers every parked request, and from now on each that would have to wait: the mount is ending.
 */
void requests_drain(Fs *fs);
