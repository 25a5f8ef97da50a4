/* New files: written to the spool, checked when they are complete, kept when they are refused; and
 * reading what was put into a folder. */
#include "arrivals.h"
#include "fault.h"
#include "rights.h"
#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_SIZE (G_GUINT64_CONSTANT(1) << 32) /* of a new file, bytes */

static gboolean fail_errno(const char *what, GError **error)
{
    int code = errno;
    g_set_error(error, MAIL_ERROR, code == EDQUOT ? MAIL_ERROR_OVER_QUOTA : MAIL_ERROR_DISK,
                "%s a new file: %s", what, g_strerror(code));
    return FALSE;
}

/* ---- making, writing ---- */

Arrival *account_create(Account *account, Folder *folder, const char *name, GError **error)
{
    Arrival *replaced;
    if (!folder_may(folder, FOLDER_INSERT, error) ||
        !arrivals_name_is_free(folder, name, &replaced, error))
        return NULL;
    Arrival *arrival = arrival_new(account, folder, name, ARRIVAL_OPEN);
    account_batch(account);
    if (!arrival_store(arrival, error)) {
        arrival_discard(arrival);
        return NULL;
    }
    g_autofree char *path = arrival_path(arrival);
    arrival->fd = g_open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (arrival->fd < 0) {
        fail_errno("making", error);
        index_remove_arrival(account->index, arrival->id, NULL);
        arrival_discard(arrival);
        return NULL;
    }
    if (replaced)
        arrival_end(replaced, NULL);
    arrival_show(arrival);
    return arrival;
}

static gboolean is_open(const Arrival *arrival, GError **error)
{
    if (arrival->state == ARRIVAL_OPEN && !arrival->over)
        return TRUE;
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                        "the file is complete: messages are not changed");
    return FALSE;
}

static gboolean open_spool(Arrival *arrival, GError **error)
{
    if (arrival->fd >= 0)
        return TRUE;
    g_autofree char *path = arrival_path(arrival);
    arrival->fd = g_open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0);
    return arrival->fd >= 0 || fail_errno("opening", error);
}

gboolean account_write(Account *account, Arrival *arrival, guint64 offset, const void *bytes,
                       gsize size, GError **error)
{
    if (!is_open(arrival, error) || !open_spool(arrival, error))
        return FALSE;
    if (offset > MAX_SIZE || size > MAX_SIZE - offset) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_TOO_LARGE, "a message is not so large");
        return FALSE;
    }
    const char *from = bytes;
    for (gsize done = 0; done < size;) {
        ssize_t written = pwrite(arrival->fd, from + done, size - done, (off_t)(offset + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_errno("writing", error);
        done += (gsize)written;
    }
    fault_point("spool-written");
    arrival->size = MAX(arrival->size, offset + size);
    if (!arrival->dated)
        arrival->date = g_get_real_time() / G_USEC_PER_SEC;
    return TRUE;
}

gboolean account_truncate(Account *account, Arrival *arrival, guint64 size, GError **error)
{
    if (!is_open(arrival, error) || !open_spool(arrival, error))
        return FALSE;
    if (size > MAX_SIZE) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_TOO_LARGE, "a message is not so large");
        return FALSE;
    }
    if (ftruncate(arrival->fd, (off_t)size) != 0)
        return fail_errno("cutting", error);
    arrival->size = size;
    return TRUE;
}

gboolean account_set_date(Account *account, Arrival *arrival, gint64 date, GError **error)
{
    if (arrival->over || !arrival_has_file(arrival) || arrival->state >= ARRIVAL_SENDING)
        return TRUE;
    arrival->date = date;
    arrival->dated = TRUE;
    account_batch(account);
    arrival_save(arrival);
    return TRUE;
}

/* ---- completing ---- */

void arrival_close(Arrival *arrival)
{
    Account *account = arrival->folder->account;
    if (arrivals_is_local(arrival->name))
        return;
    if (arrival->fd >= 0)
        close(arrival->fd);
    arrival->fd = -1;
    if (arrival->size == 0 && !arrival->hurry) {
        arrival_end(arrival, NULL); /* nothing was written: there is nothing to send or to keep */
        return;
    }
    /* With what it holds it survives a crash from here on; so it has to be a row by itself. */
    account_batch_end(account);
    arrival_set_state(arrival, ARRIVAL_CLOSED);
    arrival_check(arrival);
}

typedef struct {
    Arrivals *arrivals;
    guint32 id;
    char *from, *to; /* paths */
    SpoolMessage message;
    GError *error;
} Check;

