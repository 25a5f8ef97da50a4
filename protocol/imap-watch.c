#include "imap-watch.h"

#include <string.h>

#define SECOND G_USEC_PER_SEC
/* A connection that just did a job may get the next one at once: only then it watches. */
#define QUIET (SECOND / 5)
/* Where jobs follow each other without a pause: so long after the last IDLE it watches all the
 * same, between two of them. */
#define PATIENCE SECOND
/* For so long after an IDLE its mailbox still counts as watched: the next one tells what happened
 * meanwhile. */
#define GRACE (2 * SECOND)
/* An IDLE that ends by itself sooner than this is none. */
#define SHORTEST (2 * SECOND)
/* So long nothing is asked again of a server that would not do it. */
#define REFUSED_FOR (10 * 60 * SECOND)
/* After a watching connection was lost, another is opened for it so much later, doubled each time
 * that it happens again, unless it had lasted for a while. */
#define REOPEN_AFTER (2 * SECOND)
#define REOPEN_CAP 7 /* times */
#define LASTED (60 * SECOND)
/* So many IDLEs in a row that end with the connection at once: the server cannot do it. */
#define REFUSED_LOSSES 3

/* RFC 2177: before 29 minutes; many routers forget a silent connection sooner. */
gint64 watch_renew_after = 9 * 60 * SECOND;

static gboolean selected_is(Connection *connection, const char *mailbox)
{
    const ImapSelected *selected = imap_session_selected(connection->session);
    return selected->state == IMAP_SELECT_OK && strcmp(selected->name, mailbox) == 0;
}

static Connection *watcher_of(Pool *pool, const char *mailbox)
{
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->watch && strcmp(connection->watch, mailbox) == 0)
            return connection;
    }
    return NULL;
}

/* How many mailboxes are watched at most. */
static guint places(Pool *pool)
{
    guint wanted = pool->wanted ? g_strv_length(pool->wanted) : 0;
    guint limit = pool_connection_limit(pool);
    return MIN(wanted, limit > 1 ? limit - 1 : 1);
}

/* The rank of a mailbox among those that have a place; places() when it has none. */
static guint rank(Pool *pool, const char *mailbox)
{
    guint count = places(pool), i = 0;
    while (i < count && strcmp(pool->wanted[i], mailbox) != 0)
        i++;
    return i;
}

/* ---- one IDLE ---- */

static void end_idle(Connection *connection)
{
    connection->watch_ending = TRUE;
    imap_session_idle_end(connection->session);
}

static void stop_watching(Connection *connection)
{
    g_clear_pointer(&connection->watch, g_free);
    end_idle(connection);
}

static void refuse(Pool *pool, const char *why)
{
    g_message("the server does not let us wait for news (IDLE), so folders are looked at from time "
              "to time: %s",
              why);
    pool->watch_refused_until = g_get_monotonic_time() + REFUSED_FOR;
}

static void idle_begun(ImapSession *session, const char *text, gpointer data)
{
    Connection *connection = data;
    Pool *pool = connection->pool;
    gboolean told = connection->watch_told;
    connection->watch_since = g_get_monotonic_time();
    connection->watch_told = TRUE;
    pool_schedule_dispatch(pool); /* from here on it can be interrupted for a job */
    /* A sync that was made here, on this SELECT, has missed nothing that was not told since. */
    if (connection->watch && !told && !imap_session_selected(session)->synced)
        pool->funcs->changed(connection->watch, pool->data);
}

static void idle_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    Connection *connection = data;
    connection->watch_left = g_get_monotonic_time();
    gint64 lasted = connection->watch_left - connection->watch_since;
    if (reply->condition != IMAP_OK || (!connection->watch_ending && lasted < SHORTEST)) {
        g_autofree char *text = mail_escape(reply->text, -1, 200);
        g_clear_pointer(&connection->watch, g_free);
        refuse(connection->pool, text);
    }
    pool_schedule_dispatch(connection->pool);
}

static void begin_idle(Connection *connection)
{
    static const ImapCommandFuncs funcs = {.challenge = idle_begun, .done = idle_done};
    connection->watch_since = 0;
    connection->watch_ending = FALSE;
    imap_session_idle(connection->session, &funcs, connection);
}

