#include "stream-filter.h"
#include "secret.h"

#include <string.h>

/* An emptied queue that grew beyond this gives its memory back. */
#define KEEP_ROOM (256 * 1024)

guint8 *stream_queue_reserve(StreamQueue *queue, gsize size)
{
    if (queue->start + queue->size + size <= queue->room)
        return queue->bytes + queue->start + queue->size;
    gsize room = MAX(4096, 2 * (queue->size + size));
    guint8 *bytes = g_malloc(room);
    if (queue->size > 0)
        memcpy(bytes, queue->bytes + queue->start, queue->size);
    secret_wipe(queue->bytes, queue->start + queue->size);
    g_free(queue->bytes);
    queue->bytes = bytes;
    queue->start = 0;
    queue->room = room;
    return bytes + queue->size;
}

void stream_queue_commit(StreamQueue *queue, gsize size)
{
    queue->size += size;
}

void stream_queue_append(StreamQueue *queue, gconstpointer bytes, gsize size)
{
    if (size == 0)
        return;
    memcpy(stream_queue_reserve(queue, size), bytes, size);
    stream_queue_commit(queue, size);
}

const guint8 *stream_queue_peek(const StreamQueue *queue)
{
    return queue->bytes + queue->start;
}

void stream_queue_drop(StreamQueue *queue, gsize size)
{
    g_return_if_fail(size <= queue->size);
    if (size == 0)
        return;
    secret_wipe(queue->bytes + queue->start, size);
    queue->start += size;
    queue->size -= size;
    if (queue->size > 0)
        return;
    queue->start = 0;
    if (queue->room > KEEP_ROOM)
        stream_queue_clear(queue);
}

void stream_queue_clear(StreamQueue *queue)
{
    if (queue->bytes)
        secret_wipe(queue->bytes + queue->start, queue->size);
    g_free(queue->bytes);
    memset(queue, 0, sizeof *queue);
}
