#include "stream-layers.h"

#include <errno.h>
#include <sys/socket.h>

#define CHUNK (32 * 1024)
/* Queued bytes are encoded in slices, up to WIRE_AHEAD ahead of what the kernel took. */
#define SLICE (64 * 1024)
#define WIRE_AHEAD (256 * 1024)
/* In one go, that is in one turn of the loop: 1 MiB. */
#define MAX_SLICES 16

G_STATIC_ASSERT(CHUNK <= STREAM_DEFLATE_CHUNK);

void stream_layers_clear(StreamLayers *layers)
{
    layers->fd = -1;
    g_clear_pointer(&layers->tls, stream_tls_free);
    g_clear_pointer(&layers->deflate, stream_deflate_free);
    stream_queue_clear(&layers->queue);
    stream_queue_clear(&layers->wire);
}

static void send_wire(StreamLayers *layers)
{
    while (layers->wire.size > 0 && !layers->write_dead) {
        gssize sent = send(layers->fd, stream_queue_peek(&layers->wire), layers->wire.size,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            stream_queue_drop(&layers->wire, (gsize)sent);
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            layers->write_dead = TRUE;
    }
    if (!layers->write_dead)
        return;
    stream_queue_clear(&layers->wire);
    stream_queue_clear(&layers->queue);
}

/* The last layer on the way out. */
static gboolean to_wire(StreamLayers *layers, const guint8 *bytes, gsize size, GError **error)
{
    if (size == 0)
        return TRUE;
    if (layers->tls)
        return stream_tls_write(layers->tls, bytes, size, &layers->wire, error);
    stream_queue_append(&layers->wire, bytes, size);
    return TRUE;
}

/* Moves one slice of the queue to the wire. Only what ends the queue is flushed by DEFLATE: what
 * is queued together is compressed together. */
static gboolean encode_slice(StreamLayers *layers, GError **error)
{
    const guint8 *bytes = stream_queue_peek(&layers->queue);
    gsize size = MIN(layers->queue.size, SLICE);
    gboolean good;
    if (layers->deflate) {
        StreamQueue packed = {0};
        gboolean last = size == layers->queue.size;
        stream_deflate_write(layers->deflate, bytes, size, last, &packed);
        good = to_wire(layers, stream_queue_peek(&packed), packed.size, error);
        stream_queue_clear(&packed);
    } else {
        good = to_wire(layers, bytes, size, error);
    }
    stream_queue_drop(&layers->queue, size);
    return good;
}

gboolean stream_layers_encode(StreamLayers *layers, GError **error)
{
    while (layers->queue.size > 0)
        if (!encode_slice(layers, error))
            return FALSE;
    return TRUE;
}

gboolean stream_layers_flush(StreamLayers *layers, gboolean encode, GError **error)
{
    guint slices = encode ? MAX_SLICES : 0;
    do {
        for (; slices > 0 && layers->queue.size > 0 && layers->wire.size < WIRE_AHEAD; slices--)
            if (!encode_slice(layers, error))
                return FALSE;
        send_wire(layers);
    } while (slices > 0 && layers->queue.size > 0 && layers->wire.size == 0);
    return TRUE;
}

static StreamPull pull_wire(StreamLayers *layers, guint8 *bytes, gsize room, gsize *got,
                            GError **error)
{
    if (layers->budget == 0)
        return STREAM_PULL_MORE; /* the socket stays readable: the next turn goes on */
    gssize received;
    do
        received = recv(layers->fd, bytes, MIN(room, layers->budget), MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received > 0) {
        *got = (gsize)received;
        layers->budget -= *got;
        layers->bytes_received += *got;
        layers->last_receive = g_get_monotonic_time();
        return STREAM_PULL_DATA;
    }
    if (received == 0 || errno == ECONNRESET || errno == EPIPE)
        return STREAM_PULL_END;
    if (errno == EAGAIN)
        return STREAM_PULL_MORE;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE, "the connection broke: %s",
                g_strerror(errno));
    return STREAM_PULL_ERROR;
}

static StreamPull feed_tls(StreamLayers *layers, GError **error)
{
    guint8 chunk[CHUNK];
    gsize got;
    StreamPull result = pull_wire(layers, chunk, sizeof chunk, &got, error);
    if (result == STREAM_PULL_DATA)
        stream_tls_feed(layers->tls, chunk, got);
    return result;
}

StreamPull stream_layers_handshake(StreamLayers *layers, GError **error)
{
    StreamPull result, fed = STREAM_PULL_DATA;
    do {
        result = stream_tls_handshake(layers->tls, &layers->wire, error);
        send_wire(layers); /* also the alert that tells the server why we go */
        if (result == STREAM_PULL_MORE)
            fed = feed_tls(layers, error);
    } while (result == STREAM_PULL_MORE && fed == STREAM_PULL_DATA);
    return result == STREAM_PULL_MORE ? fed : result;
}

static StreamPull pull_plain(StreamLayers *layers, guint8 *bytes, gsize room, gsize *got,
                             GError **error)
{
    if (!layers->tls)
        return pull_wire(layers, bytes, room, got, error);
    for (;;) {
        StreamPull result = stream_tls_read(layers->tls, bytes, room, got, &layers->wire, error);
        if (result != STREAM_PULL_MORE)
            return result;
        result = feed_tls(layers, error);
        if (result != STREAM_PULL_DATA)
            return result;
    }
}

StreamPull stream_layers_pull(StreamLayers *layers, guint8 *bytes, gsize room, gsize *got,
                              GError **error)
{
    if (!layers->deflate)
        return pull_plain(layers, bytes, room, got, error);
    for (;;) {
        StreamPull result = stream_deflate_read(layers->deflate, bytes, room, got, error);
        if (result != STREAM_PULL_MORE)
            return result;
        guint8 chunk[CHUNK];
        gsize size;
        result = pull_plain(layers, chunk, sizeof chunk, &size, error);
        if (result != STREAM_PULL_DATA)
            return result;
        stream_deflate_feed(layers->deflate, chunk, size);
    }
}
