/* The rows of arrivals and aliases, and what becomes of the database of an older version. */
#include "index-private.h"

#include <glib/gstdio.h>
#include <string.h>

#define ACCOUNT "imaps://alice@example.org:993"

typedef struct {
    char *directory;
    Index *index;
} Fixture;

static Index *open_index(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    gboolean rebuilt = TRUE;
    Index *index = index_open(f->directory, ACCOUNT, &rebuilt, &error);
    g_assert_no_error(error);
    g_assert_false(rebuilt);
    return index;
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_dir_make_tmp("mailfs-test-XXXXXX", NULL);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    static const char *const files[] = {"index.sqlite", "index.sqlite-wal", "lock"};
    g_clear_pointer(&f->index, index_close);
    for (guint i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(f->directory, files[i], NULL);
        g_unlink(path);
    }
    g_rmdir(f->directory);
    g_free(f->directory);
}

static void copy_arrival(const IndexArrival *arrival, gpointer data)
{
    IndexArrival *copy = data;
    g_assert_cmpuint(copy->id, ==, 0); /* one only */
    *copy = *arrival;
    copy->name = g_strdup(arrival->name);
    copy->message_id = g_strdup(arrival->message_id);
}

static void expect_arrival(Fixture *f, const IndexArrival *expected)
{
    IndexArrival got = {0};
    g_assert_true(index_each_arrival(f->index, copy_arrival, &got, NULL));
    g_assert_cmpuint(got.id, ==, expected->id);
    g_assert_cmpuint(got.folder, ==, expected->folder);
    g_assert_cmpstr(got.name, ==, expected->name);
    g_assert_cmpuint(got.state, ==, expected->state);
    g_assert_cmpuint(got.size, ==, expected->size);
    g_assert_cmpint(got.date, ==, expected->date);
    g_assert_cmpuint(got.source, ==, expected->source);
    g_assert_cmpuint(got.source_uid, ==, expected->source_uid);
    g_assert_cmpuint(got.after, ==, expected->after);
    g_assert_cmpuint(got.mark, ==, expected->mark);
    g_assert_cmpuint(got.uid, ==, expected->uid);
    g_assert_cmpint(got.doomed, ==, expected->doomed);
    g_assert_cmpstr(got.message_id, ==, expected->message_id);
    g_free((char *)got.name);
    g_free((char *)got.message_id);
}

static void test_arrivals(Fixture *f, gconstpointer data)
{
    f->index = open_index(f);
    IndexArrival arrival = {.folder = 3,
                            .name = "a \xff name",
                            .state = 2,
                            .size = G_GUINT64_CONSTANT(1) << 40,
                            .date = -5,
                            .source = 7,
                            .source_uid = G_MAXUINT32,
                            .after = 9,
                            .mark = 11,
                            .uid = 13,
                            .message_id = "<x@y>"};
    g_assert_true(index_put_arrival(f->index, &arrival, NULL));
    g_assert_cmpuint(arrival.id, !=, 0);
    expect_arrival(f, &arrival);
    arrival.doomed = TRUE;
    arrival.state = 4;
    arrival.folder = 5;
    arrival.name = "another";
    arrival.uid = 0;
    g_assert_true(index_put_arrival(f->index, &arrival, NULL));
    index_close(f->index);
    f->index = open_index(f);
    expect_arrival(f, &arrival);
    guint32 first = arrival.id;
    g_assert_true(index_remove_arrival(f->index, first, NULL));
    arrival.id = 0;
    g_assert_true(index_put_arrival(f->index, &arrival, NULL));
    g_assert_cmpuint(arrival.id, >, first); /* a number is not used twice */
}

