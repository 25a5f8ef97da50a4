/* Streams against real servers: a thread with a socket on the loopback, OpenSSL's server side where
 * it speaks TLS, and zlib where it compresses. */
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#define DAY 86400

static char *directory;

/* Certificates */

typedef struct {
    X509 *certificate;
    EVP_PKEY *key;
    char *file; /* the certificate, as PEM */
} Identity;

static void add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    g_assert_nonnull(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* issuer NULL: self-signed. names: as openssl.cnf has them ("DNS:localhost"), or NULL for none. */
static Identity *identity_new(const char *subject, const char *names, const Identity *issuer,
                              long from, long until)
{
    static long serial;
    Identity *identity = g_new0(Identity, 1);
    X509 *certificate = identity->certificate = X509_new();
    identity->key = EVP_EC_gen("P-256");
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), until);
    X509_set_pubkey(certificate, identity->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const guchar *)subject, -1, -1, 0);
    X509 *signer = issuer ? issuer->certificate : certificate;
    X509_set_issuer_name(certificate, X509_get_subject_name(signer));
    add_extension(certificate, signer, NID_basic_constraints, names ? "CA:FALSE" : "CA:TRUE");
    if (names)
        add_extension(certificate, signer, NID_subject_alt_name, names);
    X509_sign(certificate, issuer ? issuer->key : identity->key, EVP_sha256());
    identity->file = g_strdup_printf("%s/%ld.pem", directory, serial);
    FILE *file = fopen(identity->file, "w");
    g_assert_nonnull(file);
    PEM_write_X509(file, certificate);
    fclose(file);
    return identity;
}

static void identity_free(Identity *identity)
{
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
    g_unlink(identity->file);
    g_free(identity->file);
    g_free(identity);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Identity, identity_free)

/* Servers */

typedef struct Server Server;
typedef void (*Serve)(Server *server, int fd);

struct Server {
    int listener;
    guint16 port;
    guint connections; /* how many to serve */
    Serve serve;
    SSL_CTX *tls;
    GThread *thread;
    /* What the server saw; to be looked at after server_stop(). */
    char *sni;
    guint resumed;
    GString *heard;
};

static gpointer server_main(gpointer data)
{
    Server *server = data;
    for (guint i = 0; i < server->connections; i++) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            break;
        server->serve(server, fd);
        close(fd);
    }
    return NULL;
}

static int listen_on(int family, guint16 *port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr *address =
        family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = family == AF_INET ? sizeof four : sizeof six;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, address, size) != 0 || listen(fd, 8) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    g_assert_cmpint(getsockname(fd, address, &size), ==, 0);
    *port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
    return fd;
}

static int note_sni(SSL *ssl, int *alert, void *data)
{
    Server *server = data;
    g_free(server->sni);
    server->sni = g_strdup(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    return SSL_TLSEXT_ERR_OK;
}

static Server *server_new(Serve serve, const Identity *identity)
{
    Server *server = g_new0(Server, 1);
    server->listener = listen_on(AF_INET, &server->port);
    g_assert_cmpint(server->listener, >=, 0);
    server->connections = 1;
    server->serve = serve;
    server->heard = g_string_new(NULL);
    if (!identity)
        return server;
    server->tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server->tls, identity->certificate);
    SSL_CTX_use_PrivateKey(server->tls, identity->key);
    SSL_CTX_set_session_id_context(server->tls, (const guchar *)"test", 4);
    SSL_CTX_set_tlsext_servername_callback(server->tls, note_sni);
    SSL_CTX_set_tlsext_servername_arg(server->tls, server);
    return server;
}

static void server_start(Server *server)
{
    server->thread = g_thread_new("server", server_main, server);
}

static Server *server_run(Serve serve, const Identity *identity)
{
    Server *server = server_new(serve, identity);
    server_start(server);
    return server;
}

/* Lets the connections that are waiting be served to their end; empty ones stand in for those that
 * never came. */
static void server_stop(Server *server)
{
    if (!server->thread)
        return;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    g_assert_cmpint(getsockname(server->listener, (struct sockaddr *)&address, &size), ==, 0);
    for (guint i = 0; i < server->connections; i++) {
        int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        g_assert_cmpint(connect(fd, (struct sockaddr *)&address, size), ==, 0);
        close(fd);
    }
    g_thread_join(g_steal_pointer(&server->thread));
}

static void server_free(Server *server)
{
    server_stop(server);
    close(server->listener);
    SSL_CTX_free(server->tls);
    g_free(server->sni);
    g_string_free(server->heard, TRUE);
    g_free(server);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Server, server_free)

