#include "rights.h"

#include "account-private.h"

gboolean folder_may(const Folder *folder, FolderRight right, GError **error)
{
    if (!folder_selectable(folder)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "the folder holds only folders, no messages");
        return FALSE;
    }
    gboolean takes = right != FOLDER_INSERT || !folder->account->config.flat;
    if (folder->account->config.read_only || folder->read_only || !takes) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_READ_ONLY, "the folder is read-only");
        return FALSE;
    }
    return TRUE;
}
