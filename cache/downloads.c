/* Bodies from the server: many readers of one message share one download, what is wanted in one
 * turn of the loop goes out as one set, and bytes can be read as they come.
 *
 * A large message whose size is certain comes in windows, each asked for when a reader nears the
 * end of the one before: looking at the first lines of 50 MB costs a round trip or two. */
#include "account-private.h"

#include <string.h>

#define WINDOWED_FROM (1024 * 1024)
#define FIRST_WINDOW (256 * 1024)
#define MAX_WINDOW (8 * 1024 * 1024)
#define KEEP_PART (60 * G_USEC_PER_SEC) /* a half-read large message is kept for so long */
#define FAIL_FOR (3 * G_USEC_PER_SEC)   /* the kernel repeats a failed READ at once */
#define SMALL (64 * 1024)
#define UNKNOWN_TOTAL G_MAXUINT64

typedef struct Batch {
    Folder *folder;
    RemoteJob *job;
    GArray *uids;
    Download *current; /* receives the bytes; NULL while its uid is not known */
    BodyPart *stray;   /* a body whose uid comes after it */
    gboolean windowed;
} Batch;

struct Download {
    Folder *folder;
    MailUid uid;
    BodyPart *part;
    guint64 total;   /* the literal's own size, UNKNOWN_TOTAL before */
    guint64 claimed; /* RFC822.SIZE as it was shown */
    gboolean was_certain;
    gboolean windowed;
    guint64 window_start, window; /* what the running or the last command asked for */
    guint64 received;             /* bytes of that window that have come */
    guint64 demand;               /* up to where readers have asked */
    gboolean queued;
    gboolean whole; /* wanted to its end, whoever reads */
    gboolean verifies;
    Batch *batch; /* what fetches it now, or NULL */
    WaitList waiters;
    GError *error;
    gint64 idle_since;
};

typedef struct {
    GError *error;
    gint64 until; /* monotonic */
} Failure;

static void queue_download(Download *download);

/* ---- life ---- */

static Download *find(Folder *folder, MailUid uid)
{
    return g_hash_table_lookup(folder->downloads, GUINT_TO_POINTER(uid));
}

static void download_free(Download *download)
{
    body_part_free(download->part);
    g_clear_error(&download->error);
    g_free(download);
}

static void verified_one(Folder *folder)
{
    if (--folder->verifying == 0)
        wait_list_wake(&folder->sync_waiters, NULL);
}

/* Takes it off the folder's lists, then tells who waits; `error` NULL: it is in the cache now. */
static void download_end(Download *download, const GError *error)
{
    Folder *folder = download->folder;
    gboolean verifies = download->verifies;
    g_hash_table_remove(folder->downloads, GUINT_TO_POINTER(download->uid));
    if (download->queued)
        g_queue_remove(&folder->account->wanted, download);
    g_queue_remove(&folder->account->halted, download);
    if (download->batch && download->batch->current == download)
        download->batch->current = NULL;
    wait_list_wake(&download->waiters, error);
    download_free(download);
    if (verifies)
        verified_one(folder);
}

/* ---- what is learnt of sizes ---- */

static void remember_sizes(Account *account)
{
    static const char *const names[] = {"unknown", "certain", "wrong"};
    g_autoptr(GError) error = NULL;
    account_batch(account);
    if (!index_set_meta(account->index, "sizes", names[account->sizes], &error))
        g_warning("the index cannot be written: %s", error->message);
}

static void learn_size(Folder *folder, MailUid uid, guint64 length, guint64 claimed)
{
    Account *account = folder->account;
    if (length != claimed && account->sizes != SIZES_WRONG) {
        g_message("the server misstates sizes (%" G_GUINT64_FORMAT
                  " for a message of %" G_GUINT64_FORMAT " bytes): they are checked from now on",
                  claimed, length);
        account->sizes = SIZES_WRONG;
        remember_sizes(account);
    }
    if (length == claimed && account->sizes == SIZES_UNKNOWN &&
        ++account->sizes_agreed >= SIZES_SAMPLE) {
        account->sizes = SIZES_CERTAIN;
        remember_sizes(account);
    }
}