static void put(int fd, const char *text, gsize size)
{
    while (size > 0) {
        gssize sent = send(fd, text, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        text += sent;
        size -= (gsize)sent;
    }
}

static void say(int fd, const char *text)
{
    put(fd, text, strlen(text));
}

/* Reads one line, byte by byte, so that nothing behind it is taken. */
static char *hear(int fd)
{
    GString *line = g_string_new(NULL);
    char c;
    while (recv(fd, &c, 1, 0) == 1 && c != '\n')
        g_string_append_c(line, c);
    return g_string_free(line, FALSE);
}

/* Reads until the client closes, into server->heard. */
static void hear_out(Server *server, int fd)
{
    char bytes[4096];
    gssize got;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        g_string_append_len(server->heard, bytes, got);
}

static void serve_echo(Server *server, int fd)
{
    char bytes[50000];
    gssize got;
    while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
        put(fd, bytes, (gsize)got);
}

static void serve_ear(Server *server, int fd)
{
    hear_out(server, fd);
}

static void serve_silence(Server *server, int fd)
{
    char byte;
    while (recv(fd, &byte, 1, 0) > 0)
        continue;
}

static void serve_clear_greeting(Server *server, int fd)
{
    say(fd, "* OK [CAPABILITY IMAP4rev1] \x1b[31mready\r\n");
    hear_out(server, fd);
}

static void serve_goodbye(Server *server, int fd)
{
    say(fd, "* BYE too many connections\r\n");
}

static void serve_hang_up(Server *server, int fd)
{
}

/* NULL when the handshake fails. */
static SSL *accept_tls(Server *server, int fd)
{
    SSL *ssl = SSL_new(server->tls);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
        server->resumed += SSL_session_reused(ssl) ? 1 : 0;
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}

static void echo_tls(SSL *ssl)
{
    char bytes[16384];
    int got;
    while ((got = SSL_read(ssl, bytes, sizeof bytes)) > 0)
        if (SSL_write(ssl, bytes, got) <= 0)
            break;
}

static void serve_tls_echo(Server *server, int fd)
{
    SSL *ssl = accept_tls(server, fd);
    if (!ssl)
        return;
    echo_tls(ssl);
    if (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN)
        g_string_append(server->heard, "close_notify");
    SSL_free(ssl);
}

static void serve_tls_truncated(Server *server, int fd)
{
    SSL *ssl = accept_tls(server, fd);
    if (!ssl)
        return;
    SSL_write(ssl, "half a li", 9);
    SSL_free(ssl);
}

static void serve_starttls(Server *server, int fd)
{
    say(fd, "* OK hello\r\n");
    g_autofree char *line = hear(fd);
    g_string_append(server->heard, line);
    say(fd, "a OK begin\r\n");
    SSL *ssl = accept_tls(server, fd);
    if (!ssl)
        return;
    echo_tls(ssl);
    SSL_free(ssl);
}

static void serve_injection(Server *server, int fd)
{
    say(fd, "* OK hello\r\n");
    g_autofree char *line = hear(fd);
    say(fd, "a OK begin\r\n* CAPABILITY AUTH=PLAIN\r\n");
    hear_out(server, fd);
}

/* A connection with or without TLS. */
typedef struct {
    int fd;
    SSL *ssl;
} Line;

static void line_put(const Line *line, const void *bytes, gsize size)
{
    if (line->ssl)
        SSL_write(line->ssl, bytes, (int)size);
    else
        put(line->fd, bytes, size);
}

static gssize line_get(const Line *line, void *bytes, gsize size)
{
    if (line->ssl)
        return SSL_read(line->ssl, bytes, (int)size);
    return recv(line->fd, bytes, size, 0);
}

/* Packs text as a peer would, in one write with what stands before it in the clear. */
static void put_deflated(const Line *line, z_stream *z, const char *clear, const guint8 *text,
                         gsize size)
{
    GByteArray *out = g_byte_array_new();
    if (clear)
        g_byte_array_append(out, (const guint8 *)clear, (guint)strlen(clear));
    guint8 chunk[16384];
    z->next_in = (Bytef *)text;
    z->avail_in = (uInt)size;
    do {
        z->next_out = chunk;
        z->avail_out = sizeof chunk;
        deflate(z, Z_SYNC_FLUSH);
        g_byte_array_append(out, chunk, (guint)sizeof chunk - z->avail_out);
    } while (z->avail_out == 0);
    line_put(line, out->data, out->len);
    g_byte_array_unref(out);
}

/* After "z\n" in the clear: an echo of everything that it inflates. */
static void echo_deflated(const Line *line)
{
    char begin[2];
    g_assert_cmpint(line_get(line, begin, 2), ==, 2);
    z_stream in = {0}, out = {0};
    g_assert_cmpint(inflateInit2(&in, -15), ==, Z_OK);
    g_assert_cmpint(deflateInit2(&out, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
    put_deflated(line, &out, "OK\r\n", (const guint8 *)"early ", 6);
    guint8 packed[4096], text[65536];
    gssize got;
    while ((got = line_get(line, packed, sizeof packed)) > 0) {
        in.next_in = packed;
        in.avail_in = (uInt)got;
        do {
            in.next_out = text;
            in.avail_out = sizeof text;
            inflate(&in, Z_SYNC_FLUSH);
            if (sizeof text > in.avail_out)
                put_deflated(line, &out, NULL, text, sizeof text - in.avail_out);
        } while (in.avail_out == 0);
    }
    inflateEnd(&in);
    deflateEnd(&out);
}

static void serve_deflate(Server *server, int fd)
{
    echo_deflated(&(Line){fd, NULL});
}

static void serve_tls_deflate(Server *server, int fd)
{
    SSL *ssl = accept_tls(server, fd);
    if (!ssl)
        return;
    echo_deflated(&(Line){fd, ssl});
    SSL_free(ssl);
}

#define BOMB (64 * 1024 * 1024)

static void serve_bomb(Server *server, int fd)
{
    g_autofree char *line = hear(fd);
    z_stream out = {0};
    g_assert_cmpint(deflateInit2(&out, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), ==, Z_OK);
    g_autofree guint8 *zeros = g_malloc0(BOMB);
    put_deflated(&(Line){fd, NULL}, &out, "OK\r\n", zeros, BOMB);
    deflateEnd(&out);
    hear_out(server, fd);
}

static void serve_broken_deflate(Server *server, int fd)
{
    g_autofree char *line = hear(fd);
    say(fd, "OK\r\n\xff\xff\xff\xff\xff\xff");
    hear_out(server, fd);
}

/* Clients */

typedef struct Client Client;
typedef void (*Hook)(Client *client);

struct Client {
    Stream *stream;
    GByteArray *got;
    guint ready, failed, drained, calls;
    gsize largest;
    GError *error;
    gboolean inside; /* one of the stream's functions is running */
    /* What else to do in a callback. on_received returns how much to consume. */
    Hook on_ready, on_failed;
    gsize (*on_received)(Client *client, const guint8 *bytes, gsize size);
};

static void ready(Stream *stream, gpointer data)
{
    Client *client = data;
    g_assert_false(client->inside);
    client->ready++;
    if (client->on_ready)
        client->on_ready(client);
}

static gsize received(Stream *stream, const guint8 *bytes, gsize size, gpointer data)
{
    Client *client = data;
    g_assert_false(client->inside);
    g_assert_cmpuint(size, >, 0);
    client->calls++;
    client->largest = MAX(client->largest, size);
    gsize used = client->on_received ? client->on_received(client, bytes, size) : size;
    g_byte_array_append(client->got, bytes, (guint)used);
    return used;
}

static void failed(Stream *stream, const GError *error, gpointer data)
{
    Client *client = data;
    g_assert_false(client->inside);
    g_assert_cmpuint(client->failed, ==, 0);
    client->failed++;
    client->error = g_error_copy(error);
    g_test_message("failed: %s", error->message);
    g_assert_null(strpbrk(error->message, "\r\n\x1b"));
    if (client->on_failed)
        client->on_failed(client);
}

static void drained(Stream *stream, gpointer data)
{
    Client *client = data;
    g_assert_false(client->inside);
    g_assert_cmpuint(stream_queued(stream), <, STREAM_QUEUE_LOW);
    client->drained++;
}

static const StreamFuncs funcs = {ready, received, failed};

static Client *client_new(const StreamConfig *config)
{
    Client *client = g_new0(Client, 1);
    client->got = g_byte_array_new();
    client->stream = stream_new(config, &funcs, client);
    stream_set_drained(client->stream, drained);
    return client;
}

static void client_connect(Client *client)
{
    client->inside = TRUE;
    stream_connect(client->stream);
    client->inside = FALSE;
}

static Client *client_run(const StreamConfig *config)
{
    Client *client = client_new(config);
    client_connect(client);
    return client;
}

static void client_free(Client *client)
{
    client->inside = TRUE;
    stream_free(client->stream);
    client->inside = FALSE;
    g_byte_array_unref(client->got);
    g_clear_error(&client->error);
    g_free(client);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Client, client_free)

static void client_write(Client *client, const char *bytes, gsize size)
{
    client->inside = TRUE;
    stream_write(client->stream, bytes, size);
    client->inside = FALSE;
}

static void client_say(Client *client, const char *text)
{
    client_write(client, text, strlen(text));
}

static gboolean on_watchdog(gpointer data)
{
    g_error("nothing happens");
    return G_SOURCE_REMOVE;
}

#define RUN_UNTIL(condition)                                                                       \
    do {                                                                                           \
        guint watchdog = g_timeout_add_seconds(60, on_watchdog, NULL);                             \
        while (!(condition))                                                                       \
            g_main_context_iteration(NULL, TRUE);                                                  \
        g_source_remove(watchdog);                                                                 \
    } while (0)

static void run_idle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        continue;
}

static void assert_got(const Client *client, const char *text)
{
    g_assert_cmpmem(client->got->data, client->got->len, text, strlen(text));
}

static void assert_failed(Client *client, MailError code, const char *part)
{
    RUN_UNTIL(client->failed);
    g_assert_error(client->error, MAIL_ERROR, (int)code);
    if (part && !strstr(client->error->message, part))
        g_error("\"%s\" is not in \"%s\"", part, client->error->message);
    run_idle();
    g_assert_cmpuint(client->failed, ==, 1);
}

static StreamConfig plain_to(const Server *server)
{
    return (StreamConfig){
        .host = "127.0.0.1", .port = server->port, .tls = STREAM_TLS_NONE, .connect_timeout = 30};
}

static StreamConfig tls_to(const Server *server, const char *host, const Identity *trusted)
{
    return (StreamConfig){.host = host,
                          .port = server->port,
                          .tls = STREAM_TLS_IMPLICIT,
                          .ca_file = trusted ? trusted->file : NULL,
                          .connect_timeout = 30};
}

/* Plain connections */

static void test_echo(void)
{
    g_autoptr(Server) server = server_run(serve_echo, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client_say(client, "one "); /* before it is connected */
    RUN_UNTIL(client->ready);
    client_say(client, "two ");
    client_say(client, "three");
    RUN_UNTIL(client->got->len == 13);
    assert_got(client, "one two three");
    g_assert_cmpuint(client->ready, ==, 1);
    g_assert_true(stream_is_loopback(client->stream));
    g_assert_false(stream_is_tunnel(client->stream));
    g_assert_false(stream_is_encrypted(client->stream));
    g_assert_null(stream_tls_description(client->stream));
    g_assert_cmpuint(stream_bytes_received(client->stream), ==, 13);
    g_assert_cmpint(stream_last_receive(client->stream), >, 0);
    g_assert_cmpuint(stream_queued(client->stream), ==, 0);
}

static void test_ipv6(void)
{
    Server *server = server_new(serve_echo, NULL);
    close(server->listener);
    server->listener = listen_on(AF_INET6, &server->port);
    if (server->listener < 0) {
        server_free(server);
        g_test_skip("no IPv6 here");
        return;
    }
    server_start(server);
    StreamConfig config = plain_to(server);
    config.host = "::1";
    g_autoptr(Client) client = client_run(&config);
    client_say(client, "six");
    RUN_UNTIL(client->got->len == 3);
    g_assert_true(stream_is_loopback(client->stream));
    g_clear_pointer(&client->stream, stream_free);
    server_free(server);
}

static void test_refused(void)
{
    guint16 port;
    int fd = listen_on(AF_INET, &port);
    close(fd);
    StreamConfig config = {.host = "127.0.0.1", .port = port, .connect_timeout = 30};
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "refuses connections");
    g_assert_cmpuint(client->ready, ==, 0);
}

static void test_no_such_host(void)
{
    StreamConfig config = {.host = "mail.invalid", .port = 993, .connect_timeout = 30};
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "mail.invalid");
}

static void test_closed_by_peer(void)
{
    g_autoptr(Server) server = server_run(serve_goodbye, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "closed the connection");
    assert_got(client, "* BYE too many connections\r\n");
}

/* Writing into a connection that the peer has reset does no harm. */
static void test_write_to_closed(void)
{
    g_autoptr(Server) server = server_run(serve_goodbye, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_new(&config);
    stream_pause(client->stream, TRUE);
    client_connect(client);
    RUN_UNTIL(client->ready);
    server_stop(server);
    g_autofree char *text = g_strnfill(100000, 'x');
    for (guint i = 0; i < 50; i++) {
        client_write(client, text, 100000);
        run_idle();
    }
    stream_pause(client->stream, FALSE);
    assert_failed(client, MAIL_ERROR_OFFLINE, NULL);
}

static void test_close_sends(void)
{
    g_autoptr(Server) server = server_run(serve_ear, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->ready);
    client_say(client, "a LOGOUT\r\n");
    stream_close(client->stream);
    client_say(client, "too late");
    run_idle();
    server_stop(server);
    g_assert_cmpstr(server->heard->str, ==, "a LOGOUT\r\n");
    g_assert_cmpuint(client->failed, ==, 0);
}

static gsize pause_after_1000(Client *client, const guint8 *bytes, gsize size)
{
    stream_pause(client->stream, TRUE);
    return MIN(size, 1000);
}

static gsize one_less(Client *client, const guint8 *bytes, gsize size)
{
    return size > 1 ? size - 1 : size;
}

/* What a paused stream has read is offered again, in order and without loss. */
static void test_pause(void)
{
    g_autoptr(Server) server = server_run(serve_echo, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_received = pause_after_1000;
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < 5000; i++)
        g_string_append_printf(text, "%u,", i);
    client_write(client, text->str, text->len);
    while (client->got->len < text->len) {
        guint calls = client->calls;
        RUN_UNTIL(client->calls > calls);
        run_idle();
        g_assert_cmpuint(client->calls, ==, calls + 1);
        client->inside = TRUE;
        stream_pause(client->stream, FALSE);
        client->inside = FALSE;
    }
    assert_got(client, text->str);
}

/* What is left without a reason comes again with what follows it. */
static void test_leftover(void)
{
    g_autoptr(Server) server = server_run(serve_echo, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_received = one_less;
    client_say(client, "abc");
    RUN_UNTIL(client->got->len == 2);
    client_say(client, "def");
    RUN_UNTIL(client->got->len == 5);
    assert_got(client, "abcde");
}

/* Bytes that count up, so that a lost or doubled piece shows. */
static GByteArray *pattern(gsize size)
{
    GByteArray *bytes = g_byte_array_sized_new((guint)size);
    g_byte_array_set_size(bytes, (guint)size);
    guint32 seed = 1;
    for (gsize i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes->data[i] = (guint8)(seed >> 24);
    }
    return bytes;
}

static void exchange_large(Client *client, gsize size)
{
    g_autoptr(GByteArray) bytes = pattern(size);
    for (gsize at = 0; at < size; at += 99999)
        client_write(client, (const char *)bytes->data + at, MIN(99999, size - at));
    RUN_UNTIL(client->got->len >= size || client->failed);
    g_assert_cmpmem(client->got->data, client->got->len, bytes->data, bytes->len);
    g_assert_cmpuint(client->largest, <=, 65536);
    g_assert_cmpuint(stream_queued(client->stream), ==, 0);
}

static void test_large(void)
{
    g_autoptr(Server) server = server_run(serve_echo, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    exchange_large(client, 8 * 1024 * 1024);
}

/* A peer that reads nothing for now: the rest waits here, and the writer hears when it is gone. */
static void test_drained(void)
{
    g_autoptr(Server) server = server_new(serve_ear, NULL); /* started later */
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->ready);
    g_autoptr(GByteArray) bytes = pattern(32 * 1024 * 1024);
    client_write(client, (const char *)bytes->data, bytes->len);
    run_idle();
    g_assert_cmpuint(stream_queued(client->stream), >, STREAM_QUEUE_LOW);
    g_assert_cmpuint(client->drained, ==, 0);
    server_start(server);
    RUN_UNTIL(client->drained || client->failed);
    RUN_UNTIL(stream_queued(client->stream) == 0);
    g_clear_pointer(&client->stream, stream_free);
    server_stop(server);
    g_assert_cmpuint(client->drained, ==, 1);
    g_assert_cmpmem(server->heard->str, server->heard->len, bytes->data, bytes->len);
}

/* Freeing inside callbacks */

static void free_it(Client *client)
{
    g_clear_pointer(&client->stream, stream_free);
}

static gsize free_in_received(Client *client, const guint8 *bytes, gsize size)
{
    free_it(client);
    return size;
}

static void test_free_in_ready(void)
{
    g_autoptr(Server) server = server_run(serve_goodbye, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_ready = free_it;
    RUN_UNTIL(client->ready);
    run_idle();
    g_assert_cmpuint(client->calls + client->failed, ==, 0);
}

static void test_free_in_received(void)
{
    g_autoptr(Server) server = server_run(serve_goodbye, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_received = free_in_received;
    RUN_UNTIL(client->calls);
    run_idle();
    g_assert_cmpuint(client->failed, ==, 0);
}

static void test_free_in_failed(void)
{
    g_autoptr(Server) server = server_run(serve_hang_up, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_failed = free_it;
    assert_failed(client, MAIL_ERROR_OFFLINE, NULL);
}

static void test_free_while_connecting(void)
{
    g_autoptr(Server) server = server_run(serve_hang_up, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    free_it(client);
    g_autoptr(Client) unused = client_new(&config);
    run_idle();
    g_assert_cmpuint(client->ready + client->failed + unused->ready, ==, 0);
}

/* TLS */

static void test_tls(void)
{
    g_autoptr(Identity) ca = identity_new("Test CA", NULL, NULL, -DAY, DAY);
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", ca, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_tls_echo, identity);
    StreamConfig config = tls_to(server, "localhost", ca);
    g_autoptr(Client) client = client_run(&config);
    client_say(client, "hello");
    RUN_UNTIL(client->got->len == 5 || client->failed);
    assert_got(client, "hello");
    g_assert_cmpuint(client->ready, ==, 1);
    g_assert_true(stream_is_encrypted(client->stream));
    g_assert_true(g_str_has_prefix(stream_tls_description(client->stream), "TLSv1.3 TLS_"));
    stream_close(client->stream);
    server_stop(server);
    g_assert_cmpstr(server->sni, ==, "localhost");
    g_assert_cmpstr(server->heard->str, ==, "close_notify");
}

/* An address is verified as one, and is no server name. */
static void test_tls_address(void)
{
    g_autoptr(Identity) identity = identity_new("x", "IP:127.0.0.1", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_tls_echo, identity);
    StreamConfig config = tls_to(server, "127.0.0.1", identity);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->ready || client->failed);
    g_assert_no_error(client->error);
    g_clear_pointer(&client->stream, stream_free);
    server_stop(server);
    g_assert_null(server->sni);
}

static void test_tls_1_2(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_new(serve_tls_echo, identity);
    SSL_CTX_set_max_proto_version(server->tls, TLS1_2_VERSION);
    server_start(server);
    StreamConfig config = tls_to(server, "localhost", identity);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->ready || client->failed);
    g_assert_no_error(client->error);
    g_assert_true(g_str_has_prefix(stream_tls_description(client->stream), "TLSv1.2 "));
}

static void test_tls_1_1(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_new(serve_tls_echo, identity);
    SSL_CTX_set_security_level(server->tls, 0);
    SSL_CTX_set_cipher_list(server->tls, "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(server->tls, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(server->tls, TLS1_1_VERSION);
    server_start(server);
    StreamConfig config = tls_to(server, "localhost", identity);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_TLS, "TLS 1.2");
}

typedef struct {
    const char *names; /* of the certificate; NULL: only a common name, "localhost" */
    gboolean from_ca, trust;
    int from, until; /* days */
    const char *message;
} BadCertificate;

static const BadCertificate bad_certificates[] = {
    {"DNS:localhost", FALSE, FALSE, -1, 1, "is self-signed: if you trust it"},
    {"DNS:localhost", TRUE, FALSE, -1, 1, "\"CN = Test CA\", which is not trusted"},
    {"DNS:localhost", TRUE, TRUE, -9, -2, " expired on 20"},
    {"DNS:localhost", TRUE, TRUE, 2, 9, " is not valid before 20"},
    {"DNS:a.example,IP:192.0.2.1", TRUE, TRUE, -1, 1, "is for a.example, 192.0.2.1: use a name"},
    {"DNS:local*", TRUE, TRUE, -1, 1, "is for local*"},
    {"IP:127.0.0.1", TRUE, TRUE, -1, 1, "is for 127.0.0.1"},
    {"email:a@localhost", TRUE, TRUE, -1, 1, "names no host at all"},
    {NULL, TRUE, TRUE, -1, 1, "names no host at all"},
};

static void test_bad_certificate(gconstpointer data)
{
    const BadCertificate *bad = data;
    g_autoptr(Identity) ca = identity_new("Test CA", NULL, NULL, -DAY, DAY);
    g_autoptr(Identity) identity = identity_new("localhost", bad->names, bad->from_ca ? ca : NULL,
                                                (long)bad->from * DAY, (long)bad->until * DAY);
    g_autoptr(Server) server = server_run(serve_tls_echo, identity);
    StreamConfig config = tls_to(server, "localhost", bad->trust ? ca : NULL);
    g_autoptr(Client) client = client_run(&config);
    client_say(client, "a LOGIN alice tiger\r\n");
    assert_failed(client, MAIL_ERROR_TLS, bad->message);
    g_assert_cmpuint(client->ready, ==, 0);
    if (!bad->trust)
        g_assert_nonnull(strstr(client->error->message, "-o ca-file=FILE"));
}

/* Only the given file is trusted, not what would be trusted without it. */
static void test_other_ca(void)
{
    g_autoptr(Identity) ca = identity_new("Test CA", NULL, NULL, -DAY, DAY);
    g_autoptr(Identity) other = identity_new("Other CA", NULL, NULL, -DAY, DAY);
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", ca, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_tls_echo, identity);
    StreamConfig config = tls_to(server, "localhost", other);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_TLS, "Test CA");
}

static void test_no_ca_file(void)
{
    g_autoptr(Server) server = server_run(serve_silence, NULL);
    StreamConfig config = tls_to(server, "localhost", NULL);
    config.ca_file = "/nonexistent/ca.pem";
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_TLS, "/nonexistent/ca.pem");
}

/* To OpenSSL these would mean "any host". */
static void test_no_host_name(void)
{
    static const char *const argv[] = {"cat", NULL};
    static const char *const hosts[] = {"", ".example.org"};
    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        StreamConfig config = {.host = hosts[i], .tunnel = argv, .tls = STREAM_TLS_IMPLICIT};
        g_autoptr(Client) client = client_run(&config);
        assert_failed(client, MAIL_ERROR_TLS, "it is no host name");
    }
}

static void test_not_tls(void)
{
    g_autoptr(Server) server = server_run(serve_clear_greeting, NULL);
    StreamConfig config = tls_to(server, "127.0.0.1", NULL);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_TLS,
                  "does not speak TLS on this port, but says \"* OK [CAPABILITY "
                  "IMAP4rev1] \\x1b[31mready\"");
}

static void test_tls_hang_up(void)
{
    g_autoptr(Server) server = server_run(serve_hang_up, NULL);
    StreamConfig config = tls_to(server, "127.0.0.1", NULL);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "closed the connection");
}

