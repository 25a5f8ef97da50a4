#include "control.h"

#include <errno.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINE 256

struct Control {
    Fs *fs;
    GSocketService *service;
    char *path;
};

typedef struct {
    Waiter waiter; /* first */
    Fs *fs;
    GSocketConnection *connection;
    GDataInputStream *input;
    GString *reply;
} Client;

/* ---- where ---- */

/* The directory of the sockets; made if need be, and refused when others could reach into it. */
static char *socket_directory(GError **error)
{
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *directory =
        runtime && *runtime == '/' ? g_build_filename(runtime, "mailfs", NULL)
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
    hash[32] = '\0';
    g_autofree char *name = g_strconcat(hash, ".sock", NULL);
    return g_build_filename(directory, name, NULL);
}

/* ---- the daemon's side ---- */

static void client_free(Client *client)
{
    waiter_cancel(&client->waiter);
    g_object_unref(client->input);
    g_object_unref(client->connection);
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
        "lookup", "forget",      "getattr", "open",   "read",    "opendir",
        "readdirplus", "unlink", "statfs",  "refused", "other"};
    Fs *fs = client->fs;
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
        reply = account_flush(client->fs->account, &client->waiter, &error);
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

static void line_read(GObject *source, GAsyncResult *result, gpointer data)
{
    Client *client = data;
    g_autofree char *line =
        g_data_input_stream_read_line_finish(client->input, result, NULL, NULL);
    if (g_strcmp0(line, "status") == 0) {
        answer_status(client);
    } else if (g_strcmp0(line, "sync") == 0) {
        answer_sync(client, NULL);
    } else {
        g_string_append(client->reply, "failed: no such command\n");
        answer(client);
    }
}

static gboolean incoming(GSocketService *service, GSocketConnection *connection, GObject *source,
                         gpointer data)
{
    Control *control = data;
    Client *client = g_new0(Client, 1);
    client->waiter.wake = sync_woken;
    client->fs = control->fs;
    client->connection = g_object_ref(connection);
    client->reply = g_string_new(NULL);
    client->input =
        g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    g_buffered_input_stream_set_buffer_size(G_BUFFERED_INPUT_STREAM(client->input), MAX_LINE);
    g_data_input_stream_read_line_async(client->input, G_PRIORITY_DEFAULT, NULL, line_read, client);
    return TRUE;
}

Control *control_new(Fs *fs, const char *mountpoint, GError **error)
{
    g_autofree char *directory = socket_directory(error);
    if (!directory)
        return NULL;
    g_autofree char *path = socket_path(directory, mountpoint);
    unlink(path); /* of a daemon that was killed: the cache's lock keeps out a living one */
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    GSocketService *service = g_socket_service_new();
    mode_t mask = umask(0177);
    gboolean made =
        g_socket_listener_add_address(G_SOCKET_LISTENER(service), address, G_SOCKET_TYPE_STREAM,
                                      G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, error);
    umask(mask);
    if (!made) {
        g_object_unref(service);
        g_prefix_error(error, "the socket for `mailfs status` cannot be made: ");
        return NULL;
    }
    Control *control = g_new0(Control, 1);
    control->fs = fs;
    control->service = service;
    control->path = g_steal_pointer(&path);
    g_signal_connect(service, "incoming", G_CALLBACK(incoming), control);
    g_socket_service_start(service);
    return control;
}

void control_free(Control *control)
{
    if (!control)
        return;
    g_socket_service_stop(control->service);
    g_socket_listener_close(G_SOCKET_LISTENER(control->service));
    g_object_unref(control->service);
    unlink(control->path);
    g_free(control->path);
    g_free(control);
}

/* ---- the command's side ---- */

gboolean control_is_command(const char *word)
{
    return strcmp(word, "status") == 0 || strcmp(word, "sync") == 0;
}

/* The socket of the mount that a path is in: its own, or that of the nearest directory above. */
static char *find_socket(const char *path)
{
    g_autofree char *directory = socket_directory(NULL);
    char *real = realpath(path, NULL);
    g_autofree char *at = real ? g_strdup(real) : g_canonicalize_filename(path, NULL);
    free(real);
    while (directory) {
        g_autofree char *socket = socket_path(directory, at);
        if (g_file_test(socket, G_FILE_TEST_EXISTS))
            return g_steal_pointer(&socket);
        if (strcmp(at, "/") == 0)
            return NULL;
        char *above = g_path_get_dirname(at);
        g_free(at);
        at = above;
    }
    return NULL;
}

static GSocketConnection *connect_to(const char *path, GError **error)
{
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    return g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, error);
}

/* Prints what comes until the last line; returns the exit status. */
static int print_reply(GDataInputStream *input)
{
    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(input, NULL, NULL, NULL);
        if (!line) {
            fprintf(stderr, "mailfs: the daemon went away without an answer\n");
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
    g_autoptr(GSocketConnection) connection = socket ? connect_to(socket, &error) : NULL;
    if (!connection) {
        fprintf(stderr, "mailfs: nothing of yours is mounted at %s%s%s\n", path,
                error ? ": " : "", error ? error->message : "");
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
