#include "control.h"

#include <errno.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_LINE 64
#define MAX_CLIENTS 32
#define CLIENT_TIMEOUT 10 /* seconds that either side may be silent in the middle of something */

struct Control {
    Fs *fs;
    GSocketService *service; /* NULL once stopped */
    char *path;
    GQueue clients;
};

typedef struct {
    Waiter waiter; /* first */
    Control *control;
    GSocketConnection *connection;
    GCancellable *reading;
    char line[MAX_LINE];
    gsize have;
    GString *reply;
    GList link;
} Client;

/* ---- where ---- */

/* The directory of the sockets; made if need be, and refused when others could reach into it. */
static char *socket_directory(GError **error)
{
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *directory = runtime && *runtime == '/'
                                     ? g_build_filename(runtime, "mailfs", NULL)
                                     : g_strdup_printf("/tmp/mailfs-%u", (unsigned)getuid());
    struct stat info;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG, "%s cannot be made: %s", directory,
                    g_strerror(errno));
        return NULL;
    }
    if (lstat(directory, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != getuid() ||
        (info.st_mode & 077)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "%s must be a directory of yours that nobody else may enter (chmod 700)",
                    directory);
        return NULL;
    }
    return g_steal_pointer(&directory);
}

static char *socket_path(const char *directory, const char *mountpoint)
{
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, mountpoint, -1);
    hash[16] = '\0'; /* short: so must the whole path be */
    g_autofree char *name = g_strconcat(hash, ".sock", NULL);
    return g_build_filename(directory, name, NULL);
}

/* ---- the daemon's side ---- */

static void client_free(Client *client)
{
    g_queue_unlink(&client->control->clients, &client->link);
    waiter_cancel(&client->waiter);
    g_object_unref(client->connection);
    g_object_unref(client->reading);
    g_string_free(client->reply, TRUE);
    g_free(client);
}

static void written(GObject *source, GAsyncResult *result, gpointer data)
{
    g_output_stream_write_all_finish(G_OUTPUT_STREAM(source), result, NULL, NULL);
    client_free(data);
}

static void answer(Client *client)
{
    GOutputStream *output = g_io_stream_get_output_stream(G_IO_STREAM(client->connection));
    g_output_stream_write_all_async(output, client->reply->str, client->reply->len,
                                    G_PRIORITY_DEFAULT, NULL, written, client);
}

static void answer_status(Client *client)
{
    static const char *const names[COUNT_LAST] = {
        "lookup",  "forget",      "getattr", "open",   "read",  "flush",   "release",
        "opendir", "readdirplus", "unlink",  "statfs", "xattr", "refused", "other"};
    Fs *fs = client->control->fs;
    g_string_append_printf(client->reply, "mountpoint: %s\n", fs->config->mountpoint);
    account_describe(fs->account, client->reply);
    g_string_append_printf(client->reply, "waiting-requests: %u\n", fs->parked.length);
    g_string_append_printf(client->reply, "kernel-inodes: %u\n", inodes_count(fs->inodes));
    for (guint i = 0; i < COUNT_LAST; i++)
        g_string_append_printf(client->reply, "kernel-%s: %" G_GUINT64_FORMAT "\n", names[i],
                               fs->counts[i]);
    g_string_append(client->reply, "ok\n");
    answer(client);
}

static void answer_sync(Client *client, const GError *woken_by)
{
    g_autoptr(GError) error = NULL;
    AccountReply reply = ACCOUNT_FAILED;
    if (!woken_by)
        reply = account_flush(client->control->fs->account, &client->waiter, &error);
    if (reply == ACCOUNT_WAIT)
        return;
    if (reply == ACCOUNT_READY)
        g_string_append(client->reply, "ok\n");
    else
        g_string_append_printf(client->reply, "failed: %s\n",
                               (woken_by ? woken_by : error)->message);
    answer(client);
}

static void sync_woken(Waiter *waiter, const GError *error)
{
    answer_sync((Client *)waiter, error);
}

static void obey(Client *client, const char *command)
{
    if (strcmp(command, "status") == 0) {
        answer_status(client);
    } else if (strcmp(command, "sync") == 0) {
        answer_sync(client, NULL);
    } else {
        g_string_append(client->reply, "failed: no such command\n");
        answer(client);
    }
}

static void read_more(Client *client);

static void bytes_read(GObject *source, GAsyncResult *result, gpointer data)
{
    Client *client = data;
    gssize got = g_input_stream_read_finish(G_INPUT_STREAM(source), result, NULL);
    if (got <= 0) {
        client_free(client);
        return;
    }
    client->have += (gsize)got;
    char *end = memchr(client->line, '\n', client->have);
    if (!end && client->have < MAX_LINE) {
        read_more(client);
        return;
    }
    if (end)
        *end = '\0';
    obey(client, end ? client->line : "");
}

static void read_more(Client *client)
{
    GInputStream *input = g_io_stream_get_input_stream(G_IO_STREAM(client->connection));
    g_input_stream_read_async(input, client->line + client->have, MAX_LINE - client->have,
                              G_PRIORITY_DEFAULT, client->reading, bytes_read, client);
}

