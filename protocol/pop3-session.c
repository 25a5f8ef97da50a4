#include "pop3-session-private.h"

#include "fault.h"

#include <string.h>

/* Commands on their way at a time: what they bring must not pile up on either side. */
#define MAX_PIPELINED 1024

gboolean pop3_session_debug;

static void pending_free(Pop3Pending *pending)
{
    secret_free_text(pending->command);
    g_free(pending);
}

static void destroy(SessionCore *core)
{
    Pop3Session *session = (Pop3Session *)core;
    g_queue_clear_full(&session->unsent, (GDestroyNotify)pending_free);
    g_queue_clear_full(&session->waiting, (GDestroyNotify)pending_free);
    sasl_free(session->sasl);
    pop3_scan_free(session->scan);
    pop3_capabilities_free(session->capabilities);
    g_free(session->timestamp);
    g_free(session->mechanism);
    g_free(session);
}

void pop3_session_free(Pop3Session *session)
{
    if (session)
        session_core_free(&session->core);
}

static void failed(SessionCore *core)
{
    Pop3Session *session = (Pop3Session *)core;
    session->funcs->failed(session, core->error, session->data);
}

void pop3_session_fail(Pop3Session *session, GError *error)
{
    session_core_fail(&session->core, error);
}

void pop3_session_fail_protocol(Pop3Session *session, const char *what)
{
    session_core_fail_protocol(&session->core, what);
}

/* ---- sending ---- */

static guint pipeline_depth(const Pop3Session *session)
{
    gboolean pipelines =
        session->login == POP3_LOGIN_DONE && (session->capabilities->caps & POP3_CAP_PIPELINING);
    return pipelines ? MAX_PIPELINED : 1;
}

/* For the log: nothing that may hold a secret. */
static void log_command(const Pop3Session *session, const char *command)
{
    gsize length = session->login == POP3_LOGIN_DONE ? strlen(command) : strcspn(command, " ");
    g_autofree char *shown = mail_escape(command, (gssize)length, 300);
    g_debug("> %s", shown);
}

static void flush(Pop3Session *session)
{
    while (!session->core.error && session->waiting.length < pipeline_depth(session)) {
        Pop3Pending *pending = g_queue_pop_head(&session->unsent);
        if (!pending)
            return;
        if (pop3_session_debug)
            log_command(session, pending->command);
        fault_point_of("send", pending->word, strlen(pending->word));
        stream_write(session->core.stream, pending->command, strlen(pending->command));
        stream_write(session->core.stream, "\r\n", 2);
        secret_wipe(pending->command, strlen(pending->command));
        pending->sent = g_get_monotonic_time();
        g_queue_push_tail(&session->waiting, pending);
    }
}

void pop3_session_send(Pop3Session *session, const char *command, Pop3Shape shape,
                       const Pop3CommandFuncs *funcs, gpointer data)
{
    if (session->core.error)
        return;
    Pop3Pending *pending = g_new0(Pop3Pending, 1);
    pending->command = g_strdup(command);
    g_strlcpy(pending->word, command, MIN(sizeof(pending->word), strcspn(command, " ") + 1));
    pending->shape = shape;
    pending->funcs = funcs;
    pending->data = data;
    g_queue_push_tail(&session->unsent, pending);
    flush(session);
}

void pop3_session_answer(Pop3Session *session, const char *line)
{
    if (session->core.error)
        return;
    stream_write(session->core.stream, line, strlen(line));
    stream_write(session->core.stream, "\r\n", 2);
}

/* ---- receiving ---- */

static void finish_head(Pop3Session *session, const Pop3Reply *reply)
{
    Pop3Pending *pending = g_queue_pop_head(&session->waiting);
    fault_point_of("answer", pending->word, strlen(pending->word));
    pending->funcs->done(session, reply, pending->data);
    pending_free(pending);
    if (!session->core.freed && !session->core.error)
        flush(session);
}

static void begin_body(Pop3Session *session, const Pop3Pending *head)
{
    if (head->shape == POP3_LIST) {
        pop3_scan_expect_list(session->scan);
        return;
    }
    pop3_scan_expect_message(session->scan);
    session->wanted = !head->funcs->begin || head->funcs->begin(session, head->data);
}

/* From SCRAM's words passwords could be tried offline: a challenge is not for the log. */
static void log_line(const char *line)
{
    g_autofree char *shown = mail_escape(line, g_str_has_prefix(line, "+ ") ? 1 : -1, 300);
    g_debug("< %s", shown);
}

