/* Paths in the mount, as commands name them. They are looked up without the kernel: no inode is
 * made for them, and nobody waits for a listing that is known. */
#include "control-private.h"

#include <string.h>

#include "file.h"
#include "names.h"

static AccountReply no_such_file(GError **error)
{
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_GONE, "no such file or directory");
    return ACCOUNT_FAILED;
}

/* It may be that nothing is known of the folder yet: as with a lookup by the kernel. */
static AccountReply refresh(ControlClient *client, Folder *folder, const GError *woken_by,
                            GError **error)
{
    AccountReply reply = ACCOUNT_FAILED;
    if (woken_by)
        g_propagate_error(error, g_error_copy(woken_by));
    else if (!folder_selectable(folder))
        reply = account_refresh_folders(client->fs->account, &client->waiter, error);
    else
        reply = account_refresh_messages(client->fs->account, folder, TRUE, &client->waiter, error);
    return reply == ACCOUNT_READY ? no_such_file(error) : reply;
}

/* What was just put there, and is on its way to the server. */
static AccountReply await_message(ControlClient *client, Arrival *arrival, const GError *woken_by,
                                  GError **error)
{
    AccountReply reply = ACCOUNT_FAILED;
    if (woken_by)
        g_propagate_error(error, g_error_copy(woken_by));
    else
        reply = account_arrival_await(client->fs->account, arrival, &client->waiter, error);
    return reply == ACCOUNT_READY ? no_such_file(error) : reply;
}

/* In *folder; what was put there is a message once the server has it. */
static AccountReply find_message(ControlClient *client, const char *name, const GError *woken_by,
                                 Folder **folder, MailUid *uid, GError **error)
{
    File file;
    if (!folder_selectable(*folder))
        return no_such_file(error);
    if (file_lookup(client->fs, *folder, name, &file)) {
        *folder = file.folder;
        *uid = file.uid;
        if (!file.arrival || arrival_message(file.arrival, folder, uid))
            return ACCOUNT_READY;
        return await_message(client, file.arrival, woken_by, error);
    }
    if (names_parse_uid(name, EML_SUFFIX) == 0 || folder_listed(*folder))
        return no_such_file(error);
    return refresh(client, *folder, woken_by, error);
}

AccountReply control_find(ControlClient *client, const char *path, const GError *woken_by,
                          Folder **folder, MailUid *uid, GError **error)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    *folder = account_root(client->fs->account);
    *uid = 0;
    if (!folder_selectable(*folder) && !folder_next_child(*folder, 0))
        return refresh(client, *folder, woken_by, error);
    for (guint i = 0; names[i]; i++) {
        Folder *child = *names[i] ? folder_child(*folder, names[i]) : *folder;
        if (!child)
            return names[i + 1] ? no_such_file(error)
                                : find_message(client, names[i], woken_by, folder, uid, error);
        *folder = child;
    }
    return ACCOUNT_READY;
}
