/* The list of arrivals: their rows, their places in folders, and their ends. */
#include "arrivals.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static gint64 source_key(guint32 row, MailUid uid)
{
    return (gint64)(((guint64)row << 32) | uid);
}

static void arrival_free(gpointer data)
{
    Arrival *arrival = data;
    if (arrival->fd >= 0)
        close(arrival->fd);
    g_clear_error(&arrival->error);
    g_free(arrival->name);
    g_free(arrival->message_id);
    g_free(arrival);
}

/* ---- rows ---- */

Arrival *arrival_new(Account *account, Folder *folder, const char *name, ArrivalState state)
{
    Arrival *arrival = g_new0(Arrival, 1);
    arrival->folder = folder;
    arrival->name = g_strdup(name);
    arrival->message_id = g_strdup("");
    arrival->state = state;
    arrival->fd = -1;
    arrival->date = g_get_real_time() / G_USEC_PER_SEC;
    arrival->since = g_get_monotonic_time();
    g_queue_init(&arrival->waiters);
    return arrival;
}

static IndexArrival row_of(const Arrival *arrival)
{
    return (IndexArrival){
        .id = arrival->id,
        .folder = arrival->folder->row,
        .name = arrival->name,
        .state = arrival->state,
        .size = arrival->size,
        .date = arrival->date,
        .source = arrival->source,
        .source_uid = arrival->source_uid,
        .after = arrival->after,
        .mark = arrival->mark,
        .uid = arrival->uid,
        .doomed = arrival->doomed,
        .message_id = arrival->message_id,
    };
}

gboolean arrival_store(Arrival *arrival, GError **error)
{
    IndexArrival row = row_of(arrival);
    if (!index_put_arrival(arrival->folder->account->index, &row, error))
        return FALSE;
    arrival->id = row.id;
    return TRUE;
}

void arrival_save(Arrival *arrival)
{
    Account *account = arrival->folder->account;
    g_autoptr(GError) error = NULL;
    IndexArrival row = row_of(arrival);
    if (!index_put_arrival(account->index, &row, &error))
        account_index_failed(account, error);
}

void arrival_set_state(Arrival *arrival, ArrivalState state)
{
    arrival->state = state;
    arrival->since = g_get_monotonic_time();
    arrival_save(arrival);
}

/* ---- places ---- */

void arrival_show(Arrival *arrival)
{
    Folder *folder = arrival->folder;
    Arrivals *arrivals = folder->account->arrivals;
    g_hash_table_insert(arrivals->by_id, GUINT_TO_POINTER(arrival->id), arrival);
    g_ptr_array_add(folder->arrivals, arrival);
    if (arrival->source) {
        gint64 key = source_key(arrival->source, arrival->source_uid);
        g_hash_table_insert(arrivals->by_source, g_memdup2(&key, sizeof(key)), arrival);
    }
    if (arrival->doomed)
        return;
    g_hash_table_insert(folder->arrival_names, arrival->name, arrival);
    folder_touch(folder);
}

void arrival_hide(Arrival *arrival, gboolean told)
{
    Folder *folder = arrival->folder;
    Account *account = folder->account;
    if (g_hash_table_lookup(folder->arrival_names, arrival->name) != arrival)
        return;
    g_hash_table_remove(folder->arrival_names, arrival->name);
    if (told)
        account->funcs->arrival_gone(folder, arrival->name, arrival->id, account->data);
    folder_touch(folder);
}

static void forget_source(Arrival *arrival, Arrivals *arrivals)
{
    gint64 key = source_key(arrival->source, arrival->source_uid);
    if (arrival->source && g_hash_table_lookup(arrivals->by_source, &key) == arrival)
        g_hash_table_remove(arrivals->by_source, &key);
}

Arrival *arrivals_of_source(Account *account, guint32 row, MailUid uid)
{
    gint64 key = source_key(row, uid);
    return account->arrivals ? g_hash_table_lookup(account->arrivals->by_source, &key) : NULL;
}

static Folder *source_folder(Account *account, const Arrival *arrival)
{
    return arrival->source ? account_folder(account, arrival->source) : NULL;
}

/* Frees one that is over when neither the kernel nor a waiter has it. */
static void reap(Account *account, Arrival *arrival)
{
    const AccountFuncs *funcs = account->funcs;
    Folder *source = source_folder(account, arrival);
    if (!arrival->over || arrival->waiters.length > 0 || arrival->batch || arrival->checking ||
        funcs->arrival_known(arrival->id, account->data) ||
        (source && funcs->known(source, arrival->source_uid, account->data)))
        return;
    forget_source(arrival, account->arrivals);
    g_hash_table_remove(account->arrivals->by_id, GUINT_TO_POINTER(arrival->id));
}

