/* journal.h: changes on their way to the server: durable here first, merged into sets, sent in the
 * user's order, undone when the server refuses, replayed after a crash.
 *
 * Exactly one of these ends a change: the server's OK; its NO (the change is undone, and the user
 * is told); the message or the mailbox (UIDVALIDITY) being gone. */
#pragma once

#include "account.h"
#include "index.h"

typedef struct Journal Journal;

/* Loads what an earlier run left. */
Journal *journal_new(Account *account, GError **error);
void journal_free(Journal *journal);

/* Changes that are made together, all or none: what is added between these is durable (it survives
 * SIGKILL) when journal_commit returns TRUE, and fsynced before it is sent. When it returns FALSE,
 * and after journal_abort, nothing was added. Rows of the index that belong to them may be written
 * meanwhile. */
gboolean journal_begin(Journal *journal, GError **error);
gboolean journal_commit(Journal *journal, GError **error);
void journal_abort(Journal *journal);

/* Keywords as in keywords.h. The message itself is changed by the caller, after the commit. */
gboolean journal_flags(Journal *journal, Folder *folder, MailUid uid, guint32 add, guint32 remove,
                       const char *add_keywords, const char *remove_keywords, GError **error);
/* kind: any but flags. target: of INDEX_CHANGE_TRASH and _MOVE. arrival: of a move, else 0. */
gboolean journal_remove(Journal *journal, Folder *folder, MailUid uid, IndexChangeKind kind,
                        Folder *target, guint32 arrival, GError **error);

/* The flags to show for a message whose server-side flags are `flags`; *removed: it is not to be
 * shown. */
guint32 journal_overlay(Journal *journal, Folder *folder, MailUid uid, guint32 flags,
                        gboolean *removed);
/* The keywords to show for a message that has these on the server (NULL: none). Free with g_free.
 */
char *journal_keywords(Journal *journal, Folder *folder, MailUid uid, const char *keywords);

/* Takes back the move that an arrival stands for, as if it had never been made; within
 * journal_begin and _commit. FALSE when it is too late: it may have reached the server. */
gboolean journal_take_back(Journal *journal, guint32 arrival);
/* Gives such a move another target; likewise. */
gboolean journal_retarget(Journal *journal, guint32 arrival, Folder *target);
/* Whether an arrival's move may have reached the server, and has not been answered. */
gboolean journal_is_sent(Journal *journal, guint32 arrival);

/* Sends what waits: called when the connection is back, or a barrier wants it now. */
void journal_kick(Journal *journal);
/* The message is gone from the server: nothing is left to do about it. */
void journal_message_gone(Journal *journal, Folder *folder, MailUid uid);
/* UIDVALIDITY changed, or the folder is gone: its changes are void, and that is said. */
void journal_folder_gone(Journal *journal, Folder *folder);
/* Whether changes of this folder are not yet answered. */
gboolean journal_has_folder(Journal *journal, const Folder *folder);
guint journal_pending(Journal *journal);
guint journal_refused(Journal *journal);
/* Keeps for the status page what did not come about (takes ownership of the text). */
void journal_note(Journal *journal, char *text);
void journal_describe(Journal *journal, GString *out);
