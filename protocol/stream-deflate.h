/* stream-deflate.h: COMPRESS=DEFLATE, RFC 4978. Does no I/O. Private to stream*.c. */
#pragma once

#include "mail.h"
#include "stream-filter.h"

/* The most that may be fed at a time. */
#define STREAM_DEFLATE_CHUNK (64 * 1024)

typedef struct StreamDeflate StreamDeflate;

StreamDeflate *stream_deflate_new(void);
void stream_deflate_free(StreamDeflate *codec);

/* Hands in compressed bytes, at most STREAM_DEFLATE_CHUNK; only after stream_deflate_read() said
 * STREAM_PULL_MORE, or at the very start. */
void stream_deflate_feed(StreamDeflate *codec, const guint8 *bytes, gsize size);
/* Inflates into bytes[0..room): never more, however well the input was compressed. */
StreamPull stream_deflate_read(StreamDeflate *codec, guint8 *bytes, gsize room, gsize *got,
                               GError **error);
/* Deflates bytes[0..size) to the end of `out`; with `flush` the peer can read all of it. */
void stream_deflate_write(StreamDeflate *codec, const guint8 *bytes, gsize size, gboolean flush,
                          StreamQueue *out);