static void set_length(Folder *folder, MailUid uid, guint64 length)
{
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    Message *message = mailbox_find(folder_mailbox(folder), uid);
    Message *orphan = g_hash_table_lookup(folder->orphans, GUINT_TO_POINTER(uid));
    if (orphan) {
        orphan->size = length;
        orphan->flags |= MESSAGE_LENGTH_KNOWN;
    }
    if (!message || (message->flags & MESSAGE_LENGTH_KNOWN))
        return;
    gboolean differs = message->size != length;
    learn_size(folder, uid, length, message->size);
    message->size = length;
    message->flags |= MESSAGE_LENGTH_KNOWN;
    account_batch(account);
    if (!index_set_length(account->index, folder->row, uid, (gint64)length, &error))
        g_warning("the index cannot be written: %s", error->message);
    if (differs)
        account->funcs->changed(folder, uid, account->data);
}

/* A size that the kernel was told as certain, and that is not: what was asked must fail once, so
 * that no program takes a cut or padded message for a whole one; then the true size is known. */
static GError *misstated(const Download *download, guint64 length)
{
    if (!download->was_certain || length == download->claimed)
        return NULL;
    return g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                       "the message has %" G_GUINT64_FORMAT " bytes, not %" G_GUINT64_FORMAT
                       " as the server said before: try again",
                       length, download->claimed);
}

/* ---- failures ---- */

void failure_free(gpointer data)
{
    Failure *failure = data;
    g_error_free(failure->error);
    g_free(failure);
}

static void failure_note(Folder *folder, MailUid uid, const GError *error)
{
    Failure *failure = g_new0(Failure, 1);
    failure->error = g_error_copy(error);
    failure->until = g_get_monotonic_time() + FAIL_FOR;
    g_hash_table_insert(folder->failures, GUINT_TO_POINTER(uid), failure);
}

static const GError *failure_now(Folder *folder, MailUid uid)
{
    Failure *failure = g_hash_table_lookup(folder->failures, GUINT_TO_POINTER(uid));
    if (failure && g_get_monotonic_time() < failure->until)
        return failure->error;
    if (failure)
        g_hash_table_remove(folder->failures, GUINT_TO_POINTER(uid));
    return NULL;
}

/* ---- a body arrives ---- */

static void download_complete(Download *download)
{
    Folder *folder = download->folder;
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    guint64 length = body_part_frontier(download->part);
    if (length == 0 && download->claimed > 0) {
        /* What a server answers for a message that it cannot read, or that is just going. */
        g_set_error_literal(&error, MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                            "the server sent nothing of a message");
        failure_note(folder, download->uid, error);
        download_end(download, error);
        return;
    }
    set_length(folder, download->uid, length);
    account_batch(account);
    if (!bodies_part_complete(g_steal_pointer(&download->part), download->uid, &error)) {
        g_warning("a message cannot be kept: %s", error->message);
        download_end(download, error);
        return;
    }
    account->fetched_bodies++;
    account->fetched_bytes += length;
    error = misstated(download, length);
    download_end(download, error);
}

/* Where this download's bytes end, as far as is known: beyond it a READ gets nothing. */
static guint64 known_end(const Download *download)
{
    if (download->total != UNKNOWN_TOTAL)
        return download->total;
    return download->was_certain ? download->claimed : UNKNOWN_TOTAL;
}

static gboolean begin_window(Download *download, guint64 size)
{
    g_autoptr(GError) error = NULL;
    if (size > download->window)
        return FALSE;
    download->received = 0;
    if (!download->part)
        download->part =
            bodies_part_new(download->folder->account->bodies, download->folder->row, &error);
    if (!download->part)
        g_warning("a message cannot be stored: %s", error->message);
    return download->part != NULL;
}

static gboolean begin_whole(Download *download, guint64 size)
{
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&download->part, body_part_free);
    download->part =
        bodies_part_new(download->folder->account->bodies, download->folder->row, &error);
    if (!download->part) {
        download->error = g_steal_pointer(&error);
        return FALSE;
    }
    download->total = size;
    return TRUE;
}

static gboolean batch_begin(MailUid uid, guint64 size, gpointer data)
{
    Batch *batch = data;
    Folder *folder = batch->folder;
    g_clear_pointer(&batch->stray, body_part_free);
    batch->current = NULL;
    if (uid == 0) {
        batch->stray = bodies_part_new(folder->account->bodies, folder->row, NULL);
        return batch->stray != NULL;
    }
    Download *download = find(folder, uid);
    if (!download || download->batch != batch || download->error)
        return FALSE;
    gboolean wanted =
        download->windowed ? begin_window(download, size) : begin_whole(download, size);
    if (!wanted)
        return FALSE;
    batch->current = download;
    if (!download->windowed)
        wait_list_wake(&download->waiters, NULL); /* some ask only for the length */
    return TRUE;
}

