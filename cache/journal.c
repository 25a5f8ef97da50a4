/* A change goes through: added (durable in the index) -> fsynced, off the loop -> sent, merged with
 * its like -> answered. The changes of one message are sent one after the other; those of different
 * messages have no order among them and go out together.
 *
 * A removal takes up to three commands where MOVE or UID EXPUNGE is missing; `state` is how far it
 * got, kept in the index, so that a replay after a crash goes on from there. */
#include "account-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define GATHER 20   /* milliseconds: what a program does in one go is sent in one go */
#define LET_GO 100  /* milliseconds in which the kernel forgets a file that nobody has open */
#define RETRY 5000  /* milliseconds after a failure that may pass */
#define MAX_TRIES 3 /* against a server that answers out of protocol */
#define MAX_GROUP 10000
#define MAX_REFUSALS 50

enum { STATE_NEW, STATE_COPIED, STATE_MARKED };

typedef struct Group Group;

typedef struct Change {
    gint64 id;
    IndexChangeKind kind;
    Folder *folder;
    MailUid uid;
    guint32 add, remove;
    guint32 target;
    char *target_name;
    guint32 state;
    guint tries;
    gint64 added;        /* monotonic */
    Group *group;        /* that carries it now, or NULL */
    GList link;          /* in journal->changes */
    struct Change *next; /* the next change of the same message */
} Change;

struct Group {
    Journal *journal;
    Folder *folder;
    IndexChangeKind kind;
    guint32 state;
    guint32 add, remove;
    guint32 target;
    char *target_name;
    GArray *uids;
    GPtrArray *changes;
    RemoteJob *job;
};

struct Journal {
    Account *account;
    GQueue changes;         /* ascending by id */
    GHashTable *by_message; /* gint64 key -> the first Change */
    GPtrArray *groups;      /* under way */
    gint64 synced;          /* all ids up to here are on stable storage */
    gboolean syncing;
    GThreadPool *syncer;
    guint timer;
    guint refused;
    GQueue refusals; /* of char*: the last ones, newest last */
};

typedef struct {
    Journal *journal; /* NULL once it is gone */
    gint64 id;
    int fd;
    int error;
} DiskSync;

static void schedule(Journal *journal, guint milliseconds);
static void group_step(Group *group);

/* ---- the list ---- */

static gint64 key_of(const Folder *folder, MailUid uid)
{
    return (gint64)(((guint64)folder->row << 32) | uid);
}

static Change *first_of(Journal *journal, const Folder *folder, MailUid uid)
{
    gint64 key = key_of(folder, uid);
    return g_hash_table_lookup(journal->by_message, &key);
}

static void change_link(Journal *journal, Change *change)
{
    change->link.data = change;
    g_queue_push_tail_link(&journal->changes, &change->link);
    Change *first = first_of(journal, change->folder, change->uid);
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

/* Out of memory and index; the caller has a transaction open. */
static void change_drop(Journal *journal, Change *change)
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
        g_warning("the index cannot be written: %s", error->message);
    change_free(change);
}

static void told_if_empty(Journal *journal)
{
    if (journal->changes.length == 0)
        wait_list_wake(&journal->account->flush_waiters, NULL);
}

static gboolean is_removal(IndexChangeKind kind)
{
    return kind != INDEX_CHANGE_FLAGS;
}

/* ---- endings ---- */

static void flags_done(Change *change)
{
    Folder *folder = change->folder;
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    const Message *message = mailbox_find(folder_mailbox(folder), change->uid);
    if (!message)
        return;
    g_autofree char *keywords = index_get_keywords(account->index, folder->row, change->uid);
    if (!index_set_flags(account->index, folder->row, change->uid,
                         message->flags & MAIL_FLAGS_SYSTEM, keywords ? keywords : "",
                         message->changed, &error))
        g_warning("the index cannot be written: %s", error->message);
}

