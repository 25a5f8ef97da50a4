/* keywords.h: flags that are words (RFC 9051 section 2.3.2), as text: separated by single spaces,
 * "" for none. Pure. Words that differ only in their letters' case are the same. */
#pragma once

#include <glib.h>

/* words without `remove`, then what `add` has more. NULL counts as "". Free with g_free. */
char *keywords_apply(const char *words, const char *add, const char *remove);
/* The words of a NULL-terminated list (NULL: none). Free with g_free. */
char *keywords_join(const char *const *list);
