/* Making, removing and renaming mailboxes; quota, rights, permanent flags. */
#include "remote-client.h"

#define LOGIN TRANSCRIPT_LOGIN("")
#define OPENED "> * 0 EXISTS\n> * OK [UIDVALIDITY 7] x\n"

static void succeeds(Client *client, Work *work)
{
    work_succeeds(work, "");
    client_end(client);
}

static void fails(Client *client, Work *work, MailError code)
{
    work_fails(work, code);
    client_end(client);
}

/* ---- create ---- */

static void creates(void)
{
    Client client = {.scripts = {LOGIN "< m2 CREATE \"a b\"\n> m2 OK\n"
                                       "< m3 SUBSCRIBE \"a b\"\n> m3 NO never\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_create(&client, "a b");
    succeeds(&client, work);
}

static void create_refused(void)
{
    static const struct {
        const char *code;
        MailError error;
    } cases[] = {{"[ALREADYEXISTS]", MAIL_ERROR_EXISTS},
                 {"[NOPERM]", MAIL_ERROR_NO_PERMISSION},
                 {"[OVERQUOTA]", MAIL_ERROR_OVER_QUOTA},
                 {"[CANNOT]", MAIL_ERROR_INVALID},
                 {"", MAIL_ERROR_REFUSED}};
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *script =
            g_strdup_printf(LOGIN "< m2 CREATE a\n> m2 NO %s x\n", cases[i].code);
        Client client = {.scripts = {script}};
        client_start(&client);
        g_autoptr(Work) work = client_create(&client, "a");
        fails(&client, work, cases[i].error);
    }
}

/* The connection broke before the answer: what the second attempt finds there, the first made. */
static void create_twice(void)
{
    Client client = {.scripts = {LOGIN "< m2 CREATE a\n.\n",
                                 LOGIN "< m2 CREATE a\n> m2 NO [ALREADYEXISTS] x\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_create(&client, "a");
    succeeds(&client, work);
}

/* ---- delete ---- */

static void deletes(void)
{
    Client client = {.scripts = {LOGIN "< m2 STATUS a (MESSAGES)\n> * STATUS a (MESSAGES 0)\n"
                                       "> m2 OK\n< m3 DELETE a\n> m3 OK\n"
                                       "< m4 UNSUBSCRIBE a\n> m4 NO x\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_delete(&client, "a", TRUE);
    succeeds(&client, work);
    Client bare = {.scripts = {LOGIN "< m2 DELETE a\n> m2 OK\n< m3 UNSUBSCRIBE a\n> m3 OK\n"}};
    client_start(&bare);
    g_autoptr(Work) level = client_delete(&bare, "a", FALSE);
    succeeds(&bare, level);
}

static void not_empty(const char *status, MailError code)
{
    g_autofree char *script =
        g_strdup_printf(LOGIN "< m2 STATUS a (MESSAGES)\n%s> m2 OK\n", status);
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_delete(&client, "a", TRUE);
    fails(&client, work, code);
}

static void delete_not_empty(void)
{
    not_empty("> * STATUS a (MESSAGES 1)\n", MAIL_ERROR_NOT_EMPTY);
    /* Nothing that could be relied upon. */
    not_empty("", MAIL_ERROR_PROTOCOL);
    not_empty("> * STATUS b (MESSAGES 0)\n", MAIL_ERROR_PROTOCOL);
    not_empty("> * STATUS a (UNSEEN 0)\n", MAIL_ERROR_PROTOCOL);
}

static void delete_refused(void)
{
    Client client = {.scripts = {LOGIN "< m2 STATUS a (MESSAGES)\n> m2 NO [NONEXISTENT] x\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_delete(&client, "a", TRUE);
    fails(&client, work, MAIL_ERROR_GONE);
    Client other = {.scripts = {LOGIN "< m2 DELETE a\n> m2 NO [HASCHILDREN] x\n"}};
    client_start(&other);
    g_autoptr(Work) level = client_delete(&other, "a", FALSE);
    fails(&other, level, MAIL_ERROR_NOT_EMPTY);
}

static void delete_twice(void)
{
    Client client = {.scripts = {LOGIN "< m2 STATUS a *\n> * STATUS a (MESSAGES 0)\n> m2 OK\n"
                                       "< m3 DELETE a\n.\n",
                                 LOGIN "< m2 STATUS a *\n> m2 NO [NONEXISTENT] x\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_delete(&client, "a", TRUE);
    succeeds(&client, work);
    Client bare = {.scripts = {LOGIN "< m2 DELETE a\n.\n",
                               LOGIN "< m2 DELETE a\n> m2 NO [NONEXISTENT] x\n"
                                     "< m3 UNSUBSCRIBE a\n> m3 OK\n"}};
    client_start(&bare);
    g_autoptr(Work) level = client_delete(&bare, "a", FALSE);
    succeeds(&bare, level);
}

/* The session that has it open remembers how many messages there were: it is closed first, and not
 * by CLOSE, which would expunge. */
static void delete_selected(void)
{
    Client client = {.scripts = {LOGIN "< m2 SELECT a\n< m3 UID FETCH *\n" OPENED
                                       "> m2 OK\n> m3 OK\n"
                                       "< m4 SELECT INBOX\n< m5 STATUS a *\n" OPENED "> m4 OK\n"
                                       "> * STATUS a (MESSAGES 0)\n> m5 OK\n< m6 DELETE a\n"
                                       "> m6 OK\n< m7 UNSUBSCRIBE a\n> m7 OK\n"}};
    client_start(&client);
    g_autoptr(Work) open = client_open(&client, "a");
    transcript_wait(&open->over);
    g_autoptr(Work) work = client_delete(&client, "a", TRUE);
    succeeds(&client, work);
}

/* ---- rename ---- */

static void renames(void)
{
    Client client = {.scripts = {LOGIN "< m2 LSUB \"\" \"a*\"\n> * LSUB () \"/\" a\n"
                                       "> * LSUB () \"/\" a/x\n> * LSUB () \"/\" ab\n"
                                       "> * LSUB (\\Noselect) \"/\" a/y\n> m2 OK\n"
                                       "< m3 RENAME a b/c\n> m3 OK\n"
                                       "< m4 SUBSCRIBE b/c\n< m5 UNSUBSCRIBE a\n"
                                       "< m6 SUBSCRIBE b/c/x\n< m7 UNSUBSCRIBE a/x\n"
                                       "> m4 OK\n> m5 NO x\n> m6 NO x\n> m7 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_rename(&client, "a", "b/c");
    succeeds(&client, work);
    Client other = {.scripts = {TRANSCRIPT_LOGIN(
                        "LIST-EXTENDED") "< m2 LIST (SUBSCRIBED) \"\" \"a*\"\n> m2 OK\n"
                                         "< m3 RENAME a b\n> m3 NO [ALREADYEXISTS] x\n"}};
    client_start(&other);
    g_autoptr(Work) refused = client_rename(&other, "a", "b");
    fails(&other, refused, MAIL_ERROR_EXISTS);
}

/* By now there may be another mailbox of that name. */
static void rename_once(void)
{
    Client client = {.scripts = {LOGIN "< m2 LSUB *\n> m2 OK\n< m3 RENAME a b\n.\n"}};
    client_start(&client);
    g_autoptr(Work) work = client_rename(&client, "a", "b");
    fails(&client, work, MAIL_ERROR_OFFLINE);
}

/* ---- quota ---- */

static void check_quota(const char *replies, const char *told)
{
    g_autofree char *script =
        g_strdup_printf(TRANSCRIPT_LOGIN("QUOTA") "< m2 GETQUOTAROOT INBOX\n%s> m2 OK\n", replies);
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_quota(&client);
    work_succeeds(work, told);
    client_end(&client);
}

static void quota(void)
{
    check_quota("> * QUOTAROOT INBOX \"\"\n> * QUOTA \"\" (STORAGE 10 512)\n", "10240 of 524288");
    check_quota("> * QUOTAROOT INBOX a b\n> * QUOTA a (MESSAGE 1 2 STORAGE 10 512)\n"
                "> * QUOTA b (STORAGE 500 600)\n> * QUOTA c (STORAGE 1 4000)\n",
                "512000 of 614400");
    check_quota("> * QUOTAROOT INBOX\n", "0 of 0");
    check_quota("> * QUOTA \"\" ()\n> * QUOTA \"\"\n> * QUOTA\n> * QUOTA a (STORAGE 1)\n"
                "> * QUOTA a (STORAGE x 1)\n> * QUOTA a (STORAGE 1 18446744073709551615)\n",
                "0 of 0");
    check_quota("> * QUOTA \"\" (STORAGE 600 512)\n", "614400 of 524288");
    Client none = {.scripts = {LOGIN}};
    client_start(&none);
    g_autoptr(Work) work = client_quota(&none);
    work_succeeds(work, "0 of 0");
    client_end(&none);
}

/* ---- what may be done ---- */

static void check_open(const char *caps, const char *rights, const char *codes, const char *told)
{
    g_autofree char *script = g_strdup_printf(
        "> * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hello\n< m1 AUTHENTICATE PLAIN *\n"
        "> m1 OK [CAPABILITY IMAP4rev1 %s] in\n%s< m%d SELECT A\n< m%d UID FETCH *\n" OPENED
        "%s> m%d OK\n> m%d OK\n",
        caps, rights, *rights ? 3 : 2, *rights ? 4 : 3, codes, *rights ? 3 : 2, *rights ? 4 : 3);
    Client client = {.scripts = {script}};
    client_start(&client);
    g_autoptr(Work) work = client_open(&client, "A");
    work_succeeds(work, told);
    client_end(&client);
}

static void rights(void)
{
    check_open("", "", "", "flags=5f keywords= rights=?");
    check_open("", "", "> * OK [PERMANENTFLAGS (\\Seen $A b)] x\n> * OK [READ-ONLY] x\n",
               "flags=1 keywords=$A,b rights=? read-only");
    check_open("", "", "> * OK [PERMANENTFLAGS ()] x\n", "flags=0 keywords= rights=?");
    check_open("ACL", "< m2 MYRIGHTS A\n> * MYRIGHTS A lrs\n> m2 OK\n", "",
               "flags=5f keywords= rights=lrs");
    check_open("ACL", "< m2 MYRIGHTS A\n> * MYRIGHTS A \"\"\n> m2 OK\n", "",
               "flags=5f keywords= rights=");
    /* Of another mailbox, no letters, nothing, refused. */
    check_open("ACL", "< m2 MYRIGHTS A\n> * MYRIGHTS B lrs\n> m2 OK\n", "",
               "flags=5f keywords= rights=?");
    check_open("ACL", "< m2 MYRIGHTS A\n> * MYRIGHTS A \"l;s\"\n> m2 OK\n", "",
               "flags=5f keywords= rights=?");
    check_open("ACL", "< m2 MYRIGHTS A\n> * MYRIGHTS A\n> m2 OK\n", "",
               "flags=5f keywords= rights=?");
    check_open("ACL", "< m2 MYRIGHTS A\n> m2 NO [NOPERM] x\n", "", "flags=5f keywords= rights=?");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/folder/create", creates);
    g_test_add_func("/folder/create/refused", create_refused);
    g_test_add_func("/folder/create/twice", create_twice);
    g_test_add_func("/folder/delete", deletes);
    g_test_add_func("/folder/delete/not-empty", delete_not_empty);
    g_test_add_func("/folder/delete/refused", delete_refused);
    g_test_add_func("/folder/delete/twice", delete_twice);
    g_test_add_func("/folder/delete/selected", delete_selected);
    g_test_add_func("/folder/rename", renames);
    g_test_add_func("/folder/rename/once", rename_once);
    g_test_add_func("/folder/quota", quota);
    g_test_add_func("/folder/rights", rights);
    return g_test_run();
}
