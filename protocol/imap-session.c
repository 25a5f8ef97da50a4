#include "imap-session-private.h"

#include <string.h>

/* The end of what was written may still be on its way through a slow line, out of the kernel. */
#define UPLOAD_DEADLINE (120 * G_USEC_PER_SEC)
/* One that is to begin or to end an IDLE, or to show that it lives, does that at once or never. */
#define SHORT_DEADLINE (10 * G_USEC_PER_SEC)
/* The text of one response: enough for the header fields of one message, and for a line that names
 * half a million messages (ESEARCH, VANISHED). */
#define MAX_TEXT (4 * 1024 * 1024)
#define MAX_LITERAL ((guint64)G_MAXINT64)

gboolean imap_session_debug;

void imap_pending_free(ImapPending *pending)
{
    if (!pending)
        return;
    imap_command_free(pending->command);
    g_free(pending);
}

static void clear_queue(GQueue *queue)
{
    g_queue_clear_full(queue, (GDestroyNotify)imap_pending_free);
}

static void destroy(SessionCore *core)
{
    ImapSession *session = (ImapSession *)core;
    g_clear_handle_id(&session->pump_source, g_source_remove);
    clear_queue(&session->unsent);
    clear_queue(&session->waiting);
    imap_pending_free(session->leftover);
    imap_login_clear(session);
    scan_free(session->scan);
    imap_reply_parser_free(session->parser);
    g_string_free(session->capabilities, TRUE);
    g_ptr_array_unref(session->mechanisms);
    imap_session_set_selected(session, NULL);
    g_free(session);
}

void imap_session_free(ImapSession *session)
{
    if (session)
        session_core_free(&session->core);
}

static void failing(SessionCore *core)
{
    ImapSession *session = (ImapSession *)core;
    session->sink = NULL;
    g_clear_handle_id(&session->pump_source, g_source_remove);
}

static void failed(SessionCore *core)
{
    ImapSession *session = (ImapSession *)core;
    session->funcs->failed(session, core->error, session->data);
}

void imap_session_fail(ImapSession *session, GError *error)
{
    session_core_fail(&session->core, error);
}

void imap_session_fail_protocol(ImapSession *session, const char *what)
{
    session_core_fail_protocol(&session->core, what);
}

/* ---- sending ---- */

ImapPending *imap_session_enqueue(ImapSession *session, ImapCommand *command,
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
    if (session->core.error) {
        imap_command_free(command);
        return;
    }
    imap_session_enqueue(session, command, funcs, data);
    imap_send_flush(session);
}

void imap_session_answer(ImapSession *session, const char *line)
{
    if (session->core.error)
        return;
    stream_write(session->core.stream, line, strlen(line));
    stream_write(session->core.stream, "\r\n", 2);
}

ImapCommand *imap_session_command(ImapSession *session, const char *name)
{
    ImapLiteralMode mode = session->caps & IMAP_CAP_LITERAL_PLUS    ? IMAP_LITERAL_PLUS
                           : session->caps & IMAP_CAP_LITERAL_MINUS ? IMAP_LITERAL_MINUS
                                                                    : IMAP_LITERAL_SYNC;
    return imap_command_new(name, mode);
}

void imap_session_set_selected(ImapSession *session, const char *name)
{
    ImapSelected *selected = &session->selected;
    g_free(selected->name);
    g_free(selected->rights);
    g_strfreev(selected->permanent_keywords);
    *selected = (ImapSelected){
        .state = name ? IMAP_SELECT_PENDING : IMAP_SELECT_NONE,
        .name = g_strdup(name),
        /* RFC 9051 section 7.1: without the code, all can be changed. */
        .info.permanent_flags = MAIL_FLAGS_SYSTEM | MAIL_FLAG_ANY_KEYWORD,
    };
}

/* The letters of RFC 4314, and a bounded number of them. */
static char *take_rights(const ImapValue *value)
{
    const char *text = imap_value_text(value);
    gsize length = text ? strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789") : 0;
    return text && text[length] == '\0' && length <= 64 ? g_strdup(text) : NULL;
}

static gboolean rights_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    ImapSelected *selected = &session->selected;
    if (reply->type != IMAP_REPLY_MYRIGHTS)
        return FALSE;
    const char *name = imap_value_text(reply->values);
    if (name && selected->name && strcmp(name, selected->name) == 0) {
        g_free(selected->rights);
        selected->rights = take_rights(reply->values->next);
        selected->info.rights = selected->rights;
    }
    return TRUE;
}

