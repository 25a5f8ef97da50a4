/* spool.h: whether a file is a message, and what becomes of its line ends. Touches nothing but the
 * two descriptors that it is given, so it may run on a helper thread. */
#pragma once

#include "mail.h"

typedef struct {
    guint64 size;     /* of what was written, bytes */
    char *message_id; /* "" none; g_free */
} SpoolMessage;

/* Copies a message from its beginning to `out`, which is empty: every line end that is a bare LF
 * becomes CRLF (RFC 5322 section 2.3), nothing else changes. FALSE with MAIL_ERROR_INVALID when it
 * is no message: it has to begin with a header field (a "From " line of an mbox may stand before
 * that) and may hold no NUL, which no IMAP literal can carry; with MAIL_ERROR_DISK when reading or
 * writing fails. */
gboolean spool_convert(int in, int out, SpoolMessage *message, GError **error);
