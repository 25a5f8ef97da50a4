/* Changes that a user makes to messages where they are: flags, and removals by policy. */
#include "account-private.h"
#include "keywords.h"
#include "rights.h"

#include <string.h>

/* ---- flags ---- */

static void show_flags(Folder *folder, Message *message, guint32 add, guint32 remove)
{
    Account *account = folder->account;
    g_autofree char *keywords = account_keywords(account, folder, message->uid);
    message->flags = (message->flags | add) & ~remove;
    message->flags &= ~(guint32)MESSAGE_KEYWORDS;
    message->flags |= *keywords ? MESSAGE_KEYWORDS : 0;
    message->changed = g_get_real_time() / G_USEC_PER_SEC;
    account->funcs->changed(folder, message->uid, account->data);
    account_event(ACCOUNT_EVENT_FLAGS, folder, message);
}

/* Within a transaction of the journal. Flags that the server does not keep are ours alone: they go
 * into the index at once. */
static gboolean write_flags(Folder *folder, MailUid uid, guint32 add, guint32 remove,
                            const char *add_words, const char *remove_words, GError **error)
{
    Account *account = folder->account;
    if (!remote_features(account->remote)->local_flags)
        return journal_flags(account->journal, folder, uid, add, remove, add_words, remove_words,
                             error);
    const Message *message = mailbox_find(folder_mailbox(folder), uid);
    g_autofree char *known = index_get_keywords(account->index, folder->row, uid);
    g_autofree char *keywords = keywords_apply(known, add_words, remove_words);
    return index_set_flags(account->index, folder->row, uid,
                           ((message->flags | add) & ~remove) & MAIL_FLAGS_SYSTEM, keywords,
                           g_get_real_time() / G_USEC_PER_SEC, error);
}

gboolean account_mark_seen(Account *account, Folder *folder, MailUid uid, GError **error)
{
    Message *message = mailbox_find(folder_mailbox(folder), uid);
    if (!message || !message_visible(folder, message) || (message->flags & MAIL_FLAG_SEEN) ||
        !folder_may(folder, FOLDER_SEEN, NULL))
        return TRUE;
    if (!journal_begin(account->journal, error))
        return FALSE;
    if (!write_flags(folder, uid, MAIL_FLAG_SEEN, 0, NULL, NULL, error)) {
        journal_abort(account->journal);
        return FALSE;
    }
    if (!journal_commit(account->journal, error))
        return FALSE;
    show_flags(folder, message, MAIL_FLAG_SEEN, 0);
    return TRUE;
}

