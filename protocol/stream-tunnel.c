#include "stream-tunnel.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KILL_AFTER 2 /* seconds */
/* A line of stderr is cut here. */
#define MAX_LINE 1024
/* Lines for each turn of the loop, for a command that writes without end. */
#define MAX_READS 16

struct StreamTunnel {
    GMainContext *context;
    GSubprocess *process;
    int errors; /* the read end of its stderr; -1 when it has ended */
    GSource *source;
    char line[MAX_LINE];
    gsize used;
    char *complaint;
};

static void log_line(StreamTunnel *tunnel)
{
    if (tunnel->used == 0)
        return;
    char *text = mail_escape(tunnel->line, (gssize)tunnel->used, 400);
    g_message("tunnel: %s", text);
    g_free(tunnel->complaint);
    tunnel->complaint = text;
    tunnel->used = 0;
}

static void take_errors(StreamTunnel *tunnel, const char *bytes, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        if (bytes[i] == '\n' || tunnel->used == sizeof tunnel->line)
            log_line(tunnel);
        if (bytes[i] != '\n' && bytes[i] != '\r')
            tunnel->line[tunnel->used++] = bytes[i];
    }
}

static void close_errors(StreamTunnel *tunnel)
{
    if (tunnel->errors < 0)
        return;
    g_source_destroy(tunnel->source);
    g_clear_pointer(&tunnel->source, g_source_unref);
    close(tunnel->errors);
    tunnel->errors = -1;
}

static void read_errors(StreamTunnel *tunnel)
{
    char bytes[MAX_LINE];
    for (guint i = 0; i < MAX_READS && tunnel->errors >= 0; i++) {
        gssize got = read(tunnel->errors, bytes, sizeof bytes);
        if (got > 0) {
            take_errors(tunnel, bytes, (gsize)got);
        } else if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else {
            log_line(tunnel);
            close_errors(tunnel);
        }
    }
}

static gboolean on_errors(gint fd, GIOCondition condition, gpointer data)
{
    StreamTunnel *tunnel = data;
    read_errors(tunnel);
    return tunnel->errors >= 0 ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

/* The launcher takes over `child` (its stdin and stdout) and the pipe's write end. */
static GSubprocess *spawn(const char *const *argv, int child, int errors, GError **error)
{
    g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_NONE);
    int out = fcntl(child, F_DUPFD_CLOEXEC, 3);
    g_subprocess_launcher_take_stdin_fd(launcher, child);
    g_subprocess_launcher_take_stdout_fd(launcher, out);
    g_subprocess_launcher_take_stderr_fd(launcher, errors);
    g_autoptr(GError) problem = NULL;
    GSubprocess *process = g_subprocess_launcher_spawnv(launcher, argv, &problem);
    if (!process)
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE, "cannot start the tunnel command: %s",
                    problem->message);
    return process;
}

static void watch_errors(StreamTunnel *tunnel)
{
    g_unix_set_fd_nonblocking(tunnel->errors, TRUE, NULL);
    tunnel->source = g_unix_fd_source_new(tunnel->errors, G_IO_IN | G_IO_HUP);
    g_source_set_callback(tunnel->source, G_SOURCE_FUNC(on_errors), tunnel, NULL);
    g_source_attach(tunnel->source, tunnel->context);
}

StreamTunnel *stream_tunnel_new(const char *const *argv, int *fd, GError **error)
{
    int ends[2], pipe_ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE, "no socket for the tunnel command: %s",
                    g_strerror(errno));
        return NULL;
    }
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE, "no pipe for the tunnel command: %s",
                    g_strerror(errno));
        close(ends[0]);
        close(ends[1]);
        return NULL;
    }
    GSubprocess *process = spawn(argv, ends[1], pipe_ends[1], error);
    if (!process) {
        close(ends[0]);
        close(pipe_ends[0]);
        return NULL;
    }
    StreamTunnel *tunnel = g_new0(StreamTunnel, 1);
    tunnel->context = g_main_context_ref_thread_default();
    tunnel->process = process;
    tunnel->errors = pipe_ends[0];
    watch_errors(tunnel);
    g_unix_set_fd_nonblocking(ends[0], TRUE, NULL);
    *fd = ends[0];
    return tunnel;
}

static gboolean kill_now(gpointer process)
{
    g_subprocess_force_exit(process); /* does nothing once it is reaped */
    return G_SOURCE_REMOVE;
}

void stream_tunnel_free(StreamTunnel *tunnel)
{
    if (!tunnel)
        return;
    close_errors(tunnel);
    g_subprocess_send_signal(tunnel->process, SIGTERM);
    g_autoptr(GSource) timer = g_timeout_source_new_seconds(KILL_AFTER);
    g_source_set_callback(timer, kill_now, tunnel->process, g_object_unref);
    g_source_attach(timer, tunnel->context);
    g_main_context_unref(tunnel->context);
    g_free(tunnel->complaint);
    g_free(tunnel);
}

const char *stream_tunnel_complaint(StreamTunnel *tunnel)
{
    if (tunnel->errors >= 0)
        read_errors(tunnel);
    return tunnel->complaint;
}
