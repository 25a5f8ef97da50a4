/* The tree of folders: from the index at start, from the server's LIST afterwards.
 *
 * The server names a mailbox by one string; its delimiter makes a path of it. A level that the
 * server does not list by itself ("a" of "a/b") gets a row of its own, so that every directory has
 * a number that stays. */
#include "arrivals.h"
#include "watch.h"

#include <string.h>

#define MAX_NAME 8192 /* bytes; longer names are left out, and that is logged */
#define MAX_LEVELS 1000
#define MAX_FOLDERS 100000
#define ROWS_END (1 << 26) /* the index gives none from here on */

static void folder_free(Folder *folder)
{
    g_autoptr(GError) gone =
        g_error_new_literal(MAIL_ERROR, MAIL_ERROR_GONE, "the folder is not there any more");
    watch_forget(folder);
    downloads_cancel(folder);
    sync_cancel(folder);
    wait_list_wake(&folder->sync_waiters, gone);
    g_hash_table_unref(folder->downloads);
    g_hash_table_unref(folder->orphans);
    g_hash_table_unref(folder->failures);
    g_hash_table_unref(folder->by_label);
    g_ptr_array_unref(folder->children);
    g_array_unref(folder->taken);
    g_hash_table_unref(folder->arrival_names);
    g_ptr_array_unref(folder->arrivals);
    mailbox_free(folder->mailbox);
    g_strfreev(folder->permanent_keywords);
    g_free(folder->rights);
    g_free(folder->name);
    g_free(folder->label);
    g_free(folder);
}

static Folder *folder_new(Account *account)
{
    Folder *folder = g_new0(Folder, 1);
    folder->account = account;
    folder->by_label = g_hash_table_new(g_str_hash, g_str_equal);
    folder->children = g_ptr_array_new();
    folder->downloads = g_hash_table_new(NULL, NULL);
    folder->orphans = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    folder->failures = g_hash_table_new_full(NULL, NULL, NULL, failure_free);
    folder->taken = mail_uid_set_new();
    folder->arrivals = g_ptr_array_new();
    folder->arrival_names = g_hash_table_new(g_str_hash, g_str_equal);
    folder->generation = 1;
    folder->changed = account->started;
    g_queue_init(&folder->sync_waiters);
    return folder;
}

/* A new row is committed at once, by itself: one that a failing transaction took back would be
 * given to another folder as well. Where the index cannot give one, a number for this mount must
 * do. */
static void take_row(Folder *folder, IndexFolder *row)
{
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    account_batch_end(account);
    if (!index_put_folder(account->index, row, &error)) {
        account_index_failed(account, error);
        row->row = ROWS_END - ++account->spare_rows;
    }
    folder->row = row->row;
}

void folder_store(Folder *folder)
{
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    IndexFolder row = {
        .row = folder->row,
        .name = folder->name,
        .delimiter = folder->delimiter,
        .flags = folder->flags,
        .uidvalidity = folder->uidvalidity,
        .uidnext = folder->uidnext,
        .modseq = folder->modseq,
        .listed = folder->listed,
    };
    if (folder->row == 0) {
        take_row(folder, &row);
        return;
    }
    if (account->batch_failed)
        return; /* what it says of its messages may not be in the index */
    account_batch(account);
    if (!index_put_folder(account->index, &row, &error))
        account_index_failed(account, error);
}

void folder_touch(Folder *folder)
{
    folder->generation++;
    folder->changed = g_get_real_time() / G_USEC_PER_SEC;
    folder->account->funcs->touched(folder, folder->account->data);
}

/* ---- the tree ---- */