/* RFC 9051 section 7.1, PERMANENTFLAGS: what is not in it would be lost with the session. */
static gboolean keeps(const Folder *folder, guint32 flags, const char *const *keywords,
                      GError **error)
{
    guint32 kept = folder->permanent_flags;
    gboolean known = kept != 0 || folder->permanent_keywords;
    if (!known)
        return TRUE;
    if (flags & MAIL_FLAGS_SYSTEM & ~kept) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                            "the server does not keep this flag in this folder");
        return FALSE;
    }
    for (guint i = 0; keywords && keywords[i] && !(kept & MAIL_FLAG_ANY_KEYWORD); i++) {
        gboolean listed = FALSE;
        for (char **word = folder->permanent_keywords; word && *word; word++)
            listed |= g_ascii_strcasecmp(*word, keywords[i]) == 0;
        if (!listed) {
            g_set_error(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED,
                        "the server does not keep the keyword %s in this folder", keywords[i]);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean may_flag(const Folder *folder, guint32 flags, const char *const *add,
                         const char *const *remove, GError **error)
{
    gboolean words = (add && add[0]) || (remove && remove[0]);
    guint32 others = flags & ~(guint32)(MAIL_FLAG_SEEN | MAIL_FLAG_DELETED);
    return (!(flags & MAIL_FLAG_SEEN) || folder_may(folder, FOLDER_SEEN, error)) &&
           (!(flags & MAIL_FLAG_DELETED) || folder_may(folder, FOLDER_REMOVE, error)) &&
           (!(others || words) || folder_may(folder, FOLDER_FLAGS, error));
}

static GArray *visible_uids(Folder *folder, const GArray *uids)
{
    GArray *visible = g_array_new(FALSE, FALSE, sizeof(MailUid));
    Mailbox *mailbox = folder_mailbox(folder);
    for (guint i = 0; i < uids->len; i++) {
        const MailUidRange *range = &g_array_index(uids, MailUidRange, i);
        guint at = mailbox_position(mailbox, range->first);
        for (; at < mailbox_count(mailbox) && mailbox_at(mailbox, at)->uid <= range->last; at++)
            if (message_visible(folder, mailbox_at(mailbox, at)))
                g_array_append_val(visible, mailbox_at(mailbox, at)->uid);
    }
    return visible;
}

gboolean account_set_flags(Account *account, Folder *folder, const GArray *uids, guint32 add,
                           guint32 remove, const char *const *add_keywords,
                           const char *const *remove_keywords, GError **error)
{
    if (!may_flag(folder, add | remove, add_keywords, remove_keywords, error) ||
        !keeps(folder, add, add_keywords, error))
        return FALSE;
    g_autoptr(GArray) visible = visible_uids(folder, uids);
    g_autofree char *add_words = keywords_join(add_keywords);
    g_autofree char *remove_words = keywords_join(remove_keywords);
    if (visible->len == 0)
        return TRUE;
    if (!journal_begin(account->journal, error))
        return FALSE;
    for (guint i = 0; i < visible->len; i++) {
        if (write_flags(folder, g_array_index(visible, MailUid, i), add, remove, add_words,
                        remove_words, error))
            continue;
        journal_abort(account->journal);
        return FALSE;
    }
    if (!journal_commit(account->journal, error))
        return FALSE;
    for (guint i = 0; i < visible->len; i++) {
        MailUid uid = g_array_index(visible, MailUid, i);
        show_flags(folder, mailbox_find(folder_mailbox(folder), uid), add, remove);
    }
    return TRUE;
}

/* ---- removals ---- */

/* Is the folder the trash, or below it? */
static gboolean in_trash(const Folder *folder, const Folder *trash)
{
    while (folder && folder != trash)
        folder = folder->parent;
    return folder != NULL;
}

gboolean account_removal_kind(Account *account, Folder *folder, IndexChangeKind *kind,
                              Folder **target, GError **error)
{
    AccountDelete policy = account->config.delete_policy;
    Folder *trash = folders_trash(account);
    *target = NULL;
    if (policy == ACCOUNT_DELETE_REFUSE) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "messages are not removed (delete=refuse)");
        return FALSE;
    }
    if (policy == ACCOUNT_DELETE_TRASH && !trash) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "the server has no \\Trash folder: use delete=expunge or delete=mark");
        return FALSE;
    }
    if (policy == ACCOUNT_DELETE_DEFAULT && !trash && account->trash_known) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_NO_PERMISSION,
                            "the \\Trash folder is not there any more, and what is removed now "
                            "would be gone for good: delete=expunge allows that");
        return FALSE;
    }
    if (policy == ACCOUNT_DELETE_MARK) {
        *kind = INDEX_CHANGE_MARK;
    } else if (policy == ACCOUNT_DELETE_EXPUNGE || !trash || in_trash(folder, trash)) {
        *kind = INDEX_CHANGE_EXPUNGE;
    } else {
        *kind = INDEX_CHANGE_TRASH;
        *target = trash;
    }
    return TRUE;
}

void folder_take(Folder *folder, Message *message, AccountEvent event)
{
    folder_orphan(folder, message);
    message->flags |= MESSAGE_REMOVED;
    folder->generation++;
    folder->changed = g_get_real_time() / G_USEC_PER_SEC;
    account_event(event, folder, message);
}

gboolean account_remove_uid(Account *account, Folder *folder, MailUid uid, gboolean for_good,
                            GError **error)
{
    IndexChangeKind kind = INDEX_CHANGE_EXPUNGE;
    Folder *target = NULL;
    Message *message = mailbox_find(folder_mailbox(folder), uid);
    if ((!for_good && !account_removal_kind(account, folder, &kind, &target, error)) ||
        !journal_begin(account->journal, error))
        return FALSE;
    if (!journal_remove(account->journal, folder, uid, kind, target, 0, error)) {
        journal_abort(account->journal);
        return FALSE;
    }
    if (!journal_commit(account->journal, error))
        return FALSE;
    if (message)
        folder_take(folder, message, target ? ACCOUNT_EVENT_MOVED : ACCOUNT_EVENT_GONE);
    return TRUE;
}

gboolean account_remove(Account *account, Folder *folder, MailUid uid, GError **error)
{
    const Message *message = mailbox_find(folder_mailbox(folder), uid);
    if (!message || !message_visible(folder, message)) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_GONE, "there is no such message");
        return FALSE;
    }
    return folder_may(folder, FOLDER_REMOVE, error) &&
           account_remove_uid(account, folder, uid, FALSE, error);
}
