#include "index.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define ACCOUNT "imaps://user@host:993"

typedef struct {
    char *directory;
    Index *index;
} Fixture;

static Index *open_index(const char *directory, gboolean *rebuilt)
{
    g_autoptr(GError) error = NULL;
    Index *index = index_open(directory, ACCOUNT, rebuilt, &error);
    g_assert_no_error(error);
    g_assert_nonnull(index);
    return index;
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_dir_make_tmp("test-index-XXXXXX", NULL);
    gboolean rebuilt = TRUE;
    f->index = open_index(f->directory, &rebuilt);
    g_assert_false(rebuilt);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    for (const char *name; directory && (name = g_dir_read_name(directory));) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        g_remove(child);
    }
    g_assert_cmpint(g_rmdir(path), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    index_close(f->index);
    remove_tree(f->directory);
    g_free(f->directory);
}

static void reopen(Fixture *f)
{
    index_close(f->index);
    gboolean rebuilt = TRUE;
    f->index = open_index(f->directory, &rebuilt);
    g_assert_false(rebuilt);
}

static char *file_in(const Fixture *f, const char *name)
{
    return g_build_filename(f->directory, name, NULL);
}

static void expect_refused(const char *directory, const char *account, int code)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(index_open(directory, account, NULL, &error));
    g_assert_error(error, MAIL_ERROR, code);
}

/* ---- opening ---- */

static void test_permissions(Fixture *f, gconstpointer data)
{
    static const char *const names[] = {"index.sqlite", "index.sqlite-wal", "lock"};
    g_assert_true(index_set_meta(f->index, "a", "b", NULL));
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = file_in(f, names[i]);
        struct stat status;
        g_assert_cmpint(stat(path, &status), ==, 0);
        g_assert_cmpuint(status.st_mode & 0777, ==, 0600);
    }
}

static void test_makes_directory(Fixture *f, gconstpointer data)
{
    g_autofree char *parent = file_in(f, "deep");
    g_autofree char *path = g_build_filename(parent, "account", NULL);
    index_close(open_index(path, NULL));
    struct stat status;
    g_assert_cmpint(stat(path, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 0777, ==, 0700);
    remove_tree(path);
}

static void test_refuses_open_directory(Fixture *f, gconstpointer data)
{
    g_autofree char *path = file_in(f, "open");
    g_assert_cmpint(g_mkdir(path, 0700), ==, 0);
    g_assert_cmpint(g_chmod(path, 0711), ==, 0);
    expect_refused(path, ACCOUNT, MAIL_ERROR_CONFIG);
}

static void test_refuses_link(Fixture *f, gconstpointer data)
{
    g_autofree char *path = file_in(f, "link");
    g_autofree char *slash = g_strconcat(path, "//", NULL);
    g_autofree char *target = g_dir_make_tmp("test-index-XXXXXX", NULL);
    g_assert_cmpint(symlink(target, path), ==, 0);
    expect_refused(path, ACCOUNT, MAIL_ERROR_CONFIG);
    expect_refused(slash, ACCOUNT, MAIL_ERROR_CONFIG);
    g_assert_cmpint(g_rmdir(target), ==, 0); /* nothing was made in it */
}

static void test_lock(Fixture *f, gconstpointer data)
{
    expect_refused(f->directory, ACCOUNT, MAIL_ERROR_IN_USE);
    reopen(f);
}

static void put_folder(Index *index, const char *name)
{
    IndexFolder folder = {.name = (char *)name, .delimiter = '/'};
    g_assert_true(index_put_folder(index, &folder, NULL));
}

static void test_other_account(Fixture *f, gconstpointer data)
{
    put_folder(f->index, "INBOX");
    index_close(g_steal_pointer(&f->index));
    expect_refused(f->directory, "imaps://other@host:993", MAIL_ERROR_CONFIG);
    f->index = open_index(f->directory, NULL);
}

/* The first try had the wrong scheme or port, and nothing came of it. */
static void test_corrected_account(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    index_close(g_steal_pointer(&f->index));
    f->index = index_open(f->directory, "imap://other@host:143", NULL, &error);
    g_assert_no_error(error);
    put_folder(f->index, "INBOX");
    index_close(g_steal_pointer(&f->index));
    expect_refused(f->directory, ACCOUNT, MAIL_ERROR_CONFIG);
}

/* ---- damage ---- */

static void count_folder(const IndexFolder *folder, gpointer data)
{
    guint *count = data;
    (*count)++;
}

static guint count_folders(Index *index)
{
    guint count = 0;
    g_assert_true(index_each_folder(index, count_folder, &count, NULL));
    return count;
}

/* Opens again, expecting that the old database is found unusable and kept aside. */
static void expect_rebuilt(Fixture *f)
{
    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "*moved*lost*");
    gboolean rebuilt = FALSE;
    f->index = open_index(f->directory, &rebuilt);
    g_test_assert_expected_messages();
    g_assert_true(rebuilt);
    g_autofree char *aside = file_in(f, "index.sqlite.damaged");
    g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
    g_assert_cmpuint(count_folders(f->index), ==, 0);
    put_folder(f->index, "INBOX");
    reopen(f);
    g_assert_cmpuint(count_folders(f->index), ==, 1);
}