/* It stays on the server with \Deleted, and out of sight here. */
static void removal_left(Change *change)
{
    Folder *folder = change->folder;
    Message *message = mailbox_find(folder_mailbox(folder), change->uid);
    if (!message)
        return;
    message->flags |= MAIL_FLAG_DELETED | MESSAGE_HIDDEN;
    message->flags &= ~(guint32)MESSAGE_REMOVED;
    index_set_hidden(folder->account->index, folder->row, change->uid, TRUE, NULL);
    flags_done(change);
}

static void removal_done(Change *change)
{
    mail_uid_set_add(change->folder->taken, change->uid, change->uid);
    folder_drop_message(change->folder, change->uid);
}

static void note_refusal(Journal *journal, const Change *change, const char *why)
{
    g_autofree char *name = mail_escape(change->folder->name, -1, 200);
    char *text =
        g_strdup_printf("%s of message %u in %s: %s",
                        is_removal(change->kind) ? "removal" : "flags", change->uid, name, why);
    journal->refused++;
    g_queue_push_tail(&journal->refusals, text);
    if (journal->refusals.length > MAX_REFUSALS)
        g_free(g_queue_pop_head(&journal->refusals));
}

/* The server said NO: what was shown is taken back. */
static void change_undo(Change *change)
{
    Folder *folder = change->folder;
    Account *account = folder->account;
    Message *message = mailbox_find(folder_mailbox(folder), change->uid);
    if (!message)
        return;
    if (is_removal(change->kind)) {
        message->flags &= ~(guint32)MESSAGE_REMOVED;
        folder_release_orphan(folder, change->uid);
        folder_touch(folder);
        return;
    }
    message->flags = (message->flags & ~change->add) | change->remove;
    account->funcs->changed(folder, change->uid, account->data);
}

typedef enum { END_OK, END_LEFT, END_REFUSED, END_VOID } Ending;

static void change_end(Journal *journal, Change *change, Ending ending, const char *why)
{
    if (ending == END_OK && is_removal(change->kind) && change->kind != INDEX_CHANGE_MARK)
        removal_done(change);
    else if (ending == END_LEFT || (ending == END_OK && change->kind == INDEX_CHANGE_MARK))
        removal_left(change);
    else if (ending == END_OK)
        flags_done(change);
    else
        note_refusal(journal, change, why);
    if (ending == END_REFUSED)
        change_undo(change);
    change_drop(journal, change);
}

/* ---- groups ---- */

static void group_free(Group *group)
{
    g_array_unref(group->uids);
    g_ptr_array_unref(group->changes);
    g_free(group->target_name);
    g_free(group);
}

/* Lets the changes go back to the list; they may be sent again. */
static void group_release(Group *group)
{
    for (guint i = 0; i < group->changes->len; i++)
        ((Change *)group->changes->pdata[i])->group = NULL;
    g_ptr_array_remove_fast(group->journal->groups, group);
    group_free(group);
}

static void group_end(Group *group, Ending ending, const char *why)
{
    Journal *journal = group->journal;
    g_autoptr(GPtrArray) changes = g_ptr_array_ref(group->changes);
    Folder *target = group->target ? account_folder(journal->account, group->target) : NULL;
    if (target)
        target->dirty = TRUE; /* who looks there next shall see what came */
    group_release(group);
    account_batch(journal->account);
    for (guint i = 0; i < changes->len; i++)
        change_end(journal, changes->pdata[i], ending, why);
    account_batch_end(journal->account);
    schedule(journal, 0);
    told_if_empty(journal);
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
        schedule(journal, RETRY);
        return;
    }
    if (error->code == MAIL_ERROR_STALE || error->code == MAIL_ERROR_GONE)
        group->folder->dirty = TRUE; /* the next listing tells what became of it */
    g_warning("%u changes were not made: %s", group->changes->len, error->message);
    group_end(group, error->code == MAIL_ERROR_STALE ? END_VOID : END_REFUSED, error->message);
}

/* Remembers how far the group got, before the next command. */
static void group_advance(Group *group, guint32 state)
{
    Account *account = group->journal->account;
    account_batch(account);
    for (guint i = 0; i < group->changes->len; i++) {
        Change *change = group->changes->pdata[i];
        change->state = state;
        index_set_change_state(account->index, change->id, state, NULL);
    }
    account_batch_end(account);
    group->state = state;
    group_step(group);
}

