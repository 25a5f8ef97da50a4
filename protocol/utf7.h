/* utf7.h: modified UTF-7, as IMAP4rev1 names mailboxes. RFC 3501 section 5.1.3. Pure. */
#pragma once

#include <glib.h>

/* The UTF-8 of a mailbox name on the wire. NULL when it is not canonical modified UTF-7 (8-bit
 * bytes, an open shift, wrong padding bits, lone surrogates, an encoded printable ASCII): such a
 * name must be shown some other way. Round trip: utf7_encode(utf7_decode(x)) equals x for every x
 * that decodes. Free with g_free. */
char *utf7_decode(const char *name);
/* The other way; NULL when `name` is not valid UTF-8. Free with g_free. */
char *utf7_encode(const char *name);
