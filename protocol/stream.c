/* The socket, the queues and the life of a stream. Everything that calls back happens in one
 * place, stream_turn(), which a single GSource runs: when the socket is ready, or when some
 * function asked for a turn by wake(). TLS and DEFLATE are layers without I/O in between:
 *
 *   received <- input <- [deflate] <- [tls] <- recv     stream_write -> queue -> [deflate] -> [tls]
 *                                                        -> wire -> send
 */
#include "stream.h"
#include "secret.h"
#include "stream-deflate.h"
#include "stream-filter.h"
#include "stream-tls.h"
#include "stream-tunnel.h"

#include <errno.h>
#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT_SIZE (64 * 1024)
#define WIRE_CHUNK (32 * 1024)
/* What one turn of the loop may receive, on the wire and as handed over. */
#define TURN_BUDGET (256 * 1024)
/* Queued bytes are encoded (compressed, encrypted) in slices, up to this much ahead of the kernel.
 */
#define SLICE (64 * 1024)
#define WIRE_AHEAD (256 * 1024)
/* From here on stream_write() does not wait for the next turn. */
#define WRITE_NOW (64 * 1024)

typedef enum {
    STATE_NEW,
    STATE_CONNECTING,
    STATE_HANDSHAKE,
    STATE_OPEN,
    STATE_FAILED, /* `error` says why; reported or about to be */
    STATE_CLOSED,
} State;

struct Stream {
    guint references; /* the owner's, the connecting operation's, and the running turn's */
    char *host, *ca_file;
    char **tunnel_argv;
    guint16 port;
    StreamTls tls_mode;
    guint connect_timeout;
    StreamFuncs funcs;
    gpointer data;

    State state;
    gboolean ready_due;  /* `ready` is to be called */
    gboolean failed_due; /* `failed` is to be called */
    gboolean paused;
    gboolean in_received; /* the callback is running */
    gboolean offer;       /* `input` holds bytes to be offered before more is read */
    gboolean write_dead;  /* the peer takes no more; what it still sent is read to its end */
    gboolean loopback;
    gboolean drained_due; /* the queue was long, and nobody has been told that it is not */
    GError *error;

    GMainContext *context;
    GSource *source, *timer;
    gpointer fd_tag;
    GIOCondition fd_events;
    GCancellable *cancellable;
    GSocketConnection *connection; /* owns fd, unless there is a tunnel */
    StreamTunnel *tunnel;
    int fd;

    StreamTlsLink *tls;
    StreamDeflate *deflate;
    StreamQueue queue; /* as the caller wrote it */
    StreamQueue wire;  /* as it will be sent */
    guint8 *input;     /* INPUT_SIZE; decoded, not yet consumed */
    gsize input_start, input_size;
    gsize turn_wire; /* received in this turn */
    gint64 last_receive;
    guint64 bytes_received;
};

typedef struct {
    GSource base;
    Stream *stream;
} TurnSource;

static void wake(Stream *stream)
{
    g_source_set_ready_time(stream->source, 0);
}

static void stop_timer(Stream *stream)
{
    if (!stream->timer)
        return;
    g_source_destroy(stream->timer);
    g_clear_pointer(&stream->timer, g_source_unref);
}

/* Takes over `error`; only the first one counts. `failed` follows from the next turn. */
static void fail(Stream *stream, GError *error)
{
    if (stream->state == STATE_FAILED || stream->state == STATE_CLOSED) {
        g_error_free(error);
        return;
    }
    stream->error = error;
    stream->state = STATE_FAILED;
    stream->failed_due = TRUE;
    stream->ready_due = FALSE;
    stop_timer(stream);
    g_cancellable_cancel(stream->cancellable);
    wake(stream);
}

G_GNUC_PRINTF(3, 4)
static void fail_with(Stream *stream, MailError code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fail(stream, g_error_new_valist(MAIL_ERROR, (gint)code, format, arguments));
    va_end(arguments);
}

