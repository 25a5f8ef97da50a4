/* secret.h: one password or token, in memory that is neither swapped, dumped nor left behind.
 *
 * memfd_secret where the kernel has it, else mlock + MADV_DONTDUMP; wiped when freed. */
#pragma once

#include <glib.h>

typedef struct Secret Secret;

/* Copies text[0..size) in, and wipes the original in any case. At most 64 KiB: NULL beyond that,
 * or when no memory is to be had. */
Secret *secret_new(char *text, gsize size);
/* Wipes it; NULL is allowed. The memory may be shared with a forked child: of the two, only the
 * process that lives on frees it. */
void secret_free(Secret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Secret, secret_free)
/* After a fork: the child, which keeps the secret, calls the first; the parent, which does not, the
 * second, instead of secret_free(): the two may look at the same pages. NULL is allowed. */
void secret_forked(Secret *secret);
void secret_let_go(Secret *secret);
/* Its bytes, NUL-terminated beyond *size (may be NULL); owned by the secret. Never log them. */
const char *secret_peek(const Secret *secret, gsize *size);
/* Overwrites memory in a way that the compiler does not drop. */
void secret_wipe(gpointer memory, gsize size);
/* Wipes a text that holds a secret, and frees it. NULL is allowed. */
void secret_free_text(char *text);
