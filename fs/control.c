/* The socket and its clients: what they send is handed to their commands line by line, and what
 * those print is sent when the client reads. A client is freed only by what the main loop calls
 * here, never under the feet of a command. */
#include "control-private.h"

#include <glib-unix.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_CLIENTS 32
#define MAX_QUEUE (64 * 1024) /* with more than that to send, no more arguments are read */
#define CLIENT_TIMEOUT (10 * G_USEC_PER_SEC) /* either side may be silent in the middle so long */
#define PATIENCE_AT_END (2 * G_USEC_PER_SEC) /* and so long when the daemon is about to exit */

static void update_sources(ControlClient *client);

/* ---- answers ---- */

gsize control_client_queued(const ControlClient *client)
{
    return client->queue->len;
}

void control_client_print(ControlClient *client, const char *format, ...)
{
    gsize start = client->queue->len;
    va_list arguments;
    va_start(arguments, format);
    g_string_append_vprintf(client->queue, format, arguments);
    va_end(arguments);
    for (char *at = client->queue->str + start; *at; at++)
        if (g_ascii_iscntrl(*at))
            *at = ' ';
    g_string_append_c(client->queue, '\n');
    update_sources(client);
}

void control_client_add(ControlClient *client, const char *lines, gsize size)
{
    g_string_append_len(client->queue, lines, (gssize)size);
    update_sources(client);
}

static void free_state(ControlClient *client)
{
    if (client->state && client->command->free_state)
        client->command->free_state(client->state);
    client->state = NULL;
}

void control_client_end(ControlClient *client, const GError *error)
{
    if (client->ending)
        return;
    waiter_cancel(&client->waiter);
    free_state(client);
    client->ending = TRUE;
    if (error)
        control_client_print(client, "failed: %s", error->message);
    else
        control_client_print(client, "ok");
}

static void end_with(ControlClient *client, MailError code, const char *why)
{
    g_autoptr(GError) error = g_error_new_literal(MAIL_ERROR, code, why);
    control_client_end(client, error);
}

static void client_free(ControlClient *client)
{
    g_queue_unlink(&client->control->clients, &client->link);
    waiter_cancel(&client->waiter);
    free_state(client);
    g_clear_handle_id(&client->in_source, g_source_remove);
    g_clear_handle_id(&client->out_source, g_source_remove);
    g_socket_close(client->socket, NULL);
    g_object_unref(client->socket);
    control_lines_clear(&client->lines);
    g_string_free(client->queue, TRUE);
    g_free(client->argument);
    g_free(client);
}

/* ---- requests ---- */

static void offer_argument(ControlClient *client, const GError *woken_by)
{
    if (client->command->argument(client, client->argument, woken_by))
        g_clear_pointer(&client->argument, g_free);
}

static void complete(ControlClient *client)
{
    client->complete = TRUE;
    client->command->run(client, NULL);
}

static void take_line(ControlClient *client, const char *line, gsize size)
{
    if (!client->command) {
        client->command = strlen(line) == size ? control_command_find(line) : NULL;
        if (!client->command)
            end_with(client, MAIL_ERROR_UNSUPPORTED, "no such command");
        else if (!client->command->takes_arguments)
            complete(client);
        return;
    }
    if (size == 0) {
        complete(client);
        return;
    }
    client->argument = control_unescape(line, size);
    if (client->argument)
        offer_argument(client, NULL);
    else
        end_with(client, MAIL_ERROR_PROTOCOL, "the request is malformed");
}

/* Is more of the request wanted now? */
static gboolean wants_lines(const ControlClient *client)
{
    return !client->ending && !client->complete && !client->argument &&
           client->queue->len < MAX_QUEUE;
}

static void take_lines(ControlClient *client)
{
    while (wants_lines(client)) {
        gsize size;
        const char *line = control_lines_next(&client->lines, &size);
        if (line) {
            take_line(client, line, size);
            continue;
        }
        if (control_lines_rest(&client->lines) >= CONTROL_MAX_LINE)
            end_with(client, MAIL_ERROR_PROTOCOL,
                     client->command ? "the request is malformed" : "no such command");
        break;
    }
    update_sources(client);
}

static void woken(Waiter *waiter, const GError *error)
{
    ControlClient *client = (ControlClient *)waiter;
    if (client->argument) {
        offer_argument(client, error);
        take_lines(client);
    } else {
        client->command->run(client, error);
    }
}

/* ---- bytes ---- */

static gboolean would_block(const GError *error)
{
    return g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK);
}

static gboolean readable(gint fd, GIOCondition condition, gpointer data)
{
    ControlClient *client = data;
    g_autoptr(GError) error = NULL;
    char bytes[CONTROL_MAX_LINE];
    gssize got = -1;
    if (wants_lines(client))
        got = g_socket_receive(client->socket, bytes, sizeof(bytes), NULL, &error);
    if (would_block(error))
        return G_SOURCE_CONTINUE;
    if (got <= 0) { /* or the client hung up */
        client->in_source = 0;
        client_free(client);
        return G_SOURCE_REMOVE;
    }
    client->active = g_get_monotonic_time();
    control_lines_add(&client->lines, bytes, (gsize)got);
    guint source = client->in_source;
    take_lines(client);
    return client->in_source == source;
}

