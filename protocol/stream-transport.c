#include "stream-transport.h"
#include "stream-tunnel.h"

#include <gio/gio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

struct StreamTransport {
    guint references; /* the owner's, and that of the operation under way */
    char *host;
    guint16 port;
    StreamTransportDone done; /* NULL once freed */
    gpointer data;
    GCancellable *cancellable;
    GSocketConnection *connection; /* owns fd, unless there is a tunnel */
    StreamTunnel *tunnel;
    GError *tunnel_error;
    int fd;
    gboolean loopback;
};

static void transport_unref(gpointer data)
{
    StreamTransport *transport = data;
    if (--transport->references > 0)
        return;
    g_object_unref(transport->cancellable);
    g_clear_error(&transport->tunnel_error);
    g_free(transport->host);
    g_free(transport);
}

static void finish(StreamTransport *transport, const GError *error)
{
    if (transport->done)
        transport->done(error, transport->data);
}

static void tune(StreamTransport *transport, GSocket *socket)
{
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_keepalive(socket, TRUE);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    g_autoptr(GSocketAddress) peer = g_socket_get_remote_address(socket, NULL);
    if (peer && G_IS_INET_SOCKET_ADDRESS(peer))
        transport->loopback = g_inet_address_get_is_loopback(
            g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(peer)));
}

/* GIO's error in words of ours. */
static GError *explain(const StreamTransport *transport, const GError *error)
{
    if (g_error_matches(error, G_RESOLVER_ERROR, G_RESOLVER_ERROR_NOT_FOUND))
        return g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE, "no such host: %s", transport->host);
    g_autofree char *text = mail_escape(error->message, -1, 300);
    if (error->domain == G_RESOLVER_ERROR)
        return g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE, "cannot look up %s: %s", transport->host,
                           text);
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
        return g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE, "%s refuses connections on port %u",
                           transport->host, transport->port);
    return g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE, "cannot reach %s on port %u: %s",
                       transport->host, transport->port, text);
}

static void on_connected(GObject *client, GAsyncResult *result, gpointer data)
{
    StreamTransport *transport = data;
    g_autoptr(GError) problem = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(client), result, &problem);
    if (transport->done && connection) {
        GSocket *socket = g_socket_connection_get_socket(connection);
        tune(transport, socket);
        transport->fd = g_socket_get_fd(socket);
        transport->connection = g_steal_pointer(&connection);
        finish(transport, NULL);
    } else if (transport->done) {
        g_autoptr(GError) error = explain(transport, problem);
        finish(transport, error);
    }
    transport_unref(transport);
}

static void connect_socket(StreamTransport *transport)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_socket_client_set_enable_proxy(client, FALSE);
    g_autoptr(GSocketConnectable) address = g_network_address_new(transport->host, transport->port);
    transport->references++;
    g_socket_client_connect_async(client, address, transport->cancellable, on_connected, transport);
}

static gboolean on_tunnel(gpointer data)
{
    StreamTransport *transport = data;
    finish(transport, transport->tunnel_error);
    return G_SOURCE_REMOVE;
}

/* The command starts at once, but `done` must wait for the main loop. */
static void connect_tunnel(StreamTransport *transport, const char *const *argv)
{
    transport->tunnel = stream_tunnel_new(argv, &transport->fd, &transport->tunnel_error);
    transport->references++;
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_autoptr(GSource) soon = g_idle_source_new();
    g_source_set_priority(soon, G_PRIORITY_DEFAULT);
    g_source_set_callback(soon, on_tunnel, transport, transport_unref);
    g_source_attach(soon, context);
}

StreamTransport *stream_transport_new(const char *host, guint16 port, const char *const *tunnel,
                                      StreamTransportDone done, gpointer data)
{
    StreamTransport *transport = g_new0(StreamTransport, 1);
    transport->references = 1;
    transport->host = g_strdup(host);
    transport->port = port;
    transport->done = done;
    transport->data = data;
    transport->cancellable = g_cancellable_new();
    transport->fd = -1;
    if (tunnel)
        connect_tunnel(transport, tunnel);
    else
        connect_socket(transport);
    return transport;
}

void stream_transport_free(StreamTransport *transport)
{
    if (!transport)
        return;
    transport->done = NULL;
    g_cancellable_cancel(transport->cancellable);
    if (transport->tunnel && transport->fd >= 0)
        close(transport->fd);
    transport->fd = -1;
    g_clear_pointer(&transport->tunnel, stream_tunnel_free);
    if (transport->connection)
        g_io_stream_close(G_IO_STREAM(transport->connection), NULL, NULL);
    g_clear_object(&transport->connection);
    transport_unref(transport);
}

int stream_transport_fd(const StreamTransport *transport)
{
    return transport->fd;
}

gboolean stream_transport_is_loopback(const StreamTransport *transport)
{
    return transport->loopback;
}

const char *stream_transport_complaint(StreamTransport *transport)
{
    return transport->tunnel ? stream_tunnel_complaint(transport->tunnel) : NULL;
}
