/* A change goes through: added (durable in the index) -> fsynced, off the loop -> sent, merged with
 * its like -> answered. The changes of one message are sent one after the other; those of different
 * messages have no order among them and go out together. Here is the list; journal-send.c does the
 * rest. */
#include "journal-private.h"

#define GATHER 20 /* milliseconds: what a program does in one go is sent in one go */
#define MAX_REFUSALS 50

/* ---- the list ---- */

static gint64 key_of(const Folder *folder, MailUid uid)
{
    return (gint64)(((guint64)folder->row << 32) | uid);
}

Change *journal_first_of(Journal *journal, const Folder *folder, MailUid uid)
{
    gint64 key = key_of(folder, uid);
    return g_hash_table_lookup(journal->by_message, &key);
}

static void change_link(Journal *journal, Change *change)
{
    change->link.data = change;
    g_queue_push_tail_link(&journal->changes, &change->link);
    Change *first = journal_first_of(journal, change->folder, change->uid);
    if (first) {
        while (first->next)
            first = first->next;
        first->next = change;
        return;
    }
    gint64 key = key_of(change->folder, change->uid);
    g_hash_table_insert(journal->by_message, g_memdup2(&key, sizeof(key)), change);
}

static void change_free(Change *change)
{
    g_free(change->target_name);
    g_free(change);
}

void journal_drop(Journal *journal, Change *change)
{
    g_autoptr(GError) error = NULL;
    gint64 key = key_of(change->folder, change->uid);
    Change *first = g_hash_table_lookup(journal->by_message, &key);
    if (first != change) {
        while (first->next != change)
            first = first->next;
        first->next = change->next;
    } else if (change->next) {
        g_hash_table_insert(journal->by_message, g_memdup2(&key, sizeof(key)), change->next);
    } else {
        g_hash_table_remove(journal->by_message, &key);
    }
    g_queue_unlink(&journal->changes, &change->link);
    if (!index_remove_change(journal->account->index, change->id, &error))
        account_index_failed(journal->account, error);
    change_free(change);
}

void journal_tell_if_empty(Journal *journal)
{
    if (journal->changes.length == 0)
        wait_list_wake(&journal->account->flush_waiters, NULL);
}

gboolean journal_is_removal(IndexChangeKind kind)
{
    return kind != INDEX_CHANGE_FLAGS;
}

void journal_note_refusal(Journal *journal, const Change *change, const char *why)
{
    g_autofree char *name = mail_escape(change->folder->name, -1, 200);
    char *text = g_strdup_printf("%s of message %u in %s: %s",
                                 journal_is_removal(change->kind) ? "removal" : "flags",
                                 change->uid, name, why);
    journal->refused++;
    g_queue_push_tail(&journal->refusals, text);
    if (journal->refusals.length > MAX_REFUSALS)
        g_free(g_queue_pop_head(&journal->refusals));
}

/* ---- adding ---- */

static gboolean add(Journal *journal, Change *change, GError **error)
{
    Folder *folder = change->folder;
    IndexChange row = {
        .kind = change->kind,
        .folder = folder->row,
        .uidvalidity = folder->uidvalidity,
        .uid = change->uid,
        .add = change->add,
        .remove = change->remove,
        .add_keywords = "",
        .remove_keywords = "",
        .target = change->target,
        .target_name = change->target_name ? change->target_name : "",
        .created = g_get_real_time() / G_USEC_PER_SEC,
    };
    account_batch_end(journal->account);
    if (!index_add_change(journal->account->index, &row, error)) {
        change_free(change);
        return FALSE;
    }
    change->id = row.id;
    change->added = g_get_monotonic_time();
    change_link(journal, change);
    journal_schedule(journal, GATHER);
    return TRUE;
}

gboolean journal_flags(Journal *journal, Folder *folder, MailUid uid, guint32 add_flags,
                       guint32 remove_flags, GError **error)
{
    Change *change = g_new0(Change, 1);
    change->kind = INDEX_CHANGE_FLAGS;
    change->folder = folder;
    change->uid = uid;
    change->add = add_flags;
    change->remove = remove_flags;
    return add(journal, change, error);
}

gboolean journal_remove(Journal *journal, Folder *folder, MailUid uid, IndexChangeKind kind,
                        Folder *target, GError **error)
{
    Change *change = g_new0(Change, 1);
    change->kind = kind;
    change->folder = folder;
    change->uid = uid;
    change->target = target ? target->row : 0;
    change->target_name = target ? g_strdup(target->name) : NULL;
    return add(journal, change, error);
}

