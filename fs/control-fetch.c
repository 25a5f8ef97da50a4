/* `mailfs fetch`: the arguments are paths. While it goes on, and at its end, lines tell how far it
 * is; amounts are messages and bytes:
 *
 *   error N TEXT            the Nth argument is wrong
 *   problem PATH: TEXT      a message or folder that cannot be had
 *   folder AMOUNT PATH      a folder is done with; what was fetched of it
 *   progress FETCHED ALL COUNTED
 *   total FETCHED HAD LEFT-OUT FAILED */
#include "control-private.h"

#include "fetch.h"
#include "view-eml.h"

#define TELL_EVERY 200          /* milliseconds */
#define MAX_PROBLEMS 100        /* that are told one by one */
#define MAX_BEHIND (256 * 1024) /* bytes not read yet, beyond which nothing more is told */

typedef struct {
    ControlClient *client;
    AccountFetch *fetch;
    gboolean asked; /* for the list of folders */
    guint number;   /* of the last argument */
    guint problems;
    guint timer;
} Fetching;

static void append_amount(GString *line, const FetchAmount *amount)
{
    g_string_append_printf(line, " %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT, amount->messages,
                           amount->bytes);
}

static void tell_progress(ControlClient *client, const FetchProgress *progress)
{
    g_autoptr(GString) line = g_string_new("progress");
    append_amount(line, &progress->fetched);
    append_amount(line, &progress->all);
    control_client_print(client, "%s %d", line->str, progress->counted ? 1 : 0);
}

static gboolean tell(gpointer data)
{
    Fetching *fetching = data;
    if (control_client_queued(fetching->client) == 0)
        tell_progress(fetching->client, fetch_progress(fetching->fetch));
    return G_SOURCE_CONTINUE;
}

static void folder_done(Folder *folder, const FetchAmount *amount, gpointer data)
{
    Fetching *fetching = data;
    g_autoptr(GString) line = g_string_new("folder");
    if (control_client_queued(fetching->client) > MAX_BEHIND)
        return;
    append_amount(line, amount);
    g_string_append_c(line, ' ');
    eml_append_path(fetching->client->fs, folder, NULL, line);
    control_client_print(fetching->client, "%s", line->str);
}

static void failed(Folder *folder, MailUid uid, const GError *error, gpointer data)
{
    Fetching *fetching = data;
    g_autoptr(GString) path = g_string_new(NULL);
    if (++fetching->problems > MAX_PROBLEMS)
        return;
    eml_append_path(fetching->client->fs, folder,
                    uid ? mailbox_find(folder_mailbox(folder), uid) : NULL, path);
    control_client_print(fetching->client, "problem %s: %s", path->str, error->message);
}

static void done(const GError *error, gpointer data)
{
    Fetching *fetching = data;
    const FetchProgress *progress = fetch_progress(fetching->fetch);
    g_autoptr(GString) line = g_string_new("total");
    append_amount(line, &progress->fetched);
    append_amount(line, &progress->had);
    append_amount(line, &progress->left_out);
    tell_progress(fetching->client, progress);
    control_client_print(fetching->client, "%s %" G_GUINT64_FORMAT, line->str, progress->failed);
    control_client_end(fetching->client, error);
}

static Fetching *fetching_of(ControlClient *client)
{
    static const FetchFuncs funcs = {folder_done, failed, done};
    if (client->state)
        return client->state;
    Fetching *fetching = g_new0(Fetching, 1);
    fetching->client = client;
    fetching->fetch = fetch_new(client->fs->account, &funcs, fetching);
    client->state = fetching;
    return fetching;
}

static void fetching_free(gpointer data)
{
    Fetching *fetching = data;
    g_clear_handle_id(&fetching->timer, g_source_remove);
    fetch_free(fetching->fetch);
    g_free(fetching);
}

/* Folders that another client made a moment ago are to be fetched, too. */
static AccountReply refresh_folders(ControlClient *client, Fetching *fetching)
{
    if (fetching->asked)
        return ACCOUNT_READY;
    fetching->asked = TRUE;
    return account_refresh_folders(client->fs->account, &client->waiter, NULL);
}

static gboolean take_path(ControlClient *client, const char *path, const GError *woken_by)
{
    Fetching *fetching = fetching_of(client);
    g_autoptr(GError) error = NULL;
    Folder *folder;
    MailUid uid;
    if (refresh_folders(client, fetching) == ACCOUNT_WAIT)
        return FALSE;
    AccountReply reply = control_find(client, path, woken_by, &folder, &uid, &error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    fetching->number++;
    if (reply == ACCOUNT_FAILED)
        control_client_print(client, "error %u %s", fetching->number, error->message);
    else if (uid)
        fetch_add_message(fetching->fetch, folder, uid);
    else
        fetch_add_folder(fetching->fetch, folder);
    return TRUE;
}

static void fetch_run(ControlClient *client, const GError *woken_by)
{
    Fetching *fetching = fetching_of(client);
    fetching->timer = g_timeout_add(TELL_EVERY, tell, fetching);
    fetch_start(fetching->fetch);
}

const ControlCommand control_fetch_command = {
    .name = "fetch",
    .takes_arguments = TRUE,
    .lasts = TRUE,
    .argument = take_path,
    .run = fetch_run,
    .free_state = fetching_free,
};