static void handle_status(Pop3Session *session)
{
    const char *line = pop3_scan_line(session->scan);
    Pop3Reply reply;
    if (pop3_session_debug)
        log_line(line);
    if (!pop3_parse_reply(line, &reply)) {
        g_autofree char *shown = mail_escape(line, -1, 200);
        g_autofree char *what = g_strdup_printf("neither +OK nor -ERR, but: %s", shown);
        pop3_session_fail_protocol(session, what);
        return;
    }
    if (session->login == POP3_LOGIN_GREETING) {
        pop3_login_greeting(session, &reply);
        return;
    }
    Pop3Pending *head = g_queue_peek_head(&session->waiting);
    if (!head)
        pop3_session_fail_protocol(session, "a reply that nothing waits for");
    else if (reply.status == POP3_CHALLENGE && head->funcs->challenge)
        head->funcs->challenge(session, reply.text, head->data);
    else if (reply.status == POP3_CHALLENGE)
        pop3_session_fail_protocol(session, "a challenge that nothing waits for");
    else if (reply.status == POP3_OK && head->shape != POP3_NOTHING)
        begin_body(session, head);
    else
        finish_head(session, &reply);
}

static void handle_event(Pop3Session *session, Pop3Event event, const Pop3Piece *piece)
{
    static const Pop3Reply complete = {.status = POP3_OK, .text = ""};
    Pop3Pending *head = g_queue_peek_head(&session->waiting);
    if (event == POP3_ERROR)
        pop3_session_fail_protocol(session, "a line is too long");
    else if (event == POP3_STATUS)
        handle_status(session);
    else if (event == POP3_END)
        finish_head(session, &complete);
    else if (event == POP3_ITEM && head->funcs->item)
        head->funcs->item(session, pop3_scan_line(session->scan), head->data);
    else if (event == POP3_DATA && session->wanted && head->funcs->bytes)
        head->funcs->bytes(session, piece->data, piece->size, head->data);
}

static gsize stream_received(Stream *stream, const guint8 *bytes, gsize size, gpointer data)
{
    Pop3Session *session = data;
    gsize consumed = 0;
    session_core_enter(&session->core);
    while (!session->core.error && !session->core.freed && !session->layer_changed) {
        Pop3Piece piece;
        gsize used = 0;
        Pop3Event event =
            pop3_scan_next(session->scan, bytes + consumed, size - consumed, &used, &piece);
        consumed += used;
        if (event == POP3_NEED_DATA)
            break;
        handle_event(session, event, &piece);
    }
    session->layer_changed = FALSE;
    if (session->core.error || session->core.freed)
        consumed = size;
    session_core_leave(&session->core);
    return consumed;
}

static void stream_ready(Stream *stream, gpointer data)
{
    Pop3Session *session = data;
    session_core_enter(&session->core);
    pop3_login_ready(session);
    session_core_leave(&session->core);
}

/* ---- deadlines ---- */

static gint64 patience(SessionCore *core, gint64 *since)
{
    Pop3Session *session = (Pop3Session *)core;
    const Pop3Pending *head = g_queue_peek_head(&session->waiting);
    gboolean in_login = session->login != POP3_LOGIN_DONE && *since > 0;
    if (head)
        *since = MAX(*since, head->sent);
    return head || in_login ? SESSION_REPLY_DEADLINE : 0;
}

/* ---- life ---- */

Pop3Session *pop3_session_new(const RemoteConfig *config, const Secret *secret,
                              const Pop3SessionFuncs *funcs, gpointer data)
{
    static const SessionCoreClass klass = {
        .stream = {stream_ready, stream_received, session_core_stream_failed},
        .patience = patience,
        .failed = failed,
        .destroy = destroy,
    };
    Pop3Session *session = g_new0(Pop3Session, 1);
    session->config = config;
    session->secret = secret;
    session->funcs = funcs;
    session->data = data;
    session->scan = pop3_scan_new();
    session->capabilities = pop3_capabilities_new();
    g_queue_init(&session->unsent);
    g_queue_init(&session->waiting);
    session_core_begin(&session->core, &klass, config);
    return session;
}

gboolean pop3_session_is_ready(Pop3Session *session)
{
    return session->login == POP3_LOGIN_DONE && !session->core.error;
}

const Pop3Capabilities *pop3_session_capabilities(Pop3Session *session)
{
    return session->capabilities;
}

gboolean pop3_session_has_capa(Pop3Session *session)
{
    return session->has_capa;
}

const char *pop3_session_mechanism(Pop3Session *session)
{
    return session->mechanism;
}

Stream *pop3_session_stream(Pop3Session *session)
{
    return session->core.stream;
}

guint pop3_session_pending(Pop3Session *session)
{
    return session->unsent.length + session->waiting.length;
}

gint64 pop3_session_opened(Pop3Session *session)
{
    return session->opened;
}

static MailError error_of_code(Pop3Code code)
{
    switch (code) {
    case POP3_CODE_IN_USE:
        return MAIL_ERROR_IN_USE;
    case POP3_CODE_AUTH:
        return MAIL_ERROR_AUTH;
    case POP3_CODE_LOGIN_DELAY:
    case POP3_CODE_SYS_TEMP:
        return MAIL_ERROR_OFFLINE;
    default:
        return MAIL_ERROR_REFUSED;
    }
}

GError *pop3_session_error(const Pop3Reply *reply, const char *what)
{
    g_autofree char *text = mail_escape(reply->text, -1, 300);
    return g_error_new(MAIL_ERROR, (gint)error_of_code(reply->code), "%s: the server says: %s",
                       what, text);
}
