#include "fake-remote.h"

#include <string.h>

static void fill(Fixture *f, guint count)
{
    FakeFolder *inbox = f->folders->pdata[0];
    for (guint i = 1; i <= count; i++) {
        g_autofree char *body = g_strdup_printf("Subject: %u\r\n\r\nbody\r\n", i);
        fake_message(inbox, i, body, 0);
    }
}

static guint count(Fixture *f, guint folder)
{
    return ((FakeFolder *)f->folders->pdata[folder])->messages->len;
}

static void remove_one(Fixture *f, MailUid uid)
{
    g_autoptr(GError) error = NULL;
    account_remove(f->account, fixture_folder(f, "INBOX"), uid, &error);
    g_assert_no_error(error);
}

static gboolean is_listed(Fixture *f, MailUid uid)
{
    Folder *inbox = fixture_folder(f, "INBOX");
    const Message *message = mailbox_find(folder_mailbox(inbox), uid);
    return message && message_visible(inbox, message);
}

static void assert_log(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->remote->log->str, ==, expected);
}

/* ---- sending ---- */

static void test_merged(Fixture *f, gconstpointer data)
{
    fill(f, 20);
    fixture_mount(f);
    for (MailUid uid = 1; uid <= 10; uid++)
        remove_one(f, uid);
    g_assert_false(is_listed(f, 1));
    g_assert_cmpuint(account_pending(f->account), ==, 10);
    fake_settle(f);
    assert_log(f, "m10 ");
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    g_assert_cmpuint(count(f, 0), ==, 10);
    g_assert_cmpuint(count(f, 1), ==, 10);
}

static void test_in_order(Fixture *f, gconstpointer data)
{
    fill(f, 3);
    f->config.delete_policy = ACCOUNT_DELETE_EXPUNGE;
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    g_assert_true(account_mark_seen(f->account, inbox, 2, NULL));
    remove_one(f, 2);
    g_assert_true(account_mark_seen(f->account, inbox, 2, NULL)); /* too late: nothing is added */
    g_assert_cmpuint(account_pending(f->account), ==, 2);
    fake_settle(f);
    assert_log(f, "S1 S1 e1 ");
    g_assert_cmpuint(count(f, 0), ==, 2);
}

