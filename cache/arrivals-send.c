/* New messages on their way to the server: APPEND, several in one command where the server takes
 * that, a few commands at a time. An APPEND must not be repeated: before it is sent, the index has
 * it that it may have been, and the smallest uid that the message can have; when the answer is
 * lost, the message is looked for. */
#include "arrivals.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

#define GATHER 150 /* milliseconds in which the date of a file that was closed can still be set */
#define RETRY 5000 /* milliseconds after a failure that may pass */
#define MAX_COMMANDS 4
#define MAX_MESSAGES 64         /* in one command */
#define MAX_BYTES (1024 * 1024) /* in one command of several messages */

typedef struct {
    Arrivals *arrivals;
    Folder *folder;
    GPtrArray *members; /* of Arrival, whose batch this is */
    RemoteJob *job;     /* NULL: waits for the listing */
    Waiter waiter;
    gint64 since;
    gboolean doubts; /* whether they were sent already is to be found out */
} AppendBatch;

static void batch_free(AppendBatch *batch)
{
    Account *account = batch->arrivals->account;
    waiter_cancel(&batch->waiter);
    if (batch->job)
        remote_cancel(account->remote, batch->job);
    for (guint i = 0; i < batch->members->len; i++)
        ((Arrival *)batch->members->pdata[i])->batch = NULL;
    g_ptr_array_remove_fast(batch->arrivals->batches, batch);
    g_ptr_array_unref(batch->members);
    g_free(batch);
}

/* Frees the batch; its members are the caller's. */
static GPtrArray *batch_take_members(AppendBatch *batch)
{
    GPtrArray *members = g_ptr_array_ref(batch->members);
    batch_free(batch);
    return members;
}

void arrivals_recall(Arrivals *arrivals)
{
    while (arrivals->batches->len > 0)
        batch_free(arrivals->batches->pdata[0]);
}

/* ---- the answer ---- */

static gboolean may_pass(const GError *error)
{
    return error->code == MAIL_ERROR_OFFLINE || error->code == MAIL_ERROR_TIMEOUT ||
           error->code == MAIL_ERROR_AUTH || error->code == MAIL_ERROR_TLS ||
           error->code == MAIL_ERROR_CANCELLED;
}

/* Several were refused together: which one it was about shows when each goes by itself. */
static void refused(GPtrArray *members, const GError *error)
{
    for (guint i = 0; i < members->len; i++) {
        Arrival *arrival = members->pdata[i];
        if (members->len == 1 || arrival->doomed) {
            arrival_fail(arrival, error);
            continue;
        }
        arrival->alone = TRUE;
        arrival_set_state(arrival, ARRIVAL_READY);
    }
}

static void appended(MailUidValidity uidvalidity, const MailUid *uids, const GError *error,
                     gpointer data)
{
    AppendBatch *batch = data;
    Arrivals *arrivals = batch->arrivals;
    Account *account = arrivals->account;
    batch->job = NULL;
    g_autoptr(GPtrArray) members = batch_take_members(batch);
    account_batch(account);
    if (error && may_pass(error)) {
        arrivals_schedule(account, RETRY); /* they stay as what may have been sent */
        return;
    }
    if (error)
        refused(members, error);
    for (guint i = 0; !error && i < members->len; i++)
        arrivals_placed(account, ((Arrival *)members->pdata[i])->id, uidvalidity,
                        uids ? uids[i] : 0);
    account_batch_end(account);
    arrivals_schedule(account, 0);
    account_tell_if_flushed(account);
}

/* ---- sending ---- */

static void batch_send(AppendBatch *batch)
{
    Account *account = batch->arrivals->account;
    guint count = batch->members->len;
    g_autofree RemoteNew *messages = g_new0(RemoteNew, count);
    g_autoptr(GError) error = NULL;
    account_batch(account);
    for (guint i = 0; i < count; i++) {
        Arrival *arrival = batch->members->pdata[i];
        g_autofree char *path = arrival_path(arrival);
        messages[i] = (RemoteNew){.fd = g_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0),
                                  .size = arrival->size,
                                  .date = arrival->date};
        if (messages[i].fd < 0 && !error)
            g_set_error(&error, MAIL_ERROR, MAIL_ERROR_DISK, "reading a new file: %s",
                        g_strerror(errno));
    }
    if (error) {
        for (guint i = 0; i < count; i++)
            if (messages[i].fd >= 0)
                close(messages[i].fd);
        g_autoptr(GPtrArray) members = batch_take_members(batch);
        refused(members, error);
        arrivals_schedule(account, 0);
        return;
    }
    for (guint i = 0; i < count; i++) {
        Arrival *arrival = batch->members->pdata[i];
        arrival->mark = MAX(batch->folder->uidnext, 1);
        arrival_set_state(arrival, ARRIVAL_SENDING);
    }
    account_batch_end(account);
    batch->job =
        remote_append(account->remote, batch->folder->name, messages, count, appended, batch);
    for (guint i = 0; i < count; i++)
        close(messages[i].fd);
}

/* What was sent before the connection broke is there, or goes out now. */
static void batch_resolve(AppendBatch *batch)
{
    Account *account = batch->arrivals->account;
    g_autoptr(GArray) taken = mail_uid_set_new();
    Folder *folder = batch->folder;
    g_autoptr(GPtrArray) members = batch_take_members(batch);
    account_batch(account);
    for (guint i = 0; i < members->len; i++) {
        Arrival *arrival = members->pdata[i];
        MailUid uid = arrivals_find_new(arrival, taken);
        if (uid)
            arrivals_placed(account, arrival->id, folder->uidvalidity, uid);
        else if (arrival->doomed)
            arrival_end(arrival, NULL); /* it never came there, and is not wanted any more */
        else
            arrival_set_state(arrival, ARRIVAL_READY);
    }
    arrivals_schedule(account, 0);
}

