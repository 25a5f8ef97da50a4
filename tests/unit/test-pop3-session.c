/* One POP3 connection up to its login: STLS, the mechanisms, and what a server may do wrong there.
 */
#include "pop3-session.h"
#include "transcript.h"

#include <string.h>

#define HELLO "> +OK hello\n"
#define CAPA(words) "< CAPA\n> +OK list\n" words "> .\n"
/* A token that is longer than a command line may be, RFC 2449 section 4. */
#define TOKEN                                                                                      \
    "a-token-that-is-longer-than-a-line-0123456789012345678901234567890123456789012345678901"      \
    "234567890123456789012345678901234567890123456789012345678901234567890123456789012345678"      \
    "901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"

typedef struct {
    const char *scripts[2];
    Transcript *transcript;
    RemoteConfig config;
    const char *password; /* NULL: the usual one */
    Secret *secret;
    Pop3Session *session;
    gint ready, over;
    GError *error;
} Client;

static void on_ready(Pop3Session *session, gpointer data)
{
    Client *client = data;
    client->ready = client->over = TRUE;
}

static void on_failed(Pop3Session *session, const GError *error, gpointer data)
{
    Client *client = data;
    g_assert_null(client->error); /* once */
    client->error = g_error_copy(error);
    client->over = TRUE;
    g_clear_pointer(&client->session, pop3_session_free);
}

static Secret *secret_of(const char *text)
{
    g_autofree char *copy = g_strdup(text);
    return secret_new(copy, strlen(copy));
}

static void client_start(Client *client, const char *script)
{
    static const Pop3SessionFuncs funcs = {on_ready, on_failed};
    client->scripts[0] = script;
    client->transcript = transcript_new(client->scripts);
    RemoteConfig config = transcript_config(client->transcript);
    config.service = "pop";
    config.auth = client->config.auth;
    config.is_token = client->config.is_token;
    config.tls = client->config.tls;
    client->config = config;
    client->secret = client->password ? secret_of(client->password) : transcript_secret();
    client->session = pop3_session_new(&client->config, client->secret, &funcs, client);
}

static void client_end(Client *client)
{
    g_clear_pointer(&client->session, pop3_session_free);
    transcript_end(client->transcript);
    secret_free(client->secret);
    g_clear_error(&client->error);
}

static void fails(Client client, const char *script, MailError code, const char *why)
{
    client_start(&client, script);
    transcript_wait(&client.over);
    g_assert_error(client.error, MAIL_ERROR, (gint)code);
    if (!g_pattern_match_simple(why, client.error->message))
        g_error("\"%s\" is not like \"%s\"", client.error->message, why);
    client_end(&client);
}

static void logs_in(Client client, const char *script, const char *mechanism)
{
    client_start(&client, script);
    transcript_wait(&client.over);
    g_assert_no_error(client.error);
    g_assert_true(pop3_session_is_ready(client.session));
    g_assert_cmpstr(pop3_session_mechanism(client.session), ==, mechanism);
    client_end(&client);
}

/* ---- STLS: no script here ever hears of a user or a password ---- */

static const Client stls = {.config.tls = STREAM_TLS_START};

static void stls_not_offered(void)
{
    fails(stls, HELLO CAPA("> USER\n> TOP\n"), MAIL_ERROR_TLS, "*pop3s://*");
}

static void stls_refused(void)
{
    fails(stls, HELLO CAPA("> STLS\n") "< STLS\n> -ERR not \033[31mtoday\n", MAIL_ERROR_TLS,
          "*not \\x1b[31mtoday*pop3s://*");
    /* Who knows no CAPA may know STLS. */
    fails(stls, "> +OK\n< CAPA\n> -ERR what\n< STLS\n> -ERR what\n", MAIL_ERROR_TLS, "*pop3s://*");
}

static void stls_garbage(void)
{
    fails(stls, HELLO CAPA("> STLS\n") "< STLS\n> * OK begin\n", MAIL_ERROR_PROTOCOL, "*");
    fails(stls, HELLO CAPA("> STLS\n") "< STLS\n> + go on\n", MAIL_ERROR_PROTOCOL, "*");
    fails(stls, HELLO CAPA("> STLS\n") "< STLS\n> +OK begin\n~ this is no handshake\\r\\n\n",
          MAIL_ERROR_TLS, "*");
}

/* Somebody on the way adds an answer to what is asked only behind TLS. */
static void stls_injected(void)
{
    fails(stls,
          HELLO CAPA("> STLS\n") "< STLS\n~ +OK begin\\r\\n+OK list\\r\\nSASL PLAIN\\r\\n.\\r\\n\n",
          MAIL_ERROR_PROTOCOL, "*");
}

static void stls_hung_up(void)
{
    fails(stls, HELLO CAPA("> STLS\n") "< STLS\n> +OK begin\n.\n", MAIL_ERROR_OFFLINE, "*");
}

/* ---- mechanisms ---- */

static void user_and_pass(void)
{
    Client client = {.scripts = {NULL}};
    logs_in(client, HELLO "< CAPA\n> -ERR what\n< USER u\n> +OK\n< PASS p\n> +OK\n",
            "USER and PASS");
    /* What the server says before the login does not hold after it. */
    logs_in(client, HELLO CAPA("> USER\n") "< USER u\n> +OK\n< PASS p\n> +OK\n" CAPA("> TOP\n"),
            "USER and PASS");
    client.password = "two\nlines";
    fails(client, HELLO CAPA("> USER\n"), MAIL_ERROR_AUTH, "*line end*");
}