static void test_removed_twice(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    fill(f, 3);
    fixture_mount(f);
    remove_one(f, 2);
    g_assert_false(account_remove(f->account, fixture_folder(f, "INBOX"), 2, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_GONE);
    fake_settle(f);
    assert_log(f, "m1 ");
}

static void test_without_move_and_uidplus(Fixture *f, gconstpointer data)
{
    fill(f, 6);
    fixture_mount(f);
    f->remote->features = (RemoteFeatures){0};
    remove_one(f, 1);
    remove_one(f, 2);
    fake_settle(f);
    assert_log(f, "c2 S2 e2 ");
    g_assert_cmpuint(count(f, 0), ==, 4);
    g_assert_cmpuint(count(f, 1), ==, 2);
    fake_find(f, "INBOX", 6)->flags = MAIL_FLAG_DELETED; /* another client's */
    remove_one(f, 3);
    fake_settle(f);
    g_assert_cmpuint(count(f, 0), ==, 4);
    g_assert_nonnull(fake_find(f, "INBOX", 6));
    g_assert_cmpuint(fake_find(f, "INBOX", 3)->flags, ==, MAIL_FLAG_DELETED);
    g_assert_false(is_listed(f, 3));
    fixture_unmount(f);
    fixture_mount(f);
    g_assert_false(is_listed(f, 3));
    g_assert_true(is_listed(f, 6));
}

/* ---- refusals ---- */

static void test_refused(Fixture *f, gconstpointer data)
{
    fill(f, 3);
    fixture_mount(f);
    f->remote->fails = TRUE;
    f->remote->fail = MAIL_ERROR_NO_PERMISSION;
    g_hash_table_add(f->known, GUINT_TO_POINTER(2));
    remove_one(f, 2);
    g_assert_false(is_listed(f, 2));
    fake_settle(f);
    g_assert_true(is_listed(f, 2));
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    g_assert_cmpuint(account_refused(f->account), ==, 1);
    g_assert_cmpuint(count(f, 0), ==, 3);
    MessageInfo info;
    g_assert_true(account_message(f->account, fixture_folder(f, "INBOX"), 2, &info));
    g_assert_false(info.removed);
    fixture_unmount(f);
    fixture_mount(f);
    fake_settle(f);
    g_assert_true(is_listed(f, 2));
    assert_log(f, "");
}

static void test_refused_flags(Fixture *f, gconstpointer data)
{
    fill(f, 1);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    f->remote->fails = TRUE;
    f->remote->fail = MAIL_ERROR_REFUSED;
    g_assert_true(account_mark_seen(f->account, inbox, 1, NULL));
    g_assert_true(mailbox_find(folder_mailbox(inbox), 1)->flags & MAIL_FLAG_SEEN);
    fake_settle(f);
    g_assert_false(mailbox_find(folder_mailbox(inbox), 1)->flags & MAIL_FLAG_SEEN);
}

static void test_vanished_in_flight(Fixture *f, gconstpointer data)
{
    fill(f, 3);
    f->config.refresh = 0;
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    remove_one(f, 2);
    RemoteJob *move;
    while (!(move = fake_take(f->remote, 'm')))
        g_main_context_iteration(NULL, TRUE);
    g_ptr_array_remove_index(((FakeFolder *)f->folders->pdata[0])->messages, 1);
    g_usleep(150 * 1000);
    account_refresh_behind(f->account, inbox);
    RemoteJob *sync = fake_take(f->remote, 's');
    g_assert_nonnull(sync);
    fake_run(f->remote, sync);
    g_assert_null(mailbox_find(folder_mailbox(inbox), 2));
    g_assert_cmpuint(account_pending(f->account), ==, 1);
    fake_run(f->remote, move);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
}

/* ---- what ends them otherwise ---- */

static void test_uidvalidity(Fixture *f, gconstpointer data)
{
    FakeFolder *inbox = f->folders->pdata[0];
    fill(f, 3);
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_OFFLINE);
    remove_one(f, 2);
    inbox->uidvalidity = 2;
    fake_set_state(f->remote, REMOTE_ONLINE);
    fake_settle(f);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    g_assert_cmpuint(count(f, 0), ==, 3);
    g_assert_cmpuint(account_refused(f->account), ==, 1);
}

static void test_folder_gone(Fixture *f, gconstpointer data)
{
    FakeFolder *other = fake_folder(f, "Other", 0);
    FakeFolder *fresh = fake_folder(f, "Fresh", 0);
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    g_autoptr(GError) error = NULL;
    fake_message(other, 1, "Subject: x\r\n\r\n", 0);
    fake_message(fresh, 1, "Subject: x\r\n\r\n", 0);
    f->config.refresh = 0;
    fixture_mount(f);
    Folder *folder = fixture_folder(f, "Other");
    g_hash_table_add(f->known, GUINT_TO_POINTER(1));
    g_assert_true(account_remove(f->account, folder, 1, NULL));
    g_ptr_array_remove(f->folders, other);
    /* While a change is on its way the folder stays. */
    g_usleep(150 * 1000);
    account_refresh_folders(f->account, &waiter.waiter, &error);
    fake_run(f->remote, fake_take(f->remote, 'l'));
    g_assert_true(folder_child(account_root(f->account), "Other") == folder);
    test_waiter_clear(&waiter);
    fake_settle(f);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    /* Who waits for a folder that goes is told so, and so is who reads in it. */
    TestWaiter listing = {.waiter = {.wake = test_wake}}, reading = {.waiter = {.wake = test_wake}};
    BodySpan span;
    g_usleep(150 * 1000);
    g_assert_cmpint(account_refresh_messages(f->account, folder, FALSE, &listing.waiter, &error),
                    ==, ACCOUNT_WAIT);
    account_read(f->account, folder, 1, 0, 10, &reading.waiter, &span, &error);
    account_refresh_folders(f->account, &waiter.waiter, &error);
    fake_run(f->remote, fake_take(f->remote, 'l'));
    g_assert_null(folder_child(account_root(f->account), "Other"));
    g_assert_cmpuint(listing.woken, ==, 1);
    g_assert_error(listing.error, MAIL_ERROR, MAIL_ERROR_GONE);
    g_assert_null(reading.waiter.list);
    test_waiter_clear(&waiter);
    test_waiter_clear(&listing);
    test_waiter_clear(&reading);
}

