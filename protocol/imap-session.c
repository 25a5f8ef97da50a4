#include "imap-session-private.h"

#include <string.h>

/* A server that says nothing for so long while a command waits is taken for gone. */
#define REPLY_DEADLINE (30 * G_USEC_PER_SEC)
/* The text of one response: enough for the header fields of one message and any sane line. */
#define MAX_TEXT (1024 * 1024)
#define MAX_LITERAL ((guint64)G_MAXINT64)
#define MAX_CAPTURE (256 * 1024)

gboolean imap_session_debug;

typedef struct ImapPending {
    char tag[16];
    ImapCommand *command;
    const ImapCommandFuncs *funcs;
    gpointer data;
    guint next_chunk;
    gboolean select; /* replies go into session->selected */
    gint64 sent;
} ImapPending;

static void pending_free(ImapPending *pending)
{
    imap_command_free(pending->command);
    g_free(pending);
}

static void clear_queue(GQueue *queue)
{
    g_queue_clear_full(queue, (GDestroyNotify)pending_free);
}

static void session_destroy(ImapSession *session)
{
    g_clear_handle_id(&session->timer, g_source_remove);
    g_clear_handle_id(&session->fail_source, g_source_remove);
    g_clear_pointer(&session->stream, stream_free);
    clear_queue(&session->unsent);
    clear_queue(&session->waiting);
    imap_login_clear(session);
    scan_free(session->scan);
    imap_reply_parser_free(session->parser);
    g_string_free(session->capabilities, TRUE);
    g_ptr_array_unref(session->mechanisms);
    g_free(session->selected.name);
    g_clear_error(&session->error);
    g_free(session);
}

void imap_session_free(ImapSession *session)
{
    if (!session)
        return;
    session->freed = TRUE;
    if (session->nesting > 0)
        return;
    session_destroy(session);
}

/* Every entry from the main loop is bracketed by these, so that a callback may free the session. */
static void enter(ImapSession *session)
{
    session->nesting++;
}

static gboolean leave(ImapSession *session)
{
    session->nesting--;
    if (!session->freed || session->nesting > 0)
        return !session->freed;
    session_destroy(session);
    return FALSE;
}

static gboolean report_failure(gpointer data)
{
    ImapSession *session = data;
    session->fail_source = 0;
    enter(session);
    session->funcs->failed(session, session->error, session->data);
    leave(session);
    return G_SOURCE_REMOVE;
}

void imap_session_fail(ImapSession *session, GError *error)
{
    if (session->error || session->freed) {
        g_error_free(error);
        return;
    }
    session->error = error;
    session->sink = NULL;
    g_clear_handle_id(&session->timer, g_source_remove);
    stream_close(session->stream);
    session->fail_source = g_idle_add_full(G_PRIORITY_DEFAULT, report_failure, session, NULL);
}

static void fail_protocol(ImapSession *session, const char *what)
{
    imap_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                           "the server broke the protocol: %s", what));
}

/* ---- sending ---- */

/* For the log: all of a command but what may hold a secret. */
static void log_command(ImapSession *session, const ImapPending *pending)
{
    gsize size;
    const char *text = imap_command_chunk(pending->command, 0, &size);
    if (session->login != IMAP_LOGIN_DONE)
        size = strcspn(text, " ");
    g_autofree char *shown = mail_escape(text, (gssize)size, 300);
    g_debug("> %s %s", pending->tag, shown);
}

static void log_reply(ImapSession *session)
{
    gsize size;
    const char *text = scan_text(session->scan, &size);
    g_autofree char *shown = mail_escape(text, (gssize)MIN(size, 300), 300);
    g_debug("< %s", shown);
}

/* Writes the next chunk; TRUE when the command is out whole and does not hold the line. */
static gboolean write_chunk(ImapSession *session, ImapPending *pending)
{
    gsize size;
    const char *chunk = imap_command_chunk(pending->command, pending->next_chunk, &size);
    if (pending->next_chunk == 0) {
        if (imap_session_debug)
            log_command(session, pending);
        stream_write(session->stream, pending->tag, strlen(pending->tag));
        stream_write(session->stream, " ", 1);
    }
    stream_write(session->stream, chunk, size);
    pending->next_chunk++;
    if (pending->next_chunk < imap_command_chunks(pending->command))
        return FALSE;
    stream_write(session->stream, "\r\n", 2);
    return pending->funcs->challenge == NULL;
}

