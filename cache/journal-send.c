/* What becomes of changes: to stable storage, then to the server in sets.
 *
 * A removal takes up to three commands where MOVE or UID EXPUNGE is missing; `state` is how far it
 * got, kept in the index, so that a replay after a crash goes on from there. A COPY is the one
 * command that must not be repeated: before it is sent, the index has it that it may have been, and
 * the smallest uid that the copy can have; when its answer is lost, the copy is looked for. */
#include "arrivals.h"
#include "journal-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LET_GO 100  /* milliseconds in which the kernel forgets a file that nobody has open */
#define RETRY 5000  /* milliseconds after a failure that may pass */
#define MAX_TRIES 3 /* against a server that answers out of protocol */
#define MAX_GROUP 10000

typedef struct DiskSync {
    Journal *journal;
    gint64 id;
    int fd;
    int error;
} DiskSync;

static void group_step(Group *group);

/* ---- groups ---- */

static void group_free(Group *group)
{
    waiter_cancel(&group->waiter);
    g_array_unref(group->uids);
    g_ptr_array_unref(group->changes);
    g_free(group);
}

/* Lets the changes go back to the list; they may be sent again. */
static void group_release(Group *group)
{
    if (group->job)
        remote_cancel(group->journal->account->remote, group->job);
    for (guint i = 0; i < group->changes->len; i++)
        ((Change *)group->changes->pdata[i])->group = NULL;
    g_ptr_array_remove_fast(group->journal->groups, group);
    group_free(group);
}

static const Change *group_first(const Group *group)
{
    return group->changes->pdata[0];
}

static void group_end(Group *group, Ending ending, const char *why)
{
    Journal *journal = group->journal;
    Folder *folder = group->folder;
    g_autoptr(GPtrArray) changes = g_ptr_array_ref(group->changes);
    g_autoptr(GArray) gone = mail_uid_set_new();
    Folder *target = journal_target(group_first(group));
    if (target)
        target->dirty = TRUE; /* who looks there next shall see what came */
    if (ending == END_REFUSED || ending == END_VOID)
        folder->dirty = TRUE; /* some of it may have been done: the next listing tells */
    group_release(group);
    folder_mailbox(folder); /* which may have to read the index: before the transaction */
    account_batch(journal->account);
    for (guint i = 0; i < changes->len; i++)
        journal_end_change(journal, changes->pdata[i], ending, why, gone);
    for (guint i = 0; i < gone->len; i++) {
        const MailUidRange *range = &g_array_index(gone, MailUidRange, i);
        mail_uid_set_add(folder->taken, range->first, range->last);
    }
    folder_drop_messages(folder, gone);
    account_batch_end(journal->account);
    journal_schedule(journal, 0);
    account_tell_if_flushed(journal->account);
}

static gboolean may_pass(const GError *error)
{
    return error->code == MAIL_ERROR_OFFLINE || error->code == MAIL_ERROR_TIMEOUT ||
           error->code == MAIL_ERROR_AUTH || error->code == MAIL_ERROR_TLS ||
           error->code == MAIL_ERROR_CANCELLED;
}

/* A server that breaks the protocol gets another chance or two, then the change is undone. */
static gboolean try_again(Group *group)
{
    gboolean again = TRUE;
    for (guint i = 0; i < group->changes->len; i++)
        again &= ++((Change *)group->changes->pdata[i])->tries < MAX_TRIES;
    return again;
}

static void group_failed(Group *group, const GError *error)
{
    Journal *journal = group->journal;
    if (may_pass(error) || (error->code == MAIL_ERROR_PROTOCOL && try_again(group))) {
        group_release(group);
        journal_schedule(journal, RETRY);
        return;
    }
    g_warning("changes refused (%u): %s", group->changes->len, error->message);
    group_end(group, error->code == MAIL_ERROR_STALE ? END_VOID : END_REFUSED, error->message);
}

/* Remembers how far the group got. */
static void group_set_state(Group *group, guint32 state)
{
    Account *account = group->journal->account;
    account_batch(account);
    for (guint i = 0; i < group->changes->len; i++) {
        Change *change = group->changes->pdata[i];
        change->state = state;
        index_set_change_state(account->index, change->id, state, change->mark, NULL);
    }
    account_batch_end(account);
    group->state = state;
}

static void group_advance(Group *group, guint32 state)
{
    group_set_state(group, state);
    group_step(group);
}

/* Where the server keeps no flags, \Deleted need not come first. */
static gboolean expunges(const Group *group)
{
    return group->state == STATE_MARKED ||
           (group->kind == INDEX_CHANGE_EXPUNGE &&
            remote_features(group->journal->account->remote)->local_flags);
}