static void test_no_database(Fixture *f, gconstpointer data)
{
    put_folder(f->index, "INBOX");
    index_close(g_steal_pointer(&f->index));
    g_autofree char *path = file_in(f, "index.sqlite");
    g_autofree char *junk = g_strnfill(10000, 'x');
    g_assert_true(g_file_set_contents(path, junk, -1, NULL));
    expect_rebuilt(f);
}

static void test_truncated(Fixture *f, gconstpointer data)
{
    for (int i = 0; i < 1000; i++)
        put_folder(f->index, "a folder whose name takes some room in the file");
    index_close(g_steal_pointer(&f->index));
    g_autofree char *path = file_in(f, "index.sqlite");
    g_assert_cmpint(truncate(path, 9000), ==, 0);
    expect_rebuilt(f);
}

static void overwrite(const char *path, goffset offset, const void *bytes, gsize size)
{
    int fd = g_open(path, O_WRONLY | O_CLOEXEC, 0);
    g_assert_cmpint(pwrite(fd, bytes, size, offset), ==, size);
    close(fd);
}

static void test_other_schema(Fixture *f, gconstpointer data)
{
    put_folder(f->index, "INBOX");
    index_close(g_steal_pointer(&f->index));
    g_autofree char *path = file_in(f, "index.sqlite");
    static const guint8 version[] = {0, 0, 0, 99};
    overwrite(path, 60, version, sizeof version); /* where the file format has user_version */
    expect_rebuilt(f);
}

/* Damage that is met only while the database is in use. */
static void test_damaged_page(Fixture *f, gconstpointer data)
{
    for (int i = 0; i < 5000; i++)
        put_folder(f->index, "a folder whose name takes some room in the file");
    index_close(g_steal_pointer(&f->index));
    g_autofree char *path = file_in(f, "index.sqlite");
    g_autofree char *junk = g_strnfill(4096, '\xff');
    for (goffset page = 20; page < 60; page++)
        overwrite(path, page * 4096, junk, 4096);
    gboolean rebuilt = TRUE;
    f->index = open_index(f->directory, &rebuilt);
    g_assert_false(rebuilt);
    g_autoptr(GError) error = NULL;
    guint count = 0;
    g_assert_false(index_each_folder(f->index, count_folder, &count, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_DISK);
    g_assert_nonnull(strstr(error->message, "damaged"));

    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "*damaged*moved*");
    index_close(g_steal_pointer(&f->index));
    g_test_assert_expected_messages();
    f->index = open_index(f->directory, NULL);
    g_assert_cmpuint(count_folders(f->index), ==, 0);
}

/* ---- transactions ---- */

static void test_nesting(Fixture *f, gconstpointer data)
{
    g_assert_true(index_begin(f->index, NULL));
    g_assert_true(index_begin(f->index, NULL));
    put_folder(f->index, "a");
    g_assert_true(index_commit(f->index, NULL));
    index_rollback(f->index);
    g_assert_cmpuint(count_folders(f->index), ==, 0);

    g_assert_true(index_begin(f->index, NULL));
    put_folder(f->index, "b");
    g_assert_true(index_begin(f->index, NULL));
    index_rollback(f->index);
    g_autoptr(GError) error = NULL;
    g_assert_false(index_commit(f->index, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_DISK);
    g_assert_cmpuint(count_folders(f->index), ==, 0);

    g_assert_true(index_begin(f->index, NULL));
    put_folder(f->index, "c");
    g_assert_true(index_commit(f->index, NULL));
    reopen(f);
    g_assert_cmpuint(count_folders(f->index), ==, 1);
}

static void test_close_in_transaction(Fixture *f, gconstpointer data)
{
    g_assert_true(index_begin(f->index, NULL));
    put_folder(f->index, "a");
    reopen(f);
    g_assert_cmpuint(count_folders(f->index), ==, 0);
}

static void test_wal(Fixture *f, gconstpointer data)
{
    put_folder(f->index, "a");
    int fd = index_wal_fd(f->index);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fsync(fd), ==, 0);
    close(fd);
    put_folder(f->index, "b"); /* the lock is still held, and the file still the same */
    expect_refused(f->directory, ACCOUNT, MAIL_ERROR_IN_USE);
}

