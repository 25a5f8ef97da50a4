/* The account as a whole: opening and closing, the server's state, and the changes that a user
 * makes. */
#include "arrivals.h"
#include "maildrop.h"
#include "mime.h"
#include "watch.h"

#include <string.h>

/* ---- transactions ---- */

void account_index_failed(Account *account, const GError *error)
{
    if (!account->batch_failed) /* once: a full disk would fill the log as well */
        g_warning("the index cannot be written, so the next mount starts from what it had: %s",
                  error->message);
    account->batch_failed = TRUE;
}

static void batch_close(Account *account)
{
    g_autoptr(GError) error = NULL;
    if (!index_commit(account->index, &error))
        account_index_failed(account, error);
}

static gboolean batch_turn(gpointer data)
{
    Account *account = data;
    account->batch_source = 0;
    batch_close(account);
    return G_SOURCE_REMOVE;
}

void account_batch(Account *account)
{
    if (account->batch_source)
        return;
    g_autoptr(GError) error = NULL;
    if (!index_begin(account->index, &error)) {
        account_index_failed(account, error);
        return;
    }
    account->batch_source = g_idle_add_full(G_PRIORITY_HIGH, batch_turn, account, NULL);
}

void account_batch_end(Account *account)
{
    if (!account->batch_source)
        return;
    g_clear_handle_id(&account->batch_source, g_source_remove);
    batch_close(account);
}

gint64 account_refresh_age(const Account *account)
{
    return MAX((gint64)account->config.refresh * G_USEC_PER_SEC, G_USEC_PER_SEC / 10);
}

/* ---- the server ---- */

/* What failed while the server was away need not fail any more. */
static void forget_failures(Account *account)
{
    GHashTableIter iter;
    gpointer folder;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &folder))
        g_hash_table_remove_all(((Folder *)folder)->failures);
}

static void remote_changed_state(RemoteState state, const GError *error, gpointer data)
{
    Account *account = data;
    if (error) {
        g_clear_error(&account->last_error);
        account->last_error = g_error_copy(error);
    }
    if (state == REMOTE_ONLINE) {
        g_clear_error(&account->last_error);
        forget_failures(account);
        space_refresh(account);
        journal_kick(account->journal);
        arrivals_kick(account);
        if (account->maildrop)
            maildrop_online(account->maildrop);
    }
    if (state == REMOTE_OFFLINE) {
        g_autoptr(GError) waiting =
            g_error_new(MAIL_ERROR, error->code, "pending changes (%u) wait for the server: %s",
                        account_pending(account), error->message);
        wait_list_wake(&account->flush_waiters, waiting);
        arrivals_offline(account, waiting);
    }
    account->funcs->state(state, error, account->data);
}

static void remote_changed_mailbox(const char *mailbox, gpointer data)
{
    Account *account = data;
    Folder *folder = g_hash_table_lookup(account->by_name, mailbox);
    if (folder)
        watch_hint(folder);
}

static gboolean remote_identifies(const char *const *names, guint count, MailUid *uids,
                                  gpointer data, GError **error)
{
    Account *account = data;
    return maildrop_identify(account->maildrop, names, count, uids, error);
}

static void remote_wants_secret(gpointer data)
{
    Account *account = data;
    account->funcs->renew(account->data);
}

/* ---- life ---- */

static gboolean tidy(gpointer data)
{
    downloads_drop_halted(data);
    return G_SOURCE_CONTINUE;
}

static gboolean open_cache(Account *account, GError **error)
{
    const AccountConfig *config = &account->config;
    gboolean rebuilt = FALSE;
    account->index = index_open(config->directory, config->identity, &rebuilt, error);
    if (!account->index)
        return FALSE;
    account->bodies =
        config->flat ? bodies_open_only_copies(config->directory, account->index, error)
                     : bodies_open(config->directory, account->index, config->cache_size, error);
    if (!account->bodies || !folders_load(account, error))
        return FALSE;
    account->had_cache = account->list_known;
    sizes_load(account);
    account->arrivals = arrivals_new(account, error);
    account->journal = account->arrivals ? journal_new(account, error) : NULL;
    if (!account->journal || !arrivals_load(account, error))
        return FALSE;
    if (config->flat)
        account->maildrop = maildrop_new(account, error);
    return account->maildrop || !config->flat;
}

Account *account_new(const AccountConfig *config, Secret *secret, const AccountFuncs *funcs,
                     gpointer data, GError **error)
{
    static const RemoteFuncs remote_funcs = {.state = remote_changed_state,
                                             .changed = remote_changed_mailbox,
                                             .renew = remote_wants_secret,
                                             .identify = remote_identifies};
    mime_init();
    Account *account = g_new0(Account, 1);
    account->config = *config;
    account->config.directory = g_strdup(config->directory);
    account->config.data_directory = g_strdup(config->data_directory);
    account->config.identity = g_strdup(config->identity);
    account->funcs = funcs;
    account->data = data;
    account->started = g_get_real_time() / G_USEC_PER_SEC;
    account->batches = g_ptr_array_new();
    account->folder_changes = g_ptr_array_new();
    g_queue_init(&account->wanted);
    g_queue_init(&account->halted);
    g_queue_init(&account->lately);
    account->remote = config->make_remote(&config->remote, secret, &remote_funcs, account);
    account->tidy_source = g_timeout_add_seconds(30, tidy, account);
    if (open_cache(account, error))
        return account;
    account_free(account);
    return NULL;
}

