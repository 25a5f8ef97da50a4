/* A POP3 maildrop as a Remote: connecting, losing, and the interface. */
#include "pop3-private.h"

#include <string.h>

#define SECOND G_USEC_PER_SEC
/* Back-off between attempts to connect, in seconds, as for IMAP (pool.c). */
#define BACKOFF_CAP_USED 4
#define BACKOFF_CAP_IDLE 60
#define USED_FOR (600 * SECOND)
#define BACKOFF_AUTH 120
/* Sessions lost in a row before any of them answered a job. */
#define MAX_LOSSES 3
/* A maildrop that is locked, often by a session of ours that the server has not given up yet, is
 * worth waiting for so many times. */
#define MAX_LOCKED 2
/* Many servers have no code for "locked" or "busy": a password that worked before is believed to
 * be right, so many times. */
#define MAX_REFUSALS 3
/* Jobs wait for the end of a LOGIN-DELAY up to this; longer ones fail. */
#define WAIT_FOR_DELAY (10 * SECOND)
#define DEFAULT_IDLE 20

static void set_state(Pop3Remote *remote, RemoteState state, const GError *error)
{
    if (error != remote->error) {
        g_clear_error(&remote->error);
        remote->error = error ? g_error_copy(error) : NULL;
    }
    if (remote->state == state && !error)
        return;
    remote->state = state;
    remote->funcs->state(state, remote->error, remote->data);
}

/* ---- the session ---- */

static void describe_session(Pop3Remote *remote)
{
    Pop3Session *session = remote->session;
    const char *tls = stream_tls_description(pop3_session_stream(session));
    const Pop3Capabilities *capabilities = pop3_session_capabilities(session);
    g_string_printf(remote->described, "tls: %s\nlogin: %s\ncapabilities: %s\n", tls ? tls : "no",
                    pop3_session_mechanism(session),
                    pop3_session_has_capa(session) ? capabilities->text->str : "not told");
    remote->described_session = remote->described->len;
}

static void session_ready(Pop3Session *session, gpointer data)
{
    Pop3Remote *remote = data;
    remote->ready = TRUE;
    remote->logins++;
    remote->refusals = 0;
    if (remote->losses <= MAX_LOSSES)
        remote->failures = 0;
    remote->renewed = FALSE;
    remote->last_login = g_get_monotonic_time();
    remote->login_delay = pop3_session_capabilities(session)->login_delay;
    g_ptr_array_set_size(remote->retired, 0);
    describe_session(remote);
    set_state(remote, REMOTE_ONLINE, NULL);
    pop3_schedule_dispatch(remote);
}

void pop3_remote_close(Pop3Remote *remote)
{
    g_clear_handle_id(&remote->idle_timer, g_source_remove);
    g_clear_pointer(&remote->maildrop, pop3_maildrop_free);
    g_clear_pointer(&remote->session, pop3_session_free);
    g_ptr_array_set_size(remote->retired, 0);
    remote->ready = remote->used = remote->quitting = FALSE;
    remote->deleted_since = 0;
    remote->coming = 0;
}

/* ---- losing it ---- */

static void renew_token(Pop3Remote *remote)
{
    remote->renewing = remote->renewed = remote->refused = TRUE;
    remote->funcs->renew(remote->data);
}

static gboolean wants_new_token(const Pop3Remote *remote, const GError *error)
{
    return g_error_matches(error, MAIL_ERROR, MAIL_ERROR_AUTH) && remote->config.is_token &&
           remote->funcs->renew && !remote->renewed;
}

static gboolean retry(gpointer data)
{
    Pop3Remote *remote = data;
    remote->retry_timer = 0;
    remote->renewed = FALSE;
    if (remote->session || remote->renewing)
        return G_SOURCE_REMOVE;
    if (remote->refused)
        renew_token(remote);
    else
        pop3_remote_connect(remote);
    return G_SOURCE_REMOVE;
}

static gint64 next_login(const Pop3Remote *remote)
{
    return remote->last_login ? remote->last_login + remote->login_delay * SECOND : 0;
}

