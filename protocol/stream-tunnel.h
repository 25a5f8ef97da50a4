/* stream-tunnel.h: a command that speaks to the server for us. Private to stream*.c. */
#pragma once

#include "mail.h"

typedef struct StreamTunnel StreamTunnel;

/* Starts argv without a shell, with one socket as its stdin and stdout, and its stderr passed on
 * to the log. *fd is our end: non-blocking, close-on-exec, the caller's to close. NULL and
 * MAIL_ERROR_OFFLINE when it cannot be started. */
StreamTunnel *stream_tunnel_new(const char *const *argv, int *fd, GError **error);
/* SIGTERM now; SIGKILL when it is still there two seconds later (for as long as the main loop
 * runs). It is reaped in any case. */
void stream_tunnel_free(StreamTunnel *tunnel);
/* The last line it wrote to stderr, escaped, what is still in the pipe included; NULL for none. */
const char *stream_tunnel_complaint(StreamTunnel *tunnel);
