/* Which connection does what, what becomes of a job when it breaks, and the operations of remote.h
 * but for sync. */
#include "imap-remote.h"
#include "transcript.h"

#include <string.h>

#define SELECTED "> * 9 EXISTS\n> * OK [UIDVALIDITY 7] x\n"

typedef struct {
    const char *scripts[5];
    Transcript *transcript;
    RemoteConfig config;
    Remote *remote;
    gint online, offline, over;
    GError *error; /* why it is offline */
    guint renewals;
    const char *renewed;
} Client;

/* One operation. */
typedef struct {
    Client *client;
    RemoteJob *job;
    gint over;
    GError *error;
    GString *told;
    gboolean cancel_at_begin, decline;
} Work;

static void on_state(RemoteState state, const GError *error, gpointer data)
{
    Client *client = data;
    client->online |= state == REMOTE_ONLINE;
    client->offline |= state == REMOTE_OFFLINE;
    g_clear_error(&client->error);
    client->error = error ? g_error_copy(error) : NULL;
}

static void on_changed(const char *mailbox, gpointer data)
{
}

static Secret *secret_of(const char *text)
{
    g_autofree char *copy = g_strdup(text);
    return text ? secret_new(copy, strlen(copy)) : NULL;
}

static gboolean answer_renewal(gpointer data)
{
    Client *client = data;
    remote_set_secret(client->remote, secret_of(client->renewed));
    return G_SOURCE_REMOVE;
}

static void on_renew(gpointer data)
{
    Client *client = data;
    client->renewals++;
    g_idle_add(answer_renewal, client);
}

static void client_start(Client *client)
{
    static const RemoteFuncs funcs = {on_state, on_changed, on_renew};
    client->transcript = transcript_new(client->scripts);
    RemoteConfig config = transcript_config(client->transcript);
    config.connections = MAX(1, client->config.connections);
    config.is_token = client->config.is_token;
    client->remote = imap_remote_new(&config, transcript_secret(), &funcs, client);
    remote_start(client->remote);
}

static void client_end(Client *client)
{
    remote_free(client->remote);
    transcript_end(client->transcript);
    g_clear_error(&client->error);
}

static void work_done(const GError *error, gpointer data)
{
    Work *work = data;
    g_assert_false(work->over);
    work->error = error ? g_error_copy(error) : NULL;
    work->over = TRUE;
}

static Work *work_new(Client *client)
{
    Work *work = g_new0(Work, 1);
    work->client = client;
    work->told = g_string_new(NULL);
    return work;
}

static void work_free(Work *work)
{
    g_clear_error(&work->error);
    g_string_free(work->told, TRUE);
    g_free(work);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Work, work_free)

static gboolean body_begin(MailUid uid, guint64 size, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "[%u:%" G_GUINT64_FORMAT " ", uid, size);
    if (work->cancel_at_begin)
        remote_cancel(work->client->remote, work->job);
    return !work->decline;
}

static void body_bytes(const guint8 *bytes, gsize size, gpointer data)
{
    Work *work = data;
    g_assert_false(work->cancel_at_begin);
    g_string_append_len(work->told, (const char *)bytes, (gssize)size);
}

static void body_end(MailUid uid, gpointer data)
{
    Work *work = data;
    g_assert_false(work->cancel_at_begin);
    g_string_append_printf(work->told, " %u]", uid);
}

static const RemoteFetchFuncs fetch_funcs = {body_begin, body_bytes, body_end, work_done};

static GArray *uids(MailUid first, MailUid last)
{
    GArray *set = mail_uid_set_new();
    mail_uid_set_add(set, first, last);
    return set;
}

static Work *fetch(Client *client, const char *mailbox, MailUid first, MailUid last)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(first, last);
    RemoteFetch what = {.mailbox = mailbox, .uidvalidity = 7, .uids = set};
    work->job = remote_fetch(client->remote, &what, &fetch_funcs, work);
    return work;
}

static Work *fetch_window(Client *client, guint64 offset, guint64 length)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(1, 1);
    RemoteFetch what = {.mailbox = "A", .uidvalidity = 7, .uids = set, .window = TRUE};
    what.offset = offset;
    what.length = length;
    work->job = remote_fetch(client->remote, &what, &fetch_funcs, work);
    return work;
}

typedef enum { STORE, COPY, MOVE, EXPUNGE } Kind;

static Work *change(Client *client, Kind kind)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(1, 2);
    RemoteStore what = {
        .mailbox = "A", .uidvalidity = 7, .uids = set, .add = MAIL_FLAG_SEEN, .remove = 0};
    Remote *remote = client->remote;
    work->job = kind == STORE  ? remote_store(remote, &what, work_done, work)
                : kind == COPY ? remote_copy(remote, &what, "T", work_done, work)
                : kind == MOVE ? remote_move(remote, &what, "T", work_done, work)
                               : remote_expunge(remote, &what, work_done, work);
    return work;
}

