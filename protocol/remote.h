/* remote.h: a server that keeps mail, whatever protocol it speaks: what the cache layer sees.
 *
 * Every operation is asynchronous. Its `done` is called exactly once, from the main loop and never
 * from within the call that started it, unless the job was cancelled: then nothing more of it is
 * called. `error` is NULL on success and belongs to the callee. Operations may be run again after a
 * lost connection, so the callbacks before `done` can repeat themselves: they must be idempotent.
 *
 * Mailboxes are named as on the wire. An operation that names a UIDVALIDITY (non-zero) fails with
 * MAIL_ERROR_STALE, having changed nothing, when the mailbox has another one. */
#pragma once

#include "mail.h"
#include "secret.h"
#include "stream.h"

typedef struct Remote Remote;
typedef struct RemoteJob RemoteJob;

typedef enum {
    REMOTE_IDLE,       /* not started, or stopped */
    REMOTE_CONNECTING, /* no connection yet, one is being made: jobs wait for it */
    REMOTE_ONLINE,     /* at least one connection works */
    REMOTE_OFFLINE,    /* the last attempt failed: jobs fail at once, and wake the next attempt */
} RemoteState;

/* What the server is able to do; known once online. */
typedef struct {
    gboolean uidplus, move, condstore, qresync, special_use, list_status, esearch, compress;
    gboolean multiappend, literal_plus, quota, acl, idle, notify;
    gboolean whole_bodies; /* bodies come only whole: RemoteFetch.window is refused */
    gboolean local_flags;  /* the server keeps no flags, and needs none to remove a message */
} RemoteFeatures;

typedef enum {
    REMOTE_COMPRESS_AUTO, /* DEFLATE, where the server offers it and the line is slow */
    REMOTE_COMPRESS_NO,
    REMOTE_COMPRESS_YES, /* where the server offers it */
} RemoteCompress;

typedef struct {
    const char *service; /* "imap" or "pop" */
    const char *host;
    guint16 port;
    StreamTls tls;
    const char *const *tunnel; /* argv, or NULL */
    const char *ca_file;
    const char *user;
    const char *auth;   /* the mechanism to use, or NULL */
    gboolean is_token;  /* the secret is an OAuth2 token */
    guint connections;  /* at most this many at a time */
    gboolean read_only; /* EXAMINE rather than SELECT */
    RemoteCompress compress;
    guint idle; /* POP3: seconds after which a session that does nothing ends */
} RemoteConfig;

typedef struct {
    /* The state changed. error: why it went offline, else NULL. */
    void (*state)(RemoteState state, const GError *error, gpointer data);
    /* The server said unasked that something happened in this mailbox: worth a sync. */
    void (*changed)(const char *mailbox, gpointer data);
    /* A token was refused: get another and hand it to remote_set_secret(), or NULL if there is
     * none; jobs wait for that call. May be NULL. */
    void (*renew)(gpointer data);
    /* For servers that have no uids but names of their own for messages: gives each of the `count`
     * names (any text, no two alike) the uid that it had before, or one that no name ever had, and
     * keeps that durably. FALSE, with an error, when it cannot be kept. */
    gboolean (*identify)(const char *const *names, guint count, MailUid *uids, gpointer data,
                         GError **error);
} RemoteFuncs;

typedef void (*RemoteDone)(const GError *error, gpointer data);

/* ---- list ---- */

typedef struct {
    const char *name; /* on the wire */
    char delimiter;   /* 0: none */
    guint32 flags;    /* MailFolderFlags */
} RemoteFolder;

typedef struct {
    void (*folder)(const RemoteFolder *folder, gpointer data);
    /* How many messages a folder has; asked for only when it is not NULL. */
    void (*count)(const char *mailbox, guint64 messages, gpointer data);
    RemoteDone done;
} RemoteListFuncs;

/* ---- sync ---- */

#define REMOTE_DATE_UNKNOWN G_MININT64

typedef struct {
    const char *mailbox;
    MailUidValidity uidvalidity; /* 0: nothing is known */
    MailUid uidnext;             /* all below have been looked at; 0: unknown */
    MailModSeq modseq;           /* all changes up to here are known; 0: unknown */
    guint64 count;               /* messages known */
    gboolean complete;           /* what is known was complete once */
    gboolean headers;            /* wants From, Subject and Message-ID of new messages */
} RemoteSync;

