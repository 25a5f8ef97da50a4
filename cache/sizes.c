/* How long messages are, and what is told of it.
 *
 * RFC822.SIZE is shown as certain once the server's sizes agreed with many bodies and never
 * disagreed. A size that the kernel was once told stays noted with its message: should the server
 * turn out to lie after all, whoever goes by the old size must fail once rather than take a cut
 * message for a whole one. */
#include "account-private.h"

#define SMALL (64 * 1024)

static const char *const names[] = {"unknown", "certain", "wrong"};

void sizes_load(Account *account)
{
    g_autofree char *known = index_get_meta(account->index, "sizes");
    account->sizes = SIZES_UNKNOWN;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_strcmp0(known, names[i]) == 0)
            account->sizes = (SizesState)i;
}

static void remember(Account *account, SizesState sizes)
{
    g_autoptr(GError) error = NULL;
    account->sizes = sizes;
    account_batch(account);
    if (!index_set_meta(account->index, "sizes", names[sizes], &error))
        account_index_failed(account, error);
}

/* The kernel has to ask again for every size that it took from the server. */
static void take_back(Account *account)
{
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, account->by_row);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Folder *folder = value;
        for (guint i = 0; folder->mailbox && i < mailbox_count(folder->mailbox); i++) {
            const Message *message = mailbox_at(folder->mailbox, i);
            if ((message->flags & (MESSAGE_SIZE_SHOWN | MESSAGE_LENGTH_KNOWN)) ==
                MESSAGE_SIZE_SHOWN)
                account->funcs->changed(folder, message->uid, account->data);
        }
    }
}

static void learn(Account *account, guint64 length, guint64 claimed)
{
    if (length != claimed && account->sizes != SIZES_WRONG) {
        g_message("the server misstates sizes (%" G_GUINT64_FORMAT
                  " for a message of %" G_GUINT64_FORMAT " bytes): they are checked from now on",
                  claimed, length);
        remember(account, SIZES_WRONG);
        take_back(account);
    }
    if (length == claimed && account->sizes == SIZES_UNKNOWN &&
        ++account->sizes_agreed >= SIZES_SAMPLE)
        remember(account, SIZES_CERTAIN);
}

void sizes_set_length(Folder *folder, MailUid uid, guint64 length)
{
    Account *account = folder->account;
    g_autoptr(GError) error = NULL;
    Message *message = mailbox_find(folder_mailbox(folder), uid);
    Message *orphan = g_hash_table_lookup(folder->orphans, GUINT_TO_POINTER(uid));
    if (orphan) {
        orphan->size = length;
        orphan->flags |= MESSAGE_LENGTH_KNOWN;
    }
    if (!message || (message->flags & MESSAGE_LENGTH_KNOWN))
        return;
    gboolean differs = message->size != length;
    guint64 claimed = message->size;
    message->size = length;
    message->flags |= MESSAGE_LENGTH_KNOWN;
    learn(account, length, claimed);
    account_batch(account);
    if (!index_set_length(account->index, folder->row, uid, (gint64)length, &error))
        account_index_failed(account, error);
    if (differs)
        account->funcs->changed(folder, uid, account->data);
}

/* ---- measuring ---- */

typedef struct {
    guint64 size;
    MailUid uid;
} Candidate;

static gint smaller(gconstpointer a, gconstpointer b)
{
    const Candidate *first = a, *second = b;
    return first->size < second->size ? -1 : first->size > second->size;
}

/* Before the sizes of a server that is not known yet are shown, some small bodies are measured. */
void sizes_verify(Folder *folder)
{
    Account *account = folder->account;
    if (account->sizes != SIZES_UNKNOWN || folder->verifying > 0)
        return;
    g_autoptr(GArray) candidates = g_array_new(FALSE, FALSE, sizeof(Candidate));
    Mailbox *mailbox = folder_mailbox(folder);
    for (guint i = 0; i < mailbox_count(mailbox); i++) {
        const Message *message = mailbox_at(mailbox, i);
        Candidate candidate = {message->size, message->uid};
        if (message->size <= SMALL && !(message->flags & MESSAGE_LENGTH_KNOWN) &&
            message_visible(folder, message))
            g_array_append_val(candidates, candidate);
    }
    g_array_sort(candidates, smaller);
    for (guint i = 0; i < candidates->len && i < SIZES_SAMPLE; i++)
        downloads_measure(folder, g_array_index(candidates, Candidate, i).uid);
}

/* ---- looking ---- */

Message *account_find(Folder *folder, MailUid uid)
{
    Message *orphan = g_hash_table_lookup(folder->orphans, GUINT_TO_POINTER(uid));
    return orphan ? orphan : mailbox_find(folder_mailbox(folder), uid);
}

/* Nothing is never taken for certain: the kernel would not even ask for the message. */
static gboolean is_certain(const Account *account, const Message *message)
{
    return (message->flags & MESSAGE_LENGTH_KNOWN) ||
           (account->sizes == SIZES_CERTAIN && message->size > 0);
}

gboolean sizes_believed(const Account *account, const Message *message)
{
    return (message->flags & MESSAGE_SIZE_SHOWN) || is_certain(account, message);
}

gboolean account_message(Account *account, Folder *folder, MailUid uid, MessageInfo *info)
{
    Message *message = account_find(folder, uid);
    if (!message)
        return FALSE;
    *info = (MessageInfo){
        .size = message->size,
        .date = message->date,
        .changed = message->changed,
        .flags = message->flags,
        .certain = is_certain(account, message),
        .removed = g_hash_table_contains(folder->orphans, GUINT_TO_POINTER(uid)) ||
                   !message_visible(folder, message),
    };
    if (info->certain && !(message->flags & MESSAGE_LENGTH_KNOWN))
        message->flags |= MESSAGE_SIZE_SHOWN;
    return TRUE;
}
