/* The operations of remote.h as IMAP commands, but for sync, which has a file of its own. */
#include "imap-remote.h"

#include <string.h>

#define MAX_SET 7000 /* bytes of a sequence set in one command, RFC 9051 section 4 */

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
    GPtrArray *names; /* whose messages are still to be counted */
} ListJob;

static gboolean list_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ListJob *list = data;
    if (reply->type != IMAP_REPLY_LIST)
        return FALSE;
    if (list->job.cancelled)
        return TRUE;
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
    if (!list->job.cancelled && reply->status.has_messages)
        list->funcs->count(reply->status.name, reply->status.messages, list->data);
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
    for (guint i = 0; i < list->names->len; i++) {
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

/* ---- fetch ---- */

typedef struct {
    RemoteJob job;
    const RemoteFetchFuncs *funcs;
    gpointer data;
    GArray *left; /* uids not delivered yet */
    gboolean window;
    guint64 offset, length;
    gboolean receiving; /* a body was begun and has not ended */
    gboolean declined;  /* ... but nobody wants it */
    MailUid uid;        /* of the one that is being received, 0 unknown */
} FetchJob;

/* The data of a fetch that was overtaken by an error or a cancel must pass unseen. */
static gboolean fetch_is_void(const FetchJob *fetch)
{
    return fetch->job.cancelled || fetch->job.error;
}

static gboolean fetch_body_begin(ImapSession *session, const ImapLiteralContext *context,
                                 guint64 size, gpointer data)
{
    FetchJob *fetch = data;
    if (fetch_is_void(fetch) || fetch->receiving)
        return FALSE;
    if (context->uid && !mail_uid_set_contains(fetch->left, context->uid))
        return FALSE;
    if (fetch->window && (!context->partial || context->offset != fetch->offset))
        return FALSE;
    if (fetch->window && size > fetch->length) {
        pool_job_fail(&fetch->job,
                      g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                          "the server sent more of a message than was asked for"));
        return FALSE;
    }
    fetch->uid = context->uid;
    fetch->receiving = TRUE;
    fetch->declined = !fetch->funcs->begin(context->uid, size, fetch->data);
    return !fetch->declined;
}

static void fetch_body_bytes(ImapSession *session, const guint8 *bytes, gsize size, gpointer data)
{
    FetchJob *fetch = data;
    if (!fetch_is_void(fetch))
        fetch->funcs->bytes(bytes, size, fetch->data);
}

/* The reply is whole, and names its message: the body received within it belongs to that. */
static gboolean fetch_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    FetchJob *fetch = data;
    if (reply->type != IMAP_REPLY_FETCH)
        return FALSE;
    const ImapFetch *got = &reply->fetch;
    gboolean streamed = fetch->receiving;
    gboolean ours = got->uid && mail_uid_set_contains(fetch->left, got->uid);
    if (streamed && fetch->uid && fetch->uid != got->uid) {
        imap_session_fail(session, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                                       "one reply names two messages"));
        return TRUE;
    }
    fetch->receiving = FALSE;
    if (fetch_is_void(fetch))
        return streamed;
    if (streamed && !fetch->declined)
        fetch->funcs->end(ours ? got->uid : 0, fetch->data);
    if (!ours || (!streamed && !got->body))
        return streamed;
    if (!streamed && fetch->funcs->begin(got->uid, got->body_size, fetch->data)) {
        fetch->funcs->bytes((const guint8 *)got->body, got->body_size, fetch->data);
        fetch->funcs->end(got->uid, fetch->data);
    }
    mail_uid_set_remove(fetch->left, got->uid);
    return TRUE;
}

static void fetch_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    pool_job_answered(data, reply, "fetching messages");
}

static void fetch_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {
        .untagged = fetch_untagged,
        .body_begin = fetch_body_begin,
        .body_bytes = fetch_body_bytes,
        .done = fetch_done,
    };
    FetchJob *fetch = (FetchJob *)job;
    fetch->receiving = FALSE;
    for (guint at = 0; at < fetch->left->len;) {
        g_autoptr(ImapCommand) command = imap_session_command(session, "UID FETCH");
        g_autofree char *set = imap_sequence_set(fetch->left, &at, MAX_SET);
        imap_command_atom(command, set);
        g_autofree char *items =
            fetch->window
                ? g_strdup_printf("(UID BODY.PEEK[]<%" G_GUINT64_FORMAT ".%" G_GUINT64_FORMAT ">)",
                                  fetch->offset, fetch->length)
                : g_strdup("(UID BODY.PEEK[])");
        imap_command_atom(command, items);
        pool_job_send(job, session, g_steal_pointer(&command), &funcs);
    }
}

