/* Fetching bodies, as a job of the pool. They go to the caller as they come and are never held
 * whole.
 *
 * Servers may answer pipelined FETCH commands mixed together, and may name the message only behind
 * its body. Such a body goes to the first command that may have asked for it; when it turns out to
 * have been another's, that one asks again. */
#include "imap-remote.h"

typedef struct {
    RemoteJob job;
    const RemoteFetchFuncs *funcs;
    gpointer data;
    GArray *left;   /* uids not delivered yet */
    GArray *missed; /* of those: a body came and could not be taken */
    gboolean again; /* they have been asked for a second time */
    gboolean window, fresh;
    guint64 offset, length;
    gboolean receiving; /* a body was begun and has not ended */
    gboolean declined;  /* ... but nobody wants it */
    MailUid uid;        /* of the one that is being received, 0 unknown */
} BodyJob;

/* The data of a fetch that was overtaken by an error or a cancel must pass unseen. */
static gboolean is_void(const BodyJob *fetch)
{
    return fetch->job.cancelled || fetch->job.error;
}

static gboolean is_the_window(const BodyJob *fetch, gboolean partial, guint64 offset)
{
    return !fetch->window || (partial && offset == fetch->offset);
}

static gboolean begin(BodyJob *fetch, MailUid uid, guint64 size)
{
    if (is_void(fetch))
        return FALSE;
    if (!fetch->window || size <= fetch->length)
        return fetch->funcs->begin(uid, size, fetch->data) && !is_void(fetch);
    pool_job_fail(&fetch->job,
                  g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                      "the server sent more of a message than was asked for"));
    return FALSE;
}

/* Takes also what nobody wants (any more): else the next command might take it for its own. */
static gboolean body_begin(ImapSession *session, const ImapLiteralContext *context, guint64 size,
                           gpointer data)
{
    BodyJob *fetch = data;
    if (context->uid && !mail_uid_set_contains(fetch->left, context->uid))
        return FALSE;
    if (!is_the_window(fetch, context->partial, context->offset))
        return FALSE;
    fetch->uid = context->uid;
    fetch->receiving = TRUE;
    fetch->declined = !begin(fetch, context->uid, size);
    return TRUE;
}

static void body_bytes(ImapSession *session, const guint8 *bytes, gsize size, gpointer data)
{
    BodyJob *fetch = data;
    if (!fetch->declined && !is_void(fetch))
        fetch->funcs->bytes(bytes, size, fetch->data);
}

static void delivered(BodyJob *fetch, MailUid uid)
{
    mail_uid_set_remove(fetch->left, uid);
    mail_uid_set_remove(fetch->missed, uid);
}

/* A body that came within the text of the reply. */
static void take_short_body(BodyJob *fetch, const ImapFetch *got)
{
    if (!is_the_window(fetch, got->body_partial, got->body_offset)) {
        mail_uid_set_add(fetch->missed, got->uid, got->uid);
        return;
    }
    if (begin(fetch, got->uid, got->body_size)) {
        fetch->funcs->bytes((const guint8 *)got->body, got->body_size, fetch->data);
        if (!is_void(fetch))
            fetch->funcs->end(got->uid, fetch->data);
    }
    delivered(fetch, got->uid);
}

/* The reply is whole, and names its message: the body received within it belongs to that. What else
 * the reply says is for others. */
static gboolean body_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    BodyJob *fetch = data;
    if (reply->type != IMAP_REPLY_FETCH)
        return FALSE;
    const ImapFetch *got = &reply->fetch;
    gboolean taken = fetch->receiving;
    gboolean ours = got->uid && mail_uid_set_contains(fetch->left, got->uid);
    if (taken && fetch->uid && fetch->uid != got->uid) {
        imap_session_fail(session, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                                       "one reply names two messages"));
        return TRUE;
    }
    fetch->receiving = FALSE;
    if (taken && !fetch->declined && !is_void(fetch))
        fetch->funcs->end(ours ? got->uid : 0, fetch->data);
    if (!ours || is_void(fetch))
        return FALSE;
    if (taken)
        delivered(fetch, got->uid);
    else if (got->body)
        take_short_body(fetch, got);
    else if (got->body_streamed)
        mail_uid_set_add(fetch->missed, got->uid, got->uid);
    else
        return FALSE;
    return !got->flags.present;
}

