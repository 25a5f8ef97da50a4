#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "command.h"
#include "config.h"
#include "credentials.h"
#include "imap-session.h"
#include "log.h"
#include "mount.h"
#include "mountpoint.h"
#include "pop3-session.h"
#include "server.h"

/* What the daemon in the background tells the command that started it: a byte, then text. */
enum { STARTED = 'S', FAILED = 'F' };

typedef struct {
    int pipe; /* -1: in the foreground */
} Starter;

static void say(const char *text)
{
    fprintf(stderr, "mailfs: %s\n", text);
}

/* No core file, and no other process of the user's may look into this one. */
static void hide_memory(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak check looks into the process */
    prctl(PR_SET_DUMPABLE, 0);
#endif
}

/* Nothing that is opened later may be taken for standard input, output or error. */
static void open_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/* A daemon that went on holding a pipe or a lock of whoever started it would make others wait. */
static void close_inherited(int keep)
{
    if (keep > STDERR_FILENO + 1)
        close_range(STDERR_FILENO + 1, (unsigned)keep - 1, 0);
    close_range(MAX((unsigned)STDERR_FILENO, (unsigned)MAX(keep, 0)) + 1, ~0U, 0);
}

static void send_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, text, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        text += written;
        size -= (size_t)written;
    }
}

/* The mount stands: the terminal is left to others. Until here Ctrl-C ended both processes. */
static void detach(Starter *starter)
{
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    log_to_syslog();
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    close(starter->pipe);
    starter->pipe = -1;
}

static void ready(const GError *error, const char *warning, gpointer data)
{
    Starter *starter = data;
    const char *text = error ? error->message : warning ? warning : "";
    if (starter->pipe < 0) {
        if (*text)
            say(text);
        return;
    }
    char verdict = error ? FAILED : STARTED;
    prctl(PR_SET_PDEATHSIG, 0);
    send_all(starter->pipe, &verdict, 1);
    send_all(starter->pipe, text, strlen(text));
    if (!error)
        detach(starter);
}

/* Waits for the daemon's verdict and passes it on. */
static int await_verdict(int fd)
{
    g_autoptr(GString) verdict = g_string_new(NULL);
    char buffer[512];
    for (;;) {
        ssize_t got = read(fd, buffer, sizeof(buffer));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        g_string_append_len(verdict, buffer, got);
    }
    if (verdict->len == 0) {
        say("the daemon ended without saying why");
        return 1;
    }
    if (verdict->len > 1)
        say(verdict->str + 1);
    return verdict->str[0] == STARTED ? 0 : 1;
}

static int mount_in_background(const Config *config, Secret *secret, gboolean is_token)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        say(g_strerror(errno));
        secret_free(secret);
        return 1;
    }
    pid_t parent = getpid();
    pid_t child = fork();
    if (child != 0) {
        int why = errno;
        close(ends[1]);
        if (child > 0) {
            secret_let_go(secret);
            return await_verdict(ends[0]);
        }
        secret_free(secret);
        say(g_strerror(why));
        return 1;
    }
    close(ends[0]);
    secret_forked(secret);
    /* Who was told to wait for the mount, and is gone, does not want it any more. */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || chdir("/") != 0) {
        secret_free(secret);
        return 1;
    }
    Starter starter = {ends[1]};
    return mount_run(config, secret, is_token, ready, &starter);
}

static int run(Config *config)
{
    g_autoptr(GError) error = NULL;
    gboolean is_token = FALSE;
    Secret *secret = NULL;
    if (!server_check(config, &error)) {
        say(error->message);
        return 1;
    }
    if (!config->check) {
        /* What needs no server is found out before a password is asked for. */
        char *point = mountpoint_check(config->mountpoint, &error);
        if (!point) {
            say(error->message);
            return 1;
        }
        g_free(config->mountpoint);
        config->mountpoint = point;
    }
    if (!config->check && !config->foreground)
        close_inherited(config->password_fd);
    if (server_wants_secret(config)) {
        secret = credentials_get(config, &is_token, &error);
        if (!secret) {
            say(error->message);
            return 1;
        }
    }
    if (config->check)
        return check_run(config, secret, is_token);
    if (!config->foreground)
        return mount_in_background(config, secret, is_token);
    Starter starter = {-1};
    return mount_run(config, secret, is_token, ready, &starter);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    open_standard_files();
    if (argc > 1 && command_is_one(argv[1]))
        return command_run(argc - 1, argv + 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_parse(argc, argv, &error);
    if (!config) {
        say(error->message);
        return g_error_matches(error, MAIL_ERROR, MAIL_ERROR_CONFIG) ? 1 : 2;
    }
    if (config->help) {
        fputs(config_help(), stdout);
        return 0;
    }
    if (config->version) {
        printf("mailfs %s\n", MAILFS_VERSION);
        return 0;
    }
    log_start(config->verbose, config->debug);
    imap_session_debug = pop3_session_debug = config->debug;
    hide_memory();
    return run(config);
}
