#include "pool.h"

#include <string.h>

/* Jobs that may be on one connection at a time. */
#define MAX_DEPTH 8
#define MAX_ATTEMPTS 3
#define SECOND G_USEC_PER_SEC
/* Back-off between attempts to connect, in seconds: while somebody uses the mount a server that
 * comes back is noticed within 5 s; otherwise it is not bothered much. */
#define BACKOFF_CAP_USED 4
#define BACKOFF_CAP_IDLE 60
#define USED_FOR (600 * SECOND)
/* A refused login is not tried again soon: servers lock accounts for that. */
#define BACKOFF_AUTH 120
#define EXTRA_IDLE (60 * SECOND) /* then a connection that is not the last is closed */
#define KEEPALIVE (120 * SECOND) /* then a NOOP asks whether the last one still lives */

typedef struct {
    Pool *pool;
    ImapSession *session;
    GQueue jobs; /* of RemoteJob: running here */
    gboolean ready;
    gboolean noop;
    RemoteJob *reserved; /* gets no other job until it is idle: this one waits for that */
} Connection;

struct Pool {
    RemoteConfig config;
    const PoolFuncs *funcs;
    gpointer data;
    Secret *secret;
    GPtrArray *retired;     /* of Secret: older ones that a session may still hold */
    GPtrArray *connections; /* of Connection */
    GQueue queue;           /* of RemoteJob: waiting */
    RemoteState state;
    GError *error; /* why it is offline */
    gboolean started;
    gboolean renewing, renewed;
    guint failures;
    guint limit; /* the server would not have more connections than this, for now */
    gint64 limit_until, last_use, last_failure;
    guint retry_timer, dispatch_source, housekeeping;
    GQueue finished; /* of RemoteJob: to be told from the main loop */
};

static void connect_one(Pool *pool);
static void schedule_dispatch(Pool *pool);

/* ---- jobs ---- */

static void job_free(RemoteJob *job)
{
    g_clear_error(&job->error);
    g_free(job->mailbox);
    job->klass->free(job);
}

static void job_finish(RemoteJob *job)
{
    if (!job->cancelled)
        job->klass->finish(job, job->error);
    job_free(job);
}

/* Ends a job from the main loop, never from within the call that found its end. */
static void job_end_later(RemoteJob *job, const GError *error)
{
    Pool *pool = job->pool;
    if (error && !job->error)
        job->error = g_error_copy(error);
    job->holder = NULL;
    g_queue_push_tail(&pool->finished, job);
    schedule_dispatch(pool);
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
    job->commands--;
    if (job->commands > 0)
        return;
    Connection *connection = job->holder;
    g_queue_remove(&connection->jobs, job);
    schedule_dispatch(job->pool);
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
    if (!uidvalidity_fits(job, imap_session_selected(session)))
        pool_job_fail(job, stale_error(job));
    else if (job->klass->opened)
        job->klass->opened(job, session);
}

static void select_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    Connection *connection = data;
    g_autoptr(GError) error = NULL;
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
        job_end_later(job, NULL);
    }
}

static void run_job(Connection *connection, RemoteJob *job)
{
    static const ImapCommandFuncs select_funcs = {.done = select_done};
    ImapSession *session = connection->session;
    const ImapSelected *selected = imap_session_selected(session);
    job->holder = connection;
    job->attempts++;
    if (connection->reserved == job)
        connection->reserved = NULL;
    g_queue_push_tail(&connection->jobs, job);
    if (job->mailbox) {
        gboolean same = selected->name && strcmp(selected->name, job->mailbox) == 0;
        if (!same)
            imap_session_select(session, job->mailbox, &select_funcs, connection);
        if (selected->state == IMAP_SELECT_PENDING && job->klass->verify)
            return; /* select_done goes on */
        if (selected->state == IMAP_SELECT_OK)
            job_opened(job, session);
    }
    if (!job->error)
        job->klass->run(job, session);
    if (job->commands > 0)
        return;
    g_queue_remove(&connection->jobs, job);
    job_end_later(job, NULL);
}

/* ---- which connection ---- */

static guint connection_limit(Pool *pool)
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
    return connection->ready && (!connection->reserved || connection->reserved == job);
}

/* The best place for a job now, or NULL: an idle connection with its mailbox, any idle one, then
 * (unless another may be opened) a busy one with its mailbox. */