static void auth_plain(void)
{
    Client client = {.config.auth = "PLAIN"};
    logs_in(client, HELLO CAPA("> SASL PLAIN\n") "< AUTH PLAIN AHUAcA==\n> +OK\n" CAPA("> TOP\n"),
            "PLAIN");
}

/* RFC 1939 section 7; its example's digest, with our password, is another. */
static void apop(void)
{
    Client client = {.config.auth = "APOP"};
    g_autofree char *digest =
        g_compute_checksum_for_string(G_CHECKSUM_MD5, "<1896.697170952@dbc.mtview.ca.us>p", -1);
    g_autofree char *script =
        g_strconcat("> +OK ready <1896.697170952@dbc.mtview.ca.us>\n" CAPA("> TOP\n") "< APOP u ",
                    digest, "\n> +OK\n" CAPA("> TOP\n"), NULL);
    logs_in(client, script, "APOP");
    fails(client, HELLO CAPA("> TOP\n"), MAIL_ERROR_AUTH, "*APOP*");
}

/* The response would make the line too long: it waits for the server's "+". */
static void token(void)
{
    Client client = {.config.is_token = TRUE, .password = TOKEN};
    g_autofree char *plain = g_strdup_printf("user=u%cauth=Bearer %s%c%c", 1, TOKEN, 1, 1);
    g_autofree char *response = g_base64_encode((const guchar *)plain, strlen(plain));
    g_autofree char *script =
        g_strconcat(HELLO CAPA("> SASL PLAIN XOAUTH2\n") "< AUTH XOAUTH2\n> + \n< ", response,
                    "\n> +OK\n" CAPA("> TOP\n"), NULL);
    logs_in(client, script, "XOAUTH2");
}

/* The server's reason comes as a challenge, which is answered before the -ERR. */
static void token_refused(void)
{
    Client client = {.config.is_token = TRUE, .password = TOKEN};
    fails(client,
          HELLO CAPA("> SASL XOAUTH2\n") "< AUTH XOAUTH2\n> + \n< *\n> + eyJzdGF0dXMiOiI0MDEifQ==\n"
                                         "< *\n> -ERR [AUTH] expired\n",
          MAIL_ERROR_AUTH, "*expired*");
}

/* A token is never sent as a password. */
static void token_without_mechanism(void)
{
    Client client = {.config.is_token = TRUE, .password = TOKEN};
    fails(client, HELLO CAPA("> SASL PLAIN LOGIN\n> USER\n"), MAIL_ERROR_AUTH, "*");
}

/* ---- refusals ---- */

static void refused(const char *capabilities, const char *answer, MailError code)
{
    Client client = {.scripts = {NULL}};
    g_autofree char *script = g_strconcat(HELLO "< CAPA\n> +OK\n", capabilities,
                                          "> .\n< USER u\n> +OK\n< PASS p\n> ", answer, "\n", NULL);
    fails(client, script, code, "*");
}

/* RFC 2449 section 8, RFC 3206: only what is about the credentials is taken for it. */
static void refusals(void)
{
    refused("> USER\n", "-ERR no", MAIL_ERROR_AUTH);
    refused("> USER\n> AUTH-RESP-CODE\n", "-ERR no", MAIL_ERROR_OFFLINE);
    refused("> USER\n> AUTH-RESP-CODE\n", "-ERR [AUTH] no", MAIL_ERROR_AUTH);
    refused("> USER\n", "-ERR [IN-USE] no", MAIL_ERROR_IN_USE);
    refused("> USER\n", "-ERR [LOGIN-DELAY] no", MAIL_ERROR_OFFLINE);
    refused("> USER\n", "-ERR [SYS/TEMP] no", MAIL_ERROR_OFFLINE);
}

static void greetings(void)
{
    Client client = {.scripts = {NULL}};
    fails(client, "> -ERR too busy\n", MAIL_ERROR_OFFLINE, "*too busy*");
    fails(client, "> * OK this is IMAP\n", MAIL_ERROR_PROTOCOL, "*");
    fails(client, "> 220 smtp.example.org ESMTP\n", MAIL_ERROR_PROTOCOL, "*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pop3-session/stls/not-offered", stls_not_offered);
    g_test_add_func("/pop3-session/stls/refused", stls_refused);
    g_test_add_func("/pop3-session/stls/garbage", stls_garbage);
    g_test_add_func("/pop3-session/stls/injected", stls_injected);
    g_test_add_func("/pop3-session/stls/hung-up", stls_hung_up);
    g_test_add_func("/pop3-session/login/user-and-pass", user_and_pass);
    g_test_add_func("/pop3-session/login/plain", auth_plain);
    g_test_add_func("/pop3-session/login/apop", apop);
    g_test_add_func("/pop3-session/login/token", token);
    g_test_add_func("/pop3-session/login/token/refused", token_refused);
    g_test_add_func("/pop3-session/login/token/without-mechanism", token_without_mechanism);
    g_test_add_func("/pop3-session/login/refusals", refusals);
    g_test_add_func("/pop3-session/greetings", greetings);
    return g_test_run();
}
