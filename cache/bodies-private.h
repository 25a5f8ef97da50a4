/* bodies-private.h: what downloads (body-part.c) need of the store (bodies.c). */
#pragma once

#include "bodies.h"

/* Sets MAIL_ERROR_DISK from errno. Returns FALSE. */
gboolean bodies_fail_errno(const char *what, GError **error);
/* The folder's directory, or -1: owned by the store, valid until that of another folder is asked
 * for. */
int bodies_folder_fd(Bodies *bodies, guint32 folder, gboolean make);
/* The file's name in it. */
void bodies_name(char name[16], MailUid uid);
/* A number that no other part has. */
guint64 bodies_next_serial(Bodies *bodies);
/* Evicts the least recently used until `wanted` bytes are gone, or nothing is left to evict.
 * Returns the bytes that are gone. */
guint64 bodies_evict(Bodies *bodies, guint64 wanted);
/* Has the index give back what disk space it can; FALSE when that is none. */
gboolean bodies_trim_index(Bodies *bodies);
/* Takes a file that stands in its place into the store and the index, or removes it. */
gboolean bodies_adopt(Bodies *bodies, guint32 folder, MailUid uid, guint64 bytes, GError **error);