typedef struct {
    MailUidValidity uidvalidity;
    MailUid uidnext; /* 0 when the server did not say */
    guint64 exists;
    MailModSeq modseq; /* 0: the mailbox keeps none */
    gboolean read_only;
    guint32 permanent_flags; /* that can be changed for good; all, where the server says nothing */
    const char *const *permanent_keywords; /* likewise; NULL-terminated, or NULL */
    const char *rights;                    /* of this user, RFC 4314, as letters; NULL unknown */
} RemoteMailbox;

typedef struct {
    MailUid uid;
    guint32 flags;
    const char *const *keywords; /* NULL-terminated */
    guint64 size;
    gint64 date;        /* INTERNALDATE, seconds UTC; REMOTE_DATE_UNKNOWN: the header tells */
    const char *header; /* the raw fields, or NULL */
    gsize header_size;
} RemoteMessage;

typedef struct {
    /* The mailbox is open. When info->uidvalidity differs from RemoteSync's, all that was known is
     * void, has() must answer FALSE from here on, and everything is listed anew. */
    void (*opened)(const RemoteMailbox *info, gpointer data);
    gboolean (*has)(MailUid uid, gpointer data); /* is this message known? */
    void (*message)(const RemoteMessage *message, gpointer data);
    void (*flags)(MailUid uid, guint32 flags, const char *const *keywords, gpointer data);
    /* These are gone (may name some that were never known). */
    void (*vanished)(const GArray *uids, gpointer data);
    /* These, and no others, exist. Comes at most once, before done. */
    void (*present)(const GArray *uids, gpointer data);
    /* How many messages are known now: for a check against EXISTS. */
    guint64 (*count)(gpointer data);
    /* modseq: all changes up to here have been reported (0: unknown). Only now are removals and
     * the whole listing to be believed. */
    void (*done)(const GError *error, MailModSeq modseq, gpointer data);
} RemoteSyncFuncs;

/* ---- fetch ---- */

#define REMOTE_SIZE_UNKNOWN G_MAXUINT64

typedef struct {
    const char *mailbox;
    MailUidValidity uidvalidity;
    const GArray *uids; /* of MailUidRange */
    gboolean window;    /* only bytes offset .. offset+length-1; exactly one uid then */
    guint64 offset, length;
    gboolean fresh; /* a session first learns what is there now: it may be behind the others */
} RemoteFetch;

typedef struct {
    /* A body (or the window of one) of `size` bytes comes (REMOTE_SIZE_UNKNOWN: as many as come
     * before its end); uid is 0 if the server names it only afterwards. A second begin for the same
     * uid starts it over. FALSE: not wanted. */
    gboolean (*begin)(MailUid uid, guint64 size, gpointer data);
    void (*bytes)(const guint8 *bytes, gsize size, gpointer data);
    /* The body begun last is complete, and belongs to uid. */
    void (*end)(MailUid uid, gpointer data);
    /* Those asked for and not delivered on success do not exist any more. */
    RemoteDone done;
} RemoteFetchFuncs;

/* ---- changes ---- */

typedef struct {
    const char *mailbox;
    MailUidValidity uidvalidity;
    const GArray *uids;
    guint32 add, remove;                                      /* MailFlags */
    const char *const *add_keywords, *const *remove_keywords; /* or NULL */
} RemoteStore;

/* Where messages went, RFC 4315 (COPYUID). Valid during the callback. What the server said is here
 * only if it is about messages that were named, and pairs them one to one. */
typedef struct {
    MailUidValidity uidvalidity; /* of the target; 0: the server did not say, both are empty */
    const GArray *from, *to;     /* of MailUid, same length: from[i] is to[i] there */
} RemoteMoved;
/* moved is never NULL: on an error it tells what was moved before it, as far as that is known. */
typedef void (*RemoteMovedDone)(const RemoteMoved *moved, const GError *error, gpointer data);

/* A message to be added to a mailbox. */
typedef struct {
    int fd;        /* its bytes, read with pread from 0 on; dup()ed, and must not change any more */
    guint64 size;  /* all of them; lines end in CRLF */
    gint64 date;   /* INTERNALDATE, seconds UTC */
    guint32 flags; /* MailFlags */
    const char *const *keywords; /* NULL-terminated, or NULL */
} RemoteNew;
/* uids: one for each message, in their order; NULL (and uidvalidity 0) when the server did not say
 * (no UIDPLUS). */
