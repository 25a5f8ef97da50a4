#include "view-eml.h"

#include <string.h>
#include <unistd.h>

#include "names.h"

Folder *eml_folder(Fs *fs, guint64 inode)
{
    return inode_view(inode) == VIEW_EML ? account_folder(fs->account, inode_row(inode)) : NULL;
}

guint64 eml_folder_inode(const Folder *folder)
{
    return folder_parent(folder) ? inode_make(VIEW_EML, folder_row(folder), 0) : FUSE_ROOT_ID;
}

static void attr_owner(struct stat *attr)
{
    attr->st_uid = getuid();
    attr->st_gid = getgid();
    attr->st_blksize = 128 * 1024;
}

void eml_folder_attr(Fs *fs, const Folder *folder, struct stat *attr)
{
    *attr = (struct stat){.st_ino = eml_folder_inode(folder),
                          .st_mode = S_IFDIR | (fs->config->read_only ? 0500 : 0700),
                          .st_nlink = 1}; /* 1: find and fts do not count subdirectories by it */
    attr_owner(attr);
    attr->st_atime = attr->st_mtime = attr->st_ctime = folder_changed(folder);
}

void eml_file_attr(Fs *fs, guint64 inode, guint64 size, gint64 date, struct stat *attr)
{
    *attr = (struct stat){.st_ino = inode,
                          .st_mode = S_IFREG | (fs->config->read_only ? 0400 : 0600),
                          .st_nlink = 1,
                          .st_size = (off_t)MIN(size, (guint64)G_MAXINT64)};
    attr_owner(attr);
    attr->st_blocks = attr->st_size / 512 + (attr->st_size % 512 != 0);
    attr->st_mtime = attr->st_atime = attr->st_ctime = date;
}

gboolean eml_message_attr(Fs *fs, Folder *folder, MailUid uid, struct stat *attr, double *timeout)
{
    MessageInfo info;
    if (!account_message(fs->account, folder, uid, &info))
        return FALSE;
    eml_file_attr(fs, inode_make(VIEW_EML, folder_row(folder), uid), info.size, info.date, attr);
    attr->st_nlink = info.removed ? 0 : 1;
    attr->st_ctime = info.changed;
    *timeout = info.certain ? FS_FOREVER : 0;
    return TRUE;
}

void eml_name(Fs *fs, const Message *message, char *out)
{
    if (fs->config->names_uid)
        names_uid(out, message->uid, EML_SUFFIX);
    else
        names_message(out, message->uid, message->date, message->from, message->subject,
                      EML_SUFFIX);
}

void eml_append_path(Fs *fs, const Folder *folder, const Message *message, GString *out)
{
    char name[NAMES_MAX + 1];
    const Folder *root = account_root(fs->account);
    if (folder != root) {
        const Folder *parent = folder_parent(folder);
        eml_append_path(fs, parent, NULL, out);
        g_string_append_printf(out, "%s%s", parent == root ? "" : "/", folder_label(folder));
    }
    if (!message)
        return;
    eml_name(fs, message, name);
    g_string_append_printf(out, "%s%s", folder == root ? "" : "/", name);
}

static const Message *visible(Folder *folder, MailUid uid)
{
    const Message *message = uid ? mailbox_find(folder_mailbox(folder), uid) : NULL;
    return message && message_visible(folder, message) ? message : NULL;
}

static gboolean has_number_for_name(Folder *folder, MailUid uid)
{
    g_autofree char *given = folder_given_name(folder, uid);
    return given && names_is_bare(given, EML_SUFFIX);
}

const Message *eml_lookup(Fs *fs, Folder *folder, const char *name, EmlName *kind)
{
    char proper[NAMES_MAX + 1];
    if (!folder_selectable(folder))
        return NULL;
    const Message *message = visible(folder, names_parse_uid(name, EML_SUFFIX));
    if (message)
        eml_name(fs, message, proper);
    *kind = EML_PROPER;
    if (message && strcmp(name, proper) == 0)
        return message;
    *kind = EML_GIVEN;
    const Message *given = visible(folder, folder_alias(folder, name));
    if (given)
        return given;
    *kind = EML_BARE;
    return message && names_is_bare(name, EML_SUFFIX) && !has_number_for_name(folder, message->uid)
               ? message
               : NULL;
}
