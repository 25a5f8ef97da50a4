#include "sasl.h"

#include <gsasl.h>
#include <string.h>

static const char *const everything[] = {
    "LOGIN",    "plain",  "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
    "EXTERNAL", "GSSAPI", "XOAUTH2",  "OAUTHBEARER", "SCRAM-SHA-256-PLUS",
    NULL};

static Secret *secret_of(const char *text)
{
    g_autofree char *copy = g_strdup(text);
    return secret_new(copy, strlen(copy));
}

static SaslConfig config_for(const Secret *secret)
{
    return (SaslConfig){.service = "imap",
                        .host = "server.example.com",
                        .port = 143,
                        .user = "user",
                        .secret = secret,
                        .encrypted = TRUE};
}

/* One step with text; asserts success. Free with g_free. */
static char *step(Sasl *sasl, const char *challenge, gsize *size)
{
    g_autoptr(GError) error = NULL;
    guint8 *response;
    gsize length;
    g_assert_true(sasl_step(sasl, (const guint8 *)challenge, challenge ? strlen(challenge) : 0,
                            &response, &length, &error));
    g_assert_no_error(error);
    g_assert_nonnull(response);
    char *text = g_strndup((char *)response, length);
    secret_wipe(response, length);
    g_free(response);
    if (size)
        *size = length;
    else
        g_assert_cmpuint(strlen(text), ==, length);
    return text;
}

static void step_fails(Sasl *sasl, const char *challenge)
{
    g_autoptr(GError) error = NULL;
    guint8 *response;
    gsize length;
    g_assert_false(
        sasl_step(sasl, (const guint8 *)challenge, strlen(challenge), &response, &length, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_AUTH);
    g_assert_null(response);
    g_assert_false(sasl_finished(sasl));
}

static void assert_choice(const SaslConfig *config, const char *const *offered,
                          const char *expected)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Sasl) sasl = sasl_new(config, offered, &error);
    if (!expected) {
        g_assert_null(sasl);
        g_assert_error(error, MAIL_ERROR, MAIL_ERROR_AUTH);
        return;
    }
    g_assert_no_error(error);
    g_assert_cmpstr(sasl_mechanism(sasl), ==, expected);
    g_assert_false(sasl_finished(sasl));
}

static void test_choice(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    static const char *const weak[] = {"LOGIN", "PLAIN", NULL};
    static const char *const login[] = {"login", NULL};
    static const char *const external[] = {"EXTERNAL", NULL};
    static const char *const none[] = {NULL};
    assert_choice(&config, everything, "SCRAM-SHA-256");
    assert_choice(&config, weak, "PLAIN");
    assert_choice(&config, login, "LOGIN");
    assert_choice(&config, external, NULL);
    assert_choice(&config, none, NULL);
    assert_choice(&config, NULL, NULL);
    config.wanted = "Plain";
    assert_choice(&config, everything, "PLAIN");
    assert_choice(&config, external, NULL);
    config.wanted = "external";
    assert_choice(&config, external, "EXTERNAL");
    config.wanted = "nonsense";
    assert_choice(&config, everything, NULL);
    config.wanted = "XOAUTH2"; /* but the secret is a password */
    assert_choice(&config, everything, NULL);
}

/* Nothing that shows the secret goes over a line that others can read. */
static void test_unencrypted(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    config.encrypted = FALSE;
    static const char *const clear[] = {"LOGIN", "PLAIN", "XOAUTH2", "OAUTHBEARER", NULL};
    assert_choice(&config, clear, NULL);
    assert_choice(&config, everything, "SCRAM-SHA-256");
    config.wanted = "PLAIN";
    assert_choice(&config, clear, NULL);
    config.wanted = NULL;
    config.is_token = TRUE;
    assert_choice(&config, clear, NULL);
}

static void test_token_choice(void)
{
    g_autoptr(Secret) secret = secret_of("token");
    SaslConfig config = config_for(secret);
    config.is_token = TRUE;
    static const char *const google[] = {"XOAUTH2", "PLAIN", NULL};
    static const char *const passwords[] = {"PLAIN", "SCRAM-SHA-256", NULL};
    assert_choice(&config, everything, "OAUTHBEARER");
    assert_choice(&config, google, "XOAUTH2");
    assert_choice(&config, passwords, NULL);
}

