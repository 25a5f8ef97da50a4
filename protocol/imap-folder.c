/* Mailboxes themselves, as jobs of the pool: CREATE, DELETE, RENAME, and their quota.
 *
 * Subscriptions follow, for other programs show nothing else; that a server refuses them is no
 * reason to fail. A CREATE or DELETE that was cut off is repeated, and finds what it did. */
#include "imap-remote.h"

#include <string.h>

/* Subscriptions that follow a RENAME: beyond that they stay what they were. */
#define MAX_SUBSCRIPTIONS 1000

typedef struct {
    RemoteJob job;
    RemoteDone done;
    gpointer data;
    char *name, *new_name;
    gboolean selectable;
    gboolean tried; /* the command itself was sent before, on a connection that was lost */
    gboolean sent_now;
    gboolean counted;
    guint64 messages;
    GPtrArray *subscribed; /* of char*: the renamed and what is below */
} FolderJob;

static ImapCommand *command_for(ImapSession *session, const char *verb, const char *mailbox)
{
    ImapCommand *command = imap_session_command(session, verb);
    imap_command_astring(command, mailbox, strlen(mailbox));
    return command;
}

static void answered(FolderJob *folder, const ImapReply *reply)
{
    pool_job_answered(&folder->job, reply, "changing the folders");
}

static void harmless_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ImapReply fine = *reply;
    fine.condition = IMAP_OK;
    answered(data, &fine);
}

static void send_harmless(FolderJob *folder, ImapSession *session, const char *verb,
                          const char *mailbox)
{
    static const ImapCommandFuncs funcs = {.done = harmless_done};
    pool_job_send(&folder->job, session, command_for(session, verb, mailbox), &funcs);
}

/* The command that this job is about; an earlier attempt may have got through. */
static void send_main(FolderJob *folder, ImapSession *session, ImapCommand *command,
                      const ImapCommandFuncs *funcs)
{
    folder->tried = folder->sent_now;
    folder->sent_now = TRUE;
    pool_job_send(&folder->job, session, command, funcs);
}

/* What stands in the way is what an earlier attempt of ours did. */
static gboolean was_done(const FolderJob *folder, const ImapReply *reply, ImapCode code)
{
    return folder->tried && reply->condition == IMAP_NO && reply->code == code;
}

static gboolean may_go_on(const FolderJob *folder, const ImapReply *reply)
{
    return reply->condition == IMAP_OK && !folder->job.cancelled && !folder->job.error;
}

/* ---- CREATE ---- */

static void create_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FolderJob *folder = data;
    if (was_done(folder, reply, IMAP_CODE_ALREADYEXISTS)) {
        harmless_done(session, reply, data);
        return;
    }
    if (may_go_on(folder, reply))
        send_harmless(folder, session, "SUBSCRIBE", folder->name);
    answered(folder, reply);
}

static void create_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = create_done};
    FolderJob *folder = (FolderJob *)job;
    send_main(folder, session, command_for(session, "CREATE", folder->name), &funcs);
}

/* ---- DELETE ---- */

static void delete_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FolderJob *folder = data;
    gboolean gone = was_done(folder, reply, IMAP_CODE_NONEXISTENT);
    pool_job_leave(&folder->job);
    if (gone || may_go_on(folder, reply))
        send_harmless(folder, session, "UNSUBSCRIBE", folder->name);
    if (gone)
        harmless_done(session, reply, data);
    else
        answered(folder, reply);
}

static void send_delete(FolderJob *folder, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = delete_done};
    send_main(folder, session, command_for(session, "DELETE", folder->name), &funcs);
}

static gboolean count_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FolderJob *folder = data;
    if (reply->type != IMAP_REPLY_MAILBOX_STATUS || !reply->status.has_messages ||
        strcmp(reply->status.name, folder->name) != 0)
        return FALSE;
    folder->counted = TRUE;
    folder->messages = reply->status.messages;
    return TRUE;
}