static void batch_bytes(const guint8 *bytes, gsize size, gpointer data)
{
    Batch *batch = data;
    Download *download = batch->current;
    if (batch->stray && !body_part_append(batch->stray, bytes, size, NULL))
        g_clear_pointer(&batch->stray, body_part_free);
    if (!download || download->error)
        return;
    if (download->windowed) {
        /* After a lost connection a window comes again from its start: what is here stays. */
        guint64 have = body_part_frontier(download->part) - download->window_start;
        guint64 skip = have > download->received ? MIN(have - download->received, size) : 0;
        download->received += size;
        bytes += skip;
        size -= skip;
    }
    if (size > 0 && !body_part_append(download->part, bytes, size, &download->error))
        g_warning("a message cannot be stored: %s", download->error->message);
    wait_list_wake(&download->waiters, download->error);
}

static void queue_window(Download *download)
{
    guint64 frontier = download->part ? body_part_frontier(download->part) : 0;
    guint64 next = download->window ? MIN(download->window * 2, MAX_WINDOW) : FIRST_WINDOW;
    download->window_start = frontier;
    /* Never just to the claimed end: more than that must be able to show. */
    download->window = frontier + next == download->claimed ? next + 1 : next;
    queue_download(download);
}

/* Is a reader so near the end of what is here that the next window should be on its way? */
static gboolean wants_more(const Download *download)
{
    guint64 frontier = download->part ? body_part_frontier(download->part) : 0;
    return download->whole || download->demand > frontier ||
           (download->window > FIRST_WINDOW && download->demand + download->window > frontier);
}

static void window_ended(Download *download)
{
    gboolean at_end = download->received < download->window ||
                      body_part_frontier(download->part) == download->claimed;
    if (at_end) {
        download_complete(download);
        return;
    }
    wait_list_wake(&download->waiters, NULL);
}

static void batch_end(MailUid uid, gpointer data)
{
    Batch *batch = data;
    g_autoptr(BodyPart) stray = g_steal_pointer(&batch->stray);
    Download *download = batch->current ? batch->current : uid ? find(batch->folder, uid) : NULL;
    gboolean ours = download && download->batch == batch && download->uid == uid;
    batch->current = NULL;
    if (!ours || download->error)
        return; /* batch_done tells who waits */
    if (stray && !download->windowed) {
        g_clear_pointer(&download->part, body_part_free);
        download->part = g_steal_pointer(&stray);
        download->total = body_part_frontier(download->part);
    } else if (!download->part) {
        return;
    }
    if (download->windowed) {
        window_ended(download);
        return;
    }
    if (body_part_frontier(download->part) == download->total)
        download_complete(download);
}

static void batch_free(Batch *batch)
{
    body_part_free(batch->stray);
    g_array_unref(batch->uids);
    g_free(batch);
}

/* What of the batch did not come: refused, unreachable, or not there any more. */
static void batch_leftover(Batch *batch, MailUid uid, const GError *error)
{
    Download *download = find(batch->folder, uid);
    if (!download || download->batch != batch)
        return;
    download->batch = NULL;
    if (!error && !download->error && download->windowed && download->part &&
        download->received > 0) {
        if (wants_more(download)) {
            queue_window(download);
        } else {
            download->idle_since = g_get_monotonic_time();
            g_queue_push_tail(&batch->folder->account->halted, download);
        }
        return;
    }
    g_autoptr(GError) why = download->error ? g_error_copy(download->error)
                            : error
                                ? g_error_copy(error)
                                : g_error_new_literal(MAIL_ERROR, MAIL_ERROR_GONE,
                                                      "the message is not on the server any more");
    if (!g_error_matches(why, MAIL_ERROR, MAIL_ERROR_OFFLINE))
        failure_note(batch->folder, uid, why);
    if (!error && !download->error)
        batch->folder->dirty = TRUE; /* the listing is older than that */
    download_end(download, why);
}

static void batch_done(const GError *error, gpointer data)
{
    Batch *batch = data;
    for (guint i = 0; i < batch->uids->len; i++)
        batch_leftover(batch, g_array_index(batch->uids, MailUid, i), error);
    g_ptr_array_remove_fast(batch->folder->account->batches, batch);
    batch_free(batch);
}

/* ---- sending ---- */

#define MAX_BATCH 200 /* messages in one command */

