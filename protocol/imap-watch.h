/* imap-watch.h: what connections do while no job needs them: one watches one mailbox, by IDLE
 * (RFC 2177). A job that needs it ends that, and it goes back to it afterwards.
 *
 * All but one of the connections that are allowed may watch; the only one, if there is but one. So
 * jobs find one that is free, or open one. What is told is passed on as PoolFuncs.changed; so is a
 * watch that begins, as nobody knows what happened before it.
 *
 * NOTIFY (RFC 5465) would tell of all mailboxes on one connection. It is not used: a Dovecot 2.3
 * that runs it, for messages alone and with no other command in that session, damages its list of
 * the user's mailboxes, and dies of it, while other sessions make and rename some. With IDLE, under
 * the same load, it does not. */
#pragma once

#include "pool-private.h"

/* An IDLE is begun anew after so long, in microseconds: for tests. */
extern gint64 watch_renew_after;

/* What to watch, the most wanted first; NULL-terminated, copied. */
void watch_want(Pool *pool, const char *const *mailboxes);
/* Whether what happens there is told by itself: not while jobs keep its connection from IDLE. */
gboolean watch_has(Pool *pool, const char *mailbox);
/* `watching: NAME (idle)`, or (poll) for one that is wanted and has no connection. */
void watch_describe(Pool *pool, GString *out);

/* For the pool. Connections without work begin to watch: called whenever one may have become so. */
void watch_turn(Pool *pool);
/* No connection is free for this job: is one of those that watch getting ready for it? */
gboolean watch_make_way(Pool *pool, RemoteJob *job);
/* The mailbox, and any below it, is about to go or to get another name. */
void watch_leave(Pool *pool, const char *mailbox);
/* A connection runs a job: it watches no longer if that needs another mailbox. */
void watch_interrupted(Connection *connection, const RemoteJob *job);
/* A connection was lost. */
void watch_lost(Connection *connection, const GError *error);
/* The line is doubted: imap_session_probe() of any connection. */
void watch_probe(Connection *connection);
void watch_free(Pool *pool);
