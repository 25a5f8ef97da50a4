/* What can be done with a maildrop: counting, listing, fetching, removing. */
#include "pop3-private.h"

#define MAX_HEADER (256 * 1024)

static gboolean is_void(const Pop3Job *job)
{
    return job->cancelled || job->error;
}

static Pop3Message *message_at(const Pop3Job *job, guint at)
{
    return &g_array_index(job->remote->maildrop->messages, Pop3Message, at);
}

static guint message_count(const Pop3Job *job)
{
    return job->remote->maildrop->messages->len;
}

/* Notes an -ERR; what else the job has asked for goes on. */
static void note_reply(Pop3Job *job, const Pop3Reply *reply, const char *what)
{
    if (reply->status != POP3_OK)
        pop3_job_fail(job, pop3_session_error(reply, what));
}

static void free_plain(Pop3Job *job)
{
    g_free(job);
}

/* ---- list ---- */

typedef struct {
    Pop3Job job;
    const RemoteListFuncs *funcs;
    gpointer data;
} ListJob;

static void list_run(Pop3Job *job, Pop3Session *session)
{
    ListJob *list = (ListJob *)job;
    RemoteFolder inbox = {.name = POP3_MAILBOX};
    list->funcs->folder(&inbox, list->data);
    if (list->funcs->count && !job->cancelled)
        list->funcs->count(POP3_MAILBOX, message_count(job), list->data);
}

static void list_finish(Pop3Job *job, const GError *error)
{
    ListJob *list = (ListJob *)job;
    list->funcs->done(error, list->data);
}

Pop3Job *pop3_list_new(const RemoteListFuncs *funcs, gpointer data)
{
    static const Pop3JobClass klass = {.run = list_run, .finish = list_finish, .free = free_plain};
    ListJob *list = g_new0(ListJob, 1);
    list->job.klass = &klass;
    list->funcs = funcs;
    list->data = data;
    return &list->job;
}

/* ---- sync ---- */

typedef struct {
    Pop3Job job;
    const RemoteSyncFuncs *funcs;
    gpointer data;
    gboolean headers;
    GByteArray *header; /* of the message that is being received */
    GArray *asked;      /* of guint: positions whose TOP is on its way, in order */
    guint answered;
    GArray *present; /* uids */
} SyncJob;

static void tell_message(SyncJob *sync, const Pop3Message *message)
{
    static const char *const no_keywords[] = {NULL};
    RemoteMessage told = {
        .uid = message->uid,
        .keywords = no_keywords,
        .size = message->size,
        .date = REMOTE_DATE_UNKNOWN,
        .header = (const char *)sync->header->data,
        .header_size = sync->header->len,
    };
    sync->funcs->message(&told, sync->data);
}

static void sync_bytes(Pop3Session *session, const guint8 *bytes, gsize size, gpointer data)
{
    SyncJob *sync = data;
    g_byte_array_append(sync->header, bytes, (guint)MIN(size, MAX_HEADER - sync->header->len));
}

/* One whose header cannot be had is shown without a name, rather than not at all; unless that may
 * pass. */
static void sync_answered(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    SyncJob *sync = data;
    guint at = g_array_index(sync->asked, guint, sync->answered++);
    gboolean passes = reply->status == POP3_ERR && reply->code == POP3_CODE_SYS_TEMP;
    if (passes)
        note_reply(&sync->job, reply, "TOP");
    if (!is_void(&sync->job))
        tell_message(sync, message_at(&sync->job, at));
    g_byte_array_set_size(sync->header, 0);
    pop3_job_answered(&sync->job);
}

