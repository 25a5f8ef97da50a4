#include "credentials.h"
#include "netrc.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_MAX 4096
#define NETRC_MAX (1024 * 1024)
#define RENEW_SECONDS 60
#define SHOWN_MAX 128

/* Room for the longest secret, its line's end, and one byte that shows that it is too long. */
#define BUFFER_SIZE (SECRET_MAX + 3)

static void config_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void config_error(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(MAIL_ERROR, MAIL_ERROR_CONFIG, format, arguments));
    va_end(arguments);
}

/* Makes a Secret of what `source` gave, less one line's end, and wipes the original. */
static Secret *take_secret(char *text, gsize size, const char *source, GError **error)
{
    gsize length = size;
    if (length > 0 && text[length - 1] == '\n')
        length -= length > 1 && text[length - 2] == '\r' ? 2 : 1;
    Secret *secret = NULL;
    if (length == 0)
        config_error(error, "%s gave an empty password", source);
    else if (length > SECRET_MAX)
        config_error(error, "%s gave more than %d bytes, which is no password", source, SECRET_MAX);
    else if (memchr(text, '\0', length))
        config_error(error, "%s gave a NUL byte, which is in no password", source);
    else if (!(secret = secret_new(text, length)))
        config_error(error, "no memory to keep the password safe");
    secret_wipe(text, size);
    return secret;
}

/* Reads to the end, at most `room` bytes. Returns how many, or -1 with errno. */
static gssize read_up_to(int fd, char *buffer, gsize room)
{
    gsize used = 0;
    while (used < room) {
        ssize_t got = read(fd, buffer + used, room - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        used += (gsize)got;
    }
    return (gssize)used;
}

static Secret *secret_from_fd(int fd, const char *source, GError **error)
{
    char buffer[BUFFER_SIZE];
    gssize used = read_up_to(fd, buffer, sizeof buffer);
    if (used >= 0)
        return take_secret(buffer, (gsize)used, source, error);
    config_error(error, "%s: %s", source, g_strerror(errno));
    secret_wipe(buffer, sizeof buffer);
    return NULL;
}

static Secret *from_password_fd(int fd, GError **error)
{
    g_autofree char *source = g_strdup_printf("--password-fd %d", fd);
    Secret *secret = secret_from_fd(fd, source, error);
    if (fd > STDERR_FILENO)
        close(fd);
    return secret;
}

/* Commands. */

typedef struct {
    char **argv; /* borrowed */
    const char *kind;
} Command;

/* Which command the account has; argv is NULL for none. */
static Command command_of(const Config *config)
{
    if (config->token_command)
        return (Command){config->token_command, "token-command"};
    return (Command){config->password_command, "password-command"};
}

/* "password-command 'pass'": its arguments may be nobody's business. */
static char *command_name(const Command *command)
{
    g_autofree char *program = mail_escape(command->argv[0], -1, SHOWN_MAX);
    return g_strdup_printf("%s '%s'", command->kind, program);
}

/* Sets an error unless `status`, of waitpid(), says that all went well. */
static gboolean check_status(const char *name, int status, GError **error)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return TRUE;
    if (WIFEXITED(status))
        config_error(error, "%s failed with exit status %d", name, WEXITSTATUS(status));
    else
        config_error(error, "%s was ended by signal %d", name, WTERMSIG(status));
    return FALSE;
}

static gboolean spawn(const Command *command, const char *name, GSpawnFlags flags,
                      GSpawnChildSetupFunc setup, GPid *pid, int *output, GError **error)
{
    g_autoptr(GError) bad = NULL;
    if (g_spawn_async_with_pipes(NULL, command->argv, NULL,
                                 flags | G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                                     G_SPAWN_CLOEXEC_PIPES,
                                 setup, NULL, pid, NULL, output, NULL, &bad))
        return TRUE;
    config_error(error, "%s cannot be started: %s", name,
                 g_error_matches(bad, G_SPAWN_ERROR, G_SPAWN_ERROR_NOENT) ? "no such program"
                                                                          : bad->message);
    return FALSE;
}