static void send_fetches(BodyJob *fetch, ImapSession *session, const GArray *uids);

/* A message that was sent and not taken exists: it must not count as gone. */
static void ask_again(BodyJob *fetch, ImapSession *session)
{
    if (fetch->again) {
        pool_job_fail(&fetch->job,
                      g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                          "the server sent something else than was asked for"));
        return;
    }
    fetch->again = TRUE;
    g_autoptr(GArray) uids = mail_uid_set_copy(fetch->missed);
    g_array_set_size(fetch->missed, 0);
    send_fetches(fetch, session, uids);
}

static void body_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    BodyJob *fetch = data;
    gboolean last = fetch->job.commands == 1;
    if (last && reply->condition == IMAP_OK && !is_void(fetch) && fetch->missed->len > 0)
        ask_again(fetch, session);
    pool_job_answered(&fetch->job, reply, "fetching messages");
}

static void send_fetches(BodyJob *fetch, ImapSession *session, const GArray *uids)
{
    static const ImapCommandFuncs funcs = {
        .untagged = body_untagged,
        .body_begin = body_begin,
        .body_bytes = body_bytes,
        .done = body_done,
    };
    g_autofree char *items = fetch->window ? g_strdup_printf("(UID BODY.PEEK[]<%" G_GUINT64_FORMAT
                                                             ".%" G_GUINT64_FORMAT ">)",
                                                             fetch->offset, fetch->length)
                                           : g_strdup("(UID BODY.PEEK[])");
    for (guint at = 0; at < uids->len;) {
        g_autoptr(ImapCommand) command = imap_session_command(session, "UID FETCH");
        g_autofree char *set = imap_sequence_set(uids, &at, IMAP_REMOTE_MAX_SET);
        imap_command_atom(command, set);
        imap_command_atom(command, items);
        pool_job_send(&fetch->job, session, g_steal_pointer(&command), &funcs);
    }
}

static void noop_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    BodyJob *fetch = data;
    if (reply->condition == IMAP_OK && !is_void(fetch))
        send_fetches(fetch, session, fetch->left);
    pool_job_answered(&fetch->job, reply, "NOOP");
}

static void body_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs noop_funcs = {.done = noop_done};
    BodyJob *fetch = (BodyJob *)job;
    fetch->receiving = fetch->again = FALSE;
    g_array_set_size(fetch->missed, 0);
    if (fetch->fresh && !job->selects)
        pool_job_send(job, session, imap_session_command(session, "NOOP"), &noop_funcs);
    else
        send_fetches(fetch, session, fetch->left);
}

static void body_finish(RemoteJob *job, const GError *error)
{
    BodyJob *fetch = (BodyJob *)job;
    fetch->funcs->done(error, fetch->data);
}

static void body_free(RemoteJob *job)
{
    BodyJob *fetch = (BodyJob *)job;
    g_array_unref(fetch->left);
    g_array_unref(fetch->missed);
    g_free(fetch);
}

RemoteJob *imap_body_new(const RemoteFetch *what, const RemoteFetchFuncs *funcs, gpointer data)
{
    static const PoolJobClass klass = {
        .run = body_run, .finish = body_finish, .free = body_free, .idempotent = TRUE};
    BodyJob *fetch = g_new0(BodyJob, 1);
    fetch->job.klass = &klass;
    fetch->job.mailbox = g_strdup(what->mailbox);
    fetch->job.uidvalidity = what->uidvalidity;
    fetch->funcs = funcs;
    fetch->data = data;
    fetch->left = mail_uid_set_copy(what->uids);
    fetch->missed = mail_uid_set_new();
    fetch->window = what->window;
    fetch->fresh = what->fresh;
    fetch->offset = what->offset;
    fetch->length = what->length;
    return &fetch->job;
}