static gboolean holds_line(const ImapPending *pending)
{
    return pending->next_chunk < imap_command_chunks(pending->command) ||
           pending->funcs->challenge != NULL;
}

static void flush_unsent(ImapSession *session)
{
    while (!session->error) {
        ImapPending *last = g_queue_peek_tail(&session->waiting);
        if (last && holds_line(last))
            return;
        ImapPending *pending = g_queue_pop_head(&session->unsent);
        if (!pending)
            return;
        pending->sent = g_get_monotonic_time();
        g_queue_push_tail(&session->waiting, pending);
        if (!write_chunk(session, pending))
            return;
    }
}

static ImapPending *enqueue(ImapSession *session, ImapCommand *command,
                            const ImapCommandFuncs *funcs, gpointer data)
{
    ImapPending *pending = g_new0(ImapPending, 1);
    g_snprintf(pending->tag, sizeof(pending->tag), "m%u", ++session->next_tag);
    pending->command = command;
    pending->funcs = funcs;
    pending->data = data;
    g_queue_push_tail(&session->unsent, pending);
    return pending;
}

void imap_session_send(ImapSession *session, ImapCommand *command, const ImapCommandFuncs *funcs,
                       gpointer data)
{
    if (session->error) {
        imap_command_free(command);
        return;
    }
    enqueue(session, command, funcs, data);
    flush_unsent(session);
}

void imap_session_answer(ImapSession *session, const char *line)
{
    if (session->error)
        return;
    stream_write(session->stream, line, strlen(line));
    stream_write(session->stream, "\r\n", 2);
}

ImapCommand *imap_session_command(ImapSession *session, const char *name)
{
    ImapLiteralMode mode = session->caps & IMAP_CAP_LITERAL_PLUS    ? IMAP_LITERAL_PLUS
                           : session->caps & IMAP_CAP_LITERAL_MINUS ? IMAP_LITERAL_MINUS
                                                                    : IMAP_LITERAL_SYNC;
    return imap_command_new(name, mode);
}

void imap_session_select(ImapSession *session, const char *mailbox, const ImapCommandFuncs *funcs,
                         gpointer data)
{
    if (session->error)
        return;
    g_free(session->selected.name);
    session->selected = (ImapSelected){.state = IMAP_SELECT_PENDING, .name = g_strdup(mailbox)};
    g_autoptr(ImapCommand) command =
        imap_session_command(session, session->config->read_only ? "EXAMINE" : "SELECT");
    imap_command_astring(command, mailbox, strlen(mailbox));
    if (session->condstore && !session->qresync)
        imap_command_atom(command, "(CONDSTORE)");
    enqueue(session, g_steal_pointer(&command), funcs, data)->select = TRUE;
    flush_unsent(session);
}

/* ---- receiving ---- */

static void apply_select_code(ImapSession *session, const ImapReply *reply)
{
    RemoteMailbox *info = &session->selected.info;
    if (reply->code == IMAP_CODE_UIDVALIDITY && reply->number <= G_MAXUINT32)
        info->uidvalidity = (MailUidValidity)reply->number;
    else if (reply->code == IMAP_CODE_UIDNEXT && reply->number <= G_MAXUINT32)
        info->uidnext = (MailUid)reply->number;
    else if (reply->code == IMAP_CODE_HIGHESTMODSEQ)
        info->modseq = reply->number;
    else if (reply->code == IMAP_CODE_NOMODSEQ)
        info->modseq = 0;
    else if (reply->code == IMAP_CODE_PERMANENTFLAGS)
        info->permanent_flags = reply->flags.system;
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
        return TRUE;
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

static void handle_untagged(ImapSession *session, const ImapReply *reply)
{
    if (reply->type == IMAP_REPLY_STATUS && reply->condition == IMAP_BYE) {
        g_autofree char *text = mail_escape(reply->text, -1, 300);
        imap_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE,
                                               "the server ended the connection: %s", text));
        return;
    }
    gboolean hint = apply_untagged(session, reply);
    for (GList *item = session->waiting.head; item && !session->error && !session->freed;) {
        ImapPending *pending = item->data;
        item = item->next;
        if (pending->funcs->untagged && pending->funcs->untagged(session, reply, pending->data))
            return;
    }
    if (!hint || session->error || session->freed || session->login != IMAP_LOGIN_DONE)
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
    session->selected.state = IMAP_SELECT_NONE;
    g_clear_pointer(&session->selected.name, g_free);
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