static void test_meta(Fixture *f, gconstpointer data)
{
    g_assert_null(index_get_meta(f->index, "sizes"));
    g_assert_true(index_set_meta(f->index, "sizes", "x", NULL));
    g_assert_true(index_set_meta(f->index, "sizes", "certain", NULL));
    reopen(f);
    g_autofree char *value = index_get_meta(f->index, "sizes");
    g_assert_cmpstr(value, ==, "certain");
}

/* ---- folders ---- */

static void copy_folder(const IndexFolder *folder, gpointer data)
{
    IndexFolder *copy = data;
    g_free(copy->name);
    *copy = *folder;
    copy->name = g_strdup(folder->name);
}

static void test_folders(Fixture *f, gconstpointer data)
{
    IndexFolder folder = {.name = (char *)"IN\xffOX",
                          .delimiter = '.',
                          .flags = MAIL_FOLDER_TRASH,
                          .uidvalidity = G_MAXUINT32,
                          .uidnext = G_MAXUINT32,
                          .modseq = G_MAXINT64,
                          .listed = TRUE};
    g_assert_true(index_put_folder(f->index, &folder, NULL));
    g_assert_cmpuint(folder.row, ==, 1);
    reopen(f);
    IndexFolder read = {0};
    g_assert_true(index_each_folder(f->index, copy_folder, &read, NULL));
    g_assert_cmpstr(read.name, ==, "IN\xffOX");
    g_assert_cmpint(read.delimiter, ==, '.');
    g_assert_cmpuint(read.flags, ==, MAIL_FOLDER_TRASH);
    g_assert_cmpuint(read.uidvalidity, ==, G_MAXUINT32);
    g_assert_cmpuint(read.uidnext, ==, G_MAXUINT32);
    g_assert_cmpuint(read.modseq, ==, G_MAXINT64);
    g_assert_true(read.listed);

    folder.name = (char *)"not taken over";
    folder.delimiter = '\0';
    folder.uidnext = 7;
    folder.listed = FALSE;
    g_assert_true(index_put_folder(f->index, &folder, NULL));
    g_assert_true(index_rename_folder(f->index, folder.row, "Inbox/New", NULL));
    g_assert_true(index_each_folder(f->index, copy_folder, &read, NULL));
    g_assert_cmpuint(read.row, ==, 1);
    g_assert_cmpstr(read.name, ==, "Inbox/New");
    g_assert_cmpint(read.delimiter, ==, '\0');
    g_assert_cmpuint(read.uidnext, ==, 7);
    g_assert_false(read.listed);
    g_free(read.name);
}

static void count_message(const IndexMessage *message, gpointer data)
{
    guint *count = data;
    (*count)++;
}

static void count_change(const IndexChange *change, gpointer data)
{
    guint *count = data;
    (*count)++;
}

static void count_body(const IndexBody *body, gpointer data)
{
    guint *count = data;
    (*count)++;
}

static void fill_folder(Index *index, guint32 row)
{
    IndexMessage message = {.folder = row, .uid = 1};
    IndexBody body = {.folder = row, .uid = 1};
    IndexChange change = {.folder = row, .uid = 1, .kind = INDEX_CHANGE_FLAGS};
    g_assert_true(index_put_message(index, &message, NULL));
    g_assert_true(index_put_body(index, &body, NULL));
    g_assert_true(index_add_change(index, &change, NULL));
}

static void test_remove_folder(Fixture *f, gconstpointer data)
{
    put_folder(f->index, "keep");
    put_folder(f->index, "gone");
    fill_folder(f->index, 1);
    fill_folder(f->index, 2);
    g_assert_true(index_begin(f->index, NULL));
    g_assert_true(index_remove_folder(f->index, 2, NULL));
    g_assert_true(index_commit(f->index, NULL));
    guint messages = 0, bodies = 0, changes = 0;
    g_assert_true(index_each_message(f->index, 2, count_message, &messages, NULL));
    g_assert_cmpuint(messages, ==, 0);
    g_assert_true(index_each_message(f->index, 1, count_message, &messages, NULL));
    g_assert_true(index_each_body(f->index, count_body, &bodies, NULL));
    g_assert_true(index_each_change(f->index, count_change, &changes, NULL));
    g_assert_cmpuint(messages + bodies + changes, ==, 3);
    g_assert_cmpuint(count_folders(f->index), ==, 1);

    /* The row is not used again, not even after a restart. */
    reopen(f);
    IndexFolder folder = {.name = (char *)"new"};
    g_assert_true(index_put_folder(f->index, &folder, NULL));
    g_assert_cmpuint(folder.row, ==, 3);
    g_assert_true(index_remove_folder(f->index, 3, NULL));
    g_assert_true(index_remove_folder(f->index, 3, NULL));
}