guint32 journal_overlay(Journal *journal, Folder *folder, MailUid uid, guint32 flags,
                        gboolean *removed)
{
    for (Change *change = journal_first_of(journal, folder, uid); change; change = change->next) {
        if (journal_is_removal(change->kind))
            *removed = TRUE;
        else
            flags = (flags | change->add) & ~change->remove;
    }
    return flags;
}

void journal_message_gone(Journal *journal, Folder *folder, MailUid uid)
{
    Change *change = journal_first_of(journal, folder, uid);
    account_batch(journal->account);
    while (change) {
        Change *next = change->next;
        if (!change->group) /* else the answer to its command ends it */
            journal_drop(journal, change);
        change = next;
    }
    journal_tell_if_empty(journal);
}

gboolean journal_has_folder(Journal *journal, const Folder *folder)
{
    for (GList *item = journal->changes.head; item; item = item->next)
        if (((Change *)item->data)->folder == folder)
            return TRUE;
    return FALSE;
}

void journal_folder_gone(Journal *journal, Folder *folder)
{
    guint dropped = 0;
    journal_recall(journal, folder);
    account_batch(journal->account);
    for (GList *item = journal->changes.head; item;) {
        Change *change = item->data;
        item = item->next;
        if (change->folder != folder)
            continue;
        journal_note_refusal(journal, change, "the folder was removed or made anew on the server");
        journal_drop(journal, change);
        dropped++;
    }
    if (dropped)
        g_warning("changes void (%u): their folder was removed or made anew on the server",
                  dropped);
    journal_tell_if_empty(journal);
}

guint journal_pending(Journal *journal)
{
    return journal->changes.length;
}

guint journal_refused(Journal *journal)
{
    return journal->refused;
}

void journal_describe(Journal *journal, GString *out)
{
    g_string_append_printf(out, "pending: %u\n", journal->changes.length);
    g_string_append_printf(out, "refused: %u\n", journal->refused);
    for (GList *item = journal->refusals.head; item; item = item->next)
        g_string_append_printf(out, "refusal: %s\n", (const char *)item->data);
}

/* ---- life ---- */

typedef struct {
    Journal *journal;
    GArray *void_ids; /* of gint64 */
} LoadState;

static void load_change(const IndexChange *row, gpointer data)
{
    LoadState *state = data;
    Folder *folder = account_folder(state->journal->account, row->folder);
    /* Only what is still about the same mailbox: uids mean nothing under another UIDVALIDITY. */
    if (!folder || row->folder == 0 || folder->uidvalidity != row->uidvalidity) {
        g_warning("a change of message %u is void: its folder is not what it was", row->uid);
        g_array_append_val(state->void_ids, row->id);
        return;
    }
    Change *change = g_new0(Change, 1);
    change->id = row->id;
    change->kind = row->kind;
    change->folder = folder;
    change->uid = row->uid;
    change->add = row->add;
    change->remove = row->remove;
    change->target = row->target;
    change->target_name = *row->target_name ? g_strdup(row->target_name) : NULL;
    change->state = row->state;
    change_link(state->journal, change);
}

static gboolean load(Journal *journal, GError **error)
{
    Account *account = journal->account;
    g_autoptr(GArray) void_ids = g_array_new(FALSE, FALSE, sizeof(gint64));
    LoadState state = {journal, void_ids};
    account_batch_end(account);
    if (!index_each_change(account->index, load_change, &state, error))
        return FALSE;
    for (guint i = 0; i < void_ids->len; i++)
        index_remove_change(account->index, g_array_index(void_ids, gint64, i), NULL);
    return TRUE;
}

Journal *journal_new(Account *account, GError **error)
{
    Journal *journal = g_new0(Journal, 1);
    journal->account = account;
    g_queue_init(&journal->changes);
    g_queue_init(&journal->refusals);
    journal->by_message = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    journal_send_init(journal);
    if (load(journal, error))
        return journal;
    journal_free(journal);
    return NULL;
}

void journal_free(Journal *journal)
{
    if (!journal)
        return;
    journal_send_free(journal);
    GList *item;
    while ((item = journal->changes.head)) {
        g_queue_unlink(&journal->changes, item);
        change_free(item->data);
    }
    g_hash_table_unref(journal->by_message);
    g_queue_clear_full(&journal->refusals, g_free);
    g_free(journal);
}