static void store_done(const GError *error, gpointer data)
{
    Group *group = data;
    group->job = NULL;
    gboolean expunging = expunges(group);
    if (error && expunging && g_error_matches(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED)) {
        g_message("%s", error->message);
        group_end(group, END_LEFT, NULL);
        return;
    }
    if (error) {
        group_failed(group, error);
        return;
    }
    gboolean marks = group->kind == INDEX_CHANGE_MARK || group->kind == INDEX_CHANGE_FLAGS;
    if (marks || expunging)
        group_end(group, END_OK, NULL);
    else
        group_advance(group, STATE_MARKED);
}

/* What a server says of messages that were not asked for is not believed. */
static void take_uids(Group *group, const RemoteMoved *moved)
{
    Journal *journal = group->journal;
    account_batch(journal->account);
    for (guint i = 0; i < moved->from->len; i++) {
        MailUid from = g_array_index(moved->from, MailUid, i);
        const Change *change = journal_first_of(journal, group->folder, from);
        if (change && change->group == group && change->arrival)
            arrivals_tell_uid(journal->account, change->arrival, moved->uidvalidity,
                              g_array_index(moved->to, MailUid, i));
    }
}

static void move_done(const RemoteMoved *moved, const GError *error, gpointer data)
{
    Group *group = data;
    group->job = NULL;
    take_uids(group, moved);
    if (error)
        group_failed(group, error);
    else
        group_end(group, END_OK, NULL);
}

static void copy_done(const RemoteMoved *moved, const GError *error, gpointer data)
{
    Group *group = data;
    gboolean answered = error && !may_pass(error);
    group->job = NULL;
    take_uids(group, moved);
    /* A NO says that nothing was copied (RFC 9051 section 6.4.7). */
    if (answered)
        group_set_state(group, STATE_NEW);
    if (error)
        group_failed(group, error);
    else
        group_advance(group, STATE_COPIED);
}

/* ---- a COPY ---- */

/* Nothing but the target's listing can tell whether a copy was made. */
static gboolean has_target_listing(Group *group)
{
    Folder *target = journal_target(group_first(group));
    return !target || !folder_selectable(target) ||
           sync_since(target, group->since, &group->waiter);
}

/* The listing is here: each copy that was made is known by what it is a copy of. */
static void group_resolve(Group *group)
{
    Account *account = group->journal->account;
    Folder *target = journal_target(group_first(group));
    g_autoptr(GArray) taken = mail_uid_set_new();
    account_batch(account);
    for (guint i = 0; i < group->changes->len; i++) {
        Change *change = group->changes->pdata[i];
        MailUid copy =
            target ? arrivals_find_copy(target, change->mark, change->folder, change->uid, taken)
                   : 0; /* the server has no such folder: no copy either */
        change->state = copy ? STATE_COPIED : STATE_NEW;
        index_set_change_state(account->index, change->id, change->state, change->mark, NULL);
        if (copy && change->arrival)
            arrivals_tell_uid(account, change->arrival, target->uidvalidity, copy);
    }
    account_batch_end(account);
    Journal *journal = group->journal;
    group_release(group);
    journal_schedule(journal, 0);
}

static void listing_came(Waiter *waiter, const GError *error)
{
    Group *group = (Group *)((char *)waiter - G_STRUCT_OFFSET(Group, waiter));
    Journal *journal = group->journal;
    if (!error && group->state == STATE_COPYING) {
        if (has_target_listing(group))
            group_resolve(group);
        return;
    }
    group_release(group);
    journal_schedule(journal, error ? RETRY : 0);
}

static void group_copy(Group *group, const RemoteStore *what, const char *target_name)
{
    Account *account = group->journal->account;
    Folder *target = journal_target(group_first(group));
    group->waiter.wake = listing_came;
    if (group->state == STATE_COPYING) {
        group->since = g_get_monotonic_time();
        if (has_target_listing(group))
            group_resolve(group);
        return;
    }
    if (target && target->uidnext == 0 && !has_target_listing(group))
        return;
    for (guint i = 0; i < group->changes->len; i++)
        ((Change *)group->changes->pdata[i])->mark = target ? MAX(target->uidnext, 1) : 1;
    group_set_state(group, STATE_COPYING);
    group->job = remote_copy(account->remote, what, target_name, copy_done, group);
}

/* ---- one step ---- */

static char **words(const char *keywords)
{
    return *keywords ? g_strsplit(keywords, " ", -1) : NULL;
}

