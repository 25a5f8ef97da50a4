/* One connection: greeting, login, commands and their replies, and all that a server may do wrong.
 */
#include "imap-session.h"
#include "transcript.h"

#include <string.h>

typedef struct {
    const char *scripts[2];
    Transcript *transcript;
    RemoteConfig config;
    Secret *secret;
    ImapSession *session;
    gint ready, over, answers;
    guint changes;
    GError *error;
    GString *told; /* what commands heard: "OK NO BAD ..." */
    GString *body;
    gboolean free_on_answer;
} Client;

static void on_ready(ImapSession *session, gpointer data)
{
    Client *client = data;
    client->ready = client->over = TRUE;
}

static void on_failed(ImapSession *session, const GError *error, gpointer data)
{
    Client *client = data;
    g_assert_null(client->error); /* once */
    client->error = g_error_copy(error);
    client->over = TRUE;
    g_clear_pointer(&client->session, imap_session_free);
}

static void on_changed(ImapSession *session, gpointer data)
{
    ((Client *)data)->changes++;
}

static void client_start(Client *client, const char *script)
{
    static const ImapSessionFuncs funcs = {
        .ready = on_ready, .failed = on_failed, .changed = on_changed};
    client->scripts[0] = script;
    client->transcript = transcript_new(client->scripts);
    RemoteConfig config = transcript_config(client->transcript);
    config.auth = client->config.auth;
    config.is_token = client->config.is_token;
    config.tls = client->config.tls;
    client->config = config;
    client->secret = transcript_secret();
    client->told = g_string_new(NULL);
    client->body = g_string_new(NULL);
    client->session = imap_session_new(&client->config, client->secret, &funcs, client);
}

static void client_end(Client *client)
{
    g_clear_pointer(&client->session, imap_session_free);
    transcript_end(client->transcript);
    secret_free(client->secret);
    g_clear_error(&client->error);
    g_string_free(client->told, TRUE);
    g_string_free(client->body, TRUE);
}

static void login(Client *client, const char *script)
{
    client_start(client, script);
    transcript_wait(&client->over);
    g_assert_no_error(client->error);
    g_assert_true(imap_session_is_ready(client->session));
}

static void fails_with(const char *script, MailError code)
{
    Client client = {.config.tls = STREAM_TLS_NONE};
    client_start(&client, script);
    transcript_wait(&client.over);
    g_assert_error(client.error, MAIL_ERROR, (gint)code);
    client_end(&client);
}

/* Commands */

static void note(Client *client, const char *word)
{
    g_string_append_printf(client->told, "%s%s", client->told->len ? " " : "", word);
}

static void on_done(ImapSession *session, const ImapReply *reply, gpointer data)
{
    static const char *const words[] = {"OK", "NO", "BAD"};
    Client *client = data;
    note(client, words[reply->condition]);
    client->answers++;
    if (client->free_on_answer)
        g_clear_pointer(&client->session, imap_session_free);
    client->over = TRUE;
}

static gboolean on_untagged(ImapSession *session, const ImapReply *reply, gpointer data)
{
    Client *client = data;
    if (reply->type != IMAP_REPLY_FETCH)
        return FALSE;
    g_autofree char *word = g_strdup_printf("fetch%u", reply->fetch.uid);
    note(client, word);
    if (client->free_on_answer)
        g_clear_pointer(&client->session, imap_session_free);
    client->over = client->free_on_answer;
    return TRUE;
}

static gboolean on_body(ImapSession *session, const ImapLiteralContext *context, guint64 size,
                        gpointer data)
{
    return TRUE;
}

static void on_bytes(ImapSession *session, const guint8 *bytes, gsize size, gpointer data)
{
    g_string_append_len(((Client *)data)->body, (const char *)bytes, (gssize)size);
}

static const ImapCommandFuncs plain = {.untagged = on_untagged, .done = on_done};
static const ImapCommandFuncs taking = {
    .untagged = on_untagged, .body_begin = on_body, .body_bytes = on_bytes, .done = on_done};
static const ImapCommandFuncs deaf = {.done = on_done};

static void send(Client *client, const char *command, const ImapCommandFuncs *funcs)
{
    imap_session_send(client->session, imap_session_command(client->session, command), funcs,
                      client);
}

static void wait_again(Client *client)
{
    client->over = FALSE;
    transcript_wait(&client->over);
}