/* ---- messages ---- */

static void check_message(const IndexMessage *message, gpointer data)
{
    guint *count = data;
    (*count)++;
    g_assert_cmpuint(message->folder, ==, 3);
    g_assert_cmpuint(message->uid, ==, G_MAXUINT32);
    g_assert_cmpuint(message->flags, ==, MAIL_FLAG_SEEN | MAIL_FLAG_DRAFT);
    g_assert_cmpstr(message->keywords, ==, "$Junk work");
    g_assert_cmpuint(message->size, ==, G_MAXUINT64);
    g_assert_cmpint(message->length, ==, 12);
    g_assert_cmpint(message->date, ==, -1);
    g_assert_cmpint(message->changed, ==, 99);
    g_assert_cmpstr(message->from, ==, "Ålice");
    g_assert_cmpstr(message->subject, ==, "");
    g_assert_cmpstr(message->message_id, ==, "<a@b>");
    g_assert_true(message->hidden);
}

static void test_message(Fixture *f, gconstpointer data)
{
    IndexMessage message = {.folder = 3,
                            .uid = G_MAXUINT32,
                            .size = G_MAXUINT64,
                            .length = -1,
                            .date = -1,
                            .from = "Ålice",
                            .message_id = "<a@b>"};
    g_assert_true(index_put_message(f->index, &message, NULL));
    g_assert_true(index_put_message(f->index, &message, NULL));
    g_assert_true(index_set_flags(f->index, 3, G_MAXUINT32, MAIL_FLAG_SEEN | MAIL_FLAG_DRAFT,
                                  "$Junk work", 99, NULL));
    g_assert_true(index_set_length(f->index, 3, G_MAXUINT32, 12, NULL));
    g_assert_true(index_set_hidden(f->index, 3, G_MAXUINT32, TRUE, NULL));
    reopen(f);
    guint count = 0;
    g_assert_true(index_each_message(f->index, 3, check_message, &count, NULL));
    g_assert_cmpuint(count, ==, 1);
    g_autofree char *keywords = index_get_keywords(f->index, 3, G_MAXUINT32);
    g_assert_cmpstr(keywords, ==, "$Junk work");
    g_assert_null(index_get_keywords(f->index, 3, 1));
    g_assert_true(index_remove_message(f->index, 3, G_MAXUINT32, NULL));
    g_assert_null(index_get_keywords(f->index, 3, G_MAXUINT32));
}

static void expect_next(const IndexMessage *message, gpointer data)
{
    MailUid *next = data;
    g_assert_cmpuint(message->uid, ==, *next);
    g_assert_cmpstr(message->subject, ==, "A subject of the usual length for a message");
    (*next)++;
}

static void test_many(Fixture *f, gconstpointer data)
{
    const guint many = 20 * 1000;
    IndexMessage message = {.folder = 1,
                            .keywords = "",
                            .from = "Somebody With A Name",
                            .subject = "A subject of the usual length for a message",
                            .message_id = "<0123456789abcdef0123@mail.example.org>"};
    g_assert_true(index_begin(f->index, NULL));
    for (MailUid uid = many; uid > 0; uid--) {
        message.uid = uid;
        g_assert_true(index_put_message(f->index, &message, NULL));
    }
    g_assert_true(index_commit(f->index, NULL));
    reopen(f);
    MailUid next = 1;
    g_assert_true(index_each_message(f->index, 1, expect_next, &next, NULL));
    g_assert_cmpuint(next, ==, many + 1);
}

/* ---- changes and bodies ---- */

static void check_change(const IndexChange *change, gpointer data)
{
    gint64 *last = data;
    g_assert_cmpint(change->id, >, *last);
    *last = change->id;
    g_assert_cmpint(change->kind, ==, INDEX_CHANGE_TRASH);
    g_assert_cmpuint(change->folder, ==, 1);
    g_assert_cmpuint(change->uidvalidity, ==, 2);
    g_assert_cmpuint(change->uid, ==, 3);
    g_assert_cmpuint(change->add, ==, 4);
    g_assert_cmpuint(change->remove, ==, 8);
    g_assert_cmpstr(change->add_keywords, ==, "x y");
    g_assert_cmpstr(change->remove_keywords, ==, "");
    g_assert_cmpuint(change->target, ==, 5);
    g_assert_cmpstr(change->target_name, ==, "Trash");
    g_assert_cmpint(change->created, ==, 6);
    g_assert_cmpuint(change->state, ==, 7);
}

