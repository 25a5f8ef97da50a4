/* mime.h: header text as a person reads it. No I/O, no recursion, time linear in the input, of
 * which at most 4 KiB are looked at: it comes from strangers. */
#pragma once

#include <glib.h>

/* Must be called once, before the others. */
void mime_init(void);
/* The sender of a raw From value: its display name decoded (RFC 2047), else the address, of the
 * first mailbox in it; "" for none. Valid UTF-8 (bytes of an unknown or lying charset are read as
 * UTF-8 where they are that, else as Latin-1), without control characters, each run of blanks one
 * space, at most 256 bytes, cut on a character's edge. Free with g_free. */
char *mime_sender(const char *raw);
/* A raw Subject (or other unstructured) value, the same way. */
char *mime_text(const char *raw);
/* When a message arrived, in seconds UTC, by its header: the date of the topmost Received field,
 * else that of Date, else now. */
gint64 mime_date(const char *header, gsize size);
