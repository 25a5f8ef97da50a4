/* pop3-session.h: one POP3 connection: greeting, TLS, login, commands and their replies.
 *
 * Commands are pipelined where the server offers PIPELINING (RFC 2449 section 6.6), else sent one
 * by one. Replies come in the order of the commands.
 *
 * A session that failed calls `failed` once, from the main loop, and drops its commands without
 * calling them: their data belongs to the owner, who decides what becomes of them. */
#pragma once

#include "pop3-reply.h"
#include "remote.h"

typedef struct Pop3Session Pop3Session;

typedef struct {
    void (*ready)(Pop3Session *session, gpointer data); /* logged in */
    void (*failed)(Pop3Session *session, const GError *error, gpointer data);
} Pop3SessionFuncs;

/* What follows a command's +OK. */
typedef enum { POP3_NOTHING, POP3_LIST, POP3_MESSAGE } Pop3Shape;

typedef struct {
    /* The status line of a message: FALSE when its bytes are not wanted. May be NULL, as the next.
     */
    gboolean (*begin)(Pop3Session *session, gpointer data);
    void (*item)(Pop3Session *session, const char *line, gpointer data);
    void (*bytes)(Pop3Session *session, const guint8 *bytes, gsize size, gpointer data);
    /* "+ text"; answered by pop3_session_answer(). */
    void (*challenge)(Pop3Session *session, const char *text, gpointer data);
    /* The reply is complete; reply->text is "" when a list or a message came. */
    void (*done)(Pop3Session *session, const Pop3Reply *reply, gpointer data);
} Pop3CommandFuncs;

/* Whether commands and replies are written to the log (g_debug). */
extern gboolean pop3_session_debug;

/* config and secret must outlive the session. Connects at once. */
Pop3Session *pop3_session_new(const RemoteConfig *config, const Secret *secret,
                              const Pop3SessionFuncs *funcs, gpointer data);
void pop3_session_free(Pop3Session *session); /* safe from within a callback */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3Session, pop3_session_free)

/* `command` without its CRLF. funcs must be static. Ignored after the session failed. */
void pop3_session_send(Pop3Session *session, const char *command, Pop3Shape shape,
                       const Pop3CommandFuncs *funcs, gpointer data);
void pop3_session_answer(Pop3Session *session, const char *line);
/* Ends the session: `failed` follows from the main loop. Takes ownership of error. */
void pop3_session_fail(Pop3Session *session, GError *error);

gboolean pop3_session_is_ready(Pop3Session *session);
const Pop3Capabilities *pop3_session_capabilities(Pop3Session *session);
/* Whether the server knows CAPA: one that does not may still know what CAPA would tell. */
gboolean pop3_session_has_capa(Pop3Session *session);
const char *pop3_session_mechanism(Pop3Session *session); /* how it logged in */
Stream *pop3_session_stream(Pop3Session *session);
/* Commands sent or queued and not answered. */
guint pop3_session_pending(Pop3Session *session);
/* When the login was sent (monotonic microseconds): the maildrop is as it was then. 0: not yet. */
gint64 pop3_session_opened(Pop3Session *session);

/* The error of an -ERR, with the server's words escaped: "what: the server says: ...". */
GError *pop3_session_error(const Pop3Reply *reply, const char *what);
