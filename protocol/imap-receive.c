/* What becomes of the bytes that a session receives: lines as replies to the commands that wait for
 * them, bodies to those that want them. */
#include "imap-session-private.h"

#include "fault.h"

#include <string.h>

/* A literal that is no body is kept up to this size; a larger one passes unseen. */
#define MAX_CAPTURE (256 * 1024)

/* Not what a mechanism asks: from SCRAM's words passwords could be tried offline. */
static void log_reply(ImapSession *session)
{
    gsize size;
    const char *text = scan_text(session->scan, &size);
    if (session->login == IMAP_LOGIN_AUTHENTICATE && size > 0 && text[0] == '+')
        size = 1;
    g_autofree char *shown = mail_escape(text, (gssize)MIN(size, 300), 300);
    g_debug("< %s", shown);
}

static void take_permanent_flags(ImapSession *session, const ImapFlags *flags)
{
    ImapSelected *selected = &session->selected;
    g_strfreev(selected->permanent_keywords);
    selected->permanent_keywords = g_strdupv((char **)flags->keywords);
    selected->info.permanent_keywords = (const char *const *)selected->permanent_keywords;
    selected->info.permanent_flags = flags->system;
}

static void apply_select_code(ImapSession *session, const ImapReply *reply)
{
    RemoteMailbox *info = &session->selected.info;
    if (reply->code == IMAP_CODE_UIDVALIDITY && reply->number <= G_MAXUINT32)
        info->uidvalidity = (MailUidValidity)reply->number;
    else if (reply->code == IMAP_CODE_UIDNEXT && reply->number <= G_MAXUINT32) {
        info->uidnext = (MailUid)reply->number;
        imap_session_has_seen(session, info->uidnext > 0 ? info->uidnext - 1 : 0);
    } else if (reply->code == IMAP_CODE_HIGHESTMODSEQ)
        info->modseq = reply->number;
    else if (reply->code == IMAP_CODE_NOMODSEQ)
        info->modseq = 0;
    else if (reply->code == IMAP_CODE_PERMANENTFLAGS)
        take_permanent_flags(session, &reply->flags);
    else if (reply->code == IMAP_CODE_READ_ONLY)
        info->read_only = TRUE;
    else if (reply->code == IMAP_CODE_READ_WRITE)
        info->read_only = FALSE;
}

/* What the session itself learns from untagged data. Returns whether it hints at a change. */
static gboolean apply_untagged(ImapSession *session, const ImapReply *reply)
{
    ImapPending *head = g_queue_peek_head(&session->waiting);
    gboolean selecting = head && head->select;
    switch (reply->type) {
    case IMAP_REPLY_CAPABILITY:
        imap_login_capabilities(session, reply->values);
        return FALSE;
    case IMAP_REPLY_EXISTS:
        session->selected.info.exists = reply->number;
        return !selecting;
    case IMAP_REPLY_EXPUNGE:
        if (session->selected.info.exists > 0)
            session->selected.info.exists--;
        return TRUE;
    case IMAP_REPLY_VANISHED:
        if (!reply->earlier)
            session->selected.info.exists -=
                MIN(session->selected.info.exists, mail_uid_set_count(reply->uids));
        return !reply->earlier;
    case IMAP_REPLY_FETCH:
        if (session->selected.state == IMAP_SELECT_OK)
            imap_session_has_seen(session, reply->fetch.uid);
        return reply->fetch.flags.present || !(reply->fetch.body || reply->fetch.body_streamed);
    case IMAP_REPLY_STATUS:
        if (reply->code == IMAP_CODE_CAPABILITY)
            imap_login_capabilities(session, reply->values);
        else if (selecting)
            apply_select_code(session, reply);
        else if (reply->code == IMAP_CODE_ALERT) {
            g_autofree char *text = mail_escape(reply->text, -1, 500);
            g_message("the server says: %s", text);
        }
        return FALSE;
    default:
        return FALSE;
    }
}

