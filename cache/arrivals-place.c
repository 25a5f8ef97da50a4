/* Which message an arrival has become, and what is to happen with it then. */
#include "arrivals.h"

#include <string.h>

/* ---- matching ---- */

/* What tells a message from others where its uid is not known. */
typedef struct {
    const char *message_id;
    guint64 size;
    gint64 date;
} Marks;

typedef struct {
    Folder *folder;
    const Marks *wanted;
    GArray *taken;
    GArray *found; /* of MailUid */
} Search;

/* Without a Message-ID, the date is what is left: both APPEND and COPY keep it. */
static gboolean fits(const Marks *wanted, const IndexMessage *message)
{
    guint64 size = message->length >= 0 ? (guint64)message->length : message->size;
    if (*wanted->message_id || *message->message_id)
        return strcmp(wanted->message_id, message->message_id) == 0;
    return wanted->date == message->date && wanted->size == size;
}

static void search_message(const IndexMessage *message, gpointer data)
{
    Search *search = data;
    if (fits(search->wanted, message) && !mail_uid_set_contains(search->taken, message->uid))
        g_array_append_val(search->found, message->uid);
}

/* One message is not two: what another arrival has become is not looked at again. */
static gboolean is_claimed(Folder *folder, MailUid uid, const Arrival *but)
{
    for (guint i = 0; i < folder->arrivals->len; i++) {
        const Arrival *arrival = folder->arrivals->pdata[i];
        if (arrival->uid == uid && arrival != but)
            return TRUE;
    }
    g_autofree char *given = index_get_alias(folder->account->index, folder->row, uid);
    return given != NULL;
}

/* self: the arrival that looks for itself, or NULL. */
static MailUid find(Folder *folder, MailUid mark, const Marks *wanted, const Arrival *self,
                    GArray *taken)
{
    g_autoptr(GArray) found = g_array_new(FALSE, FALSE, sizeof(MailUid));
    Search search = {folder, wanted, taken, found};
    g_autoptr(GError) error = NULL;
    if (!index_each_message_from(folder->account->index, folder->row, mark, search_message, &search,
                                 &error))
        account_index_failed(folder->account, error);
    for (guint i = 0; i < found->len; i++) {
        MailUid uid = g_array_index(found, MailUid, i);
        if (is_claimed(folder, uid, self))
            continue;
        mail_uid_set_add(taken, uid, uid);
        return uid;
    }
    return 0;
}

MailUid arrivals_find_copy(Folder *folder, MailUid mark, Folder *source, MailUid uid, GArray *taken)
{
    const Message *message = mailbox_find(folder_mailbox(source), uid);
    g_autofree char *id = index_get_message_id(source->account->index, source->row, uid);
    if (!message || !id)
        return 0;
    Marks wanted = {id, message->size, message->date};
    const Arrival *self = arrivals_of_source(source->account, source->row, uid);
    return find(folder, mark, &wanted, self, taken);
}

MailUid arrivals_find_new(Arrival *arrival, GArray *taken)
{
    Marks wanted = {arrival->message_id, arrival->size, arrival->date};
    return find(arrival->folder, arrival->mark, &wanted, arrival, taken);
}

static gboolean is_under_way(const Arrival *arrival)
{
    return arrival->state == ARRIVAL_SENDING || arrival->state == ARRIVAL_PLACED ||
           (arrival->state == ARRIVAL_MOVING &&
            journal_is_sent(arrival->folder->account->journal, arrival->id));
}

void arrivals_reported(Folder *folder, MailUid uid, const char *message_id, guint64 size,
                       gint64 date)
{
    IndexMessage message = {.message_id = message_id, .size = size, .length = -1, .date = date};
    if (folder->arrivals->len == 0 || is_claimed(folder, uid, NULL))
        return;
    for (guint i = 0; i < folder->arrivals->len; i++) {
        Arrival *arrival = folder->arrivals->pdata[i];
        Marks wanted = {arrival->message_id, arrival->size, arrival->date};
        if (arrival->uid || uid < arrival->mark || !is_under_way(arrival) ||
            !fits(&wanted, &message))
            continue;
        arrival->uid = uid;
        return;
    }
}

/* ---- what was wanted meanwhile ---- */

/* The one that it was moved on to, if it was. */
static Arrival *follower(Account *account, const Arrival *arrival)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->arrivals->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Arrival *other = value;
        if (other->after == arrival->id && !other->over)
            return other;
    }
    return NULL;
}

static gboolean move_on(Arrival *arrival, Arrival *next, GError **error)
{
    Account *account = arrival->folder->account;
    if (!journal_begin(account->journal, error))
        return FALSE;
    next->source = arrival->folder->row;
    next->source_uid = arrival->uid;
    next->after = 0;
    next->state = ARRIVAL_MOVING;
    if (arrival_store(next, error) &&
        journal_remove(account->journal, arrival->folder, arrival->uid, INDEX_CHANGE_MOVE,
                       next->folder, next->id, error))
        return journal_commit(account->journal, error);
    journal_abort(account->journal);
    return FALSE;
}

/* It was removed or moved on before it had a uid; now it has one. */
static void catch_up(Arrival *arrival)
{
    Account *account = arrival->folder->account;
    g_autoptr(GError) error = NULL;
    Arrival *next = follower(account, arrival);
    gboolean done = next ? move_on(arrival, next, &error)
                         : account_remove_uid(account, arrival->folder, arrival->uid,
                                              arrival_has_file(arrival), &error);
    if (!done) {
        g_warning("what was removed is shown again: %s", error->message);
        if (next)
            arrival_end(next, error);
    }
    arrival_end(arrival, NULL);
}