/* The position of the first child whose row is above `after`. */
static guint child_position(const Folder *folder, guint32 after)
{
    guint low = 0, high = folder->children->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (((Folder *)folder->children->pdata[middle])->row <= after)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void link_row(Folder *folder)
{
    Folder *parent = folder->parent;
    g_ptr_array_insert(parent->children, (gint)child_position(parent, folder->row), folder);
    g_hash_table_insert(folder->account->by_row, GUINT_TO_POINTER(folder->row), folder);
}

/* The folder is not freed. */
static void unlink_row(Folder *folder)
{
    g_ptr_array_remove(folder->parent->children, folder);
    g_hash_table_steal(folder->account->by_row, GUINT_TO_POINTER(folder->row));
}

/* Names a folder by the last part of its name; FALSE when the parent has one so named. */
static gboolean give_label(Folder *folder, Folder *parent, const char *component)
{
    Account *account = folder->account;
    folder->parent = parent;
    folder->label = account->funcs->label(component, parent == account->root);
    if (!g_hash_table_contains(parent->by_label, folder->label))
        return TRUE;
    g_autofree char *shown = mail_escape(folder->name, -1, 200);
    g_warning("two folders would have the same name; this one is not shown: %s", shown);
    return FALSE;
}

/* Links a folder that has its row and label into its parent. */
static void attach(Folder *folder)
{
    g_hash_table_insert(folder->parent->by_label, folder->label, folder);
    g_hash_table_insert(folder->account->by_name, folder->name, folder);
    link_row(folder);
}

static void detach(Folder *folder)
{
    g_hash_table_remove(folder->parent->by_label, folder->label);
    g_hash_table_remove(folder->account->by_name, folder->name);
    unlink_row(folder);
}

/* The folder with this name on the wire, made (with the levels above it) when there is none. */
static Folder *obtain(Account *account, const char *name, char delimiter, guint level)
{
    Folder *found = g_hash_table_lookup(account->by_name, name);
    if (found)
        return found;
    if (level > MAX_LEVELS || g_hash_table_size(account->by_row) > MAX_FOLDERS)
        return NULL;
    Folder *parent = account->root;
    const char *component = name;
    const char *cut = delimiter ? strrchr(name, delimiter) : NULL;
    if (cut && cut > name) {
        g_autofree char *above = g_strndup(name, (gsize)(cut - name));
        parent = obtain(account, above, delimiter, level + 1);
        component = cut + 1;
    }
    if (!parent)
        return NULL;
    Folder *folder = folder_new(account);
    folder->name = g_strdup(name);
    folder->delimiter = delimiter;
    folder->flags = MAIL_FOLDER_NOSELECT; /* until the server lists it by itself */
    if (!give_label(folder, parent, component)) {
        folder_free(folder);
        return NULL;
    }
    folder_store(folder);
    attach(folder);
    folder_touch(parent);
    if (account->list_known)
        account_event(ACCOUNT_EVENT_FOLDER_NEW, folder, NULL);
    return folder;
}

/* ---- from the index ---- */

typedef struct {
    Account *account;
    GPtrArray *rows; /* of IndexFolder*, names ours */
} LoadState;

static void load_row(const IndexFolder *row, gpointer data)
{
    LoadState *state = data;
    IndexFolder *copy = g_memdup2(row, sizeof(*row));
    copy->name = g_strdup(row->name);
    g_ptr_array_add(state->rows, copy);
}

static void index_folder_free(gpointer data)
{
    IndexFolder *row = data;
    g_free(row->name);
    g_free(row);
}

/* Parents before children. */
static gint by_name_length(gconstpointer a, gconstpointer b)
{
    gsize first = strlen((*(IndexFolder *const *)a)->name);
    gsize second = strlen((*(IndexFolder *const *)b)->name);
    return first < second ? -1 : first > second;
}

static void load_folder(Account *account, const IndexFolder *row)
{
    Folder *parent = account->root;
    const char *component = row->name;
    const char *cut = row->delimiter ? strrchr(row->name, row->delimiter) : NULL;
    if (cut && cut > row->name) {
        g_autofree char *above = g_strndup(row->name, (gsize)(cut - row->name));
        parent = g_hash_table_lookup(account->by_name, above);
        component = cut + 1;
    }
    Folder *folder = folder_new(account);
    folder->row = row->row;
    folder->name = g_strdup(row->name);
    folder->delimiter = row->delimiter;
    folder->flags = row->flags;
    folder->uidvalidity = row->uidvalidity;
    folder->uidnext = row->uidnext;
    folder->modseq = row->modseq;
    folder->listed = row->listed;
    if (parent && give_label(folder, parent, component)) {
        attach(folder);
        return;
    }
    index_remove_folder(account->index, row->row, NULL);
    folder_free(folder);
}

/* What was listed without senders and subjects is listed afresh when names need them. */
static void check_headers(Account *account)
{
    g_autofree char *known = index_get_meta(account->index, "headers");
    g_autoptr(GError) error = NULL;
    const char *now = account->config.headers ? "yes" : "no";
    if (g_strcmp0(known, now) == 0)
        return;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->by_row);
    while (account->config.headers && g_strcmp0(known, "no") == 0 &&
           g_hash_table_iter_next(&iter, NULL, &value)) {
        Folder *folder = value;
        folder->listed = FALSE;
        folder->uidnext = 0;
        folder->modseq = 0;
        folder_store(folder);
    }
    account_batch(account);
    if (!index_set_meta(account->index, "headers", now, &error))
        account_index_failed(account, error);
}