static void schedule_retry(Pop3Remote *remote, gboolean auth)
{
    gint64 now = g_get_monotonic_time();
    gboolean used = now - remote->last_use < USED_FOR;
    guint cap = used ? BACKOFF_CAP_USED : BACKOFF_CAP_IDLE;
    guint seconds = MIN(1u << MIN(remote->failures, 10), cap);
    if (auth)
        seconds = BACKOFF_AUTH;
    /* Jitter: between a half and the whole of it. */
    guint delay = seconds * 500 + (guint)g_random_int_range(0, (gint32)seconds * 500 + 1);
    delay = MAX(delay, (guint)MAX(next_login(remote) - now, 0) / 1000);
    g_clear_handle_id(&remote->retry_timer, g_source_remove);
    remote->retry_timer = g_timeout_add(delay, retry, remote);
}

static void go_offline(Pop3Remote *remote, const GError *error)
{
    gboolean login = error->code == MAIL_ERROR_AUTH || error->code == MAIL_ERROR_TLS;
    remote->failures++;
    remote->last_failure = g_get_monotonic_time();
    schedule_retry(remote, login);
    if (error->code == MAIL_ERROR_IN_USE && remote->failures <= MAX_LOCKED) {
        set_state(remote, REMOTE_CONNECTING, NULL);
        return;
    }
    pop3_fail_queue(remote, error);
    set_state(remote, REMOTE_OFFLINE, error);
}

static void session_failed(Pop3Session *session, const GError *error, gpointer data)
{
    Pop3Remote *remote = data;
    g_autoptr(GError) copy = g_error_copy(error);
    gboolean was_ready = remote->ready;
    if (copy->code == MAIL_ERROR_AUTH && remote->logins > 0 && !remote->config.is_token &&
        ++remote->refusals <= MAX_REFUSALS)
        copy->code = MAIL_ERROR_OFFLINE;
    g_message("session %s: %s", was_ready ? "lost" : "failed", copy->message);
    pop3_give_back(remote, copy);
    gboolean had_work = remote->queue.length > 0;
    pop3_remote_close(remote);
    if (wants_new_token(remote, copy)) {
        renew_token(remote);
        set_state(remote, REMOTE_CONNECTING, NULL);
    } else if (!was_ready || (had_work && remote->losses++ >= MAX_LOSSES)) {
        go_offline(remote, copy);
    }
    pop3_schedule_dispatch(remote); /* which connects again for what is left to do */
}

static gboolean delay_over(gpointer data)
{
    Pop3Remote *remote = data;
    remote->retry_timer = 0;
    pop3_schedule_dispatch(remote);
    return G_SOURCE_REMOVE;
}

/* A server that wants time between logins gets it. TRUE: not now. */
static gboolean must_wait(Pop3Remote *remote)
{
    gint64 left = next_login(remote) - g_get_monotonic_time();
    if (left <= 0)
        return FALSE;
    if (left > WAIT_FOR_DELAY) {
        g_autoptr(GError) error = g_error_new(
            MAIL_ERROR, MAIL_ERROR_OFFLINE,
            "the server allows one login in %u seconds: the next one in %" G_GINT64_FORMAT,
            remote->login_delay, left / SECOND + 1);
        pop3_fail_queue(remote, error);
        return TRUE;
    }
    if (!remote->retry_timer)
        remote->retry_timer = g_timeout_add((guint)(left / 1000) + 1, delay_over, remote);
    return TRUE;
}

void pop3_remote_connect(Pop3Remote *remote)
{
    static const Pop3SessionFuncs funcs = {session_ready, session_failed};
    if (remote->renewing || remote->retry_timer || must_wait(remote))
        return;
    remote->session = pop3_session_new(&remote->config, remote->secret, &funcs, remote);
}

/* ---- the interface ---- */

static Pop3Remote *pop3_remote(Remote *remote)
{
    return (Pop3Remote *)remote;
}

static void ignore_reply(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
}

/* A server that hears nothing holds the maildrop for a while. Nobody waits for its answer. */
static void say_quit(Pop3Remote *remote)
{
    static const Pop3CommandFuncs ignored = {.done = ignore_reply};
    if (remote->ready && !remote->quitting)
        pop3_session_send(remote->session, "QUIT", POP3_NOTHING, &ignored, NULL);
}