/* Mailboxes whose names begin so are not watched until they are wanted anew. */
static void forget_wanted(Pool *pool, const char *beginning)
{
    g_autoptr(GPtrArray) left = g_ptr_array_new();
    for (guint i = 0; pool->wanted && pool->wanted[i]; i++) {
        if (g_str_has_prefix(pool->wanted[i], beginning))
            g_free(pool->wanted[i]);
        else
            g_ptr_array_add(left, pool->wanted[i]);
    }
    g_ptr_array_add(left, NULL);
    g_free(pool->wanted);
    pool->wanted = (char **)g_ptr_array_steal(left, NULL);
}

/* It could begin to watch now, as far as jobs are concerned. */
static gboolean is_unused(Connection *connection)
{
    return connection->ready && imap_session_is_ready(connection->session) &&
           connection->jobs.length == 0 && !connection->reserved &&
           imap_session_pending(connection->session) == 0;
}

static void select_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    Connection *connection = data;
    /* A job for this mailbox may have come meanwhile. */
    pool_select_done(session, reply, connection);
    if (reply->condition != IMAP_OK && connection->watch) {
        forget_wanted(connection->pool, connection->watch);
        g_clear_pointer(&connection->watch, g_free);
    }
    if (connection->watch && is_unused(connection) && selected_is(connection, connection->watch))
        begin_idle(connection);
    pool_schedule_dispatch(connection->pool);
}

/* ---- which connection watches what ---- */

static Connection *unused_for(Pool *pool, const char *mailbox)
{
    Connection *found = NULL;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (!is_unused(connection) || connection->watch)
            continue;
        if (selected_is(connection, mailbox))
            return connection;
        found = connection;
    }
    return found;
}

static gboolean turn_again(gpointer data)
{
    Pool *pool = data;
    pool->watch_timer = 0;
    watch_turn(pool);
    return G_SOURCE_REMOVE;
}

static void turn_later(Pool *pool, gint64 when)
{
    if (pool->watch_timer && pool->watch_turn <= when)
        return;
    gint64 wait = MAX(when - g_get_monotonic_time(), 0);
    g_clear_handle_id(&pool->watch_timer, g_source_remove);
    pool->watch_turn = when;
    pool->watch_timer = g_timeout_add((guint)(wait / 1000) + 1, turn_again, pool);
}

static gboolean is_connecting(Pool *pool)
{
    for (guint i = 0; i < pool->connections->len; i++)
        if (!((Connection *)pool->connections->pdata[i])->ready)
            return TRUE;
    return FALSE;
}

/* One connection more, to watch: not while one is being made, and not again and again. */
static void open_another(Pool *pool)
{
    gint64 now = g_get_monotonic_time();
    if (pool->renewing || is_connecting(pool) ||
        pool->connections->len >= pool_connection_limit(pool))
        return;
    if (now < pool->watch_reopen)
        turn_later(pool, pool->watch_reopen);
    else
        pool_connect_one(pool);
}

/* Lets a connection without work watch, once it has been quiet for a moment. */
static void attend(Connection *connection)
{
    static const ImapCommandFuncs select_funcs = {.done = select_done};
    ImapSession *session = connection->session;
    gint64 when = imap_session_idle_since(session) + QUIET;
    if (connection->watch_left)
        when = MIN(when, connection->watch_left + PATIENCE);
    if (g_get_monotonic_time() < when)
        turn_later(connection->pool, when);
    else if (selected_is(connection, connection->watch))
        begin_idle(connection);
    else
        imap_session_select(session, connection->watch, &select_funcs, connection);
}

/* Ends an IDLE that has lasted long enough: it is begun anew. */
static void renew(Connection *connection)
{
    gint64 when = connection->watch_since + watch_renew_after;
    if (g_get_monotonic_time() < when)
        turn_later(connection->pool, when);
    else
        end_idle(connection);
}

static void attend_to(Pool *pool, const char *mailbox)
{
    Connection *connection = watcher_of(pool, mailbox);
    if (!connection) {
        connection = unused_for(pool, mailbox);
        if (!connection) {
            open_another(pool);
            return;
        }
        connection->watch = g_strdup(mailbox);
        connection->watch_told = FALSE;
        connection->watch_left = 0;
    }
    if (imap_session_idle_lasts(connection->session))
        renew(connection);
    else if (is_unused(connection))
        attend(connection);
}