/* Of a flat account there is nothing else, and nothing to be asked for. */
static void make_inbox(Account *account)
{
    account->top = obtain(account, "INBOX", 0, 0);
    if (account->top->flags & MAIL_FOLDER_NOSELECT) {
        account->top->flags = 0;
        folder_store(account->top);
    }
    account->list_known = account->top->listed;
}

gboolean folders_load(Account *account, GError **error)
{
    account->by_row = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)folder_free);
    account->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    account->root = folder_new(account);
    account->root->flags = MAIL_FOLDER_NOSELECT;
    account->root->name = g_strdup("");
    account->root->label = g_strdup("");
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(index_folder_free);
    LoadState state = {account, rows};
    if (!index_each_folder(account->index, load_row, &state, error))
        return FALSE;
    g_ptr_array_sort(rows, by_name_length);
    for (guint i = 0; i < rows->len; i++)
        load_folder(account, rows->pdata[i]);
    account->list_known = account->root->children->len > 0;
    account->top = account->root;
    if (account->config.flat)
        make_inbox(account);
    account->trash_known = folders_trash(account) != NULL;
    check_headers(account);
    return TRUE;
}

void folders_free(Account *account)
{
    g_clear_pointer(&account->by_name, g_hash_table_unref);
    g_clear_pointer(&account->by_row, g_hash_table_unref);
    g_clear_pointer(&account->root, folder_free);
}

/* ---- changes to the tree ---- */

static void release_orphans(Folder *folder)
{
    g_autoptr(GList) uids = g_hash_table_get_keys(folder->orphans);
    for (GList *item = uids; item; item = item->next)
        folder_release_orphan(folder, GPOINTER_TO_UINT(item->data));
}

/* Forgets all that hangs on its row. Who waits for something of it looks again, and finds that the
 * row is not there: so it has to be off the table by now. */
static void void_row(Folder *folder)
{
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    journal_folder_gone(account->journal, folder);
    downloads_cancel(folder);
    release_orphans(folder);
    account_batch(account);
    if (!index_remove_folder(account->index, folder->row, &error))
        account_index_failed(account, error);
    bodies_remove_folder(account->bodies, folder->row);
    account->funcs->folder_gone(folder->parent, folder->label, account->data);
    account_event(ACCOUNT_EVENT_FOLDER_GONE, folder, NULL);
}

/* A folder that the server does not list any more, and that nothing hangs below. */
static void remove_folder(Folder *folder)
{
    arrivals_folder_gone(folder);
    detach(folder);
    void_row(folder);
    folder_touch(folder->parent);
    folder_free(folder);
}

void folder_renew(Folder *folder, MailUidValidity uidvalidity)
{
    if (folder->uidvalidity == 0) {
        folder->uidvalidity = uidvalidity; /* its first: the row stays */
        folder_store(folder);
        return;
    }
    g_autofree char *shown = mail_escape(folder->name, -1, 200);
    g_message("%s was made anew on the server (UIDVALIDITY %u, was %u): it is listed afresh", shown,
              uidvalidity, folder->uidvalidity);
    /* Inodes are (row, uid): a new row makes new inodes, so no old page is ever served for them. */
    unlink_row(folder);
    void_row(folder);
    g_hash_table_remove_all(folder->failures);
    g_array_set_size(folder->taken, 0);
    mailbox_free(folder->mailbox);
    folder->mailbox = mailbox_new();
    folder->row = 0;
    folder->uidvalidity = uidvalidity;
    folder->uidnext = 0;
    folder->modseq = 0;
    folder->listed = FALSE;
    folder_store(folder);
    link_row(folder);
    arrivals_folder_renewed(folder);
    folder_touch(folder->parent);
    folder_touch(folder);
    account_event(ACCOUNT_EVENT_FOLDER_NEW, folder, NULL);
}