/* Runs the command with our terminal, on which it may ask for a passphrase, and waits for it. */
static Secret *from_command(const Command *command, GError **error)
{
    g_autofree char *name = command_name(command);
    GPid pid;
    int output;
    if (!spawn(command, name, G_SPAWN_CHILD_INHERITS_STDIN, NULL, &pid, &output, error))
        return NULL;

    char buffer[BUFFER_SIZE];
    gssize used = read_up_to(output, buffer, sizeof buffer);
    close(output);
    if (used < 0 || used == (gssize)sizeof buffer)
        kill(pid, SIGKILL); /* nothing that it still says is wanted */
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;

    Secret *secret = NULL;
    if (used == (gssize)sizeof buffer || (used >= 0 && check_status(name, status, error)))
        secret = take_secret(buffer, (gsize)used, name, error);
    else if (used < 0)
        config_error(error, "%s cannot be read", name);
    secret_wipe(buffer, sizeof buffer);
    return secret;
}

/* Files. A source that is not there gives NULL without an error. */

/* systemd.exec(5), "Credentials": a directory that only this service can read. */
static Secret *from_systemd(const Config *config, GError **error)
{
    const char *directory = g_getenv("CREDENTIALS_DIRECTORY");
    if (!directory || !g_path_is_absolute(directory))
        return NULL;
    g_autofree char *own = g_strconcat("mailfs.", config->name, NULL);
    const char *const names[] = {own, "mailfs.password"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(directory, names[i], NULL);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0) {
            config_error(error, "%s: %s", path, g_strerror(errno));
            return NULL;
        }
        Secret *secret = secret_from_fd(fd, path, error);
        close(fd);
        return secret;
    }
    return NULL;
}

static char *netrc_path(void)
{
    const char *path = g_getenv("NETRC");
    if (path && *path)
        return g_strdup(path);
    const char *home = g_getenv("HOME");
    return g_build_filename(home && *home ? home : g_get_home_dir(), ".netrc", NULL);
}

/* Only a file that has what we want is refused: others' entries may lie open. */
static gboolean check_private(const char *path, const struct stat *status, GError **error)
{
    if (status->st_uid != geteuid()) {
        config_error(error, "%s belongs to another user", path);
        return FALSE;
    }
    if (status->st_mode & (S_IRWXG | S_IRWXO)) {
        config_error(error, "%s can be read by others: chmod 600 it", path);
        return FALSE;
    }
    return TRUE;
}

static Secret *from_netrc_file(int fd, const char *path, const Config *config, GError **error)
{
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return NULL;
    if (status.st_size > NETRC_MAX) {
        config_error(error, "%s is too large", path);
        return NULL;
    }
    gsize room = (gsize)status.st_size + 1;
    g_autofree char *text = g_malloc(room);
    Secret *secret = NULL;
    gsize length;
    gssize size = read_up_to(fd, text, room);
    char *password =
        size <= 0 ? NULL : netrc_find(text, (gsize)size, config->url->host, config->user, &length);
    if (size < 0)
        config_error(error, "%s: %s", path, g_strerror(errno));
    else if (password && check_private(path, &status, error))
        secret = take_secret(password, length, path, error);
    secret_wipe(text, room);
    return secret;
}

static Secret *from_netrc(const Config *config, GError **error)
{
    g_autofree char *path = netrc_path();
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL; /* absent, or not ours to read: there may be a terminal to ask on */
    Secret *secret = from_netrc_file(fd, path, config, error);
    close(fd);
    return secret;
}

/* The prompt. Signals are taken through a descriptor while the echo is off, so that the terminal
 * is restored before they do their work, without a handler and its global state. */

typedef enum { PROMPT_LINE, PROMPT_SIGNAL, PROMPT_FAILED } PromptEnd;

/* Waits for a line, or for a signal, whose number goes to *signal_number. */
static PromptEnd read_line(int tty, int signals, char *buffer, gsize room, gsize *used,
                           int *signal_number)
{
    struct pollfd sources[] = {{.fd = signals, .events = POLLIN}, {.fd = tty, .events = POLLIN}};
    while (poll(sources, G_N_ELEMENTS(sources), -1) < 0)
        if (errno != EINTR)
            return PROMPT_FAILED;
    struct signalfd_siginfo info;
    if (sources[0].revents && read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        *signal_number = (int)info.ssi_signo;
        return PROMPT_SIGNAL;
    }
    ssize_t got = read(tty, buffer, room);
    *used = got > 0 ? (gsize)got : 0;
    return got < 0 ? PROMPT_FAILED : PROMPT_LINE;
}

