/* An IMAP server as a Remote: the list of its folders; the jobs of other files under one roof. */
#include "imap-remote.h"
#include "imap-watch.h"

#include <string.h>

/* A server with more folders than this is no server but an attack on our memory. */
#define MAX_FOLDERS 100000
#define MAX_NAMESPACES 100

typedef struct {
    Remote base;
    Pool *pool;
    PoolFuncs pool_funcs;
    const RemoteFuncs *funcs;
    gpointer data;
    RemoteFeatures features;
} ImapRemote;

static ImapRemote *imap_remote(Remote *remote)
{
    return (ImapRemote *)remote;
}

/* ---- list ---- */

typedef struct {
    RemoteJob job;
    const RemoteListFuncs *funcs;
    gpointer data;
    gboolean inbox_seen;
    guint folders, namespaces;
    gboolean counts;  /* the LIST itself says how many messages there are */
    GPtrArray *names; /* whose messages are still to be counted */
} ListJob;

static void take_count(ListJob *list, const ImapStatus *status)
{
    const char *name = g_ascii_strcasecmp(status->name, "INBOX") == 0 ? "INBOX" : status->name;
    if (!list->job.cancelled && list->funcs->count && status->has_messages)
        list->funcs->count(name, status->messages, list->data);
}

static gboolean list_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ListJob *list = data;
    if (reply->type == IMAP_REPLY_MAILBOX_STATUS)
        take_count(list, &reply->status);
    if (reply->type != IMAP_REPLY_LIST)
        return reply->type == IMAP_REPLY_MAILBOX_STATUS;
    if (list->job.cancelled || list->job.error)
        return TRUE;
    if (reply->list.flags & MAIL_FOLDER_NONEXISTENT)
        return FALSE; /* no answer: news (RFC 5465 section 5.4), or a level above others */
    if (++list->folders > MAX_FOLDERS) {
        pool_job_fail(&list->job,
                      g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                  "the server lists more than %d folders", MAX_FOLDERS));
        return TRUE;
    }
    RemoteFolder folder = {
        .name = reply->list.name,
        .delimiter = reply->list.delimiter,
        .flags = reply->list.flags,
    };
    if (g_ascii_strcasecmp(folder.name, "INBOX") == 0) {
        folder.name = "INBOX"; /* in any case, RFC 9051 section 5.1 */
        list->inbox_seen = TRUE;
    }
    /* An empty name is the answer to a question about the delimiter, no mailbox. */
    if (!*folder.name)
        return TRUE;
    list->funcs->folder(&folder, list->data);
    if (list->funcs->count && !list->counts && !(folder.flags & MAIL_FOLDER_NOSELECT))
        g_ptr_array_add(list->names, g_strdup(folder.name));
    return TRUE;
}

static void list_done(ImapSession *session, const ImapReply *reply, gpointer data);
static const ImapCommandFuncs list_funcs = {.untagged = list_untagged, .done = list_done};

/* Some servers leave the folders of other users and shared ones out of LIST "*": each of their
 * namespaces (RFC 2342) is listed too. Names that come twice do no harm. */
static void list_namespaces(ListJob *list, ImapSession *session, const ImapValue *kind)
{
    for (const ImapValue *space = kind ? kind->child : NULL; space; space = space->next) {
        const char *prefix = imap_value_text(space->child);
        if (!prefix || !*prefix || list->namespaces++ >= MAX_NAMESPACES)
            continue;
        g_autofree char *pattern = g_strconcat(prefix, "*", NULL);
        g_autoptr(ImapCommand) command = imap_session_command(session, "LIST \"\"");
        if (imap_command_string(command, pattern, strlen(pattern)))
            pool_job_send(&list->job, session, g_steal_pointer(&command), &list_funcs);
    }
}

static gboolean namespace_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ListJob *list = data;
    if (reply->type != IMAP_REPLY_NAMESPACE)
        return FALSE;
    const ImapValue *personal = reply->values;
    const ImapValue *others = personal ? personal->next : NULL;
    if (!list->job.cancelled) {
        list_namespaces(list, session, others);
        list_namespaces(list, session, others ? others->next : NULL);
    }
    return TRUE;
}

/* What cannot be told or looked into is no reason to fail. */
static void harmless_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ImapReply fine = *reply;
    fine.condition = IMAP_OK;
    pool_job_answered(data, &fine, "looking at the folders");
}

/* LIST-STATUS (RFC 5819) has counted them already, else they are asked for one by one. */
static void count_messages(ListJob *list, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = list_untagged, .done = harmless_done};
    for (guint i = 0; i < list->names->len; i++) {
        const char *name = list->names->pdata[i];
        g_autoptr(ImapCommand) command = imap_session_command(session, "STATUS");
        imap_command_astring(command, name, strlen(name));
        imap_command_atom(command, "(MESSAGES)");
        pool_job_send(&list->job, session, g_steal_pointer(&command), &funcs);
    }
    g_ptr_array_set_size(list->names, 0);
}

