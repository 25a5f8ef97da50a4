/* pool.h: which connection does which job: at most `connections` of them, reconnecting, merging
 * work for one mailbox on one connection, bounded in depth.
 *
 * A job is what imap-remote.c and imap-sync.c make of an operation: it embeds RemoteJob as its
 * first member. The pool gives it a connection on which its mailbox is selected, and runs it
 * again on another one when that is lost and the job is idempotent. */
#pragma once

#include "imap-session.h"

typedef struct Pool Pool;

typedef struct {
    /* Sends the commands by pool_job_send(). The mailbox is selected, or (unless `verify`) its
     * SELECT is on the way just before them. May be called again after a lost connection. */
    void (*run)(RemoteJob *job, ImapSession *session);
    /* The mailbox is open and its UIDVALIDITY is the wanted one; before or after run. May be NULL.
     */
    void (*opened)(RemoteJob *job, ImapSession *session);
    /* The job is over: tells the caller. Not called for a cancelled job. */
    void (*finish)(RemoteJob *job, const GError *error);
    void (*free)(RemoteJob *job);
    /* Running it twice has the effect of running it once. */
    gboolean idempotent;
    /* Changes the mailbox: nothing is sent before its UIDVALIDITY is known to be right. */
    gboolean verify;
    /* Takes so little time that no connection is opened for it alone when one that watches a
     * mailbox can do it. */
    gboolean brief;
    /* Takes the mailbox's UIDVALIDITY as it comes. */
    gboolean any_uidvalidity;
} PoolJobClass;

struct RemoteJob {
    const PoolJobClass *klass;
    Pool *pool;
    gpointer holder; /* the pool's: the connection that runs it, or NULL */
    char *mailbox;   /* NULL: needs none */
    char *leaves;    /* a mailbox that no connection may have open, nor any below it; or NULL */
    MailUidValidity uidvalidity;
    guint commands; /* sent and not yet answered */
    guint attempts;
    gboolean selects; /* the mailbox was selected for it: the server's session knows the news */
    gboolean sent;    /* something of it may have reached the server */
    gboolean cancelled;
    GError *error; /* the first that one of its commands met */
};

typedef struct {
    void (*state)(RemoteState state, const GError *error, gpointer data);
    void (*changed)(const char *mailbox, gpointer data);
    void (*renew)(gpointer data); /* may be NULL */
} PoolFuncs;

Pool *pool_new(const RemoteConfig *config, const PoolFuncs *funcs, gpointer data);
void pool_free(Pool *pool); /* drops every job without a call; not from within a callback */
void pool_start(Pool *pool);
void pool_stop(Pool *pool); /* not from within a callback of a job */
void pool_wake(Pool *pool);
RemoteState pool_state(Pool *pool);
/* Takes ownership. NULL as the answer to `renew`: there is no new token; jobs fail then, and it is
 * asked for again at the next attempt to connect. */
void pool_set_secret(Pool *pool, Secret *secret);
/* A session that is logged in, or NULL: to look at its capabilities. */
ImapSession *pool_any_session(Pool *pool);
guint pool_connections(Pool *pool);

/* Takes ownership of the job, whose klass, mailbox (g_strdup) and uidvalidity are filled in. */
void pool_submit(Pool *pool, RemoteJob *job);
void pool_cancel(Pool *pool, RemoteJob *job);

/* For jobs. Sends a command of the job: funcs->done must call pool_job_answered(). */
void pool_job_send(RemoteJob *job, ImapSession *session, ImapCommand *command,
                   const ImapCommandFuncs *funcs);
/* Counts the answer to a command; a NO or BAD becomes the job's error, unless it has one. When it
 * was the last one, the job is finished: it must not be touched after that. */
void pool_job_answered(RemoteJob *job, const ImapReply *reply, const char *what);
/* Has every connection that nobody uses leave job->leaves, and the one that runs the job: what the
 * job sends from now on finds it so. On others, what they have open is not what has that name any
 * more. To be called again when that is so. */
void pool_job_leave(RemoteJob *job);
/* Notes an error of the job's own (takes ownership); it ends with its last answer. */
void pool_job_fail(RemoteJob *job, GError *error);
