/* From the greeting to the state in which commands can be sent. RFC 1939 sections 4 and 7,
 * RFC 2595 section 4 (STLS), RFC 5034 (AUTH).
 *
 * Nothing that came before TLS is believed after it: capabilities are asked for anew, and the
 * stream refuses bytes that slipped in before the handshake. */
#include "pop3-session-private.h"

#include <string.h>

/* RFC 2449 section 4: bytes of a command line, with its CRLF. */
#define MAX_COMMAND 255

static void authenticate(Pop3Session *session);

static void fail(Pop3Session *session, MailError code, const char *text)
{
    pop3_session_fail(session, g_error_new_literal(MAIL_ERROR, (gint)code, text));
}

/* ---- CAPA ---- */

static void capa_item(Pop3Session *session, const char *line, gpointer data)
{
    pop3_capabilities_add(session->capabilities, line);
}

static void forget_capabilities(Pop3Session *session)
{
    pop3_capabilities_free(session->capabilities);
    session->capabilities = pop3_capabilities_new();
    session->has_capa = FALSE;
}

static void start_tls(Pop3Session *session);

static void logged_in(Pop3Session *session)
{
    session->login = POP3_LOGIN_DONE;
    session->core.logged_in = TRUE;
    session->funcs->ready(session, session->data);
}

static void capa_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    session->has_capa = reply->status == POP3_OK;
    if (session->login == POP3_LOGIN_CAPA_PLAIN)
        start_tls(session);
    else if (session->login == POP3_LOGIN_CAPA)
        authenticate(session);
    else
        logged_in(session);
}

static void ask_capabilities(Pop3Session *session, Pop3LoginState state)
{
    static const Pop3CommandFuncs funcs = {.item = capa_item, .done = capa_done};
    session->login = state;
    forget_capabilities(session);
    pop3_session_send(session, "CAPA", POP3_LIST, &funcs, NULL);
}

/* ---- the login's end ---- */

/* The server's words about a failed login, and what the user can do. A server that has a code for
 * wrong credentials (RFC 3206) and does not say it has another reason. */
static GError *login_error(const Pop3Session *session, const Pop3Reply *reply)
{
    g_autofree char *text = mail_escape(reply->text, -1, 200);
    gboolean codes = (session->capabilities->caps & POP3_CAP_AUTH_RESP_CODE) != 0;
    if (reply->code == POP3_CODE_IN_USE)
        return g_error_new(MAIL_ERROR, MAIL_ERROR_IN_USE,
                           "another session has the maildrop open: %s", text);
    if (reply->code == POP3_CODE_LOGIN_DELAY || reply->code == POP3_CODE_SYS_TEMP ||
        (codes && reply->code == POP3_CODE_NONE))
        return g_error_new(MAIL_ERROR, MAIL_ERROR_OFFLINE, "the server allows no login now: %s",
                           text);
    return g_error_new(MAIL_ERROR, MAIL_ERROR_AUTH,
                       "login as %s refused by %s: %s (check the user name and the password)",
                       session->config->user, session->config->host, text);
}

static void auth_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    if (reply->status != POP3_OK) {
        pop3_session_fail(session, login_error(session, reply));
        return;
    }
    if (session->sasl && !sasl_finished(session->sasl)) {
        fail(session, MAIL_ERROR_AUTH,
             "the server did not prove that it knows the password: it may be an impostor");
        return;
    }
    g_clear_pointer(&session->sasl, sasl_free);
    if (session->has_capa)
        ask_capabilities(session, POP3_LOGIN_CAPA_AGAIN);
    else
        logged_in(session);
}

static void opens(Pop3Session *session)
{
    session->opened = g_get_monotonic_time();
}

/* ---- USER and PASS, APOP ---- */

/* FALSE when a line cannot carry it. */
static gboolean fits_line(const char *text, gsize size)
{
    return !memchr(text, '\r', size) && !memchr(text, '\n', size) && !memchr(text, '\0', size);
}

static const char *password(Pop3Session *session)
{
    gsize size = 0;
    const char *text = session->secret ? secret_peek(session->secret, &size) : NULL;
    if (text && fits_line(text, size) &&
        fits_line(session->config->user, strlen(session->config->user)))
        return text;
    fail(session, MAIL_ERROR_AUTH,
         text ? "the user name or the password has a line end or a NUL in it"
              : "there is no password");
    return NULL;
}

static void send_secret(Pop3Session *session, char *command, const Pop3CommandFuncs *funcs)
{
    opens(session);
    pop3_session_send(session, command, POP3_NOTHING, funcs, NULL);
    secret_free_text(command);
}

static void user_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    static const Pop3CommandFuncs funcs = {.done = auth_done};
    const char *text = reply->status == POP3_OK ? password(session) : NULL;
    if (reply->status != POP3_OK)
        pop3_session_fail(session, login_error(session, reply));
    else if (text)
        send_secret(session, g_strconcat("PASS ", text, NULL), &funcs);
}

static void send_user(Pop3Session *session)
{
    static const Pop3CommandFuncs funcs = {.done = user_done};
    if (!password(session))
        return;
    session->mechanism = g_strdup("USER and PASS");
    g_autofree char *command = g_strconcat("USER ", session->config->user, NULL);
    pop3_session_send(session, command, POP3_NOTHING, &funcs, NULL);
}