static void wait_answers(Client *client, gint count)
{
    while (client->answers < count)
        wait_again(client);
}

static void login_at_once(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("UIDPLUS MOVE"));
    g_assert_cmpuint(imap_session_caps(client.session), ==,
                     IMAP_CAP_IMAP4REV1 | IMAP_CAP_UIDPLUS | IMAP_CAP_MOVE);
    g_assert_cmpstr(imap_session_mechanism(client.session), ==, "PLAIN");
    client_end(&client);
}

static void login_step_by_step(void)
{
    Client client = {0};
    login(&client, "> * OK hello\n"
                   "< m1 CAPABILITY\n"
                   "> * CAPABILITY IMAP4rev1 AUTH=PLAIN UIDPLUS\n"
                   "> m1 OK\n"
                   "< m2 AUTHENTICATE PLAIN\n"
                   "> + \n"
                   "< AHUAcA==\n"
                   "> m2 OK in\n"
                   "< m3 CAPABILITY\n"
                   "> * CAPABILITY IMAP4rev1 ID CONDSTORE ENABLE\n"
                   "> m3 OK\n"
                   "< m4 ID (*mailfs*)\n"
                   "< m5 ENABLE CONDSTORE\n"
                   "> * ID NIL\n"
                   "> m4 BAD what\n"
                   "> m5 OK\n");
    g_assert_true(imap_session_has_condstore(client.session));
    g_assert_false(imap_session_has_qresync(client.session));
    g_assert_cmpuint(imap_session_caps(client.session) & IMAP_CAP_UIDPLUS, ==, 0);
    client_end(&client);
}

static void login_command(void)
{
    Client client = {0};
    login(&client, "> * OK [CAPABILITY IMAP4rev1] hello\n"
                   "< m1 LOGIN u \"p\"\n"
                   "> m1 OK [CAPABILITY IMAP4rev1] in\n");
    client_end(&client);
}

static void login_log_is_bounded(void)
{
    imap_session_debug = TRUE;
    Client client = {0};
    login(&client, "> * OK hello\n"
                   "< m1 CAPABILITY\n"
                   "> * CAPABILITY IMAP4rev1\n"
                   "> m1 OK\n"
                   "< m2 LOGIN u \"p\"\n"
                   "> m2 OK [CAPABILITY IMAP4rev1] in\n");
    client_end(&client);
    imap_session_debug = FALSE;
}

static void login_disabled(void)
{
    fails_with("> * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hello\n", MAIL_ERROR_AUTH);
}

static void login_refused(void)
{
    fails_with("> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n"
               "< m1 AUTHENTICATE PLAIN *\n"
               "> m1 NO [AUTHENTICATIONFAILED] no\n",
               MAIL_ERROR_AUTH);
}

static void login_not_now(void)
{
    fails_with("> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n"
               "< m1 AUTHENTICATE PLAIN *\n"
               "> m1 NO [UNAVAILABLE] later\n",
               MAIL_ERROR_OFFLINE);
    fails_with("> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n"
               "< m1 AUTHENTICATE PLAIN *\n"
               "> m1 NO [LIMIT] too many\n",
               MAIL_ERROR_OFFLINE);
}

static void login_without_proof(void)
{
    fails_with("> * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR] hello\n"
               "< m1 AUTHENTICATE SCRAM-SHA-256 *\n"
               "> m1 OK believe me\n",
               MAIL_ERROR_AUTH);
}

static void login_wrong_challenge(void)
{
    fails_with("> * OK [CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR] hello\n"
               "< m1 AUTHENTICATE SCRAM-SHA-256 *\n"
               "> + bm9uc2Vuc2U=\n",
               MAIL_ERROR_AUTH);
}