static void sync_run(Pop3Job *job, Pop3Session *session)
{
    static const Pop3CommandFuncs funcs = {.bytes = sync_bytes, .done = sync_answered};
    SyncJob *sync = (SyncJob *)job;
    guint count = message_count(job);
    RemoteMailbox info = {.uidvalidity = POP3_UIDVALIDITY, .exists = count};
    g_array_set_size(sync->asked, 0);
    g_array_set_size(sync->present, 0);
    g_byte_array_set_size(sync->header, 0);
    sync->answered = 0;
    sync->funcs->opened(&info, sync->data);
    for (guint i = 0; i < count && !is_void(job); i++) {
        const Pop3Message *message = message_at(job, i);
        mail_uid_set_add(sync->present, message->uid, message->uid);
        if (message->deleted || sync->funcs->has(message->uid, sync->data))
            continue;
        if (!sync->headers) {
            tell_message(sync, message);
            continue;
        }
        g_autofree char *command = g_strdup_printf("TOP %" G_GUINT32_FORMAT " 0", message->number);
        g_array_append_val(sync->asked, i);
        pop3_job_send(job, session, command, POP3_MESSAGE, &funcs);
    }
}

static void sync_finish(Pop3Job *job, const GError *error)
{
    SyncJob *sync = (SyncJob *)job;
    if (!error)
        sync->funcs->present(sync->present, sync->data);
    sync->funcs->done(error, 0, sync->data);
}

static void sync_free(Pop3Job *job)
{
    SyncJob *sync = (SyncJob *)job;
    g_byte_array_unref(sync->header);
    g_array_unref(sync->asked);
    g_array_unref(sync->present);
    g_free(sync);
}

Pop3Job *pop3_sync_new(const RemoteSync *known, const RemoteSyncFuncs *funcs, gpointer data)
{
    static const Pop3JobClass klass = {
        .run = sync_run, .finish = sync_finish, .free = sync_free, .fresh = TRUE};
    SyncJob *sync = g_new0(SyncJob, 1);
    sync->job.klass = &klass;
    sync->funcs = funcs;
    sync->data = data;
    sync->headers = known->headers;
    sync->header = g_byte_array_new();
    sync->asked = g_array_new(FALSE, FALSE, sizeof(guint));
    sync->present = mail_uid_set_new();
    return &sync->job;
}

/* ---- fetch ---- */

typedef struct {
    MailUid uid;
    guint64 size;
} Asked;

typedef struct {
    Pop3Job job;
    const RemoteFetchFuncs *funcs;
    gpointer data;
    GArray *left;  /* uids not delivered yet */
    GArray *asked; /* of Asked: whose RETR is on its way, in order */
    guint answered;
    gboolean wanted; /* the body that is being received */
} FetchJob;

static gboolean fetch_begin(Pop3Session *session, gpointer data)
{
    FetchJob *fetch = data;
    MailUid uid = g_array_index(fetch->asked, Asked, fetch->answered).uid;
    fetch->wanted =
        !fetch->job.cancelled && fetch->funcs->begin(uid, REMOTE_SIZE_UNKNOWN, fetch->data);
    return fetch->wanted;
}

static void fetch_bytes(Pop3Session *session, const guint8 *bytes, gsize size, gpointer data)
{
    FetchJob *fetch = data;
    if (!fetch->job.cancelled)
        fetch->funcs->bytes(bytes, size, fetch->data);
}

static void fetch_answered(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    FetchJob *fetch = data;
    const Asked *asked = &g_array_index(fetch->asked, Asked, fetch->answered++);
    MailUid uid = asked->uid;
    fetch->job.remote->coming -= asked->size;
    note_reply(&fetch->job, reply, "RETR");
    if (reply->status == POP3_OK) {
        mail_uid_set_remove(fetch->left, uid);
        if (fetch->wanted && !fetch->job.cancelled)
            fetch->funcs->end(uid, fetch->data);
    }
    fetch->wanted = FALSE;
    pop3_job_answered(&fetch->job);
}

