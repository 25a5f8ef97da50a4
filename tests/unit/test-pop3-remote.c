/* A POP3 maildrop as a Remote, against servers that play a part. */
#include "pop3-remote.h"
#include "transcript.h"

#include <string.h>

#define GREETING "> +OK\n"
#define NO_CAPA "< CAPA\n> -ERR what\n"
#define CAPA "< CAPA\n> +OK list\n> TOP\n> UIDL\n> PIPELINING\n> .\n"
#define SLOW_CAPA "< CAPA\n> +OK list\n> TOP\n> UIDL\n> .\n"
#define USER_PASS "< USER u\n> +OK\n< PASS p\n> +OK\n"
#define LOGIN GREETING CAPA USER_PASS CAPA
#define TWO_MESSAGES "< LIST\n< UIDL\n> +OK\n> 1 10\n> 2 20\n> .\n> +OK\n> 1 aa\n> 2 bb\n> .\n"
#define HEADER(from) "> +OK\n> From: " from "\n> \n> .\n"

typedef struct {
    const char *scripts[6];
    RemoteConfig config;
    Transcript *transcript;
    Remote *remote;
    GPtrArray *names;    /* of char*: the uid of names[i] is i + 1 */
    gboolean disk_fails; /* names cannot be kept */
    GHashTable *known;   /* uids that the next sync finds known */
    guint renewals;      /* how often another token was asked for */
    gint online, offline;
    GError *error;
} Client;

typedef struct {
    Client *client;
    RemoteJob *job;
    GString *told;
    gint over;
    GError *error;
} Work;

/* ---- the client ---- */

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

static gboolean on_identify(const char *const *names, guint count, MailUid *uids, gpointer data,
                            GError **error)
{
    Client *client = data;
    if (client->disk_fails) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_DISK, "full");
        return FALSE;
    }
    for (guint i = 0; i < count; i++) {
        guint at;
        if (!g_ptr_array_find_with_equal_func(client->names, names[i], g_str_equal, &at)) {
            at = client->names->len;
            g_ptr_array_add(client->names, g_strdup(names[i]));
        }
        uids[i] = at + 1;
    }
    return TRUE;
}

static gboolean answer_renewal(gpointer data)
{
    Client *client = data;
    remote_set_secret(client->remote, transcript_secret());
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
    static const RemoteFuncs funcs = {
        .state = on_state, .changed = on_changed, .identify = on_identify, .renew = on_renew};
    client->transcript = transcript_new(client->scripts);
    RemoteConfig config = transcript_config(client->transcript);
    config.service = "pop";
    config.auth = client->config.auth;
    config.idle = client->config.idle;
    config.is_token = client->config.is_token;
    client->names = g_ptr_array_new_with_free_func(g_free);
    client->known = g_hash_table_new(NULL, NULL);
    client->remote = pop3_remote_new(&config, transcript_secret(), &funcs, client);
    remote_start(client->remote);
}

static void client_end(Client *client)
{
    remote_free(client->remote);
    transcript_end(client->transcript);
    g_ptr_array_unref(client->names);
    g_hash_table_unref(client->known);
    g_clear_error(&client->error);
}

/* ---- work ---- */

static void work_free(Work *work)
{
    g_clear_error(&work->error);
    g_string_free(work->told, TRUE);
    g_free(work);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Work, work_free)

static Work *work_new(Client *client)
{
    Work *work = g_new0(Work, 1);
    work->client = client;
    work->told = g_string_new(NULL);
    return work;
}

static void work_done(const GError *error, gpointer data)
{
    Work *work = data;
    g_assert_false(work->over);
    work->error = error ? g_error_copy(error) : NULL;
    work->over = TRUE;
}

static void work_succeeds(Work *work, const char *told)
{
    transcript_wait(&work->over);
    g_assert_no_error(work->error);
    g_assert_cmpstr(work->told->str, ==, told);
}

static void work_fails(Work *work, MailError code)
{
    transcript_wait(&work->over);
    g_assert_error(work->error, MAIL_ERROR, (gint)code);
}

static void sync_opened(const RemoteMailbox *info, gpointer data)
{
    Work *work = data;
    g_assert_cmpuint(info->uidvalidity, ==, POP3_UIDVALIDITY);
    g_string_append_printf(work->told, "opened %" G_GUINT64_FORMAT "\n", info->exists);
}

