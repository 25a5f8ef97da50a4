#include "remote-client.h"

#include <string.h>
#include <unistd.h>

static void on_state(RemoteState state, const GError *error, gpointer data)
{
    Client *client = data;
    client->online |= state == REMOTE_ONLINE;
    client->offline |= state == REMOTE_OFFLINE;
    g_clear_error(&client->error);
    client->error = error ? g_error_copy(error) : NULL;
}

static void on_changed(const char *mailbox, gpointer data)
{
    Client *client = data;
    client->changes++;
    g_free(client->changed);
    client->changed = g_strdup(mailbox);
}

static Secret *secret_of(const char *text)
{
    g_autofree char *copy = g_strdup(text);
    return text ? secret_new(copy, strlen(copy)) : NULL;
}

static gboolean answer_renewal(gpointer data)
{
    Client *client = data;
    remote_set_secret(client->remote, secret_of(client->renewed));
    return G_SOURCE_REMOVE;
}

static void on_renew(gpointer data)
{
    Client *client = data;
    client->renewals++;
    g_idle_add(answer_renewal, client);
}

void client_start(Client *client)
{
    static const RemoteFuncs funcs = {.state = on_state, .changed = on_changed, .renew = on_renew};
    client->transcript = transcript_new(client->scripts);
    RemoteConfig config = transcript_config(client->transcript);
    config.connections = MAX(1, client->config.connections);
    config.is_token = client->config.is_token;
    client->remote = imap_remote_new(&config, transcript_secret(), &funcs, client);
    remote_start(client->remote);
}

void client_end(Client *client)
{
    remote_free(client->remote);
    transcript_end(client->transcript);
    g_free(client->changed);
    g_clear_error(&client->error);
}

static void work_done(const GError *error, gpointer data)
{
    Work *work = data;
    g_assert_false(work->over);
    work->error = error ? g_error_copy(error) : NULL;
    work->over = TRUE;
}

static void work_moved(const RemoteMoved *moved, const GError *error, gpointer data)
{
    Work *work = data;
    g_assert_cmpuint(moved->from->len, ==, moved->to->len);
    g_assert_true(moved->uidvalidity != 0 || moved->from->len == 0);
    for (guint i = 0; i < moved->from->len; i++)
        g_string_append_printf(work->told, "%u>%u ", g_array_index(moved->from, MailUid, i),
                               g_array_index(moved->to, MailUid, i));
    if (moved->uidvalidity)
        g_string_append_printf(work->told, "in %u ", moved->uidvalidity);
    work_done(error, data);
}

static Work *work_new(Client *client)
{
    Work *work = g_new0(Work, 1);
    work->client = client;
    work->told = g_string_new(NULL);
    return work;
}

void work_free(Work *work)
{
    g_clear_error(&work->error);
    g_string_free(work->told, TRUE);
    g_free(work);
}
static gboolean body_begin(MailUid uid, guint64 size, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "[%u:%" G_GUINT64_FORMAT " ", uid, size);
    if (work->cancel_at_begin)
        remote_cancel(work->client->remote, work->job);
    return !work->decline;
}

static void body_bytes(const guint8 *bytes, gsize size, gpointer data)
{
    Work *work = data;
    g_assert_false(work->cancel_at_begin);
    g_string_append_len(work->told, (const char *)bytes, (gssize)size);
}

static void body_end(MailUid uid, gpointer data)
{
    Work *work = data;
    g_assert_false(work->cancel_at_begin);
    g_string_append_printf(work->told, " %u]", uid);
}

static const RemoteFetchFuncs fetch_funcs = {body_begin, body_bytes, body_end, work_done};

static GArray *uids(MailUid first, MailUid last)
{
    GArray *set = mail_uid_set_new();
    mail_uid_set_add(set, first, last);
    return set;
}

Work *client_fetch(Client *client, const char *mailbox, MailUid first, MailUid last)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(first, last);
    RemoteFetch what = {.mailbox = mailbox, .uidvalidity = 7, .uids = set};
    work->job = remote_fetch(client->remote, &what, &fetch_funcs, work);
    return work;
}

Work *client_fetch_fresh(Client *client, MailUid uid)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(uid, uid);
    RemoteFetch what = {.mailbox = "A", .uidvalidity = 7, .uids = set, .fresh = TRUE};
    work->job = remote_fetch(client->remote, &what, &fetch_funcs, work);
    return work;
}

Work *client_fetch_window(Client *client, guint64 offset, guint64 length)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(1, 1);
    RemoteFetch what = {.mailbox = "A", .uidvalidity = 7, .uids = set, .window = TRUE};
    what.offset = offset;
    what.length = length;
    work->job = remote_fetch(client->remote, &what, &fetch_funcs, work);
    return work;
}

Work *client_change(Client *client, Kind kind)
{
    return client_change_uids(client, kind, 1, 2);
}