static void bye_at_every_step(void)
{
    static const char *const scripts[] = {
        "> * BYE no\n",
        "> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\n< m1 AUTH*\n> * BYE no\n",
        "> * OK hello\n< m1 CAP*\n> * BYE no\n",
        "> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n< m1 AUTH*\n> m1 OK in\n"
        "< m2 CAP*\n> * BYE no\n",
        "> * OK hello\n.\n",
        ".\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++)
        fails_with(scripts[i], MAIL_ERROR_OFFLINE);
}

static void greeting_of_another_protocol(void)
{
    fails_with("> 220 smtp.example.org ESMTP\n", MAIL_ERROR_PROTOCOL);
    fails_with("> * NO go away\n", MAIL_ERROR_PROTOCOL);
    fails_with("> + go on\n", MAIL_ERROR_PROTOCOL);
}

static void preauth_without_tunnel(void)
{
    fails_with("> * PREAUTH [CAPABILITY IMAP4rev1] you are in\n", MAIL_ERROR_PROTOCOL);
}

static void starttls(const char *script, MailError code)
{
    Client client = {.config.tls = STREAM_TLS_START};
    client_start(&client, script);
    transcript_wait(&client.over);
    g_assert_error(client.error, MAIL_ERROR, (gint)code);
    client_end(&client);
}

static void starttls_not_offered(void)
{
    starttls("> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hello\n", MAIL_ERROR_TLS);
}

static void starttls_refused(void)
{
    starttls("> * OK hello\n< m1 STARTTLS\n> m1 NO never\n", MAIL_ERROR_TLS);
}

static void starttls_preauth(void)
{
    starttls("> * PREAUTH hello\n", MAIL_ERROR_PROTOCOL);
}

static void starttls_injected(void)
{
    starttls("> * OK hello\n< m1 STARTTLS\n~ m1 OK go\\r\\n* CAPABILITY IMAP4rev1\\r\\n\n",
             MAIL_ERROR_PROTOCOL);
}

static void starttls_data_before(void)
{
    starttls("> * OK hello\n< m1 STARTTLS\n> * 7 EXISTS\n", MAIL_ERROR_PROTOCOL);
    starttls("> * OK hello\n< m1 STARTTLS\n> * LIST () \"/\" INBOX\n", MAIL_ERROR_PROTOCOL);
}

static void commands_are_pipelined(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 A\n< m3 B\n< m4 C\n"
                                        "> m3 NO n\n> m2 OK y\n> m4 BAD b\n");
    send(&client, "A", &plain);
    send(&client, "B", &plain);
    send(&client, "C", &plain);
    wait_answers(&client, 3);
    g_assert_cmpstr(client.told->str, ==, "NO OK BAD");
    g_assert_cmpuint(imap_session_pending(client.session), ==, 0);
    client_end(&client);
}

static void literal_holds_the_line(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 A {2}\n> + go\n< \xc3\xa4\n< m3 B\n"
                                        "> m2 OK\n> m3 OK\n");
    ImapCommand *command = imap_session_command(client.session, "A");
    g_assert_true(imap_command_string(command, "\xc3\xa4", 2));
    imap_session_send(client.session, command, &plain, &client);
    send(&client, "B", &plain);
    wait_answers(&client, 2);
    client_end(&client);
}

static void literal_refused(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 A {2}\n> m2 NO too long\n< m3 B\n> m3 OK\n");
    ImapCommand *command = imap_session_command(client.session, "A");
    g_assert_true(imap_command_string(command, "\xc3\xa4", 2));
    imap_session_send(client.session, command, &plain, &client);
    send(&client, "B", &plain);
    wait_answers(&client, 2);
    g_assert_cmpstr(client.told->str, ==, "NO OK");
    client_end(&client);
}

static void breaks(const char *lines)
{
    Client client = {0};
    g_autofree char *script = g_strconcat(TRANSCRIPT_LOGIN("") "< m2 A\n", lines, NULL);
    login(&client, script);
    send(&client, "A", &plain);
    wait_again(&client);
    g_assert_error(client.error, MAIL_ERROR, MAIL_ERROR_PROTOCOL);
    g_assert_cmpint(client.answers, ==, 0);
    client_end(&client);
}

static void broken_protocol(void)
{
    breaks("> + unasked\n");
    breaks("> m99 OK what\n");
    breaks("> * 1 FETCH (UID 0)\n");
    breaks("> * 99999999999 EXISTS\n");
    breaks("> \"\n");
}

static void literal_nobody_wants(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 A\n> * 1 FETCH (UID 5 BODY[] {5}\n~ m2 OK\n> )\n"
                                        "> m2 OK\n");
    send(&client, "A", &plain);
    wait_answers(&client, 1);
    g_assert_cmpstr(client.told->str, ==, "fetch5 OK");
    client_end(&client);
}

