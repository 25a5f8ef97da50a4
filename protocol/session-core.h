/* session-core.h: what a session of either protocol stands on: a stream to the server, an end that
 * is told once and from the main loop, and a limit for the server's silence.
 *
 * A session embeds it as its first member, so that a SessionCore * is a pointer to the session. */
#pragma once

#include "remote.h"
#include "stream.h"

/* A login that takes longer than this gets nowhere, however talkative the server is. */
#define SESSION_LOGIN_DEADLINE (60 * G_USEC_PER_SEC)
/* A server that says nothing for so long while it owes something is taken for gone. */
#define SESSION_REPLY_DEADLINE (30 * G_USEC_PER_SEC)

typedef struct SessionCore SessionCore;

typedef struct {
    StreamFuncs stream; /* with the session as their data; `failed` is session_core_stream_failed */
    /* How long the server may be silent now; 0: for ever. *since, when it last said something (0:
     * never), is raised to when it was last asked. */
    gint64 (*patience)(SessionCore *core, gint64 *since);
    /* It fails: sources of the session's own end. May be NULL. */
    void (*failing)(SessionCore *core);
    /* Tells the owner of core->error. */
    void (*failed)(SessionCore *core);
    /* Frees what the session has, and the session. The stream and the error are gone. */
    void (*destroy)(SessionCore *core);
} SessionCoreClass;

struct SessionCore {
    const SessionCoreClass *klass;
    Stream *stream;
    GError *error;
    gint64 created;
    guint timer, fail_source;
    guint nesting; /* > 0 while one of its callbacks runs: free waits for it */
    gboolean freed;
    gboolean logged_in; /* set by the session: the login's deadline ends */
};

/* Connects at once. */
void session_core_begin(SessionCore *core, const SessionCoreClass *klass,
                        const RemoteConfig *config);
/* Safe from within a callback. */
void session_core_free(SessionCore *core);
/* Every entry from the main loop is bracketed by these, so that a callback may free the session:
 * session_core_leave() does it then, and returns FALSE. */
void session_core_enter(SessionCore *core);
gboolean session_core_leave(SessionCore *core);
/* Ends the session: `failed` follows from the main loop. Takes ownership of error; the first one
 * counts. */
void session_core_fail(SessionCore *core, GError *error);
void session_core_fail_protocol(SessionCore *core, const char *what);
void session_core_stream_failed(Stream *stream, const GError *error, gpointer data);
