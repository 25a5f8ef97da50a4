/* From the greeting to the state in which commands can be sent. RFC 9051 sections 3 and 6.1-6.2.
 *
 * Nothing that came before TLS is believed after it: capabilities are asked for anew, and the
 * stream refuses bytes that slipped in before the handshake. */
#include "imap-session-private.h"

#include <string.h>

static const struct {
    const char *name;
    guint32 bits;
} known_caps[] = {
    {"IMAP4REV1", IMAP_CAP_IMAP4REV1},
    /* RFC 9051 section 2 lists what the revision brings with it. */
    {"IMAP4REV2", IMAP_CAP_IMAP4REV2 | IMAP_CAP_NAMESPACE | IMAP_CAP_UIDPLUS | IMAP_CAP_ESEARCH |
                      IMAP_CAP_ENABLE | IMAP_CAP_IDLE | IMAP_CAP_SASL_IR | IMAP_CAP_LIST_EXTENDED |
                      IMAP_CAP_LIST_STATUS | IMAP_CAP_MOVE | IMAP_CAP_LITERAL_MINUS |
                      IMAP_CAP_UNSELECT | IMAP_CAP_SPECIAL_USE},
    {"STARTTLS", IMAP_CAP_STARTTLS},
    {"LOGINDISABLED", IMAP_CAP_LOGINDISABLED},
    {"SASL-IR", IMAP_CAP_SASL_IR},
    {"ID", IMAP_CAP_ID},
    {"ENABLE", IMAP_CAP_ENABLE},
    {"NAMESPACE", IMAP_CAP_NAMESPACE},
    {"SPECIAL-USE", IMAP_CAP_SPECIAL_USE},
    {"LIST-EXTENDED", IMAP_CAP_LIST_EXTENDED},
    {"LIST-STATUS", IMAP_CAP_LIST_STATUS},
    {"CONDSTORE", IMAP_CAP_CONDSTORE},
    {"QRESYNC", IMAP_CAP_QRESYNC | IMAP_CAP_CONDSTORE}, /* RFC 7162 section 3.2.3 */
    {"UIDPLUS", IMAP_CAP_UIDPLUS},
    {"MOVE", IMAP_CAP_MOVE},
    {"LITERAL+", IMAP_CAP_LITERAL_PLUS},
    {"LITERAL-", IMAP_CAP_LITERAL_MINUS},
    {"ESEARCH", IMAP_CAP_ESEARCH},
    {"IDLE", IMAP_CAP_IDLE},
    {"NOTIFY", IMAP_CAP_NOTIFY},
    {"COMPRESS=DEFLATE", IMAP_CAP_COMPRESS},
    {"QUOTA", IMAP_CAP_QUOTA},
    {"UNSELECT", IMAP_CAP_UNSELECT},
    {"MULTIAPPEND", IMAP_CAP_MULTIAPPEND},
    {"ACL", IMAP_CAP_ACL},
};

/* A list of more than this is no list of capabilities. */
#define MAX_CAPABILITIES 512

static void forget_capabilities(ImapSession *session)
{
    session->caps = 0;
    session->caps_known = FALSE;
    g_string_truncate(session->capabilities, 0);
    g_ptr_array_set_size(session->mechanisms, 0);
}

void imap_login_clear(ImapSession *session)
{
    g_clear_pointer(&session->sasl, sasl_free);
    g_clear_pointer(&session->mechanism, g_free);
}

void imap_login_capabilities(ImapSession *session, const ImapValue *values)
{
    forget_capabilities(session);
    guint count = 0;
    for (const ImapValue *value = values; value && count < MAX_CAPABILITIES; value = value->next) {
        const char *name = imap_value_text(value);
        if (!name)
            continue;
        count++;
        g_autofree char *shown = mail_escape(name, -1, 100);
        g_string_append_printf(session->capabilities, "%s%s", count > 1 ? " " : "", shown);
        if (g_ascii_strncasecmp(name, "AUTH=", 5) == 0)
            g_ptr_array_add(session->mechanisms, g_strndup(name + 5, 64));
        for (guint i = 0; i < G_N_ELEMENTS(known_caps); i++)
            if (g_ascii_strcasecmp(name, known_caps[i].name) == 0)
                session->caps |= known_caps[i].bits;
    }
    session->caps_known = TRUE;
}

static void fail(ImapSession *session, MailError code, const char *text)
{
    imap_session_fail(session, g_error_new_literal(MAIL_ERROR, code, text));
}

static void authenticate(ImapSession *session);

/* ---- CAPABILITY ---- */

static void capability_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    if (reply->condition != IMAP_OK || !session->caps_known) {
        imap_session_fail(session, imap_session_error(reply, "CAPABILITY"));
        return;
    }
    authenticate(session);
}

