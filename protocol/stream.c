/* The life of a stream, and its callbacks. All of those are made in one place, stream_turn(), which
 * a single GSource runs: when the socket is ready, or when some function asked for a turn by
 * wake(). So none comes from within the caller's own call, and each finds the stream in order. */
#include "stream.h"
#include "fault.h"
#include "stream-layers.h"
#include "stream-transport.h"

#include <string.h>

#define INPUT_SIZE (64 * 1024)
/* What one turn of the loop may receive, on the wire and as handed over. */
#define TURN_BUDGET (256 * 1024)
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
    guint references; /* the owner's, and the running turn's */
    char *host, *ca_file;
    char **tunnel;
    guint16 port;
    StreamTls tls_mode;
    guint connect_timeout;
    StreamFuncs funcs;
    void (*drained)(Stream *stream, gpointer data);
    gpointer data;

    State state;
    gboolean waits;       /* the last attempt to read found nothing */
    gboolean ready_due;   /* `ready` is to be called */
    gboolean failed_due;  /* `failed` is to be called */
    gboolean drained_due; /* the queue is long: `drained` is to be called once it is not */
    gboolean paused;
    gboolean in_received; /* the callback is running */
    gboolean offer;       /* `input` holds bytes to be offered before more is read */
    GError *error;

    GMainContext *context;
    GSource *source, *timer;
    gpointer fd_tag;
    GIOCondition fd_events;
    StreamTransport *transport;
    StreamLayers layers;
    guint8 *input; /* INPUT_SIZE; decoded, not yet consumed */
    gsize input_start, input_size;
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
    if (stream->fd_tag)
        g_source_remove_unix_fd(stream->source, g_steal_pointer(&stream->fd_tag));
    stream_layers_clear(&stream->layers);
    g_clear_pointer(&stream->transport, stream_transport_free);
    stream->input_size = 0;
}

static void stream_unref(Stream *stream)
{
    if (--stream->references > 0)
        return;
    g_source_unref(stream->source);
    g_main_context_unref(stream->context);
    g_clear_error(&stream->error);
    g_free(stream->host);
    g_free(stream->ca_file);
    g_strfreev(stream->tunnel);
    g_free(stream->input);
    g_free(stream);
}

static void flush(Stream *stream)
{
    GError *error = NULL;
    gsize queued = stream_queued(stream);
    if (!stream_layers_flush(&stream->layers, stream->state == STATE_OPEN, &error))
        fail(stream, error);
    if (queued > 0 && stream_queued(stream) == 0)
        fault_point("sent");
}

/* What is queued goes out by the layers there are now, before one is added. */
static gboolean encode(Stream *stream)
{
    GError *error = NULL;
    if (stream_layers_encode(&stream->layers, &error))
        return TRUE;
    fail(stream, error);
    return FALSE;
}

/* Receiving */

static void fail_closed(Stream *stream)
{
    const char *complaint = stream_transport_complaint(stream->transport);
    if (stream->tunnel)
        fail_with(stream, MAIL_ERROR_OFFLINE, "the tunnel command ended%s%s", complaint ? ": " : "",
                  complaint ? complaint : "");
    else
        fail_with(stream, MAIL_ERROR_OFFLINE, "%s closed the connection%s", stream->host,
                  stream->state == STATE_HANDSHAKE ? " during the TLS handshake" : "");
}

/* What came of reading, for all but data. */
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
    StreamPull result = stream_layers_pull(&stream->layers, stream->input + stream->input_size,
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
    stream_deflate_feed(stream->layers.deflate, stream->input + stream->input_start,
                        stream->input_size);
    stream->input_size = 0;
}

/* Offers what `input` holds. Returns how much that was. */
static gsize deliver(Stream *stream)
{
    gsize size = stream->input_size;
    gboolean was_deflate = stream->layers.deflate != NULL;
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
    if (stream->state == STATE_HANDSHAKE)
        fail_injected(stream);
    else if (!was_deflate && stream->layers.deflate)
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
        if (!stream->offer && !fill(stream)) {
            stream->waits = TRUE;
            return;
        }
        stream->offer = FALSE;
        delivered += deliver(stream);
        stream->waits = FALSE;
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
    StreamPull result = stream_layers_handshake(&stream->layers, &error);
    if (result == STREAM_PULL_DATA)
        announce(stream);
    else
        settle(stream, result, error);
}

