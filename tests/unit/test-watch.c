/* What becomes of the server's hints that a folder changed. */
#include "fake-remote.h"

#include <string.h>

static void hint(Fixture *f, const char *mailbox)
{
    f->remote->funcs->changed(mailbox, f->remote->data);
}

/* The next sync that the account asks for, not yet answered. */
static RemoteJob *wait_sync(Fixture *f)
{
    RemoteJob *job;
    gint64 limit = g_get_monotonic_time() + 15 * G_USEC_PER_SEC;
    while (!(job = fake_take(f->remote, 's'))) {
        g_assert_cmpint(g_get_monotonic_time(), <, limit);
        g_main_context_iteration(NULL, TRUE);
    }
    return job;
}

static gboolean moment_over(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_REMOVE;
}

/* How many syncs are asked for within this time; each hints at a change again if `loops`. */
static guint count_syncs(Fixture *f, guint milliseconds, gboolean loops)
{
    gboolean over = FALSE;
    guint count = 0;
    g_timeout_add(milliseconds, moment_over, &over);
    while (!over) {
        RemoteJob *job = fake_take(f->remote, 's');
        if (!job) {
            g_main_context_iteration(NULL, TRUE);
            continue;
        }
        count++;
        if (loops)
            hint(f, "INBOX");
        fake_run(f->remote, job);
    }
    return count;
}

static void test_at_once(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    fake_message(f->folders->pdata[0], 1, "new", 0);
    hint(f, "INBOX");
    fake_run(f->remote, wait_sync(f));
    g_assert_nonnull(mailbox_find(folder_mailbox(inbox), 1));
    g_assert_cmpuint(count_syncs(f, 500, FALSE), ==, 0);
}

/* The sync may have passed by already what is hinted at: one more, whatever the number of hints. */
static void test_during_a_sync(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    hint(f, "INBOX");
    RemoteJob *job = wait_sync(f);
    hint(f, "INBOX");
    hint(f, "INBOX");
    fake_run(f->remote, job);
    fake_message(f->folders->pdata[0], 1, "new", 0);
    fake_run(f->remote, wait_sync(f));
    g_assert_nonnull(mailbox_find(folder_mailbox(inbox), 1));
    g_assert_cmpuint(count_syncs(f, 500, FALSE), ==, 0);
}

/* A server that takes our syncs for changes. */
static void test_loop(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    hint(f, "INBOX");
    g_assert_cmpuint(count_syncs(f, 2000, TRUE), <=, 6);
}

static void test_many(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    for (guint i = 0; i < 100; i++)
        hint(f, "INBOX");
    g_assert_cmpuint(count_syncs(f, 500, FALSE), ==, 1);
}

static void test_offline(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    hint(f, "INBOX");
    fake_set_state(f->remote, REMOTE_OFFLINE);
    g_assert_cmpuint(count_syncs(f, 500, FALSE), ==, 0);
    fake_set_state(f->remote, REMOTE_ONLINE);
    hint(f, "INBOX"); /* as whoever watches says once it does so again */
    fake_run(f->remote, wait_sync(f));
}

static void test_unknown(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    hint(f, "Nowhere");
    g_assert_cmpuint(count_syncs(f, 300, FALSE), ==, 0);
}

/* What is told of need not be asked about, however old it is, unless a hint was not followed yet.
 */
static void test_listing(Fixture *f, gconstpointer data)
{
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    f->config.refresh = 0;
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    g_assert_cmpuint(count_syncs(f, 200, FALSE), ==, 0);
    f->remote->watched = "INBOX";
    g_assert_cmpint(account_refresh_messages(f->account, inbox, FALSE, &waiter.waiter, NULL), ==,
                    ACCOUNT_READY);
    g_assert_cmpuint(count_syncs(f, 200, FALSE), ==, 0);
    hint(f, "INBOX");
    g_assert_cmpint(account_refresh_messages(f->account, inbox, FALSE, &waiter.waiter, NULL), ==,
                    ACCOUNT_WAIT);
    fake_run(f->remote, wait_sync(f));
    g_assert_cmpuint(waiter.woken, ==, 1);
    f->remote->watched = NULL;
    g_assert_cmpuint(count_syncs(f, 200, FALSE), ==, 0);
    g_assert_cmpint(account_refresh_messages(f->account, inbox, FALSE, &waiter.waiter, NULL), ==,
                    ACCOUNT_WAIT);
    test_waiter_clear(&waiter);
}

/* INBOX, whoever looks at what; then what was looked at last. */
static void test_wanted(Fixture *f, gconstpointer data)
{
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    fixture_mount(f);
    account_start(f->account);
    g_assert_cmpstr(f->remote->wanted, ==, "INBOX Trash");
    fake_folder(f, "Archive", 0);
    f->account->list_refreshed = 1; /* long ago */
    account_refresh_folders(f->account, &waiter.waiter, NULL);
    fake_settle(f);
    test_waiter_clear(&waiter);
    Folder *archive = fixture_folder(f, "Archive");
    account_refresh_messages(f->account, archive, FALSE, &waiter.waiter, NULL);
    while (strcmp(f->remote->wanted, "INBOX Archive Trash") != 0)
        fake_settle(f);
    test_waiter_clear(&waiter);
}

static void add(const char *name, void (*test)(Fixture *, gconstpointer))
{
    g_test_add(name, Fixture, NULL, fixture_set_up, test, fixture_tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/watch/hint/at-once", test_at_once);
    add("/watch/hint/during-a-sync", test_during_a_sync);
    add("/watch/hint/loop", test_loop);
    add("/watch/hint/many", test_many);
    add("/watch/hint/offline", test_offline);
    add("/watch/hint/unknown", test_unknown);
    add("/watch/listing", test_listing);
    add("/watch/wanted", test_wanted);
    return g_test_run();
}
