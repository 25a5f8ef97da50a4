/* What the server's answer to a change means here. */
#include "arrivals.h"
#include "journal-private.h"
#include "keywords.h"

/* The index has flags as the server has them. */
static void flags_done(Change *change)
{
    Folder *folder = change->folder;
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    const Message *message = mailbox_find(folder_mailbox(folder), change->uid);
    if (!message)
        return;
    g_autofree char *known = index_get_keywords(account->index, folder->row, change->uid);
    g_autofree char *keywords =
        keywords_apply(known, change->add_keywords, change->remove_keywords);
    if (!index_set_flags(account->index, folder->row, change->uid,
                         message->flags & MAIL_FLAGS_SYSTEM, keywords, message->changed, &error))
        account_index_failed(account, error);
}

/* It stays on the server with \Deleted, and out of sight here. */
static void removal_left(Change *change)
{
    Folder *folder = change->folder;
    Message *message = mailbox_find(folder_mailbox(folder), change->uid);
    if (!message)
        return;
    message->flags |= MAIL_FLAG_DELETED | MESSAGE_HIDDEN;
    message->flags &= ~(guint32)MESSAGE_REMOVED;
    index_set_hidden(folder->account->index, folder->row, change->uid, TRUE, NULL);
    flags_done(change);
}

/* The server said NO: what was shown is taken back. */
static void change_undo(Change *change)
{
    Folder *folder = change->folder;
    Account *account = folder->account;
    Message *message = mailbox_find(folder_mailbox(folder), change->uid);
    if (!message)
        return;
    if (journal_is_removal(change->kind)) {
        message->flags &= ~(guint32)MESSAGE_REMOVED;
        folder_release_orphan(folder, change->uid);
        folder_touch(folder);
        if (message_visible(folder, message))
            account_event(ACCOUNT_EVENT_NEW, folder, message);
        return;
    }
    message->flags = (message->flags & ~change->add) | change->remove;
    account->funcs->changed(folder, change->uid, account->data);
    account_event(ACCOUNT_EVENT_FLAGS, folder, message);
}

void journal_end_change(Journal *journal, Change *change, Ending ending, const char *why,
                        GArray *gone)
{
    Account *account = journal->account;
    gboolean leaves = journal_is_removal(change->kind) && change->kind != INDEX_CHANGE_MARK;
    guint32 arrival = change->arrival;
    if (ending == END_OK && leaves)
        mail_uid_set_add(gone, change->uid, change->uid);
    else if (ending == END_LEFT || (ending == END_OK && change->kind == INDEX_CHANGE_MARK))
        removal_left(change);
    else if (ending == END_OK)
        flags_done(change);
    else
        journal_note_refusal(journal, change, why);
    if (ending == END_REFUSED)
        change_undo(change);
    journal_drop(journal, change);
    if (!arrival)
        return;
    if (ending == END_OK || ending == END_LEFT)
        arrivals_arrived(account, arrival);
    else
        arrivals_refused(account, arrival, NULL, why);
}
