/* What is put into folders: moved messages and new files, until the server has them. */
#include "arrivals.h"
#include "fake-remote.h"

#include <string.h>
#include <unistd.h>

#define FIRST "Message-ID: <one@x>\r\nSubject: 1\r\n\r\nfirst\r\n"
#define SECOND "Message-ID: <two@x>\r\nSubject: 2\r\n\r\nsecond\r\n"

static void mount_with(Fixture *f, gboolean move, gboolean mute)
{
    FakeFolder *inbox = f->folders->pdata[0];
    fake_folder(f, "Archive", 0);
    fake_message(inbox, 1, FIRST, 0);
    fake_message(inbox, 2, SECOND, 0);
    fixture_mount(f);
    f->remote->features.move = move;
    f->remote->mute = mute;
}

static FakeFolder *server(Fixture *f, guint folder)
{
    return f->folders->pdata[folder];
}

#define INBOX 0
#define ARCHIVE 2

static guint count(Fixture *f, guint folder)
{
    return server(f, folder)->messages->len;
}

static const char *body(Fixture *f, guint folder, guint at)
{
    return ((FakeMessage *)server(f, folder)->messages->pdata[at])->body;
}

static gboolean is_listed(Fixture *f, const char *folder_name, MailUid uid)
{
    Folder *folder = fixture_folder(f, folder_name);
    const Message *message = mailbox_find(folder_mailbox(folder), uid);
    return message && message_visible(folder, message);
}

static void move_to(Fixture *f, MailUid uid, const char *folder, const char *name)
{
    g_autoptr(GError) error = NULL;
    account_move(f->account, fixture_folder(f, "INBOX"), uid, fixture_folder(f, folder), name,
                 &error);
    g_assert_no_error(error);
}

static Arrival *arrival(Fixture *f, const char *folder, const char *name)
{
    return folder_arrival(fixture_folder(f, folder), name);
}

/* Nothing is left to do, and one message stands in the archive by its own name and the given one.
 */
static void expect_moved(Fixture *f, const char *name, MailUid uid)
{
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    g_assert_null(arrival(f, "Archive", name));
    g_assert_true(is_listed(f, "Archive", uid));
    g_assert_cmpuint(folder_alias(fixture_folder(f, "Archive"), name), ==, uid);
}

/* ---- moves ---- */

static void test_move(Fixture *f, gconstpointer data)
{
    const gboolean *how = data; /* MOVE, mute */
    mount_with(f, how[0], how[1]);
    move_to(f, 1, "Archive", "a.eml");
    g_assert_false(is_listed(f, "INBOX", 1));
    g_assert_nonnull(arrival(f, "Archive", "a.eml"));
    g_assert_cmpuint(account_pending(f->account), ==, 1);
    fake_settle(f);
    g_assert_cmpuint(count(f, INBOX), ==, 1);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    expect_moved(f, "a.eml", 1);
}

static void test_move_refused(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    f->remote->fails = TRUE;
    f->remote->fail = MAIL_ERROR_REFUSED;
    move_to(f, 1, "Archive", "a.eml");
    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "changes refused*");
    fake_settle(f);
    g_test_assert_expected_messages();
    g_assert_true(is_listed(f, "INBOX", 1));
    g_assert_null(arrival(f, "Archive", "a.eml"));
    g_assert_cmpuint(f->arrivals_gone, ==, 1);
    g_assert_cmpuint(account_refused(f->account), ==, 1);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
}

static void kick(Fixture *f)
{
    journal_kick(f->account->journal);
    arrivals_kick(f->account);
    fake_settle(f);
}

/* The copy was made, and the answer lost: it is not made twice. */
static void test_copy_lost(Fixture *f, gconstpointer data)
{
    mount_with(f, FALSE, FALSE);
    f->remote->loses = TRUE;
    move_to(f, 1, "Archive", "a.eml");
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    kick(f);
    g_assert_cmpuint(count(f, INBOX), ==, 1);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    expect_moved(f, "a.eml", 1);
}

