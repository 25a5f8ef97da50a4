/* pool-private.h: what pool.c and pool-dispatch.c share. */
#pragma once

#include "pool.h"
#include "wakeup.h"

typedef struct {
    Pool *pool;
    ImapSession *session;
    GQueue jobs; /* of RemoteJob: running here */
    gboolean ready;
    gint64 since; /* when it became ready */
    gboolean noop;
    RemoteJob *reserved; /* gets no other job until it is idle: this one waits for that */
    /* imap-watch.c: */
    char *watch;           /* what it watches while it has no job; NULL: nothing */
    gboolean watch_told;   /* since it began with that, news are told as they come */
    gboolean watch_ending; /* the IDLE ends because it is to */
    gint64 watch_since;    /* when the IDLE began; 0: it has not */
    gint64 watch_left;     /* when the last one for this mailbox ended; 0: there was none */
} Connection;

struct Pool {
    RemoteConfig config;
    const PoolFuncs *funcs;
    gpointer data;
    Secret *secret;
    GPtrArray *retired;     /* of Secret: older ones that a session may still hold */
    GPtrArray *connections; /* of Connection */
    GQueue queue;           /* of RemoteJob: waiting */
    GList *cursor;          /* where dispatch() is in the queue, while jobs may leave it */
    RemoteState state;
    GError *error; /* why it is offline */
    gboolean started;
    gboolean renewing; /* another token was asked for, and has not come */
    gboolean renewed;  /* one came since the last login that worked */
    gboolean refused;  /* the token that we have was */
    gboolean slow;     /* the line: connections compress */
    guint failures;    /* to connect, in a row */
    guint losses;      /* of connections that had not done anything yet, in a row */
    guint limit;       /* the server would not have more connections than this, for now */
    gint64 limit_until, last_use, last_failure;
    guint retry_timer, dispatch_source, housekeeping;
    Wakeup *wakeup;  /* while it is started */
    GQueue finished; /* of RemoteJob: to be told from the main loop */
    /* imap-watch.c: */
    char **wanted; /* what to watch, the most wanted first; or NULL */
    guint watch_timer;
    gint64 watch_turn;  /* when that is due */
    guint watch_losses; /* of connections that had hardly begun to watch, in a row */
    gint64 watch_reopen, watch_refused_until;
};

/* In pool-dispatch.c. */
/* The answer to a SELECT: goes on with the jobs that wait for it. */
void pool_select_done(ImapSession *session, const ImapReply *reply, gpointer data);
void pool_schedule_dispatch(Pool *pool);
/* Ends a job from the main loop, never from within the call that found its end. */
void pool_end_later(RemoteJob *job, const GError *error);
void pool_fail_queue(Pool *pool, const GError *error);
void pool_job_free(RemoteJob *job);
/* How many connections there may be now. */
guint pool_connection_limit(Pool *pool);
/* In pool.c: one connection more. */
void pool_connect_one(Pool *pool);
