/* Bodies from the server: many readers of one message share one download, what is wanted in one
 * turn of the loop goes out as one set, and bytes can be read as they come.
 *
 * A large message whose size is certain comes in windows, each asked for when a reader nears the
 * end of the one before: looking at the first lines of 50 MB costs a round trip or two. */
#include "maildrop.h"
#include "watch.h"

#include <string.h>
#include <unistd.h>

#define FIRST_WINDOW (256 * 1024)
#define MAX_WINDOW (8 * 1024 * 1024)
#define KEEP_PART (60 * G_USEC_PER_SEC) /* a half-read large message is kept for so long */
#define MAX_HALTED 64                   /* half-read messages that keep a file open */
#define UNKNOWN_TOTAL G_MAXUINT64

typedef struct Batch {
    Folder *folder;
    RemoteJob *job;
    GArray *uids;
    Download *current; /* receives the bytes; NULL while its uid is not known */
    BodyPart *stray;   /* a body whose uid comes after it */
    GError *error;     /* the disk's, about a body of which the uid never came */
    gboolean windowed;
} Batch;

struct Download {
    Folder *folder;
    MailUid uid;
    BodyPart *part;
    guint64 total;   /* the literal's own size, UNKNOWN_TOTAL before */
    guint64 claimed; /* RFC822.SIZE as it was shown */
    gboolean was_certain;
    gboolean lie;     /* the claimed size is found to be wrong */
    gboolean unsized; /* the server says only at its end how long the body is */
    gboolean windowed;
    guint64 window_start, window; /* what the running or the last command asked for */
    guint64 received;             /* bytes of that window that have come */
    guint64 demand;               /* up to where readers have asked */
    gboolean queued;
    gboolean empty;       /* nothing of it came, and it is to be asked for again */
    gboolean asked_again; /* for that reason */
    gboolean whole;       /* wanted to its end, whoever reads */
    gboolean verifies;
    Batch *batch; /* what fetches it now, or NULL */
    WaitList waiters;
    GError *error;
    gint64 idle_since;
};

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

/* A size that a program may go by, and that is wrong: what was asked must fail once, so that no
 * program takes a cut or padded message for a whole one; then the true size is known. */
static GError *misstated(const Download *download)
{
    if (!download->was_certain || !download->lie)
        return NULL;
    return g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                       "the message does not have the %" G_GUINT64_FORMAT
                       " bytes that the server said before: try again",
                       download->claimed);
}

/* ---- a body arrives ---- */

static void download_complete(Download *download)
{
    Folder *folder = download->folder;
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    guint64 length = body_part_frontier(download->part);
    download->lie = length != download->claimed;
    sizes_set_length(folder, download->uid, length);
    account_batch(account);
    if (!bodies_part_complete(g_steal_pointer(&download->part), download->uid, &error)) {
        g_warning("a message cannot be kept: %s", error->message);
        failure_note(folder, download->uid, error);
        download_end(download, error);
        return;
    }
    account->fetched_bodies++;
    account->fetched_bytes += length;
    if (account->maildrop)
        maildrop_downloaded(account->maildrop);
    error = misstated(download);
    download_end(download, error);
}

/* Where this download's bytes end, as far as is known: beyond it a READ gets nothing. */
static guint64 known_end(const Download *download)
{
    if (download->total != UNKNOWN_TOTAL)
        return download->total;
    return download->was_certain ? download->claimed : UNKNOWN_TOTAL;
}

static gboolean new_part(Download *download)
{
    Folder *folder = download->folder;
    download->part = bodies_part_new(folder->account->bodies, folder->row, &download->error);
    return download->part != NULL;
}

/* Nothing came where more of the message is due: so servers answer for one that another client just
 * removed, and for one that they cannot read. Asked again, once the session has heard of the
 * removal, they do not know the former any more. */
static gboolean came_empty(Download *download, guint64 size)
{
    guint64 from = download->windowed ? download->window_start : 0;
    if (size > 0 || from >= download->claimed)
        return FALSE;
    if (!download->asked_again)
        download->empty = TRUE;
    else if (from == 0)
        g_set_error_literal(&download->error, MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                            "the server sent nothing of a message");
    return download->empty || download->error;
}

/* The last window is never asked to end where the message is said to end, so that before a reader
 * gets the last bytes it shows whether there are more. */
static gboolean begin_window(Download *download, guint64 size)
{
    if (size > download->window || (!download->part && !new_part(download)))
        return FALSE;
    guint64 end = download->window_start + size;
    download->received = 0;
    if (end > download->claimed || (size < download->window && end < download->claimed))
        download->lie = download->whole = TRUE;
    return TRUE;
}

