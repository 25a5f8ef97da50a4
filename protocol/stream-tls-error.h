/* stream-tls-error.h: what went wrong with TLS, in words that say what to do. Private to
 * stream*.c. Every text is one line, with all that came from the server escaped; free with g_free.
 */
#pragma once

#include <glib.h>
#include <openssl/x509.h>

/* The verification error that `store` stands at. */
char *stream_tls_error_certificate(X509_STORE_CTX *store, const char *host);
/* A handshake or a connection that broke, from OpenSSL's error queue. `problem`: from the function
 * above, or NULL. `not_tls`: what the server said instead of TLS, escaped, or NULL. */
char *stream_tls_error_reason(const char *host, const char *problem, const char *not_tls);