/* Gives back all that belongs to the connection; the error stays. */
static void tear_down(Stream *stream)
{
    stop_timer(stream);
    g_cancellable_cancel(stream->cancellable);
    if (stream->fd_tag)
        g_source_remove_unix_fd(stream->source, stream->fd_tag);
    stream->fd_tag = NULL;
    if (stream->tunnel && stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
    g_clear_pointer(&stream->tunnel, stream_tunnel_free);
    if (stream->connection)
        g_io_stream_close(G_IO_STREAM(stream->connection), NULL, NULL);
    g_clear_object(&stream->connection);
    g_clear_pointer(&stream->tls, stream_tls_free);
    g_clear_pointer(&stream->deflate, stream_deflate_free);
    stream_queue_clear(&stream->queue);
    stream_queue_clear(&stream->wire);
    stream->input_size = 0;
}

static void stream_unref(Stream *stream)
{
    if (--stream->references > 0)
        return;
    g_source_unref(stream->source);
    g_main_context_unref(stream->context);
    g_object_unref(stream->cancellable);
    g_clear_error(&stream->error);
    g_free(stream->host);
    g_free(stream->ca_file);
    g_strfreev(stream->tunnel_argv);
    g_free(stream->input);
    g_free(stream);
}

/* Sending */

static void send_wire(Stream *stream)
{
    while (stream->wire.size > 0 && !stream->write_dead) {
        gssize sent = send(stream->fd, stream_queue_peek(&stream->wire), stream->wire.size,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            stream_queue_drop(&stream->wire, (gsize)sent);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            stream->write_dead = TRUE;
        }
    }
    if (!stream->write_dead)
        return;
    stream_queue_clear(&stream->wire);
    stream_queue_clear(&stream->queue);
}

/* Moves one slice of the queue through the layers to the wire. */
static void encode_slice(Stream *stream)
{
    const guint8 *bytes = stream_queue_peek(&stream->queue);
    gsize size = MIN(stream->queue.size, SLICE);
    StreamQueue packed = {0};
    if (stream->deflate) {
        gboolean last = size == stream->queue.size;
        stream_deflate_write(stream->deflate, bytes, size, last,
                             stream->tls ? &packed : &stream->wire);
    }
    if (stream->tls) {
        const guint8 *plain = stream->deflate ? stream_queue_peek(&packed) : bytes;
        gsize plain_size = stream->deflate ? packed.size : size;
        GError *error = NULL;
        if (plain_size > 0 &&
            !stream_tls_write(stream->tls, plain, plain_size, &stream->wire, &error))
            fail(stream, error);
    } else if (!stream->deflate) {
        stream_queue_append(&stream->wire, bytes, size);
    }
    stream_queue_clear(&packed);
    stream_queue_drop(&stream->queue, size);
}

/* Encodes all of the queue with the layers there are now, before one is added. */
static void encode_all(Stream *stream)
{
    while (stream->queue.size > 0 && stream->state == STATE_OPEN)
        encode_slice(stream);
}

static void flush(Stream *stream)
{
    do {
        while (stream->state == STATE_OPEN && stream->queue.size > 0 &&
               stream->wire.size < WIRE_AHEAD)
            encode_slice(stream);
        send_wire(stream);
    } while (stream->state == STATE_OPEN && stream->queue.size > 0 && stream->wire.size == 0);
}

/* Receiving */

static StreamPull pull_wire(Stream *stream, guint8 *bytes, gsize room, gsize *got, GError **error)
{
    if (stream->turn_wire >= TURN_BUDGET)
        return STREAM_PULL_MORE; /* the socket stays readable: the next turn goes on */
    gssize received;
    do
        received = recv(stream->fd, bytes, room, MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    if (received > 0) {
        *got = (gsize)received;
        stream->turn_wire += *got;
        stream->bytes_received += *got;
        stream->last_receive = g_get_monotonic_time();
        return STREAM_PULL_DATA;
    }
    if (received == 0 || errno == ECONNRESET || errno == EPIPE)
        return STREAM_PULL_END;
    if (errno == EAGAIN)
        return STREAM_PULL_MORE;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE, "the connection to %s broke: %s",
                stream->host, g_strerror(errno));
    return STREAM_PULL_ERROR;
}

/* Feeds TLS with what the socket has. */
static StreamPull feed_tls(Stream *stream, GError **error)
{
    guint8 chunk[WIRE_CHUNK];
    gsize got;
    StreamPull pull = pull_wire(stream, chunk, sizeof chunk, &got, error);
    if (pull == STREAM_PULL_DATA)
        stream_tls_feed(stream->tls, chunk, got);
    return pull;
}

static StreamPull pull_plain(Stream *stream, guint8 *bytes, gsize room, gsize *got, GError **error)
{
    if (!stream->tls)
        return pull_wire(stream, bytes, room, got, error);
    for (;;) {
        StreamPull pull = stream_tls_read(stream->tls, bytes, room, got, &stream->wire, error);
        if (pull != STREAM_PULL_MORE)
            return pull;
        pull = feed_tls(stream, error);
        if (pull != STREAM_PULL_DATA)
            return pull;
    }
}

static StreamPull pull(Stream *stream, guint8 *bytes, gsize room, gsize *got, GError **error)
{
    if (!stream->deflate)
        return pull_plain(stream, bytes, room, got, error);
    for (;;) {
        StreamPull result = stream_deflate_read(stream->deflate, bytes, room, got, error);
        if (result != STREAM_PULL_MORE)
            return result;
        guint8 chunk[WIRE_CHUNK];
        gsize size;
        result = pull_plain(stream, chunk, sizeof chunk, &size, error);
        if (result != STREAM_PULL_DATA)
            return result;
        stream_deflate_feed(stream->deflate, chunk, size);
    }
}

static void fail_closed(Stream *stream)
{
    const char *complaint = stream->tunnel ? stream_tunnel_complaint(stream->tunnel) : NULL;
    if (stream->tunnel)
        fail_with(stream, MAIL_ERROR_OFFLINE, "the tunnel command ended%s%s", complaint ? ": " : "",
                  complaint ? complaint : "");
    else
        fail_with(stream, MAIL_ERROR_OFFLINE, "%s closed the connection%s", stream->host,
                  stream->state == STATE_HANDSHAKE ? " during the TLS handshake" : "");
}

/* What came of a pull, for all but data. */
static void settle(Stream *stream, StreamPull result, GError *error)
{
    if (result == STREAM_PULL_END)
        fail_closed(stream);
    else if (result == STREAM_PULL_ERROR)
        fail(stream, error);
}

/* Reads more behind what `input` holds. */
static gboolean fill(Stream *stream)
{
    if (stream->input_size > 0 && stream->input_start > 0)
        memmove(stream->input, stream->input + stream->input_start, stream->input_size);
    stream->input_start = 0;
    if (stream->input_size == INPUT_SIZE) {
        fail_with(stream, MAIL_ERROR_PROTOCOL, "%s sends what cannot be taken apart", stream->host);
        return FALSE;
    }
    gsize got = 0;
    GError *error = NULL;
    StreamPull result = pull(stream, stream->input + stream->input_size,
                             INPUT_SIZE - stream->input_size, &got, &error);
    if (result != STREAM_PULL_DATA) {
        settle(stream, result, error);
        return FALSE;
    }
    stream->input_size += got;
    return TRUE;
}

static void fail_injected(Stream *stream)
{
    stream->input_size = 0;
    fail_with(stream, MAIL_ERROR_PROTOCOL,
              "%s sent unencrypted bytes just before TLS began: somebody may be tampering with the "
              "connection",
              stream->host);
}

/* What was read before DEFLATE began, but belongs to it. */
static void inflate_leftover(Stream *stream)
{
    stream_deflate_feed(stream->deflate, stream->input + stream->input_start, stream->input_size);
    stream->input_size = 0;
}

/* Offers what `input` holds. Returns how much that was. */
static gsize deliver(Stream *stream)
{
    gsize size = stream->input_size;
    gboolean was_tls = stream->tls != NULL, was_deflate = stream->deflate != NULL;
    stream->in_received = TRUE;
    gsize used =
        stream->funcs.received(stream, stream->input + stream->input_start, size, stream->data);
    stream->in_received = FALSE;
    if (stream->state == STATE_CLOSED)
        return size;
    g_return_val_if_fail(used <= size, size);
    stream->input_start += used;
    stream->input_size -= used;
    if (stream->input_size == 0)
        return size;
    if (!was_tls && stream->tls)
        fail_injected(stream);
    else if (!was_deflate && stream->deflate)
        inflate_leftover(stream);
    else
        stream->offer = stream->paused;
    return size;
}

static gboolean may_receive(const Stream *stream)
{
    return stream->state == STATE_OPEN && !stream->paused && !stream->ready_due;
}

static void receive(Stream *stream)
{
    gsize delivered = 0;
    while (may_receive(stream) && delivered < TURN_BUDGET) {
        if (!stream->offer && !fill(stream))
            return;
        stream->offer = FALSE;
        delivered += deliver(stream);
    }
    /* The layers may hold more, of which the socket knows nothing. */
    if (may_receive(stream))
        wake(stream);
}

/* Turns */

static void announce(Stream *stream)
{
    stream->state = STATE_OPEN;
    stream->ready_due = TRUE;
    stop_timer(stream);
}

static void shake_hands(Stream *stream)
{
    GError *error = NULL;
    StreamPull result;
    while ((result = stream_tls_handshake(stream->tls, &stream->wire, &error)) ==
           STREAM_PULL_MORE) {
        send_wire(stream);
        result = feed_tls(stream, &error);
        if (result != STREAM_PULL_DATA)
            break;
    }
    send_wire(stream);
    if (result == STREAM_PULL_DATA)
        announce(stream);
    else
        settle(stream, result, error);
}

static void report(Stream *stream)
{
    if (stream->ready_due) {
        stream->ready_due = FALSE;
        if (stream->last_receive == 0)
            stream->last_receive = g_get_monotonic_time();
        stream->funcs.ready(stream, stream->data);
    }
    if (stream->failed_due) {
        stream->failed_due = FALSE;
        if (stream->fd >= 0)
            send_wire(stream); /* TLS may have put an alert for the server there */
        tear_down(stream);
        stream->funcs.failed(stream, stream->error, stream->data);
    }
}

static void report_drained(Stream *stream)
{
    if (!stream->drained_due || stream->state != STATE_OPEN ||
        stream_queued(stream) >= STREAM_QUEUE_LOW)
        return;
    stream->drained_due = FALSE;
    if (stream->funcs.drained)
        stream->funcs.drained(stream, stream->data);
}

/* Has the socket polled for what we could act upon, and for nothing else: an ended socket that
 * nobody reads would spin the loop. */
static void watch_socket(Stream *stream)
{
    GIOCondition events = 0;
    if (stream->state == STATE_HANDSHAKE || (stream->state == STATE_OPEN && !stream->paused))
        events |= G_IO_IN;
    if ((stream->state == STATE_HANDSHAKE || stream->state == STATE_OPEN) && stream->wire.size > 0)
        events |= G_IO_OUT;
    if (stream->fd < 0 || events == stream->fd_events)
        return;
    stream->fd_events = events;
    if (!stream->fd_tag)
        stream->fd_tag = g_source_add_unix_fd(stream->source, stream->fd, events);
    else if (events)
        g_source_modify_unix_fd(stream->source, stream->fd_tag, events);
    else
        g_source_remove_unix_fd(stream->source, g_steal_pointer(&stream->fd_tag));
}

static void stream_turn(Stream *stream)
{
    stream->references++;
    stream->turn_wire = 0;
    if (stream->state == STATE_HANDSHAKE)
        shake_hands(stream);
    report(stream);
    receive(stream);
    if (stream->state == STATE_OPEN)
        flush(stream);
    report_drained(stream);
    report(stream);
    if (stream->state != STATE_CLOSED)
        watch_socket(stream);
    stream_unref(stream);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    g_source_set_ready_time(source, -1);
    stream_turn(((TurnSource *)source)->stream);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs turn_funcs = {.dispatch = dispatch};

/* Connecting */

static gboolean begin_tls(Stream *stream)
{
    GError *error = NULL;
    stream->tls = stream_tls_new(stream->host, stream->port, stream->ca_file, &error);
    if (!stream->tls) {
        fail(stream, error);
        return FALSE;
    }
    stream->state = STATE_HANDSHAKE;
    return TRUE;
}

/* The bytes can flow. */
static void on_transport(Stream *stream, int fd)
{
    stream->fd = fd;
    if (stream->tls_mode == STREAM_TLS_IMPLICIT)
        begin_tls(stream);
    else
        announce(stream);
    wake(stream);
}

static void tune_socket(Stream *stream, GSocket *socket)
{
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_keepalive(socket, TRUE);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    g_autoptr(GSocketAddress) peer = g_socket_get_remote_address(socket, NULL);
    if (peer && G_IS_INET_SOCKET_ADDRESS(peer))
        stream->loopback = g_inet_address_get_is_loopback(
            g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(peer)));
}

static void fail_connect(Stream *stream, const GError *error)
{
    if (g_error_matches(error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND))
        fail_with(stream, MAIL_ERROR_OFFLINE, "no such host: %s", stream->host);
    else if (error->domain == G_RESOLVER_ERROR)
        fail_with(stream, MAIL_ERROR_OFFLINE, "cannot look up %s now: %s", stream->host,
                  error->message);
    else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
        fail_with(stream, MAIL_ERROR_OFFLINE, "%s refuses connections on port %u", stream->host,
                  stream->port);
    else
        fail_with(stream, MAIL_ERROR_OFFLINE, "cannot reach %s on port %u: %s", stream->host,
                  stream->port, error->message);
}

static void on_connected(GObject *client, GAsyncResult *result, gpointer data)
{
    Stream *stream = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, &error);
    if (stream->state == STATE_CONNECTING && connection) {
        GSocket *socket = g_socket_connection_get_socket(connection);
        tune_socket(stream, socket);
        stream->connection = g_steal_pointer(&connection);
        on_transport(stream, g_socket_get_fd(socket));
    } else if (stream->state == STATE_CONNECTING) {
        fail_connect(stream, error);
    }
    stream_unref(stream);
}