/* ---- ends ---- */

char *arrival_path(const Arrival *arrival)
{
    const Arrivals *arrivals = arrival->folder->account->arrivals;
    g_autofree char *name = g_strdup_printf("%u", arrival->id);
    return g_build_filename(arrivals->spool, name, NULL);
}

gboolean arrival_has_file(const Arrival *arrival)
{
    return arrival->source == 0 && arrival->after == 0;
}

/* A name of the user's is a name, not a path; it is cut so that the number fits before it. */
char *arrivals_failed_path(const Arrivals *arrivals, guint32 id, const char *name)
{
    g_autofree char *file = g_strdup_printf("%u-%.200s", id, name);
    return g_build_filename(arrivals->failed, file, NULL);
}

void arrival_end(Arrival *arrival, const GError *error)
{
    Folder *folder = arrival->folder;
    Account *account = folder->account;
    g_autoptr(GError) failure = NULL;
    if (arrival->over)
        return;
    arrival_hide(arrival, TRUE);
    g_ptr_array_remove(folder->arrivals, arrival);
    if (!index_remove_arrival(account->index, arrival->id, &failure))
        account_index_failed(account, failure);
    if (arrival_has_file(arrival)) {
        g_autofree char *path = arrival_path(arrival);
        g_unlink(path);
    }
    arrival->over = TRUE;
    if (error && !arrival->error)
        arrival->error = g_error_copy(error);
    wait_list_wake(&arrival->waiters, NULL);
    reap(account, arrival);
    account_tell_if_flushed(account);
}

void arrival_discard(Arrival *arrival)
{
    if (arrival->fd >= 0) {
        g_autofree char *path = arrival_path(arrival);
        g_unlink(path);
    }
    arrival_free(arrival);
}

void account_arrival_forgotten(Account *account, guint32 id)
{
    Arrival *arrival = account_arrival(account, id);
    if (!arrival)
        return;
    if (!arrival->over && arrival->state == ARRIVAL_OPEN)
        arrival_close(arrival);
    else
        reap(account, arrival);
}

void account_forget(Account *account, Folder *folder, MailUid uid)
{
    Arrival *arrival = arrivals_of_source(account, folder->row, uid);
    folder_release_orphan(folder, uid);
    if (arrival)
        reap(account, arrival);
}

/* ---- folders ---- */

void arrivals_folder_gone(Folder *folder)
{
    Account *account = folder->account;
    GHashTableIter iter;
    gpointer value;
    if (!account->arrivals)
        return;
    g_autoptr(GError) gone = g_error_new_literal(
        MAIL_ERROR, MAIL_ERROR_GONE, "its folder was removed or made anew on the server");
    while (folder->arrivals->len > 0) {
        Arrival *arrival = folder->arrivals->pdata[folder->arrivals->len - 1];
        if (arrival_has_file(arrival) && arrival->state != ARRIVAL_PLACED && !arrival->doomed)
            arrival_fail(arrival, gone);
        else
            arrival_end(arrival, gone);
    }
    g_hash_table_iter_init(&iter, account->arrivals->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Arrival *arrival = value;
        if (arrival->folder == folder)
            arrival->folder = NULL;
    }
}

/* Uids mean nothing any more. What is on its way goes to the new mailbox: that is where its name
 * leads. */
void arrivals_folder_renewed(Folder *folder)
{
    for (guint i = folder->arrivals->len; i-- > 0;) {
        Arrival *arrival = folder->arrivals->pdata[i];
        arrival->uid = arrival->mark = 0;
        arrival_save(arrival);
    }
}

/* ---- looking ---- */

Arrival *account_arrival(Account *account, guint32 id)
{
    return g_hash_table_lookup(account->arrivals->by_id, GUINT_TO_POINTER(id));
}

guint32 arrival_id(const Arrival *arrival)
{
    return arrival->id;
}

Folder *arrival_folder(const Arrival *arrival)
{
    return arrival->folder;
}

const char *arrival_name(const Arrival *arrival)
{
    return arrival->name;
}

void arrival_info(Arrival *arrival, ArrivalInfo *info)
{
    *info = (ArrivalInfo){
        .size = arrival->size,
        .date = arrival->date,
        .writable = !arrival->over && arrival->state == ARRIVAL_OPEN,
        .listed = !arrival->over && !arrival->doomed,
        .certain = arrival_has_file(arrival) || arrival->certain,
    };
}

