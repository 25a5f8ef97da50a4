#include "stream-deflate.h"

#include <string.h>
#include <zlib.h>

#define OUT_CHUNK (16 * 1024)

struct StreamDeflate {
    z_stream in, out;
    guint8 fed[STREAM_DEFLATE_CHUNK]; /* what in.next_in points into */
};

StreamDeflate *stream_deflate_new(void)
{
    StreamDeflate *codec = g_new0(StreamDeflate, 1);
    /* Raw deflate with the full window; both fail only without memory, as g_new0 would. */
    if (inflateInit2(&codec->in, -15) != Z_OK ||
        deflateInit2(&codec->out, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) !=
            Z_OK)
        g_error("no memory for compression");
    return codec;
}

void stream_deflate_free(StreamDeflate *codec)
{
    if (!codec)
        return;
    inflateEnd(&codec->in);
    deflateEnd(&codec->out);
    g_free(codec);
}

void stream_deflate_feed(StreamDeflate *codec, const guint8 *bytes, gsize size)
{
    g_return_if_fail(size <= sizeof codec->fed && codec->in.avail_in == 0);
    memcpy(codec->fed, bytes, size);
    codec->in.next_in = codec->fed;
    codec->in.avail_in = (uInt)size;
}

StreamPull stream_deflate_read(StreamDeflate *codec, guint8 *bytes, gsize room, gsize *got,
                               GError **error)
{
    z_stream *in = &codec->in;
    in->next_out = bytes;
    in->avail_out = (uInt)MIN(room, G_MAXUINT);
    uInt offered = in->avail_out;
    /* Asked without input too: the last call may have left output inside. */
    int rc = inflate(in, Z_SYNC_FLUSH);
    *got = offered - in->avail_out;
    if (*got > 0)
        return STREAM_PULL_DATA;
    if (rc == Z_STREAM_END)
        return STREAM_PULL_END;
    if (rc == Z_OK || rc == Z_BUF_ERROR)
        return STREAM_PULL_MORE;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                "the server's compressed data is broken%s%s", in->msg ? ": " : "",
                in->msg ? in->msg : "");
    return STREAM_PULL_ERROR;
}

void stream_deflate_write(StreamDeflate *codec, const guint8 *bytes, gsize size, gboolean flush,
                          StreamQueue *out)
{
    z_stream *z = &codec->out;
    z->next_in = (Bytef *)bytes;
    z->avail_in = (uInt)size;
    do {
        z->next_out = stream_queue_reserve(out, OUT_CHUNK);
        z->avail_out = OUT_CHUNK;
        deflate(z, flush ? Z_SYNC_FLUSH : Z_NO_FLUSH);
        stream_queue_commit(out, OUT_CHUNK - z->avail_out);
    } while (z->avail_out == 0);
}
