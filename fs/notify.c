#include "notify.h"

#include <string.h>

#include "inode.h"

/* The kernel hands out FORGETs between other requests, and of those 64 a turn are answered. */
#define TURNS_TO_FORGET 4

typedef enum {
    NOTICE_ATTRIBUTES,
    NOTICE_CONTENT,
    NOTICE_ENTRY,
    NOTICE_CALL,
    NOTICE_NONE
} NoticeKind;

typedef struct {
    NoticeKind kind;
    guint64 inode; /* for an entry: of its directory */
    char *name;
    GSourceFunc func; /* of a call, with its data */
    gpointer data;
} Notice;

struct Notifier {
    struct fuse_session *session;
    GAsyncQueue *queue;
    GThread *thread;
    GHashTable *held;    /* inode -> unanswered requests */
    GHashTable *waiting; /* inode -> GQueue of Notice */
    GQueue barriers;     /* of Barrier */
    gint ending, ended;  /* atomic: what is left need not be told; the thread has left its loop */
};

/* For one that waits until the kernel was told everything. */
typedef struct {
    Notifier *notifier;
    WaitList waiters;
    guint turns;
} Barrier;

static void notice_free(Notice *notice)
{
    g_free(notice->name);
    g_free(notice);
}

/* What the kernel answers is of no interest: an inode or a name that it does not have is fine. */
static gpointer write_notices(gpointer data)
{
    Notifier *notifier = data;
    while (!g_atomic_int_get(&notifier->ending)) {
        Notice *notice = g_async_queue_pop(notifier->queue);
        NoticeKind kind = notice->kind;
        if (kind == NOTICE_ATTRIBUTES)
            fuse_lowlevel_notify_inval_inode(notifier->session, notice->inode, -1, 0);
        else if (kind == NOTICE_CONTENT)
            fuse_lowlevel_notify_inval_inode(notifier->session, notice->inode, 0, 0);
        else if (kind == NOTICE_ENTRY)
            fuse_lowlevel_notify_inval_entry(notifier->session, notice->inode, notice->name,
                                             strlen(notice->name));
        else if (kind == NOTICE_CALL)
            g_idle_add_full(G_PRIORITY_DEFAULT, notice->func, notice->data, NULL);
        notice_free(notice);
    }
    g_atomic_int_set(&notifier->ended, TRUE);
    g_main_context_wakeup(NULL);
    return NULL;
}

static void free_waiting(gpointer data)
{
    g_queue_free_full(data, (GDestroyNotify)notice_free);
}

Notifier *notifier_new(struct fuse_session *session)
{
    Notifier *notifier = g_new0(Notifier, 1);
    notifier->session = session;
    notifier->queue = g_async_queue_new_full((GDestroyNotify)notice_free);
    notifier->held = g_hash_table_new(inode_hash, NULL);
    notifier->waiting = g_hash_table_new_full(inode_hash, NULL, NULL, free_waiting);
    notifier->thread = g_thread_new("notifier", write_notices, notifier);
    return notifier;
}

static void barrier_end(Barrier *barrier)
{
    g_queue_remove(&barrier->notifier->barriers, barrier);
    wait_list_wake(&barrier->waiters, NULL);
    g_free(barrier);
}

static gboolean barrier_turn(gpointer data)
{
    Barrier *barrier = data;
    if (++barrier->turns < TURNS_TO_FORGET)
        return G_SOURCE_CONTINUE;
    barrier_end(barrier);
    return G_SOURCE_REMOVE;
}

void notifier_free(Notifier *notifier)
{
    if (!notifier)
        return;
    Notice *nothing = g_new0(Notice, 1);
    nothing->kind = NOTICE_NONE;
    g_atomic_int_set(&notifier->ending, TRUE);
    g_async_queue_push(notifier->queue, nothing);
    while (!g_atomic_int_get(&notifier->ended))
        g_main_context_iteration(NULL, TRUE);
    g_thread_join(notifier->thread);
    for (Barrier *barrier; (barrier = g_queue_peek_head(&notifier->barriers));) {
        g_idle_remove_by_data(barrier);
        barrier_end(barrier);
    }
    g_async_queue_unref(notifier->queue);
    g_hash_table_unref(notifier->held);
    g_hash_table_unref(notifier->waiting);
    g_free(notifier);
}

static void post(Notifier *notifier, NoticeKind kind, guint64 inode, const char *name)
{
    gpointer key = GSIZE_TO_POINTER(inode);
    Notice *notice = g_new0(Notice, 1);
    notice->kind = kind;
    notice->inode = inode;
    notice->name = g_strdup(name);
    if (!g_hash_table_contains(notifier->held, key)) {
        g_async_queue_push(notifier->queue, notice);
        return;
    }
    GQueue *waiting = g_hash_table_lookup(notifier->waiting, key);
    if (!waiting) {
        waiting = g_queue_new();
        g_hash_table_insert(notifier->waiting, key, waiting);
    }
    g_queue_push_tail(waiting, notice);
}

void notifier_attributes(Notifier *notifier, guint64 inode)
{
    post(notifier, NOTICE_ATTRIBUTES, inode, NULL);
}

void notifier_content(Notifier *notifier, guint64 inode)
{
    post(notifier, NOTICE_CONTENT, inode, NULL);
}

void notifier_entry(Notifier *notifier, guint64 parent, const char *name)
{
    post(notifier, NOTICE_ENTRY, parent, name);
}

void notifier_after(Notifier *notifier, GSourceFunc func, gpointer data)
{
    Notice *notice = g_new0(Notice, 1);
    notice->kind = NOTICE_CALL;
    notice->func = func;
    notice->data = data;
    g_async_queue_push(notifier->queue, notice);
}

void notifier_wait(Notifier *notifier, Waiter *waiter)
{
    Barrier *barrier = g_new0(Barrier, 1);
    barrier->notifier = notifier;
    wait_list_add(&barrier->waiters, waiter);
    g_queue_push_tail(&notifier->barriers, barrier);
    notifier_after(notifier, barrier_turn, barrier);
}

void notifier_hold(Notifier *notifier, guint64 inode)
{
    if (inode == 0)
        return;
    gpointer key = GSIZE_TO_POINTER(inode);
    gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(notifier->held, key));
    g_hash_table_insert(notifier->held, key, GSIZE_TO_POINTER(count + 1));
}

void notifier_release(Notifier *notifier, guint64 inode)
{
    if (inode == 0)
        return;
    gpointer key = GSIZE_TO_POINTER(inode);
    gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(notifier->held, key));
    if (count > 1) {
        g_hash_table_insert(notifier->held, key, GSIZE_TO_POINTER(count - 1));
        return;
    }
    g_hash_table_remove(notifier->held, key);
    GQueue *waiting = g_hash_table_lookup(notifier->waiting, key);
    if (!waiting)
        return;
    Notice *notice;
    while ((notice = g_queue_pop_head(waiting)))
        g_async_queue_push(notifier->queue, notice);
    g_hash_table_remove(notifier->waiting, key);
}