static void check_free(Check *check)
{
    g_free(check->from);
    g_free(check->to);
    g_free(check->message.message_id);
    g_clear_error(&check->error);
    g_free(check);
}

static void take_check(Arrival *arrival, Check *check)
{
    arrival->checking = FALSE;
    if (arrival->over || arrival->state != ARRIVAL_CLOSED) {
        g_unlink(check->to);
        if (arrival->over)
            account_arrival_forgotten(check->arrivals->account, check->id);
        return;
    }
    if (!check->error && g_rename(check->to, check->from) != 0)
        fail_errno("keeping", &check->error);
    fault_point("spool-converted");
    if (check->error) {
        arrival_fail(arrival, check->error);
        return;
    }
    arrival->size = check->message.size;
    g_free(arrival->message_id);
    arrival->message_id = g_steal_pointer(&check->message.message_id);
    account_batch(check->arrivals->account);
    arrival_set_state(arrival, ARRIVAL_READY);
    arrivals_schedule(check->arrivals->account, arrival->hurry ? 0 : 150);
}

static gboolean checked(gpointer data)
{
    Check *check = data;
    Arrivals *arrivals = check->arrivals;
    Arrival *arrival = account_arrival(arrivals->account, check->id);
    g_queue_remove(&arrivals->checks, check);
    if (arrival)
        take_check(arrival, check);
    check_free(check);
    return G_SOURCE_REMOVE;
}

/* On the helper thread: it sees two paths, nothing else. */
static void run_check(gpointer data, gpointer unused)
{
    Check *check = data;
    int in = g_open(check->from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    int out = g_open(check->to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (in < 0 || out < 0)
        fail_errno("opening", &check->error);
    else if (!spool_convert(in, out, &check->message, &check->error))
        g_unlink(check->to);
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) != 0 && !check->error)
        fail_errno("writing", &check->error);
    g_idle_add_full(G_PRIORITY_DEFAULT, checked, check, NULL);
}

void arrival_check(Arrival *arrival)
{
    Arrivals *arrivals = arrival->folder->account->arrivals;
    if (arrival->checking)
        return;
    if (!arrivals->checker)
        arrivals->checker = g_thread_pool_new(run_check, NULL, 1, FALSE, NULL);
    Check *check = g_new0(Check, 1);
    check->arrivals = arrivals;
    check->id = arrival->id;
    check->from = arrival_path(arrival);
    check->to = g_strconcat(check->from, ".new", NULL);
    arrival->checking = TRUE;
    g_queue_push_tail(&arrivals->checks, check);
    g_thread_pool_push(arrivals->checker, check, NULL);
}

void arrivals_checks_end(Arrivals *arrivals)
{
    if (arrivals->checker)
        g_thread_pool_free(arrivals->checker, FALSE, TRUE);
    arrivals->checker = NULL;
    Check *check;
    while ((check = g_queue_pop_head(&arrivals->checks))) {
        g_source_remove_by_user_data(check);
        check_free(check);
    }
}

/* ---- refused ---- */

void arrival_fail(Arrival *arrival, const GError *error)
{
    Account *account = arrival->folder->account;
    g_autofree char *from = arrival_path(arrival);
    g_autofree char *to = arrivals_failed_path(account->arrivals, arrival->id, arrival->name);
    g_autofree char *name = mail_escape(arrival->name, -1, 200);
    g_autofree char *folder = mail_escape(arrival->folder->name, -1, 200);
    gboolean kept = !arrival->doomed && g_rename(from, to) == 0;
    fault_point("spool-failed");
    g_warning("%s was not put into %s: %s%s", name, folder, error->message,
              kept ? "; it is kept in .mailfs/failed" : "");
    if (!arrival->doomed)
        journal_note(account->journal,
                     g_strdup_printf("new message %s in %s: %s", name, folder, error->message));
    arrival_end(arrival, error);
}

void arrivals_give_up_open(Account *account)
{
    g_autoptr(GError) error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_CANCELLED,
                                                  "the mount ended before it was complete");
    g_autoptr(GList) all = g_hash_table_get_values(account->arrivals->by_id);
    for (GList *item = all; item; item = item->next) {
        Arrival *arrival = item->data;
        if (arrival->over || arrival->state != ARRIVAL_OPEN)
            continue;
        if (arrival->size == 0)
            arrival_end(arrival, NULL);
        else
            arrival_fail(arrival, error);
    }
}