gboolean arrival_message(Arrival *arrival, Folder **folder, MailUid *uid)
{
    if (!arrival->over || !arrival->folder || arrival->uid == 0 ||
        !account_find(arrival->folder, arrival->uid))
        return FALSE;
    *folder = arrival->folder;
    *uid = arrival->uid;
    return TRUE;
}

Arrival *folder_arrival(Folder *folder, const char *name)
{
    return g_hash_table_lookup(folder->arrival_names, name);
}

/* The listing has the message already, and is not complete yet. */
static gboolean is_listed_itself(const Arrival *arrival)
{
    const Message *message =
        arrival->uid ? mailbox_find(folder_mailbox(arrival->folder), arrival->uid) : NULL;
    return message && message_visible(arrival->folder, message);
}

Arrival *folder_next_arrival(Folder *folder, guint32 after)
{
    guint low = 0, high = folder->arrivals->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (((Arrival *)folder->arrivals->pdata[middle])->id <= after)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < folder->arrivals->len; low++) {
        Arrival *arrival = folder->arrivals->pdata[low];
        if (!arrival->doomed && !is_listed_itself(arrival))
            return arrival;
    }
    return NULL;
}

MailUid folder_alias(Folder *folder, const char *name)
{
    if (folder->row == 0)
        return 0;
    MailUid uid = index_find_alias(folder->account->index, folder->row, name);
    const Message *message = uid ? mailbox_find(folder_mailbox(folder), uid) : NULL;
    return message && message_visible(folder, message) ? uid : 0;
}

char *folder_given_name(Folder *folder, MailUid uid)
{
    return index_get_alias(folder->account->index, folder->row, uid);
}

const char *account_failed_directory(Account *account)
{
    return account->arrivals->failed;
}

/* Editors' swap, lock and backup files, and what rsync and the like write before they rename it. A
 * name of digits alone is what vim tries whether it may write here. */
gboolean arrivals_is_local(const char *name)
{
    gsize length = strlen(name);
    return name[0] == '.' || name[0] == '#' || name[length - 1] == '~' ||
           strspn(name, "0123456789") == length;
}

guint arrivals_pending(Account *account)
{
    guint pending = 0;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->arrivals->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Arrival *arrival = value;
        /* One that the journal moves is counted there. */
        pending +=
            !arrival->over && arrival->state != ARRIVAL_OPEN && arrival->state != ARRIVAL_MOVING;
    }
    return pending;
}

void arrivals_describe(Account *account, GString *out)
{
    guint open = 0;
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->arrivals->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Arrival *arrival = value;
        open += !arrival->over && arrival->state == ARRIVAL_OPEN;
    }
    g_string_append_printf(out, "new-files: %u\n", arrivals_pending(account));
    g_string_append_printf(out, "unfinished-files: %u\n", open);
    g_string_append_printf(out, "failed-files: %s\n", account->arrivals->failed);
}

/* ---- life ---- */

static char *make_directory(const char *parent, const char *name, GError **error)
{
    char *path = g_build_filename(parent, name, NULL);
    if (g_mkdir_with_parents(path, 0700) == 0)
        return path;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK, "%s cannot be made: %s", path,
                g_strerror(errno));
    g_free(path);
    return NULL;
}

Arrivals *arrivals_new(Account *account, GError **error)
{
    Arrivals *arrivals = g_new0(Arrivals, 1);
    arrivals->account = account;
    arrivals->by_id = g_hash_table_new_full(NULL, NULL, NULL, arrival_free);
    arrivals->by_source = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    arrivals->batches = g_ptr_array_new();
    arrivals->settles = g_ptr_array_new();
    g_queue_init(&arrivals->checks);
    arrivals->spool = make_directory(account->config.data_directory, "spool", error);
    if (arrivals->spool)
        arrivals->failed = make_directory(account->config.data_directory, "failed", error);
    if (arrivals->failed)
        return arrivals;
    arrivals_free(arrivals);
    return NULL;
}

void arrivals_stop(Arrivals *arrivals)
{
    g_clear_handle_id(&arrivals->timer, g_source_remove);
    arrivals_checks_end(arrivals);
    arrivals_recall(arrivals);
    arrivals_settles_end(arrivals);
}

void arrivals_free(Arrivals *arrivals)
{
    if (!arrivals)
        return;
    arrivals_stop(arrivals);
    g_ptr_array_unref(arrivals->batches);
    g_ptr_array_unref(arrivals->settles);
    g_hash_table_unref(arrivals->by_source);
    g_hash_table_unref(arrivals->by_id);
    g_free(arrivals->spool);
    g_free(arrivals->failed);
    g_free(arrivals);
}