static void test_tls_truncated(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_tls_truncated, identity);
    StreamConfig config = tls_to(server, "localhost", identity);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "closed the connection");
    assert_got(client, "half a li");
}

static void test_tls_timeout(void)
{
    g_autoptr(Server) server = server_run(serve_silence, NULL);
    StreamConfig config = tls_to(server, "127.0.0.1", NULL);
    config.connect_timeout = 1;
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_TIMEOUT, "does not answer");
}

static void test_tls_large(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_new(serve_tls_echo, identity);
    server_start(server);
    StreamConfig config = tls_to(server, "localhost", identity);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->ready || client->failed);
    exchange_large(client, 4 * 1024 * 1024);
}

static void talk_once(const StreamConfig *config)
{
    g_autoptr(Client) client = client_run(config);
    client_say(client, "hi");
    RUN_UNTIL(client->got->len == 2 || client->failed);
    g_assert_no_error(client->error);
}

static void test_resumption(gconstpointer version)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_new(serve_tls_echo, identity);
    SSL_CTX_set_max_proto_version(server->tls, GPOINTER_TO_INT(version));
    server->connections = 3;
    server_start(server);
    StreamConfig config = tls_to(server, "localhost", identity);
    for (guint i = 0; i < 3; i++)
        talk_once(&config);
    server_stop(server);
    g_assert_cmpuint(server->resumed, ==, 2);
}