/* The same by a crash, and one whose copy was not made. */
static void test_copy_crash(Fixture *f, gconstpointer data)
{
    mount_with(f, FALSE, FALSE);
    f->remote->loses = TRUE;
    move_to(f, 1, "Archive", "a.eml");
    fake_settle(f);
    move_to(f, 2, "Archive", "b.eml");
    fixture_crash(f);
    fixture_mount(f);
    f->remote->features.move = FALSE;
    kick(f);
    g_assert_cmpuint(count(f, INBOX), ==, 0);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 2);
    expect_moved(f, "a.eml", 1);
    expect_moved(f, "b.eml", 2);
}

/* A MOVE that was carried out finds nothing to move when it is repeated. */
static void test_move_crash(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    f->remote->loses = TRUE;
    move_to(f, 1, "Archive", "a.eml");
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    fixture_crash(f);
    fixture_mount(f);
    fake_settle(f);
    g_assert_cmpuint(count(f, INBOX), ==, 1);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    expect_moved(f, "a.eml", 1);
}

static void test_move_back(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    mount_with(f, TRUE, FALSE);
    move_to(f, 1, "Archive", "a.eml");
    account_rename_arrival(f->account, arrival(f, "Archive", "a.eml"), fixture_folder(f, "INBOX"),
                           "b.eml", &error);
    g_assert_no_error(error);
    g_assert_true(is_listed(f, "INBOX", 1));
    g_assert_null(arrival(f, "Archive", "a.eml"));
    g_assert_cmpuint(folder_alias(fixture_folder(f, "INBOX"), "b.eml"), ==, 1);
    fake_settle(f);
    g_assert_cmpstr(f->remote->log->str, ==, "");
    g_assert_cmpuint(count(f, INBOX), ==, 2);
}

/* On, before anything was sent: one command. On, while it is under way: two. */
static void test_move_on(Fixture *f, gconstpointer data)
{
    const gboolean *sent = data;
    g_autoptr(GError) error = NULL;
    mount_with(f, TRUE, FALSE);
    fake_folder(f, "Third", 0);
    fixture_unmount(f);
    fixture_mount(f);
    move_to(f, 1, "Archive", "a.eml");
    RemoteJob *job = NULL;
    while (*sent && !(job = fake_take(f->remote, 'm')))
        g_main_context_iteration(NULL, TRUE);
    account_rename_arrival(f->account, arrival(f, "Archive", "a.eml"), fixture_folder(f, "Third"),
                           "b.eml", &error);
    g_assert_no_error(error);
    g_assert_null(arrival(f, "Archive", "a.eml"));
    g_assert_nonnull(arrival(f, "Third", "b.eml"));
    if (job)
        fake_run(f->remote, job);
    fake_settle(f);
    g_assert_cmpstr(f->remote->log->str, ==, *sent ? "m1 m1 " : "m1 ");
    g_assert_cmpuint(count(f, ARCHIVE), ==, 0);
    g_assert_cmpuint(count(f, 3), ==, 1);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
    g_assert_true(is_listed(f, "Third", 1));
}

static void test_move_removed(Fixture *f, gconstpointer data)
{
    const gboolean *sent = data;
    g_autoptr(GError) error = NULL;
    mount_with(f, TRUE, FALSE);
    move_to(f, 1, "Archive", "a.eml");
    RemoteJob *job = NULL;
    while (*sent && !(job = fake_take(f->remote, 'm')))
        g_main_context_iteration(NULL, TRUE);
    account_remove_arrival(f->account, arrival(f, "Archive", "a.eml"), &error);
    g_assert_no_error(error);
    g_assert_null(arrival(f, "Archive", "a.eml"));
    if (job)
        fake_run(f->remote, job);
    fake_settle(f);
    g_assert_cmpuint(count(f, INBOX), ==, 1);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 0);
    g_assert_cmpuint(count(f, 1), ==, 1); /* in the trash: it is a message, not a new file */
    g_assert_cmpuint(account_pending(f->account), ==, 0);
}