static Connection *place_for(Pool *pool, RemoteJob *job, gboolean may_grow)
{
    Connection *idle = NULL, *busy = NULL;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (!connection_free_for(connection, job))
            continue;
        gboolean same = has_mailbox(connection, job->mailbox);
        if (connection->jobs.length == 0) {
            if (same)
                return connection;
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

static void tell_finished(Pool *pool)
{
    RemoteJob *job;
    while ((job = g_queue_pop_head(&pool->finished)))
        job_finish(job);
}

static void unreserve(Pool *pool, const RemoteJob *job)
{
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->reserved == job)
            connection->reserved = NULL;
    }
}

static gboolean dispatch(gpointer data)
{
    Pool *pool = data;
    pool->dispatch_source = 0;
    tell_finished(pool);
    if (pool->state != REMOTE_ONLINE)
        return G_SOURCE_REMOVE;
    gboolean connecting = FALSE;
    for (guint i = 0; i < pool->connections->len; i++)
        connecting |= !((Connection *)pool->connections->pdata[i])->ready;
    for (GList *item = pool->queue.head; item;) {
        GList *next = item->next;
        RemoteJob *job = item->data;
        gboolean may_grow = pool->connections->len < connection_limit(pool);
        Connection *place = place_for(pool, job, may_grow || connecting);
        if (!place && may_grow && !connecting) {
            connect_one(pool);
            connecting = TRUE;
        }
        if (!place && !connecting)
            reserve_for(pool, job);
        if (place) {
            g_queue_delete_link(&pool->queue, item);
            unreserve(pool, job);
            run_job(place, job);
        }
        item = next;
    }
    return G_SOURCE_REMOVE;
}

static void schedule_dispatch(Pool *pool)
{
    if (!pool->dispatch_source)
        pool->dispatch_source = g_idle_add_full(G_PRIORITY_DEFAULT, dispatch, pool, NULL);
}

/* ---- connecting, losing ---- */

static void set_state(Pool *pool, RemoteState state, const GError *error)
{
    if (error != pool->error) {
        g_clear_error(&pool->error);
        pool->error = error ? g_error_copy(error) : NULL;
    }
    if (pool->state == state && !error)
        return;
    pool->state = state;
    pool->funcs->state(state, pool->error, pool->data);
}

static void fail_queue(Pool *pool, const GError *error)
{
    RemoteJob *job;
    while ((job = g_queue_pop_head(&pool->queue)))
        job_end_later(job, error);
}

static gboolean retry(gpointer data)
{
    Pool *pool = data;
    pool->retry_timer = 0;
    if (pool->connections->len == 0)
        connect_one(pool);
    return G_SOURCE_REMOVE;
}

static void schedule_retry(Pool *pool, gboolean auth)
{
    gboolean used = g_get_monotonic_time() - pool->last_use < USED_FOR;
    guint cap = used ? BACKOFF_CAP_USED : BACKOFF_CAP_IDLE;
    guint seconds = MIN(1u << MIN(pool->failures, 10), cap);
    if (auth)
        seconds = BACKOFF_AUTH;
    /* Jitter: between a half and the whole of it. */
    guint delay = seconds * 500 + (guint)g_random_int_range(0, (gint32)seconds * 500 + 1);
    g_clear_handle_id(&pool->retry_timer, g_source_remove);
    pool->retry_timer = g_timeout_add(delay, retry, pool);
}

static void session_ready(ImapSession *session, gpointer data)
{
    Connection *connection = data;
    Pool *pool = connection->pool;
    connection->ready = TRUE;
    pool->failures = 0;
    pool->renewed = FALSE;
    set_state(pool, REMOTE_ONLINE, NULL);
    schedule_dispatch(pool);
}

/* What was running there runs again elsewhere, or learns why it does not. */
static void give_back_jobs(Connection *connection, const GError *error)
{
    Pool *pool = connection->pool;
    gboolean closed = g_error_matches(error, MAIL_ERROR, MAIL_ERROR_OFFLINE);
    RemoteJob *job;
    while ((job = g_queue_pop_tail(&connection->jobs))) {
        gboolean again = closed && !job->cancelled && !job->error && job->attempts < MAX_ATTEMPTS &&
                         (job->klass->idempotent || !job->sent);
        job->holder = NULL;
        job->commands = 0;
        if (again)
            g_queue_push_head(&pool->queue, job);
        else
            job_end_later(job, error);
    }
}