static void handle_tagged(ImapSession *session, const ImapReply *reply)
{
    ImapPending *pending = take_waiting(session, reply->tag);
    if (!pending) {
        fail_protocol(session, "a reply to a command that was never sent");
        return;
    }
    if (pending->next_chunk < imap_command_chunks(pending->command) &&
        reply->condition == IMAP_OK) {
        fail_protocol(session, "a command succeeded before it was sent whole");
        pending_free(pending);
        return;
    }
    if (reply->code == IMAP_CODE_CAPABILITY)
        imap_login_capabilities(session, reply->values);
    if (pending->select)
        finish_select(session, reply);
    pending->funcs->done(session, reply, pending->data);
    pending_free(pending);
    if (session->freed || session->error)
        return;
    flush_unsent(session);
    if (g_queue_is_empty(&session->waiting))
        session->idle_since = g_get_monotonic_time();
}

static void handle_continue(ImapSession *session, const ImapReply *reply)
{
    ImapPending *last = g_queue_peek_tail(&session->waiting);
    if (last && last->next_chunk < imap_command_chunks(last->command)) {
        write_chunk(session, last);
        flush_unsent(session);
        return;
    }
    if (last && last->funcs->challenge) {
        last->funcs->challenge(session, reply->text, last->data);
        return;
    }
    fail_protocol(session, "a continuation request that nothing waits for");
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
        fail_protocol(session, what);
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
            session->sink = pending;
            return;
        }
        if (session->error || session->freed)
            return;
    }
}

static gsize stream_received(Stream *stream, const guint8 *bytes, gsize size, gpointer data)
{
    ImapSession *session = data;
    gsize consumed = 0;
    enter(session);
    while (!session->error && !session->freed) {
        ScanToken token;
        gsize used = 0;
        ScanEvent event =
            scan_next(session->scan, bytes + consumed, size - consumed, &used, &token);
        consumed += used;
        if (event == SCAN_NEED_DATA)
            break;
        if (event == SCAN_ERROR)
            fail_protocol(session, token.error);
        else if (event == SCAN_LITERAL_BEGIN)
            handle_literal(session, token.literal_size);
        else if (event == SCAN_LITERAL_DATA && session->sink)
            session->sink->funcs->body_bytes(session, token.data, token.size, session->sink->data);
        else if (event == SCAN_LITERAL_END)
            session->sink = NULL;
        else if (event == SCAN_LINE) {
            handle_line(session);
            /* The rest of these bytes may belong to another layer by now. */
            if (!session->error && session->login == IMAP_LOGIN_HANDSHAKE)
                break;
        }
    }
    if (session->error || session->freed)
        consumed = size;
    leave(session);
    return consumed;
}

static void stream_ready(Stream *stream, gpointer data)
{
    ImapSession *session = data;
    enter(session);
    imap_login_ready(session);
    leave(session);
}

static void stream_failed(Stream *stream, const GError *error, gpointer data)
{
    ImapSession *session = data;
    imap_session_fail(session, g_error_copy(error));
}

/* ---- deadlines ---- */

static gboolean check_deadline(gpointer data)
{
    ImapSession *session = data;
    const ImapPending *head = g_queue_peek_head(&session->waiting);
    gint64 since = stream_last_receive(session->stream);
    gboolean waits = head || (session->login != IMAP_LOGIN_DONE && since > 0);
    if (head)
        since = MAX(since, head->sent);
    if (!waits || g_get_monotonic_time() - since < REPLY_DEADLINE)
        return G_SOURCE_CONTINUE;
    session->timer = 0;
    imap_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_TIMEOUT,
                                           "the server has not answered for %d seconds",
                                           (int)(REPLY_DEADLINE / G_USEC_PER_SEC)));
    return G_SOURCE_REMOVE;
}

/* ---- life ---- */

