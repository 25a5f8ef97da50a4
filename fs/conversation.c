#include "conversation.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control-wire.h"
#include "mail.h"

#define CONNECT_TIMEOUT 10 /* seconds */
#define AHEAD (32 * 1024)  /* bytes of arguments that are made before they can be sent */

typedef struct {
    const Conversation *how;
    int fd;
    GString *request; /* what waits to be sent */
    gboolean asked;   /* all of it was made */
    ControlLines answer;
} Talk;

static void talk_clear(Talk *talk)
{
    g_string_free(talk->request, TRUE);
    control_lines_clear(&talk->answer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Talk, talk_clear)

static void give_up(GError **error, const char *what)
{
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE, "the daemon %s", what);
}

/* Arguments and answers go both ways at once: neither side may wait for the other to read first. */
static void make_request(Talk *talk)
{
    while (!talk->asked && talk->request->len < AHEAD) {
        const char *argument = talk->how->argument ? talk->how->argument(talk->how->data) : NULL;
        g_autofree char *line = argument ? control_escape(argument) : NULL;
        talk->asked = !line;
        if (line || talk->how->argument)
            g_string_append_printf(talk->request, "%s\n", line ? line : "");
    }
}

static void send_request(Talk *talk)
{
    ssize_t sent =
        send(talk->fd, talk->request->str, talk->request->len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
        g_string_erase(talk->request, 0, sent);
    } else if (errno != EAGAIN && errno != EINTR) {
        /* It wants no more, and its answer says why. */
        talk->asked = TRUE;
        g_string_truncate(talk->request, 0);
    }
}

typedef enum { GO_ON, SUCCESS, FAILURE } Verdict;

static Verdict take_line(Talk *talk, char *line, GError **error)
{
    if (strcmp(line, "ok") == 0)
        return SUCCESS;
    if (!g_str_has_prefix(line, "failed: ")) {
        talk->how->line(line, talk->how->data);
        return GO_ON;
    }
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_REFUSED, line + strlen("failed: "));
    return FAILURE;
}

static Verdict read_answer(Talk *talk, GError **error)
{
    char bytes[16 * 1024];
    ssize_t got = recv(talk->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return GO_ON;
    if (got <= 0) {
        give_up(error, "went away without an answer");
        return FAILURE;
    }
    control_lines_add(&talk->answer, bytes, (gsize)got);
    Verdict verdict = GO_ON;
    gsize size;
    char *line;
    while (verdict == GO_ON && (line = control_lines_next(&talk->answer, &size)))
        verdict = take_line(talk, line, error);
    return verdict;
}

/* As a program that writes to a pipe ends: at once, rather than with the next line. */
static void die_unread(void)
{
    fflush(stdout);
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

static gboolean talk_to_end(Talk *talk, GError **error)
{
    for (;;) {
        make_request(talk);
        struct pollfd files[] = {
            {.fd = talk->fd, .events = POLLIN | (talk->request->len ? POLLOUT : 0)},
            {.fd = STDOUT_FILENO},
        };
        int ready = poll(files, G_N_ELEMENTS(files),
                         talk->how->patience ? (int)talk->how->patience * 1000 : -1);
        if (ready == 0) {
            give_up(error, "does not answer");
            return FALSE;
        }
        if (files[1].revents & POLLERR)
            die_unread();
        if (files[0].revents & POLLOUT)
            send_request(talk);
        if (!(files[0].revents & ~POLLOUT))
            continue;
        Verdict verdict = read_answer(talk, error);
        if (verdict != GO_ON)
            return verdict == SUCCESS;
    }
}

gboolean converse(const char *path, const char *command, const Conversation *how, GError **error)
{
    g_autoptr(GSocketAddress) address = control_socket_address(path, error);
    g_autoptr(GSocket) socket = address ? g_socket_new(G_SOCKET_FAMILY_UNIX, G_SOCKET_TYPE_STREAM,
                                                       G_SOCKET_PROTOCOL_DEFAULT, error)
                                        : NULL;
    if (!socket)
        return FALSE;
    g_socket_set_timeout(socket, CONNECT_TIMEOUT);
    if (!g_socket_connect(socket, address, NULL, error))
        return FALSE;
    g_auto(Talk) talk = {.how = how, .fd = g_socket_get_fd(socket)};
    talk.request = g_string_new(command);
    g_string_append_c(talk.request, '\n');
    control_lines_init(&talk.answer);
    return talk_to_end(&talk, error);
}
