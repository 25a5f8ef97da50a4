/* names.h: the names of files and folders. Pure.
 *
 * A message's name is a function of (uid, date, from, subject) alone: no table of names exists.
 * Of a text, letters and digits of any script, the marks behind letters, and ".@+=," stay; every
 * run of anything else is one '-'; '_' only separates the fields. NFC. */
#pragma once

#include "mail.h"

#define NAMES_MAX 255 /* bytes of one name, as the kernel has it */
#define NAMES_MESSAGE_MAX 200

/* Writes the NUL-terminated name "<date>_<from>_<subject>.<uid><suffix>" into out and returns its
 * length. suffix is ".eml" (or ".txt", at most 8 bytes). date counts seconds since 1970; one before
 * year 0 or after 9999 is shown as 00000000-0000. from and subject are valid UTF-8, may be "". A
 * field that comes out empty is left out with its underscore: "20260611-0638.7.eml" at the least.
 * At most NAMES_MESSAGE_MAX bytes in all: the sender is cut at 60 bytes, the subject where there is
 * no more room, both on a character's edge. No field begins or ends in '-' or '.'. */
gsize names_message(char out[NAMES_MAX + 1], MailUid uid, gint64 date, const char *from,
                    const char *subject, const char *suffix);
/* "1234.eml". */
gsize names_uid(char out[NAMES_MAX + 1], MailUid uid, const char *suffix);
/* The uid in a name of either form: digits between the last '.' before the suffix and the suffix,
 * no leading zero, 1..2^32-1. 0 when it is no such name. The caller compares the whole name. */
MailUid names_parse_uid(const char *name, const char *suffix);
gboolean names_is_bare(const char *name, const char *suffix); /* exactly <uid><suffix> */

/* One component of a folder's path, from `text` (decoded UTF-8, or raw bytes where that is not
 * possible). These become %XX: '/', '%', control characters (NUL, line ends and those that turn the
 * writing's direction among them), bytes that are not UTF-8; the first byte of ".", "..", and of a
 * leading ".mailfs" when at_root; the last '.' of a name that ends like a message ("123.eml",
 * "x.123.eml"). An empty component becomes "%". What is longer than 255 bytes is cut on a
 * character's edge and given "%~" and 16 hexadecimal digits of a hash of the whole: unique and
 * stable, but not reversible; such names are looked up by comparing. Free with g_free. */
char *names_folder(const char *text, gsize size, gboolean at_root);
/* Undoes names_folder: NULL when `name` is not what names_folder would give for its result (so
 * that each folder has one name), or was cut. *size is its length. Free with g_free. */
char *names_folder_decode(const char *name, gboolean at_root, gsize *size);