/* Another command may be interested in the same reply: who took the body hears of its end. */
static void taker_hears_first(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 A\n< m3 B\n"
                                        "> * 1 FETCH (UID 5 FLAGS () BODY[] {5}\n~ hello\n> )\n"
                                        "> m2 OK\n> m3 OK\n");
    Client other = {.told = g_string_new(NULL)};
    imap_session_send(client.session, imap_session_command(client.session, "A"), &plain, &other);
    send(&client, "B", &taking);
    wait_answers(&client, 1);
    g_assert_cmpstr(client.body->str, ==, "hello");
    g_assert_cmpstr(client.told->str, ==, "fetch5 OK");
    g_assert_cmpstr(other.told->str, ==, "OK");
    g_string_free(other.told, TRUE);
    client_end(&client);
}

static void freed_in_done(void)
{
    Client client = {.free_on_answer = TRUE};
    login(&client,
          TRANSCRIPT_LOGIN("") "< m2 A\n< m3 B\n~ m2 OK\\r\\n* 1 EXISTS\\r\\nm3 OK\\r\\n\n");
    send(&client, "A", &deaf);
    send(&client, "B", &deaf);
    wait_again(&client);
    transcript_settle();
    g_assert_cmpint(client.answers, ==, 1);
    client_end(&client);
}

static void freed_in_untagged(void)
{
    Client client = {.free_on_answer = TRUE};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 A\n~ * 1 FETCH (UID 1 FLAGS ())\\r\\nm2 OK\\r\\n\n");
    send(&client, "A", &plain);
    wait_again(&client);
    transcript_settle();
    g_assert_cmpint(client.answers, ==, 0);
    client_end(&client);
}

static void select_tells(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 SELECT Box\n> * 3 EXISTS\n"
                                        "> * OK [UIDVALIDITY 7] x\n> * OK [UIDNEXT 9] x\n"
                                        "> * OK [HIGHESTMODSEQ 12] x\n> m2 OK [READ-ONLY] x\n"
                                        "> * 4 EXISTS\n");
    imap_session_select(client.session, "Box", &deaf, &client);
    g_assert_cmpint(imap_session_selected(client.session)->state, ==, IMAP_SELECT_PENDING);
    wait_answers(&client, 1);
    const ImapSelected *selected = imap_session_selected(client.session);
    g_assert_cmpint(selected->state, ==, IMAP_SELECT_OK);
    g_assert_cmpuint(selected->info.uidvalidity, ==, 7);
    g_assert_cmpuint(selected->info.uidnext, ==, 9);
    g_assert_cmpuint(selected->info.modseq, ==, 12);
    g_assert_true(selected->info.read_only);
    transcript_settle();
    g_assert_cmpuint(selected->info.exists, ==, 4);
    g_assert_cmpuint(selected->hints, ==, 1);
    g_assert_cmpuint(client.changes, ==, 1);
    client_end(&client);
}

/* What comes of the first belongs to another mailbox than the one that is selected at last. */
static void select_again(void)
{
    Client client = {0};
    login(&client,
          TRANSCRIPT_LOGIN(
              "") "< m2 SELECT One\n< m3 SELECT Two\n> * 3 EXISTS\n"
                  "> * OK [UIDVALIDITY 7] x\n> * OK [HIGHESTMODSEQ 12] x\n"
                  "> m2 OK [READ-ONLY] x\n> * 5 EXISTS\n> * OK [UIDVALIDITY 8] x\n> m3 OK x\n");
    const ImapSelected *selected = imap_session_selected(client.session);
    imap_session_select(client.session, "One", &deaf, &client);
    imap_session_select(client.session, "Two", &deaf, &client);
    wait_answers(&client, 2);
    g_assert_cmpint(selected->state, ==, IMAP_SELECT_OK);
    g_assert_cmpstr(selected->name, ==, "Two");
    g_assert_cmpuint(selected->info.uidvalidity, ==, 8);
    g_assert_cmpuint(selected->info.exists, ==, 5);
    g_assert_cmpuint(selected->info.modseq, ==, 0);
    g_assert_false(selected->info.read_only);
    client_end(&client);
}

static void select_fails(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 SELECT Box\n> m2 NO no such\n");
    imap_session_select(client.session, "Box", &deaf, &client);
    wait_answers(&client, 1);
    g_assert_cmpint(imap_session_selected(client.session)->state, ==, IMAP_SELECT_NONE);
    g_assert_null(imap_session_selected(client.session)->name);
    client_end(&client);
}

