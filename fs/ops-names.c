/* Removing and renaming files. */
#include "ops-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "file.h"
#include "names.h"
#include "notify.h"
#include "park.h"
#include "reply.h"
#include "view-eml.h"
#include "view-failed.h"

/* ---- unlink ---- */

static gboolean remove_message(Fs *fs, const File *file, const char *name, GError **error)
{
    const Message *message = mailbox_find(folder_mailbox(file->folder), file->uid);
    if (g_hash_table_contains(fs->other_names, GSIZE_TO_POINTER(file->inode)))
        file_drop_names(fs, file->folder, message, name);
    return account_remove(fs->account, file->folder, file->uid, error);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    Fs *fs = fuse_req_userdata(req);
    g_autoptr(GError) error = NULL;
    File file;
    Folder *folder = eml_folder(fs, parent);
    fs->counts[COUNT_UNLINK]++;
    if (inode_view(parent) == VIEW_FAILED)
        failed_unlink(req, parent, name);
    else if (!folder || !file_lookup(fs, folder, name, &file))
        reply_code(req, ENOENT);
    else if (!file.arrival && fs->config->delete_policy == CONFIG_DELETE_REFUSE)
        reply_code(req, EPERM);
    else if (file.arrival ? account_remove_arrival(fs->account, file.arrival, &error)
                          : remove_message(fs, &file, name, &error))
        op_changed(req, "unlink", parent, 0);
    else
        reply_error(fs, req, "unlink", parent, error);
}

/* ---- rename ---- */

/* Is there something of that name that must stay? What is still being written, or was never to be
 * sent, may be replaced if the caller allows it: the account knows. */
static gboolean is_taken(Fs *fs, Folder *folder, const char *name, gboolean may_replace)
{
    File there;
    return folder_child(folder, name) ||
           (file_lookup(fs, folder, name, &there) && !(may_replace && there.arrival));
}

static gboolean rename_file(Fs *fs, const File *file, const char *name, Folder *to,
                            const char *new_name, GError **error)
{
    if (file->arrival)
        return account_rename_arrival(fs->account, file->arrival, to, new_name, error);
    const Message *message = mailbox_find(folder_mailbox(file->folder), file->uid);
    if (g_hash_table_contains(fs->other_names, GSIZE_TO_POINTER(file->inode)))
        file_drop_names(fs, file->folder, message, name);
    if (file->folder == to)
        return account_rename_given(fs->account, to, name, new_name, error);
    return account_move(fs->account, file->folder, file->uid, to, new_name, error);
}

/* 0: it may be tried. */
static int check_rename(Fs *fs, Folder *from, const char *name, Folder *to, const char *new_name,
                        unsigned int flags, File *file)
{
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return EINVAL;
    if (strlen(new_name) > NAMES_MAX)
        return ENAMETOOLONG;
    if (!from || !file_lookup(fs, from, name, file))
        return ENOENT;
    if (!to || !folder_selectable(to))
        return EPERM;
    if (is_taken(fs, to, new_name, !(flags & RENAME_NOREPLACE)))
        return EEXIST;
    if (!file->arrival && from == to && file->found_by != EML_GIVEN)
        return EPERM; /* its name is its own */
    return 0;
}

/* Of files of folders. */
static void rename_in_folders(fuse_req_t req, guint64 parent, const char *name, guint64 new_parent,
                              const char *new_name, unsigned int flags)
{
    Fs *fs = fuse_req_userdata(req);
    g_autoptr(GError) error = NULL;
    File file;
    Folder *from = eml_folder(fs, parent), *to = eml_folder(fs, new_parent);
    int code = check_rename(fs, from, name, to, new_name, flags, &file);
    if (code) {
        reply_code(req, code);
        return;
    }
    if (!rename_file(fs, &file, name, to, new_name, &error)) {
        reply_error(fs, req, "rename", parent, error);
        return;
    }
    op_changed(req, "rename", parent, new_parent);
    /* The kernel's entry of the new name has the old number: of a message, which is another one in
     * its new folder, or of a file that may be complete now. The next lookup finds what it is. */
    notifier_entry(fs->notifier, new_parent, new_name);
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
               const char *new_name, unsigned int flags)
{
    Fs *fs = fuse_req_userdata(req);
    fs->counts[COUNT_RENAME]++;
    if (inode_view(parent) == VIEW_FAILED || inode_view(new_parent) == VIEW_FAILED)
        reply_code(req, parent == new_parent ? EPERM : EXDEV); /* mv copies it, then */
    else if (!op_rename_folder(req, parent, name, new_parent, new_name, flags))
        rename_in_folders(req, parent, name, new_parent, new_name, flags);
}
