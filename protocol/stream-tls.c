#include "stream-tls.h"
#include "stream-tls-error.h"

#include <gio/gio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

#define MAX_SESSIONS 64

struct StreamTlsLink {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
    char *host, *session_key;
    char *problem; /* what is wrong with the certificate, as a sentence */
    char *description;
    gboolean heard; /* the server's first bytes came */
    char *not_tls;  /* they were no TLS: the start of what it said */
};

/* Session store: "host:port:ca_file" -> SSL_SESSION. A resumed handshake shows no certificate, so
 * a session serves only where the same verification has already been made. */
static GHashTable *sessions;

static void drop_session(gpointer session)
{
    SSL_SESSION_free(session);
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    const StreamTlsLink *link = SSL_get_app_data(ssl);
    if (!sessions)
        sessions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, drop_session);
    if (g_hash_table_size(sessions) >= MAX_SESSIONS)
        g_hash_table_remove_all(sessions);
    g_hash_table_replace(sessions, g_strdup(link->session_key), session);
    return 1; /* the reference is ours now */
}

static void resume_session(StreamTlsLink *link)
{
    SSL_SESSION *session = sessions ? g_hash_table_lookup(sessions, link->session_key) : NULL;
    if (!session)
        return;
    SSL_set_session(link->ssl, session);
    /* A TLS 1.3 ticket shown twice would link the two connections: RFC 8446 appendix C.4. */
    if (SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION)
        g_hash_table_remove(sessions, link->session_key);
}

/* Called for every link of the chain. A failure is put into words here, where the certificate can
 * still be seen. */
static int verify_link(int good, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    StreamTlsLink *link = SSL_get_app_data(ssl);
    if (!good && !link->problem)
        link->problem = stream_tls_error_certificate(store, link->host);
    return good;
}

/* The host as it stands in a certificate: no final dot, and no zone behind an IPv6 address. */
static char *verified_host(const char *host)
{
    char *name = g_strdup(host);
    name[strcspn(name, "%")] = '\0';
    gsize length = strlen(name);
    if (length > 1 && name[length - 1] == '.')
        name[length - 1] = '\0';
    return name;
}

