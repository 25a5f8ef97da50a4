#include "bodies.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *directory;
    Index *index;
    Bodies *bodies;
} Fixture;

static void open_store(Fixture *f, guint64 budget)
{
    g_autoptr(GError) error = NULL;
    f->index = index_open(f->directory, "account", NULL, &error);
    g_assert_no_error(error);
    f->bodies = bodies_open(f->directory, f->index, budget, &error);
    g_assert_no_error(error);
}

static void close_store(Fixture *f)
{
    g_clear_pointer(&f->bodies, bodies_close);
    g_clear_pointer(&f->index, index_close);
}

static void reopen(Fixture *f)
{
    guint64 budget = bodies_budget(f->bodies);
    close_store(f);
    open_store(f, budget);
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->directory = g_dir_make_tmp("test-bodies-XXXXXX", NULL);
    open_store(f, 10 * 1000);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    for (const char *name; directory && (name = g_dir_read_name(directory));) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        gboolean link = g_file_test(child, G_FILE_TEST_IS_SYMLINK);
        if (!link && g_file_test(child, G_FILE_TEST_IS_DIR))
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
    return g_build_filename(f->directory, "bodies", name, NULL);
}

static gboolean on_disk(const Fixture *f, const char *name)
{
    g_autofree char *path = path_of(f, name);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* The files in a folder's directory. */
static guint count_files(const Fixture *f, const char *folder)
{
    g_autofree char *path = path_of(f, folder);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    guint count = 0;
    while (directory && g_dir_read_name(directory))
        count++;
    return count;
}

static BodyPart *start(Fixture *f, guint32 folder, gsize size)
{
    g_autoptr(GError) error = NULL;
    BodyPart *part = bodies_part_new(f->bodies, folder, &error);
    g_assert_no_error(error);
    g_autofree guint8 *bytes = g_malloc(size);
    memset(bytes, 'x', size);
    g_assert_true(body_part_append(part, bytes, size, &error));
    g_assert_no_error(error);
    return part;
}

static void store(Fixture *f, guint32 folder, MailUid uid, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_assert_true(bodies_part_complete(start(f, folder, size), uid, &error));
    g_assert_no_error(error);
}

static gboolean has(Fixture *f, guint32 folder, MailUid uid)
{
    return bodies_has(f->bodies, folder, uid, NULL);
}

static void put_file(const Fixture *f, const char *name, const char *text)
{
    g_autofree char *path = path_of(f, name);
    g_autofree char *folder = g_path_get_dirname(path);
    g_mkdir(folder, 0700);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void count_body(const IndexBody *body, gpointer data)
{
    guint *count = data;
    (*count)++;
}

static guint count_records(Fixture *f)
{
    guint count = 0;
    g_assert_true(index_each_body(f->index, count_body, &count, NULL));
    return count;
}

/* ---- one download ---- */

static void test_download(Fixture *f, gconstpointer data)
{
    g_autoptr(GError) error = NULL;
    BodyPart *part = bodies_part_new(f->bodies, 7, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(body_part_frontier(part), ==, 0);
    g_assert_true(body_part_append(part, (const guint8 *)"Hello, ", 7, &error));
    g_assert_true(body_part_append(part, (const guint8 *)"world", 5, &error));
    g_assert_cmpuint(body_part_frontier(part), ==, 12);
    char text[32] = "";
    g_assert_cmpint(pread(body_part_fd(part), text, sizeof text, 2), ==, 10);
    g_assert_cmpstr(text, ==, "llo, world");
    g_assert_false(has(f, 7, 1));
    g_assert_cmpint(bodies_fd(f->bodies, 7, 1, NULL), ==, -1);

    g_assert_true(bodies_part_complete(part, 1, &error));
    guint64 length = 0;
    g_assert_true(bodies_has(f->bodies, 7, 1, &length));
    g_assert_cmpuint(length, ==, 12);
    length = 0;
    int fd = bodies_fd(f->bodies, 7, 1, &length);
    g_assert_cmpuint(length, ==, 12);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDONLY);
    g_assert_cmpint(pread(fd, text, sizeof text, 0), ==, 12);
    g_assert_cmpint(memcmp(text, "Hello, world", 12), ==, 0);
    struct stat status;
    g_assert_cmpint(fstat(fd, &status), ==, 0);
    g_assert_cmpuint(status.st_mode & 0777, ==, 0600);

    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 12);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 1);
    g_assert_cmpuint(count_files(f, "7"), ==, 1);
    reopen(f);
    g_assert_true(has(f, 7, 1));
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 12);
}

