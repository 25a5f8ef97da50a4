#include "fake-remote.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define LARGE (2 * 1024 * 1024)

static FakeFolder *inbox_of(Fixture *f)
{
    return f->folders->pdata[0];
}

static char *text_of(gsize size)
{
    char *text = g_malloc(size + 1);
    for (gsize i = 0; i < size; i++)
        text[i] = (char)('a' + i % 23);
    text[size] = '\0';
    return text;
}

static void add(Fixture *f, MailUid uid, gsize size, gint64 misstated_by)
{
    g_autofree char *text = text_of(size);
    fake_message(inbox_of(f), uid, text, misstated_by);
}

/* An honest server, as long as it is looked at. */
static void add_sample(Fixture *f)
{
    for (MailUid uid = 1; uid <= SIZES_SAMPLE; uid++)
        add(f, uid, 100 + uid, 0);
}

static void assert_whole(Fixture *f, MailUid uid)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = read_message(f, fixture_folder(f, "INBOX"), uid, &error);
    g_assert_no_error(error);
    g_assert_true(strcmp(text, fake_find(f, "INBOX", uid)->body) == 0);
}

/* Once an error, then the truth: never anything else. */
static void assert_fails_once(Fixture *f, MailUid uid)
{
    g_autoptr(GError) error = NULL;
    Folder *inbox = fixture_folder(f, "INBOX");
    g_assert_null(read_message(f, inbox, uid, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_PROTOCOL);
    fake_settle(f);
    assert_whole(f, uid);
}

/* ---- sizes ---- */

static void test_honest(Fixture *f, gconstpointer data)
{
    MessageInfo info;
    add_sample(f);
    add(f, 50, 5000, 0);
    fixture_mount(f);
    g_assert_cmpint(f->account->sizes, ==, SIZES_CERTAIN);
    g_assert_true(account_message(f->account, fixture_folder(f, "INBOX"), 50, &info));
    g_assert_true(info.certain);
    for (MailUid uid = 1; uid <= SIZES_SAMPLE; uid++)
        assert_whole(f, uid);
    assert_whole(f, 50);
}

static void test_lies_at_first(Fixture *f, gconstpointer data)
{
    MessageInfo info;
    for (MailUid uid = 1; uid <= 30; uid++)
        add(f, uid, 1000 + uid, uid % 2 ? 77 : -77);
    fixture_mount(f);
    g_assert_cmpint(f->account->sizes, ==, SIZES_WRONG);
    g_assert_true(account_message(f->account, fixture_folder(f, "INBOX"), 29, &info));
    g_assert_false(info.certain);
    for (MailUid uid = 1; uid <= 30; uid++)
        assert_whole(f, uid);
}

static void test_lies_later(Fixture *f, gconstpointer data)
{
    gint64 by = GPOINTER_TO_INT(data);
    MessageInfo info;
    add_sample(f);
    add(f, 50, 90000, by);
    add(f, 51, 90000, by);
    add(f, 52, 90000, by);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    for (MailUid uid = 50; uid <= 52; uid++)
        account_message(f->account, inbox, uid, &info);
    g_assert_true(info.certain);
    f->changed = 0;
    assert_fails_once(f, 50);
    g_assert_cmpint(f->account->sizes, ==, SIZES_WRONG);
    g_assert_cmpuint(f->changed, >=, 3); /* the kernel has to ask again for all of them */
    /* Who still goes by the old size is not served by it; who has asked again is. */
    g_autoptr(GError) error = NULL;
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    guint64 length;
    if (account_length(f->account, inbox, 52, &waiter.waiter, &length, &error) == ACCOUNT_WAIT)
        fake_settle(f);
    test_waiter_clear(&waiter);
    assert_whole(f, 52);
    assert_fails_once(f, 51);
}

static void test_large(Fixture *f, gconstpointer data)
{
    static const gint64 lengths[] = {LARGE, LARGE + 1, 1024 * 1024, 256 * 1024 * 7,
                                     256 * 1024 * 15 + 1};
    add_sample(f);
    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++)
        add(f, 100 + i, (gsize)lengths[i], 0);
    fixture_mount(f);
    f->remote->uid_last = data != NULL;
    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++)
        assert_whole(f, 100 + i);
    g_assert_cmpint(f->account->sizes, ==, SIZES_CERTAIN);
}