static gboolean begin_whole(Download *download, guint64 size)
{
    g_clear_pointer(&download->part, body_part_free);
    download->total = size; /* REMOTE_SIZE_UNKNOWN is UNKNOWN_TOTAL */
    download->unsized = size == REMOTE_SIZE_UNKNOWN;
    download->lie = !download->unsized && size != download->claimed;
    return new_part(download);
}

static gboolean batch_begin(MailUid uid, guint64 size, gpointer data)
{
    Batch *batch = data;
    Folder *folder = batch->folder;
    g_clear_pointer(&batch->stray, body_part_free);
    batch->current = NULL;
    if (uid == 0) {
        g_clear_error(&batch->error);
        batch->stray = bodies_part_new(folder->account->bodies, folder->row, &batch->error);
        return batch->stray != NULL;
    }
    Download *download = find(folder, uid);
    if (!download || download->batch != batch || download->error || came_empty(download, size))
        return FALSE;
    gboolean wanted =
        download->windowed ? begin_window(download, size) : begin_whole(download, size);
    if (!wanted)
        return FALSE;
    batch->current = download;
    wait_list_wake(&download->waiters, NULL); /* some ask only for the length */
    return TRUE;
}

static void window_bytes(Download *download, const guint8 *bytes, gsize size)
{
    /* After a lost connection a window comes again from its start: what is here stays. */
    guint64 have = body_part_frontier(download->part) - download->window_start;
    guint64 skip = have > download->received ? MIN(have - download->received, size) : 0;
    download->received += size;
    if (size > skip)
        body_part_append(download->part, bytes + skip, size - skip, &download->error);
}

/* A window whose uid came after it. */
static gboolean take_stray_window(Download *download, const BodyPart *stray)
{
    guint64 size = body_part_frontier(stray);
    guint8 bytes[16 * 1024];
    if (!begin_window(download, size))
        return FALSE;
    for (guint64 at = 0; at < size && !download->error;) {
        gssize got = pread(body_part_fd(stray), bytes, MIN(sizeof(bytes), size - at), (off_t)at);
        if (got <= 0)
            g_set_error_literal(&download->error, MAIL_ERROR, MAIL_ERROR_DISK,
                                "a message's body cannot be read back");
        else
            window_bytes(download, bytes, (gsize)got);
        at += (guint64)MAX(got, 0);
    }
    return download->error == NULL;
}

static void batch_bytes(const guint8 *bytes, gsize size, gpointer data)
{
    Batch *batch = data;
    Download *download = batch->current;
    if (batch->stray && !body_part_append(batch->stray, bytes, size, &batch->error))
        g_clear_pointer(&batch->stray, body_part_free);
    if (!download || download->error)
        return;
    if (download->windowed)
        window_bytes(download, bytes, size);
    else if (size > 0)
        body_part_append(download->part, bytes, size, &download->error);
    if (download->error)
        g_warning("a message cannot be stored: %s", download->error->message);
    wait_list_wake(&download->waiters, download->error);
}