static gboolean incoming(GSocketService *service, GSocketConnection *connection, GObject *source,
                         gpointer data)
{
    Control *control = data;
    if (control->clients.length >= MAX_CLIENTS)
        return TRUE; /* and so it is closed */
    Client *client = g_new0(Client, 1);
    client->waiter.wake = sync_woken;
    client->control = control;
    client->connection = g_object_ref(connection);
    client->reading = g_cancellable_new();
    client->reply = g_string_new(NULL);
    client->link.data = client;
    g_queue_push_tail_link(&control->clients, &client->link);
    g_socket_set_timeout(g_socket_connection_get_socket(connection), CLIENT_TIMEOUT);
    read_more(client);
    return TRUE;
}

/* NULL: the path is longer than the address of a socket can be. */
static GSocketAddress *socket_address(const char *path, GError **error)
{
    if (strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return g_unix_socket_address_new(path);
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                "%s is too long for a socket: set XDG_RUNTIME_DIR to a shorter path", path);
    return NULL;
}

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
    g_autofree char *directory = socket_directory(error);
    if (!directory)
        return NULL;
    g_autofree char *path = socket_path(directory, mountpoint);
    g_autoptr(GSocketAddress) address = socket_address(path, error);
    if (!address)
        return NULL;
    unlink(path); /* of a daemon that was killed: a living one would be mounted there */
    g_autoptr(GSocketService) service = g_socket_service_new();
    if (!listen_at(service, address, error))
        return NULL;
    Control *control = g_new0(Control, 1);
    control->fs = fs;
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
}

void control_free(Control *control)
{
    if (!control)
        return;
    control_stop(control);
    g_autoptr(GError) ending = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE,
                                                   "the mount ended before the server had it all");
    for (GList *item = control->clients.head; item;) {
        Client *client = item->data;
        item = item->next;
        g_cancellable_cancel(client->reading);
        if (!client->waiter.list)
            continue;
        waiter_cancel(&client->waiter);
        answer_sync(client, ending);
    }
    while (control->clients.length > 0)
        g_main_context_iteration(NULL, TRUE);
    g_free(control->path);
    g_free(control);
}

/* ---- the command's side ---- */

gboolean control_is_command(const char *word)
{
    return strcmp(word, "status") == 0 || strcmp(word, "sync") == 0;
}

static char *existing_socket(const char *directory, const char *at)
{
    g_autofree char *socket = socket_path(directory, at);
    return g_file_test(socket, G_FILE_TEST_EXISTS) ? g_steal_pointer(&socket) : NULL;
}

/* The socket of the innermost mount that a path is in. Symbolic links are followed up to the first
 * mount only: beyond it, the question would go to a daemon that may not answer. */
static char *find_socket(const char *path)
{
    g_autofree char *directory = socket_directory(NULL);
    g_autofree char *whole = g_canonicalize_filename(path, NULL);
    g_auto(GStrv) components = g_strsplit(whole, "/", -1);
    g_autofree char *at = g_strdup("/");
    char *found = NULL;
    for (guint i = 0; directory && components[i]; i++) {
        char *next = g_build_filename(at, components[i], NULL);
        char *real = found ? NULL : realpath(next, NULL);
        g_free(at);
        at = g_strdup(real ? real : next);
        free(real);
        g_free(next);
        char *socket = existing_socket(directory, at);
        if (socket)
            g_free(found);
        found = socket ? socket : found;
    }
    return found;
}

static GSocketConnection *connect_to(const char *path, gboolean patient, GError **error)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = socket_address(path, error);
    if (!address)
        return NULL;
    g_socket_client_set_timeout(client, patient ? 0 : CLIENT_TIMEOUT);
    return g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, error);
}

/* Prints what comes until the last line; returns the exit status. */
static int print_reply(GDataInputStream *input)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autofree char *line = g_data_input_stream_read_line(input, NULL, NULL, &error);
        if (!line) {
            fprintf(stderr, "mailfs: the daemon %s\n",
                    g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)
                        ? "does not answer"
                        : "went away without an answer");
            return 1;
        }
        if (strcmp(line, "ok") == 0)
            return 0;
        if (g_str_has_prefix(line, "failed: ")) {
            fprintf(stderr, "mailfs: %s\n", line + strlen("failed: "));
            return 1;
        }
        printf("%s\n", line);
    }
}

int control_command(const char *command, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *socket = find_socket(path);
    gboolean patient = strcmp(command, "sync") == 0;
    g_autoptr(GSocketConnection) connection = socket ? connect_to(socket, patient, &error) : NULL;
    if (!connection) {
        fprintf(stderr, "mailfs: nothing of yours is mounted at %s%s%s\n", path, error ? ": " : "",
                error ? error->message : "");
        return 1;
    }
    g_autofree char *line = g_strconcat(command, "\n", NULL);
    GOutputStream *output = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    g_autoptr(GDataInputStream) input =
        g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    if (!g_output_stream_write_all(output, line, strlen(line), NULL, NULL, &error)) {
        fprintf(stderr, "mailfs: %s\n", error->message);
        return 1;
    }
    return print_reply(input);
}
