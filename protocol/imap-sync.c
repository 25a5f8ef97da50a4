/* Bringing what is known of a mailbox up to date. RFC 7162, RFC 9051.
 *
 * All commands of a step are pipelined, behind the SELECT if one is needed. A mailbox that is
 * selected already is first asked for news by a NOOP: servers (Dovecot, for one) answer a FETCH
 * that is pipelined behind it from before the news. When none came since the last sync on this
 * connection, that is all. From what the unsolicited data says nothing is concluded: it is only a
 * hint that a sync is worth it. So sequence numbers are never interpreted.
 *
 *   nothing known:   UID FETCH 1:* with everything
 *   QRESYNC:         UID FETCH 1:* (FLAGS) (CHANGEDSINCE m VANISHED), UID FETCH next:* everything
 *   CONDSTORE:       UID FETCH 1:* (FLAGS) (CHANGEDSINCE m), UID SEARCH RETURN (ALL) ALL,
 *                    UID FETCH next:* everything
 *   neither:         UID FETCH 1:* (FLAGS), UID FETCH next:* everything
 *
 * What this leaves open (a uid below `next` that is not known, a count that is not EXISTS) is asked
 * for in a second step. */
#include "imap-remote.h"

#include <string.h>

/* More messages than any mailbox has: beyond that, a server's numbers are not believed. */
#define MAX_MESSAGES (4 * 1000 * 1000)
#define FIELDS "BODY.PEEK[HEADER.FIELDS (FROM SUBJECT MESSAGE-ID)]"

typedef struct {
    RemoteJob job;
    const RemoteSyncFuncs *funcs;
    gpointer data;
    RemoteSync known; /* mailbox is job.mailbox */
    gboolean opened;
    gboolean fresh;       /* this run came with a SELECT of its own */
    gboolean anew;        /* list everything: nothing is known, or UIDVALIDITY changed */
    gboolean with_modseq; /* CHANGEDSINCE was used */
    gboolean compare;     /* `present` is filled with all that exists */
    guint step;
    guint hints; /* of the session, when the questions were asked */
    GArray *present;
    GArray *missing;   /* known to exist, and not to us */
    MailModSeq modseq; /* the highest among the changes since known.modseq */
    guint64 exists;
    RemoteMailbox info;
} SyncJob;

static gboolean is_void(const SyncJob *sync)
{
    return sync->job.cancelled || sync->job.error;
}

static gboolean is_stale_listing(const SyncJob *sync)
{
    return sync->opened && sync->info.uidvalidity != sync->known.uidvalidity && !sync->anew;
}

/* CHANGEDSINCE was asked, pipelined behind the SELECT, of a mailbox that keeps no modification
 * sequences any more, or that was set back (restored from a backup). */
static gboolean is_modseq_void(const SyncJob *sync)
{
    return sync->opened && sync->with_modseq &&
           (sync->info.modseq == 0 || (sync->fresh && sync->info.modseq < sync->known.modseq));
}

static void send_step(SyncJob *sync, ImapSession *session);

/* ---- replies ---- */

static void take_message(SyncJob *sync, const ImapFetch *fetch)
{
    RemoteMessage message = {
        .uid = fetch->uid,
        .flags = fetch->flags.system & MAIL_FLAGS_SYSTEM,
        .keywords = fetch->flags.keywords,
        .size = fetch->size,
        .date = fetch->date,
        .header = fetch->header,
        .header_size = fetch->header_size,
    };
    sync->funcs->message(&message, sync->data);
}

static void fail_protocol(SyncJob *sync, const char *text)
{
    pool_job_fail(&sync->job, g_error_new_literal(MAIL_ERROR, MAIL_ERROR_PROTOCOL, text));
}

static gboolean add_present(SyncJob *sync, MailUid first, MailUid last)
{
    mail_uid_set_add(sync->present, first, last);
    if (sync->present->len <= MAX_MESSAGES)
        return TRUE;
    fail_protocol(sync, "the server lists more messages than a mailbox can have");
    return FALSE;
}

/* A body within the same reply belongs to somebody else, who is to see it. */
static gboolean is_mere_listing(const ImapFetch *fetch)
{
    return !fetch->body && !fetch->body_streamed;
}

