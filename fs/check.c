#include "check.h"

#include <stdio.h>
#include <string.h>

#include "imap-remote.h"
#include "server.h"
#include "utf7.h"

typedef struct {
    Remote *remote;
    GMainLoop *loop;
    GError *error;
    gboolean trash;
    guint folders;
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

static void print_folder(const RemoteFolder *folder, gpointer data)
{
    Check *check = data;
    g_autofree char *decoded = utf7_decode(folder->name);
    g_autofree char *shown = mail_escape(decoded ? decoded : folder->name, -1, 200);
    check->folders++;
    check->trash |= (folder->flags & MAIL_FOLDER_TRASH) != 0;
    if (folder->flags & MAIL_FOLDER_NOSELECT)
        printf("folder: %s (holds only folders)\n", shown);
}

static void print_count(const char *name, guint64 messages, gpointer data)
{
    g_autofree char *decoded = utf7_decode(name);
    g_autofree char *shown = mail_escape(decoded ? decoded : name, -1, 200);
    printf("folder: %s: %" G_GUINT64_FORMAT " messages\n", shown, messages);
}

static void list_done(const GError *error, gpointer data)
{
    Check *check = data;
    if (error && !check->error)
        check->error = g_error_copy(error);
    g_main_loop_quit(check->loop);
}

static void print_feature(gboolean offered, const char *name, const char *with, const char *without)
{
    printf("%s: %s: %s\n", offered ? "uses" : "misses", name, offered ? with : without);
}

static void print_features(Check *check)
{
    const RemoteFeatures *features = remote_features(check->remote);
    print_feature(features->qresync, "QRESYNC", "a refresh costs one round trip",
                  features->condstore ? "removals are found by comparing UIDs"
                                      : "a refresh compares all UIDs and flags");
    print_feature(features->condstore, "CONDSTORE", "a refresh asks only for what changed",
                  "a refresh compares all UIDs and flags");
    print_feature(features->uidplus, "UIDPLUS", "rm removes exactly what it names",
                  "rm leaves messages marked \\Deleted where other clients have marked some");
    print_feature(features->move, "MOVE", "rm moves to the trash in one step",
                  "rm copies to the trash, then deletes");
    print_feature(check->trash, "a \\Trash folder", "rm moves messages there (delete=trash)",
                  "rm deletes for good (delete=expunge)");
}

static gboolean talk(Check *check)
{
    static const RemoteListFuncs funcs = {
        .folder = print_folder, .count = print_count, .done = list_done};
    remote_start(check->remote);
    g_main_loop_run(check->loop);
    if (check->error)
        return FALSE;
    g_autoptr(GString) text = g_string_new(NULL);
    remote_describe(check->remote, text);
    fputs(text->str, stdout);
    remote_list(check->remote, &funcs, check);
    g_main_loop_run(check->loop);
    return check->error == NULL;
}

int check_run(const Config *config, Secret *secret, gboolean is_token)
{
    if (url_is_pop3(config->url))
        return check_pop3(config, secret, is_token);
    static const RemoteFuncs funcs = {.state = state_changed, .changed = mailbox_changed};
    RemoteConfig remote_config = server_config(config, is_token);
    g_autofree char *identity = server_identity(config);
    Check check = {.loop = g_main_loop_new(NULL, FALSE)};
    check.remote = imap_remote_new(&remote_config, secret, &funcs, &check);
    printf("account: %s\n", identity);
    gboolean good = talk(&check);
    if (good)
        print_features(&check);
    else
        fprintf(stderr, "mailfs: %s\n", check.error->message);
    remote_free(check.remote);
    g_main_loop_unref(check.loop);
    g_clear_error(&check.error);
    return good ? 0 : 1;
}
