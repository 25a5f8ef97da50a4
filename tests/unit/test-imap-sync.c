/* Bringing a mailbox up to date, with servers of every kind, and with those that lie. */
#include "imap-remote.h"
#include "transcript.h"

#include <string.h>

#define LISTING "(UID FLAGS INTERNALDATE RFC822.SIZE)"
#define DATE " INTERNALDATE \"01-Jan-2026 00:00:00 +0000\""
/* A message of the listing. */
#define MESSAGE(n) "> * " n " FETCH (UID " n " FLAGS () RFC822.SIZE 5" DATE ")\n"

/* SELECT as the first command after the login, and its untagged answers. */
#define SELECT(tag) "< " tag " SELECT A\n"
#define OPENED(exists, modseq)                                                                     \
    "> * " exists " EXISTS\n> * OK [UIDVALIDITY 7] x\n> * OK [UIDNEXT 4] x\n> * OK " modseq " x\n"

typedef struct {
    const char *scripts[3];
    Transcript *transcript;
    Remote *remote;
    gint online;
    GArray *known; /* the messages that this client knows */
    RemoteSync want;
    GString *told;
    RemoteJob *job;
    gint over;
    GError *error;
    MailModSeq modseq;
    guint changes;
    gboolean cancel_at_message;
    RemoteJob *victim; /* cancelled when the mailbox is opened */
} Client;

static void on_state(RemoteState state, const GError *error, gpointer data)
{
    ((Client *)data)->online |= state == REMOTE_ONLINE;
}

static void on_changed(const char *mailbox, gpointer data)
{
    ((Client *)data)->changes++;
}

static void on_opened(const RemoteMailbox *info, gpointer data)
{
    Client *client = data;
    g_string_append_printf(client->told, "opened%u ", info->uidvalidity);
    if (info->uidvalidity != client->want.uidvalidity)
        g_array_set_size(client->known, 0);
    if (client->victim)
        remote_cancel(client->remote, g_steal_pointer(&client->victim));
}

static gboolean on_has(MailUid uid, gpointer data)
{
    Client *client = data;
    g_assert_nonnull(client->job);
    return mail_uid_set_contains(client->known, uid);
}

static void on_message(const RemoteMessage *message, gpointer data)
{
    Client *client = data;
    g_string_append_printf(client->told, "+%u ", message->uid);
    mail_uid_set_add(client->known, message->uid, message->uid);
    if (client->cancel_at_message)
        remote_cancel(client->remote, g_steal_pointer(&client->job));
}

static void on_flags(MailUid uid, guint32 flags, const char *const *keywords, gpointer data)
{
    Client *client = data;
    g_assert_nonnull(client->job);
    g_string_append_printf(client->told, "~%u=%u ", uid, flags);
}

static void remove_ranges(Client *client, const GArray *uids, gboolean present)
{
    g_autoptr(GArray) known = mail_uid_set_copy(client->known);
    for (guint i = 0; i < known->len; i++) {
        const MailUidRange *range = &g_array_index(known, MailUidRange, i);
        for (MailUid uid = range->first; uid <= range->last; uid++)
            if (mail_uid_set_contains(uids, uid) != present) {
                g_string_append_printf(client->told, "-%u ", uid);
                mail_uid_set_remove(client->known, uid);
            }
    }
}

static void on_vanished(const GArray *uids, gpointer data)
{
    remove_ranges(data, uids, FALSE);
}

static void on_present(const GArray *uids, gpointer data)
{
    Client *client = data;
    g_string_append(client->told, "present ");
    remove_ranges(client, uids, TRUE);
}

static guint64 on_count(gpointer data)
{
    Client *client = data;
    g_assert_nonnull(client->job);
    return mail_uid_set_count(client->known);
}

static void on_done(const GError *error, MailModSeq modseq, gpointer data)
{
    Client *client = data;
    client->error = error ? g_error_copy(error) : NULL;
    client->modseq = modseq;
    client->over = TRUE;
}

static void client_start(Client *client)
{
    static const RemoteFuncs funcs = {.state = on_state, .changed = on_changed};
    client->transcript = transcript_new(client->scripts);
    client->known = mail_uid_set_new();
    client->told = g_string_new(NULL);
    client->want.mailbox = "A";
    RemoteConfig config = transcript_config(client->transcript);
    client->remote = imap_remote_new(&config, transcript_secret(), &funcs, client);
    remote_start(client->remote);
}