/* ---- what the user changed ---- */

void folders_made(Account *account, const char *name, char delimiter)
{
    Folder *folder = obtain(account, name, delimiter, 0);
    if (!folder)
        return;
    folder->flags = MAIL_FOLDER_SUBSCRIBED; /* what else it is, the next list says */
    folder_store(folder);
}

/* With folders below it, it is a level above them from now on. */
void folders_removed(Folder *folder)
{
    if (folder->children->len == 0) {
        remove_folder(folder);
        return;
    }
    folder->flags = MAIL_FOLDER_NOSELECT;
    folder_store(folder);
}

/* Rows, and with them inodes, bodies and changes on their way, stay what they are. */
static void set_name(Folder *folder, const char *name)
{
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    g_hash_table_remove(account->by_name, folder->name);
    for (guint i = 0; i < folder->children->len; i++) {
        Folder *child = folder->children->pdata[i];
        g_autofree char *below = g_strconcat(name, child->name + strlen(folder->name), NULL);
        set_name(child, below);
    }
    g_free(folder->name);
    folder->name = g_strdup(name);
    g_hash_table_replace(account->by_name, folder->name, folder);
    account_batch(account);
    if (!index_rename_folder(account->index, folder->row, name, &error))
        account_index_failed(account, error);
}

void folders_renamed(Folder *folder, Folder *parent, const char *name)
{
    Folder *from = folder->parent;
    const char *cut = folder->delimiter ? strrchr(name, folder->delimiter) : NULL;
    const char *component = cut && cut > name ? cut + 1 : name;
    account_event(ACCOUNT_EVENT_FOLDER_GONE, folder, NULL);
    detach(folder);
    g_free(folder->label);
    if (!give_label(folder, parent, component)) {
        /* Somebody else made it meanwhile: the next list has both right. */
        g_free(folder->label);
        folder->label = g_strdup_printf("%%%u", folder->row);
    }
    attach(folder);
    set_name(folder, name);
    folder_touch(from);
    if (from != parent)
        folder_touch(parent);
    account_event(ACCOUNT_EVENT_FOLDER_NEW, folder, NULL);
}

void folders_stop_syncs(Folder *folder)
{
    for (guint i = 0; i < folder->children->len; i++)
        folders_stop_syncs(folder->children->pdata[i]);
    if (!folder->sync)
        return;
    sync_cancel(folder);
    folder->dirty = TRUE;
    wait_list_wake(&folder->sync_waiters, NULL);
}

/* ---- LIST ---- */

static void listed_folder(const RemoteFolder *listed, gpointer data)
{
    Account *account = data;
    if (strlen(listed->name) > MAX_NAME) {
        g_warning("the server lists a folder with a name of more than %d bytes: left out",
                  MAX_NAME);
        return;
    }
    Folder *folder = obtain(account, listed->name, listed->delimiter, 0);
    if (!folder)
        return;
    folder->seen = TRUE;
    account->trash_known |= (listed->flags & MAIL_FOLDER_TRASH) != 0;
    if (folder->flags == listed->flags && folder->delimiter == listed->delimiter)
        return;
    folder->flags = listed->flags;
    folder->delimiter = listed->delimiter;
    folder_store(folder);
}

/* Removes what was not listed, children first. One with changes on their way stays until the server
 * has answered them. */
static void sweep(Folder *folder)
{
    for (guint i = folder->children->len; i-- > 0;)
        sweep(folder->children->pdata[i]);
    if (!folder->parent || folder->seen || journal_has_folder(folder->account->journal, folder))
        return;
    if (folder->children->len == 0) {
        remove_folder(folder);
        return;
    }
    if (folder->flags & MAIL_FOLDER_NOSELECT)
        return; /* a level above others */
    folder->flags = MAIL_FOLDER_NOSELECT;
    folder_store(folder);
}

/* Nothing but the inbox, where there were other folders: more likely the server's trouble than a
 * user's wish. */