/* The message says what either side could do; what the server says is escaped. */
static void test_no_common(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    static const char *const offered[] = {"GSSAPI", "EVIL\x1b[2J", NULL};
    g_autoptr(GError) error = NULL;
    g_assert_null(sasl_new(&config, offered, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_AUTH);
    g_assert_nonnull(strstr(error->message, "GSSAPI EVIL\\x1b"));
    g_assert_nonnull(strstr(error->message, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN"));
}

static Sasl *new_for(SaslConfig *config, const char *mechanism)
{
    config->wanted = mechanism;
    g_autoptr(GError) error = NULL;
    Sasl *sasl = sasl_new(config, everything, &error);
    g_assert_no_error(error);
    return sasl;
}

static void test_plain(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, "PLAIN");
    g_assert_true(sasl_client_first(sasl));
    gsize size;
    g_autofree char *response = step(sasl, NULL, &size);
    g_assert_cmpuint(size, ==, 12);
    g_assert_true(sasl_finished(sasl));
    step_fails(sasl, "more?");
}

static void test_plain_bytes(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, "PLAIN");
    guint8 *response;
    gsize size;
    g_assert_true(sasl_step(sasl, NULL, 0, &response, &size, NULL));
    g_assert_cmpmem(response, size, "\0user\0pencil", 12);
    g_free(response);
}

static void test_login(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, "LOGIN");
    g_assert_false(sasl_client_first(sasl));
    g_autofree char *user = step(sasl, "Username:", NULL);
    g_assert_cmpstr(user, ==, "user");
    g_assert_false(sasl_finished(sasl));
    g_autofree char *password = step(sasl, "Password:", NULL);
    g_assert_cmpstr(password, ==, "pencil");
    g_assert_true(sasl_finished(sasl));
}

/* RFC 2195 section 2. */
static void test_cram_md5(void)
{
    g_autoptr(Secret) secret = secret_of("tanstaaftanstaaf");
    SaslConfig config = config_for(secret);
    config.user = "tim";
    g_autoptr(Sasl) sasl = new_for(&config, "CRAM-MD5");
    g_assert_false(sasl_client_first(sasl));
    g_autofree char *response = step(sasl, "<1896.697170952@postoffice.reston.mci.net>", NULL);
    g_assert_cmpstr(response, ==, "tim b913a602c7eda7a495b4e6e7334d3890");
    g_assert_true(sasl_finished(sasl));
}

static void test_external(void)
{
    SaslConfig config = config_for(NULL);
    g_autoptr(Sasl) sasl = new_for(&config, "EXTERNAL");
    g_assert_true(sasl_client_first(sasl));
    g_autofree char *response = step(sasl, NULL, NULL);
    g_assert_cmpstr(response, ==, "user");
    g_assert_true(sasl_finished(sasl));

    config.user = NULL;
    g_autoptr(Sasl) nobody = new_for(&config, "EXTERNAL");
    gsize size;
    g_autofree char *empty = step(nobody, NULL, &size);
    g_assert_cmpuint(size, ==, 0);
}

/* RFC 7628 section 4.1, and its section 4.2 for the refusal. */
static void test_oauthbearer(void)
{
    g_autoptr(Secret) secret = secret_of("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==");
    SaslConfig config = config_for(secret);
    config.user = "user@example.com";
    config.is_token = TRUE;
    g_autoptr(Sasl) sasl = new_for(&config, "OAUTHBEARER");
    g_assert_true(sasl_client_first(sasl));
    g_autofree char *response = step(sasl, NULL, NULL);
    g_assert_cmpstr(response, ==,
                    "n,a=user@example.com,\001host=server.example.com\001port=143\001"
                    "auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\001\001");
    g_assert_true(sasl_finished(sasl));
    g_test_expect_message("mailfs", G_LOG_LEVEL_MESSAGE, "*invalid_token*");
    g_autofree char *dummy = step(sasl, "{\"status\":\"invalid_token\"}", NULL);
    g_test_assert_expected_messages();
    g_assert_cmpstr(dummy, ==, "\001");
    g_assert_false(sasl_finished(sasl));
    step_fails(sasl, "{}");
}

