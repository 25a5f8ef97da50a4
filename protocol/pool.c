#include "imap-watch.h"

#include <string.h>

#define MAX_ATTEMPTS 3
/* Connections lost in a row before any of them answered a job: then it waits as after a failure to
 * connect, for a server that ends each connection must not be called again at once for ever. */
#define MAX_LOSSES 3
#define SETTLED (10 * SECOND) /* one that lived so long was a good one */
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

static void renew_token(Pool *pool)
{
    pool->renewing = pool->renewed = pool->refused = TRUE;
    pool->funcs->renew(pool->data);
}

/* Secrets that no login in progress can hold any more. */
static void forget_retired(Pool *pool)
{
    for (guint i = 0; i < pool->connections->len; i++)
        if (!((Connection *)pool->connections->pdata[i])->ready)
            return;
    g_ptr_array_set_size(pool->retired, 0);
}

static gboolean retry(gpointer data)
{
    Pool *pool = data;
    pool->retry_timer = 0;
    pool->renewed = FALSE;
    if (pool->connections->len > 0 || pool->renewing)
        return G_SOURCE_REMOVE;
    if (pool->refused)
        renew_token(pool);
    else
        pool_connect_one(pool);
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
    connection->since = g_get_monotonic_time();
    if (pool->losses <= MAX_LOSSES)
        pool->failures = 0;
    pool->renewed = FALSE;
    forget_retired(pool);
    if (pool->slow)
        imap_session_compress(session);
    set_state(pool, REMOTE_ONLINE, NULL);
    pool_schedule_dispatch(pool);
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
            pool_end_later(job, error);
    }
}

static void connection_free(Connection *connection)
{
    imap_session_free(connection->session);
    g_free(connection->watch);
    g_free(connection);
}

static gboolean wants_new_token(Pool *pool, const GError *error)
{
    return g_error_matches(error, MAIL_ERROR, MAIL_ERROR_AUTH) && pool->config.is_token &&
           pool->funcs->renew && !pool->renewed;
}

static void go_offline(Pool *pool, const GError *error)
{
    gboolean login = error->code == MAIL_ERROR_AUTH || error->code == MAIL_ERROR_TLS;
    pool->failures++;
    pool->last_failure = g_get_monotonic_time();
    pool_fail_queue(pool, error);
    schedule_retry(pool, login);
    set_state(pool, REMOTE_OFFLINE, error);
}

static void lost_last(Pool *pool, const GError *error, gboolean worked)
{
    pool->slow = FALSE; /* the next line may be another one */
    if (pool->renewing) {
        set_state(pool, REMOTE_CONNECTING, NULL); /* goes on when the token is there */
    } else if (wants_new_token(pool, error)) {
        renew_token(pool);
    } else if (worked) {
        /* Often just an idle connection cut off: one attempt at once, for which jobs wait. */
        pool_connect_one(pool);
        set_state(pool, REMOTE_CONNECTING, NULL);
    } else {
        go_offline(pool, error);
    }
}

/* Another connection than the last one. */
static void lost_extra(Pool *pool, const GError *error, gboolean was_ready)
{
    if (was_ready || pool->renewing)
        return;
    pool->limit = pool->connections->len;
    pool->limit_until = g_get_monotonic_time() + 60 * SECOND;
    if (wants_new_token(pool, error))
        renew_token(pool);
}

static void session_failed(ImapSession *session, const GError *error, gpointer data)
{
    Connection *connection = data;
    Pool *pool = connection->pool;
    gboolean was_ready = connection->ready;
    if (was_ready && g_get_monotonic_time() - connection->since > SETTLED)
        pool->losses = 0;
    gboolean worked = was_ready && pool->losses++ < MAX_LOSSES;
    g_autoptr(GError) copy = g_error_copy(error);
    g_message("connection %s: %s", was_ready ? "lost" : "failed", error->message);
    give_back_jobs(connection, copy);
    watch_lost(connection, copy);
    g_ptr_array_remove_fast(pool->connections, connection);
    connection_free(connection);
    if (pool->connections->len > 0)
        lost_extra(pool, copy, was_ready);
    else
        lost_last(pool, copy, worked);
    pool_schedule_dispatch(pool);
}

static void session_changed(ImapSession *session, gpointer data)
{
    Connection *connection = data;
    Pool *pool = connection->pool;
    const ImapSelected *selected = imap_session_selected(session);
    if (selected->state == IMAP_SELECT_OK)
        pool->funcs->changed(selected->name, pool->data);
}

static void session_uploaded(ImapSession *session, gpointer data)
{
    pool_schedule_dispatch(((Connection *)data)->pool);
}