static void report(Stream *stream)
{
    if (stream->ready_due) {
        stream->ready_due = FALSE;
        if (stream->layers.last_receive == 0)
            stream->layers.last_receive = g_get_monotonic_time();
        stream->funcs.ready(stream, stream->data);
    }
    if (stream->failed_due) {
        stream->failed_due = FALSE;
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
    if (stream->drained)
        stream->drained(stream, stream->data);
}

/* Has the socket polled for what we could act upon, and for nothing else: an ended socket that
 * nobody reads would spin the loop. */
static void watch_socket(Stream *stream)
{
    GIOCondition events = 0;
    if (stream->state == STATE_HANDSHAKE || (stream->state == STATE_OPEN && !stream->paused))
        events |= G_IO_IN;
    if (stream->layers.wire.size > 0 ||
        (stream->state == STATE_OPEN && stream->layers.queue.size > 0))
        events |= G_IO_OUT;
    if (stream->layers.fd < 0 || events == stream->fd_events)
        return;
    stream->fd_events = events;
    if (!stream->fd_tag)
        stream->fd_tag = g_source_add_unix_fd(stream->source, stream->layers.fd, events);
    else if (events)
        g_source_modify_unix_fd(stream->source, stream->fd_tag, events);
    else
        g_source_remove_unix_fd(stream->source, g_steal_pointer(&stream->fd_tag));
}

static void stream_turn(Stream *stream)
{
    stream->references++;
    stream->layers.budget = TURN_BUDGET;
    if (stream->state == STATE_HANDSHAKE)
        shake_hands(stream);
    report(stream);
    receive(stream);
    if (stream->state == STATE_OPEN || stream->state == STATE_HANDSHAKE)
        flush(stream);
    report_drained(stream);
    report(stream);
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

static gboolean on_timeout(gpointer data)
{
    Stream *stream = data;
    fail_with(stream, MAIL_ERROR_TIMEOUT, "%s does not answer%s (waited %u s)", stream->host,
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

static void begin_tls(Stream *stream)
{
    GError *error = NULL;
    stream->layers.tls = stream_tls_new(stream->host, stream->port, stream->ca_file, &error);
    if (stream->layers.tls)
        stream->state = STATE_HANDSHAKE;
    else
        fail(stream, error);
}

static void on_transport(const GError *error, gpointer data)
{
    Stream *stream = data;
    if (stream->state != STATE_CONNECTING)
        return;
    stream->layers.fd = stream_transport_fd(stream->transport);
    if (error)
        fail(stream, g_error_copy(error));
    else if (stream->tls_mode == STREAM_TLS_IMPLICIT)
        begin_tls(stream);
    else
        announce(stream);
    wake(stream);
}

/* The interface */

Stream *stream_new(const StreamConfig *config, const StreamFuncs *funcs, gpointer data)
{
    Stream *stream = g_new0(Stream, 1);
    stream->references = 1;
    stream->host = g_strdup(config->host);
    stream->port = config->port;
    stream->ca_file = g_strdup(config->ca_file);
    stream->tunnel = g_strdupv((char **)config->tunnel);
    stream->tls_mode = config->tls;
    stream->connect_timeout = config->connect_timeout;
    stream->funcs = *funcs;
    stream->data = data;
    stream->layers.fd = -1;
    stream->input = g_malloc(INPUT_SIZE);
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
    stream->transport = stream_transport_new(
        stream->host, stream->port, (const char *const *)stream->tunnel, on_transport, stream);
}

/* The last words, as far as the kernel takes them at once. */
static void say_goodbye(Stream *stream)
{
    flush(stream);
    if (stream->state == STATE_OPEN && stream->layers.tls && stream->layers.queue.size == 0)
        stream_tls_shutdown(stream->layers.tls, &stream->layers.wire);
    stream_layers_flush(&stream->layers, FALSE, NULL);
}

void stream_close(Stream *stream)
{
    if (stream->state == STATE_CLOSED)
        return;
    if (stream->state == STATE_OPEN)
        say_goodbye(stream);
    stream->state = STATE_CLOSED;
    stream->ready_due = stream->failed_due = FALSE;
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
    if (stream->state == STATE_FAILED || stream->state == STATE_CLOSED || stream->layers.write_dead)
        return;
    stream_queue_append(&stream->layers.queue, bytes, size);
    if (stream->state == STATE_OPEN && stream->layers.queue.size >= WRITE_NOW &&
        stream->layers.wire.size == 0)
        flush(stream);
    if (stream_queued(stream) >= STREAM_QUEUE_LOW)
        stream->drained_due = TRUE;
    wake(stream);
}

gsize stream_queued(const Stream *stream)
{
    return stream->layers.queue.size + stream->layers.wire.size;
}

void stream_set_drained(Stream *stream, void (*drained)(Stream *stream, gpointer data))
{
    stream->drained = drained;
}

void stream_pause(Stream *stream, gboolean paused)
{
    if (stream->paused == paused || stream->state == STATE_CLOSED)
        return;
    stream->paused = paused;
    if (!paused && stream->input_size > 0)
        stream->offer = TRUE;
    wake(stream);
}

void stream_start_tls(Stream *stream)
{
    if (stream->state != STATE_OPEN)
        return;
    g_return_if_fail(stream->tls_mode == STREAM_TLS_START && !stream->layers.tls &&
                     !stream->layers.deflate);
    if (!stream->in_received && stream->input_size > 0) {
        fail_injected(stream);
        return;
    }
    if (!encode(stream))
        return;
    start_timer(stream);
    begin_tls(stream);
    wake(stream);
}

void stream_start_deflate(Stream *stream)
{
    if (stream->state != STATE_OPEN)
        return;
    g_return_if_fail(!stream->layers.deflate);
    if (!encode(stream))
        return;
    stream->layers.deflate = stream_deflate_new();
    if (!stream->in_received && stream->input_size > 0)
        inflate_leftover(stream);
    wake(stream);
}

gboolean stream_is_tunnel(const Stream *stream)
{
    return stream->tunnel != NULL;
}

gboolean stream_is_encrypted(const Stream *stream)
{
    return stream->layers.tls && stream->state == STATE_OPEN;
}

gboolean stream_is_loopback(const Stream *stream)
{
    return stream->transport && stream_transport_is_loopback(stream->transport);
}

const char *stream_tls_description(const Stream *stream)
{
    return stream_is_encrypted(stream) ? stream_tls_describe(stream->layers.tls) : NULL;
}

gint64 stream_last_receive(const Stream *stream)
{
    return stream->layers.last_receive;
}

gboolean stream_has_waited(const Stream *stream)
{
    return stream->waits;
}

guint64 stream_bytes_received(const Stream *stream)
{
    return stream->layers.bytes_received;
}
