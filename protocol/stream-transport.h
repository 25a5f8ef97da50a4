/* stream-transport.h: gets a connected socket: by DNS and TCP, or from a tunnel command. Private to
 * stream*.c. */
#pragma once

#include "mail.h"

typedef struct StreamTransport StreamTransport;

/* error is NULL when it is connected. Called once, from the main loop, and not after
 * stream_transport_free(). */
typedef void (*StreamTransportDone)(const GError *error, gpointer data);

/* Starts to connect; `tunnel` is an argv or NULL. Everything is copied. */
StreamTransport *stream_transport_new(const char *host, guint16 port, const char *const *tunnel,
                                      StreamTransportDone done, gpointer data);
void stream_transport_free(StreamTransport *transport); /* closes */
/* Non-blocking, owned by the transport; -1 before it is connected. */
int stream_transport_fd(const StreamTransport *transport);
gboolean stream_transport_is_loopback(const StreamTransport *transport);
/* What the tunnel command last wrote to stderr, escaped; NULL for nothing, or for no tunnel. */
const char *stream_transport_complaint(StreamTransport *transport);
