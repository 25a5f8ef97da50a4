/* Connections that watch: IDLE on one connection, and which of them does it. */
#include "remote-client.h"

#include "imap-session-private.h"
#include "imap-watch.h"

#include <gio/gio.h>
#include <string.h>

#define IDLING TRANSCRIPT_LOGIN("IDLE")
#define SELECT(tag, name) "< " tag " SELECT " name "\n" SELECTED "> " tag " OK\n"
#define IDLE(tag) "< " tag " IDLE\n> + go on\n"
#define TOLD "> * 10 EXISTS\n"

static void watch(Client *client, const char *first, const char *second)
{
    const char *const names[] = {first, first ? second : NULL, NULL};
    remote_watch(client->remote, names);
}

static void wait_watched(Client *client, const char *mailbox)
{
    gint64 limit = g_get_monotonic_time() + 15 * G_USEC_PER_SEC;
    while (!remote_watched(client->remote, mailbox)) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        transcript_settle();
    }
}

static void wait_unwatched(Client *client, const char *mailbox)
{
    gint64 limit = g_get_monotonic_time() + 15 * G_USEC_PER_SEC;
    while (remote_watched(client->remote, mailbox)) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        transcript_settle();
    }
}

static void wait_changes(Client *client, guint count)
{
    gint64 limit = g_get_monotonic_time() + 15 * G_USEC_PER_SEC;
    while (client->changes < count) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_main_context_iteration(NULL, TRUE);
    }
}

static void wait_connections(Client *client, guint count)
{
    while (transcript_connections(client->transcript) < count)
        transcript_settle();
}

static char *described(Client *client)
{
    g_autoptr(GString) out = g_string_new(NULL);
    remote_describe(client->remote, out);
    char *line = strstr(out->str, "watching: ");
    return line ? g_strndup(line, strcspn(line, "\n")) : g_strdup("");
}

/* ---- one connection ---- */

static void tells(void)
{
    Client client = {.scripts = {IDLING SELECT("m2", "INBOX") IDLE("m3") "> * 10 EXISTS\n"
                                                                         "> * 3 EXPUNGE\n"}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_watched(&client, "INBOX");
    wait_changes(&client, 3); /* its beginning, and two */
    g_assert_cmpstr(client.changed, ==, "INBOX");
    g_autofree char *line = described(&client);
    g_assert_cmpstr(line, ==, "watching: INBOX (idle)");
    g_assert_false(remote_watched(client.remote, "A"));
    client_end(&client);
}

/* The only connection leaves IDLE for a job, and goes back to it. */
static void makes_way(void)
{
    Client client = {
        .scripts = {IDLING SELECT("m2", "INBOX") IDLE("m3") "< DONE\n> m3 OK\n" SELECT(
            "m4", "A") "< m5 UID FETCH 1 *\n> m5 OK\n" SELECT("m6", "INBOX") IDLE("m7")}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_watched(&client, "INBOX");
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 1);
    work_succeeds(work, "");
    g_assert_false(remote_watched(client.remote, "INBOX"));
    wait_watched(&client, "INBOX");
    wait_changes(&client, 2); /* nobody knows what happened meanwhile */
    client_end(&client);
}

/* What happens in the same mailbox meanwhile is told to the job's connection, too. */
static void makes_way_in_the_same_mailbox(void)
{
    Client client = {.scripts = {IDLING SELECT("m2", "A") IDLE(
                         "m3") "< DONE\n> m3 OK\n< m4 UID FETCH 1 *\n> m4 OK\n" IDLE("m5") TOLD}};
    client_start(&client);
    watch(&client, "A", NULL);
    wait_watched(&client, "A");
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 1);
    work_succeeds(work, "");
    g_assert_true(remote_watched(client.remote, "A"));
    wait_changes(&client, 2); /* its beginning, and what is told at the end */
    client_end(&client);
}

/* The server answers a SELECT only when somebody else has connected, as this does. */
static void connect_as_another(Client *client)
{
    g_autoptr(GSocketClient) socket = g_socket_client_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection = g_socket_client_connect_to_host(
        socket, "127.0.0.1", transcript_port(client->transcript), NULL, &error);
    g_assert_no_error(error);
}

/* A job that comes while its mailbox is being selected in order to be watched. */
static void job_during_select(void)
{
    Client client = {.scripts = {IDLING "< m2 SELECT A\n@ 2\n" SELECTED
                                        "> m2 OK\n< m3 NOOP\n> m3 OK\n"
                                        "< m4 UID STORE 1:2 *\n> m4 OK\n" IDLE("m5"),
                                 ".\n"}};
    client_start(&client);
    watch(&client, "A", NULL);
    while (!client.online)
        transcript_settle();
    for (guint i = 0; i < 8; i++)
        transcript_settle();
    g_autoptr(Work) work = client_change(&client, STORE);
    for (guint i = 0; i < 4; i++)
        transcript_settle();
    connect_as_another(&client);
    work_succeeds(work, "");
    wait_watched(&client, "A");
    client_end(&client);
}