static void connect_socket(Stream *stream)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_enable_proxy(client, FALSE);
    g_autoptr(GSocketConnectable) address = g_network_address_new(stream->host, stream->port);
    stream->references++;
    g_socket_client_connect_async(client, address, stream->cancellable, on_connected, stream);
}

static void connect_tunnel(Stream *stream)
{
    int fd;
    GError *error = NULL;
    stream->tunnel = stream_tunnel_new((const char *const *)stream->tunnel_argv, &fd, &error);
    if (stream->tunnel)
        on_transport(stream, fd);
    else
        fail(stream, error);
}

static gboolean on_timeout(gpointer data)
{
    Stream *stream = data;
    fail_with(stream, MAIL_ERROR_TIMEOUT, "%s does not answer%s (waited %u seconds)", stream->host,
              stream->state == STATE_HANDSHAKE ? " the TLS handshake" : "",
              stream->connect_timeout);
    return G_SOURCE_REMOVE;
}

static void start_timer(Stream *stream)
{
    if (stream->connect_timeout == 0)
        return;
    stream->timer = g_timeout_source_new_seconds(stream->connect_timeout);
    g_source_set_callback(stream->timer, on_timeout, stream, NULL);
    g_source_attach(stream->timer, stream->context);
}

/* The interface */

Stream *stream_new(const StreamConfig *config, const StreamFuncs *funcs, gpointer data)
{
    Stream *stream = g_new0(Stream, 1);
    stream->references = 1;
    stream->host = g_strdup(config->host);
    stream->port = config->port;
    stream->ca_file = g_strdup(config->ca_file);
    stream->tunnel_argv = g_strdupv((char **)config->tunnel);
    stream->tls_mode = config->tls;
    stream->connect_timeout = config->connect_timeout;
    stream->funcs = *funcs;
    stream->data = data;
    stream->fd = -1;
    stream->input = g_malloc(INPUT_SIZE);
    stream->cancellable = g_cancellable_new();
    stream->context = g_main_context_ref_thread_default();
    stream->source = g_source_new(&turn_funcs, sizeof(TurnSource));
    ((TurnSource *)stream->source)->stream = stream;
    g_source_attach(stream->source, stream->context);
    return stream;
}