static void test_abandoned(Fixture *f, gconstpointer data)
{
    body_part_free(start(f, 1, 100));
    g_assert_cmpuint(count_files(f, "1"), ==, 0);
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 0);
}

static void test_first_wins(Fixture *f, gconstpointer data)
{
    BodyPart *one = start(f, 1, 100), *two = start(f, 1, 200);
    g_assert_true(bodies_part_complete(two, 5, NULL));
    g_assert_true(bodies_part_complete(one, 5, NULL));
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 200);
    g_assert_cmpuint(count_files(f, "1"), ==, 1);
}

static void test_empty_body(Fixture *f, gconstpointer data)
{
    BodyPart *part = bodies_part_new(f->bodies, 1, NULL);
    g_assert_true(bodies_part_complete(part, 1, NULL));
    guint64 length = 1;
    g_assert_cmpint(bodies_fd(f->bodies, 1, 1, &length), >=, 0);
    g_assert_cmpuint(length, ==, 0);
}

/* /dev/full stands for a disk without room: the frontier stays, and the
 * message is no longer than it. */
static void test_failed_append(Fixture *f, gconstpointer data)
{
    BodyPart *part = start(f, 1, 100);
    int writable = body_part_fd(part);
    int broken = open("/dev/full", O_RDWR | O_CLOEXEC);
    int kept = dup(writable);
    g_assert_cmpint(dup2(broken, writable), ==, writable);
    g_autoptr(GError) error = NULL;
    g_assert_false(body_part_append(part, (const guint8 *)"abc", 3, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_DISK);
    g_assert_cmpuint(body_part_frontier(part), ==, 100);
    g_assert_cmpint(pwrite(kept, "behind", 6, 100), ==, 6);
    g_assert_cmpint(dup2(kept, writable), ==, writable);
    close(kept);
    close(broken);
    g_assert_true(bodies_part_complete(part, 1, NULL));
    g_assert_cmpint(bodies_fd(f->bodies, 1, 1, NULL), >=, 0);
}

/* ---- eviction ---- */

static void test_budget(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 10; uid++)
        store(f, 1, uid, 1000);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 10);
    g_assert_cmpint(bodies_fd(f->bodies, 1, 1, NULL), >=, 0); /* used: now 2 is the oldest */
    store(f, 2, 1, 1500);
    g_assert_true(has(f, 1, 1));
    g_assert_false(has(f, 1, 2));
    g_assert_false(has(f, 1, 3));
    g_assert_true(has(f, 1, 4));
    g_assert_false(on_disk(f, "1/2"));
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 9500);
    g_assert_cmpuint(count_records(f), ==, 9);
}

static void test_order_survives(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 10; uid++)
        store(f, 1, uid, 1000);
    for (MailUid uid = 10; uid >= 2; uid--)
        g_assert_cmpint(bodies_fd(f->bodies, 1, uid, NULL), >=, 0);
    reopen(f);
    store(f, 1, 11, 2000); /* 1 was used least recently, then 10 */
    g_assert_false(has(f, 1, 1));
    g_assert_false(has(f, 1, 10));
    g_assert_true(has(f, 1, 9));
    g_assert_true(has(f, 1, 2));
}

static void test_larger_than_budget(Fixture *f, gconstpointer data)
{
    store(f, 1, 1, 1000);
    bodies_pin(f->bodies, 1, 2);
    store(f, 1, 2, 50 * 1000);
    g_assert_false(has(f, 1, 1));
    g_assert_true(has(f, 1, 2));
    store(f, 1, 3, 1000); /* itself over the budget now, but just completed */
    g_assert_true(has(f, 1, 3));
    bodies_unpin(f->bodies, 1, 2);
    g_assert_false(has(f, 1, 2));
    g_assert_true(has(f, 1, 3));
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 1000);
}

static void test_pins(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 10; uid++)
        store(f, 1, uid, 1000);
    bodies_pin(f->bodies, 1, 1);
    bodies_pin(f->bodies, 1, 1);
    store(f, 1, 11, 1000);
    g_assert_true(has(f, 1, 1));
    g_assert_false(has(f, 1, 2));
    bodies_unpin(f->bodies, 1, 1);
    store(f, 1, 12, 1000);
    g_assert_true(has(f, 1, 1));
    g_assert_false(has(f, 1, 3));
    bodies_unpin(f->bodies, 1, 1);
    store(f, 1, 13, 1000); /* still the oldest */
    g_assert_false(has(f, 1, 1));
    g_assert_true(has(f, 1, 4));
}

