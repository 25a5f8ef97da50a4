/* The operations of remote.h but for sync, with servers that answer in odd ways. */
#include "remote-client.h"

/* ---- bodies ---- */

static void fetches(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1:3 (UID "
                                                      "BODY.PEEK[])\n" SELECTED "> m2 OK\n"
                                                      "> * 2 FETCH (UID 2 BODY[] {3}\n~ two\n> )\n"
                                                      "> * 1 FETCH (BODY[] {3}\n~ one\n>  UID 1)\n"
                                                      "> * 3 FETCH (UID 3 BODY[] \"three\")\n"
                                                      "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 3);
    work_succeeds(work, "[2:3 two 2][0:3 one 1][3:5 three 3]");
    client_end(&client);
}

/* Two commands on one connection, answered together and without the UID before the body. */
static void fetches_mixed(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n"
                                                      "< m4 UID FETCH 2 *\n" SELECTED "> m2 OK\n"
                                                      "> * 2 FETCH (BODY[] {3}\n~ two\n>  UID 2)\n"
                                                      "> * 1 FETCH (BODY[] {3}\n~ one\n>  UID 1)\n"
                                                      "> m3 OK\n> m4 OK\n"
                                                      "< m5 UID FETCH 2 *\n"
                                                      "> * 2 FETCH (BODY[] {3}\n~ two\n>  UID 2)\n"
                                                      "> m5 OK\n"}};
    client_start(&client);
    g_autoptr(Work) one = client_fetch(&client, "A", 1, 1);
    g_autoptr(Work) two = client_fetch(&client, "A", 2, 2);
    work_succeeds(one, "[0:3 two 0][0:3 one 1]");
    work_succeeds(two, "[0:3 two 2]");
    client_end(&client);
}

/* The NOOP is answered before the FETCH is sent: pipelined, it would be answered from before the
 * news. A mailbox that was just selected has none. */
static void fetch_fresh(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n" SELECTED
                                                      "> m2 OK\n> * 1 FETCH (UID 1 BODY[] NIL)\n"
                                                      "> m3 OK\n< m4 NOOP\n> * 1 EXPUNGE\n"
                                                      "> m4 OK\n< m5 UID FETCH 1 *\n> m5 OK\n"}};
    client_start(&client);
    g_autoptr(Work) first = client_fetch_fresh(&client, 1);
    work_succeeds(first, "[1:0  1]");
    g_autoptr(Work) second = client_fetch_fresh(&client, 1);
    work_succeeds(second, "");
    client_end(&client);
}

static void fetch_with_flags(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1:2 *\n" SELECTED
                                         "> m2 OK\n< m4 UID STORE 1:2 +FLAGS.SILENT (\\Seen)\n"
                                         "> * 1 FETCH (UID 1 FLAGS () BODY[] {1}\n~ x\n> )\n"
                                         "> * 2 FETCH (UID 2 FLAGS () BODY[] \"y\")\n"
                                         "> m3 OK\n> m4 OK\n"}};
    client_start(&client);
    g_autoptr(Work) store = client_change(&client, STORE);
    g_autoptr(Work) bodies = client_fetch(&client, "A", 1, 2);
    work_succeeds(store, "");
    work_succeeds(bodies, "[1:1 x 1][2:1 y 2]");
    client_end(&client);
}

static void fetch_declined(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1:2 *\n"
                                                      "< m4 UID FETCH 1:2 *\n" SELECTED "> m2 OK\n"
                                                      "> * 1 FETCH (UID 1 BODY[] {1}\n~ x\n> )\n"
                                                      "> * 2 FETCH (BODY[] {1}\n~ x\n>  UID 2)\n"
                                                      "> m3 OK\n"
                                                      "> * 1 FETCH (UID 1 BODY[] {1}\n~ x\n> )\n"
                                                      "> * 2 FETCH (BODY[] {1}\n~ y\n>  UID 2)\n"
                                                      "> m4 OK\n"}};
    client_start(&client);
    g_autoptr(Work) one = client_fetch(&client, "A", 1, 2);
    g_autoptr(Work) two = client_fetch(&client, "A", 1, 2);
    one->decline = TRUE;
    work_succeeds(one, "[1:1 [0:1 ");
    work_succeeds(two, "[1:1 x 1][0:1 y 2]");
    client_end(&client);
}

