/* stream-layers.h: the way of the bytes through TLS and DEFLATE to a socket and back. Non-blocking,
 * knows no main loop. Private to stream*.c.
 *
 *   pull  <- [deflate] <- [tls] <- recv          queue -> [deflate] -> [tls] -> wire -> send
 */
#pragma once

#include "mail.h"
#include "stream-deflate.h"
#include "stream-filter.h"
#include "stream-tls.h"

/* All zero but for fd = -1: nothing there yet. */
typedef struct {
    int fd;                 /* not owned */
    StreamTlsLink *tls;     /* NULL while there is none */
    StreamDeflate *deflate; /* likewise */
    StreamQueue queue;      /* as the caller wrote it */
    StreamQueue wire;       /* as it will be sent */
    gboolean write_dead; /* the peer takes no more; what it still sent can be read to its end */
    gsize budget; /* how many bytes may still be received; renewed for each turn of the loop */
    gint64 last_receive;
    guint64 bytes_received;
} StreamLayers;

void stream_layers_clear(StreamLayers *layers);

/* Sends what the kernel takes. With `encode`, moves the queue on to the wire too, a bounded part
 * at a time. FALSE only when TLS is broken: a dead socket shows when it is read. */
gboolean stream_layers_flush(StreamLayers *layers, gboolean encode, GError **error);
/* Moves all of the queue to the wire by the layers there are now: before another is added. */
gboolean stream_layers_encode(StreamLayers *layers, GError **error);
/* STREAM_PULL_DATA: the TLS handshake is done. */
StreamPull stream_layers_handshake(StreamLayers *layers, GError **error);
/* Reads decoded bytes. STREAM_PULL_MORE: the layers are empty, and the socket or the budget is. */
StreamPull stream_layers_pull(StreamLayers *layers, guint8 *bytes, gsize room, gsize *got,
                              GError **error);