static void rights_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
}

/* Before the mailbox is selected, so that all is known of it once it is. */
static void ask_rights(ImapSession *session, const char *mailbox)
{
    static const ImapCommandFuncs funcs = {.untagged = rights_untagged, .done = rights_done};
    if (!(session->caps & IMAP_CAP_ACL))
        return;
    g_autoptr(ImapCommand) command = imap_session_command(session, "MYRIGHTS");
    imap_command_astring(command, mailbox, strlen(mailbox));
    imap_session_enqueue(session, g_steal_pointer(&command), &funcs, NULL);
}

static void forget_select(gpointer data, gpointer unused)
{
    ((ImapPending *)data)->select = FALSE;
}

void imap_session_select(ImapSession *session, const char *mailbox, const ImapCommandFuncs *funcs,
                         gpointer data)
{
    if (session->core.error)
        return;
    imap_session_set_selected(session, mailbox);
    /* What is still to come of an earlier SELECT tells of another mailbox. */
    g_queue_foreach(&session->waiting, forget_select, NULL);
    g_queue_foreach(&session->unsent, forget_select, NULL);
    ask_rights(session, mailbox);
    g_autoptr(ImapCommand) command =
        imap_session_command(session, session->config->read_only ? "EXAMINE" : "SELECT");
    imap_command_astring(command, mailbox, strlen(mailbox));
    if (session->condstore && !session->qresync)
        imap_command_atom(command, "(CONDSTORE)");
    imap_session_enqueue(session, g_steal_pointer(&command), funcs, data)->select = TRUE;
    imap_send_flush(session);
}

/* ---- the stream ---- */

static void stream_ready(Stream *stream, gpointer data)
{
    ImapSession *session = data;
    session_core_enter(&session->core);
    imap_login_ready(session);
    session_core_leave(&session->core);
}

/* ---- deadlines ---- */

/* How long the server may take its time with what it does now; 0: for ever. */
static gint64 limit_of(const ImapSession *session, const ImapPending *head)
{
    if (session->leftover || (head && head->uploads))
        return UPLOAD_DEADLINE;
    if (session->probed > 0 || (head && head->idle && head->idle != IMAP_IDLE_LASTS))
        return SHORT_DEADLINE;
    if (head && head->idle == IMAP_IDLE_LASTS)
        return 0;
    return head || session->login != IMAP_LOGIN_DONE ? SESSION_REPLY_DEADLINE : 0;
}

static gint64 patience(SessionCore *core, gint64 *since)
{
    ImapSession *session = (ImapSession *)core;
    const ImapPending *head = g_queue_peek_head(&session->waiting);
    if (*since > session->probed)
        session->probed = 0;
    *since = MAX(*since, session->progress);
    if (head)
        *since = MAX(*since, head->sent);
    gint64 limit = *since > 0 ? limit_of(session, head) : 0;
    *since = MAX(*since, session->probed);
    return limit;
}

/* ---- life ---- */

ImapSession *imap_session_new(const RemoteConfig *config, const Secret *secret,
                              const ImapSessionFuncs *funcs, gpointer data)
{
    static const SessionCoreClass klass = {
        .stream = {stream_ready, imap_receive, session_core_stream_failed},
        .patience = patience,
        .failing = failing,
        .failed = failed,
        .destroy = destroy,
    };
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
    session_core_begin(&session->core, &klass, config);
    stream_set_drained(session->core.stream, imap_send_drained);
    return session;
}

void imap_session_logged_in(ImapSession *session)
{
    session->login = IMAP_LOGIN_DONE;
    session->core.logged_in = TRUE;
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

void imap_session_disown(ImapSession *session)
{
    if (!session->selected.name)
        return;
    g_free(session->selected.name);
    session->selected.name = g_strdup("");
}

void imap_session_synced(ImapSession *session, guint hints)
{
    session->selected.synced = TRUE;
    session->selected.synced_hints = hints;
}

void imap_session_has_seen(ImapSession *session, MailUid uid)
{
    session->selected.seen = MAX(session->selected.seen, uid);
}

gboolean imap_session_is_ready(ImapSession *session)
{
    return session->login == IMAP_LOGIN_DONE && !session->core.error;
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
    return session->core.stream;
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
    case IMAP_CODE_HASCHILDREN:
        return MAIL_ERROR_NOT_EMPTY;
    case IMAP_CODE_CANNOT:
        return MAIL_ERROR_INVALID;
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