static void list_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ListJob *list = data;
    if (reply->condition == IMAP_OK && !list->job.cancelled && !list->job.error)
        count_messages(list, session);
    pool_job_answered(data, reply, "listing the folders");
}

static void list_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs namespace_funcs = {.untagged = namespace_untagged,
                                                     .done = harmless_done};
    ListJob *list = (ListJob *)job;
    guint32 caps = imap_session_caps(session);
    gboolean extended = (caps & IMAP_CAP_LIST_EXTENDED) != 0;
    gboolean special = extended && (caps & IMAP_CAP_SPECIAL_USE);
    list->counts = extended && list->funcs->count && (caps & IMAP_CAP_LIST_STATUS);
    list->folders = list->namespaces = 0;
    g_ptr_array_set_size(list->names, 0);
    g_autofree char *command =
        g_strdup_printf("LIST \"\" \"*\"%s%s%s%s", special || list->counts ? " RETURN (" : "",
                        special ? "SPECIAL-USE" : "",
                        !list->counts ? ""
                        : special     ? " STATUS (MESSAGES)"
                                      : "STATUS (MESSAGES)",
                        special || list->counts ? ")" : "");
    pool_job_send(job, session, imap_session_command(session, command), &list_funcs);
    if (caps & IMAP_CAP_NAMESPACE)
        pool_job_send(job, session, imap_session_command(session, "NAMESPACE"), &namespace_funcs);
}

static void list_finish(RemoteJob *job, const GError *error)
{
    ListJob *list = (ListJob *)job;
    if (!error && !list->inbox_seen) {
        RemoteFolder inbox = {.name = "INBOX"}; /* exists whether it is listed or not */
        list->funcs->folder(&inbox, list->data);
    }
    list->funcs->done(error, list->data);
}

static void list_free(RemoteJob *job)
{
    g_ptr_array_unref(((ListJob *)job)->names);
    g_free(job);
}

static RemoteJob *remote_list_new(Remote *remote, const RemoteListFuncs *funcs, gpointer data)
{
    static const PoolJobClass klass = {
        .run = list_run, .finish = list_finish, .free = list_free, .idempotent = TRUE};
    ListJob *list = g_new0(ListJob, 1);
    list->job.klass = &klass;
    list->names = g_ptr_array_new_with_free_func(g_free);
    list->funcs = funcs;
    list->data = data;
    pool_submit(imap_remote(remote)->pool, &list->job);
    return &list->job;
}

/* ---- the remote ---- */

static RemoteJob *submit(Remote *remote, RemoteJob *job)
{
    pool_submit(imap_remote(remote)->pool, job);
    return job;
}

static RemoteJob *remote_sync_new(Remote *remote, const RemoteSync *known,
                                  const RemoteSyncFuncs *funcs, gpointer data)
{
    return submit(remote, imap_sync_new(known, funcs, data));
}

static RemoteJob *remote_fetch_new(Remote *remote, const RemoteFetch *what,
                                   const RemoteFetchFuncs *funcs, gpointer data)
{
    return submit(remote, imap_body_new(what, funcs, data));
}

static RemoteJob *remote_store_new(Remote *remote, const RemoteStore *what, RemoteDone done,
                                   gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_STORE, what, NULL, done, NULL, data));
}

static RemoteJob *remote_copy_new(Remote *remote, const RemoteStore *what, const char *target,
                                  RemoteMovedDone done, gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_COPY, what, target, NULL, done, data));
}

static RemoteJob *remote_move_new(Remote *remote, const RemoteStore *what, const char *target,
                                  RemoteMovedDone done, gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_MOVE, what, target, NULL, done, data));
}

static RemoteJob *remote_expunge_new(Remote *remote, const RemoteStore *what, RemoteDone done,
                                     gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_EXPUNGE, what, NULL, done, NULL, data));
}

static RemoteJob *remote_append_new(Remote *remote, const char *mailbox, const RemoteNew *messages,
                                    guint count, RemoteAppended done, gpointer data)
{
    return submit(remote, imap_append_new(mailbox, messages, count, done, data));
}

static RemoteJob *remote_create_new(Remote *remote, const char *mailbox, RemoteDone done,
                                    gpointer data)
{
    return submit(remote, imap_create_new(mailbox, done, data));
}

static RemoteJob *remote_remove_new(Remote *remote, const char *mailbox, gboolean selectable,
                                    RemoteDone done, gpointer data)
{
    return submit(remote, imap_delete_new(mailbox, selectable, done, data));
}

static RemoteJob *remote_rename_new(Remote *remote, const char *mailbox, const char *new_name,
                                    RemoteDone done, gpointer data)
{
    return submit(remote, imap_rename_new(mailbox, new_name, done, data));
}

static RemoteJob *remote_quota_new(Remote *remote, const char *mailbox, RemoteQuotaDone done,
                                   gpointer data)
{
    return submit(remote, imap_quota_new(mailbox, done, data));
}

static void remote_destroy(Remote *remote)
{
    pool_free(imap_remote(remote)->pool);
    g_free(remote);
}

