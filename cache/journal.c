/* A change goes through: added (durable in the index) -> fsynced, off the loop -> sent, merged with
 * its like -> answered. The changes of one message are sent one after the other; those of different
 * messages have no order among them and go out together. Here is the list; journal-send.c does the
 * rest. */
#include "arrivals.h"
#include "journal-private.h"
#include "keywords.h"

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
    if (change->arrival)
        g_hash_table_insert(journal->by_arrival, GUINT_TO_POINTER(change->arrival), change);
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
    g_free(change->add_keywords);
    g_free(change->remove_keywords);
    g_free(change->target_name);
    g_free(change);
}

static void change_unlink(Journal *journal, Change *change)
{
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
    if (change->arrival)
        g_hash_table_remove(journal->by_arrival, GUINT_TO_POINTER(change->arrival));
    g_queue_unlink(&journal->changes, &change->link);
}

void journal_drop(Journal *journal, Change *change)
{
    g_autoptr(GError) error = NULL;
    change_unlink(journal, change);
    if (!index_remove_change(journal->account->index, change->id, &error))
        account_index_failed(journal->account, error);
    change_free(change);
}

gboolean journal_is_removal(IndexChangeKind kind)
{
    return kind != INDEX_CHANGE_FLAGS;
}

gboolean journal_carries(IndexChangeKind kind)
{
    return kind == INDEX_CHANGE_TRASH || kind == INDEX_CHANGE_MOVE;
}

Folder *journal_target(const Change *change)
{
    Account *account = change->folder->account;
    return change->target ? account_folder(account, change->target) : NULL;
}

void journal_note(Journal *journal, char *text)
{
    journal->refused++;
    g_queue_push_tail(&journal->refusals, text);
    if (journal->refusals.length > MAX_REFUSALS)
        g_free(g_queue_pop_head(&journal->refusals));
}

void journal_note_refusal(Journal *journal, const Change *change, const char *why)
{
    const char *what = change->kind == INDEX_CHANGE_MOVE  ? "move"
                       : journal_is_removal(change->kind) ? "removal"
                                                          : "flags";
    g_autofree char *name = mail_escape(change->folder->name, -1, 200);
    journal_note(journal,
                 g_strdup_printf("%s of message %u in %s: %s", what, change->uid, name, why));
}

/* ---- adding ---- */

gboolean journal_begin(Journal *journal, GError **error)
{
    g_return_val_if_fail(!journal->fresh, FALSE);
    /* What is committed here has to be durable by itself, not with what else is written. */
    account_batch_end(journal->account);
    if (!index_begin(journal->account->index, error))
        return FALSE;
    journal->fresh = g_ptr_array_new_with_free_func((GDestroyNotify)change_free);
    return TRUE;
}

void journal_abort(Journal *journal)
{
    index_rollback(journal->account->index);
    g_clear_pointer(&journal->fresh, g_ptr_array_unref);
}

gboolean journal_commit(Journal *journal, GError **error)
{
    g_autoptr(GPtrArray) fresh = g_steal_pointer(&journal->fresh);
    if (!index_commit(journal->account->index, error))
        return FALSE;
    gint64 now = g_get_monotonic_time();
    for (guint i = 0; i < fresh->len; i++) {
        Change *change = fresh->pdata[i];
        change->added = now;
        change_link(journal, change);
    }
    if (fresh->len > 0)
        journal_schedule(journal, GATHER);
    g_ptr_array_set_free_func(fresh, NULL);
    return TRUE;
}

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
        .add_keywords = change->add_keywords,
        .remove_keywords = change->remove_keywords,
        .target = change->target,
        .target_name = change->target_name ? change->target_name : "",
        .created = g_get_real_time() / G_USEC_PER_SEC,
        .arrival = change->arrival,
    };
    if (!index_add_change(journal->account->index, &row, error)) {
        change_free(change);
        return FALSE;
    }
    change->id = row.id;
    g_ptr_array_add(journal->fresh, change);
    return TRUE;
}

static Change *change_new(Folder *folder, MailUid uid, IndexChangeKind kind)
{
    Change *change = g_new0(Change, 1);
    change->kind = kind;
    change->folder = folder;
    change->uid = uid;
    return change;
}