/* A session that was verified with one ca_file must not carry over to another. */
static void test_resumption_trust(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Identity) other = identity_new("y", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_new(serve_tls_echo, identity);
    server->connections = 2;
    server_start(server);
    StreamConfig config = tls_to(server, "localhost", identity);
    talk_once(&config);
    config.ca_file = other->file;
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_TLS, "-o ca-file=FILE");
}

/* STARTTLS */

/* The client of an IMAP-like server: answers the greeting, and starts TLS at the "a OK" line. */
static gsize start_at_ok(Client *client, const guint8 *bytes, gsize size)
{
    const guint8 *end = memchr(bytes, '\n', size);
    if (!end || stream_is_encrypted(client->stream))
        return size;
    if (bytes[0] == '*') {
        client_say(client, "a STARTTLS\n");
    } else {
        client->inside = TRUE;
        stream_start_tls(client->stream);
        client->inside = FALSE;
        client_say(client, "secret");
    }
    return (gsize)(end - bytes) + 1;
}

static void test_starttls(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_starttls, identity);
    StreamConfig config = tls_to(server, "localhost", identity);
    config.tls = STREAM_TLS_START;
    g_autoptr(Client) client = client_run(&config);
    client->on_received = start_at_ok;
    RUN_UNTIL(client->ready == 1 || client->failed);
    g_assert_false(stream_is_encrypted(client->stream));
    RUN_UNTIL(client->ready == 2 || client->failed);
    g_assert_true(stream_is_encrypted(client->stream));
    RUN_UNTIL(client->got->len == 30 || client->failed);
    assert_got(client, "* OK hello\r\na OK begin\r\nsecret");
    g_clear_pointer(&client->stream, stream_free);
    server_stop(server);
    g_assert_cmpstr(server->heard->str, ==, "a STARTTLS");
}

