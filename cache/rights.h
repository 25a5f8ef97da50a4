/* rights.h: what a user may do in a folder, as far as it is known before the server is asked. */
#pragma once

#include "account.h"

typedef enum {
    FOLDER_INSERT, /* put messages into it */
    FOLDER_REMOVE, /* take messages out of it */
    FOLDER_FLAGS,  /* change flags but \Seen and \Deleted */
    FOLDER_SEEN,   /* change \Seen */
    FOLDER_CREATE, /* make folders below it */
    FOLDER_DELETE, /* remove or rename it */
} FolderRight;

/* A server that offers ACL (RFC 4314) says what is allowed when the folder is opened; before that,
 * and without it, everything is. FALSE with MAIL_ERROR_READ_ONLY or MAIL_ERROR_NO_PERMISSION. */
gboolean folder_may(const Folder *folder, FolderRight right, GError **error);