/* Whatever the lie, and wherever it puts the end among the windows. */
static void test_large_lies(Fixture *f, gconstpointer data)
{
    static const gint64 lies[] = {1,       -1,     4096,    -4096,           300000,
                                  -300000, 262144, -262144, 3 * 1024 * 1024, -1000000};
    add_sample(f);
    for (guint i = 0; i < G_N_ELEMENTS(lies); i++)
        add(f, 100 + i, LARGE + i * 1000, lies[i]);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    for (guint i = 0; i < G_N_ELEMENTS(lies); i++) {
        MessageInfo info;
        f->account->sizes = SIZES_CERTAIN; /* each as if it were the first */
        g_assert_true(account_message(f->account, inbox, 100 + i, &info));
        g_assert_true(info.certain);
        assert_fails_once(f, 100 + i);
    }
}

static void test_nothing(Fixture *f, gconstpointer data)
{
    MessageInfo info;
    g_autoptr(GError) error = NULL;
    add_sample(f);
    add(f, 50, 0, 0);
    add(f, 51, 300, -300);
    add(f, 52, 0, 300);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    f->account->sizes = SIZES_CERTAIN;
    g_assert_true(account_message(f->account, inbox, 51, &info));
    assert_whole(f, 50);
    assert_whole(f, 51);
    g_assert_null(read_message(f, inbox, 52, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_PROTOCOL);
}

/* ---- downloads ---- */

static void test_shared(Fixture *f, gconstpointer data)
{
    TestWaiter waiters[10] = {0};
    BodySpan span;
    add_sample(f);
    add(f, 50, 70000, 0);
    fixture_mount(f);
    guint64 before = f->account->fetched_bodies;
    for (guint i = 0; i < G_N_ELEMENTS(waiters); i++) {
        waiters[i].waiter.wake = test_wake;
        g_assert_cmpint(account_read(f->account, fixture_folder(f, "INBOX"), 50, i * 7000, 7000,
                                     &waiters[i].waiter, &span, NULL),
                        ==, ACCOUNT_WAIT);
    }
    waiter_cancel(&waiters[3].waiter); /* interrupted */
    fake_settle(f);
    for (guint i = 0; i < G_N_ELEMENTS(waiters); i++)
        g_assert_cmpuint(waiters[i].woken, ==, i == 3 ? 0 : 1);
    g_assert_cmpuint(f->account->fetched_bodies, ==, before + 1);
    assert_whole(f, 50);
}

/* A large message goes by itself; the small ones that are asked for in the same turn of the loop,
 * before and after it, go together, and go. */
static void test_small_and_large_at_once(Fixture *f, gconstpointer data)
{
    TestWaiter waiters[3] = {0};
    BodySpan span;
    add_sample(f);
    add(f, 50, 300, 0);
    add(f, 500, LARGE, 0);
    add(f, 900, 300, 0);
    fixture_mount(f);
    for (guint i = 0; i < G_N_ELEMENTS(waiters); i++) {
        static const MailUid uids[] = {50, 500, 900};
        waiters[i].waiter.wake = test_wake;
        g_assert_cmpint(account_read(f->account, fixture_folder(f, "INBOX"), uids[i], 0, 100,
                                     &waiters[i].waiter, &span, NULL),
                        ==, ACCOUNT_WAIT);
    }
    fake_settle(f);
    for (guint i = 0; i < G_N_ELEMENTS(waiters); i++) {
        g_assert_cmpuint(waiters[i].woken, ==, 1);
        test_waiter_clear(&waiters[i]);
    }
}

/* A window that is sent twice, the first time cut off, leaves no trace. */
static void test_lost_in_a_window(Fixture *f, gconstpointer data)
{
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    BodySpan span;
    add_sample(f);
    add(f, 50, LARGE, 0);
    fixture_mount(f);
    const char *body = fake_find(f, "INBOX", 50)->body;
    g_assert_cmpint(account_read(f->account, fixture_folder(f, "INBOX"), 50, LARGE - 10, 10,
                                 &waiter.waiter, &span, NULL),
                    ==, ACCOUNT_WAIT);
    for (guint i = 0; i < 3; i++) {
        RemoteJob *job;
        while (!(job = fake_take(f->remote, 'f')))
            g_main_context_iteration(NULL, TRUE);
        g_assert_true(job->fetch->begin(50, job->length, job->data));
        job->fetch->bytes((const guint8 *)body + job->offset, 1000 + i, job->data);
        fake_run(f->remote, job); /* the protocol layer runs it again */
    }
    fake_settle(f);
    assert_whole(f, 50);
    test_waiter_clear(&waiter);
}

static void test_gone_on_the_server(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    add_sample(f);
    add(f, 50, 70000, 0);
    fixture_mount(f);
    g_ptr_array_remove_index(inbox_of(f)->messages, SIZES_SAMPLE);
    g_assert_null(read_message(f, fixture_folder(f, "INBOX"), 50, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_GONE);
}

static void test_small_budget(Fixture *f, gconstpointer data)
{
    f->config.cache_size = 1000;
    add_sample(f);
    add(f, 50, 70000, 0);
    add(f, 51, LARGE, 0);
    fixture_mount(f);
    for (guint i = 0; i < 2; i++) {
        assert_whole(f, 50);
        assert_whole(f, 51);
    }
}

/* Many half-read messages do not use up the descriptors. */
static void test_half_read(Fixture *f, gconstpointer data)
{
    add_sample(f);
    for (MailUid uid = 100; uid < 200; uid++)
        add(f, uid, 1024 * 1024, 0);
    fixture_mount(f);
    for (MailUid uid = 100; uid < 200; uid++) {
        TestWaiter waiter = {.waiter = {.wake = test_wake}};
        BodySpan span;
        g_assert_cmpint(account_read(f->account, fixture_folder(f, "INBOX"), uid, 0, 1000,
                                     &waiter.waiter, &span, NULL),
                        ==, ACCOUNT_WAIT);
        RemoteJob *job;
        while (!(job = fake_take(f->remote, 'f')))
            g_main_context_iteration(NULL, TRUE);
        fake_run(f->remote, job);
        g_assert_cmpuint(waiter.woken, ==, 1);
    }
    g_assert_cmpuint(f->account->halted.length, <=, 64);
    assert_whole(f, 100);
    assert_whole(f, 199);
}

/* ---- listings ---- */

static guint listed(Fixture *f)
{
    return mailbox_count(folder_mailbox(fixture_folder(f, "INBOX")));
}

static void test_offline(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    add_sample(f);
    add(f, 50, 70000, 0);
    fixture_mount(f);
    fixture_unmount(f);
    fixture_mount(f);
    fake_set_state(f->remote, REMOTE_OFFLINE);
    g_assert_cmpuint(listed(f), ==, SIZES_SAMPLE + 1);
    assert_whole(f, 3);
    g_assert_null(read_message(f, fixture_folder(f, "INBOX"), 50, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_OFFLINE);
}

/* Half a first listing is none, and a later one that breaks takes nothing away. */
static void test_broken_listing(Fixture *f, gconstpointer data)
{
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    g_autoptr(GError) offline = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_OFFLINE, "lost");
    f->config.refresh = 0;
    add_sample(f);
    FakeFolder *trash = f->folders->pdata[1];
    fake_message(trash, 1, "Subject: t\r\n\r\n", 0);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    g_usleep(150 * 1000);
    g_assert_cmpint(account_refresh_messages(f->account, inbox, FALSE, &waiter.waiter, NULL), ==,
                    ACCOUNT_WAIT);
    RemoteJob *job = fake_take(f->remote, 's');
    RemoteMailbox info = {.uidvalidity = 1, .exists = 1};
    job->sync->opened(&info, job->data);
    fake_finish(job, offline);
    g_assert_error(waiter.error, MAIL_ERROR, MAIL_ERROR_OFFLINE);
    g_assert_true(folder_listed(inbox));
    g_assert_cmpuint(listed(f), ==, SIZES_SAMPLE);
    test_waiter_clear(&waiter);

    info.uidvalidity = 2; /* made anew, and the connection lost at once */
    g_usleep(150 * 1000);
    guint32 row = folder_row(inbox);
    account_refresh_messages(f->account, inbox, FALSE, &waiter.waiter, NULL);
    job = fake_take(f->remote, 's');
    job->sync->opened(&info, job->data);
    fake_finish(job, offline);
    g_assert_cmpuint(folder_row(inbox), !=, row);
    g_assert_null(account_folder(f->account, row));
    g_assert_false(folder_listed(inbox));
    g_assert_error(waiter.error, MAIL_ERROR, MAIL_ERROR_OFFLINE);
    test_waiter_clear(&waiter);
}

static void refresh_folders(Fixture *f)
{
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    g_usleep(150 * 1000);
    account_refresh_folders(f->account, &waiter.waiter, NULL);
    fake_settle(f);
    test_waiter_clear(&waiter);
}

static void test_list_of_nothing(Fixture *f, gconstpointer data)
{
    f->config.refresh = 0;
    add_sample(f);
    fake_folder(f, "Work", 0);
    fixture_mount(f);
    Folder *root = account_root(f->account);
    g_autoptr(GPtrArray) all = g_ptr_array_ref(f->folders);
    f->remote->folders = g_ptr_array_new();
    g_ptr_array_add(f->remote->folders, all->pdata[0]);
    refresh_folders(f);
    g_assert_nonnull(folder_child(root, "Work"));
    g_assert_nonnull(folder_child(root, "Trash"));
    GPtrArray *less = f->remote->folders;
    f->remote->folders = all;
    refresh_folders(f);
    f->remote->folders = less;
    refresh_folders(f);
    g_assert_nonnull(folder_child(root, "Work")); /* the doubt starts anew */
    refresh_folders(f);
    g_assert_null(folder_child(root, "Work"));
    g_assert_null(folder_child(root, "Trash"));
    g_assert_nonnull(folder_child(root, "INBOX"));
    g_ptr_array_unref(less);
}

static void test_names_wanted_later(Fixture *f, gconstpointer data)
{
    f->config.headers = FALSE;
    add_sample(f);
    fixture_mount(f);
    fixture_unmount(f);
    f->config.headers = TRUE;
    fixture_mount(f);
    const Message *message = mailbox_find(folder_mailbox(fixture_folder(f, "INBOX")), 7);
    g_assert_cmpstr(message->from, ==, "f7");
}

static void test_keeps_ctime(Fixture *f, gconstpointer data)
{
    MessageInfo before, after;
    f->config.refresh = 0;
    add_sample(f);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    g_assert_true(account_mark_seen(f->account, inbox, SIZES_SAMPLE, NULL));
    fake_settle(f);
    g_assert_true(account_message(f->account, inbox, SIZES_SAMPLE, &before));
    g_assert_cmpint(before.changed, >, 1000);
    g_usleep(150 * 1000);
    account_refresh_behind(f->account, inbox);
    fake_settle(f);
    g_assert_true(account_message(f->account, inbox, SIZES_SAMPLE, &after));
    g_assert_cmpint(after.changed, ==, before.changed);
    g_assert_true(after.flags & MAIL_FLAG_SEEN);
}

/* Half of a large folder goes at once. */
static void test_many_vanish(Fixture *f, gconstpointer data)
{
    f->config.refresh = 0;
    for (MailUid uid = 1; uid <= 20000; uid++)
        add(f, uid, 10, 0);
    fixture_mount(f);
    g_assert_cmpuint(listed(f), ==, 20000);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    for (guint i = 0; i < 20000; i += 2)
        g_ptr_array_add(kept, inbox_of(f)->messages->pdata[i]);
    GPtrArray *all = inbox_of(f)->messages;
    inbox_of(f)->messages = kept;
    g_usleep(150 * 1000);
    account_refresh_behind(f->account, fixture_folder(f, "INBOX"));
    fake_settle(f);
    inbox_of(f)->messages = all;
    g_assert_cmpuint(listed(f), ==, 10000);
    g_assert_cmpuint(f->gone, ==, 10000);
}

/* ---- a disk that takes nothing ---- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &limit), ==, 0);
    limit.rlim_cur = bytes;
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &limit), ==, 0);
}

static void test_full_disk(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) unread = NULL, kept = NULL;
    f->config.refresh = 0;
    add_sample(f);
    add(f, 50, 70000, 0);
    fixture_mount(f);
    Folder *inbox = fixture_folder(f, "INBOX");
    fake_folder(f, "One", 0);
    fake_folder(f, "Two", 0);
    limit_files(0);
    refresh_folders(f);
    Folder *one = fixture_folder(f, "One"), *two = fixture_folder(f, "Two");
    g_assert_cmpuint(folder_row(one), !=, folder_row(two));
    g_assert_true(account_folder(f->account, folder_row(one)) == one);
    g_assert_null(read_message(f, inbox, 50, &unread));
    g_assert_error(unread, MAIL_ERROR, MAIL_ERROR_DISK);
    assert_whole(f, 3); /* cached */
    /* What cannot be made durable is refused, and nothing is sent. */
    g_assert_false(account_remove(f->account, inbox, 3, &kept));
    g_assert_error(kept, MAIL_ERROR, MAIL_ERROR_DISK);
    fake_settle(f);
    g_assert_nonnull(fake_find(f, "INBOX", 3));
    limit_files(RLIM_INFINITY);
    g_hash_table_remove_all(inbox->failures);
    assert_whole(f, 50);
    fixture_unmount(f);
    fixture_mount(f);
    g_assert_nonnull(fixture_folder(f, "Two"));
    g_assert_cmpuint(listed(f), ==, SIZES_SAMPLE + 1);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        void (*test)(Fixture *, gconstpointer);
        int data;
    } tests[] = {
        {"/account/sizes/honest", test_honest, 0},
        {"/account/sizes/lies-at-first", test_lies_at_first, 0},
        {"/account/sizes/lies-later-up", test_lies_later, 500},
        {"/account/sizes/lies-later-down", test_lies_later, -500},
        {"/account/sizes/large", test_large, 0},
        {"/account/sizes/large-uid-last", test_large, 1},
        {"/account/sizes/large-lies", test_large_lies, 0},
        {"/account/sizes/nothing", test_nothing, 0},
        {"/account/downloads/shared", test_shared, 0},
        {"/account/downloads/small-and-large-at-once", test_small_and_large_at_once, 0},
        {"/account/downloads/lost-in-a-window", test_lost_in_a_window, 0},
        {"/account/downloads/gone", test_gone_on_the_server, 0},
        {"/account/downloads/small-budget", test_small_budget, 0},
        {"/account/downloads/half-read", test_half_read, 0},
        {"/account/listings/offline", test_offline, 0},
        {"/account/listings/broken", test_broken_listing, 0},
        {"/account/listings/list-of-nothing", test_list_of_nothing, 0},
        {"/account/listings/names-wanted-later", test_names_wanted_later, 0},
        {"/account/listings/keeps-ctime", test_keeps_ctime, 0},
        {"/account/listings/many-vanish", test_many_vanish, 0},
        {"/account/full-disk", test_full_disk, 0},
    };
    signal(SIGXFSZ, SIG_IGN);
    g_test_init(&argc, &argv, NULL);
    g_log_set_always_fatal(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL); /* warnings are expected */
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++)
        g_test_add(tests[i].path, Fixture, GINT_TO_POINTER(tests[i].data), fixture_set_up,
                   tests[i].test, fixture_tear_down);
    return g_test_run();
}