static void test_oauthbearer_escapes(void)
{
    g_autoptr(Secret) secret = secret_of("t");
    SaslConfig config = config_for(secret);
    config.user = "a=b,c";
    config.is_token = TRUE;
    g_autoptr(Sasl) sasl = new_for(&config, "OAUTHBEARER");
    g_autofree char *response = step(sasl, NULL, NULL);
    g_assert_true(g_str_has_prefix(response, "n,a=a=3Db=2Cc,\001"));
}

static void test_xoauth2(void)
{
    g_autoptr(Secret) secret = secret_of("ya29.token");
    SaslConfig config = config_for(secret);
    config.user = "someuser@example.com";
    config.is_token = TRUE;
    g_autoptr(Sasl) sasl = new_for(&config, "XOAUTH2");
    g_autofree char *response = step(sasl, NULL, NULL);
    g_assert_cmpstr(response, ==, "user=someuser@example.com\001auth=Bearer ya29.token\001\001");
    g_assert_true(sasl_finished(sasl));
    g_test_expect_message("mailfs", G_LOG_LEVEL_MESSAGE, "*401*");
    gsize size;
    g_autofree char *empty = step(sasl, "{\"status\":\"401\"}", &size);
    g_test_assert_expected_messages();
    g_assert_cmpuint(size, ==, 0);
    g_assert_false(sasl_finished(sasl));
}

static void test_control_characters(void)
{
    static const char *const secrets[] = {"tok\001en", "token\n"};
    for (guint i = 0; i < G_N_ELEMENTS(secrets); i++) {
        g_autoptr(Secret) secret = secret_of(secrets[i]);
        SaslConfig config = config_for(secret);
        config.is_token = TRUE;
        assert_choice(&config, everything, NULL);
    }
    char nul[] = "a\0b";
    g_autoptr(Secret) secret = secret_new(nul, 3);
    SaslConfig config = config_for(secret);
    assert_choice(&config, everything, NULL);
}

/* A server of libgsasl, to talk to. */
typedef struct {
    Gsasl *library;
    Gsasl_session *session;
} Server;

static int answer(Gsasl *library, Gsasl_session *session, Gsasl_property property)
{
    const char *password = gsasl_callback_hook_get(library);
    if (property == GSASL_PASSWORD)
        return gsasl_property_set(session, property, password);
    if (property == GSASL_SCRAM_ITER)
        return gsasl_property_set(session, property, "4096");
    return GSASL_NO_CALLBACK;
}

static void server_start(Server *server, const char *mechanism, const char *password)
{
    g_assert_cmpint(gsasl_init(&server->library), ==, GSASL_OK);
    gsasl_callback_set(server->library, answer);
    gsasl_callback_hook_set(server->library, (void *)password);
    g_assert_cmpint(gsasl_server_start(server->library, mechanism, &server->session), ==, GSASL_OK);
}

static int server_step(Server *server, const char *in, char **out)
{
    size_t size;
    char *bytes = NULL;
    int rc = gsasl_step(server->session, in, strlen(in), &bytes, &size);
    *out = rc == GSASL_OK || rc == GSASL_NEEDS_MORE ? g_strndup(bytes, size) : NULL;
    gsasl_free(bytes);
    return rc;
}

static void server_stop(Server *server)
{
    gsasl_finish(server->session);
    gsasl_done(server->library);
}

/* Runs SCRAM up to the server's last message, which is returned. */
static char *scram(Sasl *sasl, Server *server)
{
    g_assert_true(sasl_client_first(sasl));
    g_autofree char *first = step(sasl, NULL, NULL);
    g_assert_true(g_str_has_prefix(first, "n,,n=user,r="));
    g_autofree char *server_first = NULL;
    g_assert_cmpint(server_step(server, first, &server_first), ==, GSASL_NEEDS_MORE);
    g_assert_false(sasl_finished(sasl));
    g_autofree char *final = step(sasl, server_first, NULL);
    char *server_final = NULL;
    g_assert_cmpint(server_step(server, final, &server_final), ==, GSASL_OK);
    g_assert_true(g_str_has_prefix(server_final, "v="));
    g_assert_false(sasl_finished(sasl)); /* a server that says OK now has proved nothing */
    return server_final;
}

