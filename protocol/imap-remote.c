/* An IMAP server as a Remote: the list of its folders; the jobs of other files under one roof. */
#include "imap-remote.h"

#include <string.h>

/* A server with more folders than this is no server but an attack on our memory. */
#define MAX_FOLDERS 100000

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
    guint folders;
    GPtrArray *names; /* whose messages are still to be counted */
} ListJob;

static gboolean list_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ListJob *list = data;
    if (reply->type != IMAP_REPLY_LIST)
        return FALSE;
    if (list->job.cancelled || list->job.error)
        return TRUE;
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
    if (list->funcs->count && !(folder.flags & MAIL_FOLDER_NOSELECT))
        g_ptr_array_add(list->names, g_strdup(folder.name));
    return TRUE;
}

static gboolean status_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ListJob *list = data;
    if (reply->type != IMAP_REPLY_MAILBOX_STATUS)
        return FALSE;
    const char *name = reply->status.name;
    if (g_ascii_strcasecmp(name, "INBOX") == 0)
        name = "INBOX";
    if (!list->job.cancelled && reply->status.has_messages)
        list->funcs->count(name, reply->status.messages, list->data);
    return TRUE;
}

/* A folder that may not be looked into is no reason to fail. */
static void status_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ImapReply fine = *reply;
    fine.condition = IMAP_OK;
    pool_job_answered(data, &fine, "counting messages");
}

static void list_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    static const ImapCommandFuncs funcs = {.untagged = status_untagged, .done = status_done};
    ListJob *list = data;
    gboolean go_on = reply->condition == IMAP_OK && !list->job.cancelled && !list->job.error;
    for (guint i = 0; go_on && i < list->names->len; i++) {
        const char *name = list->names->pdata[i];
        g_autoptr(ImapCommand) command = imap_session_command(session, "STATUS");
        imap_command_astring(command, name, strlen(name));
        imap_command_atom(command, "(MESSAGES)");
        pool_job_send(&list->job, session, g_steal_pointer(&command), &funcs);
    }
    pool_job_answered(data, reply, "listing the folders");
}

static void list_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = list_untagged, .done = list_done};
    guint32 caps = imap_session_caps(session);
    g_ptr_array_set_size(((ListJob *)job)->names, 0);
    ((ListJob *)job)->folders = 0;
    gboolean special = (caps & IMAP_CAP_SPECIAL_USE) && (caps & IMAP_CAP_LIST_EXTENDED);
    pool_job_send(job, session,
                  imap_session_command(session, special ? "LIST \"\" \"*\" RETURN (SPECIAL-USE)"
                                                        : "LIST \"\" \"*\""),
                  &funcs);
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
    return submit(remote, imap_change_new(IMAP_CHANGE_STORE, what, NULL, done, data));
}

static RemoteJob *remote_copy_new(Remote *remote, const RemoteStore *what, const char *target,
                                  RemoteDone done, gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_COPY, what, target, done, data));
}

static RemoteJob *remote_move_new(Remote *remote, const RemoteStore *what, const char *target,
                                  RemoteDone done, gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_MOVE, what, target, done, data));
}

static RemoteJob *remote_expunge_new(Remote *remote, const RemoteStore *what, RemoteDone done,
                                     gpointer data)
{
    return submit(remote, imap_change_new(IMAP_CHANGE_EXPUNGE, what, NULL, done, data));
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

static void remote_do_describe(Remote *remote, GString *out)
{
    Pool *pool = imap_remote(remote)->pool;
    ImapSession *session = pool_any_session(pool);
    g_string_append_printf(out, "connections: %u\n", pool_connections(pool));
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
