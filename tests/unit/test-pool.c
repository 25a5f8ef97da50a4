/* Which connection does what, and what becomes of a job when it breaks. */
#include "remote-client.h"

/* ---- losing connections ---- */

#define COPYING                                                                                    \
    TRANSCRIPT_LOGIN("UIDPLUS")                                                                    \
    "< m2 SELECT A\n" SELECTED "> m2 OK\n"                                                         \
    "< m3 UID COPY 1:2 T\n"

static void copies_once(void)
{
    Client client = {.scripts = {COPYING ".\n", TRANSCRIPT_LOGIN("")}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, COPY);
    work_fails(work, MAIL_ERROR_OFFLINE);
    transcript_settle();
    client_end(&client);
}

static void copies_later_when_nothing_was_sent(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n.\n", COPYING "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, COPY);
    work_succeeds(work, "");
    client_end(&client);
}

#define LOST_FETCH                                                                                 \
    TRANSCRIPT_LOGIN("")                                                                           \
    "< m2 SELECT A\n< m3 UID FETCH 1:2 *\n" SELECTED "> m2 OK\n"                                   \
    "> * 1 FETCH (UID 1 BODY[] {1}\n~ x\n> )\n"

static void fetches_the_rest(void)
{
    Client client = {.scripts = {LOST_FETCH ".\n",
                                 TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 2 *\n" SELECTED
                                                      "> m2 OK\n"
                                                      "> * 2 FETCH (UID 2 BODY[] {1}\n~ y\n> )\n"
                                                      "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 2);
    work_succeeds(work, "[1:1 x 1][2:1 y 2]");
    client_end(&client);
}

static void cancelled_and_lost(void)
{
    Client client = {.scripts = {LOST_FETCH ".\n", TRANSCRIPT_LOGIN("") "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 2);
    work->cancel_at_begin = TRUE;
    transcript_settle();
    g_autoptr(Work) listing = client_list(&client, FALSE);
    work_succeeds(listing, "INBOX ");
    g_assert_false(work->over);
    client_end(&client);
}

/* A server that ends each connection at once is not called again and again without a pause. */
static void no_hammering(void)
{
    static const char dead[] = TRANSCRIPT_LOGIN("") ".\n";
    Client client = {.scripts = {dead, dead, dead, dead}};
    client_start(&client);
    transcript_wait(&client.offline);
    g_assert_cmpuint(transcript_connections(client.transcript), ==, 4);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_fails(work, MAIL_ERROR_OFFLINE);
    client_end(&client);
}

static void second_connection_refused(void)
{
    Client client = {
        .config.connections = 2,
        .scripts = {TRANSCRIPT_LOGIN(
                        "") "< m2 SELECT A\n< m3 UID FETCH 1 *\n" SELECTED "> m2 OK\n@ 2\n> m3 OK\n"
                            "< m4 SELECT B\n< m5 UID FETCH 1 *\n" SELECTED "> m4 OK\n> m5 OK\n"
                            "< m6 SELECT A\n< m7 UID FETCH 2 *\n" SELECTED "> m6 OK\n> m7 OK\n",
                    "> * BYE too many\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) one = client_fetch(&client, "A", 1, 1);
    g_autoptr(Work) other = client_fetch(&client, "B", 1, 1);
    g_autoptr(Work) two = client_fetch(&client, "A", 2, 2);
    work_succeeds(one, "");
    work_succeeds(two, "");
    work_succeeds(other, "");
    client_end(&client);
}

/* A connection that was kept for a job serves others when that job is cancelled. */
static void reserved_and_cancelled(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n" SELECTED
                                                      "> m2 OK\n< m4 UID FETCH 2 *\n"
                                                      "> m3 OK\n> m4 OK\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) one = client_fetch(&client, "A", 1, 1);
    g_autoptr(Work) other = client_fetch(&client, "B", 1, 1);
    transcript_settle();
    remote_cancel(client.remote, other->job);
    g_autoptr(Work) two = client_fetch(&client, "A", 2, 2);
    work_succeeds(two, "");
    work_succeeds(one, "");
    g_assert_false(other->over);
    client_end(&client);
}

/* ---- stopping ---- */

static void stopped_everywhere(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n"
                                                      "< m4 LOGOUT\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) running = client_fetch(&client, "A", 1, 1);
    g_autoptr(Work) waiting = client_fetch(&client, "B", 1, 1);
    transcript_settle();
    remote_stop(client.remote);
    g_assert_false(running->over);
    work_fails(running, MAIL_ERROR_OFFLINE);
    work_fails(waiting, MAIL_ERROR_OFFLINE);
    g_autoptr(Work) late = client_list(&client, FALSE);
    work_fails(late, MAIL_ERROR_OFFLINE);
    g_assert_cmpint(remote_state(client.remote), ==, REMOTE_IDLE);
    client_end(&client);
}

static void freed_everywhere(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) running = client_fetch(&client, "A", 1, 1);
    g_autoptr(Work) waiting = client_fetch(&client, "B", 1, 1);
    transcript_settle();
    client_end(&client);
    g_assert_false(running->over || waiting->over);
}

/* ---- logging in ---- */

static void password_refused(void)
{
    Client client = {.scripts = {"> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n"
                                 "< m1 AUTHENTICATE PLAIN *\n> m1 NO no\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_fails(work, MAIL_ERROR_AUTH);
    g_autoptr(Work) again = client_list(&client, FALSE);
    work_fails(again, MAIL_ERROR_AUTH);
    transcript_settle();
    g_assert_cmpuint(transcript_connections(client.transcript), ==, 1);
    g_assert_cmpuint(client.renewals, ==, 0);
    client_end(&client);
}

#define TOKEN_LOGIN(answer)                                                                        \
    "> * OK [CAPABILITY IMAP4rev1 AUTH=XOAUTH2 SASL-IR] hello\n< m1 AUTHENTICATE XOAUTH2 *\n"      \
    "> m1 " answer "\n"

static void token_renewed(void)
{
    Client client = {
        .config.is_token = TRUE,
        .renewed = "another",
        .scripts = {TOKEN_LOGIN("NO expired"),
                    TOKEN_LOGIN("OK [CAPABILITY IMAP4rev1] in") "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX ");
    g_assert_cmpuint(client.renewals, ==, 1);
    client_end(&client);
}

static void token_not_renewed(void)
{
    Client client = {.config.is_token = TRUE, .scripts = {TOKEN_LOGIN("NO expired")}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_fails(work, MAIL_ERROR_AUTH);
    g_assert_cmpint(remote_state(client.remote), ==, REMOTE_OFFLINE);
    g_assert_cmpuint(client.renewals, ==, 1);
    /* The next attempt asks for a token before it shows the server the old one again. */
    remote_wake(client.remote);
    transcript_settle();
    g_assert_cmpuint(client.renewals, ==, 2);
    g_assert_cmpuint(transcript_connections(client.transcript), ==, 1);
    client_end(&client);
}

static void token_refused_twice(void)
{
    Client client = {.config.is_token = TRUE,
                     .renewed = "no better",
                     .scripts = {TOKEN_LOGIN("NO expired"), TOKEN_LOGIN("NO expired"),
                                 TOKEN_LOGIN("NO expired"),
                                 TOKEN_LOGIN("OK [CAPABILITY IMAP4rev1] in")}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_fails(work, MAIL_ERROR_AUTH);
    g_assert_cmpuint(client.renewals, ==, 1);
    remote_wake(client.remote);
    transcript_wait(&client.online);
    g_assert_cmpuint(client.renewals, ==, 2);
    client_end(&client);
}

/* The first connection lives on with a token that has expired since: a second needs another. */
static void token_of_second_connection(void)
{
    Client client = {
        .config = {.is_token = TRUE, .connections = 2},
        .renewed = "another",
        .scripts = {
            TOKEN_LOGIN("OK [CAPABILITY IMAP4rev1] in") "< m2 SELECT A\n< m3 UID FETCH 1 *\n",
            TOKEN_LOGIN("NO expired"),
            TOKEN_LOGIN(
                "OK [CAPABILITY IMAP4rev1] in") "< m2 SELECT B\n< m3 UID FETCH 1 *\n" SELECTED
                                                "> m2 OK\n> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) one = client_fetch(&client, "A", 1, 1);
    g_autoptr(Work) other = client_fetch(&client, "B", 1, 1);
    work_succeeds(other, "");
    g_assert_cmpuint(client.renewals, ==, 1);
    client_end(&client);
    g_assert_false(one->over);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pool/lost/copy", copies_once);
    g_test_add_func("/pool/lost/copy-not-sent", copies_later_when_nothing_was_sent);
    g_test_add_func("/pool/lost/fetch", fetches_the_rest);
    g_test_add_func("/pool/lost/cancelled", cancelled_and_lost);
    g_test_add_func("/pool/lost/no-hammering", no_hammering);
    g_test_add_func("/pool/limit", second_connection_refused);
    g_test_add_func("/pool/reserved", reserved_and_cancelled);
    g_test_add_func("/pool/stop", stopped_everywhere);
    g_test_add_func("/pool/free", freed_everywhere);
    g_test_add_func("/pool/login/password", password_refused);
    g_test_add_func("/pool/login/renewed", token_renewed);
    g_test_add_func("/pool/login/not-renewed", token_not_renewed);
    g_test_add_func("/pool/login/refused-twice", token_refused_twice);
    g_test_add_func("/pool/login/second-connection", token_of_second_connection);
    return g_test_run();
}