static gboolean writable(gint fd, GIOCondition condition, gpointer data)
{
    ControlClient *client = data;
    g_autoptr(GError) error = NULL;
    gssize sent =
        g_socket_send(client->socket, client->queue->str, client->queue->len, NULL, &error);
    if (would_block(error))
        return G_SOURCE_CONTINUE;
    if (sent > 0)
        g_string_erase(client->queue, 0, sent);
    if (sent < 0 || (client->ending && client->queue->len == 0)) {
        client->out_source = 0;
        client_free(client);
        return G_SOURCE_REMOVE;
    }
    client->active = g_get_monotonic_time();
    guint source = client->out_source;
    if (client->queue->len == 0 && !client->ending && client->command->drained)
        client->command->drained(client);
    take_lines(client);
    return client->out_source == source;
}

/* Reads when there is room for what comes, and else looks only whether the client is there. */
static void update_sources(ControlClient *client)
{
    int fd = g_socket_get_fd(client->socket);
    GIOCondition condition = G_IO_HUP | G_IO_ERR | (wants_lines(client) ? G_IO_IN : 0);
    if (!client->in_source || client->in_condition != condition) {
        g_clear_handle_id(&client->in_source, g_source_remove);
        client->in_condition = condition;
        client->in_source = g_unix_fd_add(fd, condition, readable, client);
    }
    if (client->queue->len == 0)
        g_clear_handle_id(&client->out_source, g_source_remove);
    else if (!client->out_source)
        client->out_source = g_unix_fd_add(fd, G_IO_OUT, writable, client);
}

/* ---- clients ---- */

/* Is it up to the client to do something? */
static gboolean is_due(const ControlClient *client)
{
    if (client->ending || (!client->complete && !client->argument))
        return TRUE;
    return client->queue->len > 0 && !client->command->lasts;
}

static gboolean look(gpointer data)
{
    Control *control = data;
    gint64 now = g_get_monotonic_time();
    for (GList *item = control->clients.head; item;) {
        ControlClient *client = item->data;
        item = item->next;
        if (is_due(client) && now - client->active > CLIENT_TIMEOUT)
            client_free(client);
    }
    if (control->clients.length > 0)
        return G_SOURCE_CONTINUE;
    control->timer = 0;
    return G_SOURCE_REMOVE;
}

static gboolean incoming(GSocketService *service, GSocketConnection *connection, GObject *source,
                         gpointer data)
{
    Control *control = data;
    if (control->clients.length >= MAX_CLIENTS)
        return TRUE; /* and so it is closed */
    ControlClient *client = g_new0(ControlClient, 1);
    client->waiter.wake = woken;
    client->fs = control->fs;
    client->control = control;
    client->socket = g_object_ref(g_socket_connection_get_socket(connection));
    client->active = g_get_monotonic_time();
    client->queue = g_string_new(NULL);
    control_lines_init(&client->lines);
    g_socket_set_blocking(client->socket, FALSE);
    client->link.data = client;
    g_queue_push_tail_link(&control->clients, &client->link);
    if (!control->timer)
        control->timer = g_timeout_add_seconds(1, look, control);
    update_sources(client);
    return TRUE;
}

/* ---- the socket ---- */

static gboolean listen_at(GSocketService *service, GSocketAddress *address, GError **error)
{
    mode_t mask = umask(0177);
    gboolean made =
        g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                      G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, error);
    umask(mask);
    if (!made)
        g_prefix_error(error, "the socket for `mailfs status` cannot be made: ");
    return made;
}

Control *control_new(Fs *fs, const char *mountpoint, GError **error)
{
    g_autofree char *directory = control_socket_directory(error);
    if (!directory)
        return NULL;
    g_autofree char *path = control_socket_path(directory, mountpoint);
    g_autoptr(GSocketAddress) address = control_socket_address(path, error);
    if (!address)
        return NULL;
    unlink(path); /* of a daemon that was killed: a living one would be mounted there */
    g_autoptr(GSocketService) service = g_socket_service_new();
    if (!listen_at(service, address, error))
        return NULL;
    Control *control = g_new0(Control, 1);
    control->fs = fs;
    control->events.lines = g_string_new(NULL);
    control->service = g_steal_pointer(&service);
    control->path = g_steal_pointer(&path);
    g_signal_connect(control->service, "incoming", G_CALLBACK(incoming), control);
    g_socket_service_start(control->service);
    return control;
}

void control_stop(Control *control)
{
    if (!control || !control->service)
        return;
    g_socket_service_stop(control->service);
    g_socket_listener_close(G_SOCKET_LISTENER(control->service));
    g_signal_handlers_disconnect_by_data(control->service, control);
    g_clear_object(&control->service);
    unlink(control->path);
    control_events_flush(control);
    for (GList *item = control->clients.head; item;) {
        ControlClient *client = item->data;
        item = item->next;
        if (!client->command)
            client_free(client);
        else if (client->ending || client->command->at_end == CONTROL_END_LATER)
            continue;
        else if (client->complete && client->command->at_end == CONTROL_END_IS_OK)
            control_client_end(client, NULL);
        else
            end_with(client, MAIL_ERROR_OFFLINE, "the mount ended");
    }
}

void control_free(Control *control)
{
    if (!control)
        return;
    control_stop(control);
    for (GList *item = control->clients.head; item; item = item->next) {
        end_with(item->data, MAIL_ERROR_OFFLINE, "the mount ended before the server had it all");
    }
    gint64 until = g_get_monotonic_time() + PATIENCE_AT_END;
    while (control->clients.length > 0 && g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, TRUE); /* the timer wakes it */
    while (control->clients.head)
        client_free(control->clients.head->data);
    g_clear_handle_id(&control->timer, g_source_remove);
    g_idle_remove_by_data(control);
    g_string_free(control->events.lines, TRUE);
    g_free(control->path);
    g_free(control);
}
