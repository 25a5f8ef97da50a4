/* Changes to messages, as jobs of the pool: STORE, COPY, MOVE, EXPUNGE, by UID only. */
#include "imap-remote.h"

#include <string.h>

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

/* That a STORE gave a message a new MODSEQ is no news. Flags in an answer to FLAGS.SILENT are: they
 * are another client's, and worth a sync. */
static gboolean change_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ChangeJob *change = data;
    const ImapFetch *fetch = &reply->fetch;
    return reply->type == IMAP_REPLY_FETCH && !fetch->flags.present && !fetch->body &&
           !fetch->body_streamed && mail_uid_set_contains(change->uids, fetch->uid);
}

static const ImapCommandFuncs change_funcs = {.untagged = change_untagged, .done = change_done};

/* One command for each part of the set that fits a line: name set [args]. */
static void send_sets(ChangeJob *change, ImapSession *session, const char *name,
                      void (*arguments)(ImapCommand *command, const ChangeJob *change))
{
    for (guint at = 0; at < change->uids->len;) {
        g_autoptr(ImapCommand) command = imap_session_command(session, name);
        g_autofree char *set = imap_sequence_set(change->uids, &at, IMAP_REMOTE_MAX_SET);
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
    gboolean ok = reply->condition == IMAP_OK && !change->job.cancelled;
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

RemoteJob *imap_change_new(ImapChange kind, const RemoteStore *what, const char *target,
                           RemoteDone done, gpointer data)
{
    /* A MOVE is idempotent: a uid that was moved does not exist any more, and is passed over. */
    static const PoolJobClass classes[] = {
        [IMAP_CHANGE_STORE] = {store_run, NULL, change_finish, change_free, TRUE, TRUE, FALSE},
        [IMAP_CHANGE_COPY] = {copy_run, NULL, change_finish, change_free, FALSE, TRUE, FALSE},
        [IMAP_CHANGE_MOVE] = {move_run, NULL, change_finish, change_free, TRUE, TRUE, FALSE},
        [IMAP_CHANGE_EXPUNGE] = {expunge_run, NULL, change_finish, change_free, TRUE, TRUE, FALSE},
    };
    ChangeJob *change = g_new0(ChangeJob, 1);
    change->job.klass = &classes[kind];
    change->job.mailbox = g_strdup(what->mailbox);
    change->job.uidvalidity = what->uidvalidity;
    change->done = done;
    change->data = data;
    change->uids = mail_uid_set_copy(what->uids);
    change->found = mail_uid_set_new();
    change->add = what->add;
    change->remove = what->remove;
    change->add_keywords = g_strdupv((char **)what->add_keywords);
    change->remove_keywords = g_strdupv((char **)what->remove_keywords);
    change->target = g_strdup(target);
    return &change->job;
}
