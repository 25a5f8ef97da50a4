/* Changes to messages, as jobs of the pool: STORE, COPY, MOVE, EXPUNGE, by UID only.
 *
 * A server's session knows of a message only since it has told its news: some (Dovecot) pass over
 * what is newer without a word, and a COPY with STORE and EXPUNGE behind it loses the message then.
 * So before such a change the news are asked for by a NOOP, whose answer is waited for. Before an
 * EXPUNGE always: that a message carries \Deleted is news, too. */
#include "imap-remote.h"

#include <string.h>

typedef struct {
    RemoteJob job;
    ImapChange kind;
    RemoteDone done;
    gpointer data;
    GArray *uids;
    guint32 add, remove;
    char **add_keywords, **remove_keywords;
    char *target;
    RemoteMovedDone moved_done;
    MailUidValidity moved_uidvalidity;
    GArray *from, *to;         /* of MailUid: pairs */
    GArray *from_set, *to_set; /* of MailUidRange: the same */
    GArray *found;             /* expunge without UIDPLUS: what carries \Deleted */
} ChangeJob;

static void change_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    pool_job_answered(data, reply, "changing messages");
}

/* ---- where messages went ---- */

/* Goes through the uids of ranges, in their order. */
typedef struct {
    const GArray *ranges;
    guint at;
    guint64 offset;
} UidWalk;

static MailUid walk_next(UidWalk *walk)
{
    const MailUidRange *range = &g_array_index(walk->ranges, MailUidRange, walk->at);
    MailUid uid = (MailUid)(range->first + walk->offset++);
    if (uid == range->last) {
        walk->at++;
        walk->offset = 0;
    }
    return uid;
}

/* Whether each pair is about a message that was named, and about no message twice. */
static gboolean pairs_fit(const ChangeJob *change, const ImapReply *reply, guint64 count)
{
    UidWalk from = {.ranges = reply->uids}, to = {.ranges = reply->uids_to};
    g_autoptr(GArray) from_set = mail_uid_set_new();
    g_autoptr(GArray) to_set = mail_uid_set_new();
    for (guint64 i = 0; i < count; i++) {
        MailUid source = walk_next(&from), target = walk_next(&to);
        if (!mail_uid_set_contains(change->uids, source) ||
            mail_uid_set_contains(change->from_set, source) ||
            mail_uid_set_contains(change->to_set, target))
            return FALSE;
        mail_uid_set_add(from_set, source, source);
        mail_uid_set_add(to_set, target, target);
    }
    return mail_uid_set_count(from_set) == count && mail_uid_set_count(to_set) == count;
}

static gboolean is_stale_target(const ChangeJob *change, const ImapReply *reply)
{
    return change->moved_uidvalidity != 0 && change->moved_uidvalidity != reply->number;
}

/* FALSE when it is not about this job. A count is checked first: a range costs nothing to claim. */
static gboolean take_copyuid(ChangeJob *change, const ImapReply *reply)
{
    if (reply->code != IMAP_CODE_COPYUID || reply->number == 0)
        return FALSE;
    guint64 count = mail_uid_set_count(reply->uids);
    if (count != mail_uid_set_count(reply->uids_to) || count > mail_uid_set_count(change->uids) ||
        is_stale_target(change, reply) || !pairs_fit(change, reply, count))
        return FALSE;
    UidWalk from = {.ranges = reply->uids}, to = {.ranges = reply->uids_to};
    for (guint64 i = 0; i < count; i++) {
        MailUid source = walk_next(&from), target = walk_next(&to);
        g_array_append_val(change->from, source);
        g_array_append_val(change->to, target);
        mail_uid_set_add(change->from_set, source, source);
        mail_uid_set_add(change->to_set, target, target);
    }
    change->moved_uidvalidity = (MailUidValidity)reply->number;
    return TRUE;
}

/* MOVE says it in an untagged OK before the answer (RFC 6851 section 4.3), COPY with the answer. */
static gboolean moved_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    return reply->type == IMAP_REPLY_STATUS && take_copyuid(data, reply);
}

static void moved_answered(ImapSession *session, const ImapReply *reply, gpointer data)
{
    if (reply->condition == IMAP_OK)
        take_copyuid(data, reply);
    change_done(session, reply, data);
}

static const ImapCommandFuncs moved_funcs = {.untagged = moved_untagged, .done = moved_answered};

/* ---- commands ---- */

/* That a STORE gave a message a new MODSEQ is no news. Flags in an answer to FLAGS.SILENT are: they
 * are another client's, and worth a sync. */
static gboolean store_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ChangeJob *change = data;
    const ImapFetch *fetch = &reply->fetch;
    return reply->type == IMAP_REPLY_FETCH && !fetch->flags.present && !fetch->body &&
           !fetch->body_streamed && mail_uid_set_contains(change->uids, fetch->uid);
}

static const ImapCommandFuncs store_funcs = {.untagged = store_untagged, .done = change_done};
static const ImapCommandFuncs expunge_funcs = {.done = change_done};

