/* What may be the only copies of messages, and the uids that they have. */
#include "bodies.h"

#include <glib/gstdio.h>
#include <string.h>

#define FOLDER 1

typedef struct {
    char *directory;
    Index *index;
    Bodies *bodies;
} Fixture;

static void open_store(Fixture *f)
{
    g_autoptr(GError) error = NULL;
    f->index = index_open(f->directory, "account", NULL, &error);
    g_assert_no_error(error);
    f->bodies = bodies_open_only_copies(f->directory, f->index, &error);
    g_assert_no_error(error);
}

static void close_store(Fixture *f)
{
    g_clear_pointer(&f->bodies, bodies_close);
    g_clear_pointer(&f->index, index_close);
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_dir_make_tmp("test-only-copies-XXXXXX", NULL);
    open_store(f);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    for (const char *name; directory && (name = g_dir_read_name(directory));) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR))
            remove_tree(child);
        else
            g_remove(child);
    }
    g_assert_cmpint(g_rmdir(path), ==, 0);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    close_store(f);
    remove_tree(f->directory);
    g_free(f->directory);
}

static char *path_of(const Fixture *f, const char *name)
{
    return g_build_filename(f->directory, "bodies", "1", name, NULL);
}

static void store(Fixture *f, MailUid uid, const char *text)
{
    g_autoptr(GError) error = NULL;
    BodyPart *part = bodies_part_new(f->bodies, FOLDER, &error);
    g_assert_no_error(error);
    body_part_append(part, (const guint8 *)text, strlen(text), &error);
    g_assert_no_error(error);
    bodies_part_complete(part, uid, &error);
    g_assert_no_error(error);
}

static void test_kept(Fixture *f, gconstpointer data)
{
    store(f, 7, "seven");
    close_store(f);
    open_store(f);
    g_assert_true(bodies_has(f->bodies, FOLDER, 7, NULL));
    g_assert_cmpuint(bodies_strays(f->bodies)->len, ==, 0);
    bodies_remove(f->bodies, FOLDER, 7);
    g_autofree char *path = path_of(f, "7");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* A file of another length is no whole message, but it may be what is left of one. */
static void test_damaged(Fixture *f, gconstpointer data)
{
    g_autofree char *path = path_of(f, "7");
    g_autofree char *aside = path_of(f, "7.damaged");
    store(f, 7, "seven");
    close_store(f);
    g_assert_true(g_file_set_contents(path, "sev", -1, NULL));
    open_store(f);
    g_test_expect_message("mailfs", G_LOG_LEVEL_WARNING, "*set aside as 7.damaged");
    g_assert_false(bodies_has(f->bodies, FOLDER, 7, NULL));
    g_test_assert_expected_messages();
    g_assert_true(g_file_test(aside, G_FILE_TEST_EXISTS));
}

/* Without the index the files are still there, and can be taken in. */
static void test_strays(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *database = g_build_filename(f->directory, "index.sqlite", NULL);
    store(f, 7, "seven");
    store(f, 9, "nine");
    close_store(f);
    g_assert_cmpint(g_remove(database), ==, 0);
    open_store(f);
    const GArray *strays = bodies_strays(f->bodies);
    g_assert_cmpuint(strays->len, ==, 2);
    for (guint i = 0; i < strays->len; i++)
        g_assert_true(bodies_take_in(f->bodies, &g_array_index(strays, BodyStray, i), &error));
    guint64 length = 0;
    g_assert_true(bodies_has(f->bodies, FOLDER, 7, &length));
    g_assert_cmpuint(length, ==, 5);
    close_store(f);
    open_store(f);
    g_assert_true(bodies_has(f->bodies, FOLDER, 9, NULL));
}

static void test_identities(Fixture *f, gconstpointer data)
{
    static const char *const first[] = {"uidl:a", "uidl:b"};
    static const char *const second[] = {"uidl:c", "uidl:b"};
    g_autoptr(GError) error = NULL;
    MailUid uids[2], again[2];
    g_assert_true(index_identify(f->index, first, 2, uids, &error));
    g_assert_cmpuint(uids[0], <, uids[1]);
    close_store(f);
    open_store(f);
    g_assert_true(index_identify(f->index, second, 2, again, &error));
    g_assert_cmpuint(again[1], ==, uids[1]);
    g_assert_cmpuint(again[0], >, uids[1]);
    /* Names go with their messages; their uids are not given again. */
    g_assert_true(index_prune_identities(f->index, FOLDER, &error));
    g_assert_true(index_identify(f->index, first, 2, uids, &error));
    g_assert_cmpuint(uids[0], >, again[0]);
    g_assert_true(index_reserve_uid(f->index, 1000, &error));
    g_assert_true(index_identify(f->index, second, 1, again, &error));
    g_assert_cmpuint(again[0], >, 1000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/only-copies/kept", Fixture, NULL, set_up, test_kept, tear_down);
    g_test_add("/only-copies/damaged", Fixture, NULL, set_up, test_damaged, tear_down);
    g_test_add("/only-copies/strays", Fixture, NULL, set_up, test_strays, tear_down);
    g_test_add("/only-copies/identities", Fixture, NULL, set_up, test_identities, tear_down);
    return g_test_run();
}
