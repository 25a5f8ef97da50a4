/* pop3-session-private.h: what pop3-session.c and pop3-login.c share. */
#pragma once

#include "pop3-session.h"
#include "sasl.h"
#include "session-core.h"

typedef enum {
    POP3_LOGIN_GREETING,
    POP3_LOGIN_CAPA_PLAIN, /* what is said before TLS is not believed after it */
    POP3_LOGIN_STLS,
    POP3_LOGIN_HANDSHAKE,
    POP3_LOGIN_CAPA,
    POP3_LOGIN_AUTHENTICATE,
    POP3_LOGIN_CAPA_AGAIN, /* servers may offer other things after it, RFC 2449 section 5 */
    POP3_LOGIN_DONE,
} Pop3LoginState;

typedef struct {
    char *command; /* wiped once sent */
    char word[8];  /* its first word */
    Pop3Shape shape;
    const Pop3CommandFuncs *funcs;
    gpointer data;
    gint64 sent;
} Pop3Pending;

struct Pop3Session {
    SessionCore core;
    const RemoteConfig *config;
    const Secret *secret;
    const Pop3SessionFuncs *funcs;
    gpointer data;

    Pop3Scan *scan;
    GQueue unsent, waiting; /* of Pop3Pending; the head of `waiting` is being answered */
    gboolean wanted;        /* the bytes of the message that is being received */
    gint64 opened;

    Pop3LoginState login;
    gboolean layer_changed; /* TLS begins with the next byte */
    gboolean has_capa;
    char *timestamp; /* of the greeting, for APOP; or NULL */
    Pop3Capabilities *capabilities;
    Sasl *sasl;
    char *mechanism;
};

/* In pop3-session.c. */
void pop3_session_fail_protocol(Pop3Session *session, const char *what);

/* In pop3-login.c. */
void pop3_login_ready(Pop3Session *session); /* the stream is up */
void pop3_login_greeting(Pop3Session *session, const Pop3Reply *reply);
