/* stream-tls.h: the client's side of TLS, over memory. Does no I/O: ciphertext goes in by
 * stream_tls_feed and comes out at the end of the `wire` queue. Private to stream*.c. */
#pragma once

#include "mail.h"
#include "stream-filter.h"

typedef struct StreamTlsLink StreamTlsLink;

/* Verifies the chain and that the certificate is for `host` (a name or an address). NULL and
 * MAIL_ERROR_TLS when it cannot be set up, e.g. for a ca_file that cannot be read. */
StreamTlsLink *stream_tls_new(const char *host, guint16 port, const char *ca_file, GError **error);
void stream_tls_free(StreamTlsLink *link);

void stream_tls_feed(StreamTlsLink *link, const guint8 *bytes, gsize size);
/* STREAM_PULL_DATA: the handshake is done. */
StreamPull stream_tls_handshake(StreamTlsLink *link, StreamQueue *wire, GError **error);
StreamPull stream_tls_read(StreamTlsLink *link, guint8 *bytes, gsize room, gsize *got,
                           StreamQueue *wire, GError **error);
/* Encrypts all of bytes[0..size), size > 0. */
gboolean stream_tls_write(StreamTlsLink *link, const guint8 *bytes, gsize size, StreamQueue *wire,
                          GError **error);
/* Appends a close_notify. */
void stream_tls_shutdown(StreamTlsLink *link, StreamQueue *wire);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", once the handshake is done; owned by the link. */
const char *stream_tls_describe(StreamTlsLink *link);