static void connection_free(Connection *connection)
{
    imap_session_free(connection->session);
    g_free(connection);
}

static gboolean wants_new_token(Pool *pool, const GError *error)
{
    return g_error_matches(error, MAIL_ERROR, MAIL_ERROR_AUTH) && pool->config.is_token &&
           pool->funcs->renew && !pool->renewed;
}

static void lost_last(Pool *pool, const GError *error, gboolean was_ready)
{
    if (wants_new_token(pool, error)) {
        pool->renewed = pool->renewing = TRUE;
        pool->funcs->renew(pool->data);
        return;
    }
    if (was_ready) {
        /* Often just an idle connection cut off: one attempt at once, for which jobs wait. */
        set_state(pool, REMOTE_CONNECTING, NULL);
        connect_one(pool);
        return;
    }
    pool->failures++;
    pool->last_failure = g_get_monotonic_time();
    set_state(pool, REMOTE_OFFLINE, error);
    fail_queue(pool, error);
    schedule_retry(pool, g_error_matches(error, MAIL_ERROR, MAIL_ERROR_AUTH) ||
                             g_error_matches(error, MAIL_ERROR, MAIL_ERROR_TLS));
}

static void session_failed(ImapSession *session, const GError *error, gpointer data)
{
    Connection *connection = data;
    Pool *pool = connection->pool;
    gboolean was_ready = connection->ready;
    g_autoptr(GError) copy = g_error_copy(error);
    g_message("connection %s: %s", was_ready ? "lost" : "failed", error->message);
    give_back_jobs(connection, copy);
    g_ptr_array_remove_fast(pool->connections, connection);
    connection_free(connection);
    if (!pool->started)
        return;
    if (pool->connections->len > 0) {
        if (!was_ready) {
            pool->limit = pool->connections->len;
            pool->limit_until = g_get_monotonic_time() + 60 * SECOND;
        }
        schedule_dispatch(pool);
        return;
    }
    lost_last(pool, copy, was_ready);
    schedule_dispatch(pool);
}

static void session_changed(ImapSession *session, gpointer data)
{
    Connection *connection = data;
    Pool *pool = connection->pool;
    const ImapSelected *selected = imap_session_selected(session);
    if (selected->state == IMAP_SELECT_OK)
        pool->funcs->changed(selected->name, pool->data);
}

static void connect_one(Pool *pool)
{
    static const ImapSessionFuncs funcs = {session_ready, session_failed, session_changed};
    Connection *connection = g_new0(Connection, 1);
    connection->pool = pool;
    g_queue_init(&connection->jobs);
    g_ptr_array_add(pool->connections, connection);
    connection->session = imap_session_new(&pool->config, pool->secret, &funcs, connection);
}

/* ---- housekeeping ---- */

static void noop_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    Connection *connection = data;
    connection->noop = FALSE;
}

static gboolean housekeeping(gpointer data)
{
    static const ImapCommandFuncs funcs = {.done = noop_done};
    Pool *pool = data;
    gint64 now = g_get_monotonic_time();
    for (guint i = pool->connections->len; i-- > 0;) {
        Connection *connection = pool->connections->pdata[i];
        if (!connection->ready || connection->jobs.length > 0 || connection->noop)
            continue;
        gint64 idle = now - imap_session_idle_since(connection->session);
        if (pool->connections->len > 1 && idle > EXTRA_IDLE) {
            imap_session_logout(connection->session);
            g_ptr_array_remove_index_fast(pool->connections, i);
            connection_free(connection);
        } else if (idle > KEEPALIVE) {
            connection->noop = TRUE;
            imap_session_send(connection->session,
                              imap_session_command(connection->session, "NOOP"), &funcs,
                              connection);
        }
    }
    return G_SOURCE_CONTINUE;
}

/* ---- the interface ---- */

Pool *pool_new(const RemoteConfig *config, const PoolFuncs *funcs, gpointer data)
{
    Pool *pool = g_new0(Pool, 1);
    pool->config = *config;
    pool->config.service = g_strdup(config->service);
    pool->config.host = g_strdup(config->host);
    pool->config.tunnel = (const char *const *)g_strdupv((char **)config->tunnel);
    pool->config.ca_file = g_strdup(config->ca_file);
    pool->config.user = g_strdup(config->user);
    pool->config.auth = g_strdup(config->auth);
    pool->funcs = funcs;
    pool->data = data;
    pool->connections = g_ptr_array_new();
    pool->retired = g_ptr_array_new_with_free_func((GDestroyNotify)secret_free);
    g_queue_init(&pool->queue);
    g_queue_init(&pool->finished);
    return pool;
}