static void command_done(const GError *error, gpointer data)
{
    Group *group = data;
    group->job = NULL;
    gboolean expunging = group->state == STATE_MARKED;
    if (error && expunging && g_error_matches(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED)) {
        g_message("%s", error->message);
        group_end(group, END_LEFT, NULL);
        return;
    }
    if (error) {
        group_failed(group, error);
        return;
    }
    gboolean by_move = group->kind == INDEX_CHANGE_TRASH && group->state == STATE_NEW &&
                       remote_features(group->journal->account->remote)->move;
    gboolean marks = group->kind == INDEX_CHANGE_MARK || group->kind == INDEX_CHANGE_FLAGS;
    if (marks || by_move || expunging)
        group_end(group, END_OK, NULL);
    else if (group->kind == INDEX_CHANGE_TRASH && group->state == STATE_NEW)
        group_advance(group, STATE_COPIED);
    else
        group_advance(group, STATE_MARKED);
}

static void group_step(Group *group)
{
    Remote *remote = group->journal->account->remote;
    gboolean removal = is_removal(group->kind);
    RemoteStore what = {
        .mailbox = group->folder->name,
        .uidvalidity = group->folder->uidvalidity,
        .uids = group->uids,
        .add = removal ? MAIL_FLAG_DELETED : group->add,
        .remove = removal ? 0 : group->remove,
    };
    if (group->state == STATE_MARKED)
        group->job = remote_expunge(remote, &what, command_done, group);
    else if (group->kind != INDEX_CHANGE_TRASH || group->state == STATE_COPIED)
        group->job = remote_store(remote, &what, command_done, group);
    else if (remote_features(remote)->move)
        group->job = remote_move(remote, &what, group->target_name, command_done, group);
    else
        group->job = remote_copy(remote, &what, group->target_name, command_done, group);
}

static gboolean group_takes(const Group *group, const Change *change)
{
    return group->folder == change->folder && group->kind == change->kind &&
           group->state == change->state && group->add == change->add &&
           group->remove == change->remove && group->target == change->target &&
           group->changes->len < MAX_GROUP;
}

static Group *group_new(Journal *journal, const Change *change)
{
    Group *group = g_new0(Group, 1);
    group->journal = journal;
    group->folder = change->folder;
    group->kind = change->kind;
    group->state = change->state;
    group->add = change->add;
    group->remove = change->remove;
    group->target = change->target;
    group->target_name = g_strdup(change->target_name);
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
    if (!is_removal(change->kind) ||
        !g_hash_table_contains(folder->orphans, GUINT_TO_POINTER(change->uid)))
        return 0;
    if (g_get_monotonic_time() - change->added < LET_GO * 1000)
        return LET_GO;
    return downloads_secure(folder, change->uid) ? 0 : LET_GO;
}

/* One command at a time for each folder: what comes meanwhile is gathered into the next, larger set.
 * Several at once would only make the server's processes wait for each other's locks. */
static gboolean folder_is_busy(const Journal *journal, guint under_way, const Folder *folder)
{
    for (guint i = 0; i < under_way; i++)
        if (((const Group *)journal->groups->pdata[i])->folder == folder)
            return TRUE;
    return FALSE;
}