static gboolean sync_has(MailUid uid, gpointer data)
{
    Work *work = data;
    return g_hash_table_contains(work->client->known, GUINT_TO_POINTER(uid));
}

static void sync_message(const RemoteMessage *message, gpointer data)
{
    Work *work = data;
    g_autofree char *from =
        message->header ? mail_header_field(message->header, message->header_size, "From", 100)
                        : NULL;
    g_assert_true(message->date == REMOTE_DATE_UNKNOWN);
    g_string_append_printf(work->told, "%u %" G_GUINT64_FORMAT " %s\n", message->uid, message->size,
                           from ? from : "-");
}

static void sync_present(const GArray *uids, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, "present %" G_GUINT64_FORMAT "\n", mail_uid_set_count(uids));
}

static void sync_done(const GError *error, MailModSeq modseq, gpointer data)
{
    work_done(error, data);
}

static Work *client_sync(Client *client)
{
    static const RemoteSyncFuncs funcs = {.opened = sync_opened,
                                          .has = sync_has,
                                          .message = sync_message,
                                          .present = sync_present,
                                          .done = sync_done};
    Work *work = work_new(client);
    RemoteSync known = {.mailbox = POP3_MAILBOX, .headers = TRUE};
    work->job = remote_sync(client->remote, &known, &funcs, work);
    return work;
}

static gboolean body_begin(MailUid uid, guint64 size, gpointer data)
{
    Work *work = data;
    g_assert_true(size == REMOTE_SIZE_UNKNOWN);
    g_string_append_printf(work->told, "[%u ", uid);
    return TRUE;
}

static void body_bytes(const guint8 *bytes, gsize size, gpointer data)
{
    Work *work = data;
    g_string_append_len(work->told, (const char *)bytes, (gssize)size);
}

static void body_end(MailUid uid, gpointer data)
{
    Work *work = data;
    g_string_append_printf(work->told, " %u]", uid);
}

static GArray *uids(MailUid first, MailUid last)
{
    GArray *set = mail_uid_set_new();
    mail_uid_set_add(set, first, last);
    return set;
}

static Work *client_fetch(Client *client, MailUid first, MailUid last, gboolean window)
{
    static const RemoteFetchFuncs funcs = {body_begin, body_bytes, body_end, work_done};
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(first, last);
    RemoteFetch what = {.mailbox = POP3_MAILBOX,
                        .uidvalidity = POP3_UIDVALIDITY,
                        .uids = set,
                        .window = window,
                        .length = 10};
    work->job = remote_fetch(client->remote, &what, &funcs, work);
    return work;
}

static Work *client_remove(Client *client, MailUid first, MailUid last)
{
    Work *work = work_new(client);
    g_autoptr(GArray) set = uids(first, last);
    RemoteStore what = {.mailbox = POP3_MAILBOX, .uidvalidity = POP3_UIDVALIDITY, .uids = set};
    work->job = remote_expunge(client->remote, &what, work_done, work);
    return work;
}

/* ---- login ---- */

static void login_works(const char *script, const char *auth)
{
    Client client = {.scripts = {script}, .config = {.auth = auth}};
    client_start(&client);
    transcript_wait(&client.online);
    client_end(&client);
}

static void test_login(void)
{
    login_works(LOGIN, NULL);
    login_works(GREETING NO_CAPA USER_PASS, NULL);
    login_works(GREETING "< CAPA\n> +OK\n> SASL PLAIN\n> .\n"
                         "< AUTH PLAIN AHUAcA==\n> +OK\n" CAPA,
                NULL);
    /* RFC 1939's example of a timestamp; MD5 of it and "p". */
    login_works("> +OK POP3 <1896.697170952@dbc.mtview.ca.us>\n" NO_CAPA
                "< APOP u da877f1f3b959005495feb445132c6fc\n> +OK\n",
                "APOP");
    login_works(GREETING "< CAPA\n> +OK\n> SASL CRAM-MD5\n> .\n"
                         "< AUTH CRAM-MD5\n> + PDFAeD4=\n< *\n> +OK\n" CAPA,
                NULL);
}