static void fetch_cancelled(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1:2 *\n"
                                                      "< m4 UID FETCH 2 *\n" SELECTED "> m2 OK\n"
                                                      "> * 1 FETCH (UID 1 BODY[] {1}\n~ x\n> )\n"
                                                      "> * 2 FETCH (BODY[] {1}\n~ x\n>  UID 2)\n"
                                                      "> m3 OK\n"
                                                      "> * 2 FETCH (UID 2 BODY[] {1}\n~ y\n> )\n"
                                                      "> m4 OK\n"}};
    client_start(&client);
    g_autoptr(Work) one = client_fetch(&client, "A", 1, 2);
    g_autoptr(Work) two = client_fetch(&client, "A", 2, 2);
    one->cancel_at_begin = TRUE;
    work_succeeds(two, "[2:1 y 2]");
    g_assert_cmpstr(one->told->str, ==, "[1:1 ");
    g_assert_false(one->over);
    client_end(&client);
}

static void fetch_window_refused(const char *reply, gboolean again)
{
    g_autofree char *script = g_strconcat(
        TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *<4.2>)\n" SELECTED "> m2 OK\n",
        reply, "> m3 OK\n", again ? "< m4 UID FETCH 1 *<4.2>)\n" : "", again ? reply : "",
        again ? "> m4 OK\n" : "", NULL);
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_fetch_window(&client, 4, 2);
    work_fails(work, MAIL_ERROR_PROTOCOL);
    g_assert_cmpstr(work->told->str, ==, "");
    client_end(&client);
}

static void fetch_windows(void)
{
    fetch_window_refused("> * 1 FETCH (UID 1 BODY[]<4> {3}\n~ abc\n> )\n", FALSE);
    fetch_window_refused("> * 1 FETCH (UID 1 BODY[]<4> \"abc\")\n", FALSE);
    fetch_window_refused("> * 1 FETCH (UID 1 BODY[] {2}\n~ ab\n> )\n", TRUE);
    fetch_window_refused("> * 1 FETCH (UID 1 BODY[]<0> \"ab\")\n", TRUE);
}

static void fetch_two_names(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN(
                         "") "< m2 SELECT A\n< m3 UID FETCH 1:2 *\n" SELECTED "> m2 OK\n"
                             "> * 1 FETCH (UID 1 BODY[] {1}\n~ x\n"
                             ">  UID 2)\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 2);
    work_fails(work, MAIL_ERROR_PROTOCOL);
    client_end(&client);
}

/* ---- opening ---- */

static void no_such_mailbox(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n"
                                                      "> m2 NO no such\n> m3 BAD not selected\n"
                                                      "< m4 SELECT B\n< m5 UID FETCH 1 *\n" SELECTED
                                                      "> m4 OK\n> m5 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_fetch(&client, "A", 1, 1);
    work_fails(work, MAIL_ERROR_GONE);
    g_autoptr(Work) next = client_fetch(&client, "B", 1, 1);
    work_succeeds(next, "");
    client_end(&client);
}

static void stale(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN("MOVE") "< m2 SELECT A\n> * OK [UIDVALIDITY 8] x\n"
                                             "> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) one = client_change(&client, STORE);
    g_autoptr(Work) two = client_change(&client, MOVE);
    work_fails(one, MAIL_ERROR_STALE);
    work_fails(two, MAIL_ERROR_STALE);
    client_end(&client);
}

static void without_uidvalidity(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, STORE);
    work_fails(work, MAIL_ERROR_PROTOCOL);
    client_end(&client);
}

/* ---- changes ---- */

static void expunges_with_uidplus(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("UIDPLUS") "< m2 SELECT A\n" SELECTED "> m2 OK\n"
                                                             "< m3 UID EXPUNGE 1:2\n> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, EXPUNGE);
    work_succeeds(work, "");
    client_end(&client);
}

static void expunges_only_ours(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED "> m2 OK\n"
                                                      "< m3 UID SEARCH DELETED\n> * SEARCH 2 1\n"
                                                      "> m3 OK\n< m4 EXPUNGE\n> m4 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, EXPUNGE);
    work_succeeds(work, "");
    client_end(&client);
}

static void expunges_not_others(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED "> m2 OK\n"
                                                      "< m3 UID SEARCH DELETED\n> * SEARCH 1 2 9\n"
                                                      "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, EXPUNGE);
    work_fails(work, MAIL_ERROR_UNSUPPORTED);
    client_end(&client);
}

/* Cancelled between the search and the EXPUNGE. */
static void expunge_cancelled(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 LIST*\n" SELECTED
                                         "> m2 OK\n< m4 UID SEARCH DELETED\n> m3 OK\n< m5 LIST*\n"
                                         "> * SEARCH 1 2\n> m4 OK\n> m5 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, EXPUNGE);
    g_autoptr(Work) listing = client_list(&client, FALSE);
    work_succeeds(listing, "INBOX ");
    remote_cancel(client.remote, work->job);
    g_autoptr(Work) again = client_list(&client, FALSE);
    work_succeeds(again, "INBOX ");
    g_assert_false(work->over);
    client_end(&client);
}