static gboolean sync_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    SyncJob *sync = data;
    if (reply->type != IMAP_REPLY_FETCH || !reply->fetch.uid || !reply->fetch.flags.present)
        return FALSE;
    /* Before `opened` the data of a pipelined FETCH cannot come: the SELECT is answered first. */
    if (is_void(sync) || !sync->opened || is_stale_listing(sync))
        return TRUE;
    const ImapFetch *fetch = &reply->fetch;
    if ((sync->compare || sync->anew) && !add_present(sync, fetch->uid, fetch->uid))
        return TRUE;
    if (fetch->has_size) { /* a date that cannot be read counts as 1970 */
        mail_uid_set_remove(sync->missing, fetch->uid);
        take_message(sync, fetch);
        return is_mere_listing(fetch);
    }
    if (sync->funcs->has(fetch->uid, sync->data))
        sync->funcs->flags(fetch->uid, fetch->flags.system & MAIL_FLAGS_SYSTEM,
                           fetch->flags.keywords, sync->data);
    else if (sync->missing->len < MAX_MESSAGES)
        mail_uid_set_add(sync->missing, fetch->uid, fetch->uid);
    return is_mere_listing(fetch);
}

/* The highest sequence among all changes since one is known to have nothing unreported below it.
 * Those of new messages, asked for a moment later, are not. */
static gboolean changes_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    SyncJob *sync = data;
    gboolean earlier = reply->type == IMAP_REPLY_VANISHED && reply->earlier;
    gboolean counts = !is_void(sync) && sync->opened && !is_stale_listing(sync);
    if (reply->type == IMAP_REPLY_FETCH && reply->fetch.uid && counts && sync->with_modseq)
        sync->modseq = MAX(sync->modseq, reply->fetch.modseq);
    if (reply->type != IMAP_REPLY_VANISHED)
        return sync_untagged(session, reply, data);
    if (counts)
        sync->funcs->vanished(reply->uids, sync->data);
    return earlier; /* the other kind may belie what this sync lists: worth another one */
}

/* New messages; what vanished meanwhile is told by any reply. */
static gboolean list_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    return reply->type == IMAP_REPLY_VANISHED ? changes_untagged(session, reply, data)
                                              : sync_untagged(session, reply, data);
}

static gboolean search_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    SyncJob *sync = data;
    if (reply->type != IMAP_REPLY_ESEARCH)
        return FALSE;
    if (is_void(sync) || !sync->opened || is_stale_listing(sync) || !reply->uids)
        return TRUE;
    for (guint i = 0; i < reply->uids->len; i++) {
        const MailUidRange *range = &g_array_index(reply->uids, MailUidRange, i);
        if (!add_present(sync, range->first, range->last))
            break;
    }
    return TRUE;
}

/* ---- ends ---- */

/* Uids that exist and are unknown to us, from a comparison. Bounded by what the server has listed
 * one by one or by EXISTS, so a lying range cannot make us count to four billion. */
static void note_missing(SyncJob *sync)
{
    guint64 count = mail_uid_set_count(sync->present);
    if (count > MAX_MESSAGES || count > sync->exists + 100000) {
        fail_protocol(sync, "the server lists more messages than the mailbox has");
        return;
    }
    for (guint i = 0; i < sync->present->len; i++) {
        const MailUidRange *range = &g_array_index(sync->present, MailUidRange, i);
        for (guint64 uid = range->first; uid <= range->last; uid++)
            if (!sync->funcs->has((MailUid)uid, sync->data))
                mail_uid_set_add(sync->missing, (MailUid)uid, (MailUid)uid);
    }
}

/* All that exists has been listed. */
static void listing_over(SyncJob *sync)
{
    /* A server that answers without UIDs, say, must not empty a mailbox of ours. */
    if (sync->present->len == 0 && MIN(sync->exists, sync->info.exists) > 0) {
        fail_protocol(sync, "the mailbox is not empty, and yet the server lists no message");
        return;
    }
    if (!sync->anew)
        note_missing(sync);
    if (!is_void(sync))
        sync->funcs->present(sync->present, sync->data);
    sync->anew = sync->compare = FALSE;
    sync->step = MAX(sync->step, 1);
}