static void login_fails(const char *script, const char *auth, MailError code)
{
    Client client = {.scripts = {script}, .config = {.auth = auth}};
    client_start(&client);
    transcript_wait(&client.offline);
    g_assert_error(client.error, MAIL_ERROR, (gint)code);
    client_end(&client);
}

static void test_refused_login(void)
{
    login_fails(GREETING NO_CAPA "< USER u\n> +OK\n< PASS p\n> -ERR wrong\n", NULL,
                MAIL_ERROR_AUTH);
    login_fails(GREETING NO_CAPA "< USER u\n> +OK\n< PASS p\n> -ERR [SYS/TEMP] later\n", NULL,
                MAIL_ERROR_OFFLINE);
    login_fails(GREETING NO_CAPA "< USER u\n> -ERR [LOGIN-DELAY] too soon\n", NULL,
                MAIL_ERROR_OFFLINE);
    /* A server that has a word for wrong passwords, and does not say it. */
    login_fails(GREETING "< CAPA\n> +OK\n> AUTH-RESP-CODE\n> .\n"
                         "< USER u\n> +OK\n< PASS p\n> -ERR busy\n",
                NULL, MAIL_ERROR_OFFLINE);
    login_fails(GREETING NO_CAPA, "APOP", MAIL_ERROR_AUTH);
    login_fails("> -ERR too many\n", NULL, MAIL_ERROR_OFFLINE);
    login_fails("> * OK this is IMAP\n", NULL, MAIL_ERROR_PROTOCOL);
}

/* ---- listing ---- */

static void test_sync(void)
{
    Client client = {
        .scripts = {LOGIN TWO_MESSAGES "< TOP 1 0\n< TOP 2 0\n" HEADER("a") HEADER("b")}};
    client_start(&client);
    g_autoptr(Work) sync = client_sync(&client);
    work_succeeds(sync, "opened 2\n1 10 a\n2 20 b\npresent 2\n");
    g_assert_cmpstr(client.names->pdata[0], ==, "uidl:aa");
    client_end(&client);
}

static void test_sync_of_known(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< TOP 2 0\n" HEADER("b")}};
    client_start(&client);
    g_hash_table_add(client.known, GUINT_TO_POINTER(1));
    g_autoptr(Work) sync = client_sync(&client);
    work_succeeds(sync, "opened 2\n2 20 b\npresent 2\n");
    client_end(&client);
}

/* A server that cannot TOP: the messages are there, without a name. */
static void test_sync_without_top(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< TOP 1 0\n< TOP 2 0\n> -ERR\n> -ERR\n"}};
    client_start(&client);
    g_autoptr(Work) sync = client_sync(&client);
    work_succeeds(sync, "opened 2\n1 10 -\n2 20 -\npresent 2\n");
    client_end(&client);
}

/* A maildrop does not show what arrives while it is open: each sync has a session of its own. */
static void test_sync_again(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< TOP 1 0\n< TOP 2 0\n" HEADER("a")
                                     HEADER("b") "< QUIT\n> +OK\n",
                                 LOGIN "< LIST\n< UIDL\n> +OK\n> 1 20\n> 2 30\n> .\n"
                                       "> +OK\n> 1 bb\n> 2 cc\n> .\n< TOP 2 0\n" HEADER("c")}};
    client_start(&client);
    g_autoptr(Work) first = client_sync(&client);
    work_succeeds(first, "opened 2\n1 10 a\n2 20 b\npresent 2\n");
    g_hash_table_add(client.known, GUINT_TO_POINTER(1));
    g_hash_table_add(client.known, GUINT_TO_POINTER(2));
    g_autoptr(Work) second = client_sync(&client);
    work_succeeds(second, "opened 2\n3 30 c\npresent 2\n");
    client_end(&client);
}

static void test_lock_step(void)
{
    Client client = {.scripts = {GREETING SLOW_CAPA USER_PASS SLOW_CAPA
                                 "< LIST\n> +OK\n> 1 10\n> .\n< UIDL\n> +OK\n> 1 aa\n> .\n"
                                 "< TOP 1 0\n" HEADER("a")}};
    client_start(&client);
    g_autoptr(Work) sync = client_sync(&client);
    work_succeeds(sync, "opened 1\n1 10 a\npresent 1\n");
    client_end(&client);
}

