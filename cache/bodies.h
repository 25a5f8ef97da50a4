/* bodies.h: message bodies on disk: one file each, partial downloads, a byte budget.
 *
 * <directory>/bodies/<folder row>/<uid>; a download is written as <number>.part beside it and
 * renamed when complete, so that a name without suffix is always a whole message. When the store is
 * opened, left-over parts and files that the index does not know are removed, and records without
 * their file; one whose length is not as recorded goes when it is first used. */
#pragma once

#include "index.h"

typedef struct Bodies Bodies;

/* budget: bytes (0: no limit). Uses, does not own, the index. */
Bodies *bodies_open(const char *directory, Index *index, guint64 budget, GError **error);
/* The same for bodies that may be the only copies of their messages: nothing is evicted, a file
 * whose length is not as recorded is set aside (<uid>.damaged), and one that the index does not
 * know is left where it is. */
Bodies *bodies_open_only_copies(const char *directory, Index *index, GError **error);
typedef struct {
    guint32 folder;
    MailUid uid;
    guint64 bytes;
} BodyStray;
/* The files of bodies that the index does not know, found when the store was opened; owned by it.
 */
const GArray *bodies_strays(const Bodies *bodies);
/* Takes one into store and index. */
gboolean bodies_take_in(Bodies *bodies, const BodyStray *stray, GError **error);
void bodies_set_aside(Bodies *bodies, const BodyStray *stray);
/* A descriptor of the folder's directory, the caller's own, or -1. */
int bodies_directory(Bodies *bodies, guint32 folder);
/* Writes the pending use times to the index. No part may be left. */
void bodies_close(Bodies *bodies);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bodies, bodies_close)

/* Whether the whole body is here, and its length. */
gboolean bodies_has(Bodies *bodies, guint32 folder, MailUid uid, guint64 *length);
/* A read-only descriptor of a whole body, from a small cache of open ones (64): owned by the
 * store, valid until the next call into it. Counts as a use. -1 when it is not here (and a record
 * without its file, or with one of another length, is dropped). */
int bodies_fd(Bodies *bodies, guint32 folder, MailUid uid, guint64 *length);
/* Counts as a use, if it is here. */
void bodies_use(Bodies *bodies, guint32 folder, MailUid uid);
/* While pinned (counted) a body is not evicted, and bodies_remove is carried out at the last
 * unpin. A message may be pinned before its body is here. */
void bodies_pin(Bodies *bodies, guint32 folder, MailUid uid);
void bodies_unpin(Bodies *bodies, guint32 folder, MailUid uid);
void bodies_remove(Bodies *bodies, guint32 folder, MailUid uid);
void bodies_remove_folder(Bodies *bodies, guint32 folder);
/* The body of a message, if it is here, is that of another one, too: it was moved or copied. */
void bodies_link(Bodies *bodies, guint32 from, MailUid uid, guint32 to, MailUid new_uid);
/* Bytes on disk, bodies on disk, the budget. */
guint64 bodies_bytes(const Bodies *bodies);
guint bodies_count(const Bodies *bodies);
guint64 bodies_budget(const Bodies *bodies);

/* ---- one download ---- */

typedef struct BodyPart BodyPart;

/* Starts an empty partial body. Several for the same message may exist; the first complete wins. */
BodyPart *bodies_part_new(Bodies *bodies, guint32 folder, GError **error);
/* Drops it and its file, unless completed. */
void body_part_free(BodyPart *part);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BodyPart, body_part_free)
/* Appends at the frontier. FALSE and MAIL_ERROR_DISK when the disk is full or fails: the caller
 * ends the download; the store has by then evicted what it could and tried again once. */
gboolean body_part_append(BodyPart *part, const guint8 *bytes, gsize size, GError **error);
guint64 body_part_frontier(const BodyPart *part); /* bytes that can be read */
int body_part_fd(const BodyPart *part);           /* for pread below the frontier; owned by part */
/* The part is the whole body of `uid`: renamed, recorded in the index, counted; evicts others to
 * meet the budget, never pinned ones, never this one. The part is consumed even on failure. A body
 * larger than the budget is kept until it is unpinned. No fsync: after a power loss the length
 * decides. */
gboolean bodies_part_complete(BodyPart *part, MailUid uid, GError **error);