static void test_aliases(Fixture *f, gconstpointer data)
{
    f->index = open_index(f);
    IndexFolder folder = {.name = "INBOX"};
    g_assert_true(index_put_folder(f->index, &folder, NULL));
    g_assert_true(index_put_alias(f->index, folder.row, "report.eml", 5, NULL));
    g_assert_true(index_put_alias(f->index, folder.row, "copy.eml", 5, NULL));
    g_assert_true(index_put_alias(f->index, folder.row, "other.eml", 6, NULL));
    g_assert_true(index_put_alias(f->index, folder.row + 1, "report.eml", 7, NULL));
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "report.eml"), ==, 5);
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "nothing"), ==, 0);
    g_assert_true(index_put_alias(f->index, folder.row, "report.eml", 6, NULL));
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "report.eml"), ==, 6);
    g_assert_true(index_remove_aliases(f->index, folder.row, 6, NULL));
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "report.eml"), ==, 0);
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "other.eml"), ==, 0);
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "copy.eml"), ==, 5);
    g_assert_true(index_remove_folder(f->index, folder.row, NULL));
    g_assert_cmpuint(index_find_alias(f->index, folder.row, "copy.eml"), ==, 0);
    g_assert_cmpuint(index_find_alias(f->index, folder.row + 1, "report.eml"), ==, 7);
}

static void test_message_id(Fixture *f, gconstpointer data)
{
    f->index = open_index(f);
    IndexMessage message = {.folder = 1,
                            .uid = 2,
                            .keywords = "",
                            .length = -1,
                            .from = "",
                            .subject = "",
                            .message_id = "<a@b>"};
    g_assert_true(index_put_message(f->index, &message, NULL));
    g_autofree char *known = index_get_message_id(f->index, 1, 2);
    g_assert_cmpstr(known, ==, "<a@b>");
    g_assert_null(index_get_message_id(f->index, 1, 3));
}

/* ---- an older version's database ---- */

static void make_first(Fixture *f)
{
    static const char rows[] =
        "INSERT INTO meta VALUES ('account', '" ACCOUNT "');"
        "INSERT INTO folders (name, delimiter, flags, uidvalidity, uidnext, modseq, listed)"
        " VALUES ('INBOX', 47, 0, 99, 7, 0, 1);"
        "INSERT INTO changes (kind, folder, uidvalidity, uid, add_flags, remove_flags,"
        " add_keywords, remove_keywords, target, target_name, created, state)"
        " VALUES (2, 1, 99, 6, 0, 0, '', '', 0, '', 1000, 1);"
        "PRAGMA user_version=1";
    g_autofree char *path = g_build_filename(f->directory, "index.sqlite", NULL);
    sqlite3 *db;
    g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, index_schemas[0], NULL, NULL, NULL), ==, SQLITE_OK);
    g_assert_cmpint(sqlite3_exec(db, rows, NULL, NULL, NULL), ==, SQLITE_OK);
    sqlite3_close(db);
}

static void check_change(const IndexChange *change, gpointer data)
{
    guint *count = data;
    g_assert_cmpint(change->kind, ==, INDEX_CHANGE_EXPUNGE);
    g_assert_cmpuint(change->uid, ==, 6);
    g_assert_cmpuint(change->state, ==, 1);
    g_assert_cmpuint(change->arrival, ==, 0);
    g_assert_cmpuint(change->mark, ==, 0);
    (*count)++;
}

static void test_upgrade(Fixture *f, gconstpointer data)
{
    guint count = 0;
    make_first(f);
    f->index = open_index(f);
    g_assert_true(index_each_change(f->index, check_change, &count, NULL));
    g_assert_cmpuint(count, ==, 1); /* a change that was waiting is not lost */
    IndexArrival arrival = {.folder = 1, .name = "x", .message_id = ""};
    g_assert_true(index_put_arrival(f->index, &arrival, NULL));
    index_close(f->index);
    f->index = open_index(f);
    expect_arrival(f, &arrival);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/index/arrivals", Fixture, NULL, set_up, test_arrivals, tear_down);
    g_test_add("/index/aliases", Fixture, NULL, set_up, test_aliases, tear_down);
    g_test_add("/index/message-id", Fixture, NULL, set_up, test_message_id, tear_down);
    g_test_add("/index/upgrade", Fixture, NULL, set_up, test_upgrade, tear_down);
    return g_test_run();
}