static void test_list_refused(void)
{
    Client client = {.scripts = {LOGIN "< LIST\n< UIDL\n> -ERR [SYS/TEMP] no\n> +OK\n> .\n"
                                       "< QUIT\n> +OK\n"}};
    client_start(&client);
    g_autoptr(Work) sync = client_sync(&client);
    work_fails(sync, MAIL_ERROR_OFFLINE);
    transcript_settle();
    client_end(&client);
}

static void test_disk_full(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< QUIT\n> +OK\n"}};
    client_start(&client);
    client.disk_fails = TRUE;
    g_autoptr(Work) sync = client_sync(&client);
    work_fails(sync, MAIL_ERROR_DISK);
    transcript_settle();
    client_end(&client);
}

/* ---- which message is which ---- */

static void test_without_uidl(void)
{
    Client client = {.scripts = {LOGIN "< LIST\n< UIDL\n> +OK\n> 1 10\n> 2 20\n> .\n> -ERR\n"
                                       "< TOP 1 0\n< TOP 2 0\n" HEADER("a")
                                           HEADER("b") "< TOP 1 0\n< TOP 2 0\n" HEADER("a")
                                               HEADER("b") "< QUIT\n> +OK\n",
                                 /* Another order, and fields that change while it lies there. */
                                 LOGIN "< LIST\n< UIDL\n> +OK\n> 1 20\n> 2 10\n> .\n> -ERR\n"
                                       "< TOP 1 0\n< TOP 2 0\n> +OK\n> Status: RO\n>  x\n"
                                       "> From: b\n> \n> .\n" HEADER("a")}};
    client_start(&client);
    g_autoptr(Work) first = client_sync(&client);
    work_succeeds(first, "opened 2\n1 10 a\n2 20 b\npresent 2\n");
    g_hash_table_add(client.known, GUINT_TO_POINTER(1));
    g_hash_table_add(client.known, GUINT_TO_POINTER(2));
    g_autoptr(Work) second = client_sync(&client);
    work_succeeds(second, "opened 2\npresent 2\n");
    g_assert_cmpuint(client.names->len, ==, 2);
    client_end(&client);
}

/* The third has a UIDL of its own; the first two share one; the others have none. */
static void test_odd_uidls(void)
{
    Client client = {.scripts = {LOGIN
                                 "< LIST\n< UIDL\n> +OK\n> 1 1\n> 2 2\n> 3 3\n> 4 4\n> 5 5\n> .\n"
                                 "> +OK\n> 1 same\n> 2 same\n> 3 a/b\n> 4 \n> .\n"
                                 "< TOP 1 0\n< TOP 2 0\n< TOP 4 0\n< TOP 5 0\n" HEADER("a")
                                     HEADER("b") HEADER("d") HEADER("e")}};
    client_start(&client);
    for (guint uid = 1; uid <= 5; uid++)
        g_hash_table_add(client.known, GUINT_TO_POINTER(uid));
    g_autoptr(Work) sync = client_sync(&client);
    work_succeeds(sync, "opened 5\npresent 5\n");
    g_assert_cmpuint(client.names->len, ==, 5);
    g_assert_cmpstr(client.names->pdata[2], ==, "uidl:a/b");
    client_end(&client);
}

/* Two that nothing tells apart are both shown, and neither is removed. */
static void test_alike(void)
{
    Client client = {.scripts = {LOGIN "< LIST\n< UIDL\n> +OK\n> 1 9\n> 2 9\n> .\n> -ERR\n"
                                       "< TOP 1 0\n< TOP 2 0\n" HEADER("a") HEADER("a")}};
    client_start(&client);
    g_autoptr(Work) removal = client_remove(&client, 1, 1);
    work_fails(removal, MAIL_ERROR_REFUSED);
    g_assert_cmpuint(client.names->len, ==, 2);
    client_end(&client);
}

