/* Making, removing and renaming folders. The server decides, so these wait for it, unlike changes
 * to messages: a folder that is shown is one that there is.
 *
 * While one is under way the list of folders is not asked for: what it would say of the folder may
 * be from before or from after. */
#include "arrivals.h"
#include "rights.h"

#include <string.h>

#define MAX_NAME 8192 /* bytes on the wire */

struct FolderChange {
    Waiter flushed;                     /* first: what wakes it hands back this address */
    void (*step)(FolderChange *change); /* sends it, or waits for what comes before */
    guint source;                       /* takes the first step */
    gboolean waited;                    /* for what was pending when it began */
    Account *account;
    gboolean renames;
    guint32 row, parent; /* of what is removed or renamed; of where it is made or goes */
    char *name;          /* that it gets */
    char delimiter;
    RemoteJob *job;
    WaitList waiters;
};

static void change_free(FolderChange *change)
{
    g_clear_handle_id(&change->source, g_source_remove);
    if (change->job)
        remote_cancel(change->account->remote, change->job);
    waiter_cancel(&change->flushed);
    g_free(change->name);
    g_free(change);
}

static void change_end(FolderChange *change, const GError *error)
{
    Account *account = change->account;
    g_ptr_array_remove_fast(account->folder_changes, change);
    if (account->folder_changes->len == 0)
        folders_go_on(account, error != NULL);
    if (change->renames) {
        journal_kick(account->journal);
        arrivals_kick(account);
    }
    wait_list_wake(&change->waiters, error);
    change_free(change);
}

static void flushed(Waiter *waiter, const GError *error)
{
    FolderChange *change = (FolderChange *)waiter;
    if (error)
        change_end(change, error);
    else
        change->step(change);
}

static gboolean first_step(gpointer data)
{
    FolderChange *change = data;
    change->source = 0;
    change->step(change);
    return G_SOURCE_REMOVE;
}

/* Its steps come from the main loop: the waiter is not woken before it waits. */
static FolderChange *change_begin(Account *account, void (*step)(FolderChange *change),
                                  Waiter *waiter)
{
    FolderChange *change = g_new0(FolderChange, 1);
    change->account = account;
    change->step = step;
    change->flushed.wake = flushed;
    change->source = g_idle_add_full(G_PRIORITY_DEFAULT, first_step, change, NULL);
    g_ptr_array_add(account->folder_changes, change);
    folders_hold(account);
    wait_list_add(&change->waiters, waiter);
    return change;
}

void folder_changes_end(Account *account)
{
    while (account->folder_changes->len > 0) {
        change_free(account->folder_changes->pdata[0]);
        g_ptr_array_remove_index_fast(account->folder_changes, 0);
    }
}

gboolean folder_changes_rename(const Account *account)
{
    for (guint i = 0; i < account->folder_changes->len; i++) {
        const FolderChange *change = account->folder_changes->pdata[i];
        if (change->renames && change->job)
            return TRUE;
    }
    return FALSE;
}

/* ---- what can be done at all ---- */

static gboolean fail(GError **error, MailError code, const char *text)
{
    g_set_error_literal(error, MAIL_ERROR, (gint)code, text);
    return FALSE;
}

static gboolean is_online(Account *account, GError **error)
{
    RemoteState state = remote_state(account->remote);
    if (account->config.flat)
        return fail(error, MAIL_ERROR_UNSUPPORTED, "the server has no folders");
    if (account->config.read_only)
        return fail(error, MAIL_ERROR_READ_ONLY, "the mount is read-only");
    if (state == REMOTE_ONLINE || state == REMOTE_CONNECTING)
        return TRUE;
    remote_wake(account->remote);
    return fail(error, MAIL_ERROR_OFFLINE, "folders are changed on the server, which is offline");
}

/* The delimiter of the folders at the top. */
static char top_delimiter(Account *account)
{
    for (guint i = 0; i < account->root->children->len; i++) {
        const Folder *folder = account->root->children->pdata[i];
        if (folder->delimiter)
            return folder->delimiter;
    }
    return 0;
}