/* ---- replay ---- */

static void test_replay(Fixture *f, gconstpointer data)
{
    fill(f, 5);
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_OFFLINE);
    remove_one(f, 2);
    remove_one(f, 4);
    g_assert_true(account_mark_seen(f->account, fixture_folder(f, "INBOX"), 1, NULL));
    fixture_crash(f);
    fixture_mount(f);
    g_assert_false(is_listed(f, 2));
    fake_set_state(f->remote, REMOTE_ONLINE);
    fake_settle(f);
    g_assert_cmpuint(count(f, 0), ==, 3);
    g_assert_cmpuint(count(f, 1), ==, 2);
    g_assert_cmpuint(fake_find(f, "INBOX", 1)->flags, ==, MAIL_FLAG_SEEN);
    g_assert_cmpuint(fake_find(f, "INBOX", 3)->flags, ==, 0);
    fixture_unmount(f);
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_ONLINE);
    fake_settle(f);
    assert_log(f, "");
}

/* It goes on where it was: what has been copied is not copied again. */
static void test_replay_half_way(Fixture *f, gconstpointer data)
{
    fill(f, 2);
    fixture_mount(f);
    f->remote->features.move = FALSE;
    remove_one(f, 1);
    RemoteJob *copy;
    while (!(copy = fake_take(f->remote, 'c')))
        g_main_context_iteration(NULL, TRUE);
    fake_run(f->remote, copy);
    g_assert_cmpuint(count(f, 1), ==, 1);
    fixture_crash(f);
    fixture_mount(f);
    f->remote->features.move = FALSE;
    fake_set_state(f->remote, REMOTE_ONLINE);
    fake_settle(f);
    assert_log(f, "S1 e1 ");
    g_assert_cmpuint(count(f, 0), ==, 1);
    g_assert_cmpuint(count(f, 1), ==, 1);
}

/* ---- how it ends ---- */

static void test_freed_under_way(Fixture *f, gconstpointer data)
{
    fill(f, 500);
    fixture_mount(f);
    for (MailUid uid = 1; uid <= 250; uid++)
        remove_one(f, uid);
    for (guint i = 0; i < 20 && f->remote->jobs.length == 0; i++)
        g_main_context_iteration(NULL, TRUE);
    fixture_unmount(f);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_ONLINE);
    fake_settle(f);
    g_assert_cmpuint(count(f, 0), ==, 250);
    g_assert_cmpuint(count(f, 1), ==, 250);
}

static void test_flush(Fixture *f, gconstpointer data)
{
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    g_autoptr(GError) error = NULL;
    fill(f, 2);
    fixture_mount(f);
    g_assert_cmpint(account_flush(f->account, &waiter.waiter, &error), ==, ACCOUNT_READY);
    remove_one(f, 1);
    g_assert_cmpint(account_flush(f->account, &waiter.waiter, &error), ==, ACCOUNT_WAIT);
    fake_set_state(f->remote, REMOTE_OFFLINE);
    g_assert_cmpuint(waiter.woken, ==, 1);
    g_assert_error(waiter.error, MAIL_ERROR, MAIL_ERROR_OFFLINE);
    g_assert_nonnull(strstr(waiter.error->message, "(1) wait"));
    test_waiter_clear(&waiter);
    fake_set_state(f->remote, REMOTE_ONLINE);
    g_assert_cmpint(account_flush(f->account, &waiter.waiter, &error), ==, ACCOUNT_WAIT);
    fake_settle(f);
    g_assert_cmpuint(waiter.woken, ==, 1);
    g_assert_no_error(waiter.error);
}

