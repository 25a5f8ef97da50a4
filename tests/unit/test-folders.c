/* Making, removing and renaming folders, against a server in memory. */
#include "fake-remote.h"

#include <string.h>

static FakeFolder *on_server(Fixture *f, const char *name)
{
    for (guint i = 0; i < f->folders->len; i++)
        if (strcmp(((FakeFolder *)f->folders->pdata[i])->name, name) == 0)
            return f->folders->pdata[i];
    return NULL;
}

typedef enum { MAKE, REMOVE, RENAME } Kind;

static AccountReply start(Fixture *f, Kind kind, Folder *folder, const char *label,
                          TestWaiter *waiter)
{
    Folder *root = account_root(f->account);
    waiter->waiter.wake = test_wake;
    return kind == MAKE
               ? account_make_folder(f->account, folder, label, &waiter->waiter, &waiter->error)
           : kind == REMOVE
               ? account_remove_folder(f->account, folder, &waiter->waiter, &waiter->error)
               : account_rename_folder(f->account, folder, root, label, &waiter->waiter,
                                       &waiter->error);
}

static void succeeds(Fixture *f, Kind kind, Folder *folder, const char *label)
{
    TestWaiter waiter = {0};
    g_assert_cmpint(start(f, kind, folder, label, &waiter), ==, ACCOUNT_WAIT);
    fake_settle(f);
    g_assert_no_error(waiter.error);
    g_assert_cmpuint(waiter.woken, ==, 1);
}

static void fails(Fixture *f, Kind kind, Folder *folder, const char *label, MailError code)
{
    TestWaiter waiter = {0};
    if (start(f, kind, folder, label, &waiter) == ACCOUNT_WAIT)
        fake_settle(f);
    g_assert_error(waiter.error, MAIL_ERROR, (gint)code);
    test_waiter_clear(&waiter);
}

static void makes(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    Folder *root = account_root(f->account);
    succeeds(f, MAKE, root, "a");
    Folder *a = fixture_folder(f, "a");
    g_assert_true(folder_selectable(a));
    succeeds(f, MAKE, a, "b");
    g_assert_nonnull(on_server(f, "a/b"));
    g_assert_nonnull(folder_child(a, "b"));
    fails(f, MAKE, root, "a", MAIL_ERROR_EXISTS);
    fails(f, MAKE, root, "inbox", MAIL_ERROR_EXISTS);
    fails(f, MAKE, root, "x/y", MAIL_ERROR_INVALID);
    fails(f, MAKE, root, "no!", MAIL_ERROR_INVALID); /* the file system says so */
    guint32 row = folder_row(a);
    fixture_unmount(f);
    fixture_mount(f);
    g_assert_cmpuint(folder_row(fixture_folder(f, "a")), ==, row);
}

static void where_none_can_be(Fixture *f, gconstpointer data)
{
    fake_folder(f, "leaf", MAIL_FOLDER_NOINFERIORS);
    fixture_mount(f);
    fails(f, MAKE, fixture_folder(f, "leaf"), "a", MAIL_ERROR_NO_PERMISSION);
    fixture_folder(f, "leaf")->rights = g_strdup("lr");
    fails(f, REMOVE, fixture_folder(f, "leaf"), NULL, MAIL_ERROR_NO_PERMISSION);
}

static void removes(Fixture *f, gconstpointer data)
{
    fake_folder(f, "a", 0);
    fake_folder(f, "a/b", 0);
    fake_message(fake_folder(f, "full", 0), 1, "x", 0);
    fixture_mount(f);
    Folder *a = fixture_folder(f, "a");
    fails(f, REMOVE, a, NULL, MAIL_ERROR_NOT_EMPTY);
    fails(f, REMOVE, fixture_folder(f, "full"), NULL, MAIL_ERROR_NOT_EMPTY);
    fails(f, REMOVE, fixture_folder(f, "INBOX"), NULL, MAIL_ERROR_IN_USE);
    succeeds(f, REMOVE, folder_child(a, "b"), NULL);
    g_assert_null(folder_child(a, "b"));
    succeeds(f, REMOVE, a, NULL);
    g_assert_null(folder_child(account_root(f->account), "a"));
    g_assert_null(on_server(f, "a"));
}

/* What was removed from the folder is sent before it goes. */
static void removals_first(Fixture *f, gconstpointer data)
{
    FakeFolder *full = fake_folder(f, "full", 0);
    fake_message(full, 1, "x", 0);
    fixture_mount(f);
    g_autoptr(GError) error = NULL;
    Folder *folder = fixture_folder(f, "full");
    g_assert_true(account_remove(f->account, folder, 1, &error));
    succeeds(f, REMOVE, folder, NULL);
    g_assert_null(on_server(f, "full"));
    g_assert_nonnull(fake_find(f, "Trash", 1));
}