static void test_long_uidl(void)
{
    g_autoptr(GString) script =
        g_string_new(LOGIN "< LIST\n< UIDL\n> +OK\n> 1 9\n> .\n> +OK\n> 1 ");
    for (guint i = 0; i < 5000; i++)
        g_string_append_c(script, 'u');
    g_string_append(script, "\n> .\n");
    Client client = {.scripts = {script->str}};
    client_start(&client);
    g_hash_table_add(client.known, GUINT_TO_POINTER(1));
    g_autoptr(Work) sync = client_sync(&client);
    work_succeeds(sync, "opened 1\npresent 1\n");
    g_assert_cmpuint(strlen(client.names->pdata[0]), ==, strlen("uidl:") + 64);
    client_end(&client);
}

static void test_nothing_to_go_by(void)
{
    Client client = {.scripts = {LOGIN "< LIST\n< UIDL\n> +OK\n> 1 9\n> .\n> -ERR\n"
                                       "< TOP 1 0\n> -ERR\n< QUIT\n> +OK\n"}};
    client_start(&client);
    g_autoptr(Work) sync = client_sync(&client);
    work_fails(sync, MAIL_ERROR_UNSUPPORTED);
    transcript_settle();
    client_end(&client);
}

/* ---- fetching ---- */

static void test_fetch(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES
                                 "< RETR 1\n< RETR 2\n> +OK\n> one\n> ..\n> .\n> +OK\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 9, FALSE);
    work_succeeds(fetch, "[1 one\r\n.\r\n 1][2  2]");
    client_end(&client);
}

static void test_fetch_refused(void)
{
    Client client = {
        .scripts = {LOGIN TWO_MESSAGES "< RETR 1\n< RETR 2\n> -ERR no\n> +OK\n> two\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) window = client_fetch(&client, 1, 1, TRUE);
    work_fails(window, MAIL_ERROR_UNSUPPORTED);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 2, FALSE);
    work_fails(fetch, MAIL_ERROR_REFUSED);
    g_assert_cmpstr(fetch->told->str, ==, "[2 two\r\n 2]");
    client_end(&client);
}

/* A connection that breaks within a message: it comes again from its start, the others do not. */
static void test_fetch_broken(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES
                                 "< RETR 1\n< RETR 2\n> +OK\n> one\n> .\n> +OK\n> tw\n.\n",
                                 LOGIN TWO_MESSAGES "< RETR 2\n> +OK\n> two\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 2, FALSE);
    work_succeeds(fetch, "[1 one\r\n 1][2 tw\r\n[2 two\r\n 2]");
    client_end(&client);
}

/* ---- removing ---- */

static void test_remove(void)
{
    Client client = {
        .scripts = {LOGIN TWO_MESSAGES "< DELE 1\n< DELE 2\n> +OK\n> +OK\n< QUIT\n> +OK\n"}};
    client_start(&client);
    g_autoptr(Work) removal = client_remove(&client, 1, 9);
    work_succeeds(removal, "");
    client_end(&client);
}

/* Without an answer to QUIT it is said again, in a session that numbers anew. */
static void test_remove_broken(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< DELE 2\n> +OK\n< QUIT\n.\n",
                                 LOGIN "< LIST\n< UIDL\n> +OK\n> 1 20\n> .\n> +OK\n> 1 bb\n> .\n"
                                       "< DELE 1\n> +OK\n< QUIT\n> +OK\n"}};
    client_start(&client);
    client.names->len = 0;
    g_ptr_array_add(client.names, g_strdup("uidl:aa"));
    g_ptr_array_add(client.names, g_strdup("uidl:bb"));
    g_autoptr(Work) removal = client_remove(&client, 2, 2);
    work_succeeds(removal, "");
    client_end(&client);
}

/* ... and when it is gone by then, it was done. */
static void test_remove_was_done(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< DELE 1\n> +OK\n< QUIT\n.\n",
                                 LOGIN "< LIST\n< UIDL\n> +OK\n> 1 20\n> .\n> +OK\n> 1 bb\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) removal = client_remove(&client, 1, 1);
    work_succeeds(removal, "");
    client_end(&client);
}

static void test_quit_refused(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES
                                 "< DELE 1\n> +OK\n< QUIT\n> -ERR some not removed\n",
                                 LOGIN TWO_MESSAGES "< DELE 1\n> +OK\n< QUIT\n> +OK\n"}};
    client_start(&client);
    g_autoptr(Work) removal = client_remove(&client, 1, 1);
    work_succeeds(removal, "");
    client_end(&client);
}