static gboolean is_suspicious(const Account *account)
{
    gboolean missing = FALSE;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Folder *folder = value;
        if (folder->seen && strcmp(folder->name, "INBOX") != 0)
            return FALSE;
        missing |= !folder->seen;
    }
    return missing;
}

static void list_finished(const GError *error, gpointer data)
{
    Account *account = data;
    account->list_job = NULL;
    if (!error) {
        gboolean doubted = is_suspicious(account) && !account->list_doubted;
        if (doubted)
            g_message("the server lists no folder but INBOX: it is asked once more before the "
                      "others go");
        else
            sweep(account->root);
        account->list_doubted = doubted;
        account->list_known = TRUE;
        account->list_refreshed = g_get_monotonic_time();
    }
    wait_list_wake(&account->list_waiters, error);
    if (!error && account->list_dirty)
        folders_refresh(account); /* it may have passed by what was hinted at since */
}

static void start_list(Account *account)
{
    static const RemoteListFuncs funcs = {.folder = listed_folder, .done = list_finished};
    GHashTableIter iter;
    gpointer folder;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &folder))
        ((Folder *)folder)->seen = FALSE;
    account->list_dirty = FALSE;
    account->list_job = remote_list(account->remote, &funcs, account);
}

void folders_refresh(Account *account)
{
    if (!account->list_job && account->folder_changes->len == 0 &&
        remote_state(account->remote) == REMOTE_ONLINE)
        start_list(account);
}

void folders_hold(Account *account)
{
    if (!account->list_job)
        return;
    remote_cancel(account->remote, g_steal_pointer(&account->list_job));
    account->list_dirty = TRUE;
}

void folders_go_on(Account *account, gboolean doubted)
{
    account->list_dirty |= doubted;
    wait_list_wake(&account->list_waiters, NULL);
    if (account->list_dirty)
        folders_refresh(account);
}

AccountReply account_refresh_folders(Account *account, Waiter *waiter, GError **error)
{
    if (account->config.flat)
        return ACCOUNT_READY;
    gint64 age = g_get_monotonic_time() - account->list_refreshed;
    if (account->list_known && account->folder_changes->len > 0)
        return ACCOUNT_READY;
    if (account->list_refreshed > 0 && !account->list_dirty && age < account_refresh_age(account))
        return ACCOUNT_READY;
    gboolean first = account->list_refreshed == 0;
    if (!account->list_job)
        start_list(account);
    /* What an earlier mount knew is shown at once; offline it is all there is. */
    if (account->list_known && (first || remote_state(account->remote) != REMOTE_ONLINE))
        return ACCOUNT_READY;
    wait_list_add(&account->list_waiters, waiter);
    return ACCOUNT_WAIT;
}

/* ---- looking ---- */

Folder *account_root(Account *account)
{
    return account->top;
}

Folder *account_folder(Account *account, guint32 row)
{
    return row == 0 ? account->top : g_hash_table_lookup(account->by_row, GUINT_TO_POINTER(row));
}

guint32 folder_row(const Folder *folder)
{
    return folder->row;
}

Folder *folder_parent(const Folder *folder)
{
    return folder == folder->account->top ? NULL : folder->parent;
}

const char *folder_label(const Folder *folder)
{
    return folder->label;
}

const char *folder_name(const Folder *folder)
{
    return folder->name;
}

gboolean folder_selectable(const Folder *folder)
{
    return !(folder->flags & MAIL_FOLDER_NOSELECT);
}

Folder *folder_child(Folder *folder, const char *label)
{
    return g_hash_table_lookup(folder->by_label, label);
}

Folder *folder_next_child(Folder *folder, guint32 after)
{
    guint position = child_position(folder, after);
    return position < folder->children->len ? folder->children->pdata[position] : NULL;
}

guint64 folder_generation(const Folder *folder)
{
    return folder->generation;
}

gint64 folder_changed(const Folder *folder)
{
    return folder->changed;
}

gboolean folder_listed(const Folder *folder)
{
    return folder->listed;
}

Folder *folders_trash(Account *account)
{
    Folder *trash = NULL;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Folder *folder = value;
        if ((folder->flags & MAIL_FOLDER_TRASH) && folder_selectable(folder) &&
            (!trash || folder->row < trash->row))
            trash = folder;
    }
    return trash;
}