static void write_text(int fd, const char *text)
{
    while (*text) {
        ssize_t sent = write(fd, text, strlen(text));
        if (sent < 0 && errno != EINTR)
            return;
        text += MAX(sent, 0);
    }
}

/* Asks once, echo off. The terminal is as before when it returns. */
static PromptEnd ask(int tty, int signals, const char *question, char *buffer, gsize *used,
                     int *signal_number)
{
    struct termios before, quiet;
    if (tcgetattr(tty, &before) < 0)
        return PROMPT_FAILED;
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    quiet.c_lflag |= ICANON | ISIG;
    if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0)
        return PROMPT_FAILED;
    write_text(tty, question);
    PromptEnd end = read_line(tty, signals, buffer, BUFFER_SIZE, used, signal_number);
    tcsetattr(tty, TCSAFLUSH, &before);
    write_text(tty, "\n");
    return end;
}

static Secret *ask_on(int tty, const char *question, GError **error)
{
    sigset_t caught, before;
    sigemptyset(&caught);
    for (const int *number = (const int[]){SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, 0}; *number;
         number++)
        sigaddset(&caught, *number);
    pthread_sigmask(SIG_BLOCK, &caught, &before);
    int signals = signalfd(-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);

    char buffer[BUFFER_SIZE];
    gsize used = 0;
    int signal_number = 0;
    PromptEnd end = signals < 0 ? PROMPT_FAILED : PROMPT_SIGNAL;
    while (end == PROMPT_SIGNAL && (signal_number == 0 || signal_number == SIGTSTP)) {
        end = ask(tty, signals, question, buffer, &used, &signal_number);
        if (end != PROMPT_SIGNAL)
            break;
        /* The signal does what it does to a program that is not asking; after a stop and a
         * continuation the question is put again. */
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        raise(signal_number);
        pthread_sigmask(SIG_BLOCK, &caught, NULL);
    }
    if (signals >= 0)
        close(signals);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    if (end == PROMPT_LINE)
        return take_secret(buffer, used, "the prompt", error);
    secret_wipe(buffer, sizeof buffer);
    if (end == PROMPT_SIGNAL)
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CANCELLED, "no password was entered");
    else
        config_error(error, "the terminal cannot be asked for a password");
    return NULL;
}

static Secret *from_terminal(const Config *config, GError **error)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (tty < 0)
        return NULL;
    g_autofree char *user = mail_escape(config->user, -1, SHOWN_MAX);
    g_autofree char *host = mail_escape(config->url->host, -1, SHOWN_MAX);
    g_autofree char *question = g_strdup_printf("Password for %s@%s: ", user, host);
    Secret *secret = ask_on(tty, question, error);
    close(tty);
    return secret;
}

Secret *credentials_get(const Config *config, gboolean *is_token, GError **error)
{
    *is_token = FALSE;
    if (config->password_fd >= 0)
        return from_password_fd(config->password_fd, error);
    Command command = command_of(config);
    if (command.argv) {
        *is_token = config->token_command != NULL;
        return from_command(&command, error);
    }
    Secret *(*const sources[])(const Config *, GError **) = {from_systemd, from_netrc,
                                                             from_terminal};
    for (guint i = 0; i < G_N_ELEMENTS(sources); i++) {
        g_autoptr(GError) bad = NULL;
        Secret *secret = sources[i](config, &bad);
        if (secret)
            return secret;
        if (bad) {
            g_propagate_error(error, g_steal_pointer(&bad));
            return NULL;
        }
    }
    g_autofree char *user = mail_escape(config->user, -1, SHOWN_MAX);
    g_autofree char *host = mail_escape(config->url->host, -1, SHOWN_MAX);
    config_error(error,
                 "no password for %s at %s: no --password-fd, no password-command or "
                 "token-command, no systemd credential, no entry in ~/.netrc, and no terminal to "
                 "ask on; set password-command in the config file",
                 user, host);
    return NULL;
}

/* Renewal: the same command, from the main loop. */