static gboolean may_idle(Pool *pool)
{
    ImapSession *session = pool_any_session(pool);
    return session && (imap_session_caps(session) & IMAP_CAP_IDLE) &&
           g_get_monotonic_time() >= pool->watch_refused_until;
}

void watch_turn(Pool *pool)
{
    if (pool->state != REMOTE_ONLINE)
        return;
    guint count = may_idle(pool) ? places(pool) : 0;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->watch && rank(pool, connection->watch) >= count)
            stop_watching(connection);
    }
    for (guint i = 0; i < count; i++)
        attend_to(pool, pool->wanted[i]);
}

/* ---- jobs and losses ---- */

gboolean watch_make_way(Pool *pool, RemoteJob *job)
{
    Connection *best = NULL;
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->reserved == job) {
            best = connection; /* it had not begun to watch when it was kept for the job */
            break;
        }
        if (connection->reserved || !connection->watch ||
            !imap_session_idle_lasts(connection->session))
            continue;
        if (job->mailbox && strcmp(connection->watch, job->mailbox) == 0) {
            best = connection;
            break;
        }
        if (!best || rank(pool, connection->watch) > rank(pool, best->watch))
            best = connection;
    }
    if (!best)
        return FALSE;
    best->reserved = job;
    end_idle(best);
    return TRUE;
}

void watch_leave(Pool *pool, const char *mailbox)
{
    forget_wanted(pool, mailbox);
    for (guint i = 0; i < pool->connections->len; i++) {
        Connection *connection = pool->connections->pdata[i];
        if (connection->watch && g_str_has_prefix(connection->watch, mailbox))
            stop_watching(connection);
    }
}

void watch_interrupted(Connection *connection, const RemoteJob *job)
{
    if (connection->watch && job->mailbox && strcmp(connection->watch, job->mailbox) != 0)
        g_clear_pointer(&connection->watch, g_free);
}

void watch_lost(Connection *connection, const GError *error)
{
    Pool *pool = connection->pool;
    if (!imap_session_in_idle(connection->session))
        return;
    gint64 now = g_get_monotonic_time();
    gint64 lasted = connection->watch_since ? now - connection->watch_since : 0;
    pool->watch_losses = lasted < LASTED ? MIN(pool->watch_losses + 1, REOPEN_CAP) : 0;
    pool->watch_reopen = now + (REOPEN_AFTER << pool->watch_losses);
    gboolean unanswered = g_error_matches(error, MAIL_ERROR, MAIL_ERROR_TIMEOUT) && lasted == 0;
    if (unanswered || (lasted < SHORTEST && pool->watch_losses >= REFUSED_LOSSES))
        refuse(pool, error->message);
}

void watch_probe(Connection *connection)
{
    connection->watch_ending = TRUE; /* as that is how an IDLE shows that it lives */
    imap_session_probe(connection->session);
}

/* ---- what is wanted ---- */

void watch_want(Pool *pool, const char *const *mailboxes)
{
    g_strfreev(pool->wanted);
    pool->wanted = g_strdupv((char **)mailboxes);
    watch_turn(pool);
}

gboolean watch_has(Pool *pool, const char *mailbox)
{
    Connection *connection = watcher_of(pool, mailbox);
    return connection && connection->watch_told && selected_is(connection, mailbox) &&
           imap_session_is_ready(connection->session) &&
           (imap_session_in_idle(connection->session) ||
            g_get_monotonic_time() < connection->watch_left + GRACE);
}

void watch_describe(Pool *pool, GString *out)
{
    for (guint i = 0; pool->wanted && pool->wanted[i]; i++) {
        g_autofree char *name = mail_escape(pool->wanted[i], -1, 300);
        g_string_append_printf(out, "watching: %s (%s)\n", name,
                               watch_has(pool, pool->wanted[i]) ? "idle" : "poll");
    }
}

void watch_free(Pool *pool)
{
    g_clear_handle_id(&pool->watch_timer, g_source_remove);
    g_clear_pointer(&pool->wanted, g_strfreev);
}