/* RFC 1939 section 7. MD5 of a password is weak: only for who asks for it. */
static void send_apop(Pop3Session *session)
{
    static const Pop3CommandFuncs funcs = {.done = auth_done};
    if (!session->timestamp) {
        fail(session, MAIL_ERROR_AUTH, "the server does not offer APOP: leave out auth=apop");
        return;
    }
    const char *text = password(session);
    if (!text)
        return;
    session->mechanism = g_strdup("APOP");
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_MD5);
    g_checksum_update(checksum, (const guchar *)session->timestamp, -1);
    g_checksum_update(checksum, (const guchar *)text, -1);
    char *command =
        g_strdup_printf("APOP %s %s", session->config->user, g_checksum_get_string(checksum));
    g_checksum_free(checksum);
    send_secret(session, command, &funcs);
}

/* ---- AUTH ---- */

static void auth_challenge(Pop3Session *session, const char *text, gpointer data)
{
    GError *error = NULL;
    char *line = sasl_answer(session->sasl, text, &error);
    if (line)
        pop3_session_answer(session, line);
    else
        pop3_session_fail(session, error);
    secret_free_text(line);
}

static void send_auth(Pop3Session *session)
{
    static const Pop3CommandFuncs funcs = {.challenge = auth_challenge, .done = auth_done};
    const char *mechanism = sasl_mechanism(session->sasl);
    session->mechanism = g_strdup(mechanism);
    opens(session);
    /* An initial response saves a round trip, where the line is long enough for it: a name and a
     * password of ordinary length. A token is longer. */
    gsize room = MAX_COMMAND - strlen("AUTH  \r\n") - strlen(mechanism);
    gboolean small = !session->config->is_token && session->secret;
    if (small) {
        gsize size = 0;
        secret_peek(session->secret, &size);
        small = (2 * strlen(session->config->user) + size + 64) * 4 / 3 < room;
    }
    if (!small || !sasl_client_first(session->sasl)) {
        g_autofree char *command = g_strconcat("AUTH ", mechanism, NULL);
        pop3_session_send(session, command, POP3_NOTHING, &funcs, NULL);
        return;
    }
    GError *error = NULL;
    char *response = sasl_answer(session->sasl, NULL, &error);
    if (!response) {
        pop3_session_fail(session, error);
        return;
    }
    /* An empty response is "=", RFC 5034 section 4. */
    char *command = g_strconcat("AUTH ", mechanism, " ", *response ? response : "=", NULL);
    secret_free_text(response);
    send_secret(session, command, &funcs);
}

static void authenticate(Pop3Session *session)
{
    const RemoteConfig *config = session->config;
    Stream *stream = session->core.stream;
    gboolean encrypted =
        stream_is_encrypted(stream) || stream_is_tunnel(stream) || stream_is_loopback(stream);
    session->login = POP3_LOGIN_AUTHENTICATE;
    if (config->auth && g_ascii_strcasecmp(config->auth, "APOP") == 0) {
        send_apop(session);
        return;
    }
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
    session->sasl = sasl_new(&sasl_config,
                             (const char *const *)session->capabilities->mechanisms->pdata, &error);
    if (session->sasl) {
        send_auth(session);
    } else if (encrypted && !config->is_token && !config->auth && session->secret) {
        /* Servers without SASL, or without CAPA, have USER and PASS. */
        g_error_free(error);
        send_user(session);
    } else {
        pop3_session_fail(session, error);
    }
}

/* ---- STLS and the greeting ---- */

static void stls_done(Pop3Session *session, const Pop3Reply *reply, gpointer data)
{
    if (reply->status != POP3_OK) {
        g_autofree char *text = mail_escape(reply->text, -1, 200);
        pop3_session_fail(session, g_error_new(MAIL_ERROR, MAIL_ERROR_TLS,
                                               "the server refuses STLS (%s): use pop3s://", text));
        return;
    }
    session->login = POP3_LOGIN_HANDSHAKE;
    session->layer_changed = TRUE;
    stream_start_tls(session->core.stream);
}

static void start_tls(Pop3Session *session)
{
    static const Pop3CommandFuncs funcs = {.done = stls_done};
    if (session->has_capa && !(session->capabilities->caps & POP3_CAP_STLS)) {
        fail(session, MAIL_ERROR_TLS,
             "the server does not offer STLS, and mailfs sends no password unencrypted: "
             "use pop3s://");
        return;
    }
    session->login = POP3_LOGIN_STLS;
    pop3_session_send(session, "STLS", POP3_NOTHING, &funcs, NULL);
}

void pop3_login_ready(Pop3Session *session)
{
    if (session->login == POP3_LOGIN_HANDSHAKE)
        ask_capabilities(session, POP3_LOGIN_CAPA);
}

void pop3_login_greeting(Pop3Session *session, const Pop3Reply *reply)
{
    Stream *stream = session->core.stream;
    if (reply->status != POP3_OK) {
        pop3_session_fail(session, pop3_session_error(reply, "greeting"));
        if (session->core.error->code == MAIL_ERROR_REFUSED)
            session->core.error->code = MAIL_ERROR_OFFLINE; /* it is too busy, or closed to us */
        return;
    }
    if (session->config->tls == STREAM_TLS_NONE && !stream_is_tunnel(stream) &&
        !stream_is_loopback(stream)) {
        fail(session, MAIL_ERROR_TLS, "tls=no is for loopback addresses only");
        return;
    }
    session->timestamp = pop3_parse_timestamp(reply->text);
    if (session->config->tls == STREAM_TLS_START && !stream_is_tunnel(stream))
        ask_capabilities(session, POP3_LOGIN_CAPA_PLAIN);
    else
        ask_capabilities(session, POP3_LOGIN_CAPA);
}