static void group_step(Group *group)
{
    Remote *remote = group->journal->account->remote;
    const Change *first = group_first(group);
    const Folder *target = journal_target(first);
    const char *target_name = target ? target->name : first->target_name;
    gboolean removal = journal_is_removal(group->kind);
    g_auto(GStrv) add_keywords = words(first->add_keywords);
    g_auto(GStrv) remove_keywords = words(first->remove_keywords);
    RemoteStore what = {
        .mailbox = group->folder->name,
        .uidvalidity = group->folder->uidvalidity,
        .uids = group->uids,
        .add = removal ? MAIL_FLAG_DELETED : first->add,
        .remove = removal ? 0 : first->remove,
        .add_keywords = (const char *const *)add_keywords,
        .remove_keywords = (const char *const *)remove_keywords,
    };
    for (guint i = 0; i < group->changes->len; i++)
        ((Change *)group->changes->pdata[i])->sent = TRUE;
    gboolean carries = journal_carries(group->kind);
    if (expunges(group))
        group->job = remote_expunge(remote, &what, store_done, group);
    else if (!carries || group->state == STATE_COPIED)
        group->job = remote_store(remote, &what, store_done, group);
    else if (remote_features(remote)->move && group->state == STATE_NEW)
        group->job = remote_move(remote, &what, target_name, move_done, group);
    else
        group_copy(group, &what, target_name);
}

static gboolean group_takes(const Group *group, const Change *change)
{
    const Change *first = group_first(group);
    return group->folder == change->folder && group->kind == change->kind &&
           group->state == change->state && first->add == change->add &&
           first->remove == change->remove && first->target == change->target &&
           strcmp(first->add_keywords, change->add_keywords) == 0 &&
           strcmp(first->remove_keywords, change->remove_keywords) == 0 &&
           group->changes->len < MAX_GROUP;
}

static Group *group_new(Journal *journal, const Change *change)
{
    Group *group = g_new0(Group, 1);
    group->journal = journal;
    group->folder = change->folder;
    group->kind = change->kind;
    group->state = change->state;
    group->uids = mail_uid_set_new();
    group->changes = g_ptr_array_new();
    return group;
}

/* ---- sending ---- */

/* A file that a program still reads is fetched before the server lets go of it. Returns the time in
 * milliseconds to wait, 0 when it can be sent. */
static guint hold_back(const Change *change)
{
    Folder *folder = change->folder;
    /* What is moved stays readable where it goes; only a download under way is not cut off. */
    if (change->kind == INDEX_CHANGE_MOVE)
        return downloads_active(folder, change->uid) ? LET_GO : 0;
    if (!journal_is_removal(change->kind) ||
        !g_hash_table_contains(folder->orphans, GUINT_TO_POINTER(change->uid)))
        return 0;
    if (g_get_monotonic_time() - change->added < LET_GO * 1000)
        return LET_GO;
    return downloads_secure(folder, change->uid) ? 0 : LET_GO;
}

/* One command at a time for each folder: what comes meanwhile is gathered into the next, larger
 * set. Several at once would only make the server's processes wait for each other's locks. */
static gboolean folder_is_busy(const Journal *journal, guint under_way, const Folder *folder)
{
    for (guint i = 0; i < under_way; i++)
        if (((const Group *)journal->groups->pdata[i])->folder == folder)
            return TRUE;
    return FALSE;
}

/* Without UIDPLUS an EXPUNGE is safe only while nothing else carries \Deleted: nothing of ours, in
 * another group, either. */
static gboolean needs_expunge(const Journal *journal, IndexChangeKind kind)
{
    const RemoteFeatures *features = remote_features(journal->account->remote);
    return !features->uidplus &&
           (kind == INDEX_CHANGE_EXPUNGE || (journal_carries(kind) && !features->move));
}

static gboolean is_blocked(const Journal *journal, const Group *group)
{
    for (guint i = 0; i < journal->groups->len; i++) {
        const Group *other = journal->groups->pdata[i];
        if (other != group && other->folder == group->folder && other->job &&
            needs_expunge(journal, other->kind) && needs_expunge(journal, group->kind))
            return TRUE;
    }
    return FALSE;
}

/* The changes that can be sent now, as groups. Returns the time in milliseconds after which there
 * may be more, or 0. */
