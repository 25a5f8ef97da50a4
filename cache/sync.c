/* A folder's messages: loading them from the index, bringing them up to date with the server.
 *
 * What a sync reports is applied as it comes, but removals that follow from a comparison only when
 * the server has finished its list: a connection that breaks never empties a folder. */
#include "arrivals.h"
#include "keywords.h"
#include "maildrop.h"
#include "mime.h"
#include "watch.h"

#include <string.h>

#define MAX_FIELD 4096 /* bytes of a raw header field that are looked at */
#define MAX_KEYWORDS 1024

struct FolderSync {
    Folder *folder;
    RemoteJob *job;
    gboolean names_changed, found;
    gint64 started;  /* monotonic */
    GArray *present; /* all uids that the server has, if it told; or NULL */
};

/* ---- loading ---- */

static void put_loaded(const IndexMessage *row, gpointer data)
{
    Folder *folder = data;
    gboolean removed = FALSE;
    guint32 flags =
        journal_overlay(folder->account->journal, folder, row->uid, row->flags, &removed);
    Message message = {
        .uid = row->uid,
        .flags = flags | (row->length >= 0 ? MESSAGE_LENGTH_KNOWN : 0) |
                 (row->hidden ? MESSAGE_HIDDEN : 0) | (removed ? MESSAGE_REMOVED : 0) |
                 (*row->keywords ? MESSAGE_KEYWORDS : 0),
        .size = row->length >= 0 ? (guint64)row->length : row->size,
        .date = row->date,
        .changed = row->changed,
        .from = row->from,
        .subject = row->subject,
    };
    mailbox_put(folder->mailbox, &message);
}

Mailbox *folder_mailbox(Folder *folder)
{
    if (folder->mailbox)
        return folder->mailbox;
    folder->mailbox = mailbox_new();
    g_autoptr(GError) error = NULL;
    account_batch_end(folder->account);
    if (folder->row == 0 ||
        index_each_message(folder->account->index, folder->row, put_loaded, folder, &error))
        return folder->mailbox;
    /* A listing that cannot be read is no empty folder: the server is asked for all of it. */
    g_warning("the index cannot be read: %s", error->message);
    mailbox_clear(folder->mailbox);
    folder->listed = FALSE;
    folder->uidnext = 0;
    folder->modseq = 0;
    return folder->mailbox;
}

gboolean message_visible(const Folder *folder, const Message *message)
{
    if (message->flags & MESSAGE_REMOVED)
        return FALSE;
    /* Removed here and left there: hidden for as long as it carries \Deleted. */
    gboolean marks = folder->account->config.delete_policy == ACCOUNT_DELETE_MARK;
    return !((message->flags & MAIL_FLAG_DELETED) && (marks || (message->flags & MESSAGE_HIDDEN)));
}

/* ---- leaving ---- */

void folder_orphan(Folder *folder, const Message *message)
{
    Account *account = folder->account;
    gpointer key = GUINT_TO_POINTER(message->uid);
    if (g_hash_table_contains(folder->orphans, key) ||
        !account->funcs->known(folder, message->uid, account->data))
        return;
    Message *copy = g_memdup2(message, sizeof(*message));
    copy->from = copy->subject = "";
    g_hash_table_insert(folder->orphans, key, copy);
    bodies_pin(account->bodies, folder->row, message->uid);
}

void folder_release_orphan(Folder *folder, MailUid uid)
{
    if (g_hash_table_remove(folder->orphans, GUINT_TO_POINTER(uid)))
        bodies_unpin(folder->account->bodies, folder->row, uid);
}

static void drop_one(const Message *message, gpointer data)
{
    Folder *folder = data;
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    folder_orphan(folder, message);
    if (!index_remove_message(account->index, folder->row, message->uid, &error) ||
        !index_remove_aliases(account->index, folder->row, message->uid, &error))
        account_index_failed(account, error);
    bodies_remove(account->bodies, folder->row, message->uid);
}

void folder_drop_messages(Folder *folder, const GArray *uids)
{
    Mailbox *mailbox = folder_mailbox(folder);
    account_batch(folder->account);
    mailbox_remove_set(mailbox, uids, drop_one, folder);
}

/* The server does not have it any more. */
static void message_vanished(FolderSync *sync, const Message *message)
{
    Folder *folder = sync->folder;
    Account *account = folder->account;
    if (message_visible(folder, message)) {
        account->funcs->gone(folder, message, account->data);
        account_event(ACCOUNT_EVENT_GONE, folder, message);
        sync->names_changed = TRUE;
    }
    journal_message_gone(account->journal, folder, message->uid);
}