/* One that waits for news has nothing to gain, and would have to leave IDLE for it. */
static void session_slow(ImapSession *session, gpointer data)
{
    Pool *pool = ((Connection *)data)->pool;
    if (pool->slow || pool->config.compress != REMOTE_COMPRESS_AUTO ||
        !(imap_session_caps(session) & IMAP_CAP_COMPRESS))
        return;
    g_message("the line is slow: from here on it is compressed");
    pool->slow = TRUE;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->ready && !imap_session_in_idle(connection->session))
            imap_session_compress(connection->session);
    }
}

void pool_connect_one(Pool *pool)
{
    static const ImapSessionFuncs funcs = {session_ready, session_failed, session_changed,
                                           session_uploaded, session_slow};
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
    guint ready = 0;
    for (guint i = 0; i < pool->connections->len; i++)
        ready += ((Connection *)pool->connections->pdata[i])->ready ? 1 : 0;
    for (guint i = pool->connections->len; i-- > 0;) {
        Connection *connection = pool->connections->pdata[i];
        if (!connection->ready || connection->jobs.length > 0 || connection->noop ||
            connection->watch || imap_session_in_idle(connection->session))
            continue;
        gint64 idle = now - imap_session_idle_since(connection->session);
        if (ready > 1 && idle > EXTRA_IDLE) {
            ready--;
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

/* The machine slept or moved. What is connected shows that it lives, or is given up. */
static void woken(gboolean doubt, gpointer data)
{
    Pool *pool = data;
    gboolean login = pool->error &&
                     (pool->error->code == MAIL_ERROR_AUTH || pool->error->code == MAIL_ERROR_TLS);
    for (guint i = 0; doubt && i < pool->connections->len; i++)
        watch_probe(pool->connections->pdata[i]);
    if (!login)
        pool_wake(pool);
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
        g_queue_clear_full(&connection->jobs, (GDestroyNotify)pool_job_free);
        imap_session_logout(connection->session);
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
    wakeup_free(pool->wakeup);
    drop_connections(pool);
    watch_free(pool);
    g_ptr_array_unref(pool->connections);
    g_queue_clear_full(&pool->queue, (GDestroyNotify)pool_job_free);
    g_queue_clear_full(&pool->finished, (GDestroyNotify)pool_job_free);
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
    pool->wakeup = wakeup_new(woken, pool);
    set_state(pool, REMOTE_CONNECTING, NULL);
    pool_connect_one(pool);
}

void pool_stop(Pool *pool)
{
    if (!pool->started)
        return;
    g_autoptr(GError) error =
        g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "the mount is ending");
    pool->started = pool->renewing = FALSE;
    g_clear_handle_id(&pool->retry_timer, g_source_remove);
    g_clear_handle_id(&pool->housekeeping, g_source_remove);
    g_clear_pointer(&pool->wakeup, wakeup_free);
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        RemoteJob *job;
        while ((job = g_queue_pop_head(&connection->jobs)))
            pool_end_later(job, error);
    }
    drop_connections(pool);
    pool_fail_queue(pool, error);
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

/* The answer to a request for another token. */
static void renewal_over(Pool *pool, gboolean got_one)
{
    pool->renewing = FALSE;
    pool->refused = !got_one;
    if (got_one)
        pool->limit_until = 0;
    if (pool->connections->len > 0) {
        pool_schedule_dispatch(pool);
    } else if (got_one) {
        pool_connect_one(pool);
    } else {
        g_autoptr(GError) error = g_error_new_literal(
            MAIL_ERROR, MAIL_ERROR_AUTH, "the server refused the token, and there is no other");
        go_offline(pool, error);
    }
}

void pool_set_secret(Pool *pool, Secret *secret)
{
    /* No new token: the one that was refused is kept, for it is known to be. */
    if (secret || !pool->renewing) {
        if (pool->secret)
            g_ptr_array_add(pool->retired, pool->secret);
        pool->secret = secret;
        pool->refused = FALSE;
        forget_retired(pool);
    }
    if (pool->renewing)
        renewal_over(pool, secret != NULL);
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
        if (error->code == MAIL_ERROR_TIMEOUT)
            error->code = MAIL_ERROR_OFFLINE; /* this job waited for nothing */
        /* Somebody asks: worth an attempt sooner than the back-off would make one. */
        if (!login && now - pool->last_failure > SECOND)
            pool_wake(pool);
        pool_end_later(job, error);
        return;
    }
    if (job->leaves)
        watch_leave(pool, job->leaves);
    g_queue_push_tail(&pool->queue, job);
    pool_schedule_dispatch(pool);
}
