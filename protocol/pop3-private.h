/* pop3-private.h: what pop3-remote.c, pop3-dispatch.c, pop3-maildrop.c and pop3-jobs.c share. */
#pragma once

#include "pop3-remote.h"
#include "pop3-session.h"

typedef struct Pop3Remote Pop3Remote;
typedef struct Pop3Job Pop3Job;

/* A message, as the session at hand numbers it. */
typedef struct {
    guint32 number;
    guint64 size;
    char *name; /* what tells it from all others, whatever the session */
    MailUid uid;
    gboolean alike;   /* nothing but the order tells it from another */
    gboolean deleted; /* DELE was said in this session */
} Pop3Message;

/* What is in the maildrop, for one session. */
typedef struct {
    GArray *messages;   /* of Pop3Message, ascending by number */
    GHashTable *by_uid; /* uid -> position + 1 */
    guint commands;     /* that it waits for */
    GByteArray *header; /* of the message that is being looked at */
    guint looked_at;    /* position of that message */
    gboolean complete;
    gboolean has_uidl;  /* the server answered UIDL */
    gboolean lacks_top; /* the server answered TOP with -ERR */
    GError *error;
} Pop3Maildrop;

typedef struct {
    void (*run)(Pop3Job *job, Pop3Session *session); /* may be called again in another session */
    void (*finish)(Pop3Job *job, const GError *error);
    void (*free)(Pop3Job *job);
    gboolean fresh;   /* needs a maildrop as it is now, not as it was some time ago */
    gboolean commits; /* is done only when QUIT was answered */
} Pop3JobClass;

struct Pop3Job {
    const Pop3JobClass *klass;
    Pop3Remote *remote;
    guint commands; /* sent and not yet answered */
    guint attempts;
    gint64 submitted;
    gboolean cancelled;
    GError *error; /* the first that one of its commands met */
};

struct Pop3Remote {
    Remote base;
    RemoteConfig config;
    const RemoteFuncs *funcs;
    gpointer data;
    Secret *secret;
    GPtrArray *retired; /* of Secret: older ones that the session may still hold */
    RemoteState state;
    RemoteFeatures features;
    GError *error;           /* why it is offline */
    GString *described;      /* of the last session */
    gsize described_session; /* bytes of that, before what is said of the maildrop */
    gboolean started;
    gboolean renewing, renewed, refused; /* tokens, as in pool-private.h */

    Pop3Session *session;
    Pop3Maildrop *maildrop;           /* NULL until a job needs it */
    gboolean ready;                   /* the session is logged in */
    gboolean used;                    /* a job ran in this session */
    gboolean quitting;                /* QUIT is on its way */
    gint64 deleted_since;             /* the first DELE of this session; 0: none */
    guint logins;                     /* that worked */
    guint refusals, failures, losses; /* in a row */
    guint login_delay;                /* seconds, as the server says */
    gint64 last_login, last_use, last_failure;
    guint retry_timer, idle_timer, dispatch_source;

    guint64 coming;    /* bytes of the messages whose RETR is not answered yet, as LIST gave them */
    GQueue queue;      /* of Pop3Job: waiting */
    GQueue running;    /* in this session */
    GQueue committing; /* all of it was answered; QUIT makes it true */
    GQueue finished;   /* to be told from the main loop */
};

/* In pop3-remote.c. */
void pop3_remote_connect(Pop3Remote *remote);
/* The session is over in good order. */
void pop3_remote_close(Pop3Remote *remote);

/* In pop3-dispatch.c. */
void pop3_schedule_dispatch(Pop3Remote *remote);
void pop3_submit(Pop3Remote *remote, Pop3Job *job);
void pop3_cancel(Pop3Remote *remote, Pop3Job *job);
/* Ends a job from the main loop, never from within the call that found its end. */
void pop3_end_later(Pop3Job *job, const GError *error);
void pop3_fail_queue(Pop3Remote *remote, const GError *error);
void pop3_job_free(Pop3Job *job);
/* What ran or waited for QUIT runs again in the next session, or learns why it does not. */
void pop3_give_back(Pop3Remote *remote, const GError *error);
/* For jobs, as pool_job_send() and its like. */
void pop3_job_send(Pop3Job *job, Pop3Session *session, const char *command, Pop3Shape shape,
                   const Pop3CommandFuncs *funcs);
void pop3_job_answered(Pop3Job *job);
void pop3_job_fail(Pop3Job *job, GError *error);

/* In pop3-maildrop.c. Asks the server what there is, and goes on with pop3_schedule_dispatch(). */
void pop3_maildrop_open(Pop3Remote *remote);
void pop3_maildrop_free(Pop3Maildrop *maildrop);
Pop3Message *pop3_maildrop_find(Pop3Maildrop *maildrop, MailUid uid);

/* In pop3-jobs.c. */
Pop3Job *pop3_list_new(const RemoteListFuncs *funcs, gpointer data);
Pop3Job *pop3_sync_new(const RemoteSync *known, const RemoteSyncFuncs *funcs, gpointer data);
Pop3Job *pop3_fetch_new(const RemoteFetch *what, const RemoteFetchFuncs *funcs, gpointer data);
Pop3Job *pop3_expunge_new(const RemoteStore *what, RemoteDone done, gpointer data);
/* What POP3 has no command for. */
/* Exactly one of them is to be told. */
typedef struct {
    RemoteDone done;
    RemoteMovedDone moved;
    RemoteAppended appended;
    RemoteQuotaDone quota;
} Pop3Unsupported;
Pop3Job *pop3_unsupported_new(Pop3Unsupported done, gpointer data);