void stream_connect(Stream *stream)
{
    g_return_if_fail(stream->state == STATE_NEW);
    stream->state = STATE_CONNECTING;
    start_timer(stream);
    if (stream->tunnel_argv)
        connect_tunnel(stream);
    else
        connect_socket(stream);
}

void stream_close(Stream *stream)
{
    if (stream->state == STATE_CLOSED)
        return;
    if (stream->state == STATE_OPEN) {
        flush(stream);
        if (stream->tls && stream->queue.size == 0)
            stream_tls_shutdown(stream->tls, &stream->wire);
        send_wire(stream);
    }
    stream->state = STATE_CLOSED;
    tear_down(stream);
    g_source_destroy(stream->source);
}

void stream_free(Stream *stream)
{
    if (!stream)
        return;
    stream_close(stream);
    stream_unref(stream);
}

void stream_write(Stream *stream, const char *bytes, gsize size)
{
    if (stream->state == STATE_FAILED || stream->state == STATE_CLOSED || stream->write_dead)
        return;
    stream_queue_append(&stream->queue, bytes, size);
    if (stream->state == STATE_OPEN && stream->queue.size >= WRITE_NOW && stream->wire.size == 0)
        flush(stream);
    if (stream_queued(stream) >= STREAM_QUEUE_LOW)
        stream->drained_due = TRUE;
    wake(stream);
}

