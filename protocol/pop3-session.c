#include "pop3-session-private.h"

#include "fault.h"

#include <string.h>

/* A server that says nothing for so long while a command waits is taken for gone. */
#define REPLY_DEADLINE (30 * G_USEC_PER_SEC)
/* A login that takes longer than this gets nowhere, however talkative the server is. */
#define LOGIN_DEADLINE (60 * G_USEC_PER_SEC)
/* Commands on their way at a time: what they bring must not pile up on either side. */
#define MAX_PIPELINED 1024

gboolean pop3_session_debug;

static void pending_free(Pop3Pending *pending)
{
    if (pending->command)
        secret_wipe(pending->command, strlen(pending->command));
    g_free(pending->command);
    g_free(pending);
}

static void session_destroy(Pop3Session *session)
{
    g_clear_handle_id(&session->timer, g_source_remove);
    g_clear_handle_id(&session->fail_source, g_source_remove);
    g_clear_pointer(&session->stream, stream_free);
    g_queue_clear_full(&session->unsent, (GDestroyNotify)pending_free);
    g_queue_clear_full(&session->waiting, (GDestroyNotify)pending_free);
    sasl_free(session->sasl);
    pop3_scan_free(session->scan);
    pop3_capabilities_free(session->capabilities);
    g_clear_error(&session->error);
    g_free(session->timestamp);
    g_free(session->mechanism);
    g_free(session);
}

void pop3_session_free(Pop3Session *session)
{
    if (!session)
        return;
    session->freed = TRUE;
    if (session->nesting == 0)
        session_destroy(session);
}

/* Every entry from the main loop is bracketed by these, so that a callback may free the session. */
static void enter(Pop3Session *session)
{
    session->nesting++;
}

static void leave(Pop3Session *session)
{
    if (--session->nesting == 0 && session->freed)
        session_destroy(session);
}

static gboolean report_failure(gpointer data)
{
    Pop3Session *session = data;
    session->fail_source = 0;
    enter(session);
    session->funcs->failed(session, session->error, session->data);
    leave(session);
    return G_SOURCE_REMOVE;
}

void pop3_session_fail(Pop3Session *session, GError *error)
{
    if (session->error || session->freed) {
        g_error_free(error);
        return;
    }
    session->error = error;
    g_clear_handle_id(&session->timer, g_source_remove);
    stream_close(session->stream);
    session->fail_source = g_idle_add_full(G_PRIORITY_DEFAULT, report_failure, session, NULL);
}

void pop3_session_fail_protocol(Pop3Session *session, const char *what)
{
    pop3_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_PROTOCOL,
                                           "the server broke the protocol: %s", what));
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
    while (!session->error && session->waiting.length < pipeline_depth(session)) {
        Pop3Pending *pending = g_queue_pop_head(&session->unsent);
        if (!pending)
            return;
        if (pop3_session_debug)
            log_command(session, pending->command);
        fault_point_of("send", pending->word, strlen(pending->word));
        stream_write(session->stream, pending->command, strlen(pending->command));
        stream_write(session->stream, "\r\n", 2);
        secret_wipe(pending->command, strlen(pending->command));
        pending->sent = g_get_monotonic_time();
        g_queue_push_tail(&session->waiting, pending);
    }
}

void pop3_session_send(Pop3Session *session, const char *command, Pop3Shape shape,
                       const Pop3CommandFuncs *funcs, gpointer data)
{
    if (session->error)
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
    if (session->error)
        return;
    stream_write(session->stream, line, strlen(line));
    stream_write(session->stream, "\r\n", 2);
}

/* ---- receiving ---- */

static void finish_head(Pop3Session *session, const Pop3Reply *reply)
{
    Pop3Pending *pending = g_queue_pop_head(&session->waiting);
    fault_point_of("answer", pending->word, strlen(pending->word));
    pending->funcs->done(session, reply, pending->data);
    pending_free(pending);
    if (!session->freed && !session->error)
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
    enter(session);
    while (!session->error && !session->freed && !session->layer_changed) {
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
    if (session->error || session->freed)
        consumed = size;
    leave(session);
    return consumed;
}

static void stream_ready(Stream *stream, gpointer data)
{
    Pop3Session *session = data;
    enter(session);
    pop3_login_ready(session);
    leave(session);
}

static void stream_failed(Stream *stream, const GError *error, gpointer data)
{
    Pop3Session *session = data;
    pop3_session_fail(session, g_error_copy(error));
}

/* ---- deadlines ---- */

static gboolean check_deadline(gpointer data)
{
    Pop3Session *session = data;
    const Pop3Pending *head = g_queue_peek_head(&session->waiting);
    gint64 since = stream_last_receive(session->stream);
    gboolean in_login = session->login != POP3_LOGIN_DONE && since > 0;
    gint64 now = g_get_monotonic_time();
    if (head)
        since = MAX(since, head->sent);
    gboolean silent = (head || in_login) && now - since >= REPLY_DEADLINE;
    if (!silent && !(in_login && now - session->created >= LOGIN_DEADLINE))
        return G_SOURCE_CONTINUE;
    session->timer = 0;
    gint64 limit = silent ? REPLY_DEADLINE : LOGIN_DEADLINE;
    pop3_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_TIMEOUT, "%s %d seconds",
                                           silent ? "the server has not answered for"
                                                  : "the login was not done within",
                                           (int)(limit / G_USEC_PER_SEC)));
    return G_SOURCE_REMOVE;
}

/* ---- life ---- */

Pop3Session *pop3_session_new(const RemoteConfig *config, const Secret *secret,
                              const Pop3SessionFuncs *funcs, gpointer data)
{
    static const StreamFuncs stream_funcs = {
        .ready = stream_ready, .received = stream_received, .failed = stream_failed};
    Pop3Session *session = g_new0(Pop3Session, 1);
    session->config = config;
    session->secret = secret;
    session->funcs = funcs;
    session->data = data;
    session->scan = pop3_scan_new();
    session->capabilities = pop3_capabilities_new();
    g_queue_init(&session->unsent);
    g_queue_init(&session->waiting);
    session->created = g_get_monotonic_time();
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

gboolean pop3_session_is_ready(Pop3Session *session)
{
    return session->login == POP3_LOGIN_DONE && !session->error;
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
    return session->stream;
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
