/* Which job runs on which connection, and what becomes of it there. */
#include "imap-watch.h"

#include <string.h>

/* Jobs that may be on one connection at a time. */
#define MAX_DEPTH 8

/* ---- jobs ---- */

void pool_job_free(RemoteJob *job)
{
    g_clear_error(&job->error);
    g_free(job->mailbox);
    g_free(job->leaves);
    job->klass->free(job);
}

static void job_finish(RemoteJob *job)
{
    if (!job->cancelled)
        job->klass->finish(job, job->error);
    pool_job_free(job);
}

void pool_end_later(RemoteJob *job, const GError *error)
{
    Pool *pool = job->pool;
    if (error && !job->error)
        job->error = g_error_copy(error);
    job->holder = NULL;
    g_queue_push_tail(&pool->finished, job);
    pool_schedule_dispatch(pool);
}

void pool_job_send(RemoteJob *job, ImapSession *session, ImapCommand *command,
                   const ImapCommandFuncs *funcs)
{
    job->commands++;
    job->sent = TRUE;
    imap_session_send(session, command, funcs, job);
}

void pool_job_fail(RemoteJob *job, GError *error)
{
    if (job->error)
        g_error_free(error);
    else
        job->error = error;
}

void pool_job_answered(RemoteJob *job, const ImapReply *reply, const char *what)
{
    if (reply->condition != IMAP_OK && !job->error)
        job->error = imap_session_error(reply, what);
    if (reply->condition == IMAP_OK)
        job->pool->losses = 0;
    job->commands--;
    if (job->commands > 0)
        return;
    Connection *connection = job->holder;
    g_queue_remove(&connection->jobs, job);
    pool_schedule_dispatch(job->pool);
    job_finish(job);
}

/* ---- selecting, running ---- */

static gboolean uidvalidity_fits(const RemoteJob *job, const ImapSelected *selected)
{
    return job->klass->any_uidvalidity || job->uidvalidity == 0 ||
           selected->info.uidvalidity == job->uidvalidity;
}

static GError *stale_error(const RemoteJob *job)
{
    return g_error_new(MAIL_ERROR, MAIL_ERROR_STALE,
                       "the mailbox was made anew on the server (UIDVALIDITY is not %u any more)",
                       job->uidvalidity);
}

static void job_opened(RemoteJob *job, ImapSession *session)
{
    /* Without one, no uid could be told from that of another message. RFC 9051 section 2.3.1.1. */
    if (imap_session_selected(session)->info.uidvalidity == 0)
        pool_job_fail(job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                               "the server gives the mailbox no UIDVALIDITY"));
    else if (!uidvalidity_fits(job, imap_session_selected(session)))
        pool_job_fail(job, stale_error(job));
    else if (job->klass->opened)
        job->klass->opened(job, session);
}

void pool_select_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    Connection *connection = data;
    g_autoptr(GError) error = NULL;
    if (imap_session_selected(session)->state == IMAP_SELECT_PENDING)
        return; /* another mailbox than that of the jobs, which was left at once */
    if (reply->condition != IMAP_OK) {
        error = imap_session_error(reply, "opening the mailbox");
        /* RFC 3501 has no code for it: a NO to SELECT means that there is no such mailbox. */
        if (error->code == MAIL_ERROR_REFUSED)
            error->code = MAIL_ERROR_GONE;
    }
    g_autoptr(GList) jobs = g_list_copy(connection->jobs.head);
    for (GList *item = jobs; item; item = item->next) {
        RemoteJob *job = item->data;
        if (!job->mailbox)
            continue;
        if (error)
            pool_job_fail(job, g_error_copy(error));
        else
            job_opened(job, session);
        if (job->commands > 0)
            continue; /* it was pipelined behind the SELECT */
        if (!job->error && !job->cancelled) {
            job->klass->run(job, session);
            if (job->commands > 0)
                continue;
        }
        g_queue_remove(&connection->jobs, job);
        pool_end_later(job, NULL);
    }
}

static const ImapCommandFuncs select_funcs = {.done = pool_select_done};

/* By its beginning alone: to leave another one whose name begins likewise does no harm. */
static gboolean has_open(Connection *connection, const char *mailbox)
{
    const ImapSelected *selected = imap_session_selected(connection->session);
    return mailbox && selected->name && g_str_has_prefix(selected->name, mailbox);
}

/* By opening another one, which is always there: CLOSE would expunge. */
void pool_job_leave(RemoteJob *job)
{
    for (guint i = 0; i < job->pool->connections->len; i++) {
        Connection *connection = job->pool->connections->pdata[i];
        if (!connection->ready || !has_open(connection, job->leaves))
            continue;
        if (connection == job->holder || connection->jobs.length == 0)
            imap_session_select(connection->session, "INBOX", &select_funcs, connection);
        else
            imap_session_disown(connection->session);
    }
}