gsize stream_queued(const Stream *stream)
{
    return stream->queue.size + stream->wire.size;
}

void stream_pause(Stream *stream, gboolean paused)
{
    if (stream->paused == paused)
        return;
    stream->paused = paused;
    if (!paused && stream->input_size > 0)
        stream->offer = TRUE;
    if (stream->state != STATE_CLOSED)
        wake(stream);
}

void stream_start_tls(Stream *stream)
{
    if (stream->state != STATE_OPEN)
        return;
    g_return_if_fail(stream->tls_mode == STREAM_TLS_START && !stream->tls && !stream->deflate);
    if (!stream->in_received && stream->input_size > 0) {
        fail_injected(stream);
        return;
    }
    encode_all(stream);
    start_timer(stream);
    begin_tls(stream);
    wake(stream);
}

void stream_start_deflate(Stream *stream)
{
    if (stream->state != STATE_OPEN)
        return;
    g_return_if_fail(!stream->deflate);
    encode_all(stream);
    stream->deflate = stream_deflate_new();
    if (!stream->in_received && stream->input_size > 0)
        inflate_leftover(stream);
    wake(stream);
}

gboolean stream_is_tunnel(const Stream *stream)
{
    return stream->tunnel_argv != NULL;
}

gboolean stream_is_encrypted(const Stream *stream)
{
    return stream->tls && stream->state == STATE_OPEN;
}

gboolean stream_is_loopback(const Stream *stream)
{
    return stream->loopback;
}

const char *stream_tls_description(const Stream *stream)
{
    return stream_is_encrypted(stream) ? stream_tls_describe(stream->tls) : NULL;
}

gint64 stream_last_receive(const Stream *stream)
{
    return stream->last_receive;
}

guint64 stream_bytes_received(const Stream *stream)
{
    return stream->bytes_received;
}