static void folder_seen(const RemoteFolder *folder, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "%s ", folder->name);
}

static void folder_counted(const char *mailbox, guint64 messages, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "%s=%" G_GUINT64_FORMAT " ", mailbox, messages);
}

static Work *list(Client *client, gboolean counts)
{
    static const RemoteListFuncs plain = {folder_seen, NULL, work_done};
    static const RemoteListFuncs counting = {folder_seen, folder_counted, work_done};
    Work *work = work_new(client);
    work->job = remote_list(client->remote, counts ? &counting : &plain, work);
    return work;
}

static void succeeds(Work *work, const char *told)
{
    transcript_wait(&work->over);
    g_assert_no_error(work->error);
    g_assert_cmpstr(work->told->str, ==, told);
}

static void fails(Work *work, MailError code)
{
    transcript_wait(&work->over);
    g_assert_error(work->error, MAIL_ERROR, (gint)code);
}

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
    g_autoptr(Work) work = fetch(&client, "A", 1, 3);
    succeeds(work, "[2:3 two 2][0:3 one 1][3:5 three 3]");
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
    g_autoptr(Work) one = fetch(&client, "A", 1, 1);
    g_autoptr(Work) two = fetch(&client, "A", 2, 2);
    succeeds(one, "[0:3 two 0][0:3 one 1]");
    succeeds(two, "[0:3 two 2]");
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
    g_autoptr(Work) store = change(&client, STORE);
    g_autoptr(Work) bodies = fetch(&client, "A", 1, 2);
    succeeds(store, "");
    succeeds(bodies, "[1:1 x 1][2:1 y 2]");
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
    g_autoptr(Work) one = fetch(&client, "A", 1, 2);
    g_autoptr(Work) two = fetch(&client, "A", 1, 2);
    one->decline = TRUE;
    succeeds(one, "[1:1 [0:1 ");
    succeeds(two, "[1:1 x 1][0:1 y 2]");
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
    g_autoptr(Work) one = fetch(&client, "A", 1, 2);
    g_autoptr(Work) two = fetch(&client, "A", 2, 2);
    one->cancel_at_begin = TRUE;
    succeeds(two, "[2:1 y 2]");
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
    g_autoptr(Work) work = fetch_window(&client, 4, 2);
    fails(work, MAIL_ERROR_PROTOCOL);
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
    g_autoptr(Work) work = fetch(&client, "A", 1, 2);
    fails(work, MAIL_ERROR_PROTOCOL);
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
    g_autoptr(Work) work = fetch(&client, "A", 1, 1);
    fails(work, MAIL_ERROR_GONE);
    g_autoptr(Work) next = fetch(&client, "B", 1, 1);
    succeeds(next, "");
    client_end(&client);
}

static void stale(void)
{
    Client client = {
        .scripts = {TRANSCRIPT_LOGIN("MOVE") "< m2 SELECT A\n> * OK [UIDVALIDITY 8] x\n"
                                             "> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) one = change(&client, STORE);
    g_autoptr(Work) two = change(&client, MOVE);
    fails(one, MAIL_ERROR_STALE);
    fails(two, MAIL_ERROR_STALE);
    client_end(&client);
}

static void without_uidvalidity(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, STORE);
    fails(work, MAIL_ERROR_PROTOCOL);
    client_end(&client);
}

/* ---- changes ---- */

static void expunges_with_uidplus(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("UIDPLUS") "< m2 SELECT A\n" SELECTED "> m2 OK\n"
                                                             "< m3 UID EXPUNGE 1:2\n> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, EXPUNGE);
    succeeds(work, "");
    client_end(&client);
}

static void expunges_only_ours(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED "> m2 OK\n"
                                                      "< m3 UID SEARCH DELETED\n> * SEARCH 2 1\n"
                                                      "> m3 OK\n< m4 EXPUNGE\n> m4 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, EXPUNGE);
    succeeds(work, "");
    client_end(&client);
}

static void expunges_not_others(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED "> m2 OK\n"
                                                      "< m3 UID SEARCH DELETED\n> * SEARCH 1 2 9\n"
                                                      "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, EXPUNGE);
    fails(work, MAIL_ERROR_UNSUPPORTED);
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
    g_autoptr(Work) work = change(&client, EXPUNGE);
    g_autoptr(Work) listing = list(&client, FALSE);
    succeeds(listing, "INBOX ");
    remote_cancel(client.remote, work->job);
    g_autoptr(Work) again = list(&client, FALSE);
    succeeds(again, "INBOX ");
    g_assert_false(work->over);
    client_end(&client);
}

static void move_unsupported(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n" SELECTED "> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, MOVE);
    fails(work, MAIL_ERROR_UNSUPPORTED);
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
    g_autoptr(Work) work = list(&client, TRUE);
    succeeds(work, "INBOX B C d INBOX=5 ");
    client_end(&client);
}