static void count_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FolderJob *folder = data;
    if (folder->sent_now && reply->condition == IMAP_NO && reply->code == IMAP_CODE_NONEXISTENT) {
        harmless_done(session, reply, data); /* removed by the attempt before */
        return;
    }
    if (may_go_on(folder, reply) && !folder->counted)
        pool_job_fail(&folder->job,
                      g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                          "the server does not say whether the folder is empty"));
    else if (may_go_on(folder, reply) && folder->messages > 0)
        pool_job_fail(&folder->job,
                      g_error_new(MAIL_ERROR, MAIL_ERROR_NOT_EMPTY,
                                  "the folder holds messages on the server (%" G_GUINT64_FORMAT ")",
                                  folder->messages));
    else if (may_go_on(folder, reply))
        send_delete(folder, session);
    answered(folder, reply);
}

/* DELETE takes what is in the mailbox with it. The count must not be one that a session with the
 * mailbox open remembers. */
static void delete_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = count_untagged, .done = count_done};
    FolderJob *folder = (FolderJob *)job;
    pool_job_leave(job);
    if (!folder->selectable) {
        send_delete(folder, session);
        return;
    }
    folder->counted = FALSE;
    ImapCommand *command = command_for(session, "STATUS", folder->name);
    imap_command_atom(command, "(MESSAGES)");
    pool_job_send(job, session, command, &funcs);
}

/* ---- RENAME ---- */

/* Another client sees the old names, and none of the new ones, until this is done. */
static void move_subscriptions(FolderJob *folder, ImapSession *session)
{
    for (guint i = 0; i < folder->subscribed->len; i++) {
        const char *old = folder->subscribed->pdata[i];
        g_autofree char *now = g_strconcat(folder->new_name, old + strlen(folder->name), NULL);
        send_harmless(folder, session, "SUBSCRIBE", now);
        send_harmless(folder, session, "UNSUBSCRIBE", old);
    }
    g_ptr_array_set_size(folder->subscribed, 0);
}

static void rename_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FolderJob *folder = data;
    pool_job_leave(&folder->job);
    if (may_go_on(folder, reply))
        move_subscriptions(folder, session);
    answered(folder, reply);
}

/* The mailbox itself, or one below it. */
static gboolean is_within(const ImapList *list, const char *mailbox)
{
    gsize length = strlen(mailbox);
    return strncmp(list->name, mailbox, length) == 0 &&
           (list->name[length] == '\0' ||
            (list->delimiter && list->name[length] == list->delimiter));
}

static gboolean subscription_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FolderJob *folder = data;
    if (reply->type != IMAP_REPLY_LIST || !(reply->list.flags & MAIL_FOLDER_SUBSCRIBED))
        return FALSE;
    if (is_within(&reply->list, folder->name) && folder->subscribed->len < MAX_SUBSCRIPTIONS)
        g_ptr_array_add(folder->subscribed, g_strdup(reply->list.name));
    return TRUE;
}

static void subscriptions_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    static const ImapCommandFuncs funcs = {.done = rename_done};
    FolderJob *folder = data;
    if (!folder->job.cancelled) {
        ImapCommand *command = command_for(session, "RENAME", folder->name);
        imap_command_astring(command, folder->new_name, strlen(folder->new_name));
        folder->sent_now = TRUE;
        pool_job_send(&folder->job, session, command, &funcs);
    }
    harmless_done(session, reply, data);
}

static void rename_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = subscription_untagged,
                                           .done = subscriptions_done};
    FolderJob *folder = (FolderJob *)job;
    g_autofree char *pattern = g_strconcat(folder->name, "*", NULL);
    gboolean extended = (imap_session_caps(session) & IMAP_CAP_LIST_EXTENDED) != 0;
    pool_job_leave(job);
    g_ptr_array_set_size(folder->subscribed, 0);
    ImapCommand *command =
        imap_session_command(session, extended ? "LIST (SUBSCRIBED) \"\"" : "LSUB \"\"");
    imap_command_string(command, pattern, strlen(pattern));
    pool_job_send(job, session, command, &funcs);
}

/* ---- the job ---- */

static void folder_finish(RemoteJob *job, const GError *error)
{
    FolderJob *folder = (FolderJob *)job;
    folder->done(error, folder->data);
}

static void folder_free(RemoteJob *job)
{
    FolderJob *folder = (FolderJob *)job;
    g_ptr_array_unref(folder->subscribed);
    g_free(folder->name);
    g_free(folder->new_name);
    g_free(folder);
}

