/* imap-session-private.h: what imap-session.c and imap-login.c share. */
#pragma once

#include "imap-session.h"
#include "sasl.h"

/* How far the login has come. */
typedef enum {
    IMAP_LOGIN_GREETING,
    IMAP_LOGIN_STARTTLS,
    IMAP_LOGIN_HANDSHAKE,
    IMAP_LOGIN_CAPABILITY, /* before authentication */
    IMAP_LOGIN_AUTHENTICATE,
    IMAP_LOGIN_CAPABILITY_AGAIN, /* servers offer other things after it */
    IMAP_LOGIN_DONE,
} ImapLoginState;

struct ImapSession {
    const RemoteConfig *config;
    const Secret *secret;
    const ImapSessionFuncs *funcs;
    gpointer data;

    Stream *stream;
    Scan *scan;
    ImapReplyParser *parser;
    GQueue unsent;  /* of ImapPending: not yet written, since one before them holds the line */
    GQueue waiting; /* of ImapPending: written, in order; the head is being answered */
    struct ImapPending *sink; /* who gets the literal that is being received; NULL: nobody */
    guint next_tag;
    guint timer;
    guint fail_source;
    GError *error;
    gint64 idle_since;
    guint nesting; /* > 0 while one of our callbacks runs: free waits for it */
    gboolean freed;

    ImapLoginState login;
    Sasl *sasl;
    gboolean sasl_started;
    char *mechanism;
    guint32 caps;
    gboolean caps_known;
    GString *capabilities;
    GPtrArray *mechanisms; /* of char*, the AUTH= names, NULL-terminated */
    gboolean qresync, condstore;
    ImapSelected selected;
};

/* Called by imap-session.c. */
void imap_login_ready(ImapSession *session); /* the stream is up */
void imap_login_greeting(ImapSession *session, const ImapReply *reply);
void imap_login_capabilities(ImapSession *session, const ImapValue *values);
void imap_login_clear(ImapSession *session);
/* Called by imap-login.c. */
void imap_session_logged_in(ImapSession *session);