static void test_remove_refused(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< DELE 1\n> -ERR no\n"}};
    client_start(&client);
    g_autoptr(Work) removal = client_remove(&client, 1, 1);
    work_fails(removal, MAIL_ERROR_REFUSED);
    client_end(&client);
}

/* That the maildrop cannot be opened now is no refusal. */
static void test_remove_later(void)
{
    Client client = {.scripts = {LOGIN "< LIST\n< UIDL\n> -ERR no\n> -ERR no\n< QUIT\n> +OK\n"}};
    client_start(&client);
    g_autoptr(Work) removal = client_remove(&client, 1, 1);
    work_fails(removal, MAIL_ERROR_OFFLINE);
    transcript_settle();
    client_end(&client);
}

static void test_unsupported(void)
{
    Client client = {.scripts = {LOGIN}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) store = work_new(&client);
    g_autoptr(GArray) set = uids(1, 1);
    RemoteStore what = {.mailbox = POP3_MAILBOX, .uids = set, .add = MAIL_FLAG_SEEN};
    remote_store(client.remote, &what, work_done, store);
    work_fails(store, MAIL_ERROR_UNSUPPORTED);
    client_end(&client);
}

/* ---- sessions ---- */

/* Our own session of before may still hold the maildrop: that passes. */
static void test_in_use(void)
{
    Client client = {.scripts = {GREETING NO_CAPA
                                 "< USER u\n> +OK\n< PASS p\n> -ERR [IN-USE] locked\n",
                                 LOGIN TWO_MESSAGES "< RETR 1\n> +OK\n> one\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 1, FALSE);
    work_succeeds(fetch, "[1 one\r\n 1]");
    g_assert_false(client.offline);
    client_end(&client);
}

#define TOKEN_LOGIN(answer)                                                                        \
    GREETING "< CAPA\n> +OK\n> SASL XOAUTH2\n> .\n< AUTH XOAUTH2\n> + \n< *\n> " answer "\n"

/* A token that has expired is renewed once; the job waits for that. */
static void test_token_renewed(void)
{
    Client client = {.config.is_token = TRUE,
                     .scripts = {TOKEN_LOGIN("-ERR expired"), TOKEN_LOGIN("+OK") CAPA TWO_MESSAGES
                                 "< RETR 1\n> +OK\n> one\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 1, FALSE);
    work_succeeds(fetch, "[1 one\r\n 1]");
    g_assert_cmpuint(client.renewals, ==, 1);
    g_assert_false(client.offline);
    client_end(&client);
}

static void test_token_refused_twice(void)
{
    Client client = {.config.is_token = TRUE,
                     .scripts = {TOKEN_LOGIN("-ERR expired"), TOKEN_LOGIN("-ERR that one, too")}};
    client_start(&client);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 1, FALSE);
    work_fails(fetch, MAIL_ERROR_AUTH);
    g_assert_cmpuint(client.renewals, ==, 1);
    client_end(&client);
}

static void test_login_delay(void)
{
    Client client = {.scripts = {GREETING "< CAPA\n> +OK\n> LOGIN-DELAY 900\n> .\n" USER_PASS
                                          "< CAPA\n> +OK\n> LOGIN-DELAY 900\n> .\n"
                                          "< LIST\n> +OK\n> .\n< UIDL\n> +OK\n> .\n"
                                          "< QUIT\n> +OK\n"}};
    client_start(&client);
    g_autoptr(Work) first = client_sync(&client);
    work_succeeds(first, "opened 0\npresent 0\n");
    g_autoptr(Work) second = client_sync(&client);
    work_fails(second, MAIL_ERROR_OFFLINE);
    g_assert_cmpint(remote_state(client.remote), ==, REMOTE_ONLINE);
    g_assert_cmpuint(transcript_connections(client.transcript), ==, 1);
    client_end(&client);
}

static void test_idle(void)
{
    Client client = {.scripts = {LOGIN "< QUIT\n> +OK\n", LOGIN TWO_MESSAGES "< RETR 2\n"
                                                                             "> +OK\n> two\n> .\n"},
                     .config = {.idle = 1}};
    client_start(&client);
    transcript_wait(&client.online);
    while (transcript_connections(client.transcript) < 2) {
        g_autoptr(GString) text = g_string_new(NULL);
        remote_describe(client.remote, text);
        if (!strstr(text->str, "session: none\n")) {
            g_main_context_iteration(NULL, TRUE);
            continue;
        }
        g_autoptr(Work) fetch = client_fetch(&client, 2, 2, FALSE);
        work_succeeds(fetch, "[2 two\r\n 2]");
    }
    client_end(&client);
}

static void test_cancel(void)
{
    Client client = {.scripts = {LOGIN TWO_MESSAGES "< RETR 1\n> +OK\n> one\n> .\n< RETR 2\n"
                                                    "> +OK\n> two\n> .\n"}};
    client_start(&client);
    g_autoptr(Work) first = client_fetch(&client, 1, 1, FALSE);
    work_succeeds(first, "[1 one\r\n 1]");
    g_autoptr(Work) cancelled = client_fetch(&client, 1, 1, FALSE);
    remote_cancel(client.remote, cancelled->job);
    g_autoptr(Work) second = client_fetch(&client, 2, 2, FALSE);
    work_succeeds(second, "[2 two\r\n 2]");
    g_assert_false(cancelled->over);
    client_end(&client);
}

static void test_stop(void)
{
    Client client = {.scripts = {LOGIN "< LIST\n< UIDL\n"}};
    client_start(&client);
    transcript_wait(&client.online);
    g_autoptr(Work) fetch = client_fetch(&client, 1, 1, FALSE);
    transcript_settle();
    remote_stop(client.remote);
    work_fails(fetch, MAIL_ERROR_OFFLINE);
    client_end(&client);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pop3-remote/login", test_login);
    g_test_add_func("/pop3-remote/login/refused", test_refused_login);
    g_test_add_func("/pop3-remote/sync", test_sync);
    g_test_add_func("/pop3-remote/sync/known", test_sync_of_known);
    g_test_add_func("/pop3-remote/sync/without-top", test_sync_without_top);
    g_test_add_func("/pop3-remote/sync/again", test_sync_again);
    g_test_add_func("/pop3-remote/sync/lock-step", test_lock_step);
    g_test_add_func("/pop3-remote/sync/refused", test_list_refused);
    g_test_add_func("/pop3-remote/sync/disk-full", test_disk_full);
    g_test_add_func("/pop3-remote/identity/without-uidl", test_without_uidl);
    g_test_add_func("/pop3-remote/identity/odd", test_odd_uidls);
    g_test_add_func("/pop3-remote/identity/alike", test_alike);
    g_test_add_func("/pop3-remote/identity/long", test_long_uidl);
    g_test_add_func("/pop3-remote/identity/none", test_nothing_to_go_by);
    g_test_add_func("/pop3-remote/fetch", test_fetch);
    g_test_add_func("/pop3-remote/fetch/refused", test_fetch_refused);
    g_test_add_func("/pop3-remote/fetch/broken", test_fetch_broken);
    g_test_add_func("/pop3-remote/remove", test_remove);
    g_test_add_func("/pop3-remote/remove/broken", test_remove_broken);
    g_test_add_func("/pop3-remote/remove/was-done", test_remove_was_done);
    g_test_add_func("/pop3-remote/remove/quit-refused", test_quit_refused);
    g_test_add_func("/pop3-remote/remove/refused", test_remove_refused);
    g_test_add_func("/pop3-remote/remove/later", test_remove_later);
    g_test_add_func("/pop3-remote/unsupported", test_unsupported);
    g_test_add_func("/pop3-remote/session/in-use", test_in_use);
    g_test_add_func("/pop3-remote/session/token", test_token_renewed);
    g_test_add_func("/pop3-remote/session/token/refused-twice", test_token_refused_twice);
    g_test_add_func("/pop3-remote/session/login-delay", test_login_delay);
    g_test_add_func("/pop3-remote/session/idle", test_idle);
    g_test_add_func("/pop3-remote/session/cancel", test_cancel);
    g_test_add_func("/pop3-remote/session/stop", test_stop);
    return g_test_run();
}
