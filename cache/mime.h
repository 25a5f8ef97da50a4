/* mime.h: header text as a person reads it, through GMime. No I/O. */
#pragma once

#include <glib.h>

/* Must be called once, before the others. */
void mime_init(void);
/* The sender of a raw From value: its display name decoded (RFC 2047), else the address, of the
 * first mailbox in it; "" for none. Valid UTF-8 (unknown or lying charsets: as Latin-1 bytes are read),
 * NUL-free, at most 256 bytes, cut on a character's edge. Free with g_free. */
char *mime_sender(const char *raw);
/* A raw Subject (or other unstructured) value, the same way. */
char *mime_text(const char *raw);