/* After the last reply of a step: is another one needed? */
static void step_over(SyncJob *sync, ImapSession *session)
{
    if (is_void(sync))
        return;
    if (is_modseq_void(sync) && !is_stale_listing(sync)) {
        sync->known.modseq = 0;
        sync->modseq = 0;
        send_step(sync, session);
        return;
    }
    if (is_stale_listing(sync)) {
        /* What was asked, pipelined, was about another mailbox of the same name. */
        sync->known.complete = FALSE;
        sync->known.modseq = 0;
        sync->with_modseq = FALSE;
        sync->anew = TRUE;
        send_step(sync, session);
        return;
    }
    sync->known.uidvalidity = sync->info.uidvalidity;
    sync->exists = imap_session_selected(session)->info.exists;
    if (sync->anew || sync->compare)
        listing_over(sync);
    if (is_void(sync))
        return;
    if (sync->missing->len > 0 && sync->step < 3) {
        sync->step = 3;
        send_step(sync, session);
    } else if (sync->step == 0 && sync->with_modseq &&
               sync->funcs->count(sync->data) != sync->exists) {
        sync->step = 2;
        send_step(sync, session);
    } else {
        imap_session_synced(session, sync->hints);
    }
}

static void answered(ImapSession *session, const ImapReply *reply, SyncJob *sync)
{
    /* Some servers refuse 1:* in an empty mailbox; all have to refuse CHANGEDSINCE in one without
     * modification sequences, RFC 7162 section 3.1.2.2. */
    gboolean empty = sync->opened && imap_session_selected(session)->info.exists == 0;
    gboolean harmless = reply->condition != IMAP_OK && (empty || is_modseq_void(sync));
    if (sync->job.commands == 1 && (reply->condition == IMAP_OK || harmless))
        step_over(sync, session);
    ImapReply ok = *reply;
    if (harmless)
        ok.condition = IMAP_OK;
    pool_job_answered(&sync->job, &ok, "listing the messages");
}

static void sync_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    answered(session, reply, data);
}

/* ---- commands ---- */

static const ImapCommandFuncs list_funcs = {.untagged = list_untagged, .done = sync_done};

static void send_listing(SyncJob *sync, ImapSession *session, const char *set)
{
    g_autoptr(ImapCommand) command = imap_session_command(session, "UID FETCH");
    imap_command_atom(command, set);
    imap_command_atom(command, sync->known.headers ? "(UID FLAGS INTERNALDATE RFC822.SIZE " FIELDS
                                                     ")"
                                                   : "(UID FLAGS INTERNALDATE RFC822.SIZE)");
    pool_job_send(&sync->job, session, g_steal_pointer(&command), &list_funcs);
}

static void send_new(SyncJob *sync, ImapSession *session)
{
    g_autofree char *set = g_strdup_printf("%u:*", MAX(sync->known.uidnext, 1));
    send_listing(sync, session, set);
}

static void send_flags(SyncJob *sync, ImapSession *session, const char *modifier)
{
    static const ImapCommandFuncs funcs = {.untagged = changes_untagged, .done = sync_done};
    g_autoptr(ImapCommand) command = imap_session_command(session, "UID FETCH 1:* (UID FLAGS)");
    if (modifier)
        imap_command_atom(command, modifier);
    pool_job_send(&sync->job, session, g_steal_pointer(&command), &funcs);
}

/* All that exists. A plain SEARCH would answer with one line, however long: RFC 4731 or a FETCH do
 * not. */
static void send_search(SyncJob *sync, ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = search_untagged, .done = sync_done};
    sync->compare = TRUE;
    if (imap_session_caps(session) & IMAP_CAP_ESEARCH)
        pool_job_send(&sync->job, session,
                      imap_session_command(session, "UID SEARCH RETURN (ALL) ALL"), &funcs);
    else
        send_flags(sync, session, NULL);
}

static void send_changes(SyncJob *sync, ImapSession *session)
{
    gboolean qresync = imap_session_has_qresync(session);
    gboolean keeps_none = sync->opened && sync->info.modseq == 0;
    sync->with_modseq =
        sync->known.modseq > 0 && imap_session_has_condstore(session) && !keeps_none;
    if (!sync->with_modseq) {
        sync->compare = TRUE;
        send_flags(sync, session, NULL);
    } else {
        g_autofree char *modifier = g_strdup_printf("(CHANGEDSINCE %" G_GUINT64_FORMAT "%s)",
                                                    sync->known.modseq, qresync ? " VANISHED" : "");
        send_flags(sync, session, modifier);
        if (!qresync)
            send_search(sync, session);
    }
    send_new(sync, session);
}