/* The name on the wire of a folder that is to be there. NULL: there cannot be one. */
static char *name_within(Folder *parent, const char *label, char *delimiter, GError **error)
{
    Account *account = parent->account;
    gboolean at_root = parent == account->root;
    g_autofree char *component = account->funcs->component(label, at_root);
    *delimiter = at_root ? top_delimiter(account) : parent->delimiter;
    if (!component || (*delimiter && strchr(component, *delimiter))) {
        fail(error, MAIL_ERROR_INVALID, "no folder on the server can have this name");
        return NULL;
    }
    if (!at_root && (*delimiter == 0 || (parent->flags & MAIL_FOLDER_NOINFERIORS))) {
        fail(error, MAIL_ERROR_NO_PERMISSION, "this folder cannot hold other folders");
        return NULL;
    }
    char separator[] = {*delimiter, '\0'};
    char *name =
        at_root ? g_strdup(component) : g_strconcat(parent->name, separator, component, NULL);
    if (strlen(name) <= MAX_NAME)
        return name;
    g_free(name);
    fail(error, MAIL_ERROR_INVALID, "the name of the folder would be too long");
    return NULL;
}

/* Not only by its label: INBOX is the same in any case, RFC 9051 section 5.1. */
static Folder *folder_named(Folder *parent, const char *label, const char *name)
{
    Folder *folder = folder_child(parent, label);
    if (!folder && g_ascii_strcasecmp(name, "INBOX") == 0)
        folder = g_hash_table_lookup(parent->account->by_name, "INBOX");
    return folder ? folder : g_hash_table_lookup(parent->account->by_name, name);
}

/* Whether it shows a message, a file on its way, or a folder. */
static gboolean is_empty(Folder *folder)
{
    if (folder->children->len > 0 || folder_next_arrival(folder, 0))
        return FALSE;
    Mailbox *mailbox = folder_mailbox(folder);
    for (guint i = 0; i < mailbox_count(mailbox); i++)
        if (message_visible(folder, mailbox_at(mailbox, i)))
            return FALSE;
    return TRUE;
}

static gboolean may_go(const Folder *folder, GError **error)
{
    if (!folder->parent || strcmp(folder->name, "INBOX") == 0)
        return fail(error, MAIL_ERROR_IN_USE, "the inbox stays where it is");
    return folder_may(folder, FOLDER_DELETE, error);
}

/* ---- changes of messages that come before ---- */

static gboolean has_changes(const Folder *folder)
{
    gboolean found = journal_has_folder(folder->account->journal, folder);
    for (guint i = 0; !found && i < folder->arrivals->len; i++) {
        const Arrival *arrival = folder->arrivals->pdata[i];
        found = arrival->state != ARRIVAL_OPEN && arrival->state != ARRIVAL_PLACED;
    }
    for (guint i = 0; !found && i < folder->children->len; i++)
        found = has_changes(folder->children->pdata[i]);
    return found;
}

/* What was removed from the folder is to be so on the server, too, and what is on its way there has
 * to find it by its old name. FALSE: waits for that, or has failed and is freed. */
static gboolean all_sent(FolderChange *change, const Folder *folder)
{
    g_autoptr(GError) error = NULL;
    if (account_pending(change->account) == 0 || (change->waited && !has_changes(folder)))
        return TRUE;
    change->waited = TRUE;
    AccountReply reply = account_flush(change->account, &change->flushed, &error);
    if (reply == ACCOUNT_FAILED)
        change_end(change, error);
    return reply == ACCOUNT_READY;
}

/* ---- make ---- */

static void made(const GError *error, gpointer data)
{
    FolderChange *change = data;
    change->job = NULL;
    if (!error)
        folders_made(change->account, change->name, change->delimiter);
    change_end(change, error);
}

static void make_step(FolderChange *change)
{
    change->job = remote_create(change->account->remote, change->name, made, change);
}

AccountReply account_make_folder(Account *account, Folder *parent, const char *label,
                                 Waiter *waiter, GError **error)
{
    char delimiter = 0;
    if (!is_online(account, error) || !folder_may(parent, FOLDER_CREATE, error))
        return ACCOUNT_FAILED;
    g_autofree char *name = name_within(parent, label, &delimiter, error);
    if (!name)
        return ACCOUNT_FAILED;
    if (folder_named(parent, label, name)) {
        fail(error, MAIL_ERROR_EXISTS, "there is a folder of this name");
        return ACCOUNT_FAILED;
    }
    FolderChange *change = change_begin(account, make_step, waiter);
    change->name = g_steal_pointer(&name);
    change->delimiter = delimiter;
    return ACCOUNT_WAIT;
}