static void remote_destroy(Remote *base)
{
    Pop3Remote *remote = pop3_remote(base);
    if (remote->started)
        say_quit(remote);
    remote->started = FALSE;
    g_clear_handle_id(&remote->retry_timer, g_source_remove);
    pop3_remote_close(remote);
    g_clear_handle_id(&remote->dispatch_source, g_source_remove);
    GQueue *const queues[] = {&remote->queue, &remote->running, &remote->committing,
                              &remote->finished};
    for (guint i = 0; i < G_N_ELEMENTS(queues); i++)
        g_queue_clear_full(queues[i], (GDestroyNotify)pop3_job_free);
    secret_free(remote->secret);
    g_ptr_array_unref(remote->retired);
    g_string_free(remote->described, TRUE);
    g_clear_error(&remote->error);
    g_free((char *)remote->config.service);
    g_free((char *)remote->config.host);
    g_strfreev((char **)remote->config.tunnel);
    g_free((char *)remote->config.ca_file);
    g_free((char *)remote->config.user);
    g_free((char *)remote->config.auth);
    g_free(remote);
}

static void remote_do_start(Remote *base)
{
    Pop3Remote *remote = pop3_remote(base);
    if (remote->started)
        return;
    remote->started = TRUE;
    remote->last_use = g_get_monotonic_time();
    set_state(remote, REMOTE_CONNECTING, NULL);
    pop3_remote_connect(remote);
}

static void remote_do_stop(Remote *base)
{
    Pop3Remote *remote = pop3_remote(base);
    if (!remote->started)
        return;
    g_autoptr(GError) error =
        g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "the mount is ending");
    remote->started = remote->renewing = FALSE;
    g_clear_handle_id(&remote->retry_timer, g_source_remove);
    say_quit(remote);
    pop3_give_back(remote, error);
    pop3_remote_close(remote);
    pop3_fail_queue(remote, error);
    set_state(remote, REMOTE_IDLE, NULL);
}

static void remote_do_wake(Remote *base)
{
    Pop3Remote *remote = pop3_remote(base);
    if (!remote->retry_timer || next_login(remote) > g_get_monotonic_time())
        return;
    g_clear_handle_id(&remote->retry_timer, g_source_remove);
    retry(remote);
}

static RemoteState remote_get_state(Remote *base)
{
    return pop3_remote(base)->state;
}

static const RemoteFeatures *remote_get_features(Remote *base)
{
    return &pop3_remote(base)->features;
}

/* The answer to a request for another token. */
static void renewal_over(Pop3Remote *remote, gboolean got_one)
{
    remote->renewing = FALSE;
    remote->refused = !got_one;
    if (got_one) {
        pop3_remote_connect(remote);
        return;
    }
    g_autoptr(GError) error = g_error_new_literal(
        MAIL_ERROR, MAIL_ERROR_AUTH, "the server refused the token, and there is no other");
    go_offline(remote, error);
}

static void remote_take_secret(Remote *base, Secret *secret)
{
    Pop3Remote *remote = pop3_remote(base);
    if (secret || !remote->renewing) {
        if (remote->secret)
            g_ptr_array_add(remote->retired, remote->secret);
        remote->secret = secret;
        remote->refused = FALSE;
        if (!remote->session)
            g_ptr_array_set_size(remote->retired, 0);
    }
    if (remote->renewing)
        renewal_over(remote, secret != NULL);
}

static void remote_do_describe(Remote *base, GString *out)
{
    Pop3Remote *remote = pop3_remote(base);
    g_string_append_printf(out, "session: %s\n", remote->session ? "open" : "none");
    g_string_append(out, remote->described->str);
    if (remote->login_delay)
        g_string_append_printf(out, "login-delay: %u\n", remote->login_delay);
}

static void remote_do_cancel(Remote *base, RemoteJob *job)
{
    pop3_cancel(pop3_remote(base), (Pop3Job *)job);
}

void pop3_submit(Pop3Remote *remote, Pop3Job *job)
{
    gint64 now = g_get_monotonic_time();
    job->remote = remote;
    job->submitted = remote->last_use = now;
    if (job->error || remote->state == REMOTE_OFFLINE || remote->state == REMOTE_IDLE) {
        g_autoptr(GError) error =
            remote->error ? g_error_copy(remote->error)
                          : g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "not connected");
        gboolean login = error->code == MAIL_ERROR_AUTH || error->code == MAIL_ERROR_TLS;
        if (error->code == MAIL_ERROR_TIMEOUT)
            error->code = MAIL_ERROR_OFFLINE; /* this job waited for nothing */
        if (!job->error && !login && now - remote->last_failure > SECOND)
            remote_do_wake(&remote->base);
        pop3_end_later(job, error);
        return;
    }
    g_queue_push_tail(&remote->queue, job);
    pop3_schedule_dispatch(remote);
}

