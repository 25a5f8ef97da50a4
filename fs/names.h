/* names.h: the names of files and folders. Pure; DESIGN "File names".
 *
 * A message's name is a function of (uid, date, from, subject) alone: no table of names exists. */
#pragma once

#include "mail.h"

#define NAMES_MAX 255 /* bytes of one name, as the kernel has it */
#define NAMES_MESSAGE_MAX 200

/* Writes the NUL-terminated name "<date>_<from>_<subject>.<uid><suffix>" into out and returns its length.
 * suffix is ".eml" (or ".txt", at most 8 bytes). from and subject are valid UTF-8, may be "". A field that comes out
 * empty is left out with its underscore: "20260611-0638.7.eml" at the least. At most NAMES_MESSAGE_MAX bytes in all: cut on a
 * character's edge, the subject first to give way, the sender keeps up to 60 bytes; a cut never leaves a trailing '-'.
 * A date before year 0 or after 9999 is shown as 00000000-0000. NFC. */
gsize names_message(char out[NAMES_MAX + 1], MailUid uid, gint64 date, const char *from,
                    const char *subject, const char *suffix);
/* "1234.eml". */
gsize names_uid(char out[NAMES_MAX + 1], MailUid uid, const char *suffix);
/* The uid in a name of either form: digits between the last '.' before the suffix and the suffix,
 * no leading zero, 1..2^32-1. 0 when it is no such name. The caller compares the whole name. */
MailUid names_parse_uid(const char *name, const char *suffix);
gboolean names_is_bare(const char *name, const char *suffix); /* exactly <uid><suffix> */

/* One component of a folder's path, from `text` (decoded UTF-8, or raw bytes where that is not
 * possible): '/', NUL (size), control characters, invalid UTF-8 bytes, and '%' become %XX; so do the first
 * byte of ".", "..", of a leading ".mailfs" when at_root, and the last '.' of a name that ends like a message ("….123.eml", "123.eml").
 * More than 255 bytes: cut on a character's edge and given "%~" and 16 hexadecimal digits of a hash of the whole, which stays unique and
 * stable but is not reversible: such names are looked up by comparing. An empty component becomes "%". Free with g_free. */
char *names_folder(const char *text, gsize size, gboolean at_root);
/* Undoes names_folder: NULL when `name` is not what names_folder would give for its result (so
 * that each folder has one name), or was cut. Free with g_free; *size its length. */
char *names_folder_decode(const char *name, gboolean at_root, gsize *size);
