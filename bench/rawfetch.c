/* The least a mail client can do to get all mail: what mailfs is compared with.
 *
 *     rawfetch imap[s]://USER@127.0.0.1:PORT bodies|fields
 *     rawfetch imap[s]://USER@127.0.0.1:PORT naive COUNT
 *     rawfetch pop3[s]://USER@127.0.0.1:PORT bodies
 *
 * The environment has RAWFETCH_PASSWORD and, if it is not INBOX, RAWFETCH_MAILBOX. It prints the
 * seconds it took, how many bytes of mail came, and how many messages.
 *
 * The mail is not kept and hardly looked at. Certificates are not verified: this is a yard-stick
 * for servers on loopback, never for use elsewhere. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)

typedef struct {
    char scheme[8];
    char user[256];
    guint16 port;
} Url;

/* The input that has not been looked at yet is buffer[start..end). */
typedef struct {
    int fd;
    SSL_CTX *context;
    SSL *ssl; /* NULL: no TLS */
    char *buffer;
    gsize start, end;
    GString *output; /* goes out while input is waited for, see fill() */
    gsize sent;
} Stream;

typedef struct {
    guint64 bytes;
    guint64 messages;
} Tally;

G_GNUC_NORETURN G_GNUC_PRINTF(1, 2) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("rawfetch: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

/* ---- the connection ---- */

static void start_tls(Stream *stream)
{
    stream->context = SSL_CTX_new(TLS_client_method());
    if (!stream->context)
        die("no TLS");
    SSL_CTX_set_mode(stream->context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Without these each record costs two read()s. */
    SSL_CTX_set_read_ahead(stream->context, 1);
    SSL_CTX_set_default_read_buffer_len(stream->context, READ_SIZE);
    stream->ssl = SSL_new(stream->context);
    if (!stream->ssl || !SSL_set_fd(stream->ssl, stream->fd) || SSL_connect(stream->ssl) != 1)
        die("TLS: %s", ERR_error_string(ERR_get_error(), NULL));
}

static void stream_open(Stream *stream, const Url *url)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(url->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->fd < 0 || connect(stream->fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect: %s", g_strerror(errno));
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    stream->buffer = g_malloc(2 * READ_SIZE);
    stream->output = g_string_new(NULL);
    if (g_str_has_suffix(url->scheme, "s"))
        start_tls(stream);
}

static void stream_close(Stream *stream)
{
    SSL_free(stream->ssl);
    SSL_CTX_free(stream->context);
    close(stream->fd);
    g_string_free(stream->output, TRUE);
    g_free(stream->buffer);
}

static gboolean would_block(const Stream *stream, int result)
{
    if (!stream->ssl)
        return errno == EAGAIN || errno == EINTR;
    int error = SSL_get_error(stream->ssl, result);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Returns 0 when it would block, as the next one does. */
static gsize read_some(Stream *stream)
{
    char *space = stream->buffer + stream->end;
    int got = stream->ssl ? SSL_read(stream->ssl, space, READ_SIZE)
                          : (int)read(stream->fd, space, READ_SIZE);
    if (got > 0)
        return (gsize)got;
    if ((got < 0 || stream->ssl) && would_block(stream, got))
        return 0;
    die("the server closed the connection");
}

static gsize write_some(Stream *stream)
{
    const char *data = stream->output->str + stream->sent;
    int length = (int)MIN(stream->output->len - stream->sent, READ_SIZE);
    int sent = stream->ssl ? SSL_write(stream->ssl, data, length)
                           : (int)send(stream->fd, data, (gsize)length, MSG_NOSIGNAL);
    if (sent > 0)
        return (gsize)sent;
    if (would_block(stream, sent))
        return 0;
    die("cannot send to the server");
}

static void set_blocking(const Stream *stream, gboolean blocking)
{
    if (fcntl(stream->fd, F_SETFL, blocking ? 0 : O_NONBLOCK) < 0)
        die("fcntl: %s", g_strerror(errno));
}

/* Sends all output. Returns early with what came in meanwhile: a server that cannot get rid of its
 * answers takes no more commands, and both would wait for ever. */
static gsize exchange(Stream *stream)
{
    gsize got = 0;
    set_blocking(stream, FALSE);
    while (got == 0 && stream->sent < stream->output->len) {
        gsize sent = write_some(stream);
        stream->sent += sent;
        got = sent > 0 ? 0 : read_some(stream);
        if (sent == 0 && got == 0)
            poll(&(struct pollfd){.fd = stream->fd, .events = POLLIN | POLLOUT}, 1, -1);
    }
    set_blocking(stream, TRUE);
    return got;
}

/* Gets more input behind what is there, which moves to the front. */
static void fill(Stream *stream)
{
    gsize left = stream->end - stream->start, got = 0;
    if (left > READ_SIZE)
        die("the server's line is too long");
    memmove(stream->buffer, stream->buffer + stream->start, left);
    stream->start = 0;
    stream->end = left;
    if (stream->sent < stream->output->len)
        got = exchange(stream);
    while (got == 0)
        got = read_some(stream);
    stream->end += got;
}

G_GNUC_PRINTF(2, 3) static void put(Stream *stream, const char *format, ...)
{
    if (stream->sent == stream->output->len) {
        g_string_truncate(stream->output, 0);
        stream->sent = 0;
    }
    va_list arguments;
    va_start(arguments, format);
    g_string_append_vprintf(stream->output, format, arguments);
    va_end(arguments);
}

static void need(Stream *stream, gsize bytes)
{
    while (stream->end - stream->start < bytes)
        fill(stream);
}

/* The next line without its CRLF, good until more is read. */
static const char *get_line(Stream *stream)
{
    gsize seen = 0;
    char *end;
    while (!(end = memchr(stream->buffer + stream->start + seen, '\n',
                          stream->end - stream->start - seen))) {
        seen = stream->end - stream->start;
        fill(stream);
    }
    char *line = stream->buffer + stream->start;
    stream->start = (gsize)(end - stream->buffer) + 1;
    *end = '\0';
    if (end > line && end[-1] == '\r')
        end[-1] = '\0';
    return line;
}

static void skip(Stream *stream, guint64 bytes)
{
    while (stream->end - stream->start < bytes) {
        bytes -= stream->end - stream->start;
        stream->start = stream->end;
        fill(stream);
    }
    stream->start += bytes;
}

/* ---- IMAP ---- */

static gboolean find_literal(const char *line, guint64 *length)
{
    gsize size = strlen(line);
    const char *brace = size > 2 && line[size - 1] == '}' ? strrchr(line, '{') : NULL;
    char *end = NULL;
    if (!brace || !g_ascii_isdigit(brace[1]))
        return FALSE;
    *length = g_ascii_strtoull(brace + 1, &end, 10);
    return strcmp(end, "}") == 0;
}

static gboolean is_fetch(const char *line)
{
    const char *number = line + 2;
    return g_str_has_prefix(number + strspn(number, "0123456789"), " FETCH ");
}

static void check_status(const char *line)
{
    const char *status = strchr(line, ' ');
    if (!status || g_str_has_prefix(status, " NO") || g_str_has_prefix(status, " BAD"))
        die("the server says: %s", line);
}

/* Reads responses up to the one with this tag. */
static void await_tag(Stream *stream, const char *tag, Tally *tally)
{
    for (;;) {
        const char *line = get_line(stream);
        guint64 length;
        check_status(line);
        gboolean tagged = line[0] != '*';
        if (tagged && (!g_str_has_prefix(line, tag) || line[strlen(tag)] != ' '))
            die("unexpected: %s", line);
        if (tagged)
            return;
        tally->messages += is_fetch(line);
        while (find_literal(line, &length)) {
            tally->bytes += length;
            skip(stream, length);
            line = get_line(stream);
        }
    }
}

static char *quote(const char *text)
{
    GString *quoted = g_string_new("\"");
    for (; *text; text++) {
        if (strchr("\"\\", *text))
            g_string_append_c(quoted, '\\');
        g_string_append_c(quoted, *text);
    }
    return g_string_free(g_string_append_c(quoted, '"'), FALSE);
}

/* Leaves SELECT unsent, so that what comes next can go with it. */
static void imap_log_in(Stream *stream, const char *user, const char *password)
{
    const char *mailbox = g_getenv("RAWFETCH_MAILBOX");
    g_autofree char *quoted_user = quote(user);
    g_autofree char *quoted_password = quote(password);
    g_autofree char *quoted_mailbox = quote(mailbox ? mailbox : "INBOX");
    Tally ignored = {0};
    check_status(get_line(stream));
    put(stream, "login LOGIN %s %s\r\n", quoted_user, quoted_password);
    await_tag(stream, "login", &ignored);
    put(stream, "select SELECT %s\r\n", quoted_mailbox);
}

static void imap_all(Stream *stream, const char *items, Tally *tally)
{
    Tally ignored = {0};
    put(stream, "fetch UID FETCH 1:* (%s)\r\n", items);
    await_tag(stream, "select", &ignored);
    await_tag(stream, "fetch", tally);
}

static void imap_one_by_one(Stream *stream, guint count, Tally *tally)
{
    Tally ignored = {0};
    await_tag(stream, "select", &ignored);
    for (guint number = 1; number <= count; number++) {
        put(stream, "fetch FETCH %u (BODY.PEEK[])\r\n", number);
        await_tag(stream, "fetch", tally);
    }
}

static void imap_run(Stream *stream, const char *mode, guint count, Tally *tally)
{
    if (strcmp(mode, "bodies") == 0)
        imap_all(stream, "BODY.PEEK[]", tally);
    else if (strcmp(mode, "fields") == 0)
        imap_all(stream,
                 "UID FLAGS INTERNALDATE RFC822.SIZE "
                 "BODY.PEEK[HEADER.FIELDS (FROM SUBJECT MESSAGE-ID)]",
                 tally);
    else if (strcmp(mode, "naive") == 0 && count > 0)
        imap_one_by_one(stream, count, tally);
    else
        die("no such mode of IMAP: %s", mode);
}

/* ---- POP3 ---- */

static const char *pop3_answer(Stream *stream)
{
    const char *line = get_line(stream);
    if (!g_str_has_prefix(line, "+OK"))
        die("the server says: %s", line);
    return line;
}

/* Stops at the next dot that begins a line. The two bytes at the start are what was before. */
static gsize skip_to_dot(Stream *stream)
{
    gsize skipped = 0;
    for (;;) {
        need(stream, 3);
        const char *first = stream->buffer + stream->start, *end = stream->buffer + stream->end;
        const char *dot = first + 2;
        while ((dot = memchr(dot, '.', (gsize)(end - dot))) && (dot[-1] != '\n' || dot[-2] != '\r'))
            dot++;
        gsize step = (gsize)((dot ? dot : end) - first) - 2;
        stream->start += step;
        skipped += step;
        if (dot)
            return skipped;
    }
}

/* Returns the message's size, without the dots that were stuffed into it. */
static gsize pop3_message(Stream *stream)
{
    gsize size = 0;
    pop3_answer(stream);
    stream->start -= 2; /* the answer's CRLF, as an empty message's end has no other */
    memcpy(stream->buffer + stream->start, "\r\n", 2);
    for (;;) {
        size += skip_to_dot(stream);
        need(stream, 5);
        if (memcmp(stream->buffer + stream->start, "\r\n.\r\n", 5) == 0)
            break;
        stream->start++; /* not counted; what follows is no longer at the start of the line */
    }
    stream->start += 5;
    return size;
}

static void pop3_run(Stream *stream, const Url *url, const char *password, Tally *tally)
{
    guint count = 0;
    pop3_answer(stream);
    put(stream, "USER %s\r\n", url->user);
    pop3_answer(stream);
    put(stream, "PASS %s\r\n", password);
    pop3_answer(stream);
    put(stream, "STAT\r\n");
    if (sscanf(pop3_answer(stream), "+OK %u", &count) != 1)
        die("no count in the answer to STAT");
    for (guint number = 1; number <= count; number++)
        put(stream, "RETR %u\r\n", number);
    put(stream, "QUIT\r\n");
    for (; tally->messages < count; tally->messages++)
        tally->bytes += pop3_message(stream);
    pop3_answer(stream);
}

/* ---- the program ---- */

static gboolean parse_url(const char *text, Url *url)
{
    int end = 0;
    int fields =
        sscanf(text, "%7[^:]://%255[^@]@127.0.0.1:%hu%n", url->scheme, url->user, &url->port, &end);
    return fields == 3 && text[end] == '\0' &&
           (g_str_has_prefix(url->scheme, "imap") || g_str_has_prefix(url->scheme, "pop3"));
}

int main(int argc, char **argv)
{
    Url url;
    const char *password = g_getenv("RAWFETCH_PASSWORD");
    if (argc < 3 || argc > 4 || !parse_url(argv[1], &url) || !password)
        die("usage: RAWFETCH_PASSWORD=... rawfetch SCHEME://USER@127.0.0.1:PORT MODE [COUNT]");
    signal(SIGPIPE, SIG_IGN); /* OpenSSL has no MSG_NOSIGNAL */
    Stream stream = {0};
    Tally tally = {0};
    gint64 begin = g_get_monotonic_time();
    stream_open(&stream, &url);
    if (g_str_has_prefix(url.scheme, "pop3")) {
        if (strcmp(argv[2], "bodies") != 0)
            die("no such mode of POP3: %s", argv[2]);
        pop3_run(&stream, &url, password, &tally);
    } else {
        imap_log_in(&stream, url.user, password);
        imap_run(&stream, argv[2], argc > 3 ? (guint)atoi(argv[3]) : 0, &tally);
    }
    gint64 end = g_get_monotonic_time();
    printf("%.4f %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", (double)(end - begin) / 1e6,
           tally.bytes, tally.messages);
    stream_close(&stream);
    return 0;
}