static void test_starttls_bad_certificate(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_starttls, identity);
    StreamConfig config = tls_to(server, "localhost", NULL);
    config.tls = STREAM_TLS_START;
    g_autoptr(Client) client = client_run(&config);
    client->on_received = start_at_ok;
    assert_failed(client, MAIL_ERROR_TLS, "self-signed");
}

/* What came with the "OK" is never taken for the server's word under TLS; nothing of ours
 * follows, not even a handshake. */
static void test_starttls_injection(void)
{
    g_autoptr(Server) server = server_run(serve_injection, NULL);
    StreamConfig config = tls_to(server, "localhost", NULL);
    config.tls = STREAM_TLS_START;
    g_autoptr(Client) client = client_run(&config);
    client->on_received = start_at_ok;
    assert_failed(client, MAIL_ERROR_PROTOCOL, "tampering");
    g_assert_cmpuint(client->ready, ==, 1);
    server_stop(server);
    g_assert_cmpstr(server->heard->str, ==, "");
}

static gsize pause_at_ok(Client *client, const guint8 *bytes, gsize size)
{
    if (bytes[0] == '*')
        return start_at_ok(client, bytes, size);
    stream_pause(client->stream, TRUE);
    return (gsize)((const guint8 *)memchr(bytes, '\n', size) - bytes) + 1;
}