static void send_groups(Journal *journal)
{
    g_autoptr(GPtrArray) fresh = g_ptr_array_new();
    guint under_way = journal->groups->len;
    guint wait = 0;
    for (GList *item = journal->changes.head; item; item = item->next) {
        Change *change = item->data;
        if (change->id > journal->synced)
            break;
        if (change->group || first_of(journal, change->folder, change->uid) != change ||
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
    for (guint i = 0; i < fresh->len; i++)
        group_step(fresh->pdata[i]);
    if (wait)
        schedule(journal, wait);
}

/* ---- to stable storage ---- */

static gboolean disk_synced(gpointer data)
{
    g_autofree DiskSync *sync = data;
    Journal *journal = sync->journal;
    if (sync->error)
        g_warning("the index cannot be flushed to disk: %s", g_strerror(sync->error));
    journal->syncing = FALSE;
    journal->synced = MAX(journal->synced, sync->id);
    schedule(journal, 0);
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
    journal->syncing = TRUE;
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
    if (!last || remote_state(journal->account->remote) != REMOTE_ONLINE)
        return G_SOURCE_REMOVE;
    if (last->id > journal->synced && !journal->syncing)
        start_disk_sync(journal, last->id);
    send_groups(journal);
    return G_SOURCE_REMOVE;
}

/* The sooner of what is scheduled and this. */
static void schedule(Journal *journal, guint milliseconds)
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
    schedule(journal, 0);
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
    schedule(journal, GATHER);
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
    for (Change *change = first_of(journal, folder, uid); change; change = change->next) {
        if (is_removal(change->kind))
            *removed = TRUE;
        else
            flags = (flags | change->add) & ~change->remove;
    }
    return flags;
}

void journal_message_gone(Journal *journal, Folder *folder, MailUid uid)
{
    Change *change = first_of(journal, folder, uid);
    account_batch(journal->account);
    while (change) {
        Change *next = change->next;
        if (!change->group) /* else the answer to its command ends it */
            change_drop(journal, change);
        change = next;
    }
    told_if_empty(journal);
}

void journal_folder_gone(Journal *journal, Folder *folder)
{
    for (guint i = journal->groups->len; i-- > 0;) {
        Group *group = journal->groups->pdata[i];
        if (group->folder != folder)
            continue;
        if (group->job)
            remote_cancel(journal->account->remote, group->job);
        group_release(group);
    }
    guint dropped = 0;
    for (GList *item = journal->changes.head; item;) {
        Change *change = item->data;
        item = item->next;
        if (change->folder != folder)
            continue;
        note_refusal(journal, change, "the folder was removed or made anew on the server");
        change_drop(journal, change);
        dropped++;
    }
    if (dropped)
        g_warning("%u changes are void: their folder was removed or made anew on the server",
                  dropped);
    told_if_empty(journal);
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

static void load_change(const IndexChange *row, gpointer data)
{
    Journal *journal = data;
    Folder *folder = account_folder(journal->account, row->folder);
    /* Only what is still about the same mailbox: uids mean nothing under another UIDVALIDITY. */
    if (!folder || row->folder == 0 || folder->uidvalidity != row->uidvalidity) {
        g_warning("a change of message %u is void: its folder is not what it was", row->uid);
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
    change_link(journal, change);
}

Journal *journal_new(Account *account, GError **error)
{
    Journal *journal = g_new0(Journal, 1);
    journal->account = account;
    g_queue_init(&journal->changes);
    g_queue_init(&journal->refusals);
    journal->by_message = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    journal->groups = g_ptr_array_new();
    journal->syncer = g_thread_pool_new(sync_disk, NULL, 1, FALSE, NULL);
    if (!index_each_change(account->index, load_change, journal, error)) {
        journal_free(journal);
        return NULL;
    }
    return journal;
}

void journal_free(Journal *journal)
{
    if (!journal)
        return;
    g_clear_handle_id(&journal->timer, g_source_remove);
    /* Waits for an fsync under way; what it posted to the loop is then taken off by running it dry.
     */
    g_thread_pool_free(journal->syncer, FALSE, TRUE);
    while (journal->syncing)
        g_main_context_iteration(NULL, FALSE);
    g_clear_handle_id(&journal->timer, g_source_remove);
    while (journal->groups->len > 0)
        group_release(journal->groups->pdata[0]);
    GList *item;
    while ((item = journal->changes.head)) {
        g_queue_unlink(&journal->changes, item);
        change_free(item->data);
    }
    g_ptr_array_unref(journal->groups);
    g_hash_table_unref(journal->by_message);
    g_queue_clear_full(&journal->refusals, g_free);
    g_free(journal);
}
