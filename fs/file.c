#include "file.h"

#include <string.h>

#include "names.h"
#include "notify.h"
#include "view-eml.h"

/* ---- finding ---- */

guint64 file_arrival_inode(guint32 id)
{
    return inode_make(VIEW_ARRIVAL, 0, id);
}

static gboolean find_arrival(Fs *fs, guint64 inode, File *file)
{
    Arrival *arrival = account_arrival(fs->account, inode_uid(inode));
    if (!arrival)
        return FALSE;
    if (!arrival_message(arrival, &file->folder, &file->uid)) {
        file->arrival = arrival;
        file->folder = arrival_folder(arrival);
    }
    return TRUE;
}

gboolean file_find(Fs *fs, guint64 inode, File *file)
{
    *file = (File){.inode = inode};
    if (inode_view(inode) == VIEW_ARRIVAL)
        return find_arrival(fs, inode, file);
    file->folder = eml_folder(fs, inode);
    file->uid = inode_uid(inode);
    return file->folder && file->uid;
}

gboolean file_lookup(Fs *fs, Folder *folder, const char *name, File *file)
{
    Arrival *arrival = folder_arrival(folder, name);
    *file = (File){.folder = folder, .arrival = arrival};
    if (arrival) {
        file->inode = file_arrival_inode(arrival_id(arrival));
        return TRUE;
    }
    const Message *message = eml_lookup(fs, folder, name, &file->found_by);
    if (!message)
        return FALSE;
    file->uid = message->uid;
    file->inode = inode_make(VIEW_EML, folder_row(folder), message->uid);
    return TRUE;
}

/* ---- attributes ---- */

gboolean file_is_writable(const File *file)
{
    ArrivalInfo info;
    if (!file->arrival)
        return FALSE;
    arrival_info(file->arrival, &info);
    return info.writable;
}

gboolean file_attr(Fs *fs, const File *file, struct stat *attr, double *timeout)
{
    if (!file->arrival) {
        if (!eml_message_attr(fs, file->folder, file->uid, attr, timeout))
            return FALSE;
        attr->st_ino = file->inode;
        return TRUE;
    }
    ArrivalInfo info;
    arrival_info(file->arrival, &info);
    eml_file_attr(fs, file->inode, info.size, info.date, attr);
    *timeout = 0; /* soon it is a message */
    return TRUE;
}

gboolean file_entry(Fs *fs, const File *file, struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){.ino = file->inode,
                                       .entry_timeout = file_is_writable(file) ? 0 : FS_FOREVER};
    return file_attr(fs, file, &entry->attr, &entry->attr_timeout);
}

/* ---- names that the kernel knows ---- */

GHashTable *file_names_new(void)
{
    return g_hash_table_new_full(inode_hash, NULL, NULL, (GDestroyNotify)g_ptr_array_unref);
}

static void remember_name(Fs *fs, guint64 inode, const char *name)
{
    gpointer key = GSIZE_TO_POINTER(inode);
    GPtrArray *names = g_hash_table_lookup(fs->other_names, key);
    if (!names) {
        names = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_insert(fs->other_names, key, names);
    }
    if (!g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
        g_ptr_array_add(names, g_strdup(name));
}

void file_looked_up(Fs *fs, const File *file, guint64 parent, const char *name)
{
    if (file_is_writable(file))
        notifier_entry(fs->notifier, parent, name);
    else if (file->found_by != EML_PROPER)
        remember_name(fs, file->inode, name);
}

static void drop_name(Fs *fs, guint64 parent, const char *name, const char *except)
{
    if (g_strcmp0(name, except) != 0)
        notifier_entry(fs->notifier, parent, name);
}

void file_drop_names(Fs *fs, Folder *folder, const Message *message, const char *except)
{
    guint64 parent = eml_folder_inode(folder);
    guint64 inode = inode_make(VIEW_EML, folder_row(folder), message->uid);
    GPtrArray *names = g_hash_table_lookup(fs->other_names, GSIZE_TO_POINTER(inode));
    char proper[NAMES_MAX + 1];
    eml_name(fs, message, proper);
    drop_name(fs, parent, proper, except);
    for (guint i = 0; names && i < names->len; i++)
        drop_name(fs, parent, names->pdata[i], except);
}

void file_forget_names(Fs *fs, guint64 inode)
{
    g_hash_table_remove(fs->other_names, GSIZE_TO_POINTER(inode));
}