static RemoteJob *submit(Remote *base, Pop3Job *job)
{
    pop3_submit(pop3_remote(base), job);
    return (RemoteJob *)job;
}

static RemoteJob *do_list(Remote *remote, const RemoteListFuncs *funcs, gpointer data)
{
    return submit(remote, pop3_list_new(funcs, data));
}

static RemoteJob *do_sync(Remote *remote, const RemoteSync *known, const RemoteSyncFuncs *funcs,
                          gpointer data)
{
    return submit(remote, pop3_sync_new(known, funcs, data));
}

static RemoteJob *do_fetch(Remote *remote, const RemoteFetch *what, const RemoteFetchFuncs *funcs,
                           gpointer data)
{
    return submit(remote, pop3_fetch_new(what, funcs, data));
}

static RemoteJob *do_store(Remote *remote, const RemoteStore *what, RemoteDone done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.done = done}, data));
}

static RemoteJob *do_copy(Remote *remote, const RemoteStore *what, const char *target,
                          RemoteMovedDone done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.moved = done}, data));
}

static RemoteJob *do_append(Remote *remote, const char *mailbox, const RemoteNew *messages,
                            guint count, RemoteAppended done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.appended = done}, data));
}

static RemoteJob *do_create(Remote *remote, const char *mailbox, RemoteDone done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.done = done}, data));
}

static RemoteJob *do_remove(Remote *remote, const char *mailbox, gboolean selectable,
                            RemoteDone done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.done = done}, data));
}

static RemoteJob *do_rename(Remote *remote, const char *mailbox, const char *new_name,
                            RemoteDone done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.done = done}, data));
}

static RemoteJob *do_quota(Remote *remote, const char *mailbox, RemoteQuotaDone done, gpointer data)
{
    return submit(remote, pop3_unsupported_new((Pop3Unsupported){.quota = done}, data));
}

static RemoteJob *do_expunge(Remote *remote, const RemoteStore *what, RemoteDone done,
                             gpointer data)
{
    return submit(remote, pop3_expunge_new(what, done, data));
}

static void copy_config(RemoteConfig *to, const RemoteConfig *from)
{
    *to = *from;
    to->service = g_strdup(from->service);
    to->host = g_strdup(from->host);
    to->tunnel = (const char *const *)g_strdupv((char **)from->tunnel);
    to->ca_file = g_strdup(from->ca_file);
    to->user = g_strdup(from->user);
    to->auth = g_strdup(from->auth);
    if (to->idle == 0)
        to->idle = DEFAULT_IDLE;
}

Remote *pop3_remote_new(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                        gpointer data)
{
    static const RemoteClass klass = {
        .free = remote_destroy,
        .start = remote_do_start,
        .stop = remote_do_stop,
        .wake = remote_do_wake,
        .state = remote_get_state,
        .features = remote_get_features,
        .set_secret = remote_take_secret,
        .describe = remote_do_describe,
        .cancel = remote_do_cancel,
        .list = do_list,
        .sync = do_sync,
        .fetch = do_fetch,
        .store = do_store,
        .copy = do_copy,
        .move = do_copy,
        .expunge = do_expunge,
        .append = do_append,
        .create = do_create,
        .remove = do_remove,
        .rename = do_rename,
        .quota = do_quota,
    };
    Pop3Remote *remote = g_new0(Pop3Remote, 1);
    remote->base.klass = &klass;
    remote->funcs = funcs;
    remote->data = data;
    remote->secret = secret;
    remote->retired = g_ptr_array_new_with_free_func((GDestroyNotify)secret_free);
    remote->described = g_string_new(NULL);
    remote->features = (RemoteFeatures){.uidplus = TRUE, .whole_bodies = TRUE, .local_flags = TRUE};
    copy_config(&remote->config, config);
    return &remote->base;
}