static void test_smaller_budget(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 10; uid++)
        store(f, 1, uid, 1000);
    close_store(f);
    open_store(f, 2500);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 2);
    g_assert_true(has(f, 1, 10));
    close_store(f);
    open_store(f, 0);
    store(f, 1, 1, 100 * 1000);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 3);
}

static void test_descriptors(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 200; uid++)
        store(f, 1, uid, 1);
    int before = dup(0);
    close(before);
    for (int round = 0; round < 3; round++)
        for (MailUid uid = 1; uid <= 200; uid++)
            g_assert_cmpint(bodies_fd(f->bodies, 1, uid, NULL), <, before + 66);
    int fd = bodies_fd(f->bodies, 1, 200, NULL);
    g_assert_cmpint(bodies_fd(f->bodies, 1, 200, NULL), ==, fd);
}

/* ---- removal ---- */

static void test_remove(Fixture *f, gconstpointer data)
{
    store(f, 1, 1, 10);
    store(f, 1, 2, 10);
    g_assert_cmpint(bodies_fd(f->bodies, 1, 1, NULL), >=, 0);
    bodies_remove(f->bodies, 1, 1);
    bodies_remove(f->bodies, 1, 1);
    g_assert_false(has(f, 1, 1));
    g_assert_false(on_disk(f, "1/1"));

    bodies_pin(f->bodies, 1, 2);
    bodies_remove(f->bodies, 1, 2);
    g_assert_cmpint(bodies_fd(f->bodies, 1, 2, NULL), >=, 0);
    bodies_unpin(f->bodies, 1, 2);
    g_assert_false(has(f, 1, 2));
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 0);
    g_assert_cmpuint(count_records(f), ==, 0);

    /* Pinned before its body is here, and removed before that, too. */
    bodies_pin(f->bodies, 1, 3);
    bodies_remove(f->bodies, 1, 3);
    store(f, 1, 3, 10);
    g_assert_true(has(f, 1, 3));
    bodies_unpin(f->bodies, 1, 3);
    g_assert_false(has(f, 1, 3));
}

static void test_remove_folder(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 5; uid++) {
        store(f, 1, uid, 10);
        store(f, 2, uid, 10);
    }
    bodies_pin(f->bodies, 1, 3);
    bodies_remove_folder(f->bodies, 1);
    bodies_remove_folder(f->bodies, 2);
    bodies_remove_folder(f->bodies, 99);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 1);
    g_assert_true(has(f, 1, 3));
    g_assert_false(on_disk(f, "2"));
    bodies_unpin(f->bodies, 1, 3);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 0);
    store(f, 2, 1, 10);
    g_assert_true(has(f, 2, 1));
}

/* ---- what a crash, or somebody else, leaves behind ---- */

static void test_orphans(Fixture *f, gconstpointer data)
{
    store(f, 1, 1, 10);
    close_store(f);
    put_file(f, "1/2", "unknown");
    put_file(f, "1/77.part", "partial");
    put_file(f, "9/1", "unknown folder");
    put_file(f, "1/notes", "not ours");
    put_file(f, "1/007", "not ours");
    open_store(f, 0);
    g_assert_cmpuint(count_files(f, "1"), ==, 3);
    g_assert_false(on_disk(f, "1/2"));
    g_assert_false(on_disk(f, "9"));
    g_assert_false(has(f, 1, 2));
    g_assert_true(has(f, 1, 1));
}

static void test_lost_files(Fixture *f, gconstpointer data)
{
    for (MailUid uid = 1; uid <= 5; uid++)
        store(f, 1, uid, 10);
    close_store(f);
    g_autofree char *first = path_of(f, "1/1"), *second = path_of(f, "1/2");
    g_assert_cmpint(g_remove(first), ==, 0);
    g_assert_cmpint(truncate(second, 9), ==, 0);
    g_autofree char *third = path_of(f, "1/3");
    g_assert_cmpint(truncate(third, 11), ==, 0);
    open_store(f, 0);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 4);
    g_assert_false(has(f, 1, 2));
    g_assert_cmpint(bodies_fd(f->bodies, 1, 3, NULL), ==, -1);
    g_assert_cmpuint(bodies_count(f->bodies), ==, 2);
    g_assert_cmpuint(bodies_bytes(f->bodies), ==, 20);
    g_assert_cmpuint(count_records(f), ==, 2);

    /* While the store is open. */
    g_autofree char *fourth = path_of(f, "1/4");
    g_assert_cmpint(g_remove(fourth), ==, 0);
    g_assert_cmpint(bodies_fd(f->bodies, 1, 4, NULL), ==, -1);
    store(f, 1, 4, 10);
    g_assert_true(has(f, 1, 4));
}

