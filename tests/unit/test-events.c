/* What the account tells of changes, whoever makes them. */
#include "fake-remote.h"

#include <string.h>

static FakeFolder *inbox_of(Fixture *f)
{
    return f->folders->pdata[0];
}

static void expect_events(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->events->str, ==, expected);
    g_string_truncate(f->events, 0);
}

static void refresh(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    fixture_folder(f, "INBOX")->dirty = TRUE;
    account_refresh_messages(f->account, fixture_folder(f, "INBOX"), FALSE, &waiter.waiter, &error);
    g_assert_no_error(error);
    fake_settle(f);
    test_waiter_clear(&waiter);
}

static void refresh_folders(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    f->account->config.refresh = 0;
    f->account->list_refreshed = 1;
    account_refresh_folders(f->account, &waiter.waiter, &error);
    g_assert_no_error(error);
    fake_settle(f);
    test_waiter_clear(&waiter);
}

static void set_up_three(Fixture *f, gconstpointer data)
{
    fixture_set_up(f, data);
    for (MailUid uid = 1; uid <= 3; uid++)
        fake_message(inbox_of(f), uid, "text", 0);
    fixture_mount(f);
}

static void test_first_listing(Fixture *f, gconstpointer data)
{
    expect_events(f, "");
    fixture_unmount(f);
    fixture_mount(f); /* from the index */
    refresh(f);
    expect_events(f, "");
}

static void test_changes_there(Fixture *f, gconstpointer data)
{
    fake_message(inbox_of(f), 4, "text", 0);
    fake_find(f, "INBOX", 2)->flags = MAIL_FLAG_FLAGGED;
    g_ptr_array_remove_index(inbox_of(f)->messages, 0);
    refresh(f);
    g_assert_nonnull(strstr(f->events->str, "new INBOX 4\n"));
    g_assert_nonnull(strstr(f->events->str, "flags INBOX 2\n"));
    g_assert_nonnull(strstr(f->events->str, "gone INBOX 1\n"));
    g_assert_cmpuint(f->events->len, ==, strlen("new INBOX 4\nflags INBOX 2\ngone INBOX 1\n"));
    g_string_truncate(f->events, 0);
    refresh(f);
    expect_events(f, "");
}

static void test_while_it_was_not_mounted(Fixture *f, gconstpointer data)
{
    fixture_unmount(f);
    fake_message(inbox_of(f), 9, "text", 0);
    fixture_mount(f);
    expect_events(f, "new INBOX 9\n");
}

static void test_changes_here(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Folder *inbox = fixture_folder(f, "INBOX");
    g_assert_true(account_mark_seen(f->account, inbox, 1, &error));
    expect_events(f, "flags INBOX 1\n");
    g_assert_true(account_remove(f->account, inbox, 2, &error));
    expect_events(f, "moved INBOX 2\n"); /* to the Trash */
    f->account->config.delete_policy = ACCOUNT_DELETE_EXPUNGE;
    g_assert_true(account_remove(f->account, inbox, 3, &error));
    expect_events(f, "gone INBOX 3\n");
    fake_settle(f);
    refresh(f);
    expect_events(f, "");
}

static void test_refused(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    Folder *inbox = fixture_folder(f, "INBOX");
    f->account->config.delete_policy = ACCOUNT_DELETE_EXPUNGE;
    f->remote->fails = TRUE;
    f->remote->fail = MAIL_ERROR_NO_PERMISSION;
    g_assert_true(account_remove(f->account, inbox, 2, &error));
    fake_settle(f);
    expect_events(f, "gone INBOX 2\nnew INBOX 2\n");
}

static void test_folders(Fixture *f, gconstpointer data)
{
    fake_folder(f, "Work", 0);
    refresh_folders(f);
    expect_events(f, "folder-new Work\n");
    g_ptr_array_remove_index(f->folders, f->folders->len - 1);
    refresh_folders(f);
    expect_events(f, "folder-gone Work\n");
}

static void test_made_anew(Fixture *f, gconstpointer data)
{
    inbox_of(f)->uidvalidity++;
    refresh(f);
    expect_events(f, "folder-gone INBOX\nfolder-new INBOX\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *, gconstpointer);
    } tests[] = {
        {"/events/first-listing", test_first_listing},
        {"/events/changes-there", test_changes_there},
        {"/events/while-it-was-not-mounted", test_while_it_was_not_mounted},
        {"/events/changes-here", test_changes_here},
        {"/events/refused", test_refused},
        {"/events/folders", test_folders},
        {"/events/made-anew", test_made_anew},
    };
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL); /* warnings are expected */
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, set_up_three, tests[i].test, fixture_tear_down);
    return g_test_run();
}