/* ---- what the server reports ---- */

static void sync_opened(const RemoteMailbox *info, gpointer data)
{
    FolderSync *sync = data;
    Folder *folder = sync->folder;
    folder->read_only = info->read_only;
    folder->permanent_flags = info->permanent_flags;
    g_strfreev(folder->permanent_keywords);
    folder->permanent_keywords = g_strdupv((char **)info->permanent_keywords);
    g_free(folder->rights);
    folder->rights = g_strdup(info->rights);
    if (info->uidvalidity != folder->uidvalidity)
        folder_renew(folder, info->uidvalidity);
}

static gboolean sync_has(MailUid uid, gpointer data)
{
    FolderSync *sync = data;
    return mailbox_find(folder_mailbox(sync->folder), uid) != NULL ||
           mail_uid_set_contains(sync->folder->taken, uid);
}

static guint64 sync_count(gpointer data)
{
    FolderSync *sync = data;
    return mailbox_count(folder_mailbox(sync->folder));
}

/* Keywords as the index keeps them: words with spaces between. */
static char *join_keywords(const char *const *keywords)
{
    char *joined = keywords_join(keywords);
    if (strlen(joined) > MAX_KEYWORDS)
        joined[MAX_KEYWORDS] = '\0';
    return joined;
}

static void sync_flags(MailUid uid, guint32 flags, const char *const *keywords, gpointer data)
{
    FolderSync *sync = data;
    Folder *folder = sync->folder;
    Account *account = folder->account;
    Message *message = mailbox_find(folder_mailbox(folder), uid);
    if (!message)
        return; /* taken by a change of ours */
    gboolean removed = FALSE;
    guint32 shown = journal_overlay(account->journal, folder, uid, flags, &removed);
    gboolean has_keywords = keywords && keywords[0];
    gboolean same = (message->flags & MAIL_FLAGS_SYSTEM) == shown;
    if (same && !has_keywords && !(message->flags & MESSAGE_KEYWORDS))
        return;
    g_autofree char *joined = join_keywords(keywords);
    if (same) {
        g_autofree char *known = index_get_keywords(account->index, folder->row, uid);
        if (g_strcmp0(known, joined) == 0)
            return;
    }
    sync->found = TRUE;
    g_autoptr(GError) error = NULL;
    gboolean was_visible = message_visible(folder, message);
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    account_batch(account);
    if (!index_set_flags(account->index, folder->row, uid, flags, joined, now, &error))
        account_index_failed(account, error);
    message->flags = (message->flags & ~(guint32)(MAIL_FLAGS_SYSTEM | MESSAGE_KEYWORDS)) | shown |
                     (has_keywords ? MESSAGE_KEYWORDS : 0);
    message->changed = now;
    if (!(flags & MAIL_FLAG_DELETED) && (message->flags & MESSAGE_HIDDEN)) {
        /* Another client took the mark back: it is a message like any other again. */
        message->flags &= ~(guint32)MESSAGE_HIDDEN;
        index_set_hidden(account->index, folder->row, uid, FALSE, NULL);
    }
    gboolean visible = message_visible(folder, message);
    sync->names_changed |= visible != was_visible;
    if (was_visible && !visible)
        account->funcs->gone(folder, message, account->data);
    else
        account->funcs->changed(folder, uid, account->data);
    if (was_visible || visible)
        account_event(!visible       ? ACCOUNT_EVENT_GONE
                      : !was_visible ? ACCOUNT_EVENT_NEW
                                     : ACCOUNT_EVENT_FLAGS,
                      folder, message);
}

static char *header_field(const RemoteMessage *got, const char *name, gsize limit)
{
    char *field =
        got->header ? mail_header_field(got->header, got->header_size, name, limit) : NULL;
    return field ? field : g_strdup("");
}

/* Stores one that is new, or that is known with other names: a size that is known, or that the
 * kernel was told, stays. */
