/* netrc.h: the entries of a .netrc file, as ftp(1), curl(1) and git know it. Pure. */
#pragma once

#include <glib.h>

/* Finds the password of the first entry that is for `host` (in any case; "default" is for every
 * host), that has one, and whose login is `user` or not given. Words may be in double quotes,
 * where a backslash takes the next character as it is; '#' where a keyword is due begins a
 * comment; macros are skipped; what stands behind an unknown word is skipped to the next
 * entry. NULL when there is none. Otherwise *size is its length; it lies in `text`, which is
 * changed (quotes are undone in place, so that there is no other copy to wipe). */
char *netrc_find(char *text, gsize size, const char *host, const char *user, gsize *length);