static void list_refused(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 LIST *\n> * LIST () \"/\" A\n"
                                                      "> m2 NO [UNAVAILABLE] later\n"}};
    client_start(&client);
    g_autoptr(Work) work = list(&client, TRUE);
    fails(work, MAIL_ERROR_OFFLINE);
    client_end(&client);
}

/* ---- losing connections ---- */

#define COPYING                                                                                    \
    TRANSCRIPT_LOGIN("UIDPLUS")                                                                    \
    "< m2 SELECT A\n" SELECTED "> m2 OK\n"                                                         \
    "< m3 UID COPY 1:2 T\n"

static void copies_once(void)
{
    Client client = {.scripts = {COPYING ".\n", TRANSCRIPT_LOGIN("")}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, COPY);
    fails(work, MAIL_ERROR_OFFLINE);
    transcript_settle();
    client_end(&client);
}

static void copies_later_when_nothing_was_sent(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n.\n", COPYING "> m3 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = change(&client, COPY);
    succeeds(work, "");
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
    g_autoptr(Work) work = fetch(&client, "A", 1, 2);
    succeeds(work, "[1:1 x 1][2:1 y 2]");
    client_end(&client);
}

static void cancelled_and_lost(void)
{
    Client client = {.scripts = {LOST_FETCH ".\n", TRANSCRIPT_LOGIN("") "< m2 LIST*\n> m2 OK\n"}};
    client_start(&client);
    g_autoptr(Work) work = fetch(&client, "A", 1, 2);
    work->cancel_at_begin = TRUE;
    transcript_settle();
    g_autoptr(Work) listing = list(&client, FALSE);
    succeeds(listing, "INBOX ");
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
    g_autoptr(Work) work = list(&client, FALSE);
    fails(work, MAIL_ERROR_OFFLINE);
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
    g_autoptr(Work) one = fetch(&client, "A", 1, 1);
    g_autoptr(Work) other = fetch(&client, "B", 1, 1);
    g_autoptr(Work) two = fetch(&client, "A", 2, 2);
    succeeds(one, "");
    succeeds(two, "");
    succeeds(other, "");
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
    g_autoptr(Work) one = fetch(&client, "A", 1, 1);
    g_autoptr(Work) other = fetch(&client, "B", 1, 1);
    transcript_settle();
    remote_cancel(client.remote, other->job);
    g_autoptr(Work) two = fetch(&client, "A", 2, 2);
    succeeds(two, "");
    succeeds(one, "");
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
    g_autoptr(Work) running = fetch(&client, "A", 1, 1);
    g_autoptr(Work) waiting = fetch(&client, "B", 1, 1);
    transcript_settle();
    remote_stop(client.remote);
    g_assert_false(running->over);
    fails(running, MAIL_ERROR_OFFLINE);
    fails(waiting, MAIL_ERROR_OFFLINE);
    g_autoptr(Work) late = list(&client, FALSE);
    fails(late, MAIL_ERROR_OFFLINE);
    g_assert_cmpint(remote_state(client.remote), ==, REMOTE_IDLE);
    client_end(&client);
}

static void freed_everywhere(void)
{
    Client client = {.scripts = {TRANSCRIPT_LOGIN("") "< m2 SELECT A\n< m3 UID FETCH 1 *\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) running = fetch(&client, "A", 1, 1);
    g_autoptr(Work) waiting = fetch(&client, "B", 1, 1);
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
    g_autoptr(Work) work = list(&client, FALSE);
    fails(work, MAIL_ERROR_AUTH);
    g_autoptr(Work) again = list(&client, FALSE);
    fails(again, MAIL_ERROR_AUTH);
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
    g_autoptr(Work) work = list(&client, FALSE);
    succeeds(work, "INBOX ");
    g_assert_cmpuint(client.renewals, ==, 1);
    client_end(&client);
}

static void token_not_renewed(void)
{
    Client client = {.config.is_token = TRUE, .scripts = {TOKEN_LOGIN("NO expired")}};
    client_start(&client);
    g_autoptr(Work) work = list(&client, FALSE);
    fails(work, MAIL_ERROR_AUTH);
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
    g_autoptr(Work) work = list(&client, FALSE);
    fails(work, MAIL_ERROR_AUTH);
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
    g_autoptr(Work) one = fetch(&client, "A", 1, 1);
    g_autoptr(Work) other = fetch(&client, "B", 1, 1);
    succeeds(other, "");
    g_assert_cmpuint(client.renewals, ==, 1);
    client_end(&client);
    g_assert_false(one->over);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
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
    g_test_add_func("/remote/list/refused", list_refused);
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