static void fetch_finish(RemoteJob *job, const GError *error)
{
    FetchJob *fetch = (FetchJob *)job;
    fetch->funcs->done(error, fetch->data);
}

static void fetch_free(RemoteJob *job)
{
    g_array_unref(((FetchJob *)job)->left);
    g_free(job);
}

static GArray *copy_set(const GArray *set)
{
    GArray *copy = mail_uid_set_new();
    g_array_append_vals(copy, set->data, set->len);
    return copy;
}

static RemoteJob *remote_fetch_new(Remote *remote, const RemoteFetch *what,
                                   const RemoteFetchFuncs *funcs, gpointer data)
{
    static const PoolJobClass klass = {
        .run = fetch_run, .finish = fetch_finish, .free = fetch_free, .idempotent = TRUE};
    FetchJob *fetch = g_new0(FetchJob, 1);
    fetch->job.klass = &klass;
    fetch->job.mailbox = g_strdup(what->mailbox);
    fetch->job.uidvalidity = what->uidvalidity;
    fetch->funcs = funcs;
    fetch->data = data;
    fetch->left = copy_set(what->uids);
    fetch->window = what->window;
    fetch->offset = what->offset;
    fetch->length = what->length;
    pool_submit(imap_remote(remote)->pool, &fetch->job);
    return &fetch->job;
}

/* ---- store, copy, move, expunge ---- */

typedef struct {
    RemoteJob job;
    RemoteDone done;
    gpointer data;
    GArray *uids;
    guint32 add, remove;
    char **add_keywords, **remove_keywords;
    char *target;
    GArray *found; /* expunge without UIDPLUS: what carries \Deleted */
} ChangeJob;

static void change_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    pool_job_answered(data, reply, "changing messages");
}

/* The flags that a STORE reports back are what was asked for; a sync sees whatever differs. */
static gboolean change_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ChangeJob *change = data;
    return reply->type == IMAP_REPLY_FETCH && reply->fetch.uid &&
           mail_uid_set_contains(change->uids, reply->fetch.uid);
}

static const ImapCommandFuncs change_funcs = {.untagged = change_untagged, .done = change_done};

/* One command for each part of the set that fits a line: name set [args]. */
static void send_sets(ChangeJob *change, ImapSession *session, const char *name,
                      void (*arguments)(ImapCommand *command, const ChangeJob *change))
{
    for (guint at = 0; at < change->uids->len;) {
        g_autoptr(ImapCommand) command = imap_session_command(session, name);
        g_autofree char *set = imap_sequence_set(change->uids, &at, MAX_SET);
        imap_command_atom(command, set);
        if (arguments)
            arguments(command, change);
        pool_job_send(&change->job, session, g_steal_pointer(&command), &change_funcs);
    }
}

static void add_arguments(ImapCommand *command, const ChangeJob *change)
{
    imap_command_atom(command, "+FLAGS.SILENT");
    imap_command_flags(command, change->add, (const char *const *)change->add_keywords);
}

static void remove_arguments(ImapCommand *command, const ChangeJob *change)
{
    imap_command_atom(command, "-FLAGS.SILENT");
    imap_command_flags(command, change->remove, (const char *const *)change->remove_keywords);
}

static void target_argument(ImapCommand *command, const ChangeJob *change)
{
    imap_command_astring(command, change->target, strlen(change->target));
}

static gboolean has_words(char **words)
{
    return words && words[0];
}

static void store_run(RemoteJob *job, ImapSession *session)
{
    ChangeJob *change = (ChangeJob *)job;
    if (change->add || has_words(change->add_keywords))
        send_sets(change, session, "UID STORE", add_arguments);
    if (change->remove || has_words(change->remove_keywords))
        send_sets(change, session, "UID STORE", remove_arguments);
}

static void copy_run(RemoteJob *job, ImapSession *session)
{
    send_sets((ChangeJob *)job, session, "UID COPY", target_argument);
}

static void move_run(RemoteJob *job, ImapSession *session)
{
    if (imap_session_caps(session) & IMAP_CAP_MOVE) {
        send_sets((ChangeJob *)job, session, "UID MOVE", target_argument);
        return;
    }
    pool_job_fail(job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                                           "the server does not offer MOVE"));
}

static gboolean search_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ChangeJob *change = data;
    if (reply->type != IMAP_REPLY_SEARCH)
        return FALSE;
    for (guint i = 0; i < reply->uids->len; i++) {
        const MailUidRange *range = &g_array_index(reply->uids, MailUidRange, i);
        mail_uid_set_add(change->found, range->first, range->last);
    }
    return TRUE;
}