/* Here it looks empty, and there it is not. */
static void not_empty_there(Fixture *f, gconstpointer data)
{
    FakeFolder *folder = fake_folder(f, "a", 0);
    fixture_mount(f);
    fake_message(folder, 1, "x", 0);
    fails(f, REMOVE, fixture_folder(f, "a"), NULL, MAIL_ERROR_NOT_EMPTY);
    g_assert_nonnull(fake_find(f, "a", 1));
    g_assert_nonnull(fixture_folder(f, "a"));
}

static void renames(Fixture *f, gconstpointer data)
{
    fake_message(fake_folder(f, "a", 0), 1, "one", 0);
    fake_message(fake_folder(f, "a/b", 0), 1, "two", 0);
    fake_folder(f, "c", 0);
    fixture_mount(f);
    g_autoptr(GError) error = NULL;
    Folder *a = fixture_folder(f, "a");
    Folder *b = folder_child(a, "b");
    guint32 row = folder_row(a), below = folder_row(b);
    fails(f, RENAME, a, "c", MAIL_ERROR_EXISTS);
    fails(f, RENAME, a, "a", MAIL_ERROR_NOT_EMPTY);
    fails(f, RENAME, fixture_folder(f, "INBOX"), "d", MAIL_ERROR_IN_USE);
    succeeds(f, RENAME, a, "d");
    g_assert_null(folder_child(account_root(f->account), "a"));
    g_assert_true(fixture_folder(f, "d") == a && folder_child(a, "b") == b);
    g_assert_cmpstr(folder_name(b), ==, "d/b");
    g_assert_true(account_remove(f->account, a, 1, &error));
    fake_settle(f);
    g_assert_null(fake_find(f, "d", 1));
    fixture_unmount(f);
    fixture_mount(f);
    a = fixture_folder(f, "d");
    g_assert_cmpuint(folder_row(a), ==, row);
    g_assert_cmpuint(folder_row(folder_child(a, "b")), ==, below);
    g_assert_nonnull(mailbox_find(folder_mailbox(folder_child(a, "b")), 1));
}

static void refused(Fixture *f, gconstpointer data)
{
    fake_folder(f, "a", 0);
    fixture_mount(f);
    f->remote->fail = MAIL_ERROR_NO_PERMISSION;
    f->remote->fails = TRUE;
    fails(f, MAKE, account_root(f->account), "b", MAIL_ERROR_NO_PERMISSION);
    f->remote->fails = TRUE;
    fails(f, REMOVE, fixture_folder(f, "a"), NULL, MAIL_ERROR_NO_PERMISSION);
    f->remote->fails = TRUE;
    fails(f, RENAME, fixture_folder(f, "a"), "b", MAIL_ERROR_NO_PERMISSION);
    g_assert_nonnull(fixture_folder(f, "a"));
}

static void offline(Fixture *f, gconstpointer data)
{
    fake_folder(f, "a", 0);
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_OFFLINE);
    fails(f, MAKE, account_root(f->account), "b", MAIL_ERROR_OFFLINE);
    fails(f, REMOVE, fixture_folder(f, "a"), NULL, MAIL_ERROR_OFFLINE);
    fails(f, RENAME, fixture_folder(f, "a"), "b", MAIL_ERROR_OFFLINE);
}

/* A list that is under way would tell of before, or of after: it is asked for again. */
static void lists_later(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    TestWaiter waiter = {.waiter = {.wake = test_wake}}, list = waiter;
    f->account->list_refreshed = 1;
    g_assert_cmpint(account_refresh_folders(f->account, &list.waiter, NULL), ==, ACCOUNT_WAIT);
    g_assert_cmpint(start(f, MAKE, account_root(f->account), "a", &waiter), ==, ACCOUNT_WAIT);
    g_assert_null(fake_take(f->remote, 'l'));
    fake_settle(f);
    g_assert_cmpuint(list.woken, ==, 1);
    g_assert_false(f->account->list_dirty);
    g_assert_nonnull(fixture_folder(f, "a"));
}

/* Nobody waits any more: it goes on. And the account ends in the middle of one. */
static void goes_on(Fixture *f, gconstpointer data)
{
    fixture_mount(f);
    TestWaiter waiter = {0};
    start(f, MAKE, account_root(f->account), "a", &waiter);
    test_waiter_clear(&waiter);
    fake_settle(f);
    g_assert_nonnull(fixture_folder(f, "a"));
    start(f, RENAME, fixture_folder(f, "a"), "b", &waiter);
    fixture_unmount(f);
    test_waiter_clear(&waiter);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
    g_test_add("/folders/" name, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
    ADD("make", makes);
    ADD("make/not-there", where_none_can_be);
    ADD("remove", removes);
    ADD("remove/removals-first", removals_first);
    ADD("remove/not-empty-there", not_empty_there);
    ADD("rename", renames);
    ADD("refused", refused);
    ADD("offline", offline);
    ADD("list", lists_later);
    ADD("goes-on", goes_on);
    return g_test_run();
}
