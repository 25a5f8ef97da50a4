/* notify.h: tells the kernel what it must not believe any more.
 *
 * A notification can block until the requests that the kernel has pending on the inode (or, for a
 * name, on its directory) are answered. So it is written by a thread of its own, which is handed
 * copies; it is held back while we know such a request to be unanswered; and no answer ever waits
 * for it. */
#pragma once

#include <fuse_lowlevel.h>
#include <glib.h>

#include "wait.h"

typedef struct Notifier Notifier;

Notifier *notifier_new(struct fuse_session *session);
/* Ends the thread. It may be stuck in the kernel until a request is answered, so the main context
 * runs meanwhile: the caller sees to it that no request waits any more (requests_drain). */
void notifier_free(Notifier *notifier);
/* The attributes are not what they were. */
void notifier_attributes(Notifier *notifier, guint64 inode);
/* Neither are cached pages (or, of a directory, cached entries), nor the attributes. */
void notifier_content(Notifier *notifier, guint64 inode);
/* The name does not stand for what it stood for. */
void notifier_entry(Notifier *notifier, guint64 parent, const char *name);
/* Calls func once from the main loop, when the kernel has been told all that was posted before (but
 * for what is held back). The caller removes its idle sources before data goes. */
void notifier_after(Notifier *notifier, GSourceFunc func, gpointer data);
/* Wakes the waiter when that is so, and the FORGETs that the kernel sent upon it were answered. */
void notifier_wait(Notifier *notifier, Waiter *waiter);
/* Requests on an inode (0: none) that are not answered yet; counted. */
void notifier_hold(Notifier *notifier, guint64 inode);
void notifier_release(Notifier *notifier, guint64 inode);
