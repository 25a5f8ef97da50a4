#include "park.h"

#include "notify.h"
#include "process.h"
#include "reply.h"

#define LOOK_EVERY 200                /* milliseconds */
#define FAIL_FOR (5 * G_USEC_PER_SEC) /* what would wait for an inode whose deadline passed */

static void request_free(Request *request)
{
    if (request->parked) {
        g_queue_unlink(&request->fs->parked, &request->link);
        notifier_release(request->fs->notifier, request->holds);
        notifier_release(request->fs->notifier, request->holds_too);
    }
    g_free(request->name);
    g_free(request->new_name);
    g_free(request);
}

static void end_early(Request *request, MailError code, const char *why)
{
    g_autoptr(GError) error = g_error_new_literal(MAIL_ERROR, code, why);
    waiter_cancel(&request->waiter);
    reply_error(request->fs, request->req, request->what, request->inode, error);
    request_free(request);
}

/* What it waited for took too long: it answers with what it has, a known listing say, or fails. */
static void end_by_timeout(Request *request, const char *why)
{
    g_autoptr(GError) error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_TIMEOUT, why);
    waiter_cancel(&request->waiter);
    request->attempt(request, error);
    request_free(request);
}

static void end_late(Request *request, gint64 now)
{
    gint64 *until = g_new(gint64, 1);
    *until = now + FAIL_FOR;
    g_hash_table_insert(request->fs->late, GSIZE_TO_POINTER(request->inode), until);
    end_by_timeout(request, "the server took too long");
}

static gboolean is_late(Request *request)
{
    gpointer key = GSIZE_TO_POINTER(request->inode);
    const gint64 *until = g_hash_table_lookup(request->fs->late, key);
    if (!until)
        return FALSE;
    if (g_get_monotonic_time() < *until)
        return TRUE;
    g_hash_table_remove(request->fs->late, key);
    return FALSE;
}

/* Looks after those that wait. */
static gboolean look(gpointer data)
{
    Fs *fs = data;
    gint64 now = g_get_monotonic_time();
    for (GList *item = fs->parked.head; item;) {
        Request *request = item->data;
        item = item->next;
        if (now >= request->deadline)
            end_late(request, now);
        else if (now - request->since > LOOK_EVERY * 1000 && process_is_dying(request->pid))
            end_early(request, MAIL_ERROR_CANCELLED, "interrupted");
    }
    if (fs->parked.length > 0)
        return G_SOURCE_CONTINUE;
    fs->parked_timer = 0;
    return G_SOURCE_REMOVE;
}

static gboolean look_once(gpointer data)
{
    Fs *fs = data;
    guint timer = fs->parked_timer;
    look(fs);
    if (fs->parked_timer != timer)
        g_source_remove(timer); /* nobody waits any more */
    return G_SOURCE_REMOVE;
}

/* The kernel says that a signal is pending. libfuse holds a lock here: the answer must wait. */
static void interrupted(fuse_req_t req, void *data)
{
    Request *request = data;
    request->since = 0;
    g_idle_add_full(G_PRIORITY_DEFAULT, look_once, request->fs, NULL);
}

static void park(Request *request)
{
    Fs *fs = request->fs;
    request->parked = TRUE;
    request->link.data = request;
    g_queue_push_tail_link(&fs->parked, &request->link);
    notifier_hold(fs->notifier, request->holds);
    notifier_hold(fs->notifier, request->holds_too);
    if (!fs->parked_timer)
        fs->parked_timer = g_timeout_add(LOOK_EVERY, look, fs);
    fuse_req_interrupt_func(request->req, interrupted, request);
}

static void run(Request *request, const GError *error)
{
    if (request->attempt(request, error))
        request_free(request);
    else if (request->fs->ending)
        end_early(request, MAIL_ERROR_OFFLINE, "the mount is ending");
    else if (!request->parked && is_late(request))
        end_by_timeout(request, "the server took too long a moment ago");
    else if (!request->parked)
        park(request);
}

static void wake(Waiter *waiter, const GError *error)
{
    run((Request *)waiter, error);
}

Request *request_new(Fs *fs, fuse_req_t req, const char *what, guint64 inode,
                     gboolean (*attempt)(Request *request, const GError *error))
{
    Request *request = g_new0(Request, 1);
    request->waiter.wake = wake;
    request->fs = fs;
    request->req = req;
    request->what = what;
    request->inode = inode;
    request->attempt = attempt;
    request->since = g_get_monotonic_time();
    request->deadline = request->since + REQUEST_DEADLINE * G_USEC_PER_SEC;
    request->pid = fuse_req_ctx(req)->pid;
    return request;
}

void request_run(Request *request)
{
    run(request, NULL);
}

void requests_drain(Fs *fs)
{
    fs->ending = TRUE;
    while (fs->parked.head)
        end_early(fs->parked.head->data, MAIL_ERROR_OFFLINE, "the mount is ending");
}
