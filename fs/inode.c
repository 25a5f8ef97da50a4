#include "inode.h"

#include <fuse_lowlevel.h>

struct Inodes {
    GHashTable *counts; /* inode -> lookups, both in pointers: nothing is allocated for each */
};

G_STATIC_ASSERT(sizeof(gpointer) >= sizeof(guint64)); /* an inode fits into a pointer */

guint inode_hash(gconstpointer inode)
{
    guint64 number = GPOINTER_TO_SIZE(inode);
    return (guint)(number ^ (number >> 32) * 2654435761u);
}

guint64 inode_make(View view, guint32 row, MailUid uid)
{
    if (view == VIEW_EML && row == 0)
        return FUSE_ROOT_ID;
    return (guint64)view << 58 | (guint64)row << 32 | uid;
}

View inode_view(guint64 inode)
{
    return (View)(inode >> 58);
}

guint32 inode_row(guint64 inode)
{
    return inode == FUSE_ROOT_ID ? 0 : (guint32)(inode >> 32) & 0x3ffffff;
}

MailUid inode_uid(guint64 inode)
{
    return inode == FUSE_ROOT_ID ? 0 : (MailUid)inode;
}

Inodes *inodes_new(void)
{
    Inodes *inodes = g_new0(Inodes, 1);
    inodes->counts = g_hash_table_new(inode_hash, NULL);
    return inodes;
}

void inodes_free(Inodes *inodes)
{
    if (!inodes)
        return;
    g_hash_table_unref(inodes->counts);
    g_free(inodes);
}

void inodes_looked_up(Inodes *inodes, guint64 inode)
{
    gpointer key = GSIZE_TO_POINTER(inode);
    gsize count = GPOINTER_TO_SIZE(g_hash_table_lookup(inodes->counts, key));
    g_hash_table_insert(inodes->counts, key, GSIZE_TO_POINTER(count + 1));
}

gboolean inodes_forget(Inodes *inodes, guint64 inode, guint64 count)
{
    gpointer key = GSIZE_TO_POINTER(inode);
    gsize known = GPOINTER_TO_SIZE(g_hash_table_lookup(inodes->counts, key));
    if (known > count) {
        g_hash_table_insert(inodes->counts, key, GSIZE_TO_POINTER(known - count));
        return FALSE;
    }
    g_hash_table_remove(inodes->counts, key);
    return TRUE;
}

gboolean inodes_known(Inodes *inodes, guint64 inode)
{
    return g_hash_table_contains(inodes->counts, GSIZE_TO_POINTER(inode));
}

guint inodes_count(Inodes *inodes)
{
    return g_hash_table_size(inodes->counts);
}

GArray *inodes_of_view(Inodes *inodes, View view)
{
    GArray *found = g_array_new(FALSE, FALSE, sizeof(guint64));
    GHashTableIter iter;
    gpointer key;
    g_hash_table_iter_init(&iter, inodes->counts);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        guint64 inode = GPOINTER_TO_SIZE(key);
        if (inode_view(inode) == view)
            g_array_append_val(found, inode);
    }
    return found;
}
