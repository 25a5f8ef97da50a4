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
/* Durable on return (it survives SIGKILL), fsynced before it is sent. Flags are applied to the
 * message by the caller. */
gboolean journal_flags(Journal *journal, Folder *folder, MailUid uid, guint32 add, guint32 remove,
                       GError **error);
gboolean journal_remove(Journal *journal, Folder *folder, MailUid uid, IndexChangeKind kind,
                        Folder *target, GError **error);
/* The flags to show for a message whose server-side flags are `flags`; *removed: it is not to be
 * shown. */
guint32 journal_overlay(Journal *journal, Folder *folder, MailUid uid, guint32 flags,
                        gboolean *removed);
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
void journal_describe(Journal *journal, GString *out);