/* A body that is here is not asked for again where the message went. */
static void test_body_moves_along(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    g_autofree char *before = read_message(f, fixture_folder(f, "INBOX"), 1, NULL);
    guint64 fetched = f->account->fetched_bodies;
    move_to(f, 1, "Archive", "a.eml");
    fake_settle(f);
    g_autofree char *after = read_message(f, fixture_folder(f, "Archive"), 1, NULL);
    g_assert_cmpstr(after, ==, FIRST);
    g_assert_cmpuint(f->account->fetched_bodies, ==, fetched);
}

/* A program that has it open by its old number reads it where it went. */
static void test_read_by_old_number(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    Folder *inbox = fixture_folder(f, "INBOX");
    g_hash_table_add(f->known, GUINT_TO_POINTER(1));
    move_to(f, 1, "Archive", "a.eml");
    fake_settle(f);
    bodies_remove(f->account->bodies, inbox->row, 1);
    g_autofree char *text = read_message(f, inbox, 1, NULL);
    g_assert_cmpstr(text, ==, FIRST);
    g_hash_table_remove_all(f->known);
    account_forget(f->account, inbox, 1);
    g_assert_cmpuint(g_hash_table_size(f->account->arrivals->by_id), ==, 0);
}

/* ---- new files ---- */

static Arrival *write_file(Fixture *f, const char *name, const char *text)
{
    g_autoptr(GError) error = NULL;
    Arrival *made = account_create(f->account, fixture_folder(f, "Archive"), name, &error);
    g_assert_no_error(error);
    guint32 id = arrival_id(made);
    g_hash_table_add(f->known_arrivals, GUINT_TO_POINTER(id));
    account_write(f->account, made, 0, text, strlen(text), &error);
    g_assert_no_error(error);
    account_set_date(f->account, made, 1000, &error);
    g_assert_no_error(error);
    return made;
}

static void close_file(Fixture *f, Arrival *made)
{
    guint32 id = arrival_id(made);
    g_hash_table_remove(f->known_arrivals, GUINT_TO_POINTER(id));
    account_arrival_forgotten(f->account, id);
}

static void test_new(Fixture *f, gconstpointer data)
{
    const gboolean *how = data;
    mount_with(f, TRUE, how[1]);
    Arrival *made = write_file(f, "n.eml", "Message-ID: <n@x>\n\nbody\n");
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 0); /* somebody has it open */
    close_file(f, made);
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    g_assert_cmpstr(body(f, ARCHIVE, 0), ==, "Message-ID: <n@x>\r\n\r\nbody\r\n");
    g_assert_cmpint(((FakeMessage *)server(f, ARCHIVE)->messages->pdata[0])->date, ==, 1000);
    expect_moved(f, "n.eml", 1);
}

static void test_new_is_local(Fixture *f, gconstpointer data)
{
    static const char *const names[] = {".n.eml.swp", "n.eml~", "4913", ".#n.eml", "#n#"};
    mount_with(f, TRUE, FALSE);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        close_file(f, write_file(f, names[i], FIRST));
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 0);
    g_autoptr(GError) error = NULL;
    account_rename_arrival(f->account, arrival(f, "Archive", ".n.eml.swp"),
                           fixture_folder(f, "Archive"), "n.eml", &error);
    g_assert_no_error(error);
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    expect_moved(f, "n.eml", 1);
}

static void test_new_refused(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    f->remote->fails = TRUE;
    f->remote->fail = MAIL_ERROR_OVER_QUOTA;
    Arrival *made = write_file(f, "n.eml", FIRST);
    g_autofree char *kept = arrivals_failed_path(f->account->arrivals, made->id, "n.eml");
    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "n.eml was not put into Archive*");
    close_file(f, made);
    fake_settle(f);
    g_test_assert_expected_messages();
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(kept, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, FIRST);
    g_assert_null(arrival(f, "Archive", "n.eml"));
    g_assert_cmpuint(account_refused(f->account), ==, 1);
}

