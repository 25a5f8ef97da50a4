/* Which job runs when: one after the other in the order in which they came, as many at a time as
 * the server's pipeline takes. */
#include "pop3-private.h"

#define MAX_ATTEMPTS 3
/* Commands on their way, and bytes of messages, beyond which the next job waits: what is wanted now
 * must not queue up behind all that is read ahead. */
#define MAX_PENDING 1024
#define MAX_COMING (4 * 1024 * 1024)
/* Removals are made true so soon after the last one, in milliseconds, and so soon after the first
 * one however busy the session is, in microseconds. */
#define COMMIT_PAUSE 200
#define COMMIT_LIMIT (5 * G_USEC_PER_SEC)
/* A session that nobody used yet is fresh for so long: the one that was made at the start. */
#define FRESH (2 * G_USEC_PER_SEC)

/* ---- jobs ---- */

void pop3_job_free(Pop3Job *job)
{
    g_clear_error(&job->error);
    job->klass->free(job);
}

static void job_finish(Pop3Job *job)
{
    if (!job->cancelled)
        job->klass->finish(job, job->error);
    pop3_job_free(job);
}

void pop3_end_later(Pop3Job *job, const GError *error)
{
    if (error && !job->error)
        job->error = g_error_copy(error);
    g_queue_push_tail(&job->remote->finished, job);
    pop3_schedule_dispatch(job->remote);
}

void pop3_job_send(Pop3Job *job, Pop3Session *session, const char *command, Pop3Shape shape,
                   const Pop3CommandFuncs *funcs)
{
    job->commands++;
    pop3_session_send(session, command, shape, funcs, job);
}

void pop3_job_fail(Pop3Job *job, GError *error)
{
    if (job->error)
        g_error_free(error);
    else
        job->error = error;
}

/* Nothing more of it is on its way. */
static void job_ran(Pop3Job *job)
{
    Pop3Remote *remote = job->remote;
    g_queue_remove(&remote->running, job);
    remote->losses = 0;
    if (job->klass->commits && !job->error && remote->deleted_since)
        g_queue_push_tail(&remote->committing, job);
    else
        pop3_end_later(job, NULL);
    pop3_schedule_dispatch(remote);
}

void pop3_job_answered(Pop3Job *job)
{
    if (--job->commands == 0)
        job_ran(job);
}

static void give_back(Pop3Remote *remote, GQueue *jobs, const GError *error)
{
    Pop3Job *job;
    while ((job = g_queue_pop_tail(jobs))) {
        job->commands = 0;
        if (job->cancelled || job->error || job->attempts >= MAX_ATTEMPTS)
            pop3_end_later(job, error);
        else
            g_queue_push_head(&remote->queue, job);
    }
}

void pop3_give_back(Pop3Remote *remote, const GError *error)
{
    give_back(remote, &remote->running, error);
    give_back(remote, &remote->committing, error);
}

void pop3_fail_queue(Pop3Remote *remote, const GError *error)
{
    Pop3Job *job;
    while ((job = g_queue_pop_head(&remote->queue)))
        pop3_end_later(job, error);
}

void pop3_cancel(Pop3Remote *remote, Pop3Job *job)
{
    job->cancelled = TRUE;
    if (g_queue_remove(&remote->queue, job) || g_queue_remove(&remote->committing, job))
        pop3_job_free(job);
    /* Else it runs, and is freed with its last answer; or it is finished, and freed with those. */
}

/* ---- QUIT ---- */

static void quit_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    Pop3Remote *remote = data;
    g_autoptr(GError) error = NULL;
    if (reply->status == POP3_OK) {
        Pop3Job *job;
        while ((job = g_queue_pop_head(&remote->committing)))
            pop3_end_later(job, NULL);
    } else {
        /* Some may be removed and some not, RFC 1939 section 6: the next session shows. */
        error = pop3_session_error(reply, "removing messages");
        pop3_give_back(remote, error);
    }
    pop3_remote_close(remote);
    pop3_schedule_dispatch(remote);
}