static void run_job(Connection *connection, RemoteJob *job)
{
    ImapSession *session = connection->session;
    const ImapSelected *selected = imap_session_selected(session);
    job->holder = connection;
    job->attempts++;
    if (connection->reserved == job)
        connection->reserved = NULL;
    g_queue_push_tail(&connection->jobs, job);
    watch_interrupted(connection, job);
    if (job->mailbox) {
        gboolean same = selected->name && strcmp(selected->name, job->mailbox) == 0;
        job->selects = !same;
        if (!same)
            imap_session_select(session, job->mailbox, &select_funcs, connection);
        if (selected->state == IMAP_SELECT_PENDING && job->klass->verify)
            return; /* pool_select_done() goes on */
        if (selected->state == IMAP_SELECT_OK)
            job_opened(job, session);
    }
    if (!job->error && !job->cancelled)
        job->klass->run(job, session);
    if (job->commands > 0)
        return;
    g_queue_remove(&connection->jobs, job);
    pool_end_later(job, NULL);
}

/* ---- which connection ---- */

guint pool_connection_limit(Pool *pool)
{
    guint limit = MAX(1, pool->config.connections);
    return g_get_monotonic_time() < pool->limit_until ? MIN(limit, MAX(1, pool->limit)) : limit;
}

static gboolean has_mailbox(Connection *connection, const char *mailbox)
{
    const ImapSelected *selected = imap_session_selected(connection->session);
    return !mailbox || (selected->name && strcmp(selected->name, mailbox) == 0);
}

static gboolean connection_free_for(Connection *connection, const RemoteJob *job)
{
    return connection->ready && imap_session_is_ready(connection->session) &&
           !imap_session_is_uploading(connection->session) &&
           !(connection->jobs.length > 0 && has_open(connection, job->leaves)) &&
           !imap_session_in_idle(connection->session) &&
           (!connection->reserved || connection->reserved == job);
}

/* The best place for a job now, or NULL: an idle connection with its mailbox, any idle one, then
 * (unless another may be opened) a busy one with its mailbox. One that is about to watch again is
 * left to that by jobs that are not about its mailbox. */
static Connection *place_for(Pool *pool, RemoteJob *job, gboolean may_grow)
{
    Connection *idle = NULL, *busy = NULL;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (!connection_free_for(connection, job))
            continue;
        gboolean same = has_mailbox(connection, job->mailbox);
        if (connection->jobs.length == 0) {
            if (same && (job->mailbox || !connection->watch))
                return connection;
            if (!idle || idle->watch)
                idle = connection;
        } else if (same && connection->jobs.length < MAX_DEPTH &&
                   (!busy || connection->jobs.length < busy->jobs.length)) {
            busy = connection;
        }
    }
    return idle ? idle : may_grow ? NULL : busy;
}

/* Nothing is free for this job: the least busy connection takes no more until this one had it. */
static void reserve_for(Pool *pool, RemoteJob *job)
{
    Connection *best = NULL;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->reserved == job)
            return;
        if (connection->ready && !connection->reserved &&
            (!best || connection->jobs.length < best->jobs.length))
            best = connection;
    }
    if (best)
        best->reserved = job;
}

/* Those that end now; what fails while they are told waits for the next turn of the loop. */
static void tell_finished(Pool *pool)
{
    for (guint left = pool->finished.length; left > 0 && pool->finished.length > 0; left--)
        job_finish(g_queue_pop_head(&pool->finished));
}

static void unreserve(Pool *pool, const RemoteJob *job)
{
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->reserved == job)
            connection->reserved = NULL;
    }
}

static void dispatch_job(Pool *pool, GList *item, gboolean *connecting)
{
    RemoteJob *job = item->data;
    gboolean may_grow = pool->connections->len < pool_connection_limit(pool);
    Connection *place = place_for(pool, job, may_grow || *connecting);
    if (place) {
        g_queue_delete_link(&pool->queue, item);
        unreserve(pool, job);
        run_job(place, job);
        return;
    }
    gboolean way = watch_make_way(pool, job);
    if (way && job->klass->brief)
        return;
    if (may_grow && !*connecting) {
        pool_connect_one(pool);
        *connecting = TRUE;
    } else if (!way && !*connecting) {
        reserve_for(pool, job);
    }
}

static gboolean dispatch(gpointer data)
{
    Pool *pool = data;
    pool->dispatch_source = 0;
    tell_finished(pool);
    if (pool->state != REMOTE_ONLINE)
        return G_SOURCE_REMOVE;
    gboolean connecting = pool->renewing;
    for (guint i = 0; i < pool->connections->len; i++)
        connecting |= !((Connection *)pool->connections->pdata[i])->ready;
    pool->cursor = pool->queue.head;
    while (pool->cursor) {
        GList *item = pool->cursor;
        pool->cursor = item->next;
        dispatch_job(pool, item, &connecting);
    }
    watch_turn(pool);
    return G_SOURCE_REMOVE;
}

void pool_schedule_dispatch(Pool *pool)
{
    if (!pool->dispatch_source)
        pool->dispatch_source = g_idle_add_full(G_PRIORITY_DEFAULT, dispatch, pool, NULL);
}

void pool_fail_queue(Pool *pool, const GError *error)
{
    RemoteJob *job;
    pool->cursor = NULL;
    while ((job = g_queue_pop_head(&pool->queue)))
        pool_end_later(job, error);
}

void pool_cancel(Pool *pool, RemoteJob *job)
{
    job->cancelled = TRUE;
    GList *link = g_queue_find(&pool->queue, job);
    if (!link)
        return; /* it runs, and is freed with its last reply; or it is finished, and freed with
                   those */
    if (pool->cursor == link)
        pool->cursor = link->next;
    g_queue_delete_link(&pool->queue, link);
    unreserve(pool, job);
    pool_job_free(job);
}