/* ---- what the server says ---- */

void arrivals_tell_uid(Account *account, guint32 id, MailUidValidity uidvalidity, MailUid uid)
{
    Arrival *arrival = account_arrival(account, id);
    if (!arrival || arrival->over || uid == 0 || arrival->folder->uidvalidity != uidvalidity)
        return;
    arrival->uid = uid;
    account_batch(account);
    if (arrival->source)
        bodies_link(account->bodies, arrival->source, arrival->source_uid, arrival->folder->row,
                    uid);
    arrival_save(arrival);
}

void arrivals_arrived(Account *account, guint32 id)
{
    Arrival *arrival = account_arrival(account, id);
    if (!arrival || arrival->over)
        return;
    account_batch(account);
    arrival_set_state(arrival, ARRIVAL_PLACED);
    arrival->folder->dirty = TRUE;
    if (arrival->uid && arrival->doomed) {
        catch_up(arrival);
        return;
    }
    wait_list_wake(&arrival->waiters, NULL);
    arrivals_settle(arrival->folder);
}

void arrivals_placed(Account *account, guint32 id, MailUidValidity uidvalidity, MailUid uid)
{
    arrivals_tell_uid(account, id, uidvalidity, uid);
    arrivals_arrived(account, id);
}

void arrivals_refused(Account *account, guint32 id, const GError *error, const char *why)
{
    Arrival *arrival = account_arrival(account, id);
    g_autoptr(GError) refused =
        error ? g_error_copy(error)
              : g_error_new(MAIL_ERROR, MAIL_ERROR_REFUSED, "%s", why ? why : "refused");
    if (!arrival || arrival->over)
        return;
    Arrival *next = follower(account, arrival);
    if (next)
        arrival_end(next, refused);
    /* It is back where it came from. */
    Folder *source = account_folder(account, arrival->source);
    arrival_end(arrival, refused);
    if (source)
        folder_touch(source);
}

/* ---- what the listing says ---- */

static void look_at(Arrival *arrival, GArray *taken)
{
    Folder *folder = arrival->folder;
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    gboolean early = arrival->since >= folder->synced; /* the listing may be from before it came */
    if (arrival->uid == 0 && !early) {
        MailUid uid = arrivals_find_new(arrival, taken);
        arrivals_tell_uid(account, arrival->id, folder->uidvalidity, uid);
    }
    if (arrival->uid && arrival->doomed) {
        catch_up(arrival);
        return;
    }
    gboolean there = arrival->uid && mailbox_find(folder_mailbox(folder), arrival->uid);
    if (there && !index_put_alias(account->index, folder->row, arrival->name, arrival->uid, &error))
        account_index_failed(account, error);
    if (there || !early)
        arrival_end(arrival, NULL);
}

void arrivals_listed(Folder *folder)
{
    g_autoptr(GArray) taken = mail_uid_set_new();
    g_autoptr(GPtrArray) placed = g_ptr_array_new();
    for (guint i = 0; i < folder->arrivals->len; i++) {
        Arrival *arrival = folder->arrivals->pdata[i];
        if (arrival->state == ARRIVAL_PLACED)
            g_ptr_array_add(placed, arrival);
    }
    if (placed->len == 0)
        return;
    account_batch(folder->account);
    for (guint i = 0; i < placed->len; i++)
        look_at(placed->pdata[i], taken);
}

/* A listing that is waited for since something was put into its folder. */
typedef struct {
    Arrivals *arrivals;
    guint32 row;
    gint64 since;
    Waiter waiter;
} Settle;

static void settle_free(Settle *settle)
{
    waiter_cancel(&settle->waiter);
    g_ptr_array_remove_fast(settle->arrivals->settles, settle);
    g_free(settle);
}

/* arrivals_listed() does the work, whoever asked for the listing. Offline it is for the next
 * connection to ask again. */
static void settle_step(Settle *settle)
{
    Folder *folder = account_folder(settle->arrivals->account, settle->row);
    if (!folder || folder->row == 0 || sync_since(folder, settle->since, &settle->waiter))
        settle_free(settle);
}

static void settle_woken(Waiter *waiter, const GError *error)
{
    Settle *settle = (Settle *)((char *)waiter - G_STRUCT_OFFSET(Settle, waiter));
    if (error)
        settle_free(settle);
    else
        settle_step(settle);
}

static gboolean settle_later(gpointer data)
{
    settle_step(data);
    return G_SOURCE_REMOVE;
}

void arrivals_settle(Folder *folder)
{
    Arrivals *arrivals = folder->account->arrivals;
    gint64 now = g_get_monotonic_time();
    for (guint i = 0; i < arrivals->settles->len; i++) {
        Settle *settle = arrivals->settles->pdata[i];
        if (settle->row == folder->row) {
            settle->since = now;
            return;
        }
    }
    Settle *settle = g_new0(Settle, 1);
    settle->arrivals = arrivals;
    settle->row = folder->row;
    settle->since = now;
    settle->waiter.wake = settle_woken;
    g_ptr_array_add(arrivals->settles, settle);
    /* What is placed in one turn of the loop needs one listing. */
    g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, settle_later, settle, NULL);
}

void arrivals_settle_all(Account *account)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->arrivals->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Arrival *arrival = value;
        if (!arrival->over && arrival->state == ARRIVAL_PLACED)
            arrivals_settle(arrival->folder);
    }
}

void arrivals_settles_end(Arrivals *arrivals)
{
    while (arrivals->settles->len > 0) {
        Settle *settle = arrivals->settles->pdata[0];
        g_source_remove_by_user_data(settle);
        settle_free(settle);
    }
}
