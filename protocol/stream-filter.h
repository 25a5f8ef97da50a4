/* stream-filter.h: what the parts of a stream share: a queue of bytes, and the outcome of a read.
 * Private to stream*.c. */
#pragma once

#include <glib.h>

/* The outcome of asking one layer of a stream for bytes. */
typedef enum {
    STREAM_PULL_DATA,  /* got some */
    STREAM_PULL_MORE,  /* none before more comes from below */
    STREAM_PULL_END,   /* the peer closed */
    STREAM_PULL_ERROR, /* broken; a GError says why */
} StreamPull;

/* A queue of bytes, in one piece. What leaves it, and what growing leaves behind, is wiped: a
 * password may have been in it. All zero is an empty one. */
typedef struct {
    guint8 *bytes;
    gsize start, size, room;
} StreamQueue;

void stream_queue_append(StreamQueue *queue, gconstpointer bytes, gsize size);
/* Room for `size` more bytes behind the last; what was written there counts once it is committed.
 */
guint8 *stream_queue_reserve(StreamQueue *queue, gsize size);
void stream_queue_commit(StreamQueue *queue, gsize size);
const guint8 *stream_queue_peek(const StreamQueue *queue);
void stream_queue_drop(StreamQueue *queue, gsize size); /* the first `size` bytes */
void stream_queue_clear(StreamQueue *queue);            /* and gives its memory back */