/* ---- remove ---- */

/* A level above others that the server does not list by itself is there for their sake alone. */
static void removed(const GError *error, gpointer data)
{
    FolderChange *change = data;
    Folder *folder = account_folder(change->account, change->row);
    change->job = NULL;
    gboolean was_level =
        folder && !folder_selectable(folder) && g_error_matches(error, MAIL_ERROR, MAIL_ERROR_GONE);
    if (error && !was_level) {
        change_end(change, error);
        return;
    }
    if (folder)
        folders_removed(folder);
    change_end(change, NULL);
}

static void remove_step(FolderChange *change)
{
    g_autoptr(GError) error = NULL;
    Folder *folder = account_folder(change->account, change->row);
    if (!folder) {
        change_end(change, NULL);
        return;
    }
    if (!is_empty(folder)) {
        fail(&error, MAIL_ERROR_NOT_EMPTY, "the folder is not empty");
        change_end(change, error);
        return;
    }
    if (all_sent(change, folder))
        change->job = remote_delete(change->account->remote, folder->name,
                                    folder_selectable(folder), removed, change);
}

AccountReply account_remove_folder(Account *account, Folder *folder, Waiter *waiter, GError **error)
{
    if (!is_online(account, error) || !may_go(folder, error))
        return ACCOUNT_FAILED;
    if (!is_empty(folder)) {
        fail(error, MAIL_ERROR_NOT_EMPTY, "the folder is not empty");
        return ACCOUNT_FAILED;
    }
    FolderChange *change = change_begin(account, remove_step, waiter);
    change->row = folder->row;
    return ACCOUNT_WAIT;
}

/* ---- rename ---- */

static void renamed(const GError *error, gpointer data)
{
    FolderChange *change = data;
    Folder *folder = account_folder(change->account, change->row);
    Folder *parent = account_folder(change->account, change->parent);
    change->job = NULL;
    if (!error && folder && parent)
        folders_renamed(folder, parent, change->name);
    change_end(change, error);
}

static void rename_step(FolderChange *change)
{
    g_autoptr(GError) error = NULL;
    Folder *folder = account_folder(change->account, change->row);
    if (!folder) {
        fail(&error, MAIL_ERROR_GONE, "the folder is not there any more");
        change_end(change, error);
        return;
    }
    if (!all_sent(change, folder))
        return;
    folders_stop_syncs(folder);
    change->job =
        remote_rename(change->account->remote, folder->name, change->name, renamed, change);
}

static gboolean is_within(const Folder *folder, const Folder *above)
{
    while (folder && folder != above)
        folder = folder->parent;
    return folder != NULL;
}

/* As rename(2) has it, but that an empty folder is not replaced either. */
static gboolean target_is_free(const Folder *folder, Folder *parent, const char *label,
                               const char *name, GError **error)
{
    Folder *there = folder_named(parent, label, name);
    if (is_within(parent, folder))
        return fail(error, MAIL_ERROR_INVALID, "a folder cannot be moved into itself");
    if (!there)
        return TRUE;
    return is_empty(there) ? fail(error, MAIL_ERROR_EXISTS, "there is a folder of this name")
                           : fail(error, MAIL_ERROR_NOT_EMPTY, "there is a folder of this name");
}

AccountReply account_rename_folder(Account *account, Folder *folder, Folder *parent,
                                   const char *label, Waiter *waiter, GError **error)
{
    char delimiter = 0;
    if (!is_online(account, error) || !may_go(folder, error) ||
        !folder_may(parent, FOLDER_CREATE, error))
        return ACCOUNT_FAILED;
    g_autofree char *name = name_within(parent, label, &delimiter, error);
    if (!name || !target_is_free(folder, parent, label, name, error))
        return ACCOUNT_FAILED;
    if (folder->children->len > 0 && delimiter != folder->delimiter) {
        fail(error, MAIL_ERROR_UNSUPPORTED, "its folders would have other names there");
        return ACCOUNT_FAILED;
    }
    FolderChange *change = change_begin(account, rename_step, waiter);
    change->renames = TRUE;
    change->row = folder->row;
    change->parent = parent->row;
    change->name = g_steal_pointer(&name);
    return ACCOUNT_WAIT;
}