static void test_new_is_no_mail(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    TestWaiter waiter = {.waiter = {.wake = test_wake}};
    g_autoptr(GError) error = NULL;
    Arrival *made = write_file(f, "n.eml", "hello\n");
    g_assert_cmpint(account_arrival_sync(f->account, made, &waiter.waiter, &error), ==,
                    ACCOUNT_WAIT);
    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "n.eml was not put into Archive*");
    fake_settle(f);
    g_test_assert_expected_messages();
    g_assert_cmpint(account_arrival_sync(f->account, made, &waiter.waiter, &error), ==,
                    ACCOUNT_FAILED);
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_INVALID);
    test_waiter_clear(&waiter);
    close_file(f, made);
    g_assert_cmpstr(f->remote->log->str, ==, "");
}

/* An APPEND whose answer was lost is not repeated, one that was not carried out is. */
static void test_new_lost(Fixture *f, gconstpointer data)
{
    const gboolean *crash = data;
    mount_with(f, TRUE, FALSE);
    f->remote->loses = TRUE;
    close_file(f, write_file(f, "a.eml", FIRST));
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 1);
    close_file(f, write_file(f, "b.eml", SECOND));
    while (f->account->arrivals->checks.length > 0)
        g_main_context_iteration(NULL, TRUE);
    if (*crash) {
        fixture_crash(f);
        fixture_mount(f);
    }
    kick(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 2);
    expect_moved(f, "a.eml", 1);
    expect_moved(f, "b.eml", 2);
}

/* What nobody closed before a crash is kept, and not sent. */
static void test_new_unfinished(Fixture *f, gconstpointer data)
{
    const gboolean *written = data; /* its row */
    mount_with(f, TRUE, FALSE);
    guint32 id = arrival_id(write_file(f, "a.eml", FIRST));
    if (*written)
        account_batch_end(f->account);
    fixture_crash(f);
    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "a new file was not complete*");
    fixture_mount(f);
    g_test_assert_expected_messages();
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 0);
    g_autofree char *kept =
        arrivals_failed_path(f->account->arrivals, id, *written ? "a.eml" : "unfinished");
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(kept, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, FIRST);
}

static void test_new_removed(Fixture *f, gconstpointer data)
{
    const gboolean *sent = data;
    g_autoptr(GError) error = NULL;
    mount_with(f, TRUE, FALSE);
    close_file(f, write_file(f, "a.eml", FIRST));
    RemoteJob *job = NULL;
    while (*sent && !(job = fake_take(f->remote, 'a')))
        g_main_context_iteration(NULL, TRUE);
    account_remove_arrival(f->account, arrival(f, "Archive", "a.eml"), &error);
    g_assert_no_error(error);
    if (job)
        fake_run(f->remote, job);
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 0);
    g_assert_cmpuint(count(f, 1), ==, 0); /* nor in the trash */
    g_assert_cmpuint(account_pending(f->account), ==, 0);
}

static void test_new_together(Fixture *f, gconstpointer data)
{
    mount_with(f, TRUE, FALSE);
    f->remote->features.multiappend = TRUE;
    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("n%u.eml", i);
        g_autofree char *text = g_strdup_printf("Message-ID: <%u@x>\r\n\r\nx\r\n", i);
        close_file(f, write_file(f, name, text));
    }
    fake_settle(f);
    g_assert_cmpuint(count(f, ARCHIVE), ==, 10);
    g_assert_cmpuint(strlen(f->remote->log->str), <=, 12); /* few commands */
    for (guint i = 0; i < 10; i++) {
        g_autofree char *name = g_strdup_printf("n%u.eml", i);
        expect_moved(f, name, folder_alias(fixture_folder(f, "Archive"), name));
    }
}

