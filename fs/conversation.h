/* conversation.h: the commands' side of the control socket: asks, and reads the answer. */
#pragma once

#include <glib.h>

typedef struct {
    /* The next argument, borrowed until the next call; NULL: that was the last. NULL where the
     * command takes none. */
    const char *(*argument)(gpointer data);
    /* A line of the answer but the last. */
    void (*line)(char *line, gpointer data);
    gpointer data;
    guint patience; /* seconds of silence after which the daemon is given up; 0: for ever */
} Conversation;

/* Has a command carried out by the daemon at this socket. FALSE: it failed, or the daemon does not
 * answer; with a G_IO_ERROR, there is no daemon. Ends the process by SIGPIPE when nobody reads its
 * output any more. */
gboolean converse(const char *socket, const char *command, const Conversation *how, GError **error);