/* Knows 1:3, all changes up to modseq. */
static void knows(Client *client, MailModSeq modseq)
{
    client->want.uidvalidity = 7;
    client->want.uidnext = 4;
    client->want.modseq = modseq;
    client->want.count = 3;
    client->want.complete = TRUE;
    mail_uid_set_add(client->known, 1, 3);
}

static void start_sync(Client *client)
{
    static const RemoteSyncFuncs funcs = {on_opened,   on_has,     on_message, on_flags,
                                          on_vanished, on_present, on_count,   on_done};
    g_string_truncate(client->told, 0);
    g_clear_error(&client->error);
    client->over = FALSE;
    client->job = remote_sync(client->remote, &client->want, &funcs, client);
}

static void sync_now(Client *client)
{
    start_sync(client);
    transcript_wait(&client->over);
}

static void succeeds(Client *client, const char *told, MailModSeq modseq)
{
    sync_now(client);
    g_assert_no_error(client->error);
    g_assert_cmpstr(client->told->str, ==, told);
    g_assert_cmpuint(client->modseq, ==, modseq);
}

static void fails(Client *client, const char *told)
{
    sync_now(client);
    g_assert_error(client->error, MAIL_ERROR, MAIL_ERROR_PROTOCOL);
    g_assert_cmpstr(client->told->str, ==, told);
}

static void client_end(Client *client)
{
    remote_free(client->remote);
    transcript_end(client->transcript);
    g_array_unref(client->known);
    g_string_free(client->told, TRUE);
    g_clear_error(&client->error);
}

/* ---- from nothing ---- */

#define ANEW(caps, exists, lines)                                                                  \
    TRANSCRIPT_LOGIN(caps)                                                                         \
    SELECT("m2")                                                                                   \
    "< m3 UID FETCH 1:* " LISTING "\n" OPENED(exists, "[HIGHESTMODSEQ 50]") "> m2 OK\n" lines

static void anew(void)
{
    Client client = {
        .scripts = {
            ANEW("", "3", MESSAGE("3") MESSAGE("1") MESSAGE("2") MESSAGE("2") "> m3 OK\n")}};
    client_start(&client);
    succeeds(&client, "opened7 +3 +1 +2 +2 present ", 50);
    client_end(&client);
}

static void anew_empty(void)
{
    Client client = {.scripts = {ANEW("", "0", "> m3 NO nothing there\n")}};
    client_start(&client);
    succeeds(&client, "opened7 present ", 50);
    client_end(&client);
}

static void anew_empty_bad(void)
{
    Client client = {.scripts = {ANEW("", "0", "> m3 BAD nothing there\n")}};
    client_start(&client);
    succeeds(&client, "opened7 present ", 50);
    client_end(&client);
}

static void anew_without_date(void)
{
    Client client = {
        .scripts = {ANEW("", "1", "> * 1 FETCH (UID 1 FLAGS () RFC822.SIZE 5)\n> m3 OK\n")}};
    client_start(&client);
    succeeds(&client, "opened7 +1 present ", 50);
    client_end(&client);
}

static void anew_without_uids(void)
{
    Client client = {.scripts = {ANEW("", "1",
                                      "> * 1 FETCH (FLAGS () RFC822.SIZE 5)\n"
                                      "> m3 OK\n")}};
    client_start(&client);
    mail_uid_set_add(client.known, 1, 1);
    client.want.uidvalidity = 7;
    fails(&client, "opened7 ");
    client_end(&client);
}

static void anew_refused(void)
{
    Client client = {.scripts = {ANEW("", "3", MESSAGE("1") "> m3 BAD no\n")}};
    client_start(&client);
    fails(&client, "opened7 +1 ");
    client_end(&client);
}

static void anew_lost(void)
{
    Client client = {.scripts = {ANEW("", "2", MESSAGE("1") ".\n"),
                                 ANEW("", "2", MESSAGE("1") MESSAGE("2") "> m3 OK\n")}};
    client_start(&client);
    succeeds(&client, "opened7 +1 opened7 +1 +2 present ", 50);
    client_end(&client);
}

static void without_uidvalidity(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("")
                                     SELECT("m2") "< m3 *\n< m4 *\n> * 3 EXISTS\n"
                                                  "> m2 OK\n" MESSAGE("1") "> m3 OK\n> m4 OK\n"}};
    client_start(&client);
    knows(&client, 0);
    fails(&client, "");
    client_end(&client);
}