ImapSession *imap_session_new(const RemoteConfig *config, const Secret *secret,
                              const ImapSessionFuncs *funcs, gpointer data)
{
    static const StreamFuncs stream_funcs = {
        .ready = stream_ready, .received = stream_received, .failed = stream_failed};
    ImapSession *session = g_new0(ImapSession, 1);
    session->config = config;
    session->secret = secret;
    session->funcs = funcs;
    session->data = data;
    session->scan = scan_new(MAX_TEXT, MAX_LITERAL);
    session->parser = imap_reply_parser_new();
    session->capabilities = g_string_new(NULL);
    session->mechanisms = g_ptr_array_new_null_terminated(4, g_free, TRUE);
    g_queue_init(&session->unsent);
    g_queue_init(&session->waiting);
    session->idle_since = g_get_monotonic_time();
    StreamConfig stream_config = {
        .host = config->host,
        .port = config->port,
        .tunnel = config->tunnel,
        .tls = config->tunnel ? STREAM_TLS_NONE : config->tls,
        .ca_file = config->ca_file,
        .connect_timeout = 15,
    };
    session->stream = stream_new(&stream_config, &stream_funcs, session);
    session->timer = g_timeout_add_seconds(1, check_deadline, session);
    stream_connect(session->stream);
    return session;
}

void imap_session_logged_in(ImapSession *session)
{
    session->login = IMAP_LOGIN_DONE;
    session->idle_since = g_get_monotonic_time();
    session->funcs->ready(session, session->data);
}

static void logout_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
}

void imap_session_logout(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = logout_done};
    if (session->login == IMAP_LOGIN_DONE)
        imap_session_send(session, imap_session_command(session, "LOGOUT"), &funcs, NULL);
}

const ImapSelected *imap_session_selected(ImapSession *session)
{
    return &session->selected;
}

void imap_session_synced(ImapSession *session, guint hints)
{
    session->selected.synced = TRUE;
    session->selected.synced_hints = hints;
}

gboolean imap_session_is_ready(ImapSession *session)
{
    return session->login == IMAP_LOGIN_DONE && !session->error;
}

gboolean imap_session_has_qresync(ImapSession *session)
{
    return session->qresync;
}

gboolean imap_session_has_condstore(ImapSession *session)
{
    return session->condstore;
}

guint32 imap_session_caps(ImapSession *session)
{
    return session->caps;
}

const char *imap_session_capabilities(ImapSession *session)
{
    return session->capabilities->str;
}

const char *imap_session_mechanism(ImapSession *session)
{
    return session->mechanism;
}

Stream *imap_session_stream(ImapSession *session)
{
    return session->stream;
}

guint imap_session_pending(ImapSession *session)
{
    return session->unsent.length + session->waiting.length;
}

gint64 imap_session_idle_since(ImapSession *session)
{
    return session->idle_since;
}

static MailError error_of_code(ImapCode code, ImapCondition condition)
{
    if (condition == IMAP_BAD)
        return MAIL_ERROR_PROTOCOL;
    switch (code) {
    case IMAP_CODE_NOPERM:
        return MAIL_ERROR_NO_PERMISSION;
    case IMAP_CODE_READ_ONLY:
        return MAIL_ERROR_READ_ONLY;
    case IMAP_CODE_OVERQUOTA:
        return MAIL_ERROR_OVER_QUOTA;
    case IMAP_CODE_ALREADYEXISTS:
        return MAIL_ERROR_EXISTS;
    case IMAP_CODE_INUSE:
        return MAIL_ERROR_IN_USE;
    case IMAP_CODE_NONEXISTENT:
    case IMAP_CODE_TRYCREATE:
        return MAIL_ERROR_GONE;
    case IMAP_CODE_AUTHENTICATIONFAILED:
    case IMAP_CODE_AUTHORIZATIONFAILED:
    case IMAP_CODE_EXPIRED:
        return MAIL_ERROR_AUTH;
    case IMAP_CODE_UNAVAILABLE:
        return MAIL_ERROR_OFFLINE;
    default:
        return MAIL_ERROR_REFUSED;
    }
}

GError *imap_session_error(const ImapReply *reply, const char *what)
{
    g_autofree char *text = mail_escape(reply->text, -1, 300);
    return g_error_new(MAIL_ERROR, error_of_code(reply->code, reply->condition),
                       "%s: the server says: %s", what, text);
}