/* What is still open is fetched before it goes; other changes do not wait for it. */
static void test_open_file(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    fill(f, 3);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    g_hash_table_add(f->known, GUINT_TO_POINTER(2));
    remove_one(f, 2);
    remove_one(f, 3);
    fake_settle(f);
    g_assert_cmpuint(count(f, 0), ==, 1);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    g_autofree char *text = read_message(f, inbox, 2, &error);
    g_assert_cmpstr(text, ==, "Subject: 2\r\n\r\nbody\r\n");
    account_forget(f->account, inbox, 2);
    g_assert_null(read_message(f, inbox, 2, NULL));
}

/* With a Trash that is not there any more, nothing is removed for good unasked. */
static void test_trash_gone(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    fake_folder(f, "Other", 0);
    fill(f, 2);
    fixture_mount(f);
    g_ptr_array_remove_index(f->folders, 1);
    fixture_unmount(f);
    fixture_mount(f);
    g_assert_false(account_remove(f->account, fixture_folder(f, "INBOX"), 1, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION);
    fake_settle(f);
    assert_log(f, "");
}

static void refresh(Fixture *f, Folder *folder, TestWaiter *waiter, AccountReply expected)
{
    g_autoptr(GError) error = NULL;
    g_assert_cmpint(account_refresh_messages(f->account, folder, FALSE, &waiter->waiter, &error),
                    ==, expected);
    g_assert_no_error(error);
}

/* Who looks into the Trash after a removal sees it there, however fresh the listing was, and also
 * if something else had the listing brought up to date behind. */
static void test_target_listed(Fixture *f, gconstpointer data)
{
    TestWaiter waiter = {.waiter.wake = test_wake};
    fill(f, 3);
    fixture_mount(f);
    Folder *trash = fixture_folder(f, "Trash");
    refresh(f, trash, &waiter, ACCOUNT_READY);
    remove_one(f, 2);
    fake_settle(f);
    g_assert_cmpuint(mailbox_count(folder_mailbox(trash)), ==, 0);
    account_refresh_behind(f->account, trash);
    refresh(f, trash, &waiter, ACCOUNT_WAIT);
    fake_settle(f);
    g_assert_cmpuint(waiter.woken, ==, 1);
    g_assert_cmpuint(mailbox_count(folder_mailbox(trash)), ==, 1);
    refresh(f, trash, &waiter, ACCOUNT_READY);
    test_waiter_clear(&waiter);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *, gconstpointer);
    } tests[] = {
        {"/journal/merged", test_merged},
        {"/journal/in-order", test_in_order},
        {"/journal/removed-twice", test_removed_twice},
        {"/journal/without-move-and-uidplus", test_without_move_and_uidplus},
        {"/journal/refused", test_refused},
        {"/journal/refused-flags", test_refused_flags},
        {"/journal/vanished-in-flight", test_vanished_in_flight},
        {"/journal/uidvalidity", test_uidvalidity},
        {"/journal/folder-gone", test_folder_gone},
        {"/journal/replay", test_replay},
        {"/journal/replay-half-way", test_replay_half_way},
        {"/journal/freed-under-way", test_freed_under_way},
        {"/journal/flush", test_flush},
        {"/journal/open-file", test_open_file},
        {"/journal/trash-gone", test_trash_gone},
        {"/journal/target-listed", test_target_listed},
    };
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL); /* warnings are expected */
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, NULL, fixture_set_up, tests[i].test, fixture_tear_down);
    return g_test_run();
}