/* Some may have been removed or renamed while the listing was waited for. */
static void drop_withdrawn(AppendBatch *batch)
{
    ArrivalState state = batch->doubts ? ARRIVAL_SENDING : ARRIVAL_READY;
    for (guint i = batch->members->len; i-- > 0;) {
        Arrival *arrival = batch->members->pdata[i];
        if (!arrival->over && arrival->state == state && arrival->folder == batch->folder)
            continue;
        arrival->batch = NULL;
        g_ptr_array_remove_index(batch->members, i);
        if (arrival->over)
            account_arrival_forgotten(batch->arrivals->account, arrival->id);
    }
}

static void batch_step(AppendBatch *batch)
{
    gint64 since = batch->doubts ? batch->since : 0;
    gboolean known = batch->folder->uidnext > 0;
    if ((batch->doubts || !known) && !sync_since(batch->folder, since, &batch->waiter))
        return;
    drop_withdrawn(batch);
    if (batch->members->len == 0)
        batch_free(batch);
    else if (batch->doubts)
        batch_resolve(batch);
    else
        batch_send(batch);
}

static void listing_came(Waiter *waiter, const GError *error)
{
    AppendBatch *batch = (AppendBatch *)((char *)waiter - G_STRUCT_OFFSET(AppendBatch, waiter));
    Account *account = batch->arrivals->account;
    if (!error) {
        batch_step(batch);
        return;
    }
    g_autoptr(GPtrArray) members = batch_take_members(batch);
    if (may_pass(error))
        arrivals_schedule(account, RETRY);
    else if (error->code != MAIL_ERROR_STALE)
        refused(members, error); /* there is no such folder, or it may not be looked into */
    else
        arrivals_schedule(account, 0);
}

static AppendBatch *batch_new(Arrivals *arrivals, Folder *folder, gboolean doubts)
{
    AppendBatch *batch = g_new0(AppendBatch, 1);
    batch->arrivals = arrivals;
    batch->folder = folder;
    batch->doubts = doubts;
    batch->members = g_ptr_array_new();
    batch->waiter.wake = listing_came;
    batch->since = g_get_monotonic_time();
    g_ptr_array_add(arrivals->batches, batch);
    return batch;
}

static gboolean batch_takes(const AppendBatch *batch, const Arrival *arrival, gboolean several,
                            guint64 bytes)
{
    if (batch->doubts)
        return TRUE;
    return several && !arrival->alone && batch->members->len < MAX_MESSAGES &&
           bytes + arrival->size <= MAX_BYTES;
}

/* Collects what can go from one folder. Returns the milliseconds after which there may be more, or
 * 0. */
static guint gather(Arrivals *arrivals, Folder *folder, GPtrArray *fresh)
{
    gboolean several = remote_features(arrivals->account->remote)->multiappend;
    gint64 now = g_get_monotonic_time();
    AppendBatch *sending = NULL, *doubting = NULL;
    guint64 bytes = 0;
    guint wait = 0;
    for (guint i = 0; i < folder->arrivals->len; i++) {
        Arrival *arrival = folder->arrivals->pdata[i];
        gboolean doubts = arrival->state == ARRIVAL_SENDING;
        if (arrival->state == ARRIVAL_CLOSED)
            arrival_check(arrival);
        if (arrival->batch || (!doubts && arrival->state != ARRIVAL_READY))
            continue;
        gint64 age = (now - arrival->since) / 1000;
        if (!doubts && !arrival->hurry && age < GATHER) {
            wait = MAX(wait, (guint)(GATHER - age));
            continue;
        }
        AppendBatch **batch = doubts ? &doubting : &sending;
        if (*batch && !batch_takes(*batch, arrival, several, bytes))
            *batch = NULL;
        if (!*batch && arrivals->batches->len >= MAX_COMMANDS)
            continue; /* the end of another command comes back here */
        if (!*batch) {
            *batch = batch_new(arrivals, folder, doubts);
            g_ptr_array_add(fresh, *batch);
            bytes = 0;
        }
        bytes += doubts ? 0 : arrival->size;
        arrival->batch = *batch;
        g_ptr_array_add((*batch)->members, arrival);
    }
    return wait;
}

static gboolean send_now(gpointer data)
{
    Arrivals *arrivals = data;
    Account *account = arrivals->account;
    arrivals->timer = 0;
    if (remote_state(account->remote) != REMOTE_ONLINE || folder_changes_rename(account))
        return G_SOURCE_REMOVE;
    guint wait = 0;
    g_autoptr(GPtrArray) fresh = g_ptr_array_new();
    GHashTableIter iter;
    gpointer folder;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &folder))
        wait = MAX(wait, gather(arrivals, folder, fresh));
    for (guint i = 0; i < fresh->len; i++)
        batch_step(fresh->pdata[i]);
    if (wait)
        arrivals_schedule(account, wait);
    return G_SOURCE_REMOVE;
}

void arrivals_schedule(Account *account, guint milliseconds)
{
    Arrivals *arrivals = account->arrivals;
    if (arrivals->timer) {
        GSource *source = g_main_context_find_source_by_id(NULL, arrivals->timer);
        gint64 left = g_source_get_ready_time(source) - g_get_monotonic_time();
        if (left <= (gint64)milliseconds * 1000)
            return;
        g_source_remove(arrivals->timer);
    }
    arrivals->timer = g_timeout_add(milliseconds, send_now, arrivals);
}

void arrivals_kick(Account *account)
{
    arrivals_schedule(account, 0);
    arrivals_settle_all(account);
}