/* The same when TLS is started from elsewhere than from the callback. */
static void test_starttls_injection_later(void)
{
    g_autoptr(Server) server = server_run(serve_injection, NULL);
    StreamConfig config = tls_to(server, "localhost", NULL);
    config.tls = STREAM_TLS_START;
    g_autoptr(Client) client = client_run(&config);
    client->on_received = pause_at_ok;
    RUN_UNTIL(client->calls >= 2 || client->failed);
    client->inside = TRUE;
    stream_start_tls(client->stream);
    client->inside = FALSE;
    assert_failed(client, MAIL_ERROR_PROTOCOL, "tampering");
    server_stop(server);
    g_assert_cmpstr(server->heard->str, ==, "");
}

/* DEFLATE */

static gsize deflate_at_ok(Client *client, const guint8 *bytes, gsize size)
{
    if (client->got->len > 0)
        return size;
    client->inside = TRUE;
    stream_start_deflate(client->stream);
    client->inside = FALSE;
    return 4; /* "OK\r\n"; the rest is compressed */
}

static void exchange_deflated(const StreamConfig *config)
{
    g_autoptr(Client) client = client_run(config);
    client->on_received = deflate_at_ok;
    client_say(client, "z\n");
    RUN_UNTIL(client->got->len == 10 || client->failed);
    assert_got(client, "OK\r\nearly ");
    client_say(client, "hello");
    RUN_UNTIL(client->got->len == 15 || client->failed);
    assert_got(client, "OK\r\nearly hello");
    g_byte_array_set_size(client->got, 0);
    client->on_received = NULL;
    exchange_large(client, 2 * 1024 * 1024);
}

