/* rights.h: what a user may do in a folder, as far as it is known before the server is asked. */
#pragma once

#include "account.h"

typedef enum {
    FOLDER_INSERT, /* put messages into it */
    FOLDER_REMOVE, /* take messages out of it */
    FOLDER_FLAGS,  /* change flags but \Seen and \Deleted */
    FOLDER_SEEN,   /* change \Seen */
} FolderRight;

/* FALSE with MAIL_ERROR_READ_ONLY or MAIL_ERROR_NO_PERMISSION. */
gboolean folder_may(const Folder *folder, FolderRight right, GError **error);