static void batch_send(Batch *batch)
{
    static const RemoteFetchFuncs funcs = {batch_begin, batch_bytes, batch_end, batch_done};
    Folder *folder = batch->folder;
    g_autoptr(GArray) set = mail_uid_set_new();
    for (guint i = 0; i < batch->uids->len; i++) {
        MailUid uid = g_array_index(batch->uids, MailUid, i);
        mail_uid_set_add(set, uid, uid);
    }
    RemoteFetch what = {.mailbox = folder->name, .uidvalidity = folder->uidvalidity, .uids = set};
    if (batch->windowed) {
        Download *download = find(folder, g_array_index(batch->uids, MailUid, 0));
        what.window = TRUE;
        what.offset = download->window_start;
        what.length = download->window;
    }
    g_ptr_array_add(folder->account->batches, batch);
    batch->job = remote_fetch(folder->account->remote, &what, &funcs, batch);
}

static Batch *batch_new(Folder *folder, gboolean windowed)
{
    Batch *batch = g_new0(Batch, 1);
    batch->folder = folder;
    batch->windowed = windowed;
    batch->uids = g_array_new(FALSE, FALSE, sizeof(MailUid));
    return batch;
}

static gboolean send_wanted(gpointer data)
{
    Account *account = data;
    account->download_source = 0;
    g_autoptr(GHashTable) open = g_hash_table_new(NULL, NULL); /* Folder -> Batch */
    Download *download;
    while ((download = g_queue_pop_head(&account->wanted))) {
        Folder *folder = download->folder;
        Batch *batch = download->windowed ? NULL : g_hash_table_lookup(open, folder);
        if (!batch)
            batch = batch_new(folder, download->windowed);
        download->queued = FALSE;
        download->batch = batch;
        g_array_append_val(batch->uids, download->uid);
        if (batch->windowed || batch->uids->len == MAX_BATCH) {
            g_hash_table_remove(open, folder);
            batch_send(batch);
        } else {
            g_hash_table_insert(open, folder, batch);
        }
    }
    GHashTableIter iter;
    gpointer batch;
    g_hash_table_iter_init(&iter, open);
    while (g_hash_table_iter_next(&iter, NULL, &batch))
        batch_send(batch);
    return G_SOURCE_REMOVE;
}

static void queue_download(Download *download)
{
    Account *account = download->folder->account;
    download->queued = TRUE;
    g_queue_push_tail(&account->wanted, download);
    if (!account->download_source)
        account->download_source = g_idle_add_full(G_PRIORITY_DEFAULT, send_wanted, account, NULL);
}

/* NULL: there is no such message. */
static Download *obtain(Folder *folder, MailUid uid)
{
    Download *download = find(folder, uid);
    MessageInfo info;
    if (download)
        return download;
    if (!account_message(folder->account, folder, uid, &info))
        return NULL;
    download = g_new0(Download, 1);
    download->folder = folder;
    download->uid = uid;
    download->total = UNKNOWN_TOTAL;
    download->claimed = info.size;
    download->was_certain = info.certain;
    download->windowed = info.certain && info.size >= WINDOWED_FROM;
    g_hash_table_insert(folder->downloads, GUINT_TO_POINTER(uid), download);
    if (download->windowed)
        queue_window(download);
    else
        queue_download(download);
    return download;
}

/* ---- the door ---- */

static GError *gone_error(void)
{
    return g_error_new_literal(MAIL_ERROR, MAIL_ERROR_GONE, "there is no such message");
}

static void span_set(BodySpan *span, int fd, guint64 offset, gsize size, guint64 end)
{
    span->fd = fd;
    span->offset = offset;
    span->size = offset >= end ? 0 : (gsize)MIN((guint64)size, end - offset);
}

/* A body is here, but what was shown of its size is not certain: now it is. */
static void confirm_length(Folder *folder, MailUid uid, guint64 length)
{
    Message *message = mailbox_find(folder_mailbox(folder), uid);
    if (message && !(message->flags & MESSAGE_LENGTH_KNOWN))
        set_length(folder, uid, length);
}