static void test_deflate(void)
{
    g_autoptr(Server) server = server_run(serve_deflate, NULL);
    StreamConfig config = plain_to(server);
    exchange_deflated(&config);
}

static void test_tls_deflate(void)
{
    g_autoptr(Identity) identity = identity_new("x", "DNS:localhost", NULL, -DAY, DAY);
    g_autoptr(Server) server = server_run(serve_tls_deflate, identity);
    StreamConfig config = tls_to(server, "localhost", identity);
    exchange_deflated(&config);
}

/* A thousandfold inflation comes in slices, each of a bounded turn of the loop. */
static void test_bomb(void)
{
    g_autoptr(Server) server = server_run(serve_bomb, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_received = deflate_at_ok;
    client_say(client, "z\n");
    guint turns = 0;
    while (client->got->len < BOMB && !client->failed) {
        guint before = client->got->len;
        g_main_context_iteration(NULL, TRUE);
        g_assert_cmpuint(client->got->len - before, <=, 320 * 1024);
        turns++;
    }
    g_assert_no_error(client->error);
    g_assert_cmpuint(client->largest, <=, 65536);
    g_assert_cmpuint(turns, >=, BOMB / (320 * 1024));
}

static void test_broken_deflate(void)
{
    g_autoptr(Server) server = server_run(serve_broken_deflate, NULL);
    StreamConfig config = plain_to(server);
    g_autoptr(Client) client = client_run(&config);
    client->on_received = deflate_at_ok;
    client_say(client, "z\n");
    assert_failed(client, MAIL_ERROR_PROTOCOL, "compressed data");
}

/* Tunnels */

static StreamConfig tunnel_to(const char *const *argv)
{
    return (StreamConfig){
        .host = "mail.example.org", .port = 143, .tunnel = argv, .connect_timeout = 30};
}

static void test_tunnel(void)
{
    static const char *const argv[] = {"cat", NULL};
    StreamConfig config = tunnel_to(argv);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->ready || client->failed);
    g_assert_true(stream_is_tunnel(client->stream));
    g_assert_false(stream_is_loopback(client->stream));
    exchange_large(client, 2 * 1024 * 1024);
}

/* A write to a command that has ended must not kill by SIGPIPE, which GIO only happens to ignore.
 */
static void test_tunnel_write_to_ended(void)
{
    static const char *const argv[] = {"echo", "bye", NULL};
    StreamConfig config = tunnel_to(argv);
    g_autoptr(Client) client = client_new(&config);
    stream_pause(client->stream, TRUE);
    client_connect(client);
    RUN_UNTIL(client->ready);
    sighandler_t before = signal(SIGPIPE, SIG_DFL);
    for (guint i = 0; i < 300; i++) {
        client_say(client, "x");
        run_idle();
        g_usleep(1000);
    }
    signal(SIGPIPE, before);
    stream_pause(client->stream, FALSE);
    assert_failed(client, MAIL_ERROR_OFFLINE, "ended");
    assert_got(client, "bye\n");
}

static void test_tunnel_missing(void)
{
    static const char *const argv[] = {"/nonexistent/command", NULL};
    StreamConfig config = tunnel_to(argv);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "/nonexistent/command");
    g_assert_cmpuint(client->ready, ==, 0);
}

/* Its last words are logged, escaped, and are the reason that is given. */
static void test_tunnel_complaint(void)
{
    static const char *const argv[] = {
        "sh", "-c", "echo one >&2; printf 'no \\033[1mroute\\n' >&2; exit 255", NULL};
    StreamConfig config = tunnel_to(argv);
    g_test_expect_message("mailfs", G_LOG_LEVEL_MESSAGE, "tunnel: one");
    g_test_expect_message("mailfs", G_LOG_LEVEL_MESSAGE, "tunnel: no ?x1b*route");
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "ended: no \\x1b[1mroute");
    g_test_assert_expected_messages();
}