typedef void (*RemoteAppended)(MailUidValidity uidvalidity, const MailUid *uids,
                               const GError *error, gpointer data);

/* Bytes; limit 0: there is none, or the server does not tell. */
typedef void (*RemoteQuotaDone)(guint64 used, guint64 limit, const GError *error, gpointer data);

typedef struct RemoteClass {
    void (*free)(Remote *remote);
    void (*start)(Remote *remote);
    void (*stop)(Remote *remote);
    void (*wake)(Remote *remote);
    RemoteState (*state)(Remote *remote);
    const RemoteFeatures *(*features)(Remote *remote);
    void (*set_secret)(Remote *remote, Secret *secret);
    void (*describe)(Remote *remote, GString *out);
    void (*cancel)(Remote *remote, RemoteJob *job);
    RemoteJob *(*list)(Remote *, const RemoteListFuncs *, gpointer);
    RemoteJob *(*sync)(Remote *, const RemoteSync *, const RemoteSyncFuncs *, gpointer);
    RemoteJob *(*fetch)(Remote *, const RemoteFetch *, const RemoteFetchFuncs *, gpointer);
    RemoteJob *(*store)(Remote *, const RemoteStore *, RemoteDone, gpointer);
    RemoteJob *(*copy)(Remote *, const RemoteStore *, const char *target, RemoteMovedDone,
                       gpointer);
    RemoteJob *(*move)(Remote *, const RemoteStore *, const char *target, RemoteMovedDone,
                       gpointer);
    RemoteJob *(*expunge)(Remote *, const RemoteStore *, RemoteDone, gpointer);
    RemoteJob *(*append)(Remote *, const char *mailbox, const RemoteNew *, guint count,
                         RemoteAppended, gpointer);
    RemoteJob *(*create)(Remote *, const char *mailbox, RemoteDone, gpointer);
    RemoteJob *(*remove)(Remote *, const char *mailbox, gboolean selectable, RemoteDone, gpointer);
    RemoteJob *(*rename)(Remote *, const char *mailbox, const char *new_name, RemoteDone, gpointer);
    RemoteJob *(*quota)(Remote *, const char *mailbox, RemoteQuotaDone, gpointer);
    /* These two may be NULL: nothing is told. */
    void (*watch)(Remote *, const char *const *mailboxes);
    gboolean (*watched)(Remote *, const char *mailbox);
} RemoteClass;

struct Remote {
    const RemoteClass *klass;
};

/* Cancels what runs without calling it back, closes every connection. Neither this nor
 * remote_stop() may be called from within a callback. */
static inline void remote_free(Remote *remote)
{
    remote->klass->free(remote);
}
/* Connects, and keeps a connection from now on: reconnects with exponential back-off and jitter. */
static inline void remote_start(Remote *remote)
{
    remote->klass->start(remote);
}
/* Says LOGOUT and lets go of the server; a job that still runs is called back as offline. */
static inline void remote_stop(Remote *remote)
{
    remote->klass->stop(remote);
}
/* When offline: tries to connect now, rather than when the back-off would. */
static inline void remote_wake(Remote *remote)
{
    remote->klass->wake(remote);
}
static inline RemoteState remote_state(Remote *remote)
{
    return remote->klass->state(remote);
}
static inline const RemoteFeatures *remote_features(Remote *remote)
{
    return remote->klass->features(remote);
}
/* Takes ownership. */
static inline void remote_set_secret(Remote *remote, Secret *secret)
{
    remote->klass->set_secret(remote, secret);
}
/* Appends `key: value` lines: TLS, mechanism, capabilities, connections. */
static inline void remote_describe(Remote *remote, GString *out)
{
    remote->klass->describe(remote, out);
}
static inline void remote_cancel(Remote *remote, RemoteJob *job)
{
    remote->klass->cancel(remote, job);
}
static inline RemoteJob *remote_list(Remote *remote, const RemoteListFuncs *funcs, gpointer data)
{
    return remote->klass->list(remote, funcs, data);
}
/* Brings what is known of a mailbox up to date, by the cheapest means the server offers: QRESYNC,
 * else CONDSTORE, else all UIDs and flags. */
