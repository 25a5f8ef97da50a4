/* `mailfs flag`: the arguments are words ("+flagged", "-todo"), then paths. The messages are
 * gathered into one set for each folder, so that one command goes to the server for it.
 *
 *   error N TEXT            the Nth path is wrong
 *   problem PATH: TEXT      the messages of a folder are as they were */
#include "control-private.h"

#include <string.h>

#include "flag-words.h"
#include "view-eml.h"

#define MAX_FILES 1000000 /* in one request */

typedef struct {
    FlagWords words;
    GHashTable *uids; /* folder row -> GArray of MailUid */
    guint number;     /* of the last path */
    gboolean changed; /* it is only waited for the server */
} Flagging;

static Flagging *flagging_of(ControlClient *client)
{
    if (client->state)
        return client->state;
    Flagging *flagging = g_new0(Flagging, 1);
    flag_words_init(&flagging->words);
    flagging->uids = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)g_array_unref);
    client->state = flagging;
    return flagging;
}

static void flagging_free(gpointer data)
{
    Flagging *flagging = data;
    flag_words_clear(&flagging->words);
    g_hash_table_unref(flagging->uids);
    g_free(flagging);
}

static void add_message(Flagging *flagging, const Folder *folder, MailUid uid)
{
    gpointer key = GUINT_TO_POINTER(folder_row(folder));
    GArray *uids = g_hash_table_lookup(flagging->uids, key);
    if (!uids) {
        uids = g_array_new(FALSE, FALSE, sizeof(MailUid));
        g_hash_table_insert(flagging->uids, key, uids);
    }
    g_array_append_val(uids, uid);
}

static gboolean take_path(ControlClient *client, const char *path, const GError *woken_by)
{
    Flagging *flagging = client->state;
    g_autoptr(GError) error = NULL;
    Folder *folder;
    MailUid uid;
    AccountReply reply = control_find(client, path, woken_by, &folder, &uid, &error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    flagging->number++;
    if (reply == ACCOUNT_FAILED)
        control_client_print(client, "error %u %s", flagging->number, error->message);
    else if (uid == 0)
        control_client_print(client, "error %u it is a folder, not a message", flagging->number);
    else
        add_message(flagging, folder, uid);
    return TRUE;
}

static gboolean take_argument(ControlClient *client, const char *text, const GError *woken_by)
{
    Flagging *flagging = flagging_of(client);
    g_autoptr(GError) error = NULL;
    if (*text == '/' && flagging->number < MAX_FILES)
        return take_path(client, text, woken_by);
    if (*text == '/')
        error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_INVALID, "too many files at once");
    else if (flag_words_take(&flagging->words, text, &error))
        return TRUE;
    control_client_end(client, error);
    return TRUE;
}

static gint by_uid(gconstpointer a, gconstpointer b)
{
    MailUid first = *(const MailUid *)a, second = *(const MailUid *)b;
    return first < second ? -1 : first > second;
}

static void change_folder(ControlClient *client, Folder *folder, GArray *uids)
{
    const FlagWords *words = &((Flagging *)client->state)->words;
    g_autoptr(GError) error = NULL;
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(GArray) set = mail_uid_set_new();
    g_array_sort(uids, by_uid);
    for (guint i = 0; i < uids->len; i++)
        mail_uid_set_add(set, g_array_index(uids, MailUid, i), g_array_index(uids, MailUid, i));
    if (account_set_flags(client->fs->account, folder, set, words->add, words->remove,
                          flag_words_list(words->add_keywords),
                          flag_words_list(words->remove_keywords), &error))
        return;
    eml_append_path(client->fs, folder, NULL, path);
    control_client_print(client, "problem %s: %" G_GUINT64_FORMAT " not changed: %s", path->str,
                         mail_uid_set_count(set), error->message);
}

static void change(ControlClient *client)
{
    GHashTableIter iter;
    gpointer row, uids;
    g_hash_table_iter_init(&iter, ((Flagging *)client->state)->uids);
    while (g_hash_table_iter_next(&iter, &row, &uids)) {
        Folder *folder = account_folder(client->fs->account, GPOINTER_TO_UINT(row));
        if (folder)
            change_folder(client, folder, uids);
        else
            control_client_print(client, "problem : a folder went away meanwhile");
    }
}

/* Safe here is enough, but with -o sync. */
static void flag_run(ControlClient *client, const GError *woken_by)
{
    Flagging *flagging = flagging_of(client);
    g_autoptr(GError) error = woken_by ? g_error_copy(woken_by) : NULL;
    if (!flagging->changed)
        change(client);
    flagging->changed = TRUE;
    if (!woken_by && client->fs->config->sync &&
        account_flush(client->fs->account, &client->waiter, &error) == ACCOUNT_WAIT)
        return;
    control_client_end(client, error);
}

const ControlCommand control_flag_command = {
    .name = "flag",
    .takes_arguments = TRUE,
    .argument = take_argument,
    .run = flag_run,
    .free_state = flagging_free,
};