static void put_message(FolderSync *sync, const RemoteMessage *got, const Message *old,
                        const char *from, const char *subject)
{
    Folder *folder = sync->folder;
    Account *account = folder->account;
    g_autofree char *keywords = join_keywords(got->keywords);
    g_autofree char *raw_id = header_field(got, "Message-ID", 500);
    g_autofree char *message_id = g_utf8_make_valid(raw_id, -1);
    guint32 kept =
        old ? old->flags & (MESSAGE_LENGTH_KNOWN | MESSAGE_SIZE_SHOWN | MESSAGE_HIDDEN) : 0;
    guint64 size = kept & (MESSAGE_LENGTH_KNOWN | MESSAGE_SIZE_SHOWN) ? old->size : got->size;
    /* One that was moved here brought its body along. */
    if (!old && bodies_has(account->bodies, folder->row, got->uid, &size))
        kept |= MESSAGE_LENGTH_KNOWN;
    gboolean removed = FALSE;
    guint32 shown = journal_overlay(account->journal, folder, got->uid, got->flags, &removed);
    IndexMessage row = {
        .folder = folder->row,
        .uid = got->uid,
        .flags = got->flags,
        .keywords = keywords,
        .size = got->size,
        .length = (kept & MESSAGE_LENGTH_KNOWN) ? (gint64)size : -1,
        .date = got->date,
        .changed = old ? old->changed : got->date,
        .from = from,
        .subject = subject,
        .message_id = message_id,
        .hidden = (kept & MESSAGE_HIDDEN) != 0,
    };
    Message message = {
        .uid = got->uid,
        .flags =
            shown | kept | (removed ? MESSAGE_REMOVED : 0) | (*keywords ? MESSAGE_KEYWORDS : 0),
        .size = size,
        .date = row.date,
        .changed = row.changed,
        .from = from,
        .subject = subject,
    };
    g_autoptr(GError) error = NULL;
    account_batch(account);
    if (!index_put_message(account->index, &row, &error))
        account_index_failed(account, error);
    sync->names_changed = TRUE;
    const Message *put = mailbox_put(folder->mailbox, &message);
    if (!old && folder->listed && message_visible(folder, put))
        account_event(ACCOUNT_EVENT_NEW, folder, put);
    if (!old)
        arrivals_reported(folder, got->uid, message_id, got->size, got->date);
}

/* One that is known already comes again: the last, with what is new, and all of them when the
 * folder is listed afresh. */
static void sync_message(const RemoteMessage *got, gpointer data)
{
    FolderSync *sync = data;
    Folder *folder = sync->folder;
    if (mail_uid_set_contains(folder->taken, got->uid))
        return; /* we removed it while the server was still listing it */
    RemoteMessage dated = *got;
    if (got->date == REMOTE_DATE_UNKNOWN)
        dated.date = mime_date(got->header ? got->header : "", got->header_size);
    const Message *old = mailbox_find(folder_mailbox(folder), got->uid);
    g_autofree char *raw_from = header_field(got, "From", MAX_FIELD);
    g_autofree char *raw_subject = header_field(got, "Subject", MAX_FIELD);
    g_autofree char *from = mime_sender(raw_from);
    g_autofree char *subject = mime_text(raw_subject);
    if (old && mailbox_has_names(old, from, subject))
        sync_flags(got->uid, got->flags, got->keywords, sync);
    else
        put_message(sync, &dated, old, from, subject);
}

static void sync_vanished(const GArray *uids, gpointer data)
{
    FolderSync *sync = data;
    Mailbox *mailbox = folder_mailbox(sync->folder);
    for (guint i = 0; i < uids->len; i++) {
        const MailUidRange *range = &g_array_index(uids, MailUidRange, i);
        /* By what is known, not by the range: a range may span four billion. */
        guint at = mailbox_position(mailbox, range->first);
        for (; at < mailbox_count(mailbox) && mailbox_at(mailbox, at)->uid <= range->last; at++)
            message_vanished(sync, mailbox_at(mailbox, at));
    }
    folder_drop_messages(sync->folder, uids);
}

static void sync_present(const GArray *uids, gpointer data)
{
    FolderSync *sync = data;
    Maildrop *maildrop = sync->folder->account->maildrop;
    Mailbox *mailbox = folder_mailbox(sync->folder);
    g_autoptr(GArray) gone = mail_uid_set_new();
    guint range = 0;
    for (guint i = 0; i < mailbox_count(mailbox); i++) {
        MailUid uid = mailbox_at(mailbox, i)->uid;
        while (range < uids->len && g_array_index(uids, MailUidRange, range).last < uid)
            range++;
        gboolean absent =
            range >= uids->len || g_array_index(uids, MailUidRange, range).first > uid;
        if (absent && !(maildrop && maildrop_keeps(maildrop, uid)))
            mail_uid_set_add(gone, uid, uid);
    }
    sync_vanished(gone, sync);
    g_clear_pointer(&sync->present, g_array_unref);
    sync->present = mail_uid_set_copy(uids);
}