static void test_changes(Fixture *f, gconstpointer data)
{
    IndexChange change = {.kind = INDEX_CHANGE_TRASH,
                          .folder = 1,
                          .uidvalidity = 2,
                          .uid = 3,
                          .add = 4,
                          .remove = 8,
                          .add_keywords = "x y",
                          .target = 5,
                          .target_name = "Trash",
                          .created = 6};
    for (gint64 id = 1; id <= 3; id++) {
        g_assert_true(index_add_change(f->index, &change, NULL));
        g_assert_cmpint(change.id, ==, id);
        g_assert_true(index_set_change_state(f->index, id, 7, 0, NULL));
    }
    g_assert_true(index_remove_change(f->index, 3, NULL));
    reopen(f);
    gint64 last = 0;
    g_assert_true(index_each_change(f->index, check_change, &last, NULL));
    g_assert_cmpint(last, ==, 2);
    change.state = 7;
    g_assert_true(index_add_change(f->index, &change, NULL));
    g_assert_cmpint(change.id, ==, 4); /* after a removed one, too */
}

static void check_body_order(const IndexBody *body, gpointer data)
{
    gint64 *last = data;
    g_assert_cmpint(body->used, >=, *last);
    g_assert_cmpuint(body->bytes, ==, body->uid * 100);
    *last = body->used;
}

static void test_bodies(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 100; uid++) {
        IndexBody body = {1, uid, uid * 100, (uid * 37) % 100};
        g_assert_true(index_put_body(f->index, &body, NULL));
    }
    gint64 last = -1;
    g_assert_true(index_each_body(f->index, check_body_order, &last, NULL));
    g_assert_cmpint(last, ==, 99);
    guint count = 0;
    g_assert_true(index_remove_body(f->index, 1, 50, NULL));
    g_assert_true(index_each_body(f->index, count_body, &count, NULL));
    g_assert_cmpuint(count, ==, 99);
}

/* SQLite ends the transaction by itself when the disk is full: nothing of it may stay. */
static void test_full_disk(Fixture *f, gconstpointer data)
{
    index_close(g_steal_pointer(&f->index));
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", f->directory, "tmpfs", 0, "size=4m,mode=0700") != 0) {
        g_test_skip("cannot mount a small file system");
        return;
    }
    f->index = open_index(f->directory, NULL);
    put_folder(f->index, "before");
    g_autofree char *subject = g_strnfill(250, 's');
    IndexMessage message = {.folder = 1, .subject = subject};
    g_autoptr(GError) error = NULL;
    gboolean fits = index_begin(f->index, NULL);
    for (message.uid = 1; fits && message.uid < 100 * 1000; message.uid++)
        fits = index_put_message(f->index, &message, &error);
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_DISK);
    index_put_message(f->index, &message, NULL);
    g_assert_false(index_commit(f->index, NULL));
    guint count = 0;
    g_assert_true(index_each_message(f->index, 1, count_message, &count, NULL));
    g_assert_cmpuint(count, ==, 0);
    put_folder(f->index, "after");
    g_assert_cmpuint(count_folders(f->index), ==, 2);
    index_close(g_steal_pointer(&f->index));
    g_assert_cmpint(umount(f->directory), ==, 0);
}

static void add(const char *name, void (*test)(Fixture *f, gconstpointer data))
{
    g_autofree char *path = g_strconcat("/index/", name, NULL);
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("permissions", test_permissions);
    add("makes-directory", test_makes_directory);
    add("refuses-open-directory", test_refuses_open_directory);
    add("refuses-link", test_refuses_link);
    add("lock", test_lock);
    add("other-account", test_other_account);
    add("corrected-account", test_corrected_account);
    add("no-database", test_no_database);
    add("truncated", test_truncated);
    add("other-schema", test_other_schema);
    add("damaged-page", test_damaged_page);
    add("nesting", test_nesting);
    add("close-in-transaction", test_close_in_transaction);
    add("wal", test_wal);
    add("meta", test_meta);
    add("folders", test_folders);
    add("remove-folder", test_remove_folder);
    add("message", test_message);
    add("many", test_many);
    add("changes", test_changes);
    add("bodies", test_bodies);
    add("full-disk", test_full_disk);
    return g_test_run();
}