static gboolean only_ours(const ChangeJob *change)
{
    guint64 ours = 0;
    for (guint i = 0; i < change->found->len; i++) {
        const MailUidRange *range = &g_array_index(change->found, MailUidRange, i);
        for (guint64 uid = range->first; uid <= range->last; uid++, ours++)
            if (!mail_uid_set_contains(change->uids, (MailUid)uid))
                return FALSE;
    }
    return ours > 0;
}

static void search_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    static const ImapCommandFuncs expunge_funcs = {.done = change_done};
    ChangeJob *change = data;
    gboolean ok = reply->condition == IMAP_OK;
    if (ok && only_ours(change))
        pool_job_send(&change->job, session, imap_session_command(session, "EXPUNGE"),
                      &expunge_funcs);
    else if (ok && change->found->len > 0)
        pool_job_fail(&change->job,
                      g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                                          "without UIDPLUS an EXPUNGE would take other messages "
                                          "with it that are marked as deleted"));
    pool_job_answered(&change->job, reply, "looking for deleted messages");
}

/* RFC 4315: UID EXPUNGE takes only what it names. A plain EXPUNGE takes everything that carries
 * \Deleted, so it is sent only when all of that is ours. */
static void expunge_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = search_untagged, .done = search_done};
    ChangeJob *change = (ChangeJob *)job;
    if (imap_session_caps(session) & IMAP_CAP_UIDPLUS) {
        send_sets(change, session, "UID EXPUNGE", NULL);
        return;
    }
    g_array_set_size(change->found, 0);
    pool_job_send(job, session, imap_session_command(session, "UID SEARCH DELETED"), &funcs);
}

static void change_finish(RemoteJob *job, const GError *error)
{
    ChangeJob *change = (ChangeJob *)job;
    change->done(error, change->data);
}

static void change_free(RemoteJob *job)
{
    ChangeJob *change = (ChangeJob *)job;
    g_array_unref(change->uids);
    g_array_unref(change->found);
    g_strfreev(change->add_keywords);
    g_strfreev(change->remove_keywords);
    g_free(change->target);
    g_free(change);
}

static RemoteJob *change_new(Remote *remote, const PoolJobClass *klass, const RemoteStore *what,
                             const char *target, RemoteDone done, gpointer data)
{
    ChangeJob *change = g_new0(ChangeJob, 1);
    change->job.klass = klass;
    change->job.mailbox = g_strdup(what->mailbox);
    change->job.uidvalidity = what->uidvalidity;
    change->done = done;
    change->data = data;
    change->uids = copy_set(what->uids);
    change->found = mail_uid_set_new();
    change->add = what->add;
    change->remove = what->remove;
    change->add_keywords = g_strdupv((char **)what->add_keywords);
    change->remove_keywords = g_strdupv((char **)what->remove_keywords);
    change->target = g_strdup(target);
    pool_submit(imap_remote(remote)->pool, &change->job);
    return &change->job;
}

static RemoteJob *remote_store_new(Remote *remote, const RemoteStore *what, RemoteDone done,
                                   gpointer data)
{
    static const PoolJobClass klass = {.run = store_run,
                                       .finish = change_finish,
                                       .free = change_free,
                                       .idempotent = TRUE,
                                       .verify = TRUE};
    return change_new(remote, &klass, what, NULL, done, data);
}

static RemoteJob *remote_copy_new(Remote *remote, const RemoteStore *what, const char *target,
                                  RemoteDone done, gpointer data)
{
    static const PoolJobClass klass = {
        .run = copy_run, .finish = change_finish, .free = change_free, .verify = TRUE};
    return change_new(remote, &klass, what, target, done, data);
}

static RemoteJob *remote_move_new(Remote *remote, const RemoteStore *what, const char *target,
                                  RemoteDone done, gpointer data)
{
    /* Idempotent: a uid that was moved already does not exist any more, and is passed over. */
    static const PoolJobClass klass = {.run = move_run,
                                       .finish = change_finish,
                                       .free = change_free,
                                       .idempotent = TRUE,
                                       .verify = TRUE};
    return change_new(remote, &klass, what, target, done, data);
}

static RemoteJob *remote_expunge_new(Remote *remote, const RemoteStore *what, RemoteDone done,
                                     gpointer data)
{
    static const PoolJobClass klass = {.run = expunge_run,
                                       .finish = change_finish,
                                       .free = change_free,
                                       .idempotent = TRUE,
                                       .verify = TRUE};
    return change_new(remote, &klass, what, NULL, done, data);
}

/* ---- the remote ---- */

static RemoteJob *remote_sync_new(Remote *remote, const RemoteSync *known,
                                  const RemoteSyncFuncs *funcs, gpointer data)
{
    RemoteJob *job = imap_sync_new(known, funcs, data);
    pool_submit(imap_remote(remote)->pool, job);
    return job;
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
