#include "view-failed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "reply.h"
#include "view-eml.h"

/* Rows of this view. */
enum { ROW_TOP = 1, ROW_FAILED = 2 };

#define TOP_NAME ".mailfs"
#define FAILED_NAME "failed"

static guint64 top_inode(void)
{
    return inode_make(VIEW_FAILED, ROW_TOP, 0);
}

static guint64 failed_inode(guint32 id)
{
    return inode_make(VIEW_FAILED, ROW_FAILED, id);
}

/* ---- what is there ---- */

/* The number in "<id>-<name>"; 0 when it is no such name. */
static guint32 id_of(const char *name)
{
    guint64 id = 0;
    const char *at = name;
    for (; g_ascii_isdigit(*at) && id <= G_MAXUINT32; at++)
        id = id * 10 + (guint64)g_ascii_digit_value(*at);
    return *at == '-' && *name != '0' && id <= G_MAXUINT32 ? (guint32)id : 0;
}

static char *path_of(Fs *fs, const char *name)
{
    return g_build_filename(account_failed_directory(fs->account), name, NULL);
}

static gint compare_ids(gconstpointer a, gconstpointer b)
{
    guint32 first = id_of(*(char *const *)a), second = id_of(*(char *const *)b);
    return (first > second) - (first < second);
}

/* The names of the files, ascending by id. */
static GPtrArray *all_names(Fs *fs)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) directory = g_dir_open(account_failed_directory(fs->account), 0, NULL);
    const char *name;
    while (directory && (name = g_dir_read_name(directory)))
        if (id_of(name))
            g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_ids);
    return names;
}

/* NULL: there is none (any more). */
static char *path_by_id(Fs *fs, guint32 id)
{
    g_autoptr(GPtrArray) names = all_names(fs);
    for (guint i = 0; i < names->len; i++)
        if (id_of(names->pdata[i]) == id)
            return path_of(fs, names->pdata[i]);
    return NULL;
}

/* ---- entries ---- */

static void directory_entry(Fs *fs, guint64 inode, struct fuse_entry_param *entry)
{
    *entry = (struct fuse_entry_param){
        .ino = inode, .attr_timeout = FS_FOREVER, .entry_timeout = FS_FOREVER};
    eml_folder_attr(fs, account_root(fs->account), &entry->attr);
    entry->attr.st_ino = inode;
}

/* What is removed by others than the mount is seen at once: nothing is kept by the kernel. */
static gboolean file_entry_of(Fs *fs, const char *path, guint32 id, struct fuse_entry_param *entry)
{
    struct stat status;
    *entry = (struct fuse_entry_param){.ino = failed_inode(id)};
    if (id == 0 || lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return FALSE;
    eml_file_attr(fs, entry->ino, (guint64)status.st_size, status.st_mtime, &entry->attr);
    return TRUE;
}

static gboolean find(Fs *fs, guint64 parent, const char *name, struct fuse_entry_param *entry)
{
    if (parent == FUSE_ROOT_ID || parent == top_inode()) {
        gboolean top = parent == FUSE_ROOT_ID;
        directory_entry(fs, top ? top_inode() : failed_inode(0), entry);
        return strcmp(name, top ? TOP_NAME : FAILED_NAME) == 0;
    }
    g_autofree char *path = path_of(fs, name);
    return parent == failed_inode(0) && file_entry_of(fs, path, id_of(name), entry);
}

gboolean failed_has(guint64 parent, const char *name)
{
    return inode_view(parent) == VIEW_FAILED ||
           (parent == FUSE_ROOT_ID && strcmp(name, TOP_NAME) == 0);
}

void failed_lookup(fuse_req_t req, guint64 parent, const char *name)
{
    Fs *fs = fuse_req_userdata(req);
    struct fuse_entry_param entry;
    if (find(fs, parent, name, &entry))
        reply_entry(fs, req, &entry);
    else
        reply_code(req, ENOENT);
}

void failed_getattr(fuse_req_t req, guint64 inode)
{
    Fs *fs = fuse_req_userdata(req);
    struct fuse_entry_param entry;
    g_autofree char *path = inode_uid(inode) ? path_by_id(fs, inode_uid(inode)) : NULL;
    if (inode_uid(inode) == 0)
        directory_entry(fs, inode, &entry);
    else if (!path || !file_entry_of(fs, path, inode_uid(inode), &entry)) {
        reply_code(req, ENOENT);
        return;
    }
    reply_attr(req, &entry.attr, entry.attr_timeout);
}

void failed_list(Listing *listing, guint64 inode, guint64 offset)
{
    Fs *fs = dir_listing_fs(listing);
    struct fuse_entry_param entry;
    if (inode == top_inode()) {
        directory_entry(fs, failed_inode(0), &entry);
        if (offset < DIR_FIRST_OFFSET)
            dir_add(listing, FAILED_NAME, &entry, DIR_FIRST_OFFSET);
        return;
    }
    g_autoptr(GPtrArray) names = all_names(fs);
    for (guint i = 0; i < names->len; i++) {
        guint32 id = id_of(names->pdata[i]);
        g_autofree char *path = path_of(fs, names->pdata[i]);
        if (DIR_FIRST_OFFSET + id > offset && file_entry_of(fs, path, id, &entry) &&
            !dir_add(listing, names->pdata[i], &entry, DIR_FIRST_OFFSET + (guint64)id))
            return;
    }
}

/* ---- files ---- */

void failed_read(fuse_req_t req, guint64 inode, gsize size, off_t offset)
{
    Fs *fs = fuse_req_userdata(req);
    g_autofree char *path = path_by_id(fs, inode_uid(inode));
    g_autofree char *bytes = g_malloc(size);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    gsize have = 0;
    ssize_t got = fd >= 0 ? 1 : -1;
    while (got > 0 && have < size) {
        got = pread(fd, bytes + have, size - have, offset + (off_t)have);
        have += got > 0 ? (gsize)got : 0;
    }
    if (got < 0)
        reply_code(req, fd >= 0 ? EIO : ESTALE);
    else
        reply_buffer(req, bytes, have);
    if (fd >= 0)
        close(fd);
}

void failed_unlink(fuse_req_t req, guint64 parent, const char *name)
{
    struct fuse_entry_param entry;
    Fs *fs = fuse_req_userdata(req);
    g_autofree char *path = path_of(fs, name);
    if (!find(fs, parent, name, &entry) || inode_uid(entry.ino) == 0)
        reply_code(req, ENOENT);
    else if (unlink(path) != 0)
        reply_code(req, errno == ENOENT ? ENOENT : EIO);
    else
        reply_code(req, 0);
}