static void ask_capabilities(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = capability_done};
    session->login = IMAP_LOGIN_CAPABILITY;
    imap_session_send(session, imap_session_command(session, "CAPABILITY"), &funcs, NULL);
}

/* ---- after the login ---- */

static gboolean enable_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    if (reply->type != IMAP_REPLY_ENABLED)
        return FALSE;
    for (const ImapValue *value = reply->values; value; value = value->next) {
        if (imap_value_is(value, "QRESYNC"))
            session->qresync = session->condstore = TRUE;
        if (imap_value_is(value, "CONDSTORE"))
            session->condstore = TRUE;
    }
    return TRUE;
}

static void enable_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    imap_session_logged_in(session);
}

static gboolean id_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    return reply->type == IMAP_REPLY_ID;
}

static void id_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
}

/* RFC 2971: some servers ask for it, and it helps their administrators. */
static void send_id(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = id_untagged, .done = id_done};
    imap_session_send(session,
                      imap_session_command(
                          session, "ID (\"name\" \"mailfs\" \"version\" \"" MAILFS_VERSION "\")"),
                      &funcs, NULL);
}

static void enable_extensions(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.untagged = enable_untagged, .done = enable_done};
    session->condstore = (session->caps & IMAP_CAP_CONDSTORE) != 0;
    if (session->caps & IMAP_CAP_ID)
        send_id(session);
    if (!(session->caps & IMAP_CAP_ENABLE) || !(session->caps & IMAP_CAP_CONDSTORE)) {
        imap_session_logged_in(session);
        return;
    }
    imap_session_send(session,
                      imap_session_command(session, session->caps & IMAP_CAP_QRESYNC
                                                        ? "ENABLE QRESYNC"
                                                        : "ENABLE CONDSTORE"),
                      &funcs, NULL);
}

static void finish_login(ImapSession *session)
{
    if (session->config->compress == REMOTE_COMPRESS_YES)
        imap_session_compress(session);
    enable_extensions(session);
}

static void capability_again_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    if (reply->condition != IMAP_OK || !session->caps_known) {
        imap_session_fail(session, imap_session_error(reply, "CAPABILITY"));
        return;
    }
    finish_login(session);
}

static void authenticated(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = capability_again_done};
    g_clear_pointer(&session->sasl, sasl_free);
    session->login = IMAP_LOGIN_CAPABILITY_AGAIN;
    if (session->caps_known) {
        finish_login(session);
        return;
    }
    imap_session_send(session, imap_session_command(session, "CAPABILITY"), &funcs, NULL);
}

/* ---- AUTHENTICATE ---- */

static void auth_challenge(ImapSession *session, const char *text, gpointer data)
{
    GError *error = NULL;
    char *line = sasl_answer(session->sasl, text, &error);
    if (line)
        imap_session_answer(session, line);
    else
        imap_session_fail(session, error);
    secret_free_text(line);
}

/* The server's words about a failed login, and what the user can do. */
static GError *login_error(ImapSession *session, const ImapReply *reply)
{
    g_autofree char *text = mail_escape(reply->text, -1, 200);
    /* RFC 5530: says nothing about the password. */
    gboolean later = reply->code == IMAP_CODE_UNAVAILABLE || reply->code == IMAP_CODE_LIMIT ||
                     reply->code == IMAP_CODE_INUSE;
    if (reply->condition == IMAP_NO && later)
        return g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE, "the server allows no login now: %s",
                           text);
    return g_error_new(MAIL_ERROR, MAIL_ERROR_AUTH,
                       "login as %s refused by %s: %s (check the user name and the password)",
                       session->config->user, session->config->host, text);
}

static void auth_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    if (reply->condition != IMAP_OK) {
        imap_session_fail(session, login_error(session, reply));
        return;
    }
    if (session->sasl && !sasl_finished(session->sasl)) {
        fail(session, MAIL_ERROR_AUTH,
             "the server did not prove that it knows the password: it may be an impostor");
        return;
    }
    if (reply->code != IMAP_CODE_CAPABILITY)
        forget_capabilities(session);
    authenticated(session);
}

static void send_authenticate(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.challenge = auth_challenge, .done = auth_done};
    const char *mechanism = sasl_mechanism(session->sasl);
    session->mechanism = g_strdup(mechanism);
    g_autoptr(ImapCommand) command = imap_session_command(session, "AUTHENTICATE");
    imap_command_atom(command, mechanism);
    if ((session->caps & IMAP_CAP_SASL_IR) && sasl_client_first(session->sasl)) {
        GError *error = NULL;
        char *text = sasl_answer(session->sasl, NULL, &error);
        if (!text) {
            imap_session_fail(session, error);
            return;
        }
        /* An empty response is "=", RFC 4959 section 3. */
        imap_command_atom(command, *text ? text : "=");
        secret_free_text(text);
    }
    imap_session_send(session, g_steal_pointer(&command), &funcs, NULL);
}