/* A job that keeps the connection: nothing is told meanwhile, and nobody is to trust that it is. */
static void long_job(void)
{
    Client client = {.scripts = {IDLING SELECT("m2", "A") IDLE("m3") "< DONE\n> m3 OK\n"
                                                                     "< m4 UID FETCH 1 *\n"
                                                                     "@ 2\n> m4 OK\n" IDLE("m5")
                                                                         TOLD,
                                 ".\n"}};
    client_start(&client);
    watch(&client, "A", NULL);
    wait_watched(&client, "A");
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 1);
    wait_unwatched(&client, "A");
    connect_as_another(&client);
    work_succeeds(work, "");
    wait_watched(&client, "A");
    wait_changes(&client, 2);
    client_end(&client);
}

/* A job that comes between IDLE and "+" is not sent before "+", nor lost. */
static void late_continuation(void)
{
    Client client = {.scripts = {IDLING SELECT("m2", "INBOX") "< m3 IDLE\n" TOLD "@ 2\n> + go on\n"
                                                              "< DONE\n> m3 OK\n"
                                                              "< m4 LIST*\n> m4 OK\n",
                                 "> * BYE too many\n"},
                     .config.connections = 2};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_changes(&client, 1);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX ");
    client_end(&client);
}

static void no_continuation(void)
{
    Client client = {
        .scripts = {IDLING SELECT("m2", "INBOX") "< m3 IDLE\n", IDLING "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_connections(&client, 2);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX ");
    for (guint i = 0; i < 8; i++)
        transcript_settle(); /* it does not ask again */
    g_autofree char *line = described(&client);
    g_assert_cmpstr(line, ==, "watching: INBOX (poll)");
    client_end(&client);
}

static void refused(const char *answer)
{
    g_autofree char *script =
        g_strconcat(IDLING SELECT("m2", "INBOX"), answer, "< m4 LIST*\n> m4 OK\n", NULL);
    Client client = {.scripts = {script}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_changes(&client, 1);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX ");
    g_assert_false(remote_watched(client.remote, "INBOX"));
    client_end(&client);
}

static void idle_refused(void)
{
    refused("< m3 IDLE\n" TOLD "> m3 NO not here\n");
    refused("< m3 IDLE\n" TOLD "> m3 BAD what\n");
    refused("< m3 IDLE\n" TOLD "> + go on\n> m3 OK no, rather not\n");
}

static void not_offered(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    for (guint i = 0; i < 8; i++)
        transcript_settle();
    g_autofree char *line = described(&client);
    g_assert_cmpstr(line, ==, "watching: INBOX (poll)");
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX ");
    client_end(&client);
}

/* A mailbox that is not there is left alone. */
static void no_such_mailbox(void)
{
    Client client = {
        .scripts = {IDLING "< m2 SELECT Gone\n> m2 NO no\n" SELECT("m3", "INBOX") IDLE("m4")}};
    client_start(&client);
    watch(&client, "Gone", "INBOX");
    wait_watched(&client, "INBOX");
    g_assert_false(remote_watched(client.remote, "Gone"));
    client_end(&client);
}

static void wanted_no_more(void)
{
    Client client = {.scripts = {IDLING SELECT("m2", "A") IDLE("m3") "< DONE\n> m3 OK\n" SELECT(
                         "m4", "B") IDLE("m5") "< DONE\n> m5 OK\n"}};
    client_start(&client);
    watch(&client, "A", NULL);
    wait_watched(&client, "A");
    watch(&client, "B", NULL);
    g_assert_false(remote_watched(client.remote, "A"));
    wait_watched(&client, "B");
    watch(&client, NULL, NULL);
    g_assert_false(remote_watched(client.remote, "B"));
    for (guint i = 0; i < 4; i++)
        transcript_settle();
    client_end(&client);
}

static void renewed(void)
{
    gint64 usual = watch_renew_after;
    watch_renew_after = G_USEC_PER_SEC / 2;
    Client client = {.scripts = {IDLING SELECT("m2", "INBOX") IDLE("m3") "< DONE\n> m3 OK\n" IDLE(
                         "m4") "< DONE\n> * 10 EXISTS\n> m4 OK\n"}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_changes(&client, 2);
    g_assert_true(remote_watched(client.remote, "INBOX"));
    client_end(&client);
    watch_renew_after = usual;
}

/* ---- lines that break ---- */

static void lost(const char *end)
{
    g_autofree char *script =
        g_strconcat(IDLING SELECT("m2", "INBOX") IDLE("m3"), end, ".\n", NULL);
    Client client = {.scripts = {script, IDLING SELECT("m2", "INBOX") IDLE("m3")}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_connections(&client, 2);
    wait_watched(&client, "INBOX");
    g_assert_cmpuint(client.changes, ==, 2);
    client_end(&client);
}

static void lost_in_idle(void)
{
    lost("");
    lost("> * BYE time to go\n");
}

/* A server that dies of each IDLE is not asked for one for ever. */
static void lost_each_time(void)
{
    static const char dying[] = IDLING SELECT("m2", "INBOX") IDLE("m3") ".\n";
    Client client = {.scripts = {dying, dying, dying, IDLING "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    watch(&client, "INBOX", NULL);
    wait_connections(&client, 4);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX ");
    for (guint i = 0; i < 8; i++)
        transcript_settle();
    client_end(&client);
}

/* ---- several connections ---- */

/* One is kept for jobs: of two wanted mailboxes one is watched. */
static void one_is_left_for_jobs(void)
{
    Client client = {.config.connections = 2,
                     .scripts = {IDLING SELECT("m2", "INBOX") IDLE("m3"),
                                 IDLING SELECT("m2", "A") "< m3 UID FETCH 1 *\n> m3 OK\n"}};
    client_start(&client);
    watch(&client, "INBOX", "A");
    wait_watched(&client, "INBOX");
    for (guint i = 0; i < 8; i++)
        transcript_settle();
    g_assert_cmpuint(transcript_connections(client.transcript), ==, 1);
    g_assert_false(remote_watched(client.remote, "A"));
    client_end(&client);
}

static void two_are_watched(void)
{
    Client client = {.config.connections = 3,
                     .scripts = {IDLING SELECT("m2", "INBOX") IDLE("m3"),
                                 IDLING SELECT("m2", "A") IDLE("m3") "> * 10 EXISTS\n"}};
    client_start(&client);
    watch(&client, "INBOX", "A");
    wait_watched(&client, "INBOX");
    wait_watched(&client, "A");
    wait_changes(&client, 3);
    g_assert_cmpstr(client.changed, ==, "A");
    client_end(&client);
}

/* A job that needs no mailbox leaves the one alone that is about to watch again. */
static void jobs_spare_who_watches(void)
{
    Client client = {.config.connections = 2,
                     .scripts = {IDLING SELECT("m2", "A") IDLE("m3") "< DONE\n> m3 OK\n"
                                                                     "< m4 UID FETCH 1 *\n"
                                                                     "@ 3\n> m4 OK\n" IDLE("m5")
                                                                         TOLD,
                                 IDLING "< m2 LIST*\n> m2 OK\n", ".\n"}};
    client_start(&client);
    watch(&client, "A", NULL);
    wait_watched(&client, "A");
    g_autoptr(Work) fetch = client_fetch(&client, "A", 1, 1);
    wait_connections(&client, 2);
    for (guint i = 0; i < 4; i++)
        transcript_settle(); /* it logs in */
    connect_as_another(&client);
    work_succeeds(fetch, "");
    g_autoptr(Work) list = client_list(&client, FALSE);
    work_succeeds(list, "INBOX ");
    wait_changes(&client, 2); /* its beginning, and what is told at the end */
    client_end(&client);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/watch/tells", tells);
    g_test_add_func("/watch/job", makes_way);
    g_test_add_func("/watch/job/same-mailbox", makes_way_in_the_same_mailbox);
    g_test_add_func("/watch/job/during-select", job_during_select);
    g_test_add_func("/watch/job/long", long_job);
    g_test_add_func("/watch/continuation/late", late_continuation);
    g_test_add_func("/watch/continuation/never", no_continuation);
    g_test_add_func("/watch/refused", idle_refused);
    g_test_add_func("/watch/not-offered", not_offered);
    g_test_add_func("/watch/no-such-mailbox", no_such_mailbox);
    g_test_add_func("/watch/wanted-no-more", wanted_no_more);
    g_test_add_func("/watch/renewed", renewed);
    g_test_add_func("/watch/lost", lost_in_idle);
    g_test_add_func("/watch/lost/each-time", lost_each_time);
    g_test_add_func("/watch/places/one", one_is_left_for_jobs);
    g_test_add_func("/watch/places/two", two_are_watched);
    g_test_add_func("/watch/places/spared", jobs_spare_who_watches);
    return g_test_run();
}