static void send_missing(SyncJob *sync, ImapSession *session)
{
    for (guint at = 0; at < sync->missing->len;) {
        g_autofree char *set = imap_sequence_set(sync->missing, &at, IMAP_REMOTE_MAX_SET);
        send_listing(sync, session, set);
    }
}

static void send_step(SyncJob *sync, ImapSession *session)
{
    if (sync->anew) {
        g_array_set_size(sync->present, 0);
        sync->compare = FALSE;
        sync->step = 1;
        send_listing(sync, session, "1:*");
    } else if (sync->step == 0) {
        send_changes(sync, session);
    } else if (sync->step == 2) {
        send_search(sync, session);
    } else {
        send_missing(sync, session);
    }
}

static void begin(SyncJob *sync, ImapSession *session)
{
    sync->hints = imap_session_selected(session)->hints;
    sync->anew = !sync->known.complete || sync->known.uidvalidity == 0;
    if (sync->anew)
        sync->known.modseq = 0;
    send_step(sync, session);
}

static void noop_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    SyncJob *sync = data;
    const ImapSelected *selected = imap_session_selected(session);
    gboolean go_on = reply->condition == IMAP_OK && !is_void(sync);
    gboolean quiet = go_on && selected->synced && selected->hints == selected->synced_hints &&
                     sync->known.complete &&
                     sync->funcs->count(sync->data) == selected->info.exists;
    if (go_on && !quiet)
        begin(sync, session);
    pool_job_answered(&sync->job, reply, "NOOP");
}

static void sync_run(RemoteJob *job, ImapSession *session)
{
    static const ImapCommandFuncs noop_funcs = {.done = noop_done};
    SyncJob *sync = (SyncJob *)job;
    sync->step = 0;
    sync->compare = sync->with_modseq = FALSE;
    sync->modseq = 0;
    g_array_set_size(sync->present, 0);
    g_array_set_size(sync->missing, 0);
    sync->fresh = imap_session_selected(session)->state != IMAP_SELECT_OK;
    if (sync->fresh)
        sync->opened = FALSE; /* it may have been, on a connection that was lost */
    if (!sync->fresh)
        pool_job_send(job, session, imap_session_command(session, "NOOP"), &noop_funcs);
    else
        begin(sync, session);
}

static void sync_opened(RemoteJob *job, ImapSession *session)
{
    SyncJob *sync = (SyncJob *)job;
    sync->info = imap_session_selected(session)->info;
    sync->opened = TRUE;
    if (!job->cancelled)
        sync->funcs->opened(&sync->info, sync->data);
    sync->info.rights = NULL; /* the session's, which may select another mailbox */
    sync->info.permanent_keywords = NULL;
}

static void sync_finish(RemoteJob *job, const GError *error)
{
    SyncJob *sync = (SyncJob *)job;
    /* HIGHESTMODSEQ of the SELECT holds for what was reported after it. */
    MailModSeq modseq = MAX(sync->modseq, MAX(sync->known.modseq, sync->info.modseq));
    if (sync->info.modseq == 0)
        modseq = 0; /* NOMODSEQ, or no CONDSTORE: nothing to count on */
    sync->funcs->done(error, modseq, sync->data);
}

static void sync_free(RemoteJob *job)
{
    SyncJob *sync = (SyncJob *)job;
    g_array_unref(sync->present);
    g_array_unref(sync->missing);
    g_free(sync);
}

RemoteJob *imap_sync_new(const RemoteSync *known, const RemoteSyncFuncs *funcs, gpointer data)
{
    static const PoolJobClass klass = {
        .run = sync_run,
        .opened = sync_opened,
        .finish = sync_finish,
        .free = sync_free,
        .idempotent = TRUE,
        .brief = TRUE,
        .any_uidvalidity = TRUE,
    };
    SyncJob *sync = g_new0(SyncJob, 1);
    sync->job.klass = &klass;
    sync->job.mailbox = g_strdup(known->mailbox);
    sync->job.uidvalidity = known->uidvalidity;
    sync->known = *known;
    sync->known.mailbox = sync->job.mailbox;
    sync->funcs = funcs;
    sync->data = data;
    sync->present = mail_uid_set_new();
    sync->missing = mail_uid_set_new();
    return &sync->job;
}
