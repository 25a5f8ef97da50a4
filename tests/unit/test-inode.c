#include "inode.h"

#include "xattr.h"

static void check_parts(guint32 row, MailUid uid)
{
    guint64 inode = inode_make(VIEW_EML, row, uid);
    g_assert_cmpuint(inode_view(inode), ==, VIEW_EML);
    g_assert_cmpuint(inode_row(inode), ==, row);
    g_assert_cmpuint(inode_uid(inode), ==, uid);
}

static void test_parts(void)
{
    check_parts(1, 0);
    check_parts(1, 1);
    check_parts(0x3ffffff, G_MAXUINT32);
    g_assert_cmpuint(inode_make(VIEW_EML, 7, 9), ==, G_GUINT64_CONSTANT(7) << 32 | 9);
}

static void test_root(void)
{
    guint64 root = inode_make(VIEW_EML, 0, 0);
    g_assert_cmpuint(root, ==, FUSE_ROOT_ID);
    g_assert_cmpuint(inode_row(root), ==, 0);
    g_assert_cmpuint(inode_uid(root), ==, 0);
    g_assert_cmpuint(inode_make(VIEW_EML, 1, 1), !=, FUSE_ROOT_ID);
}

/* Listing order is inode order: programs that sort by inode walk a folder as it lies. */
static void test_ascending(void)
{
    g_assert_cmpuint(inode_make(VIEW_EML, 3, G_MAXUINT32), <, inode_make(VIEW_EML, 4, 0));
    g_assert_cmpuint(inode_make(VIEW_EML, 4, 0), <, inode_make(VIEW_EML, 4, 1));
}

/* Directories differ in the upper half only. */
static void test_hash(void)
{
    g_autoptr(GHashTable) hashes = g_hash_table_new(NULL, NULL);
    for (guint32 row = 1; row <= 1000; row++)
        g_hash_table_add(
            hashes, GUINT_TO_POINTER(inode_hash(GSIZE_TO_POINTER(inode_make(VIEW_EML, row, 0)))));
    g_assert_cmpuint(g_hash_table_size(hashes), ==, 1000);
}

static void test_counts(void)
{
    Inodes *inodes = inodes_new();
    guint64 one = inode_make(VIEW_EML, 1, 5), two = inode_make(VIEW_EML, 2, 5);
    g_assert_false(inodes_known(inodes, one));
    inodes_looked_up(inodes, one);
    inodes_looked_up(inodes, one);
    inodes_looked_up(inodes, one);
    inodes_looked_up(inodes, two);
    g_assert_cmpuint(inodes_count(inodes), ==, 2);
    g_assert_false(inodes_forget(inodes, one, 2));
    g_assert_true(inodes_known(inodes, one));
    g_assert_true(inodes_forget(inodes, one, 1));
    g_assert_false(inodes_known(inodes, one));
    g_assert_true(inodes_known(inodes, two));
    /* More than was handed out, or of what never was: it is gone in any case. */
    g_assert_true(inodes_forget(inodes, two, G_MAXUINT64));
    g_assert_true(inodes_forget(inodes, two, 1));
    g_assert_cmpuint(inodes_count(inodes), ==, 0);
    inodes_free(inodes);
    inodes_free(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/inode/parts", test_parts);
    g_test_add_func("/inode/root", test_root);
    g_test_add_func("/inode/ascending", test_ascending);
    g_test_add_func("/inode/hash", test_hash);
    g_test_add_func("/inode/counts", test_counts);
    return g_test_run();
}