static void queue_window(Download *download)
{
    guint64 frontier = download->part ? body_part_frontier(download->part) : 0;
    guint64 next = download->window ? MIN(download->window * 2, MAX_WINDOW) : FIRST_WINDOW;
    download->window_start = frontier;
    download->received = 0;
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

/* A window cut short where the message is said to end is its end; anywhere else only an empty one
 * is. */
static void window_ended(Download *download)
{
    gboolean as_claimed = body_part_frontier(download->part) == download->claimed;
    if (download->received == 0 || (as_claimed && download->received < download->window))
        download_complete(download);
    else
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
    if (stray && came_empty(download, body_part_frontier(stray)))
        return;
    if (stray && download->windowed) {
        if (!take_stray_window(download, stray))
            return;
    } else if (stray) {
        g_clear_pointer(&download->part, body_part_free);
        download->part = g_steal_pointer(&stray);
        download->total = body_part_frontier(download->part);
        download->lie = download->total != download->claimed;
    } else if (!download->part) {
        return;
    }
    if (download->windowed) {
        window_ended(download);
        return;
    }
    if (download->unsized || body_part_frontier(download->part) == download->total)
        download_complete(download);
}

static void batch_free(Batch *batch)
{
    body_part_free(batch->stray);
    g_clear_error(&batch->error);
    g_array_unref(batch->uids);
    g_free(batch);
}

/* The next window, if somebody wants it; else it rests, with its file open: not too many do. */
static void go_on(Download *download)
{
    Account *account = download->folder->account;
    if (wants_more(download)) {
        queue_window(download);
        return;
    }
    download->idle_since = g_get_monotonic_time();
    g_queue_push_tail(&account->halted, download);
    if (account->halted.length > MAX_HALTED)
        download_end(g_queue_peek_head(&account->halted), NULL);
}

static void ask_again(Download *download)
{
    download->empty = FALSE;
    download->asked_again = TRUE;
    if (download->windowed)
        queue_window(download);
    else
        queue_download(download);
}

/* What of the batch did not come: refused, unreachable, or not there any more. */
static void batch_leftover(Batch *batch, MailUid uid, const GError *error)
{
    Download *download = find(batch->folder, uid);
    if (!download || download->batch != batch)
        return;
    download->batch = NULL;
    if (!error && !download->error && download->empty) {
        ask_again(download);
        return;
    }
    if (!error && !download->error && download->windowed && download->received > 0) {
        go_on(download);
        return;
    }
    const GError *cause = download->error ? download->error : error ? error : batch->error;
    g_autoptr(GError) why = cause
                                ? g_error_copy(cause)
                                : g_error_new_literal(MAIL_ERROR, MAIL_ERROR_GONE,
                                                      "the message is not on the server any more");
    if (!g_error_matches(why, MAIL_ERROR, MAIL_ERROR_OFFLINE))
        failure_note(batch->folder, uid, why);
    if (!cause)
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
    gboolean fresh = FALSE;
    for (guint i = 0; i < batch->uids->len; i++) {
        MailUid uid = g_array_index(batch->uids, MailUid, i);
        mail_uid_set_add(set, uid, uid);
        fresh |= find(folder, uid)->asked_again;
    }
    RemoteFetch what = {
        .mailbox = folder->name, .uidvalidity = folder->uidvalidity, .uids = set, .fresh = fresh};
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
            if (!batch->windowed) /* a large message goes alone; the open batch waits for more */
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
    if (download)
        return download;
    const Message *message = account_find(folder, uid);
    if (!message)
        return NULL;
    download = g_new0(Download, 1);
    download->folder = folder;
    download->uid = uid;
    download->total = UNKNOWN_TOTAL;
    download->claimed = message->size;
    download->was_certain = sizes_believed(folder->account, message);
    download->windowed = download->was_certain && !prefetch_takes_whole(folder, message) &&
                         !remote_features(folder->account->remote)->whole_bodies;
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
        sizes_set_length(folder, uid, length);
}

AccountReply downloads_read(Folder *folder, MailUid uid, guint64 offset, gsize size, Waiter *waiter,
                            BodySpan *span, GError **error)
{
    Account *account = folder->account;
    guint64 length;
    if (offset == 0 && bodies_has(account->bodies, folder->row, uid, &length))
        prefetch_read(folder, uid); /* what is cached may be a part of a walk, too */
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
    if (offset == 0) {
        watch_use(folder);
        prefetch_read(folder, uid);
    }
    guint64 end = known_end(download);
    GError *wrong = misstated(download);
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
    /* Before a reader gets the last bytes of one whose length is not known it shows whether there
     * are more than were claimed. */
    gboolean last = download->unsized && upto >= end;
    if (download->part && body_part_frontier(download->part) >= upto && !last) {
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
    /* From now on the kernel goes by what it is told here. */
    account_find(folder, uid)->flags &= ~(guint32)MESSAGE_SIZE_SHOWN;
    Download *download = obtain(folder, uid);
    prefetch_read(folder, uid);
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

gboolean downloads_active(Folder *folder, MailUid uid)
{
    const Download *download = find(folder, uid);
    return download && (download->batch || download->queued);
}

AccountReply downloads_follow(Folder *folder, MailUid uid, Waiter *waiter, guint64 *have,
                              GError **error)
{
    Account *account = folder->account;
    if (bodies_has(account->bodies, folder->row, uid, have))
        return ACCOUNT_READY;
    const GError *failure = failure_now(folder, uid);
    Download *download = failure ? NULL : obtain(folder, uid);
    if (!download) {
        g_propagate_error(error, failure ? g_error_copy(failure) : gone_error());
        return ACCOUNT_FAILED;
    }
    *have = download->part ? body_part_frontier(download->part) : 0;
    download->demand = MAX(download->demand, *have + 1);
    if (download->windowed && !download->batch && !download->queued) {
        g_queue_remove(&account->halted, download);
        queue_window(download);
    }
    wait_list_add(&download->waiters, waiter);
    return ACCOUNT_WAIT;
}

void downloads_ahead(Folder *folder, MailUid uid)
{
    guint64 length;
    if (!find(folder, uid) && !failure_now(folder, uid) &&
        !bodies_has(folder->account->bodies, folder->row, uid, &length))
        obtain(folder, uid);
}

void downloads_measure(Folder *folder, MailUid uid)
{
    guint64 known;
    if (bodies_has(folder->account->bodies, folder->row, uid, &known)) {
        confirm_length(folder, uid, known); /* it was moved here with its body */
        return;
    }
    Download *download = find(folder, uid) ? NULL : obtain(folder, uid);
    if (!download)
        return;
    download->verifies = TRUE;
    folder->verifying++;
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