/* What comes before TLS may be an attacker's: only capabilities are looked at (to say that STARTTLS
 * is missing, and then forgotten), and nothing that tells of mail may come at all. */
static void handle_untagged_before_tls(ImapSession *session, const ImapReply *reply)
{
    if (reply->type == IMAP_REPLY_CAPABILITY)
        imap_login_capabilities(session, reply->values);
    else if (reply->type != IMAP_REPLY_STATUS && reply->type != IMAP_REPLY_OTHER)
        imap_session_fail_protocol(session, "data before TLS");
}

static gboolean offer(ImapSession *session, const ImapReply *reply, const ImapPending *pending)
{
    return pending->funcs->untagged && pending->funcs->untagged(session, reply, pending->data);
}

static void handle_untagged(ImapSession *session, const ImapReply *reply)
{
    /* Who took the body within this reply has to hear of its end first, whoever else wants it. */
    ImapPending *taker = g_steal_pointer(&session->taker);
    if (reply->type == IMAP_REPLY_STATUS && reply->condition == IMAP_BYE) {
        g_autofree char *text = mail_escape(reply->text, -1, 300);
        imap_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE,
                                               "the server ended the connection: %s", text));
        return;
    }
    if (session->login == IMAP_LOGIN_STARTTLS) {
        handle_untagged_before_tls(session, reply);
        return;
    }
    gboolean hint = apply_untagged(session, reply);
    if (taker && offer(session, reply, taker))
        return;
    for (GList *item = session->waiting.head;
         item && !session->core.error && !session->core.freed;) {
        ImapPending *pending = item->data;
        item = item->next;
        if (pending != taker && offer(session, reply, pending))
            return;
    }
    if (!hint || session->core.error || session->core.freed || session->login != IMAP_LOGIN_DONE)
        return;
    session->selected.hints++;
    session->funcs->changed(session, session->data);
}

static void finish_select(ImapSession *session, const ImapReply *reply)
{
    if (reply->condition == IMAP_OK) {
        apply_select_code(session, reply);
        session->selected.state = IMAP_SELECT_OK;
        return;
    }
    /* A failed SELECT leaves no mailbox selected, RFC 9051 section 6.3.2. */
    imap_session_set_selected(session, NULL);
}

static ImapPending *take_waiting(ImapSession *session, const char *tag)
{
    for (GList *item = session->waiting.head; item; item = item->next) {
        ImapPending *pending = item->data;
        if (strcmp(pending->tag, tag) != 0)
            continue;
        g_queue_delete_link(&session->waiting, item);
        return pending;
    }
    return NULL;
}

static void reply_point(const char *name, const ImapPending *pending)
{
    gsize size = 0;
    const char *text = imap_command_chunk(pending->command, 0, &size);
    fault_point_of(name, text, size);
}

static void handle_tagged(ImapSession *session, const ImapReply *reply)
{
    ImapPending *pending = take_waiting(session, reply->tag);
    if (!pending) {
        imap_session_fail_protocol(session, "a reply to a command that was never sent");
        return;
    }
    if (pending->next_chunk < imap_command_chunks(pending->command) &&
        reply->condition == IMAP_OK) {
        imap_session_fail_protocol(session, "a command succeeded before it was sent whole");
        imap_pending_free(pending);
        return;
    }
    if (reply->code == IMAP_CODE_CAPABILITY)
        imap_login_capabilities(session, reply->values);
    if (pending->select)
        finish_select(session, reply);
    /* Refused within a literal that did not wait: the server takes what follows for its rest. */
    gboolean rest = imap_send_is_awaited(pending);
    if (rest)
        session->leftover = pending;
    reply_point("reply", pending);
    pending->funcs->done(session, reply, pending->data);
    reply_point("replied", pending);
    if (!rest)
        imap_pending_free(pending);
    if (session->core.freed || session->core.error)
        return;
    imap_send_flush(session);
    if (g_queue_is_empty(&session->waiting))
        session->idle_since = g_get_monotonic_time();
}