/* Servers without SASL have the LOGIN command. */
static void send_login(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = auth_done};
    gsize size;
    const char *password = secret_peek(session->secret, &size);
    session->mechanism = g_strdup("LOGIN command");
    g_autoptr(ImapCommand) command = imap_session_command(session, "LOGIN");
    if (!imap_command_astring(command, session->config->user, strlen(session->config->user)) ||
        !imap_command_string(command, password, size)) {
        fail(session, MAIL_ERROR_AUTH, "the user name or the password has a NUL in it");
        return;
    }
    imap_session_send(session, g_steal_pointer(&command), &funcs, NULL);
}

static void authenticate(ImapSession *session)
{
    const RemoteConfig *config = session->config;
    Stream *stream = session->core.stream;
    gboolean encrypted =
        stream_is_encrypted(stream) || stream_is_tunnel(stream) || stream_is_loopback(stream);
    session->login = IMAP_LOGIN_AUTHENTICATE;
    SaslConfig sasl_config = {
        .service = config->service,
        .host = config->host,
        .port = config->port,
        .user = config->user,
        .secret = session->secret,
        .is_token = config->is_token,
        .encrypted = encrypted,
        .wanted = config->auth,
    };
    GError *error = NULL;
    session->sasl = sasl_new(&sasl_config, (const char *const *)session->mechanisms->pdata, &error);
    if (session->sasl) {
        send_authenticate(session);
        return;
    }
    gboolean may_login = encrypted && !(session->caps & IMAP_CAP_LOGINDISABLED) &&
                         !config->is_token && !config->auth && session->secret;
    if (!may_login) {
        imap_session_fail(session, error);
        return;
    }
    g_error_free(error);
    send_login(session);
}

/* ---- STARTTLS and the greeting ---- */

static void starttls_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    if (reply->condition != IMAP_OK) {
        g_autofree char *text = mail_escape(reply->text, -1, 200);
        imap_session_fail(session,
                          g_error_new(MAIL_ERROR, MAIL_ERROR_TLS,
                                      "the server refuses STARTTLS (%s): use imaps://", text));
        return;
    }
    forget_capabilities(session);
    session->login = IMAP_LOGIN_HANDSHAKE;
    session->layer_changed = TRUE;
    stream_start_tls(session->core.stream);
}

static void start_tls(ImapSession *session)
{
    static const ImapCommandFuncs funcs = {.done = starttls_done};
    if (session->caps_known && !(session->caps & IMAP_CAP_STARTTLS)) {
        fail(session, MAIL_ERROR_TLS,
             "the server does not offer STARTTLS, and mailfs sends no password unencrypted: "
             "use imaps://");
        return;
    }
    session->login = IMAP_LOGIN_STARTTLS;
    imap_session_send(session, imap_session_command(session, "STARTTLS"), &funcs, NULL);
}

void imap_login_ready(ImapSession *session)
{
    if (session->login == IMAP_LOGIN_HANDSHAKE)
        ask_capabilities(session);
}

void imap_login_greeting(ImapSession *session, const ImapReply *reply)
{
    Stream *stream = session->core.stream;
    if (reply->type != IMAP_REPLY_STATUS ||
        (reply->condition != IMAP_OK && reply->condition != IMAP_PREAUTH)) {
        g_autofree char *text = mail_escape(reply->text, -1, 200);
        gboolean bye = reply->type == IMAP_REPLY_STATUS && reply->condition == IMAP_BYE;
        imap_session_fail(session,
                          g_error_new(MAIL_ERROR, bye ? MAIL_ERROR_OFFLINE : MAIL_ERROR_PROTOCOL,
                                      "the server does not greet as IMAP does: %s", text));
        return;
    }
    if (reply->code == IMAP_CODE_CAPABILITY)
        imap_login_capabilities(session, reply->values);
    if (session->config->tls == STREAM_TLS_NONE && !stream_is_tunnel(stream) &&
        !stream_is_loopback(stream)) {
        fail(session, MAIL_ERROR_TLS, "tls=no is for loopback addresses only");
        return;
    }
    gboolean preauth = reply->condition == IMAP_PREAUTH;
    if (preauth && !stream_is_tunnel(stream)) {
        fail(session, MAIL_ERROR_PROTOCOL,
             "the server says that we are logged in already (PREAUTH): only a tunnel may do that");
        return;
    }
    if (preauth) {
        session->mechanism = g_strdup("PREAUTH");
        authenticated(session);
        return;
    }
    if (session->config->tls == STREAM_TLS_START && !stream_is_tunnel(stream))
        start_tls(session);
    else if (session->caps_known)
        authenticate(session);
    else
        ask_capabilities(session);
}