/* One command for each part of the set that fits a line: name set [args]. */
static void send_sets(ChangeJob *change, ImapSession *session, const char *name,
                      const ImapCommandFuncs *funcs,
                      void (*arguments)(ImapCommand *command, const ChangeJob *change))
{
    for (guint at = 0; at < change->uids->len;) {
        g_autoptr(ImapCommand) command = imap_session_command(session, name);
        g_autofree char *set = imap_sequence_set(change->uids, &at, IMAP_REMOTE_MAX_SET);
        imap_command_atom(command, set);
        if (arguments)
            arguments(command, change);
        pool_job_send(&change->job, session, g_steal_pointer(&command), funcs);
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

static void send_store(ChangeJob *change, ImapSession *session)
{
    if (change->add || has_words(change->add_keywords))
        send_sets(change, session, "UID STORE", &store_funcs, add_arguments);
    if (change->remove || has_words(change->remove_keywords))
        send_sets(change, session, "UID STORE", &store_funcs, remove_arguments);
}

static void send_copy(ChangeJob *change, ImapSession *session)
{
    send_sets(change, session, "UID COPY", &moved_funcs, target_argument);
}

static void send_move(ChangeJob *change, ImapSession *session)
{
    if (imap_session_caps(session) & IMAP_CAP_MOVE) {
        send_sets(change, session, "UID MOVE", &moved_funcs, target_argument);
        return;
    }
    pool_job_fail(&change->job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
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
static void send_expunge(ChangeJob *change, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = search_untagged, .done = search_done};
    if (imap_session_caps(session) & IMAP_CAP_UIDPLUS) {
        send_sets(change, session, "UID EXPUNGE", &expunge_funcs, NULL);
        return;
    }
    g_array_set_size(change->found, 0);
    pool_job_send(&change->job, session, imap_session_command(session, "UID SEARCH DELETED"),
                  &funcs);
}

/* ---- the job ---- */

static MailUid highest(const ChangeJob *change)
{
    const GArray *uids = change->uids;
    return uids->len > 0 ? g_array_index(uids, MailUidRange, uids->len - 1).last : 0;
}

static void send_change(ChangeJob *change, ImapSession *session)
{
    static void (*const send[])(ChangeJob *, ImapSession *) = {
        [IMAP_CHANGE_STORE] = send_store,
        [IMAP_CHANGE_COPY] = send_copy,
        [IMAP_CHANGE_MOVE] = send_move,
        [IMAP_CHANGE_EXPUNGE] = send_expunge,
    };
    imap_session_has_seen(session, highest(change));
    send[change->kind](change, session);
}

static void noop_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ChangeJob *change = data;
    if (reply->condition == IMAP_OK && !change->job.cancelled && !change->job.error)
        send_change(change, session);
    pool_job_answered(&change->job, reply, "NOOP");
}

static void change_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs noop_funcs = {.done = noop_done};
    ChangeJob *change = (ChangeJob *)job;
    gboolean seen = highest(change) <= imap_session_selected(session)->seen;
    if (job->selects || (seen && change->kind != IMAP_CHANGE_EXPUNGE))
        send_change(change, session);
    else
        pool_job_send(job, session, imap_session_command(session, "NOOP"), &noop_funcs);
}

static void change_finish(RemoteJob *job, const GError *error)
{
    ChangeJob *change = (ChangeJob *)job;
    RemoteMoved moved = {change->moved_uidvalidity, change->from, change->to};
    if (change->moved_done)
        change->moved_done(&moved, error, change->data);
    else
        change->done(error, change->data);
}

static void change_free(RemoteJob *job)
{
    ChangeJob *change = (ChangeJob *)job;
    g_array_unref(change->uids);
    g_array_unref(change->found);
    g_array_unref(change->from);
    g_array_unref(change->to);
    g_array_unref(change->from_set);
    g_array_unref(change->to_set);
    g_strfreev(change->add_keywords);
    g_strfreev(change->remove_keywords);
    g_free(change->target);
    g_free(change);
}

RemoteJob *imap_change_new(ImapChange kind, const RemoteStore *what, const char *target,
                           RemoteDone done, RemoteMovedDone moved, gpointer data)
{
    /* A MOVE is idempotent: a uid that was moved does not exist any more, and is passed over. */
    static const PoolJobClass once = {.run = change_run,
                                      .finish = change_finish,
                                      .free = change_free,
                                      .idempotent = FALSE,
                                      .verify = TRUE};
    static const PoolJobClass again = {.run = change_run,
                                       .finish = change_finish,
                                       .free = change_free,
                                       .idempotent = TRUE,
                                       .verify = TRUE};
    ChangeJob *change = g_new0(ChangeJob, 1);
    change->job.klass = kind == IMAP_CHANGE_COPY ? &once : &again;
    change->kind = kind;
    change->job.mailbox = g_strdup(what->mailbox);
    change->job.uidvalidity = what->uidvalidity;
    change->done = done;
    change->data = data;
    change->uids = mail_uid_set_copy(what->uids);
    change->found = mail_uid_set_new();
    change->moved_done = moved;
    change->from = g_array_new(FALSE, FALSE, sizeof(MailUid));
    change->to = g_array_new(FALSE, FALSE, sizeof(MailUid));
    change->from_set = mail_uid_set_new();
    change->to_set = mail_uid_set_new();
    change->add = what->add;
    change->remove = what->remove;
    change->add_keywords = g_strdupv((char **)what->add_keywords);
    change->remove_keywords = g_strdupv((char **)what->remove_keywords);
    change->target = g_strdup(target);
    return &change->job;
}