static inline RemoteJob *remote_sync(Remote *remote, const RemoteSync *known,
                                     const RemoteSyncFuncs *funcs, gpointer data)
{
    return remote->klass->sync(remote, known, funcs, data);
}
/* Bodies, by BODY.PEEK: marks nothing as read. */
static inline RemoteJob *remote_fetch(Remote *remote, const RemoteFetch *what,
                                      const RemoteFetchFuncs *funcs, gpointer data)
{
    return remote->klass->fetch(remote, what, funcs, data);
}
static inline RemoteJob *remote_store(Remote *remote, const RemoteStore *what, RemoteDone done,
                                      gpointer data)
{
    return remote->klass->store(remote, what, done, data);
}
/* Not idempotent: after a lost connection it fails with MAIL_ERROR_OFFLINE, and may have been
 * carried out. */
static inline RemoteJob *remote_copy(Remote *remote, const RemoteStore *what, const char *target,
                                     RemoteMovedDone done, gpointer data)
{
    return remote->klass->copy(remote, what, target, done, data);
}
/* MAIL_ERROR_UNSUPPORTED without features->move. */
static inline RemoteJob *remote_move(Remote *remote, const RemoteStore *what, const char *target,
                                     RemoteMovedDone done, gpointer data)
{
    return remote->klass->move(remote, what, target, done, data);
}
/* Removes for good the messages what->uids, which carry \Deleted already. Without UIDPLUS only if
 * no other message carries it: else MAIL_ERROR_UNSUPPORTED and nothing is removed. */
static inline RemoteJob *remote_expunge(Remote *remote, const RemoteStore *what, RemoteDone done,
                                        gpointer data)
{
    return remote->klass->expunge(remote, what, done, data);
}
/* Adds messages to a mailbox, in one command and so all or none of them (RFC 3502); more than one
 * only with features->multiappend, else MAIL_ERROR_UNSUPPORTED. They are sent from their files as
 * fast as the connection takes them. Not idempotent: after a lost connection it fails with
 * MAIL_ERROR_OFFLINE or MAIL_ERROR_TIMEOUT, and may have been carried out. MAIL_ERROR_DISK: a file
 * could not be read to its end; nothing was added. MAIL_ERROR_GONE: no such mailbox. */
static inline RemoteJob *remote_append(Remote *remote, const char *mailbox,
                                       const RemoteNew *messages, guint count, RemoteAppended done,
                                       gpointer data)
{
    return remote->klass->append(remote, mailbox, messages, count, done, data);
}
/* ---- mailboxes ---- */

/* Makes it, and subscribes to it. MAIL_ERROR_EXISTS when there is one. */
static inline RemoteJob *remote_create(Remote *remote, const char *mailbox, RemoteDone done,
                                       gpointer data)
{
    return remote->klass->create(remote, mailbox, done, data);
}
/* Removes an EMPTY mailbox, and unsubscribes: MAIL_ERROR_NOT_EMPTY when the server, asked right
 * before, counts messages in it. selectable: it can hold messages at all. */
static inline RemoteJob *remote_delete(Remote *remote, const char *mailbox, gboolean selectable,
                                       RemoteDone done, gpointer data)
{
    return remote->klass->remove(remote, mailbox, selectable, done, data);
}
/* Renames it with all below it; subscriptions follow. Not idempotent: after a lost connection it
 * fails with MAIL_ERROR_OFFLINE or MAIL_ERROR_TIMEOUT, and may have been carried out. */
static inline RemoteJob *remote_rename(Remote *remote, const char *mailbox, const char *new_name,
                                       RemoteDone done, gpointer data)
{
    return remote->klass->rename(remote, mailbox, new_name, done, data);
}
/* How much of its quota the account uses that the mailbox belongs to. */
static inline RemoteJob *remote_quota(Remote *remote, const char *mailbox, RemoteQuotaDone done,
                                      gpointer data)
{
    return remote->klass->quota(remote, mailbox, done, data);
}
/* What the caller wants to hear of: mailboxes, the most wanted first, NULL-terminated, copied. As
 * far as the server and the number of connections allow, RemoteFuncs.changed tells of each change
 * there from now on; and once more whenever the watch begins, since something may have been missed.
 */
static inline void remote_watch(Remote *remote, const char *const *mailboxes)
{
    if (remote->klass->watch)
        remote->klass->watch(remote, mailboxes);
}
/* Whether what happens there is told now, so that nobody need ask. */
static inline gboolean remote_watched(Remote *remote, const char *mailbox)
{
    return remote->klass->watched && remote->klass->watched(remote, mailbox);
}