static guint gather(Journal *journal, GPtrArray *fresh)
{
    guint under_way = journal->groups->len;
    guint wait = 0;
    for (GList *item = journal->changes.head; item; item = item->next) {
        Change *change = item->data;
        if (change->id > journal->synced)
            break;
        if (change->group || journal_first_of(journal, change->folder, change->uid) != change ||
            folder_is_busy(journal, under_way, change->folder))
            continue;
        guint hold = hold_back(change);
        if (hold) {
            wait = MAX(wait, hold);
            continue;
        }
        Group *group = NULL;
        for (guint i = fresh->len; i-- > 0 && !group;)
            if (group_takes(fresh->pdata[i], change))
                group = fresh->pdata[i];
        if (!group) {
            group = group_new(journal, change);
            g_ptr_array_add(fresh, group);
            g_ptr_array_add(journal->groups, group);
        }
        change->group = group;
        mail_uid_set_add(group->uids, change->uid, change->uid);
        g_ptr_array_add(group->changes, change);
    }
    return wait;
}

static void send_groups(Journal *journal)
{
    g_autoptr(GPtrArray) fresh = g_ptr_array_new();
    guint wait = gather(journal, fresh);
    for (guint i = 0; i < fresh->len; i++) {
        Group *group = fresh->pdata[i];
        if (is_blocked(journal, group))
            group_release(group); /* the end of the other one comes back here */
        else
            group_step(group);
    }
    if (wait)
        journal_schedule(journal, wait);
}

/* ---- to stable storage ---- */

static gboolean disk_synced(gpointer data)
{
    g_autofree DiskSync *sync = data;
    Journal *journal = sync->journal;
    if (sync->error)
        g_warning("the index cannot be flushed to disk: %s", g_strerror(sync->error));
    journal->syncing = NULL;
    journal->synced = MAX(journal->synced, sync->id);
    journal_schedule(journal, 0);
    return G_SOURCE_REMOVE;
}

/* On the helper thread: it sees a descriptor and a number, nothing else. */
static void sync_disk(gpointer data, gpointer unused)
{
    DiskSync *sync = data;
    if (sync->fd >= 0 && fdatasync(sync->fd) != 0)
        sync->error = errno;
    if (sync->fd >= 0)
        close(sync->fd);
    g_idle_add_full(G_PRIORITY_DEFAULT, disk_synced, sync, NULL);
}

static void start_disk_sync(Journal *journal, gint64 id)
{
    DiskSync *sync = g_new0(DiskSync, 1);
    journal->syncing = sync;
    sync->journal = journal;
    sync->id = id;
    sync->fd = index_wal_fd(journal->account->index);
    g_thread_pool_push(journal->syncer, sync, NULL);
}

static gboolean timer_fired(gpointer data)
{
    Journal *journal = data;
    journal->timer = 0;
    const Change *last = g_queue_peek_tail(&journal->changes);
    if (!last || remote_state(journal->account->remote) != REMOTE_ONLINE ||
        folder_changes_rename(journal->account))
        return G_SOURCE_REMOVE;
    if (last->id > journal->synced && !journal->syncing)
        start_disk_sync(journal, last->id);
    send_groups(journal);
    return G_SOURCE_REMOVE;
}

/* The sooner of what is scheduled and this. */
void journal_schedule(Journal *journal, guint milliseconds)
{
    if (journal->timer) {
        GSource *source = g_main_context_find_source_by_id(NULL, journal->timer);
        gint64 left = g_source_get_ready_time(source) - g_get_monotonic_time();
        if (left <= (gint64)milliseconds * 1000)
            return;
        g_source_remove(journal->timer);
    }
    journal->timer = g_timeout_add(milliseconds, timer_fired, journal);
}

void journal_kick(Journal *journal)
{
    journal_schedule(journal, 0);
}

/* ---- life ---- */

void journal_recall(Journal *journal, const Folder *folder)
{
    for (guint i = journal->groups->len; i-- > 0;) {
        Group *group = journal->groups->pdata[i];
        if (group->folder == folder)
            group_release(group);
    }
}

void journal_send_init(Journal *journal)
{
    journal->groups = g_ptr_array_new();
    journal->syncer = g_thread_pool_new(sync_disk, NULL, 1, FALSE, NULL);
}

void journal_send_free(Journal *journal)
{
    g_clear_handle_id(&journal->timer, g_source_remove);
    /* Waits for an fsync under way; what it has posted to the loop must not be run any more. */
    g_thread_pool_free(journal->syncer, FALSE, TRUE);
    if (journal->syncing && g_source_remove_by_user_data(journal->syncing))
        g_clear_pointer(&journal->syncing, g_free);
    while (journal->groups->len > 0)
        group_release(journal->groups->pdata[0]);
    g_ptr_array_unref(journal->groups);
}