static void test_links(Fixture *f, gconstpointer data)
{
    store(f, 1, 1, 5);
    store(f, 2, 1, 5);
    close_store(f);
    g_autofree char *file = path_of(f, "1/1"), *folder = path_of(f, "2");
    g_autofree char *elsewhere = g_dir_make_tmp("test-bodies-XXXXXX", NULL);
    g_autofree char *target = g_build_filename(elsewhere, "1", NULL);
    g_assert_true(g_file_set_contents(target, "other", 5, NULL));
    g_assert_cmpint(g_remove(file), ==, 0);
    g_assert_cmpint(symlink(target, file), ==, 0);
    remove_tree(folder);
    g_assert_cmpint(symlink(elsewhere, folder), ==, 0);
    open_store(f, 0);
    g_assert_cmpint(bodies_fd(f->bodies, 1, 1, NULL), ==, -1);
    g_assert_cmpint(bodies_fd(f->bodies, 2, 1, NULL), ==, -1);
    g_assert_null(bodies_part_new(f->bodies, 2, NULL));
    g_assert_true(g_file_test(target, G_FILE_TEST_EXISTS));
    remove_tree(elsewhere);
}

/* ---- a full disk ---- */

static void test_full_disk(Fixture *f, gconstpointer data)
{
    close_store(f);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", f->directory, "tmpfs", 0, "size=4m,mode=0700") != 0) {
        g_test_skip("cannot mount a small file system");
        open_store(f, 0);
        return;
    }
    open_store(f, 0);
    for (MailUid uid = 1; uid <= 5; uid++)
        store(f, 1, uid, 512 * 1024);
    bodies_pin(f->bodies, 1, 1);
    store(f, 1, 6, 2 * 1024 * 1024); /* takes the place of 2 and 3, at least */
    g_assert_true(has(f, 1, 1));
    g_assert_false(has(f, 1, 2));
    g_assert_true(has(f, 1, 6));

    bodies_pin(f->bodies, 1, 6);
    g_autoptr(GError) error = NULL;
    BodyPart *part = bodies_part_new(f->bodies, 1, &error);
    g_autofree guint8 *bytes = g_malloc0(3 * 1024 * 1024);
    g_assert_false(body_part_append(part, bytes, 3 * 1024 * 1024, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_DISK);
    body_part_free(part);
    g_assert_true(has(f, 1, 1));
    g_assert_true(has(f, 1, 6));
    g_assert_cmpuint(bodies_count(f->bodies), ==, 2);
    close_store(f);
    g_assert_cmpint(umount(f->directory), ==, 0);
}

/* What the index's WAL takes is given back before a message is refused for want of room. */
static void test_full_of_index(Fixture *f, gconstpointer data)
{
    close_store(f);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", f->directory, "tmpfs", 0, "size=2m,mode=0700") != 0) {
        g_test_skip("cannot mount a small file system");
        open_store(f, 0);
        return;
    }
    open_store(f, 0);
    g_autofree char *text = g_strnfill(4000, 'x');
    for (guint i = 0; i < 160; i++) {
        text[0] = (char)('a' + i % 26);
        g_assert_true(index_set_meta(f->index, "filler", text, NULL));
    }
    store(f, 1, 1, 1024 * 1024);
    g_assert_true(has(f, 1, 1));
    close_store(f);
    g_assert_cmpint(umount(f->directory), ==, 0);
}

static void add(const char *name, void (*test)(Fixture *f, gconstpointer data))
{
    g_autofree char *path = g_strconcat("/bodies/", name, NULL);
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("download", test_download);
    add("abandoned", test_abandoned);
    add("first-wins", test_first_wins);
    add("empty-body", test_empty_body);
    add("failed-append", test_failed_append);
    add("budget", test_budget);
    add("order-survives", test_order_survives);
    add("larger-than-budget", test_larger_than_budget);
    add("pins", test_pins);
    add("smaller-budget", test_smaller_budget);
    add("descriptors", test_descriptors);
    add("remove", test_remove);
    add("remove-folder", test_remove_folder);
    add("orphans", test_orphans);
    add("lost-files", test_lost_files);
    add("links", test_links);
    add("full-disk", test_full_disk);
    add("full-of-index", test_full_of_index);
    return g_test_run();
}