static void drop_connections(Pool *pool)
{
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        g_queue_clear_full(&connection->jobs, (GDestroyNotify)job_free);
        connection_free(connection);
    }
    g_ptr_array_set_size(pool->connections, 0);
}

void pool_free(Pool *pool)
{
    if (!pool)
        return;
    pool->started = FALSE;
    g_clear_handle_id(&pool->retry_timer, g_source_remove);
    g_clear_handle_id(&pool->dispatch_source, g_source_remove);
    g_clear_handle_id(&pool->housekeeping, g_source_remove);
    drop_connections(pool);
    g_ptr_array_unref(pool->connections);
    g_queue_clear_full(&pool->queue, (GDestroyNotify)job_free);
    g_queue_clear_full(&pool->finished, (GDestroyNotify)job_free);
    secret_free(pool->secret);
    g_ptr_array_unref(pool->retired);
    g_clear_error(&pool->error);
    g_free((char *)pool->config.service);
    g_free((char *)pool->config.host);
    g_strfreev((char **)pool->config.tunnel);
    g_free((char *)pool->config.ca_file);
    g_free((char *)pool->config.user);
    g_free((char *)pool->config.auth);
    g_free(pool);
}

void pool_start(Pool *pool)
{
    if (pool->started)
        return;
    pool->started = TRUE;
    pool->last_use = g_get_monotonic_time();
    pool->housekeeping = g_timeout_add_seconds(10, housekeeping, pool);
    set_state(pool, REMOTE_CONNECTING, NULL);
    connect_one(pool);
}

void pool_stop(Pool *pool)
{
    if (!pool->started)
        return;
    g_autoptr(GError) error =
        g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "the mount is ending");
    pool->started = FALSE;
    g_clear_handle_id(&pool->retry_timer, g_source_remove);
    g_clear_handle_id(&pool->housekeeping, g_source_remove);
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        RemoteJob *job;
        while ((job = g_queue_pop_head(&connection->jobs)))
            job_end_later(job, error);
        imap_session_logout(connection->session);
    }
    drop_connections(pool);
    fail_queue(pool, error);
    set_state(pool, REMOTE_IDLE, NULL);
}

void pool_wake(Pool *pool)
{
    if (!pool->retry_timer)
        return;
    g_clear_handle_id(&pool->retry_timer, g_source_remove);
    retry(pool);
}

RemoteState pool_state(Pool *pool)
{
    return pool->state;
}

void pool_set_secret(Pool *pool, Secret *secret)
{
    if (pool->secret)
        g_ptr_array_add(pool->retired, pool->secret);
    pool->secret = secret;
    if (pool->connections->len == 0 && pool->retired->len > 0)
        g_ptr_array_set_size(pool->retired, 0);
    if (!pool->renewing)
        return;
    pool->renewing = FALSE;
    connect_one(pool);
}

ImapSession *pool_any_session(Pool *pool)
{
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->ready)
            return connection->session;
    }
    return NULL;
}

guint pool_connections(Pool *pool)
{
    return pool->connections->len;
}

void pool_submit(Pool *pool, RemoteJob *job)
{
    gint64 now = g_get_monotonic_time();
    job->pool = pool;
    pool->last_use = now;
    if (pool->state == REMOTE_OFFLINE || pool->state == REMOTE_IDLE) {
        g_autoptr(GError) error =
            pool->error ? g_error_copy(pool->error)
                        : g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "not connected");
        gboolean login = error->code == MAIL_ERROR_AUTH || error->code == MAIL_ERROR_TLS;
        /* Somebody asks: worth an attempt sooner than the back-off would make one. */
        if (!login && now - pool->last_failure > SECOND)
            pool_wake(pool);
        job_end_later(job, error);
        return;
    }
    g_queue_push_tail(&pool->queue, job);
    schedule_dispatch(pool);
}

void pool_cancel(Pool *pool, RemoteJob *job)
{
    job->cancelled = TRUE;
    if (g_queue_remove(&pool->queue, job)) {
        unreserve(pool, job);
        job_free(job);
    }
    /* Otherwise it runs: its replies are let pass, and it is freed with the last of them; or it is
     * among the finished, and is freed with them. */
}