static FolderJob *folder_new(const PoolJobClass *klass, const char *mailbox, RemoteDone done,
                             gpointer data)
{
    FolderJob *folder = g_new0(FolderJob, 1);
    folder->job.klass = klass;
    folder->name = g_strdup(mailbox);
    folder->subscribed = g_ptr_array_new_with_free_func(g_free);
    folder->done = done;
    folder->data = data;
    return folder;
}

RemoteJob *imap_create_new(const char *mailbox, RemoteDone done, gpointer data)
{
    static const PoolJobClass klass = {
        .run = create_run, .finish = folder_finish, .free = folder_free, .idempotent = TRUE};
    return &folder_new(&klass, mailbox, done, data)->job;
}

RemoteJob *imap_delete_new(const char *mailbox, gboolean selectable, RemoteDone done, gpointer data)
{
    static const PoolJobClass klass = {
        .run = delete_run, .finish = folder_finish, .free = folder_free, .idempotent = TRUE};
    FolderJob *folder = folder_new(&klass, mailbox, done, data);
    folder->selectable = selectable;
    folder->job.leaves = g_strdup(mailbox);
    return &folder->job;
}

RemoteJob *imap_rename_new(const char *mailbox, const char *new_name, RemoteDone done,
                           gpointer data)
{
    static const PoolJobClass klass = {
        .run = rename_run, .finish = folder_finish, .free = folder_free};
    FolderJob *folder = folder_new(&klass, mailbox, done, data);
    folder->new_name = g_strdup(new_name);
    folder->job.leaves = g_strdup(mailbox);
    return &folder->job;
}

/* ---- quota ---- */

typedef struct {
    RemoteJob job;
    RemoteQuotaDone done;
    gpointer data;
    char *name;
    guint64 used, limit; /* of the root with the least room; bytes */
} QuotaJob;

static void take_storage(QuotaJob *quota, guint64 used, guint64 limit)
{
    if (limit > G_MAXUINT64 / 1024 || used > G_MAXUINT64 / 1024)
        return;
    guint64 room = limit > used ? limit - used : 0;
    guint64 known = quota->limit > quota->used ? quota->limit - quota->used : 0;
    if (quota->limit > 0 && known <= room * 1024)
        return;
    quota->used = used * 1024;
    quota->limit = limit * 1024;
}

/* "* QUOTA root (STORAGE used limit MESSAGE used limit)", RFC 9208; STORAGE in units of 1024. */
static gboolean quota_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    QuotaJob *quota = data;
    if (reply->type == IMAP_REPLY_QUOTAROOT)
        return TRUE;
    if (reply->type != IMAP_REPLY_QUOTA)
        return FALSE;
    const ImapValue *list = reply->values ? reply->values->next : NULL;
    const ImapValue *item = list ? list->child : NULL;
    while (item && item->next && item->next->next) {
        guint64 used, limit;
        if (imap_value_is(item, "STORAGE") && imap_value_number(item->next, &used) &&
            imap_value_number(item->next->next, &limit))
            take_storage(quota, used, limit);
        item = item->next->next->next;
    }
    return TRUE;
}

static void quota_answered(ImapSession *session, const ImapReply *reply, gpointer data)
{
    pool_job_answered(data, reply, "asking for the quota");
}

static void quota_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = quota_untagged, .done = quota_answered};
    QuotaJob *quota = (QuotaJob *)job;
    quota->used = quota->limit = 0;
    if (imap_session_caps(session) & IMAP_CAP_QUOTA)
        pool_job_send(job, session, command_for(session, "GETQUOTAROOT", quota->name), &funcs);
}

static void quota_finish(RemoteJob *job, const GError *error)
{
    QuotaJob *quota = (QuotaJob *)job;
    quota->done(quota->used, quota->limit, error, quota->data);
}

static void quota_free(RemoteJob *job)
{
    QuotaJob *quota = (QuotaJob *)job;
    g_free(quota->name);
    g_free(quota);
}

RemoteJob *imap_quota_new(const char *mailbox, RemoteQuotaDone done, gpointer data)
{
    static const PoolJobClass klass = {
        .run = quota_run, .finish = quota_finish, .free = quota_free, .idempotent = TRUE};
    QuotaJob *quota = g_new0(QuotaJob, 1);
    quota->job.klass = &klass;
    quota->name = g_strdup(mailbox);
    quota->done = done;
    quota->data = data;
    return &quota->job;
}
