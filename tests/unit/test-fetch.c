/* Folders and messages that are fetched for use offline. */
#include "fetch.h"

#include <string.h>

#include "fake-remote.h"

typedef struct {
    AccountFetch *fetch;
    GString *log; /* "folder INBOX 3 12;" "failed INBOX 2;" "done;" or "error;" */
    gboolean free_when_done;
} Run;

static void folder_done(Folder *folder, const FetchAmount *amount, gpointer data)
{
    g_string_append_printf(((Run *)data)->log,
                           "folder %s %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT ";",
                           folder_label(folder), amount->messages, amount->bytes);
}

static void failed(Folder *folder, MailUid uid, const GError *error, gpointer data)
{
    g_string_append_printf(((Run *)data)->log, "failed %s %u;", folder_label(folder), uid);
}

static void done(const GError *error, gpointer data)
{
    Run *run = data;
    g_string_append(run->log, error ? "error;" : "done;");
    if (run->free_when_done)
        g_clear_pointer(&run->fetch, fetch_free);
}

static void run_begin(Run *run, Fixture *f)
{
    static const FetchFuncs funcs = {folder_done, failed, done};
    *run = (Run){.log = g_string_new(NULL)};
    run->fetch = fetch_new(f->account, &funcs, run);
}

static void run_expect(Run *run, Fixture *f, const char *log)
{
    fake_settle(f);
    g_assert_cmpstr(run->log->str, ==, log);
    g_string_truncate(run->log, 0);
}

static void run_end(Run *run)
{
    fetch_free(run->fetch);
    g_string_free(run->log, TRUE);
}

static gboolean is_here(Fixture *f, const char *folder, MailUid uid)
{
    return bodies_has(f->account->bodies, fixture_folder(f, folder)->row, uid, NULL);
}

/* Thirty messages in the inbox, sizes of which are believed, and one in the trash. */
static void set_up(Fixture *f, gconstpointer data)
{
    fixture_set_up(f, data);
    for (MailUid uid = 1; uid <= 30; uid++)
        fake_message(f->folders->pdata[0], uid, "1234567890", 0);
    fake_message(f->folders->pdata[1], 1, "abc", 0);
    if (data)
        f->config.cache_size = (guint64)GPOINTER_TO_INT(data);
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_ONLINE);
}

static guint64 missing(Fixture *f)
{
    guint64 count = 0;
    for (MailUid uid = 1; uid <= 30; uid++)
        count += !is_here(f, "INBOX", uid);
    return count;
}

static void test_everything(Fixture *f, gconstpointer data)
{
    Run run;
    guint64 before = missing(f);
    run_begin(&run, f);
    fetch_add_folder(run.fetch, account_root(f->account));
    fetch_start(run.fetch);
    g_autofree char *log = g_strdup_printf("folder INBOX %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                                           ";folder Trash 1 3;done;",
                                           before, before * 10);
    fake_settle(f);
    g_assert_cmpuint(missing(f), ==, 0);
    g_assert_true(is_here(f, "Trash", 1));
    g_assert_cmpuint(fetch_progress(run.fetch)->fetched.messages, ==, before + 1);
    g_assert_cmpuint(fetch_progress(run.fetch)->fetched.bytes, ==, before * 10 + 3);
    g_assert_cmpuint(fetch_progress(run.fetch)->had.messages, ==, 30 - before);
    g_assert_cmpuint(strlen(run.log->str), ==, strlen(log));
    g_assert_true(g_str_has_suffix(run.log->str, ";done;"));
    run_end(&run);
}

static void test_named(Fixture *f, gconstpointer data)
{
    Run run;
    Folder *inbox = fixture_folder(f, "INBOX");
    run_begin(&run, f);
    fetch_add_message(run.fetch, inbox, 25);
    fetch_add_message(run.fetch, inbox, 30);
    fetch_add_message(run.fetch, inbox, 25); /* once is enough */
    fetch_add_message(run.fetch, inbox, 99); /* gone by now */
    fetch_start(run.fetch);
    run_expect(&run, f, "folder INBOX 2 20;done;");
    g_assert_true(is_here(f, "INBOX", 25) && is_here(f, "INBOX", 30));
    run_end(&run);
}

