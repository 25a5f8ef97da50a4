/* imap-session-private.h: what imap-session.c, imap-send.c, imap-receive.c and imap-login.c share.
 */
#pragma once

#include "imap-session.h"
#include "rate.h"
#include "sasl.h"
#include "session-core.h"

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

/* How far an IDLE has come. */
typedef enum {
    IMAP_IDLE_NONE,   /* it is another command */
    IMAP_IDLE_ASKED,  /* "+" has not come */
    IMAP_IDLE_LASTS,  /* the server tells what happens */
    IMAP_IDLE_ENDING, /* DONE was sent */
} ImapIdle;

/* A command that was not answered yet. */
typedef struct ImapPending {
    char tag[16];
    ImapCommand *command;
    const ImapCommandFuncs *funcs;
    gpointer data;
    guint next_chunk;
    guint64 file_at;  /* how much of the next chunk, a file, is written */
    gboolean uploads; /* it has a file, and came to it */
    gboolean granted; /* the next chunk, which waits, may be sent */
    gboolean streams; /* the bodies that it asked for have begun to come */
    gboolean select;  /* the last SELECT: replies go into session->selected */
    ImapIdle idle;
    gboolean end; /* of an IDLE that has not begun: as soon as it has */
    gint64 sent;
} ImapPending;

struct ImapSession {
    SessionCore core;
    const RemoteConfig *config;
    const Secret *secret;
    const ImapSessionFuncs *funcs;
    gpointer data;

    Scan *scan;
    ImapReplyParser *parser;
    GQueue unsent;  /* of ImapPending: not yet written, since one before them holds the line */
    GQueue waiting; /* of ImapPending: written, in order; the head is being answered */
    ImapPending *leftover; /* answered before it was sent whole; the rest must still follow */
    ImapPending *sink;     /* who gets the literal that is being received; NULL: nobody */
    ImapPending *taker;    /* who was the sink within the response that is being received */
    guint next_tag;
    guint pump_source; /* more of a file is to be written at the next turn of the loop */
    gint64 progress;   /* when something large was written last */
    gint64 idle_since;
    gint64 probed; /* since when the line is doubted; 0: it is not */

    ImapLoginState login;
    gboolean layer_changed; /* TLS or DEFLATE begins with the next byte */
    Sasl *sasl;
    char *mechanism;
    guint32 caps;
    gboolean caps_known;
    GString *capabilities;
    GPtrArray *mechanisms; /* of char*, the AUTH= names, NULL-terminated */
    gboolean qresync, condstore;
    gboolean compressing, compressed; /* COMPRESS was sent; was answered by OK */
    RateMeter rate;
    ImapSelected selected;
};

/* In imap-session.c. */
void imap_session_fail_protocol(ImapSession *session, const char *what);
void imap_pending_free(ImapPending *pending);
/* Nothing is selected, or about to be, but the mailbox of this name (NULL: none). */
void imap_session_set_selected(ImapSession *session, const char *name);
/* Queues a command: imap_send_flush() sends it. Takes ownership of it. */
ImapPending *imap_session_enqueue(ImapSession *session, ImapCommand *command,
                                  const ImapCommandFuncs *funcs, gpointer data);
void imap_session_logged_in(ImapSession *session);

/* In imap-send.c. */
void imap_send_flush(ImapSession *session); /* sends what may be sent */
/* The server's "+": FALSE if nothing waits for it. */
gboolean imap_send_grant(ImapSession *session);
/* More of it is under way to the stream, without a "+" in between. */
gboolean imap_send_is_awaited(const ImapPending *pending);
void imap_send_drained(Stream *stream, gpointer data); /* stream_set_drained() */

/* In imap-receive.c: StreamFuncs.received. */
gsize imap_receive(Stream *stream, const guint8 *bytes, gsize size, gpointer data);

/* In imap-idle.c. */
/* "+" came for the command that was sent last, an IDLE. */
void imap_idle_begun(ImapSession *session, ImapPending *pending);
/* Sends DONE when other commands wait for the end of an IDLE that lasts. */
void imap_idle_make_way(ImapSession *session, ImapPending *pending);

/* In imap-login.c. */
void imap_login_ready(ImapSession *session); /* the stream is up */
void imap_login_greeting(ImapSession *session, const ImapReply *reply);
void imap_login_capabilities(ImapSession *session, const ImapValue *values);
void imap_login_clear(ImapSession *session);