static void quit(Pop3Remote *remote)
{
    static const Pop3CommandFuncs funcs = {.done = quit_done};
    g_clear_handle_id(&remote->idle_timer, g_source_remove);
    remote->quitting = TRUE;
    pop3_session_send(remote->session, "QUIT", POP3_NOTHING, &funcs, remote);
}

static gboolean idle_over(gpointer data)
{
    Pop3Remote *remote = data;
    remote->idle_timer = 0;
    quit(remote);
    return G_SOURCE_REMOVE;
}

/* ---- running ---- */

static gboolean is_fresh_for(const Pop3Remote *remote, const Pop3Job *job)
{
    gint64 opened = pop3_session_opened(remote->session);
    return opened >= job->submitted || (!remote->used && job->submitted - opened < FRESH);
}

static gboolean may_run(const Pop3Remote *remote, const Pop3Job *job)
{
    if (pop3_session_pending(remote->session) >= MAX_PENDING || remote->coming >= MAX_COMING)
        return FALSE;
    return !job->klass->fresh || is_fresh_for(remote, job);
}

static gboolean must_commit(const Pop3Remote *remote)
{
    return remote->deleted_since && g_get_monotonic_time() - remote->deleted_since > COMMIT_LIMIT;
}

static void run_jobs(Pop3Remote *remote)
{
    Pop3Job *job;
    while (!must_commit(remote) && (job = g_queue_peek_head(&remote->queue)) &&
           may_run(remote, job)) {
        g_queue_pop_head(&remote->queue);
        g_queue_push_tail(&remote->running, job);
        remote->used = TRUE;
        job->attempts++;
        job->commands = 1; /* so that it does not end before it is sent whole */
        job->klass->run(job, remote->session);
        pop3_job_answered(job);
    }
}

/* Nothing runs: what is left in the queue needs another session; else this one waits a while. */
static void rest(Pop3Remote *remote)
{
    if (remote->queue.length > 0 || must_commit(remote)) {
        quit(remote);
        return;
    }
    guint pause = remote->deleted_since ? COMMIT_PAUSE : remote->config.idle * 1000;
    remote->idle_timer = g_timeout_add(pause, idle_over, remote);
}

/* Those that end now; what fails while they are told waits for the next turn of the loop. */
static void tell_finished(Pop3Remote *remote)
{
    for (guint left = remote->finished.length; left > 0 && remote->finished.length > 0; left--)
        job_finish(g_queue_pop_head(&remote->finished));
}

static void fail_maildrop(Pop3Remote *remote)
{
    g_autoptr(GError) error = g_error_copy(remote->maildrop->error);
    pop3_fail_queue(remote, error);
    quit(remote);
}

static gboolean dispatch(gpointer data)
{
    Pop3Remote *remote = data;
    remote->dispatch_source = 0;
    tell_finished(remote);
    if (!remote->started || remote->quitting)
        return G_SOURCE_REMOVE;
    g_clear_handle_id(&remote->idle_timer, g_source_remove);
    if (!remote->session) {
        if (remote->queue.length > 0)
            pop3_remote_connect(remote);
        return G_SOURCE_REMOVE;
    }
    if (!remote->ready)
        return G_SOURCE_REMOVE;
    if (!remote->maildrop && remote->queue.length > 0)
        pop3_maildrop_open(remote);
    if (remote->maildrop && !remote->maildrop->complete)
        return G_SOURCE_REMOVE;
    if (remote->maildrop && remote->maildrop->error) {
        fail_maildrop(remote);
        return G_SOURCE_REMOVE;
    }
    run_jobs(remote);
    if (remote->running.length == 0)
        rest(remote);
    return G_SOURCE_REMOVE;
}

void pop3_schedule_dispatch(Pop3Remote *remote)
{
    if (!remote->dispatch_source)
        remote->dispatch_source = g_idle_add_full(G_PRIORITY_DEFAULT, dispatch, remote, NULL);
}
