/* mailfs --check of a POP3 account: what the server can do, what is there, and what will become of
 * it. The header of one message is asked for, to see whether that works. */
#include "check.h"

#include <stdio.h>

#include "pop3-remote.h"
#include "server.h"

typedef struct {
    Remote *remote;
    GMainLoop *loop;
    GError *error;
    gboolean looked; /* it came ... */
    gboolean top;    /* ... with its header */
} Check;

static void state_changed(RemoteState state, const GError *error, gpointer data)
{
    Check *check = data;
    if (state == REMOTE_OFFLINE && error && !check->error)
        check->error = g_error_copy(error);
    if (state == REMOTE_ONLINE || state == REMOTE_OFFLINE)
        g_main_loop_quit(check->loop);
}

static void mailbox_changed(const char *mailbox, gpointer data)
{
}

/* Nothing is kept: they are numbered as they come. */
static gboolean identify(const char *const *names, guint count, MailUid *uids, gpointer data,
                         GError **error)
{
    for (guint i = 0; i < count; i++)
        uids[i] = i + 1;
    return TRUE;
}

static void opened(const RemoteMailbox *info, gpointer data)
{
}

static gboolean has(MailUid uid, gpointer data)
{
    return uid != 1;
}

static void message(const RemoteMessage *message, gpointer data)
{
    Check *check = data;
    check->looked = TRUE;
    check->top = message->header_size > 0;
}

static void present(const GArray *uids, gpointer data)
{
}

static void done(const GError *error, MailModSeq modseq, gpointer data)
{
    Check *check = data;
    if (error && !check->error)
        check->error = g_error_copy(error);
    g_main_loop_quit(check->loop);
}

static gboolean talk(Check *check)
{
    static const RemoteSyncFuncs funcs = {
        .opened = opened, .has = has, .message = message, .present = present, .done = done};
    RemoteSync known = {.mailbox = POP3_MAILBOX, .headers = TRUE};
    remote_start(check->remote);
    g_main_loop_run(check->loop);
    if (check->error)
        return FALSE;
    remote_sync(check->remote, &known, &funcs, check);
    g_main_loop_run(check->loop);
    return check->error == NULL;
}

static void print_result(const Check *check, const Config *config)
{
    g_autoptr(GString) text = g_string_new(NULL);
    remote_describe(check->remote, text);
    fputs(text->str, stdout);
    if (check->looked)
        printf("top: %s\n", check->top ? "yes" : "no: names show neither sender nor subject");
    if (config->leave == CONFIG_LEAVE_ALWAYS)
        puts("leave: always: messages stay on the server until they are removed here");
    else if (config->leave == 0)
        puts("leave: never: messages go from the server once they are safely on this disk");
    else
        printf("leave: messages go from the server %u days after they were downloaded\n",
               config->leave);
    printf("fetch: %s\n", config->fetch_all ? "all: every message is downloaded"
                                            : "read: messages are downloaded when they are read");
}

int check_pop3(const Config *config, Secret *secret, gboolean is_token)
{
    static const RemoteFuncs funcs = {
        .state = state_changed, .changed = mailbox_changed, .identify = identify};
    RemoteConfig remote_config = server_config(config, is_token);
    g_autofree char *identity = server_identity(config);
    Check check = {.loop = g_main_loop_new(NULL, FALSE)};
    check.remote = pop3_remote_new(&remote_config, secret, &funcs, &check);
    printf("account: %s\n", identity);
    gboolean good = talk(&check);
    if (good)
        print_result(&check, config);
    else
        fprintf(stderr, "mailfs: %s\n", check.error->message);
    remote_free(check.remote);
    g_main_loop_unref(check.loop);
    g_clear_error(&check.error);
    return good ? 0 : 1;
}