static void handle_continue(ImapSession *session, const ImapReply *reply)
{
    if (imap_send_grant(session))
        return;
    ImapPending *last = g_queue_peek_tail(&session->waiting);
    if (last && last->idle) {
        imap_idle_begun(session, last);
        return;
    }
    if (last && last->funcs->challenge) {
        last->funcs->challenge(session, reply->text, last->data);
        return;
    }
    imap_session_fail_protocol(session, "a continuation request that nothing waits for");
}

static void handle_line(ImapSession *session)
{
    ImapReply reply;
    const char *why = NULL;
    if (imap_session_debug)
        log_reply(session);
    if (!imap_reply_parse(session->parser, session->scan, &reply, &why)) {
        gsize size;
        const char *text = scan_text(session->scan, &size);
        g_autofree char *shown = mail_escape(text, (gssize)size, 200);
        g_autofree char *what = g_strdup_printf("%s, in: %s", why, shown);
        imap_session_fail_protocol(session, what);
        return;
    }
    if (session->login == IMAP_LOGIN_GREETING) {
        imap_login_greeting(session, &reply);
        return;
    }
    if (reply.type == IMAP_REPLY_TAGGED)
        handle_tagged(session, &reply);
    else if (reply.type == IMAP_REPLY_CONTINUE)
        handle_continue(session, &reply);
    else
        handle_untagged(session, &reply);
}

/* A body goes to the command that wants it; small other things are kept for the reply; the rest
 * passes unseen. */
static void handle_literal(ImapSession *session, guint64 size)
{
    ImapLiteralContext context;
    imap_reply_literal_context(session->scan, &context);
    session->sink = NULL;
    if (!context.is_body) {
        if (size <= MAX_CAPTURE)
            scan_capture(session->scan); /* where it does not fit, it passes unseen */
        return;
    }
    for (GList *item = session->waiting.head; item; item = item->next) {
        ImapPending *pending = item->data;
        if (!pending->funcs->body_begin)
            continue;
        if (pending->funcs->body_begin(session, &context, size, pending->data)) {
            session->sink = session->taker = pending;
            pending->streams = TRUE;
            return;
        }
        if (session->core.error || session->core.freed)
            return;
    }
}

/* Returns whether the line is found to be slow. */
static gboolean measure(ImapSession *session, gsize size)
{
    const ImapPending *head = g_queue_peek_head(&session->waiting);
    gboolean owed = head && head->streams; /* more of its bodies is to come */
    return !session->compressed &&
           rate_add(&session->rate, g_get_monotonic_time(), size, owed,
                    stream_has_waited(session->core.stream)) == RATE_SLOW;
}

gsize imap_receive(Stream *stream, const guint8 *bytes, gsize size, gpointer data)
{
    ImapSession *session = data;
    gsize consumed = 0;
    session_core_enter(&session->core);
    gboolean slow = measure(session, size);
    while (!session->core.error && !session->core.freed) {
        ScanToken token;
        gsize used = 0;
        ScanEvent event =
            scan_next(session->scan, bytes + consumed, size - consumed, &used, &token);
        consumed += used;
        if (event == SCAN_NEED_DATA)
            break;
        if (event == SCAN_ERROR)
            imap_session_fail_protocol(session, token.error);
        else if (event == SCAN_LITERAL_BEGIN)
            handle_literal(session, token.literal_size);
        else if (event == SCAN_LITERAL_DATA && session->sink)
            session->sink->funcs->body_bytes(session, token.data, token.size, session->sink->data);
        else if (event == SCAN_LITERAL_END)
            session->sink = NULL;
        else if (event == SCAN_LINE) {
            handle_line(session);
            /* The rest of these bytes is for the new layer, which offers them again. */
            if (session->layer_changed)
                break;
        }
    }
    session->layer_changed = FALSE;
    if (slow && session->funcs->slow && !session->core.error && !session->core.freed)
        session->funcs->slow(session, session->data);
    if (session->core.error || session->core.freed)
        consumed = size;
    session_core_leave(&session->core);
    return consumed;
}
