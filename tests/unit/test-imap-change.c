/* STORE, COPY, MOVE, EXPUNGE: when news are asked for first, and where messages went. */
#include "remote-client.h"

#define OPENED "> * 9 EXISTS\n> * OK [UIDVALIDITY 7] x\n> * OK [UIDNEXT 10] x\n> m2 OK\n"
#define LOGIN TRANSCRIPT_LOGIN("MOVE UIDPLUS") "< m2 SELECT A\n" OPENED

static void check_change(Kind kind, const char *script, const char *told)
{
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, kind);
    work_succeeds(work, told);
    client_end(&client);
}

/* ---- where messages went ---- */

static void tells_where(void)
{
    check_change(MOVE,
                 LOGIN "< m3 UID MOVE 1:2 T\n> * OK [COPYUID 8 1:2 21:22] x\n> * 1 EXPUNGE\n"
                       "> m3 OK\n",
                 "1>21 2>22 in 8 ");
    check_change(MOVE, LOGIN "< m3 UID MOVE 1:2 T\n> m3 OK [COPYUID 8 2,1 5,9] x\n",
                 "2>5 1>9 in 8 ");
    check_change(COPY, LOGIN "< m3 UID COPY 1:2 T\n> m3 OK [COPYUID 8 1 4294967295] x\n",
                 "1>4294967295 in 8 ");
    check_change(COPY, LOGIN "< m3 UID COPY 1:2 T\n> m3 OK done\n", "");
    /* Part of it each time. */
    check_change(MOVE,
                 LOGIN "< m3 UID MOVE 1:2 T\n> * OK [COPYUID 8 2 21] x\n"
                       "> * OK [COPYUID 8 1 22] x\n> m3 OK\n",
                 "2>21 1>22 in 8 ");
}

static void doubtful(void)
{
    static const char *const codes[] = {
        "[COPYUID 8 1:3 4:6]",                   /* more than was named */
        "[COPYUID 8 3 4]",                       /* another */
        "[COPYUID 8 1:2 4]",                     /* not in pairs */
        "[COPYUID 8 1,1 4:5]",                   /* one message twice */
        "[COPYUID 8 1:2 4,4]",                   /* two became one */
        "[COPYUID 0 1:2 4:5]",                   /* of no UIDVALIDITY */
        "[COPYUID 8 1:4294967295 1:4294967295]", /* would take long to count through */
        "[COPYUID 8 1:2 4294967295:4294967296]", /* no uid */
        "[COPYUID 8 1:2 *]",
        "[COPYUID 8]",
        "[COPYUID]",
        "[COPYUID 8 \"1:2\" (4 5)]",
    };
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        g_autofree char *untagged = g_strdup_printf(
            LOGIN "< m3 UID MOVE 1:2 T\n> * OK %s x\n> * 1 EXPUNGE\n> m3 OK\n", codes[i]);
        check_change(MOVE, untagged, "");
        g_autofree char *tagged =
            g_strdup_printf(LOGIN "< m3 UID COPY 1:2 T\n> m3 OK %s x\n", codes[i]);
        check_change(COPY, tagged, "");
    }
}

/* The same message again, or in another mailbox of that name: the first word stands. */
static void contradicts_itself(void)
{
    check_change(MOVE,
                 LOGIN "< m3 UID MOVE 1:2 T\n> * OK [COPYUID 8 1 21] x\n"
                       "> * OK [COPYUID 8 1 22] x\n> * OK [COPYUID 8 2 21] x\n"
                       "> * OK [COPYUID 9 2 23] x\n> m3 OK\n",
                 "1>21 in 8 ");
}

/* Each of two commands on the way gets its own. */
static void two_at_once(void)
{
    Client client = {.scripts = {LOGIN "< m3 UID MOVE 1:2 T\n< m4 UID MOVE 3:4 T\n"
                                       "> * OK [COPYUID 8 1:2 21:22] x\n> m3 OK\n"
                                       "> * OK [COPYUID 8 3:4 23:24] x\n> m4 OK\n"}};
    client_start(&client);
    g_autoptr(Work) first = client_change_uids(&client, MOVE, 1, 2);
    g_autoptr(Work) second = client_change_uids(&client, MOVE, 3, 4);
    work_succeeds(first, "1>21 2>22 in 8 ");
    work_succeeds(second, "3>23 4>24 in 8 ");
    client_end(&client);
}