void account_free(Account *account)
{
    if (!account)
        return;
    g_clear_handle_id(&account->tidy_source, g_source_remove);
    g_clear_handle_id(&account->download_source, g_source_remove);
    watch_end(account);
    folder_changes_end(account);
    if (account->quota_job)
        remote_cancel(account->remote, account->quota_job);
    if (account->list_job)
        remote_cancel(account->remote, account->list_job);
    if (account->arrivals)
        arrivals_stop(account->arrivals);
    maildrop_free(account->maildrop);
    journal_free(account->journal);
    if (account->root)
        folders_free(account);
    g_clear_pointer(&account->arrivals, arrivals_free);
    remote_free(account->remote);
    if (account->index)
        account_batch_end(account);
    bodies_close(account->bodies);
    index_close(account->index);
    g_ptr_array_unref(account->batches);
    g_ptr_array_unref(account->folder_changes);
    g_clear_error(&account->last_error);
    g_free((char *)account->config.directory);
    g_free((char *)account->config.data_directory);
    g_free((char *)account->config.identity);
    g_free(account);
}

gboolean account_has_cache(Account *account)
{
    return account->had_cache;
}

void account_start(Account *account)
{
    remote_start(account->remote);
    watch_start(account);
}

void account_set_secret(Account *account, Secret *secret)
{
    remote_set_secret(account->remote, secret);
}

RemoteState account_state(Account *account)
{
    return remote_state(account->remote);
}

const GError *account_last_error(Account *account)
{
    return account->last_error;
}

gint64 account_started(Account *account)
{
    return account->started;
}

void account_describe(Account *account, GString *out)
{
    static const char *const states[] = {"stopped", "connecting", "online", "offline"};
    static const char *const sizes[] = {"being checked", "certain", "misstated by the server"};
    guint folders = 0, loaded = 0;
    guint64 messages = 0, memory = 0;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Folder *folder = value;
        folders++;
        if (!folder->mailbox)
            continue;
        loaded++;
        messages += mailbox_count(folder->mailbox);
        memory += mailbox_bytes(folder->mailbox);
    }
    g_string_append_printf(out, "account: %s\n", account->config.identity);
    g_string_append_printf(out, "state: %s\n", states[remote_state(account->remote)]);
    if (account->last_error)
        g_string_append_printf(out, "last-error: %s\n", account->last_error->message);
    remote_describe(account->remote, out);
    if (account->quota_limit > 0)
        g_string_append_printf(out, "quota: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes\n",
                               account->quota_used, account->quota_limit);
    journal_describe(account->journal, out);
    arrivals_describe(account, out);
    g_string_append_printf(out, "folders: %u\n", folders);
    g_string_append_printf(out, "folders-in-memory: %u\n", loaded);
    g_string_append_printf(out, "messages-in-memory: %" G_GUINT64_FORMAT "\n", messages);
    g_string_append_printf(out, "messages-memory: %" G_GUINT64_FORMAT "\n", memory);
    g_string_append_printf(out, "sizes: %s\n", sizes[account->sizes]);
    g_string_append_printf(out, "cached-bodies: %u\n", bodies_count(account->bodies));
    g_string_append_printf(out, "cached-bytes: %" G_GUINT64_FORMAT "\n",
                           bodies_bytes(account->bodies));
    g_string_append_printf(out, "cache-size: %" G_GUINT64_FORMAT "\n",
                           bodies_budget(account->bodies));
    g_string_append_printf(out, "fetched-bodies: %" G_GUINT64_FORMAT "\n", account->fetched_bodies);
    g_string_append_printf(out, "fetched-bytes: %" G_GUINT64_FORMAT "\n", account->fetched_bytes);
}

/* ---- messages ---- */

char *account_keywords(Account *account, Folder *folder, MailUid uid)
{
    g_autofree char *known = index_get_keywords(account->index, folder->row, uid);
    return journal_keywords(account->journal, folder, uid, known);
}

char *account_message_id(Account *account, Folder *folder, MailUid uid)
{
    return index_get_message_id(account->index, folder->row, uid);
}

void account_forget_all(Account *account)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Folder *folder = value;
        g_autoptr(GList) uids = g_hash_table_get_keys(folder->orphans);
        for (GList *item = uids; item; item = item->next)
            folder_release_orphan(folder, GPOINTER_TO_UINT(item->data));
    }
}

/* ---- barriers ---- */

guint account_pending(Account *account)
{
    return journal_pending(account->journal) + arrivals_pending(account);
}

guint account_refused(Account *account)
{
    return journal_refused(account->journal);
}

void account_tell_if_flushed(Account *account)
{
    if (account->flush_waiters.length > 0 && account_pending(account) == 0)
        wait_list_wake(&account->flush_waiters, NULL);
}

AccountReply account_flush(Account *account, Waiter *waiter, GError **error)
{
    if (account_pending(account) == 0)
        return ACCOUNT_READY;
    remote_wake(account->remote);
    journal_kick(account->journal);
    arrivals_kick(account);
    wait_list_add(&account->flush_waiters, waiter);
    return ACCOUNT_WAIT;
}

void account_finish(Account *account)
{
    arrivals_give_up_open(account);
}
