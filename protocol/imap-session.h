/* imap-session.h: one IMAP connection: greeting, TLS, login, commands and their replies.
 *
 * Commands are pipelined: each is sent at once unless one before it holds the line (a
 * synchronizing literal, AUTHENTICATE, STARTTLS). Replies find their command by tag; untagged data
 * is offered to the waiting commands in order, then to the session's owner as a hint.
 *
 * A session that failed calls `failed` once, from the main loop, and drops its commands without
 * calling them: their data belongs to the owner, who decides what becomes of them. */
#pragma once

#include "imap-command.h"
#include "imap-reply.h"
#include "remote.h"

typedef struct ImapSession ImapSession;

typedef enum {
    IMAP_CAP_IMAP4REV1 = 1 << 0,
    IMAP_CAP_IMAP4REV2 = 1 << 1,
    IMAP_CAP_STARTTLS = 1 << 2,
    IMAP_CAP_LOGINDISABLED = 1 << 3,
    IMAP_CAP_SASL_IR = 1 << 4,
    IMAP_CAP_ID = 1 << 5,
    IMAP_CAP_ENABLE = 1 << 6,
    IMAP_CAP_NAMESPACE = 1 << 7,
    IMAP_CAP_SPECIAL_USE = 1 << 8,
    IMAP_CAP_LIST_EXTENDED = 1 << 9,
    IMAP_CAP_LIST_STATUS = 1 << 10,
    IMAP_CAP_CONDSTORE = 1 << 11,
    IMAP_CAP_QRESYNC = 1 << 12,
    IMAP_CAP_UIDPLUS = 1 << 13,
    IMAP_CAP_MOVE = 1 << 14,
    IMAP_CAP_LITERAL_PLUS = 1 << 15,
    IMAP_CAP_LITERAL_MINUS = 1 << 16,
    IMAP_CAP_ESEARCH = 1 << 17,
    IMAP_CAP_IDLE = 1 << 18,
    IMAP_CAP_NOTIFY = 1 << 19,
    IMAP_CAP_COMPRESS = 1 << 20,
    IMAP_CAP_QUOTA = 1 << 21,
    IMAP_CAP_UNSELECT = 1 << 22,
    IMAP_CAP_MULTIAPPEND = 1 << 23,
    IMAP_CAP_ACL = 1 << 24,
} ImapCap;

typedef struct {
    void (*ready)(ImapSession *session, gpointer data); /* logged in */
    void (*failed)(ImapSession *session, const GError *error, gpointer data);
    /* The selected mailbox changed without being asked about. */
    void (*changed)(ImapSession *session, gpointer data);
    /* imap_session_is_uploading() is not so any more. May be NULL, as the next. */
    void (*uploaded)(ImapSession *session, gpointer data);
    /* Messages come slowly, and are not compressed (see rate.h). */
    void (*slow)(ImapSession *session, gpointer data);
} ImapSessionFuncs;

typedef struct {
    /* Untagged data: TRUE when it was for this command. May be NULL. */
    gboolean (*untagged)(ImapSession *session, const ImapReply *reply, gpointer data);
    /* A body's literal: TRUE to have its bytes. May be NULL, as the next. */
    gboolean (*body_begin)(ImapSession *session, const ImapLiteralContext *context, guint64 size,
                           gpointer data);
    void (*body_bytes)(ImapSession *session, const guint8 *bytes, gsize size, gpointer data);
    /* "+ text" that no literal of ours waits for; what it answers goes by imap_session_answer().
     * A command that has it holds the line until its tagged reply. */
    void (*challenge)(ImapSession *session, const char *text, gpointer data);
    /* A file of the command cannot be read, or is shorter than announced: the session fails, since
     * the server waits for the rest. May be NULL. */
    void (*unreadable)(ImapSession *session, const GError *error, gpointer data);
    void (*done)(ImapSession *session, const ImapReply *reply, gpointer data);
} ImapCommandFuncs;

typedef enum { IMAP_SELECT_NONE, IMAP_SELECT_PENDING, IMAP_SELECT_OK } ImapSelectState;