/* It is sent, or listed, as soon as can be. */
static AccountReply await(Account *account, Arrival *arrival, Waiter *waiter)
{
    arrival->hurry = TRUE;
    arrivals_kick(account);
    if (remote_state(account->remote) != REMOTE_ONLINE)
        remote_wake(account->remote);
    wait_list_add(&arrival->waiters, waiter);
    return ACCOUNT_WAIT;
}

AccountReply account_arrival_sync(Account *account, Arrival *arrival, Waiter *waiter,
                                  GError **error)
{
    if (arrival->error) {
        g_propagate_error(error, g_error_copy(arrival->error));
        return ACCOUNT_FAILED;
    }
    if (arrival->over || arrival->state == ARRIVAL_PLACED)
        return ACCOUNT_READY;
    if (arrival->state == ARRIVAL_OPEN && arrivals_is_local(arrival->name))
        return ACCOUNT_READY; /* editors sync their swap files */
    arrival->hurry = TRUE;
    if (arrival->state == ARRIVAL_OPEN)
        arrival_close(arrival);
    return await(account, arrival, waiter);
}

AccountReply account_arrival_await(Account *account, Arrival *arrival, Waiter *waiter,
                                   GError **error)
{
    if (arrival->error) {
        g_propagate_error(error, g_error_copy(arrival->error));
        return ACCOUNT_FAILED;
    }
    if (arrival->over)
        return ACCOUNT_READY;
    if (arrival->state == ARRIVAL_OPEN) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_IN_USE,
                            arrivals_is_local(arrival->name) ? "files of this name stay here"
                                                             : "it is still being written");
        return ACCOUNT_FAILED;
    }
    return await(account, arrival, waiter);
}

/* ---- reading ---- */

static AccountReply gone(GError **error)
{
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_GONE, "there is no such message");
    return ACCOUNT_FAILED;
}

static AccountReply read_spool(Arrival *arrival, guint64 offset, gsize size, BodySpan *span,
                               GError **error)
{
    struct stat info;
    if (!open_spool(arrival, error))
        return ACCOUNT_FAILED;
    if (fstat(arrival->fd, &info) != 0) {
        fail_errno("reading", error);
        return ACCOUNT_FAILED;
    }
    guint64 end = (guint64)info.st_size;
    span->fd = arrival->fd;
    span->offset = offset;
    span->size = offset >= end ? 0 : (gsize)MIN((guint64)size, end - offset);
    return ACCOUNT_READY;
}

static AccountReply read_moved(Account *account, Arrival *arrival, guint64 offset, gsize size,
                               Waiter *waiter, BodySpan *span, GError **error)
{
    Folder *source = account_folder(account, arrival->source);
    Folder *folder = arrival->folder;
    guint64 length;
    gboolean is_cached =
        source && bodies_has(account->bodies, source->row, arrival->source_uid, &length);
    if (source && arrival->state == ARRIVAL_MOVING &&
        (is_cached || !journal_is_sent(account->journal, arrival->id)))
        return downloads_read(source, arrival->source_uid, offset, size, waiter, span, error);
    if (arrival->uid && bodies_has(account->bodies, folder->row, arrival->uid, &length))
        return downloads_read(folder, arrival->uid, offset, size, waiter, span, error);
    wait_list_add(&arrival->waiters, waiter); /* until the listing has it */
    return ACCOUNT_WAIT;
}

AccountReply account_read_arrival(Account *account, Arrival *arrival, guint64 offset, gsize size,
                                  Waiter *waiter, BodySpan *span, GError **error)
{
    Folder *folder;
    MailUid uid;
    if (arrival_message(arrival, &folder, &uid))
        return account_read(account, folder, uid, offset, size, waiter, span, error);
    if (arrival->over && arrival->fd < 0)
        return gone(error); /* else it was removed while somebody has it open */
    if (arrival_has_file(arrival))
        return read_spool(arrival, offset, size, span, error);
    Arrival *before = arrival->after ? account_arrival(account, arrival->after) : NULL;
    if (arrival->state == ARRIVAL_WAITING && before)
        return account_read_arrival(account, before, offset, size, waiter, span, error);
    return read_moved(account, arrival, offset, size, waiter, span, error);
}

/* A message that was moved is read where it went. */
AccountReply account_read(Account *account, Folder *folder, MailUid uid, guint64 offset, gsize size,
                          Waiter *waiter, BodySpan *span, GError **error)
{
    Arrival *moved = arrivals_of_source(account, folder->row, uid);
    if (moved)
        return account_read_arrival(account, moved, offset, size, waiter, span, error);
    return downloads_read(folder, uid, offset, size, waiter, span, error);
}
