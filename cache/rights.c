#include "rights.h"

#include "account-private.h"

#include <string.h>

/* Each of the letters has to be there. RFC 2086, before RFC 4314, had `c` for k and `d` for t, e
 * and x: a server that knows no other letters means those. */
static const struct {
    const char *letters, *old;
} needed[] = {
    [FOLDER_INSERT] = {"i", "i"}, [FOLDER_REMOVE] = {"te", "d"}, [FOLDER_FLAGS] = {"w", "w"},
    [FOLDER_SEEN] = {"s", "s"},   [FOLDER_CREATE] = {"k", "c"},  [FOLDER_DELETE] = {"x", "d"},
};

static gboolean has_right(const char *rights, FolderRight right)
{
    gboolean is_old = !strpbrk(rights, "kxte") && strpbrk(rights, "cd");
    const char *letter = is_old ? needed[right].old : needed[right].letters;
    while (*letter && strchr(rights, *letter))
        letter++;
    return *letter == '\0';
}

gboolean folder_may(const Folder *folder, FolderRight right, GError **error)
{
    gboolean of_folder = right == FOLDER_CREATE || right == FOLDER_DELETE;
    if (!of_folder && !folder_selectable(folder)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "the folder holds only folders, no messages");
        return FALSE;
    }
    gboolean takes = right != FOLDER_INSERT || !folder->account->config.flat;
    if (folder->account->config.read_only || (folder->read_only && !of_folder) || !takes) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_READ_ONLY, "the folder is read-only");
        return FALSE;
    }
    if (folder->rights && !has_right(folder->rights, right)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                    "the server does not allow this in this folder (rights: %s)", folder->rights);
        return FALSE;
    }
    return TRUE;
}