static void test_names(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    mount_with(f, TRUE, FALSE);
    move_to(f, 1, "Archive", "a.eml");
    g_assert_null(account_create(f->account, fixture_folder(f, "Archive"), "a.eml", &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_EXISTS);
    g_clear_error(&error);
    fake_settle(f);
    g_assert_false(account_move(f->account, fixture_folder(f, "INBOX"), 2,
                                fixture_folder(f, "Archive"), "a.eml", &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_EXISTS);
}

/* ---- flags ---- */

static void test_keywords(Fixture *f, gconstpointer data)
{
    static const char *const words[] = {"todo", NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) uids = mail_uid_set_new();
    mount_with(f, TRUE, FALSE);
    Folder *inbox = fixture_folder(f, "INBOX");
    mail_uid_set_add(uids, 1, 5);
    g_assert_true(
        account_set_flags(f->account, inbox, uids, MAIL_FLAG_FLAGGED, 0, words, NULL, &error));
    g_autofree char *shown = account_keywords(f->account, inbox, 1);
    g_assert_cmpstr(shown, ==, "todo");
    fake_settle(f);
    g_assert_cmpstr(f->remote->log->str, ==, "S2 ");
    g_autofree char *kept = index_get_keywords(f->account->index, inbox->row, 2);
    g_assert_cmpstr(kept, ==, "todo");
    inbox->permanent_flags = MAIL_FLAG_SEEN | MAIL_FLAG_DELETED;
    g_assert_false(
        account_set_flags(f->account, inbox, uids, MAIL_FLAG_FLAGGED, 0, NULL, NULL, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    g_assert_false(account_set_flags(f->account, inbox, uids, 0, 0, words, NULL, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED);
    g_assert_cmpuint(account_pending(f->account), ==, 0);
}

int main(int argc, char **argv)
{
    static const gboolean no = FALSE, yes = TRUE;
    static const gboolean ways[4][2] = {{TRUE, FALSE}, {TRUE, TRUE}, {FALSE, FALSE}, {FALSE, TRUE}};
    static const struct {
        const char *name;
        gconstpointer data;
        void (*test)(Fixture *f, gconstpointer data);
    } tests[] = {
        {"move/move", ways[0], test_move},
        {"move/move-mute", ways[1], test_move},
        {"move/copy", ways[2], test_move},
        {"move/copy-mute", ways[3], test_move},
        {"move/refused", NULL, test_move_refused},
        {"move/copy-lost", NULL, test_copy_lost},
        {"move/copy-crash", NULL, test_copy_crash},
        {"move/crash", NULL, test_move_crash},
        {"move/back", NULL, test_move_back},
        {"move/on", &no, test_move_on},
        {"move/on-sent", &yes, test_move_on},
        {"move/removed", &no, test_move_removed},
        {"move/removed-sent", &yes, test_move_removed},
        {"move/body", NULL, test_body_moves_along},
        {"move/old-number", NULL, test_read_by_old_number},
        {"new/told", ways[0], test_new},
        {"new/mute", ways[1], test_new},
        {"new/local", NULL, test_new_is_local},
        {"new/refused", NULL, test_new_refused},
        {"new/no-mail", NULL, test_new_is_no_mail},
        {"new/lost", &no, test_new_lost},
        {"new/crash", &yes, test_new_lost},
        {"new/unfinished", &yes, test_new_unfinished},
        {"new/stray", &no, test_new_unfinished},
        {"new/removed", &no, test_new_removed},
        {"new/removed-sent", &yes, test_new_removed},
        {"new/together", NULL, test_new_together},
        {"names", NULL, test_names},
        {"keywords", NULL, test_keywords},
    };
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/arrivals/", tests[i].name, NULL);
        g_test_add(path, Fixture, tests[i].data, fixture_set_up, tests[i].test, fixture_tear_down);
    }
    return g_test_run();
}