static void move_unsupported(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED "> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, MOVE);
    work_fails(work, MAIL_ERROR_UNSUPPORTED);
    client_end(&client);
}

/* ---- list ---- */

static void lists(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 LIST *\n"
                                                      "> * LIST (\\Noselect) \"/\" \"\"\n"
                                                      "> * LIST () \"/\" inbox\n"
                                                      "> * LIST (\\Noselect) \"/\" B\n"
                                                      "> * LIST () \"/\" \"C d\"\n> m2 OK\n"
                                                      "< m3 STATUS INBOX (MESSAGES)\n"
                                                      "< m4 STATUS \"C d\" (MESSAGES)\n"
                                                      "> * STATUS inbox (MESSAGES 5)\n> m3 OK\n"
                                                      "> m4 NO [NOPERM] no\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, TRUE);
    work_succeeds(work, "INBOX B C d INBOX=5 ");
    client_end(&client);
}

static void list_counts_in_one_go(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN(
            "LIST-EXTENDED LIST-STATUS SPECIAL-USE") "< m2 LIST \"\" \"*\" RETURN (SPECIAL-USE "
                                                     "STATUS (MESSAGES))\n"
                                                     "> * LIST () \"/\" INBOX\n> * STATUS INBOX "
                                                     "(MESSAGES 3)\n"
                                                     "> * LIST (\\Trash) \"/\" Bin\n> * STATUS Bin "
                                                     "(MESSAGES 0)\n"
                                                     "> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, TRUE);
    work_succeeds(work, "INBOX INBOX=3 Bin Bin=0 ");
    client_end(&client);
}

/* Those of other users and the shared ones, if the server keeps them out of LIST "*". */
static void lists_namespaces(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN(
                         "NAMESPACE") "< m2 LIST \"\" \"*\"\n"
                                      "< m3 NAMESPACE\n"
                                      "> * LIST () \"/\" INBOX\n> m2 OK\n"
                                      "> * NAMESPACE ((\"\" \"/\")) ((\"Other/\" \"/\")) "
                                      "((\"\" \"/\")(\"#news.\" \".\"))\n> m3 OK\n"
                                      "< m4 LIST \"\" \"Other/*\"\n< m5 LIST \"\" \"#news.*\"\n"
                                      "> * LIST () \"/\" Other/bob\n> m4 OK\n"
                                      "> * LIST () \".\" #news.misc\n> m5 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, FALSE);
    work_succeeds(work, "INBOX Other/bob #news.misc ");
    client_end(&client);
}

static void list_refused(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 LIST *\n> * LIST () \"/\" A\n"
                                                      "> m2 NO [UNAVAILABLE] later\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_list(&client, TRUE);
    work_fails(work, MAIL_ERROR_OFFLINE);
    client_end(&client);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/remote/fetch/fresh", fetch_fresh);
    g_test_add_func("/remote/fetch/order", fetches);
    g_test_add_func("/remote/fetch/mixed", fetches_mixed);
    g_test_add_func("/remote/fetch/flags", fetch_with_flags);
    g_test_add_func("/remote/fetch/declined", fetch_declined);
    g_test_add_func("/remote/fetch/cancelled", fetch_cancelled);
    g_test_add_func("/remote/fetch/windows", fetch_windows);
    g_test_add_func("/remote/fetch/two-names", fetch_two_names);
    g_test_add_func("/remote/open/no-such", no_such_mailbox);
    g_test_add_func("/remote/open/stale", stale);
    g_test_add_func("/remote/open/without-uidvalidity", without_uidvalidity);
    g_test_add_func("/remote/expunge/uidplus", expunges_with_uidplus);
    g_test_add_func("/remote/expunge/only-ours", expunges_only_ours);
    g_test_add_func("/remote/expunge/not-others", expunges_not_others);
    g_test_add_func("/remote/expunge/cancelled", expunge_cancelled);
    g_test_add_func("/remote/move/unsupported", move_unsupported);
    g_test_add_func("/remote/list/counts", lists);
    g_test_add_func("/remote/list/counts-in-one-go", list_counts_in_one_go);
    g_test_add_func("/remote/list/namespaces", lists_namespaces);
    g_test_add_func("/remote/list/refused", list_refused);
    return g_test_run();
}