typedef struct {
    CredentialsFunc func;
    gpointer data;
    char *name; /* of the command */
    GPid pid;
    int output;    /* -1 once it ended */
    gboolean over; /* the child is reaped, and `status` is known */
    gboolean late;
    int status;
    guint output_source, timeout_source;
    gsize used;
    char buffer[BUFFER_SIZE];
    GError *error; /* it could not even be started */
} Renewal;

static void renewal_free(Renewal *renewal)
{
    g_clear_handle_id(&renewal->output_source, g_source_remove);
    g_clear_handle_id(&renewal->timeout_source, g_source_remove);
    if (renewal->output >= 0)
        close(renewal->output);
    g_free(renewal->name);
    g_clear_error(&renewal->error);
    secret_wipe(renewal->buffer, sizeof renewal->buffer);
    g_free(renewal);
}

static void renewal_finish(Renewal *renewal)
{
    g_autoptr(GError) error = NULL;
    Secret *secret = NULL;
    if (renewal->late)
        g_set_error(&error, MAIL_ERROR, MAIL_ERROR_TIMEOUT, "%s took more than %d seconds",
                    renewal->name, RENEW_SECONDS);
    else if (renewal->used == sizeof renewal->buffer ||
             check_status(renewal->name, renewal->status, &error))
        secret = take_secret(renewal->buffer, renewal->used, renewal->name, &error);
    renewal->func(secret, error, renewal->data);
    renewal_free(renewal);
}

/* Its whole group: a shell script's children must not go on without it. */
static void renewal_kill(const Renewal *renewal)
{
    if (!renewal->over)
        kill(-renewal->pid, SIGKILL);
}

static gboolean on_output(gint fd, GIOCondition condition, gpointer data)
{
    Renewal *renewal = data;
    ssize_t got = read(fd, renewal->buffer + renewal->used, sizeof renewal->buffer - renewal->used);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return G_SOURCE_CONTINUE;
    renewal->used += (gsize)MAX(got, 0);
    if (got > 0 && renewal->used < sizeof renewal->buffer)
        return G_SOURCE_CONTINUE;
    if (got > 0)
        renewal_kill(renewal);
    close(fd);
    renewal->output = -1;
    renewal->output_source = 0;
    if (renewal->over)
        renewal_finish(renewal);
    return G_SOURCE_REMOVE;
}

/* The end of the child and of its output come in either order; a child that was too late, or that
 * left its output open to others, is not waited for any longer. */
static void on_child_exit(GPid pid, gint status, gpointer data)
{
    Renewal *renewal = data;
    renewal->over = TRUE;
    renewal->status = status;
    if (renewal->output < 0 || renewal->late)
        renewal_finish(renewal);
}

static gboolean on_timeout(gpointer data)
{
    Renewal *renewal = data;
    renewal->timeout_source = 0;
    renewal->late = TRUE;
    renewal_kill(renewal);
    if (renewal->over)
        renewal_finish(renewal);
    return G_SOURCE_REMOVE;
}

static gboolean on_not_started(gpointer data)
{
    Renewal *renewal = data;
    renewal->func(NULL, renewal->error, renewal->data);
    renewal_free(renewal);
    return G_SOURCE_REMOVE;
}

/* In the child: a session of its own, so that it cannot ask on a terminal that others use now. */
static void leave_terminal(gpointer data)
{
    setsid();
}

void credentials_renew(const Config *config, CredentialsFunc func, gpointer data)
{
    Renewal *renewal = g_new0(Renewal, 1);
    renewal->func = func;
    renewal->data = data;
    renewal->output = -1;
    Command command = command_of(config);
    if (command.argv) {
        renewal->name = command_name(&command);
        spawn(&command, renewal->name, 0, leave_terminal, &renewal->pid, &renewal->output,
              &renewal->error);
    } else {
        config_error(&renewal->error, "the account has no command that gives another password");
    }
    if (renewal->error) {
        g_idle_add(on_not_started, renewal);
        return;
    }
    g_unix_set_fd_nonblocking(renewal->output, TRUE, NULL);
    renewal->output_source =
        g_unix_fd_add(renewal->output, G_IO_IN | G_IO_HUP | G_IO_ERR, on_output, renewal);
    g_child_watch_add(renewal->pid, on_child_exit, renewal);
    renewal->timeout_source = g_timeout_add_seconds(RENEW_SECONDS, on_timeout, renewal);
}