/* A line that is doubted has to show within some seconds that it lives. */
static void probed(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("") "< m2 NOOP\n> m2 OK\n< m3 A\n> m3 OK\n< m4 NOOP\n");
    imap_session_probe(client.session);
    send(&client, "A", &plain);
    wait_answers(&client, 1);
    g_assert_true(imap_session_is_ready(client.session));
    imap_session_probe(client.session);
    imap_session_probe(client.session); /* as good as one */
    wait_again(&client);
    g_assert_error(client.error, MAIL_ERROR, MAIL_ERROR_TIMEOUT);
    client_end(&client);
}

static void capabilities_change(void)
{
    Client client = {0};
    login(&client, TRANSCRIPT_LOGIN("MOVE") "< m2 A\n> * CAPABILITY IMAP4rev1 UIDPLUS\n> m2 OK\n");
    send(&client, "A", &plain);
    wait_answers(&client, 1);
    g_assert_cmpuint(imap_session_caps(client.session), ==, IMAP_CAP_IMAP4REV1 | IMAP_CAP_UIDPLUS);
    client_end(&client);
}

static void error_codes(void)
{
    const struct {
        ImapCode code;
        MailError error;
    } cases[] = {
        {IMAP_CODE_NOPERM, MAIL_ERROR_NO_PERMISSION}, {IMAP_CODE_OVERQUOTA, MAIL_ERROR_OVER_QUOTA},
        {IMAP_CODE_INUSE, MAIL_ERROR_IN_USE},         {IMAP_CODE_NONEXISTENT, MAIL_ERROR_GONE},
        {IMAP_CODE_UNAVAILABLE, MAIL_ERROR_OFFLINE},  {IMAP_CODE_NONE, MAIL_ERROR_REFUSED},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        ImapReply reply = {.condition = IMAP_NO, .code = cases[i].code, .text = "\033[31mno"};
        g_autoptr(GError) error = imap_session_error(&reply, "x");
        g_assert_error(error, MAIL_ERROR, (gint)cases[i].error);
        g_assert_null(strchr(error->message, '\033'));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/session/login/at-once", login_at_once);
    g_test_add_func("/session/login/step-by-step", login_step_by_step);
    g_test_add_func("/session/login/command", login_command);
    g_test_add_func("/session/login/log", login_log_is_bounded);
    g_test_add_func("/session/login/disabled", login_disabled);
    g_test_add_func("/session/login/refused", login_refused);
    g_test_add_func("/session/login/not-now", login_not_now);
    g_test_add_func("/session/login/without-proof", login_without_proof);
    g_test_add_func("/session/login/wrong-challenge", login_wrong_challenge);
    g_test_add_func("/session/login/bye", bye_at_every_step);
    g_test_add_func("/session/login/greeting", greeting_of_another_protocol);
    g_test_add_func("/session/login/preauth", preauth_without_tunnel);
    g_test_add_func("/session/starttls/not-offered", starttls_not_offered);
    g_test_add_func("/session/starttls/refused", starttls_refused);
    g_test_add_func("/session/starttls/preauth", starttls_preauth);
    g_test_add_func("/session/starttls/injected", starttls_injected);
    g_test_add_func("/session/starttls/data-before", starttls_data_before);
    g_test_add_func("/session/commands/pipelined", commands_are_pipelined);
    g_test_add_func("/session/commands/literal", literal_holds_the_line);
    g_test_add_func("/session/commands/literal-refused", literal_refused);
    g_test_add_func("/session/commands/broken", broken_protocol);
    g_test_add_func("/session/commands/unwanted-literal", literal_nobody_wants);
    g_test_add_func("/session/commands/taker", taker_hears_first);
    g_test_add_func("/session/free/in-done", freed_in_done);
    g_test_add_func("/session/free/in-untagged", freed_in_untagged);
    g_test_add_func("/session/select/tells", select_tells);
    g_test_add_func("/session/select/again", select_again);
    g_test_add_func("/session/select/fails", select_fails);
    g_test_add_func("/session/probed", probed);
    g_test_add_func("/session/capabilities", capabilities_change);
    g_test_add_func("/session/errors", error_codes);
    return g_test_run();
}