static void test_nothing(Fixture *f, gconstpointer data)
{
    Run run;
    run_begin(&run, f);
    run.free_when_done = TRUE;
    fetch_start(run.fetch);
    run_expect(&run, f, "done;");
    run_end(&run);
}

/* The newest are kept, and no more are fetched than there is room for. */
static void test_no_room(Fixture *f, gconstpointer data)
{
    Run run;
    run_begin(&run, f);
    fetch_add_folder(run.fetch, fixture_folder(f, "INBOX"));
    fetch_start(run.fetch);
    fake_settle(f);
    const FetchProgress *progress = fetch_progress(run.fetch);
    g_assert_cmpuint(progress->left_out.messages, ==, 20);
    g_assert_cmpuint(progress->left_out.bytes, ==, 200);
    g_assert_cmpuint(progress->fetched.messages + progress->had.messages, ==, 10);
    for (MailUid uid = 21; uid <= 30; uid++)
        g_assert_true(is_here(f, "INBOX", uid));
    run_end(&run);
}

static void test_offline(Fixture *f, gconstpointer data)
{
    Run run;
    run_begin(&run, f);
    fetch_add_folder(run.fetch, fixture_folder(f, "INBOX"));
    fetch_start(run.fetch);
    fake_set_state(f->remote, REMOTE_OFFLINE);
    run_expect(&run, f, "error;");
    run_end(&run);
    fake_set_state(f->remote, REMOTE_ONLINE);
}

/* Ctrl-C: what was asked for comes and stays, nothing more is asked for. */
static void test_ended_early(Fixture *f, gconstpointer data)
{
    g_autofree char *large = g_strnfill(3 * 1024 * 1024, 'x');
    fake_message(f->folders->pdata[0], 40, large, 0);
    fixture_folder(f, "INBOX")->dirty = TRUE;
    Run run;
    run_begin(&run, f);
    fetch_add_folder(run.fetch, fixture_folder(f, "INBOX"));
    fetch_start(run.fetch);
    RemoteJob *job = NULL;
    while (!(job = fake_take(f->remote, 'f'))) {
        RemoteJob *other = fake_take(f->remote, 's');
        if (other)
            fake_run(f->remote, other);
        g_main_context_iteration(NULL, FALSE);
    }
    run_end(&run);
    fake_run(f->remote, job);
    fake_settle(f);
    g_assert_false(is_here(f, "INBOX", 40)); /* its first window was enough */
}

static void test_vanished_meanwhile(Fixture *f, gconstpointer data)
{
    Run run;
    FakeFolder *inbox = f->folders->pdata[0];
    run_begin(&run, f);
    fetch_add_message(run.fetch, fixture_folder(f, "INBOX"), 29);
    fetch_add_message(run.fetch, fixture_folder(f, "INBOX"), 30);
    g_ptr_array_remove_index(inbox->messages, 29);
    fetch_start(run.fetch);
    run_expect(&run, f, "folder INBOX 1 10;done;"); /* that is no failure */
    run_end(&run);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *, gconstpointer);
        int cache_size;
    } tests[] = {
        {"/fetch/everything", test_everything, 0},
        {"/fetch/named", test_named, 0},
        {"/fetch/nothing", test_nothing, 0},
        {"/fetch/no-room", test_no_room, 105},
        {"/fetch/offline", test_offline, 0},
        {"/fetch/ended-early", test_ended_early, 0},
        {"/fetch/vanished-meanwhile", test_vanished_meanwhile, 0},
    };
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL); /* warnings are expected */
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, GINT_TO_POINTER(tests[i].cache_size), set_up,
                   tests[i].test, fixture_tear_down);
    return g_test_run();
}