static void moved_in_part(void)
{
    Client client = {.scripts = {LOGIN "< m3 UID MOVE 1:2 T\n> * OK [COPYUID 8 1 21] x\n"
                                       "> m3 NO [OVERQUOTA] full\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, MOVE);
    work_fails(work, MAIL_ERROR_OVER_QUOTA);
    g_assert_cmpstr(work->told->str, ==, "1>21 in 8 ");
    client_end(&client);
}

/* MOVE goes on where it was cut off; what is known of the first part stays known. */
static void move_lost(void)
{
    Client client = {.scripts = {LOGIN "< m3 UID MOVE 1:2 T\n> * OK [COPYUID 8 1 21] x\n.\n",
                                 LOGIN "< m3 UID MOVE 1:2 T\n> * OK [COPYUID 8 2 22] x\n"
                                       "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, MOVE);
    work_succeeds(work, "1>21 2>22 in 8 ");
    client_end(&client);
}

/* A COPY that was carried out twice would leave two. */
static void copy_lost(void)
{
    Client client = {.scripts = {LOGIN "< m3 UID COPY 1:2 T\n.\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_change(&client, COPY);
    work_fails(work, MAIL_ERROR_OFFLINE);
    client_end(&client);
}

/* ---- news first ---- */

static void change(Client *client, Kind kind, MailUid uid)
{
    g_autoptr(Work) work = client_change_uids(client, kind, uid, uid);
    work_succeeds(work, "");
}

/* The server's session knows all below UIDNEXT; then all below what a NOOP or a FETCH told of. */
static void news_first(void)
{
    static const Kind kinds[] = {STORE, COPY, MOVE};
    static const char *const commands[] = {"STORE", "COPY", "MOVE"};
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const char *name = commands[i];
        g_autofree char *script =
            g_strdup_printf(LOGIN "< m3 UID %s 9 *\n> m3 OK\n"
                                  "< m4 UID %s 9 *\n> m4 OK\n"
                                  "< m5 NOOP\n> * 12 EXISTS\n> m5 OK\n< m6 UID %s 12 *\n> m6 OK\n"
                                  "< m7 UID %s 11 *\n> * 13 FETCH (UID 13 FLAGS ())\n> m7 OK\n"
                                  "< m8 UID %s 13 *\n> m8 OK\n",
                            name, name, name, name, name);
        Client client = {.scripts = {script}};
        client_start(&client);
        change(&client, kinds[i], 9);
        change(&client, kinds[i], 9);
        change(&client, kinds[i], 12);
        change(&client, kinds[i], 11);
        change(&client, kinds[i], 13);
        client_end(&client);
    }
}

/* A SELECT that was sent for this change tells the news itself, whatever it says of UIDNEXT. */
static void selects_for_it(void)
{
    check_change(STORE,
                 TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED
                                      "> m2 OK\n< m3 UID STORE 1:2 *\n> m3 OK\n",
                 "");
}

/* Whether they carry \Deleted is news, even of messages that are known. */
static void news_before_expunge(void)
{
    Client client = {.scripts = {LOGIN "< m3 UID EXPUNGE 1\n> m3 OK\n"
                                       "< m4 NOOP\n> m4 OK\n< m5 UID EXPUNGE 2\n> m5 OK\n"}};
    client_start(&client);
    change(&client, EXPUNGE, 1);
    change(&client, EXPUNGE, 2);
    client_end(&client);
}

static void news_refused(void)
{
    Client client = {.scripts = {LOGIN "< m3 UID STORE 1 *\n> m3 OK\n< m4 NOOP\n> m4 NO no\n"}};
    client_start(&client);
    change(&client, STORE, 1);
    g_autoptr(Work) work = client_change_uids(&client, COPY, 10, 10);
    work_fails(work, MAIL_ERROR_REFUSED);
    client_end(&client);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/change/moved/told", tells_where);
    g_test_add_func("/change/moved/doubtful", doubtful);
    g_test_add_func("/change/moved/contradiction", contradicts_itself);
    g_test_add_func("/change/moved/two-at-once", two_at_once);
    g_test_add_func("/change/moved/in-part", moved_in_part);
    g_test_add_func("/change/moved/lost", move_lost);
    g_test_add_func("/change/copy-lost", copy_lost);
    g_test_add_func("/change/news/first", news_first);
    g_test_add_func("/change/news/selected", selects_for_it);
    g_test_add_func("/change/news/expunge", news_before_expunge);
    g_test_add_func("/change/news/refused", news_refused);
    return g_test_run();
}