static void fetch_one(FetchJob *fetch, Pop3Session *session, MailUid uid)
{
    static const Pop3CommandFuncs funcs = {
        .begin = fetch_begin, .bytes = fetch_bytes, .done = fetch_answered};
    const Pop3Message *message = pop3_maildrop_find(fetch->job.remote->maildrop, uid);
    if (!message || message->deleted)
        return;
    g_autofree char *command = g_strdup_printf("RETR %" G_GUINT32_FORMAT, message->number);
    Asked asked = {uid, message->size};
    g_array_append_val(fetch->asked, asked);
    fetch->job.remote->coming += asked.size;
    pop3_job_send(&fetch->job, session, command, POP3_MESSAGE, &funcs);
}

/* The uids of a set that the maildrop has: a set may span four billion. */
static GArray *those_there(const Pop3Job *job, const GArray *set)
{
    GArray *uids = g_array_new(FALSE, FALSE, sizeof(MailUid));
    if (mail_uid_set_count(set) <= message_count(job)) {
        for (guint i = 0; i < set->len; i++) {
            const MailUidRange *range = &g_array_index(set, MailUidRange, i);
            for (guint64 uid = range->first; uid <= range->last; uid++) {
                MailUid narrow = (MailUid)uid;
                if (pop3_maildrop_find(job->remote->maildrop, narrow))
                    g_array_append_val(uids, narrow);
            }
        }
        return uids;
    }
    for (guint i = 0; i < message_count(job); i++)
        if (mail_uid_set_contains(set, message_at(job, i)->uid))
            g_array_append_val(uids, message_at(job, i)->uid);
    return uids;
}

static void fetch_run(Pop3Job *job, Pop3Session *session)
{
    FetchJob *fetch = (FetchJob *)job;
    g_array_set_size(fetch->asked, 0);
    fetch->answered = 0;
    g_autoptr(GArray) uids = those_there(job, fetch->left);
    for (guint i = 0; i < uids->len; i++)
        fetch_one(fetch, session, g_array_index(uids, MailUid, i));
}

static void fetch_finish(Pop3Job *job, const GError *error)
{
    FetchJob *fetch = (FetchJob *)job;
    fetch->funcs->done(error, fetch->data);
}

static void fetch_free(Pop3Job *job)
{
    FetchJob *fetch = (FetchJob *)job;
    g_array_unref(fetch->left);
    g_array_unref(fetch->asked);
    g_free(fetch);
}

static GError *stale_error(void)
{
    return g_error_new_literal(MAIL_ERROR, MAIL_ERROR_STALE,
                               "a POP3 maildrop has no such UIDVALIDITY");
}

Pop3Job *pop3_fetch_new(const RemoteFetch *what, const RemoteFetchFuncs *funcs, gpointer data)
{
    static const Pop3JobClass klass = {
        .run = fetch_run, .finish = fetch_finish, .free = fetch_free};
    FetchJob *fetch = g_new0(FetchJob, 1);
    fetch->job.klass = &klass;
    fetch->funcs = funcs;
    fetch->data = data;
    fetch->left = mail_uid_set_copy(what->uids);
    fetch->asked = g_array_new(FALSE, FALSE, sizeof(Asked));
    if (what->uidvalidity && what->uidvalidity != POP3_UIDVALIDITY)
        pop3_job_fail(&fetch->job, stale_error());
    if (what->window)
        pop3_job_fail(&fetch->job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                                                       "POP3 sends messages only whole"));
    return &fetch->job;
}

/* ---- expunge ---- */

typedef struct {
    Pop3Job job;
    RemoteDone done;
    gpointer data;
    GArray *uids;
    gboolean decided; /* the server, or we, came to look at the messages themselves */
} ExpungeJob;

static void dele_answered(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    ExpungeJob *expunge = data;
    note_reply(&expunge->job, reply, "DELE");
    pop3_job_answered(&expunge->job);
}