static void test_scram(gconstpointer mechanism)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, mechanism);
    Server server;
    server_start(&server, mechanism, "pencil");
    g_autofree char *final = scram(sasl, &server);
    gsize size;
    g_autofree char *last = step(sasl, final, &size);
    g_assert_cmpuint(size, ==, 0);
    g_assert_true(sasl_finished(sasl));
    server_stop(&server);
}

static void test_scram_liar(gconstpointer mechanism)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, mechanism);
    Server server;
    server_start(&server, mechanism, "pencil");
    g_autofree char *final = scram(sasl, &server);
    final[4] = final[4] == 'A' ? 'B' : 'A'; /* one bit of the signature is enough */
    step_fails(sasl, final);
    step_fails(sasl, final);
    server_stop(&server);
}

static void test_scram_wrong_nonce(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, "SCRAM-SHA-256");
    g_autofree char *first = step(sasl, NULL, NULL);
    step_fails(sasl, "r=notyours,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
}

/* A server must not be able to keep the main loop busy with hashing. */
static void test_scram_iterations(void)
{
    static const char *const counts[] = {"600001", "2147483647", "99999999999999999999999"};
    for (guint i = 0; i < G_N_ELEMENTS(counts); i++) {
        g_autoptr(Secret) secret = secret_of("pencil");
        SaslConfig config = config_for(secret);
        g_autoptr(Sasl) sasl = new_for(&config, "SCRAM-SHA-256");
        g_autofree char *first = step(sasl, NULL, NULL);
        g_autofree char *challenge = g_strdup_printf("r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=%s",
                                                     strstr(first, "r=") + 2, counts[i]);
        step_fails(sasl, challenge);
    }
}

static void test_garbage(void)
{
    static const char *const names[] = {"SCRAM-SHA-256", "SCRAM-SHA-1"};
    static const char *const texts[] = {"", "x", "r=", "r=,s=,i=", "v=", "e=other-error", ",,,"};
    for (guint i = 0; i < G_N_ELEMENTS(names) * G_N_ELEMENTS(texts); i++) {
        g_autoptr(Secret) secret = secret_of("pencil");
        SaslConfig config = config_for(secret);
        g_autoptr(Sasl) sasl = new_for(&config, names[i % 2]);
        g_autofree char *first = step(sasl, NULL, NULL);
        step_fails(sasl, texts[i / 2]);
    }
}

static void test_long_challenge(void)
{
    g_autoptr(Secret) secret = secret_of("pencil");
    SaslConfig config = config_for(secret);
    g_autoptr(Sasl) sasl = new_for(&config, "CRAM-MD5");
    g_autofree char *text = g_strnfill(65537, 'x');
    step_fails(sasl, text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sasl/choice", test_choice);
    g_test_add_func("/sasl/unencrypted", test_unencrypted);
    g_test_add_func("/sasl/token-choice", test_token_choice);
    g_test_add_func("/sasl/no-common", test_no_common);
    g_test_add_func("/sasl/plain", test_plain);
    g_test_add_func("/sasl/plain-bytes", test_plain_bytes);
    g_test_add_func("/sasl/login", test_login);
    g_test_add_func("/sasl/cram-md5", test_cram_md5);
    g_test_add_func("/sasl/external", test_external);
    g_test_add_func("/sasl/oauthbearer", test_oauthbearer);
    g_test_add_func("/sasl/oauthbearer-escapes", test_oauthbearer_escapes);
    g_test_add_func("/sasl/xoauth2", test_xoauth2);
    g_test_add_func("/sasl/control-characters", test_control_characters);
    g_test_add_data_func("/sasl/scram/sha-256", "SCRAM-SHA-256", test_scram);
    g_test_add_data_func("/sasl/scram/sha-1", "SCRAM-SHA-1", test_scram);
    g_test_add_data_func("/sasl/scram-liar/sha-256", "SCRAM-SHA-256", test_scram_liar);
    g_test_add_data_func("/sasl/scram-liar/sha-1", "SCRAM-SHA-1", test_scram_liar);
    g_test_add_func("/sasl/scram-wrong-nonce", test_scram_wrong_nonce);
    g_test_add_func("/sasl/scram-iterations", test_scram_iterations);
    g_test_add_func("/sasl/garbage", test_garbage);
    g_test_add_func("/sasl/long-challenge", test_long_challenge);
    return g_test_run();
}