static void cancelled_within(void)
{
    Client client = {.cancel_at_message = TRUE,
                     .scripts = {ANEW("", "2", MESSAGE("1") MESSAGE("2") "> m3 OK\n")}};
    client_start(&client);
    start_sync(&client);
    while (client.job)
        g_main_context_iteration(NULL, TRUE);
    transcript_settle();
    g_assert_false(client.over);
    g_assert_cmpstr(client.told->str, ==, "opened7 +1 ");
    client_end(&client);
}

/* ---- QRESYNC ---- */

#define CHANGES(tag, modseq)                                                                       \
    "< " tag " UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE " modseq " VANISHED)\n"
#define NEWS(tag, next) "< " tag " UID FETCH " next ":* " LISTING "\n"
#define QRESYNC(exists, modseq, lines)                                                             \
    TRANSCRIPT_QRESYNC SELECT("m3") CHANGES("m4", "40") NEWS("m5", "4")                            \
        OPENED(exists, modseq) "> m3 OK\n" lines

static void qresync(void)
{
    Client client = {
        .scripts = {QRESYNC(
            "3", "[HIGHESTMODSEQ 50]",
            "> * VANISHED (EARLIER) 2,900:4294967295\n"
            "> * 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (49))\n> m4 OK\n" MESSAGE("4") "> m5 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 -2 ~1=1 +4 ", 50);
    client_end(&client);
}

/* A change that came in between must not hide behind a newer message's sequence. */
static void qresync_counts_changes_only(void)
{
    Client client = {.scripts = {QRESYNC("4", "[HIGHESTMODSEQ 50]",
                                         "> * 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ (52))\n> m4 OK\n"
                                         "> * 4 FETCH (UID 4 FLAGS () RFC822.SIZE 5 MODSEQ (60))\n"
                                         "> m5 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 ~1=1 +4 ", 52);
    client_end(&client);
}

static void qresync_recounts(void)
{
    Client client = {
        .scripts = {QRESYNC("3", "[HIGHESTMODSEQ 50]",
                            "> m4 OK\n> m5 OK\n"
                            "< m6 UID SEARCH RETURN (ALL) ALL\n"
                            "> * ESEARCH (TAG \"m6\") UID ALL 1,3,5\n> m6 OK\n"
                            "< m7 UID FETCH 5 " LISTING "\n" MESSAGE("5") "> m7 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    mail_uid_set_add(client.known, 4, 4);
    succeeds(&client, "opened7 present -2 -4 +5 ", 50);
    client_end(&client);
}

/* A server whose EXISTS never fits: asked once more, and not for ever. */
static void qresync_never_fits(void)
{
    Client client = {.scripts = {QRESYNC("9", "[HIGHESTMODSEQ 50]",
                                         "> m4 OK\n> m5 OK\n"
                                         "< m6 UID SEARCH RETURN (ALL) ALL\n"
                                         "> * ESEARCH (TAG \"m6\") UID ALL 1:3,8\n> m6 OK\n"
                                         "< m7 UID FETCH 8 " LISTING "\n> m7 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 present ", 50);
    client_end(&client);
}

static void huge_search(void)
{
    Client client = {.scripts = {QRESYNC("4294967295", "[HIGHESTMODSEQ 50]",
                                         "> m4 OK\n> m5 OK\n"
                                         "< m6 UID SEARCH RETURN (ALL) ALL\n"
                                         "> * ESEARCH (TAG \"m6\") UID ALL 1:4294967295\n"
                                         "> m6 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    fails(&client, "opened7 ");
    client_end(&client);
}

static void empty_search(void)
{
    Client client = {.scripts = {QRESYNC("2", "[HIGHESTMODSEQ 50]",
                                         "> m4 OK\n> m5 OK\n"
                                         "< m6 UID SEARCH RETURN (ALL) ALL\n"
                                         "> * ESEARCH (TAG \"m6\") UID\n> m6 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    fails(&client, "opened7 ");
    client_end(&client);
}

#define COMPARED(first, second)                                                                    \
    "< " first " UID FETCH 1:* (UID FLAGS)\n" NEWS(                                                \
        second, "4") "> * 1 FETCH (UID 1 FLAGS (\\Seen))\n> * 2 FETCH (UID 3 FLAGS ())\n> " first  \
                     " OK\n> " second " OK\n"

static void sequences_lost(void)
{
    Client client = {.scripts = {QRESYNC("2", "[NOMODSEQ]",
                                         "> m4 BAD no sequences\n> m5 OK\n" COMPARED("m6", "m7"))}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 ~1=1 ~3=0 present -2 ", 0);
    client_end(&client);
}

static void sequences_set_back(void)
{
    Client client = {
        .scripts = {QRESYNC("2", "[HIGHESTMODSEQ 9]", "> m4 OK\n> m5 OK\n" COMPARED("m6", "m7"))}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 ~1=1 ~3=0 present -2 ", 9);
    client_end(&client);
}

/* Made anew: what was asked, pipelined, was about another mailbox. */
static void uidvalidity_changed(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_QRESYNC SELECT("m3") CHANGES("m4", "40") NEWS(
            "m5", "4") "> * 1 EXISTS\n> * OK [UIDVALIDITY 8] x\n> * OK [NOMODSEQ] x\n> m3 OK\n"
                       "> * VANISHED (EARLIER) 1:9\n> * 1 FETCH (UID 1 FLAGS (\\Seen))\n"
                       "> m4 OK\n" MESSAGE("1") "> m5 OK\n"
                                                "< m6 UID FETCH 1:* " LISTING
                                                "\n" MESSAGE("1") "> m6 OK\n"}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened8 +1 present ", 0);
    client_end(&client);
}

static void uidvalidity_changed_and_refused(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_QRESYNC SELECT("m3") CHANGES("m4", "40") NEWS(
            "m5", "4") "> * 1 EXISTS\n> * OK [UIDVALIDITY 8] x\n> * OK [NOMODSEQ] x\n> m3 OK\n"
                       "> m4 BAD no\n> m5 OK\n< m6 UID FETCH 1:* " LISTING "\n> m6 BAD no\n"}};
    client_start(&client);
    knows(&client, 40);
    fails(&client, "opened8 ");
    client_end(&client);
}

/* ---- CONDSTORE, and nothing at all ---- */

static void condstore(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN(
            "CONDSTORE ESEARCH") "< m2 SELECT A (CONDSTORE)\n"
                                 "< m3 UID FETCH 1:* (UID FLAGS) (CHANGEDSINCE 40)\n"
                                 "< m4 UID SEARCH RETURN (ALL) ALL\n" NEWS("m5", "4") OPENED(
                                     "3", "[HIGHESTMODSEQ 50]") "> m2 OK\n"
                                                                "> * 1 FETCH (UID 1 FLAGS (\\Seen) "
                                                                "MODSEQ (49))\n> m3 OK\n"
                                                                "> * ESEARCH (TAG \"m4\") UID ALL "
                                                                "1:2,4\n> m4 OK\n" MESSAGE(
                                                                    "4") "> m5 OK\n"}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 ~1=1 +4 present -3 ", 50);
    client_end(&client);
}

static void plain(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN("") SELECT("m2") "< m3 UID FETCH 1:* (UID FLAGS)\n" NEWS(
            "m4", "4") "> * 2 EXISTS\n> * OK [UIDVALIDITY 7] x\n> m2 OK\n"
                       "> * 1 FETCH (UID 3 FLAGS ())\n> * 2 FETCH (UID 9 FLAGS ())\n"
                       "> m3 OK\n> m4 OK\n< m5 UID FETCH 9 " LISTING
                       "\n" MESSAGE("9") "> m5 OK\n"}};
    client_start(&client);
    knows(&client, 0);
    succeeds(&client, "opened7 ~3=0 present -1 -2 +9 ", 0);
    client_end(&client);
}

/* ---- the second time ---- */

static void quiet_second_time(void)
{
    Client client = {
        .scripts = {QRESYNC("3", "[HIGHESTMODSEQ 50]",
                            "> m4 OK\n> m5 OK\n< m6 NOOP\n> m6 OK\n"
                            "< m7 NOOP\n> * 3 EXPUNGE\n> m7 OK\n" CHANGES("m8", "50")
                                NEWS("m9", "4") "> * VANISHED (EARLIER) 3\n> m8 OK\n> m9 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 ", 50);
    client.want.modseq = 50;
    succeeds(&client, "opened7 ", 50);
    succeeds(&client, "opened7 -3 ", 50);
    g_assert_cmpuint(client.changes, ==, 1);
    client_end(&client);
}

/* What vanishes while new messages are listed is believed, and asked about again. */
static void vanishes_meanwhile(void)
{
    Client client = {
        .scripts = {QRESYNC("3", "[HIGHESTMODSEQ 50]",
                            "> m4 OK\n> * VANISHED 2\n> m5 OK\n< m6 NOOP\n> m6 OK\n" CHANGES(
                                "m7", "40") NEWS("m8", "4") "> m7 OK\n> m8 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 -2 ", 50);
    succeeds(&client, "opened7 ", 50);
    client_end(&client);
}

static void nothing(const GError *error, gpointer data)
{
}

static void no_folder(const RemoteFolder *folder, gpointer data)
{
}

static const RemoteListFuncs ignored = {no_folder, NULL, nothing};

/* Cancelled while the NOOP is on its way: nothing more of it is called. */
static void cancelled_before_noop(void)
{
    Client client = {.scripts = {QRESYNC("3", "[HIGHESTMODSEQ 50]",
                                         "> m4 OK\n> m5 OK\n< m6 NOOP\n< m7 LIST*\n> m6 OK\n"
                                         "> m7 OK\n")}};
    client_start(&client);
    knows(&client, 40);
    succeeds(&client, "opened7 ", 50);
    start_sync(&client);
    while (!client.told->len)
        g_main_context_iteration(NULL, TRUE);
    remote_cancel(client.remote, g_steal_pointer(&client.job));
    remote_list(client.remote, &ignored, NULL);
    transcript_settle();
    g_assert_false(client.over);
    client_end(&client);
}

/* The opening cancels a job that waits behind it. */
static void opening_cancels_others(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") SELECT("m2") OPENED(
                         "0", "") "> m2 OK\n"
                                  "< m3 UID STORE 1 *\n> m3 OK\n< m4 NOOP\n> m4 OK\n"
                                  "< m5 UID FETCH 1:* *\n> m5 OK\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(GArray) set = mail_uid_set_new();
    mail_uid_set_add(set, 1, 1);
    RemoteStore what = {.mailbox = "A", .uids = set, .add = MAIL_FLAG_SEEN};
    remote_store(client.remote, &what, nothing, NULL);
    transcript_settle();
    start_sync(&client);
    client.victim = remote_store(client.remote, &what, nothing, NULL);
    transcript_wait(&client.over);
    g_assert_no_error(client.error);
    g_assert_null(client.victim);
    client_end(&client);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sync/anew/order", anew);
    g_test_add_func("/sync/anew/empty", anew_empty);
    g_test_add_func("/sync/anew/empty-bad", anew_empty_bad);
    g_test_add_func("/sync/anew/without-date", anew_without_date);
    g_test_add_func("/sync/anew/without-uids", anew_without_uids);
    g_test_add_func("/sync/anew/refused", anew_refused);
    g_test_add_func("/sync/anew/lost", anew_lost);
    g_test_add_func("/sync/without-uidvalidity", without_uidvalidity);
    g_test_add_func("/sync/cancelled/within", cancelled_within);
    g_test_add_func("/sync/cancelled/noop", cancelled_before_noop);
    g_test_add_func("/sync/cancelled/by-opening", opening_cancels_others);
    g_test_add_func("/sync/qresync/changes", qresync);
    g_test_add_func("/sync/qresync/modseq", qresync_counts_changes_only);
    g_test_add_func("/sync/qresync/recounts", qresync_recounts);
    g_test_add_func("/sync/qresync/never-fits", qresync_never_fits);
    g_test_add_func("/sync/qresync/huge", huge_search);
    g_test_add_func("/sync/qresync/empty-search", empty_search);
    g_test_add_func("/sync/qresync/nomodseq", sequences_lost);
    g_test_add_func("/sync/qresync/set-back", sequences_set_back);
    g_test_add_func("/sync/uidvalidity/changed", uidvalidity_changed);
    g_test_add_func("/sync/uidvalidity/refused", uidvalidity_changed_and_refused);
    g_test_add_func("/sync/condstore", condstore);
    g_test_add_func("/sync/plain", plain);
    g_test_add_func("/sync/again/quiet", quiet_second_time);
    g_test_add_func("/sync/again/vanishes", vanishes_meanwhile);
    return g_test_run();
}