static void remote_do_start(Remote *remote)
{
    pool_start(imap_remote(remote)->pool);
}

static void remote_do_stop(Remote *remote)
{
    pool_stop(imap_remote(remote)->pool);
}

static void remote_do_wake(Remote *remote)
{
    pool_wake(imap_remote(remote)->pool);
}

static RemoteState remote_get_state(Remote *remote)
{
    return pool_state(imap_remote(remote)->pool);
}

static const RemoteFeatures *remote_get_features(Remote *remote)
{
    return &imap_remote(remote)->features;
}

static void remote_take_secret(Remote *remote, Secret *secret)
{
    pool_set_secret(imap_remote(remote)->pool, secret);
}

static void remote_do_cancel(Remote *remote, RemoteJob *job)
{
    pool_cancel(imap_remote(remote)->pool, job);
}

static void remote_do_watch(Remote *remote, const char *const *mailboxes)
{
    watch_want(imap_remote(remote)->pool, mailboxes);
}

static gboolean remote_is_watched(Remote *remote, const char *mailbox)
{
    return watch_has(imap_remote(remote)->pool, mailbox);
}

static void remote_do_describe(Remote *remote, GString *out)
{
    Pool *pool = imap_remote(remote)->pool;
    ImapSession *session = pool_any_session(pool);
    g_string_append_printf(out, "connections: %u\n", pool_connections(pool));
    watch_describe(pool, out);
    if (!session)
        return;
    const char *tls = stream_tls_description(imap_session_stream(session));
    g_string_append_printf(out, "tls: %s\n", tls ? tls : "no");
    g_string_append_printf(out, "compression: %s\n",
                           imap_session_is_compressed(session) ? "DEFLATE" : "no");
    g_string_append_printf(out, "login: %s\n", imap_session_mechanism(session));
    g_string_append_printf(out, "capabilities: %s\n", imap_session_capabilities(session));
}

static void pool_changed_state(RemoteState state, const GError *error, gpointer data)
{
    ImapRemote *remote = data;
    ImapSession *session = pool_any_session(remote->pool);
    if (session) {
        guint32 caps = imap_session_caps(session);
        remote->features = (RemoteFeatures){
            .uidplus = (caps & IMAP_CAP_UIDPLUS) != 0,
            .move = (caps & IMAP_CAP_MOVE) != 0,
            .condstore = imap_session_has_condstore(session),
            .qresync = imap_session_has_qresync(session),
            .special_use = (caps & IMAP_CAP_SPECIAL_USE) != 0,
            .list_status = (caps & IMAP_CAP_LIST_STATUS) != 0,
            .esearch = (caps & IMAP_CAP_ESEARCH) != 0,
            .compress = (caps & IMAP_CAP_COMPRESS) != 0,
            .multiappend = (caps & IMAP_CAP_MULTIAPPEND) != 0,
            .literal_plus = (caps & IMAP_CAP_LITERAL_PLUS) != 0,
            .quota = (caps & IMAP_CAP_QUOTA) != 0,
            .acl = (caps & IMAP_CAP_ACL) != 0,
            .idle = (caps & IMAP_CAP_IDLE) != 0,
            .notify = (caps & IMAP_CAP_NOTIFY) != 0,
        };
    }
    remote->funcs->state(state, error, remote->data);
}

static void pool_mailbox_changed(const char *mailbox, gpointer data)
{
    ImapRemote *remote = data;
    remote->funcs->changed(mailbox, remote->data);
}

static void pool_renew(gpointer data)
{
    ImapRemote *remote = data;
    remote->funcs->renew(remote->data);
}

Remote *imap_remote_new(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                        gpointer data)
{
    static const RemoteClass klass = {
        .free = remote_destroy,
        .start = remote_do_start,
        .stop = remote_do_stop,
        .wake = remote_do_wake,
        .state = remote_get_state,
        .features = remote_get_features,
        .set_secret = remote_take_secret,
        .describe = remote_do_describe,
        .cancel = remote_do_cancel,
        .list = remote_list_new,
        .sync = remote_sync_new,
        .fetch = remote_fetch_new,
        .store = remote_store_new,
        .copy = remote_copy_new,
        .move = remote_move_new,
        .expunge = remote_expunge_new,
        .append = remote_append_new,
        .create = remote_create_new,
        .remove = remote_remove_new,
        .rename = remote_rename_new,
        .quota = remote_quota_new,
        .watch = remote_do_watch,
        .watched = remote_is_watched,
    };
    ImapRemote *remote = g_new0(ImapRemote, 1);
    remote->base.klass = &klass;
    remote->funcs = funcs;
    remote->data = data;
    remote->pool_funcs =
        (PoolFuncs){pool_changed_state, pool_mailbox_changed, funcs->renew ? pool_renew : NULL};
    remote->pool = pool_new(config, &remote->pool_funcs, remote);
    pool_set_secret(remote->pool, secret);
    return &remote->base;
}