/* Runs a command that prints its pid and stays; returns the pid after the stream is freed. */
static pid_t leave_tunnel(const char *script)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    StreamConfig config = tunnel_to(argv);
    g_autoptr(Client) client = client_run(&config);
    RUN_UNTIL(client->failed ||
              (client->got->len && client->got->data[client->got->len - 1] == '\n'));
    g_assert_no_error(client->error);
    pid_t pid = (pid_t)g_ascii_strtoll((const char *)client->got->data, NULL, 10);
    g_assert_cmpint(pid, >, 1);
    return pid;
}

static gboolean tick(gpointer data)
{
    return G_SOURCE_CONTINUE;
}

/* Reaped too: a zombie would still take signals. */
static void assert_gone(pid_t pid)
{
    guint ticks = g_timeout_add(20, tick, NULL);
    RUN_UNTIL(kill(pid, 0) != 0 && errno == ESRCH);
    g_source_remove(ticks);
}

static void test_tunnel_killed(void)
{
    assert_gone(leave_tunnel("echo $$; exec sleep 1000"));
}

static void test_tunnel_stubborn(void)
{
    assert_gone(leave_tunnel("trap '' TERM; echo $$; exec sleep 1000"));
}

/* No descriptor of ours is left open in the command. */
static void test_tunnel_descriptors(void)
{
    int open_one = dup(0);
    static const char *const argv[] = {"ls", "/proc/self/fd", NULL};
    StreamConfig config = tunnel_to(argv);
    g_autoptr(Client) client = client_run(&config);
    assert_failed(client, MAIL_ERROR_OFFLINE, "ended");
    close(open_one);
    assert_got(client, "0\n1\n2\n3\n"); /* 3 is the directory that it lists */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    directory = g_dir_make_tmp("test-stream-XXXXXX", NULL);
    g_assert_nonnull(directory);
    g_test_add_func("/stream/echo", test_echo);
    g_test_add_func("/stream/ipv6", test_ipv6);
    g_test_add_func("/stream/refused", test_refused);
    g_test_add_func("/stream/no-such-host", test_no_such_host);
    g_test_add_func("/stream/closed-by-peer", test_closed_by_peer);
    g_test_add_func("/stream/write-to-closed", test_write_to_closed);
    g_test_add_func("/stream/close-sends", test_close_sends);
    g_test_add_func("/stream/pause", test_pause);
    g_test_add_func("/stream/leftover", test_leftover);
    g_test_add_func("/stream/large", test_large);
    g_test_add_func("/stream/drained", test_drained);
    g_test_add_func("/stream/free-in-ready", test_free_in_ready);
    g_test_add_func("/stream/free-in-received", test_free_in_received);
    g_test_add_func("/stream/free-in-failed", test_free_in_failed);
    g_test_add_func("/stream/free-while-connecting", test_free_while_connecting);
    g_test_add_func("/stream/tls", test_tls);
    g_test_add_func("/stream/tls-address", test_tls_address);
    g_test_add_func("/stream/tls-1.2", test_tls_1_2);
    g_test_add_func("/stream/tls-1.1", test_tls_1_1);
    for (guint i = 0; i < G_N_ELEMENTS(bad_certificates); i++) {
        g_autofree char *name = g_strdup_printf("/stream/bad-certificate/%u", i);
        g_test_add_data_func(name, &bad_certificates[i], test_bad_certificate);
    }
    g_test_add_func("/stream/other-ca", test_other_ca);
    g_test_add_func("/stream/no-ca-file", test_no_ca_file);
    g_test_add_func("/stream/no-host-name", test_no_host_name);
    g_test_add_func("/stream/not-tls", test_not_tls);
    g_test_add_func("/stream/tls-hang-up", test_tls_hang_up);
    g_test_add_func("/stream/tls-truncated", test_tls_truncated);
    g_test_add_func("/stream/tls-timeout", test_tls_timeout);
    g_test_add_func("/stream/tls-large", test_tls_large);
    g_test_add_data_func("/stream/resumption/1.3", GINT_TO_POINTER(TLS1_3_VERSION),
                         test_resumption);
    g_test_add_data_func("/stream/resumption/1.2", GINT_TO_POINTER(TLS1_2_VERSION),
                         test_resumption);
    g_test_add_func("/stream/resumption-trust", test_resumption_trust);
    g_test_add_func("/stream/starttls", test_starttls);
    g_test_add_func("/stream/starttls-bad-certificate", test_starttls_bad_certificate);
    g_test_add_func("/stream/starttls-injection", test_starttls_injection);
    g_test_add_func("/stream/starttls-injection-later", test_starttls_injection_later);
    g_test_add_func("/stream/deflate", test_deflate);
    g_test_add_func("/stream/tls-deflate", test_tls_deflate);
    g_test_add_func("/stream/bomb", test_bomb);
    g_test_add_func("/stream/broken-deflate", test_broken_deflate);
    g_test_add_func("/stream/tunnel", test_tunnel);
    g_test_add_func("/stream/tunnel-write-to-ended", test_tunnel_write_to_ended);
    g_test_add_func("/stream/tunnel-missing", test_tunnel_missing);
    g_test_add_func("/stream/tunnel-complaint", test_tunnel_complaint);
    g_test_add_func("/stream/tunnel-killed", test_tunnel_killed);
    g_test_add_func("/stream/tunnel-stubborn", test_tunnel_stubborn);
    g_test_add_func("/stream/tunnel-descriptors", test_tunnel_descriptors);
    int status = g_test_run();
    g_rmdir(directory);
    g_free(directory);
    return status;
}
