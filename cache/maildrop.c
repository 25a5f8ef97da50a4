#include "maildrop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "mime.h"

#define GATHER 1000 /* milliseconds: what is downloaded in one go is flushed in one go */
#define DAY (24 * 3600)
#define FILL_BELOW 100 /* downloads under way, below which more are begun ... */
#define FILL_TO 300    /* ... up to this */
#define MAX_FLUSH 4096 /* bodies in one go ... */
#define MANY 32        /* ... from which on the whole file system is flushed rather than each */
#define MAX_HEADER (256 * 1024)

typedef struct Flush Flush;

struct Maildrop {
    Account *account;
    Folder *inbox;
    GArray *present;      /* uids: what the server has, by the last listing and our removals */
    GHashTable *flushed;  /* uid -> when it was downloaded, in seconds since 1970 */
    GThreadPool *flusher; /* one thread */
    Flush *flush;         /* under way, or NULL */
    RemoteJob *removal;   /* under way, or NULL */
    GArray *removed;      /* uids of that */
    MailUid filled;       /* fetch=all: up to here all is here or was asked for */
    gboolean pruned;      /* of identities, once a mount */
    guint poll_timer, flush_timer;
};

/* ---- uids ---- */

gboolean maildrop_identify(Maildrop *maildrop, const char *const *names, guint count, MailUid *uids,
                           GError **error)
{
    /* A number that a failing transaction took back would be given to another message as well. */
    account_batch_end(maildrop->account);
    return index_identify(maildrop->account->index, names, count, uids, error);
}

/* ---- flushing bodies to disk, on a thread that sees descriptors and numbers only ---- */

typedef struct {
    MailUid uid;
    guint64 length;
    gint64 written; /* when, in seconds since 1970 */
    gboolean safe;  /* it is on stable storage, whole */
} FlushBody;

struct Flush {
    Maildrop *maildrop;
    int directory, wal;
    GArray *bodies; /* of FlushBody */
};

static void flush_free(Flush *flush)
{
    if (flush->directory >= 0)
        close(flush->directory);
    if (flush->wal >= 0)
        close(flush->wal);
    g_array_unref(flush->bodies);
    g_free(flush);
}

static gboolean fsync_at(int directory, const char *name)
{
    int fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return FALSE;
    gboolean done = fsync(fd) == 0;
    close(fd);
    return done;
}

static void flush_body(int directory, FlushBody *body, gboolean flushed)
{
    char name[16];
    struct stat status;
    g_snprintf(name, sizeof(name), "%" G_GUINT32_FORMAT, body->uid);
    body->safe = (flushed || fsync_at(directory, name)) &&
                 fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
                 S_ISREG(status.st_mode) && (guint64)status.st_size == body->length;
    if (body->safe)
        body->written = status.st_mtime;
}

static gboolean flush_over(gpointer data);

static void flush_run(gpointer data, gpointer unused)
{
    Flush *flush = data;
    gboolean flushed = flush->bodies->len >= MANY && syncfs(flush->directory) == 0;
    for (guint i = 0; i < flush->bodies->len; i++)
        flush_body(flush->directory, &g_array_index(flush->bodies, FlushBody, i), flushed);
    /* Their names, and what the index says of them. */
    if (fsync(flush->directory) != 0 || flush->wal < 0 || fdatasync(flush->wal) != 0)
        for (guint i = 0; i < flush->bodies->len; i++)
            g_array_index(flush->bodies, FlushBody, i).safe = FALSE;
    g_idle_add_full(G_PRIORITY_DEFAULT, flush_over, flush, NULL);
}

static gboolean flush_due(gpointer data);

static void schedule_flush(Maildrop *maildrop)
{
    if (!maildrop->flush_timer && !maildrop->flush)
        maildrop->flush_timer = g_timeout_add(GATHER, flush_due, maildrop);
}