/* The mailbox that is selected, as far as the server has told. */
typedef struct {
    ImapSelectState state;
    char *name;
    RemoteMailbox info; /* what it points to is the next two */
    char *rights;
    char **permanent_keywords;
    guint hints;        /* untagged data that told of changes nobody asked about */
    gboolean synced;    /* a sync was made here, and it knew of all hints up to ... */
    guint synced_hints; /* ... this one: no more hints, no more changes (RFC 9051 section 5.2) */
    MailUid seen;       /* the session knows of all messages up to here */
} ImapSelected;

/* Whether commands and replies are written to the log (g_debug), cut, and without what is sent
 * before the login is done. Off unless somebody wants to see it: making the text costs time. */
extern gboolean imap_session_debug;

/* config and secret must outlive the session. Connects at once. */
ImapSession *imap_session_new(const RemoteConfig *config, const Secret *secret,
                              const ImapSessionFuncs *funcs, gpointer data);
void imap_session_free(ImapSession *session); /* safe from within a callback */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapSession, imap_session_free)

/* Takes ownership of the command; funcs must be static. Ignored after the session failed. */
void imap_session_send(ImapSession *session, ImapCommand *command, const ImapCommandFuncs *funcs,
                       gpointer data);
/* A line for the command that is being challenged; CRLF is added, the copy wiped once sent. */
void imap_session_answer(ImapSession *session, const char *line);
/* A command by its name, with the literal mode that the server offers. */
ImapCommand *imap_session_command(ImapSession *session, const char *name);

/* SELECT (or EXAMINE, by config); pipelined. What the server tells goes into the `selected` state;
 * done may be NULL data. */
void imap_session_select(ImapSession *session, const char *mailbox, const ImapCommandFuncs *funcs,
                         gpointer data);
const ImapSelected *imap_session_selected(ImapSession *session);
/* What is selected has another name by now, or none: it is not taken for the mailbox of that name.
 */
void imap_session_disown(ImapSession *session);
/* A sync that began when `hints` were known is complete. */
void imap_session_synced(ImapSession *session, guint hints);

gboolean imap_session_is_ready(ImapSession *session);
gboolean imap_session_has_qresync(ImapSession *session);   /* enabled */
gboolean imap_session_has_condstore(ImapSession *session); /* enabled or implied */
gboolean imap_session_is_compressed(ImapSession *session);
/* COMPRESS, RFC 4978, where it is offered and not done yet: what is sent from now on follows it. */
void imap_session_compress(ImapSession *session);
guint32 imap_session_caps(ImapSession *session);             /* ImapCap */
const char *imap_session_capabilities(ImapSession *session); /* as the server spelt them */
const char *imap_session_mechanism(ImapSession *session);    /* how it logged in */
Stream *imap_session_stream(ImapSession *session);
/* A command that is being sent holds the line: another would wait behind it. */
gboolean imap_session_is_uploading(ImapSession *session);
/* All messages up to this one are known to the server's session: it has told news since they were
 * there. */
void imap_session_has_seen(ImapSession *session, MailUid uid);
/* Commands sent or queued and not answered. */
guint imap_session_pending(ImapSession *session);
/* IDLE, RFC 2177. funcs->challenge is called when the server has begun; what it tells from then on
 * comes as untagged data always does. It lasts until imap_session_idle_end(), or until another
 * command is sent, which waits for its end; or the server ends it. A server that lasts longer than
 * some seconds before it begins, or after DONE, is taken for gone. */
void imap_session_idle(ImapSession *session, const ImapCommandFuncs *funcs, gpointer data);
void imap_session_idle_end(ImapSession *session);       /* harmless when there is none */
gboolean imap_session_in_idle(ImapSession *session);    /* asked for, and not answered yet */
gboolean imap_session_idle_lasts(ImapSession *session); /* begun, and not being ended */
/* The line may be dead (the machine slept, its addresses changed): asks for a sign of life, which
 * has to come within some seconds. */
void imap_session_probe(ImapSession *session);
/* Since when it has had nothing to do (monotonic microseconds). */
gint64 imap_session_idle_since(ImapSession *session);
/* Says LOGOUT, and expects nothing more. */
void imap_session_logout(ImapSession *session);
/* Ends the session: `failed` follows from the main loop. Takes ownership of error. */
void imap_session_fail(ImapSession *session, GError *error);

/* The error of a tagged NO or BAD, with the server's words escaped: "what: server says ...". */
GError *imap_session_error(const ImapReply *reply, const char *what);