AccountReply account_read(Account *account, Folder *folder, MailUid uid, guint64 offset, gsize size,
                          Waiter *waiter, BodySpan *span, GError **error)
{
    guint64 length;
    int fd = bodies_fd(account->bodies, folder->row, uid, &length);
    if (fd >= 0) {
        confirm_length(folder, uid, length);
        span_set(span, fd, offset, size, length);
        return ACCOUNT_READY;
    }
    const GError *failure = failure_now(folder, uid);
    if (failure) {
        g_propagate_error(error, g_error_copy(failure));
        return ACCOUNT_FAILED;
    }
    Download *download = obtain(folder, uid);
    if (!download) {
        g_propagate_error(error, gone_error());
        return ACCOUNT_FAILED;
    }
    guint64 end = known_end(download);
    GError *wrong = download->total == UNKNOWN_TOTAL ? NULL : misstated(download, download->total);
    if (wrong) {
        g_propagate_error(error, wrong);
        return ACCOUNT_FAILED;
    }
    guint64 upto = MIN(offset + size, end);
    download->demand = MAX(download->demand, upto);
    if (download->windowed && !download->batch && !download->queued && wants_more(download)) {
        g_queue_remove(&account->halted, download);
        queue_window(download);
    }
    if (download->part && body_part_frontier(download->part) >= upto) {
        span_set(span, body_part_fd(download->part), offset, size, end);
        return ACCOUNT_READY;
    }
    wait_list_add(&download->waiters, waiter);
    return ACCOUNT_WAIT;
}

AccountReply account_length(Account *account, Folder *folder, MailUid uid, Waiter *waiter,
                            guint64 *length, GError **error)
{
    MessageInfo info;
    if (bodies_has(account->bodies, folder->row, uid, length)) {
        confirm_length(folder, uid, *length);
        return ACCOUNT_READY;
    }
    const GError *failure = failure_now(folder, uid);
    if (failure || !account_message(account, folder, uid, &info)) {
        g_propagate_error(error, failure ? g_error_copy(failure) : gone_error());
        return ACCOUNT_FAILED;
    }
    *length = info.size;
    if (info.certain)
        return ACCOUNT_READY;
    Download *download = obtain(folder, uid);
    if (download->total != UNKNOWN_TOTAL) {
        *length = download->total;
        return ACCOUNT_READY;
    }
    wait_list_add(&download->waiters, waiter);
    return ACCOUNT_WAIT;
}

gboolean downloads_secure(Folder *folder, MailUid uid)
{
    guint64 length;
    if (bodies_has(folder->account->bodies, folder->row, uid, &length) || failure_now(folder, uid))
        return TRUE;
    Download *download = obtain(folder, uid);
    if (!download)
        return TRUE;
    download->whole = TRUE;
    if (download->windowed && !download->batch && !download->queued) {
        g_queue_remove(&folder->account->halted, download);
        queue_window(download);
    }
    return FALSE;
}

typedef struct {
    guint64 size;
    MailUid uid;
} Candidate;

static gint smaller(gconstpointer a, gconstpointer b)
{
    const Candidate *first = a, *second = b;
    return first->size < second->size ? -1 : first->size > second->size;
}

/* Before the sizes of a server that is not known yet are shown, some small bodies are measured. */
void downloads_verify(Folder *folder)
{
    Account *account = folder->account;
    if (account->sizes != SIZES_UNKNOWN || folder->verifying > 0)
        return;
    g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
    Mailbox *mailbox = folder_mailbox(folder);
    for (guint i = 0; i < mailbox_count(mailbox); i++) {
        const Message *message = mailbox_at(mailbox, i);
        Candidate candidate = {message->size, message->uid};
        if (message->size <= SMALL && !(message->flags & MESSAGE_LENGTH_KNOWN) &&
            message_visible(folder, message) && !find(folder, message->uid))
            g_array_append_val(candidates, candidate);
    }
    g_array_sort(candidates, smaller);
    for (guint i = 0; i < candidates->len && i < SIZES_SAMPLE; i++) {
        Download *download = obtain(folder, g_array_index(candidates, Candidate, i).uid);
        if (!download)
            continue;
        download->verifies = TRUE;
        folder->verifying++;
    }
}

void downloads_drop_halted(Account *account)
{
    gint64 old = g_get_monotonic_time() - KEEP_PART;
    Download *download;
    while ((download = g_queue_peek_head(&account->halted)) && download->idle_since < old)
        download_end(download, NULL);
}

void downloads_cancel(Folder *folder)
{
    Account *account = folder->account;
    g_autoptr(GError) error = g_error_new_literal(
        MAIL_ERROR, MAIL_ERROR_STALE, "the folder is not what it was when the message was opened");
    for (guint i = account->batches ? account->batches->len : 0; i-- > 0;) {
        Batch *batch = account->batches->pdata[i];
        if (batch->folder != folder)
            continue;
        remote_cancel(account->remote, batch->job);
        g_ptr_array_remove_index_fast(account->batches, i);
        batch_free(batch);
    }
    g_autoptr(GList) downloads = g_hash_table_get_values(folder->downloads);
    for (GList *item = downloads; item; item = item->next) {
        Download *download = item->data;
        download->batch = NULL;
        download_end(download, error);
    }
}