static gboolean is_flushed(const Maildrop *maildrop, MailUid uid)
{
    return g_hash_table_contains(maildrop->flushed, GUINT_TO_POINTER(uid));
}

static GArray *bodies_to_flush(Maildrop *maildrop)
{
    GArray *bodies = g_array_new(FALSE, TRUE, sizeof(FlushBody));
    Mailbox *mailbox = folder_mailbox(maildrop->inbox);
    for (guint i = 0; i < mailbox_count(mailbox) && bodies->len < MAX_FLUSH; i++) {
        FlushBody body = {.uid = mailbox_at(mailbox, i)->uid};
        if (!is_flushed(maildrop, body.uid) &&
            bodies_has(maildrop->account->bodies, maildrop->inbox->row, body.uid, &body.length))
            g_array_append_val(bodies, body);
    }
    return bodies;
}

static void remove_due(Maildrop *maildrop);

static gboolean flush_due(gpointer data)
{
    Maildrop *maildrop = data;
    Account *account = maildrop->account;
    maildrop->flush_timer = 0;
    g_autoptr(GArray) bodies = bodies_to_flush(maildrop);
    int directory = bodies->len > 0 ? bodies_directory(account->bodies, maildrop->inbox->row) : -1;
    if (directory < 0) {
        remove_due(maildrop);
        return G_SOURCE_REMOVE;
    }
    account_batch_end(account);
    Flush *flush = g_new0(Flush, 1);
    flush->maildrop = maildrop;
    flush->directory = directory;
    flush->wal = account->batch_failed ? -1 : index_wal_fd(account->index);
    flush->bodies = g_steal_pointer(&bodies);
    maildrop->flush = flush;
    fault_point("flush");
    g_thread_pool_push(maildrop->flusher, flush, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean flush_over(gpointer data)
{
    Flush *flush = data;
    Maildrop *maildrop = flush->maildrop;
    gboolean all = flush->bodies->len < MAX_FLUSH;
    maildrop->flush = NULL;
    fault_point("flushed");
    for (guint i = 0; i < flush->bodies->len; i++) {
        const FlushBody *body = &g_array_index(flush->bodies, FlushBody, i);
        if (body->safe)
            g_hash_table_insert(maildrop->flushed, GUINT_TO_POINTER(body->uid),
                                GSIZE_TO_POINTER((gsize)body->written));
    }
    flush_free(flush);
    if (!all)
        schedule_flush(maildrop);
    remove_due(maildrop);
    return G_SOURCE_REMOVE;
}

/* ---- leave=: removing from the server what is safe here ---- */

static gboolean is_due(const Maildrop *maildrop, MailUid uid)
{
    gpointer written;
    if (!g_hash_table_lookup_extended(maildrop->flushed, GUINT_TO_POINTER(uid), NULL, &written))
        return FALSE;
    gint64 age = g_get_real_time() / G_USEC_PER_SEC - (gint64)GPOINTER_TO_SIZE(written);
    guint leave = maildrop->account->config.leave;
    return leave == 0 || age >= (gint64)leave * DAY;
}

static GArray *uids_due(Maildrop *maildrop)
{
    GArray *due = mail_uid_set_new();
    Mailbox *mailbox = folder_mailbox(maildrop->inbox);
    for (guint i = 0; i < mailbox_count(mailbox); i++) {
        MailUid uid = mailbox_at(mailbox, i)->uid;
        if (is_due(maildrop, uid) && mail_uid_set_contains(maildrop->present, uid) &&
            bodies_has(maildrop->account->bodies, maildrop->inbox->row, uid, NULL))
            mail_uid_set_add(due, uid, uid);
    }
    return due;
}

static void removal_done(const GError *error, gpointer data)
{
    Maildrop *maildrop = data;
    g_autoptr(GArray) removed = g_steal_pointer(&maildrop->removed);
    maildrop->removal = NULL;
    if (error) {
        /* The next listing shows what is left to do. */
        g_message("messages stay on the server for now: %s", error->message);
        return;
    }
    for (guint i = 0; i < removed->len; i++) {
        const MailUidRange *range = &g_array_index(removed, MailUidRange, i);
        for (guint64 uid = range->first; uid <= range->last; uid++)
            mail_uid_set_remove(maildrop->present, (MailUid)uid);
    }
    remove_due(maildrop); /* what became due meanwhile */
}

static void remove_due(Maildrop *maildrop)
{
    Account *account = maildrop->account;
    if (account->config.leave == ACCOUNT_LEAVE_ALWAYS || account->config.read_only ||
        maildrop->removal || remote_state(account->remote) != REMOTE_ONLINE)
        return;
    g_autoptr(GArray) due = uids_due(maildrop);
    if (due->len == 0)
        return;
    RemoteStore what = {
        .mailbox = maildrop->inbox->name, .uidvalidity = maildrop->inbox->uidvalidity, .uids = due};
    maildrop->removed = g_array_ref(due);
    maildrop->removal = remote_expunge(account->remote, &what, removal_done, maildrop);
}

/* ---- fetch=all ---- */

static void fill(Maildrop *maildrop)
{
    Folder *inbox = maildrop->inbox;
    Mailbox *mailbox = folder_mailbox(inbox);
    if (!maildrop->account->config.fetch_all || g_hash_table_size(inbox->downloads) >= FILL_BELOW ||
        maildrop->filled == G_MAXUINT32)
        return;
    guint at = mailbox_position(mailbox, maildrop->filled + 1);
    for (; at < mailbox_count(mailbox) && g_hash_table_size(inbox->downloads) < FILL_TO; at++) {
        const Message *message = mailbox_at(mailbox, at);
        maildrop->filled = message->uid;
        if (message_visible(inbox, message) &&
            mail_uid_set_contains(maildrop->present, message->uid))
            downloads_ahead(inbox, message->uid);
    }
}

/* ---- what happens ---- */

gboolean maildrop_keeps(Maildrop *maildrop, MailUid uid)
{
    return bodies_has(maildrop->account->bodies, maildrop->inbox->row, uid, NULL);
}

void maildrop_listed(Maildrop *maildrop, const GArray *uids)
{
    Account *account = maildrop->account;
    g_autoptr(GError) error = NULL;
    g_array_unref(maildrop->present);
    maildrop->present = mail_uid_set_copy(uids);
    if (!maildrop->pruned && !account->batch_failed) {
        maildrop->pruned = TRUE;
        account_batch(account);
        if (!index_prune_identities(account->index, maildrop->inbox->row, &error))
            account_index_failed(account, error);
    }
    maildrop->filled = 0;
    fill(maildrop);
    schedule_flush(maildrop);
}

void maildrop_downloaded(Maildrop *maildrop)
{
    schedule_flush(maildrop);
    fill(maildrop);
}

static gboolean poll_now(gpointer data)
{
    Maildrop *maildrop = data;
    maildrop->inbox->dirty = TRUE;
    account_refresh_behind(maildrop->account, maildrop->inbox);
    return G_SOURCE_CONTINUE;
}

void maildrop_online(Maildrop *maildrop)
{
    if (maildrop->inbox->refreshed == 0)
        account_refresh_behind(maildrop->account, maildrop->inbox);
}

/* ---- bodies that the index does not know ---- */

/* What a listing would have told of it. */
static gboolean describe_body(Maildrop *maildrop, const BodyStray *stray, GError **error)
{
    g_autofree char *header = g_malloc(MAX_HEADER);
    int directory = bodies_directory(maildrop->account->bodies, stray->folder);
    char name[16];
    g_snprintf(name, sizeof(name), "%" G_GUINT32_FORMAT, stray->uid);
    int fd = directory < 0 ? -1 : openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    gssize got = fd < 0 ? -1 : pread(fd, header, MAX_HEADER, 0);
    if (fd >= 0)
        close(fd);
    if (directory >= 0)
        close(directory);
    if (got <= 0)
        return TRUE; /* it stays where it is, for the next time */
    g_autofree char *raw_from = mail_header_field(header, (gsize)got, "From", 4096);
    g_autofree char *raw_subject = mail_header_field(header, (gsize)got, "Subject", 4096);
    g_autofree char *from = mime_sender(raw_from ? raw_from : "");
    g_autofree char *subject = mime_text(raw_subject ? raw_subject : "");
    gint64 date = mime_date(header, (gsize)got);
    IndexMessage row = {
        .folder = stray->folder,
        .uid = stray->uid,
        .keywords = "",
        .size = stray->bytes,
        .length = (gint64)stray->bytes,
        .date = date,
        .changed = date,
        .from = from,
        .subject = subject,
        .message_id = "",
    };
    return index_reserve_uid(maildrop->account->index, stray->uid, error) &&
           index_put_message(maildrop->account->index, &row, error) &&
           bodies_take_in(maildrop->account->bodies, stray, error);
}

/* A file for which there is a message was written just before a crash. If it is as long as it
 * should be it is taken; else it is fetched again. */
static gboolean take_in(Maildrop *maildrop, const BodyStray *stray, GError **error)
{
    if (stray->folder != maildrop->inbox->row)
        return TRUE;
    const Message *message = mailbox_find(folder_mailbox(maildrop->inbox), stray->uid);
    if (message && message->size != stray->bytes) {
        bodies_set_aside(maildrop->account->bodies, stray);
        return TRUE;
    }
    if (message)
        return bodies_take_in(maildrop->account->bodies, stray, error);
    return describe_body(maildrop, stray, error);
}

static gboolean take_in_all(Maildrop *maildrop, GError **error)
{
    Account *account = maildrop->account;
    const GArray *strays = bodies_strays(account->bodies);
    if (strays->len == 0)
        return TRUE;
    if (!index_begin(account->index, error))
        return FALSE;
    for (guint i = 0; i < strays->len; i++)
        if (!take_in(maildrop, &g_array_index(strays, BodyStray, i), error)) {
            index_rollback(account->index);
            return FALSE;
        }
    g_message("messages found on disk that the index did not know: %u", strays->len);
    g_clear_pointer(&maildrop->inbox->mailbox, mailbox_free); /* loads them when it is next used */
    return index_commit(account->index, error);
}

/* ---- life ---- */

Maildrop *maildrop_new(Account *account, GError **error)
{
    Maildrop *maildrop = g_new0(Maildrop, 1);
    maildrop->account = account;
    maildrop->inbox = account_root(account);
    maildrop->present = mail_uid_set_new();
    maildrop->flushed = g_hash_table_new(NULL, NULL);
    maildrop->flusher = g_thread_pool_new(flush_run, NULL, 1, FALSE, NULL);
    if (account->config.poll > 0)
        maildrop->poll_timer = g_timeout_add_seconds(account->config.poll, poll_now, maildrop);
    if (take_in_all(maildrop, error))
        return maildrop;
    maildrop_free(maildrop);
    return NULL;
}

void maildrop_free(Maildrop *maildrop)
{
    if (!maildrop)
        return;
    g_clear_handle_id(&maildrop->poll_timer, g_source_remove);
    g_clear_handle_id(&maildrop->flush_timer, g_source_remove);
    /* Waits for what is under way; what it has posted to the loop must not be run any more. */
    g_thread_pool_free(maildrop->flusher, FALSE, TRUE);
    if (maildrop->flush && g_source_remove_by_user_data(maildrop->flush))
        flush_free(maildrop->flush);
    if (maildrop->removal)
        remote_cancel(maildrop->account->remote, maildrop->removal);
    if (maildrop->removed)
        g_array_unref(maildrop->removed);
    g_array_unref(maildrop->present);
    g_hash_table_unref(maildrop->flushed);
    g_free(maildrop);
}