gboolean journal_flags(Journal *journal, Folder *folder, MailUid uid, guint32 add_flags,
                       guint32 remove_flags, const char *add_keywords, const char *remove_keywords,
                       GError **error)
{
    Change *change = change_new(folder, uid, INDEX_CHANGE_FLAGS);
    change->add = add_flags;
    change->remove = remove_flags;
    change->add_keywords = g_strdup(add_keywords ? add_keywords : "");
    change->remove_keywords = g_strdup(remove_keywords ? remove_keywords : "");
    return add(journal, change, error);
}

gboolean journal_remove(Journal *journal, Folder *folder, MailUid uid, IndexChangeKind kind,
                        Folder *target, guint32 arrival, GError **error)
{
    Change *change = change_new(folder, uid, kind);
    change->add_keywords = g_strdup("");
    change->remove_keywords = g_strdup("");
    change->target = target ? target->row : 0;
    change->target_name = target ? g_strdup(target->name) : NULL;
    change->arrival = arrival;
    return add(journal, change, error);
}

/* ---- looking ---- */

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

char *journal_keywords(Journal *journal, Folder *folder, MailUid uid, const char *keywords)
{
    char *shown = g_strdup(keywords ? keywords : "");
    for (Change *change = journal_first_of(journal, folder, uid); change; change = change->next) {
        char *next = keywords_apply(shown, change->add_keywords, change->remove_keywords);
        g_free(shown);
        shown = next;
    }
    return shown;
}

/* ---- moves that are changed while they wait ---- */

/* The change of an arrival that nothing on the server knows of. */
static Change *unsent_move(Journal *journal, guint32 arrival)
{
    Change *change = g_hash_table_lookup(journal->by_arrival, GUINT_TO_POINTER(arrival));
    return change && !change->sent ? change : NULL;
}

gboolean journal_is_sent(Journal *journal, guint32 arrival)
{
    return g_hash_table_contains(journal->by_arrival, GUINT_TO_POINTER(arrival)) &&
           !unsent_move(journal, arrival);
}

gboolean journal_take_back(Journal *journal, guint32 arrival)
{
    Change *change = unsent_move(journal, arrival);
    if (!change)
        return FALSE;
    journal_drop(journal, change);
    return TRUE;
}

gboolean journal_retarget(Journal *journal, guint32 arrival, Folder *target)
{
    Change *change = unsent_move(journal, arrival);
    if (!change || !index_set_change_target(journal->account->index, change->id, target->row,
                                            target->name, NULL))
        return FALSE;
    change->target = target->row;
    g_free(change->target_name);
    change->target_name = g_strdup(target->name);
    return TRUE;
}

/* ---- what is void ---- */

/* A message that is gone may be so because of a change of ours that was carried out, and whose
 * answer was lost: a move is then looked for where it went. */
void journal_message_gone(Journal *journal, Folder *folder, MailUid uid)
{
    Change *change = journal_first_of(journal, folder, uid);
    account_batch(journal->account);
    while (change) {
        Change *next = change->next;
        guint32 arrival = change->arrival;
        if (!change->group) { /* else the answer to its command ends it */
            journal_drop(journal, change);
            if (arrival)
                arrivals_placed(journal->account, arrival, 0, 0);
        }
        change = next;
    }
    account_tell_if_flushed(journal->account);
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
    static const char why[] = "the folder was removed or made anew on the server";
    guint dropped = 0;
    journal_recall(journal, folder);
    account_batch(journal->account);
    for (GList *item = journal->changes.head; item;) {
        Change *change = item->data;
        guint32 arrival = change->arrival;
        item = item->next;
        if (change->folder != folder)
            continue;
        journal_note_refusal(journal, change, why);
        journal_drop(journal, change);
        if (arrival)
            arrivals_placed(journal->account, arrival, 0, 0);
        dropped++;
    }
    if (dropped)
        g_warning("changes void (%u): their folder was removed or made anew on the server",
                  dropped);
    account_tell_if_flushed(journal->account);
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
    g_string_append_printf(out, "pending: %u\n", account_pending(journal->account));
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
    change->add_keywords = g_strdup(row->add_keywords);
    change->remove_keywords = g_strdup(row->remove_keywords);
    change->arrival = row->arrival;
    change->mark = row->mark;
    change->state = row->state;
    change->sent = TRUE; /* by an earlier run, perhaps */
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
    journal->by_arrival = g_hash_table_new(NULL, NULL);
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
    g_hash_table_unref(journal->by_arrival);
    g_queue_clear_full(&journal->refusals, g_free);
    g_free(journal);
}
