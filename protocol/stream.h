/* stream.h: a byte stream to a server: TCP, TLS, a tunnel command, DEFLATE. Non-blocking.
 *
 * Runs on the thread-default GMainContext of its creator; every callback comes from the main loop,
 * never from within one of these functions, and none comes after stream_close() or
 * stream_free(). Only stream*.c and sasl.c may see OpenSSL.
 *
 * No SIGPIPE comes from a stream. One should not fork() after the first stream_connect(): GIO's
 * threads for DNS and for reaping the tunnel would stay behind. */
#pragma once

#include "mail.h"

typedef struct Stream Stream;

typedef enum {
    STREAM_TLS_NONE,     /* loopback or tunnel only: the caller checks */
    STREAM_TLS_IMPLICIT, /* handshake right after connecting */
    STREAM_TLS_START,    /* plain until stream_start_tls() */
} StreamTls;

typedef struct {
    const char *host;
    guint16 port;
    const char *const *tunnel; /* argv of a command that speaks on stdin/stdout, or NULL. Its stderr
                                  is passed on to the log. Started without a shell, killed (SIGTERM,
                                  then SIGKILL) when the stream closes, always reaped */
    StreamTls tls;
    const char *ca_file;       /* NULL: the system's store */
    guint connect_timeout;     /* seconds for DNS, TCP and the implicit handshake together, and
                                  anew for stream_start_tls(); 0: no limit */
} StreamConfig;

typedef struct {
    /* Connected, and for STREAM_TLS_IMPLICIT the handshake done; also after stream_start_tls(). */
    void (*ready)(Stream *stream, gpointer data);
    /* Bytes came. Returns how many it consumed; when it starts TLS or DEFLATE within this call, or
     * pauses, what it left is offered again later (for DEFLATE: inflated first). At most 64 KiB a
     * call, and a bounded number of calls for each turn of the loop. */
    gsize (*received)(Stream *stream, const guint8 *bytes, gsize size, gpointer data);
    /* The stream is dead: error is MAIL_ERROR_OFFLINE (refused, unreachable, no such host, closed
     * by the peer), MAIL_ERROR_TIMEOUT (connect), MAIL_ERROR_TLS (with a message that names what is
     * wrong with the certificate, and what to do), MAIL_ERROR_PROTOCOL (bad DEFLATE, plain bytes
     * before TLS). Comes once; owned by the stream. */
    void (*failed)(Stream *stream, const GError *error, gpointer data);
} StreamFuncs;

/* config is copied. TLS sessions are kept in `stream`'s process-wide store, for resumption with
 * the same host and port. */
Stream *stream_new(const StreamConfig *config, const StreamFuncs *funcs, gpointer data);
void stream_connect(Stream *stream);
/* Sends what is queued, and close_notify, as far as that goes without waiting. */
void stream_close(Stream *stream);
void stream_free(Stream *stream);  /* closes; safe from within a callback */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stream, stream_free)

/* Queues bytes (copied; the copy is wiped once written); they leave together at the next turn
 * of the loop, or at once when much is queued. */
void stream_write(Stream *stream, const char *bytes, gsize size);
gsize stream_queued(const Stream *stream); /* bytes not yet accepted by the kernel */

/* Has `drained` called, like the others, whenever stream_queued() was at least STREAM_QUEUE_LOW and
 * has come below it: time to write the next part of something large. NULL: no more. */
#define STREAM_QUEUE_LOW (64 * 1024)
void stream_set_drained(Stream *stream, void (*drained)(Stream *stream, gpointer data));

/* Stops or restarts `received`; for back-pressure. */
void stream_pause(Stream *stream, gboolean paused);

/* Starts the handshake on a STREAM_TLS_START stream. Fails the stream with MAIL_ERROR_PROTOCOL if
 * bytes came before it that `received` did not consume (an attacker's injection), and starts
 * nothing then. */
void stream_start_tls(Stream *stream);
/* COMPRESS=DEFLATE (RFC 4978): all bytes from here on, both ways. Inflation is bounded for each
 * call; a bomb costs time of the loop in slices, never memory. */
void stream_start_deflate(Stream *stream);

gboolean stream_is_tunnel(const Stream *stream);
gboolean stream_is_encrypted(const Stream *stream); /* TLS is up */
gboolean stream_is_loopback(const Stream *stream);  /* the peer's address, known once connected */
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or NULL. Owned by the stream. */
const char *stream_tls_description(const Stream *stream);
/* Monotonic time (g_get_monotonic_time) of the last byte received; of `ready` before any. */
gint64 stream_last_receive(const Stream *stream);
/* Within `received`: there was nothing to read before these bytes, so the other side, or the line, was
 * what was waited for, and not us. */
gboolean stream_has_waited(const Stream *stream);
guint64 stream_bytes_received(const Stream *stream); /* as they came off the wire */
