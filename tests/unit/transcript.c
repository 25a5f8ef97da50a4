#include "transcript.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 15 /* seconds, after which something hangs */

struct Transcript {
    const char *const *scripts;
    int listener;
    guint16 port;
    GThread *thread;
    GPtrArray *players;
    GMutex lock;
    guint connections;
    char *failure; /* the first */
};

typedef struct {
    Transcript *transcript;
    const char *script;
    int fd;
    GString *input;
    GThread *thread;
} Player;

static void note_failure(Transcript *transcript, char *text)
{
    g_printerr("# transcript: %s\n", text);
    g_mutex_lock(&transcript->lock);
    if (!transcript->failure)
        transcript->failure = g_steal_pointer(&text);
    g_mutex_unlock(&transcript->lock);
    g_free(text);
}

/* The next line without its CRLF, or NULL at the end. */
static char *read_line(Player *player)
{
    for (;;) {
        char *end = strstr(player->input->str, "\r\n");
        if (end) {
            char *line = g_strndup(player->input->str, (gsize)(end - player->input->str));
            g_string_erase(player->input, 0, end - player->input->str + 2);
            return line;
        }
        char bytes[4096];
        gssize got = recv(player->fd, bytes, sizeof bytes, 0);
        if (got <= 0)
            return NULL;
        g_string_append_len(player->input, bytes, got);
    }
}

static gboolean expect(Player *player, const char *pattern)
{
    g_autofree char *line = read_line(player);
    if (line && g_pattern_match_simple(pattern, line))
        return TRUE;
    note_failure(player->transcript,
                 g_strdup_printf("expected '%s', got '%s'", pattern, line ? line : "(the end)"));
    return FALSE;
}

static void say(Player *player, const char *text, const char *end)
{
    g_autofree char *bytes = g_strconcat(text, end, NULL);
    for (gsize sent = 0, size = strlen(bytes); sent < size;) {
        gssize more = send(player->fd, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (more <= 0)
            return;
        sent += (gsize)more;
    }
}

/* FALSE: no more. */
static gboolean play_line(Player *player, const char *line)
{
    const char *text = line[0] && line[1] ? line + 2 : "";
    switch (*line) {
    case '>':
        say(player, text, "\r\n");
        return TRUE;
    case '~': {
        g_autofree char *raw = g_strcompress(text);
        say(player, raw, "");
        return TRUE;
    }
    case '@':
        while (transcript_connections(player->transcript) < strtoul(text, NULL, 10))
            g_usleep(1000);
        return TRUE;
    case '<':
        return expect(player, text);
    default:
        return FALSE;
    }
}

static gpointer play(gpointer data)
{
    Player *player = data;
    g_auto(GStrv) lines = g_strsplit(player->script, "\n", -1);
    for (guint i = 0; lines[i] && *lines[i]; i++)
        if (!play_line(player, lines[i])) {
            close(player->fd);
            return NULL;
        }
    char *line;
    while ((line = read_line(player))) {
        if (!g_pattern_match_simple("* LOGOUT", line) && strcmp(line, "QUIT") != 0 &&
            strcmp(line, "DONE") != 0)
            note_failure(player->transcript, g_strdup_printf("unexpected '%s'", line));
        g_free(line);
    }
    close(player->fd);
    return NULL;
}

static void add_player(Transcript *transcript, int fd)
{
    g_mutex_lock(&transcript->lock);
    guint number = transcript->connections++;
    g_mutex_unlock(&transcript->lock);
    if (number >= g_strv_length((char **)transcript->scripts)) {
        close(fd);
        return;
    }
    struct timeval patience = {.tv_sec = PATIENCE};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    Player *player = g_new0(Player, 1);
    player->transcript = transcript;
    player->script = transcript->scripts[number];
    player->fd = fd;
    player->input = g_string_new(NULL);
    player->thread = g_thread_new("player", play, player);
    g_ptr_array_add(transcript->players, player);
}

static gpointer accept_players(gpointer data)
{
    Transcript *transcript = data;
    for (;;) {
        int fd = accept(transcript->listener, NULL, NULL);
        if (fd < 0)
            return NULL;
        add_player(transcript, fd);
    }
}

Transcript *transcript_new(const char *const *scripts)
{
    Transcript *transcript = g_new0(Transcript, 1);
    transcript->scripts = scripts;
    transcript->players = g_ptr_array_new();
    g_mutex_init(&transcript->lock);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    transcript->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(transcript->listener, (struct sockaddr *)&address, size), ==, 0);
    g_assert_cmpint(listen(transcript->listener, 8), ==, 0);
    g_assert_cmpint(getsockname(transcript->listener, (struct sockaddr *)&address, &size), ==, 0);
    transcript->port = ntohs(address.sin_port);
    transcript->thread = g_thread_new("transcript", accept_players, transcript);
    return transcript;
}

guint16 transcript_port(const Transcript *transcript)
{
    return transcript->port;
}

guint transcript_connections(Transcript *transcript)
{
    g_mutex_lock(&transcript->lock);
    guint connections = transcript->connections;
    g_mutex_unlock(&transcript->lock);
    return connections;
}

void transcript_end(Transcript *transcript)
{
    shutdown(transcript->listener, SHUT_RDWR);
    g_thread_join(transcript->thread);
    close(transcript->listener);
    for (guint i = 0; i < transcript->players->len; i++) {
        Player *player = transcript->players->pdata[i];
        g_thread_join(player->thread);
        g_string_free(player->input, TRUE);
        g_free(player);
    }
    g_ptr_array_unref(transcript->players);
    g_assert_cmpstr(transcript->failure, ==, NULL);
    g_mutex_clear(&transcript->lock);
    g_free(transcript);
}

RemoteConfig transcript_config(const Transcript *transcript)
{
    return (RemoteConfig){.service = "imap",
                          .host = "127.0.0.1",
                          .port = transcript->port,
                          .tls = STREAM_TLS_NONE,
                          .user = "u",
                          .connections = 1};
}

Secret *transcript_secret(void)
{
    char text[] = "p";
    return secret_new(text, 1);
}

static gboolean too_late(gpointer data)
{
    g_error("the test waits in vain");
    return G_SOURCE_REMOVE;
}

void transcript_wait(const gint *flag)
{
    guint timer = g_timeout_add_seconds(PATIENCE, too_late, NULL);
    while (!*flag)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(timer);
}

static gboolean moment_over(gpointer data)
{
    gint *over = data;
    *over = TRUE;
    return G_SOURCE_REMOVE;
}

void transcript_settle(void)
{
    gint over = FALSE;
    g_timeout_add(50, moment_over, &over);
    transcript_wait(&over);
}