static gboolean load_trust(SSL_CTX *context, const char *ca_file)
{
    if (!ca_file)
        return SSL_CTX_set_default_verify_paths(context) == 1;
    /* Whatever the user names is trusted, whether or not it issued itself. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    return SSL_CTX_load_verify_file(context, ca_file) == 1;
}

static SSL_CTX *new_context(const char *ca_file, GError **error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)) {
        SSL_CTX_free(context);
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_TLS, "cannot set up TLS");
        return NULL;
    }
    if (!load_trust(context, ca_file)) {
        SSL_CTX_free(context);
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_TLS,
                    "cannot read certificates from ca-file=%s: it must be a readable file in PEM "
                    "format",
                    ca_file ? ca_file : "(the system's store)");
        return NULL;
    }
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, verify_link);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    return context;
}

/* Whom the certificate must be for. SNI is only for names: RFC 6066 section 3. OpenSSL would take
 * an empty name for "anybody", and one with a leading dot for "anybody below". */
static gboolean expect_host(SSL *ssl, const char *host)
{
    if (!*host || *host == '.')
        return FALSE;
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (g_hostname_is_ip_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

StreamTlsLink *stream_tls_new(const char *host, guint16 port, const char *ca_file, GError **error)
{
    ERR_clear_error();
    SSL_CTX *context = new_context(ca_file, error);
    if (!context)
        return NULL;
    StreamTlsLink *link = g_new0(StreamTlsLink, 1);
    link->context = context;
    link->host = verified_host(host);
    link->session_key = g_strdup_printf("%s:%u:%s", link->host, port, ca_file ? ca_file : "");
    link->ssl = SSL_new(context);
    link->in = BIO_new(BIO_s_mem());
    link->out = BIO_new(BIO_s_mem());
    if (!link->ssl || !link->in || !link->out)
        g_error("no memory for TLS");
    SSL_set_bio(link->ssl, link->in, link->out);
    SSL_set_app_data(link->ssl, link);
    SSL_set_connect_state(link->ssl);
    if (!expect_host(link->ssl, link->host)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_TLS,
                    "TLS cannot verify \"%s\": it is no host name", link->host);
        stream_tls_free(link);
        return NULL;
    }
    resume_session(link);
    return link;
}

void stream_tls_free(StreamTlsLink *link)
{
    if (!link)
        return;
    SSL_free(link->ssl);
    SSL_CTX_free(link->context);
    g_free(link->host);
    g_free(link->session_key);
    g_free(link->problem);
    g_free(link->description);
    g_free(link->not_tls);
    g_free(link);
}

/* Whether a TLS server could have begun so: with a handshake message or an alert. A server that
 * greets in the clear would otherwise be reported as a matter of TLS versions. */
static gboolean is_tls_record(guint8 type)
{
    return type == 22 || type == 21;
}

static char *first_line(const char *bytes, gsize size)
{
    gsize length = 0;
    while (length < size && bytes[length] != '\r' && bytes[length] != '\n')
        length++;
    return mail_escape(bytes, (gssize)length, 100);
}

void stream_tls_feed(StreamTlsLink *link, const guint8 *bytes, gsize size)
{
    if (size == 0)
        return;
    if (!link->heard && !is_tls_record(bytes[0]))
        link->not_tls = first_line((const char *)bytes, MIN(size, 60));
    link->heard = TRUE;
    BIO_write(link->in, bytes, (int)size);
}

/* Moves what OpenSSL wants to send to the end of `wire`. */
static void drain(StreamTlsLink *link, StreamQueue *wire)
{
    gsize pending = BIO_ctrl_pending(link->out);
    if (pending == 0)
        return;
    int got = BIO_read(link->out, stream_queue_reserve(wire, pending), (int)pending);
    if (got > 0)
        stream_queue_commit(wire, (gsize)got);
}

static void set_broken(StreamTlsLink *link, GError **error)
{
    g_autofree char *text = stream_tls_error_reason(link->host, link->problem, link->not_tls);
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_TLS, text);
}

/* What an SSL_ call that returned rc <= 0 means. */
static StreamPull outcome(StreamTlsLink *link, int rc, GError **error)
{
    switch (SSL_get_error(link->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return STREAM_PULL_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return STREAM_PULL_END;
    default:
        set_broken(link, error);
        return STREAM_PULL_ERROR;
    }
}

StreamPull stream_tls_handshake(StreamTlsLink *link, StreamQueue *wire, GError **error)
{
    if (link->not_tls) {
        set_broken(link, error);
        return STREAM_PULL_ERROR;
    }
    ERR_clear_error();
    int rc = SSL_do_handshake(link->ssl);
    StreamPull result = rc == 1 ? STREAM_PULL_DATA : outcome(link, rc, error);
    drain(link, wire);
    return result;
}

StreamPull stream_tls_read(StreamTlsLink *link, guint8 *bytes, gsize room, gsize *got,
                           StreamQueue *wire, GError **error)
{
    ERR_clear_error();
    *got = 0;
    int rc = SSL_read_ex(link->ssl, bytes, room, got);
    StreamPull result = rc == 1 ? STREAM_PULL_DATA : outcome(link, rc, error);
    drain(link, wire); /* an answer to a key update, an alert */
    return result;
}

gboolean stream_tls_write(StreamTlsLink *link, const guint8 *bytes, gsize size, StreamQueue *wire,
                          GError **error)
{
    ERR_clear_error();
    size_t written;
    /* Memory takes it all at once. */
    if (SSL_write_ex(link->ssl, bytes, size, &written) != 1) {
        set_broken(link, error);
        return FALSE;
    }
    drain(link, wire);
    return TRUE;
}

void stream_tls_shutdown(StreamTlsLink *link, StreamQueue *wire)
{
    ERR_clear_error();
    if (!SSL_in_init(link->ssl))
        SSL_shutdown(link->ssl);
    drain(link, wire);
}

const char *stream_tls_describe(StreamTlsLink *link)
{
    if (!link->description)
        link->description =
            g_strdup_printf("%s %s", SSL_get_version(link->ssl), SSL_get_cipher_name(link->ssl));
    return link->description;
}