Work *client_change_uids(Client *client, Kind kind, MailUid first, MailUid last)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(first, last);
    RemoteStore what = {
        .mailbox = "A", .uidvalidity = 7, .uids = set, .add = MAIL_FLAG_SEEN, .remove = 0};
    Remote *remote = client->remote;
    work->job = kind == STORE  ? remote_store(remote, &what, work_done, work)
                : kind == COPY ? remote_copy(remote, &what, "T", work_moved, work)
                : kind == MOVE ? remote_move(remote, &what, "T", work_moved, work)
                               : remote_expunge(remote, &what, work_done, work);
    return work;
}

static void work_appended(MailUidValidity uidvalidity, const MailUid *uids, const GError *error,
                          gpointer data)
{
    Work *work = data;
    g_assert_true((uidvalidity != 0) == (uids != NULL));
    for (guint i = 0; uids && i < work->count; i++)
        g_string_append_printf(work->told, "%u ", uids[i]);
    if (uids)
        g_string_append_printf(work->told, "in %u ", uidvalidity);
    work_done(error, data);
}

static int file_of(const char *text)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp(NULL, &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(unlink(path), ==, 0);
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (gssize)strlen(text));
    return fd;
}

Work *client_append(Client *client, const char *const *texts, guint missing)
{
    static const char *const keywords[] = {"$A", NULL};
    Work *work = work_new(client);
    g_autofree RemoteNew *messages = g_new0(RemoteNew, g_strv_length((char **)texts));
    for (; texts[work->count]; work->count++)
        messages[work->count] = (RemoteNew){.fd = file_of(texts[work->count]),
                                            .size = strlen(texts[work->count]),
                                            .date = 1769915045,
                                            .flags = MAIL_FLAG_SEEN | MAIL_FLAG_RECENT,
                                            .keywords = keywords};
    messages[work->count - 1].size += missing;
    work->job = remote_append(client->remote, "T", messages, work->count, work_appended, work);
    for (guint i = 0; i < work->count; i++)
        close(messages[i].fd);
    return work;
}

Work *client_create(Client *client, const char *mailbox)
{
    Work *work = work_new(client);
    work->job = remote_create(client->remote, mailbox, work_done, work);
    return work;
}

Work *client_delete(Client *client, const char *mailbox, gboolean selectable)
{
    Work *work = work_new(client);
    work->job = remote_delete(client->remote, mailbox, selectable, work_done, work);
    return work;
}

Work *client_rename(Client *client, const char *mailbox, const char *new_name)
{
    Work *work = work_new(client);
    work->job = remote_rename(client->remote, mailbox, new_name, work_done, work);
    return work;
}

static void quota_told(guint64 used, guint64 limit, const GError *error, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT, used, limit);
    work_done(error, data);
}

Work *client_quota(Client *client)
{
    Work *work = work_new(client);
    work->job = remote_quota(client->remote, "INBOX", quota_told, work);
    return work;
}

static void box_opened(const RemoteMailbox *info, gpointer data)
{
    Work *work = data;
    g_autofree char *keywords = g_strjoinv(
        ",", info->permanent_keywords ? (char **)info->permanent_keywords : (char *[]){NULL});
    g_string_append_printf(work->told, "flags=%x keywords=%s rights=%s%s", info->permanent_flags,
                           keywords, info->rights ? info->rights : "?",
                           info->read_only ? " read-only" : "");
}

static gboolean box_has(MailUid uid, gpointer data)
{
    return FALSE;
}

static void box_message(const RemoteMessage *message, gpointer data)
{
}

static void box_flags(MailUid uid, guint32 flags, const char *const *keywords, gpointer data)
{
}

static void box_uids(const GArray *uids, gpointer data)
{
}

static guint64 box_count(gpointer data)
{
    return 0;
}

static void box_done(const GError *error, MailModSeq modseq, gpointer data)
{
    work_done(error, data);
}

Work *client_open(Client *client, const char *mailbox)
{
    static const RemoteSyncFuncs funcs = {box_opened, box_has,  box_message, box_flags,
                                          box_uids,   box_uids, box_count,   box_done};
    Work *work = work_new(client);
    RemoteSync known = {.mailbox = mailbox};
    work->job = remote_sync(client->remote, &known, &funcs, work);
    return work;
}

static void folder_seen(const RemoteFolder *folder, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "%s ", folder->name);
}

static void folder_counted(const char *mailbox, guint64 messages, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "%s=%" G_GUINT64_FORMAT " ", mailbox, messages);
}

Work *client_list(Client *client, gboolean counts)
{
    static const RemoteListFuncs plain = {folder_seen, NULL, work_done};
    static const RemoteListFuncs counting = {folder_seen, folder_counted, work_done};
    Work *work = work_new(client);
    work->job = remote_list(client->remote, counts ? &counting : &plain, work);
    return work;
}

void work_succeeds(Work *work, const char *told)
{
    transcript_wait(&work->over);
    g_assert_no_error(work->error);
    g_assert_cmpstr(work->told->str, ==, told);
}

void work_fails(Work *work, MailError code)
{
    transcript_wait(&work->over);
    g_assert_error(work->error, MAIL_ERROR, (gint)code);
}