void arrivals_offline(Account *account, const GError *error)
{
    g_autoptr(GList) all = g_hash_table_get_values(account->arrivals->by_id);
    for (GList *item = all; item; item = item->next)
        wait_list_wake(&((Arrival *)item->data)->waiters, error);
}

static void load_arrival(const IndexArrival *row, gpointer data)
{
    GPtrArray *loaded = data;
    IndexArrival *copy = g_memdup2(row, sizeof(*row));
    copy->name = g_strdup(row->name);
    copy->message_id = g_strdup(row->message_id);
    g_ptr_array_add(loaded, copy);
}

static void index_arrival_free(gpointer data)
{
    IndexArrival *row = data;
    g_free((char *)row->name);
    g_free((char *)row->message_id);
    g_free(row);
}

static Arrival *from_row(Account *account, Folder *folder, const IndexArrival *row)
{
    Arrival *arrival = arrival_new(account, folder, row->name, (ArrivalState)row->state);
    arrival->id = row->id;
    arrival->size = row->size;
    arrival->date = row->date;
    arrival->source = row->source;
    arrival->source_uid = row->source_uid;
    arrival->after = row->after;
    arrival->mark = row->mark;
    arrival->uid = row->uid;
    arrival->doomed = row->doomed;
    g_free(arrival->message_id);
    arrival->message_id = g_strdup(row->message_id);
    arrival->since = 0;
    return arrival;
}

/* What a crash left incomplete is not known to be what the user wanted to write: it is kept, and
 * never sent. A new file whose folder is not known any more cannot be sent. */
static void keep_file_of_row(Account *account, const IndexArrival *row)
{
    g_autofree char *from = g_strdup_printf("%s/%u", account->arrivals->spool, row->id);
    g_autofree char *to = arrivals_failed_path(account->arrivals, row->id, row->name);
    if (row->source || row->after || row->doomed)
        return;
    if (g_rename(from, to) == 0)
        g_warning("a new file was not complete, or its folder is gone: it is in %s", to);
}

/* A crash can leave a file whose row had not been written yet. */
static void keep_stray_files(Account *account)
{
    Arrivals *arrivals = account->arrivals;
    g_autoptr(GDir) directory = g_dir_open(arrivals->spool, 0, NULL);
    for (const char *name; directory && (name = g_dir_read_name(directory));) {
        guint64 id = 0;
        g_autofree char *from = g_build_filename(arrivals->spool, name, NULL);
        gboolean numbered = g_ascii_string_to_unsigned(name, 10, 1, G_MAXUINT32, &id, NULL);
        GStatBuf info;
        if (numbered && account_arrival(account, (guint32)id))
            continue;
        if (!numbered || g_stat(from, &info) != 0 || info.st_size == 0) {
            g_unlink(from); /* half of a conversion, or nothing */
            continue;
        }
        g_autofree char *to = arrivals_failed_path(arrivals, (guint32)id, "unfinished");
        if (g_rename(from, to) == 0)
            g_warning("a new file was not complete: it is in %s", to);
    }
}

/* Goes on where an earlier run ended. */
static void resume(Account *account, Arrival *arrival)
{
    if (arrival->state == ARRIVAL_CLOSED)
        arrival_check(arrival);
    /* Its change is void: it is in the folder's listing, or nowhere. */
    if (arrival->state == ARRIVAL_MOVING && !journal_is_sent(account->journal, arrival->id))
        arrival_set_state(arrival, ARRIVAL_PLACED);
    if (arrival->state == ARRIVAL_WAITING && !account_arrival(account, arrival->after))
        arrival_end(arrival, NULL);
}

gboolean arrivals_load(Account *account, GError **error)
{
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(index_arrival_free);
    if (!index_each_arrival(account->index, load_arrival, rows, error))
        return FALSE;
    for (guint i = 0; i < rows->len; i++) {
        const IndexArrival *row = rows->pdata[i];
        Folder *folder = row->folder ? account_folder(account, row->folder) : NULL;
        if (row->state == ARRIVAL_OPEN || !folder) {
            keep_file_of_row(account, row);
            index_remove_arrival(account->index, row->id, NULL);
            continue;
        }
        arrival_show(from_row(account, folder, row));
    }
    keep_stray_files(account);
    g_autoptr(GList) all = g_hash_table_get_values(account->arrivals->by_id);
    for (GList *item = all; item; item = item->next)
        resume(account, item->data);
    return TRUE;
}