static void dele(ExpungeJob *expunge, Pop3Session *session, Pop3Message *message)
{
    static const Pop3CommandFuncs funcs = {.done = dele_answered};
    Pop3Remote *remote = expunge->job.remote;
    expunge->decided = TRUE;
    if (message->deleted)
        return;
    if (message->alike) {
        pop3_job_fail(&expunge->job,
                      g_error_new_literal(MAIL_ERROR, MAIL_ERROR_REFUSED,
                                          "the server gives nothing by which to tell this message "
                                          "from another one: it is not removed"));
        return;
    }
    g_autofree char *command = g_strdup_printf("DELE %" G_GUINT32_FORMAT, message->number);
    message->deleted = TRUE;
    if (!remote->deleted_since)
        remote->deleted_since = g_get_monotonic_time();
    pop3_job_send(&expunge->job, session, command, POP3_NOTHING, &funcs);
}

/* One that is not there is removed already: by the session before, whose QUIT was not answered, or
 * by another client. */
static void expunge_run(Pop3Job *job, Pop3Session *session)
{
    ExpungeJob *expunge = (ExpungeJob *)job;
    g_autoptr(GArray) uids = those_there(job, expunge->uids);
    for (guint i = 0; i < uids->len; i++)
        dele(expunge, session,
             pop3_maildrop_find(job->remote->maildrop, g_array_index(uids, MailUid, i)));
}

static void expunge_finish(Pop3Job *job, const GError *error)
{
    ExpungeJob *expunge = (ExpungeJob *)job;
    /* A maildrop that could not be opened now is no refusal to remove anything. */
    gboolean passes = error && (error->code == MAIL_ERROR_IN_USE ||
                                (error->code == MAIL_ERROR_REFUSED && !expunge->decided));
    g_autoptr(GError) later =
        passes ? g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, error->message) : NULL;
    expunge->done(later ? later : error, expunge->data);
}

static void expunge_free(Pop3Job *job)
{
    ExpungeJob *expunge = (ExpungeJob *)job;
    if (expunge->uids)
        g_array_unref(expunge->uids);
    g_free(expunge);
}

Pop3Job *pop3_expunge_new(const RemoteStore *what, RemoteDone done, gpointer data)
{
    static const Pop3JobClass klass = {
        .run = expunge_run, .finish = expunge_finish, .free = expunge_free, .commits = TRUE};
    ExpungeJob *expunge = g_new0(ExpungeJob, 1);
    expunge->job.klass = &klass;
    expunge->done = done;
    expunge->data = data;
    expunge->uids = mail_uid_set_copy(what->uids);
    if (what->uidvalidity && what->uidvalidity != POP3_UIDVALIDITY)
        pop3_job_fail(&expunge->job, stale_error());
    return &expunge->job;
}

/* ---- what POP3 cannot do ---- */

typedef struct {
    Pop3Job job;
    Pop3Unsupported done;
    gpointer data;
} UnsupportedJob;

static void unsupported_finish(Pop3Job *job, const GError *error)
{
    const UnsupportedJob *unsupported = (UnsupportedJob *)job;
    g_autoptr(GArray) none = mail_uid_set_new();
    RemoteMoved moved = {0, none, none};
    if (unsupported->done.done)
        unsupported->done.done(error, unsupported->data);
    else if (unsupported->done.moved)
        unsupported->done.moved(&moved, error, unsupported->data);
    else if (unsupported->done.quota)
        unsupported->done.quota(0, 0, error, unsupported->data);
    else
        unsupported->done.appended(0, NULL, error, unsupported->data);
}

Pop3Job *pop3_unsupported_new(Pop3Unsupported done, gpointer data)
{
    static const Pop3JobClass klass = {.finish = unsupported_finish, .free = free_plain};
    UnsupportedJob *job = g_new0(UnsupportedJob, 1);
    job->job.klass = &klass;
    job->done = done;
    job->data = data;
    pop3_job_fail(&job->job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                                                 "POP3 has no folders and keeps no flags"));
    return &job->job;
}