/* ---- beginning and end ---- */

static void sync_finish(FolderSync *sync, const GError *error)
{
    Folder *folder = sync->folder;
    if (sync->names_changed)
        folder_touch(folder);
    g_clear_pointer(&sync->present, g_array_unref);
    watch_synced(folder, sync->names_changed || sync->found);
    g_free(sync);
    wait_list_wake(&folder->sync_waiters, error);
}

static void sync_done(const GError *error, MailModSeq modseq, gpointer data)
{
    FolderSync *sync = data;
    Folder *folder = sync->folder;
    sync->job = NULL;
    folder->sync = NULL; /* who is woken by what came may stop a sync of it, or begin one */
    if (error) {
        folder->dirty = TRUE;
        sync_finish(sync, error);
        return;
    }
    MailUid last = mailbox_last_uid(folder_mailbox(folder));
    folder->modseq = modseq;
    folder->uidnext = MAX(folder->uidnext, last == G_MAXUINT32 ? last : last + 1);
    folder->listed = TRUE;
    folder->refreshed = g_get_monotonic_time();
    folder->synced = sync->started;
    folder_store(folder);
    sizes_verify(folder);
    arrivals_listed(folder);
    if (folder->account->maildrop && sync->present)
        maildrop_listed(folder->account->maildrop, sync->present);
    sync_finish(sync, NULL);
}

static void sync_start(Folder *folder)
{
    static const RemoteSyncFuncs funcs = {
        .opened = sync_opened,
        .has = sync_has,
        .message = sync_message,
        .flags = sync_flags,
        .vanished = sync_vanished,
        .present = sync_present,
        .count = sync_count,
        .done = sync_done,
    };
    FolderSync *sync = g_new0(FolderSync, 1);
    sync->folder = folder;
    sync->started = g_get_monotonic_time();
    folder->sync = sync;
    folder->dirty = FALSE;
    guint count = mailbox_count(folder_mailbox(folder));
    RemoteSync known = {
        .mailbox = folder->name,
        .uidvalidity = folder->uidvalidity,
        .uidnext = folder->uidnext,
        .modseq = folder->modseq,
        .count = count,
        .complete = folder->listed,
        .headers = folder->account->config.headers,
    };
    sync->job = remote_sync(folder->account->remote, &known, &funcs, sync);
}

void sync_cancel(Folder *folder)
{
    if (!folder->sync)
        return;
    if (folder->sync->job)
        remote_cancel(folder->account->remote, folder->sync->job);
    g_clear_pointer(&folder->sync->present, g_array_unref);
    g_clear_pointer(&folder->sync, g_free);
}

static gboolean is_stale(const Folder *folder)
{
    return folder->refreshed == 0 || folder->dirty ||
           g_get_monotonic_time() - folder->refreshed >= watch_age(folder);
}

gboolean sync_since(Folder *folder, gint64 since, Waiter *waiter)
{
    if (folder->listed && folder->synced > since)
        return TRUE;
    if (folder->sync && folder->sync->started <= since)
        folder->dirty = TRUE; /* one that began too early: another one has to follow */
    else if (!folder->sync)
        sync_start(folder);
    wait_list_add(&folder->sync_waiters, waiter);
    return FALSE;
}

void account_refresh_behind(Account *account, Folder *folder)
{
    if (folder_selectable(folder) && !folder->sync && is_stale(folder))
        sync_start(folder);
}

AccountReply account_refresh_messages(Account *account, Folder *folder, gboolean behind,
                                      Waiter *waiter, GError **error)
{
    if (!folder_selectable(folder))
        return ACCOUNT_READY;
    watch_use(folder);
    folder_mailbox(folder); /* what cannot be read from the index counts as not listed */
    /* A maildrop has one session at a time: a large message on its way must not hold up a listing.
     */
    behind |= account->maildrop && g_hash_table_size(folder->downloads) > 0;
    gboolean first = folder->refreshed == 0;
    gboolean online = remote_state(account->remote) == REMOTE_ONLINE;
    /* What is under way may bring what the caller was told of, even if the listing is young. */
    gboolean stale = folder->sync || is_stale(folder);
    account_refresh_behind(account, folder);
    if (folder->listed && (!stale || first || behind || !online) && folder->verifying == 0)
        return ACCOUNT_READY;
    if (folder->verifying > 0 && !folder->sync && !online)
        return ACCOUNT_READY;
    wait_list_add(&folder->sync_waiters, waiter);
    return ACCOUNT_WAIT;
}
