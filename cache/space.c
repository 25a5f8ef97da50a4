/* How much room the server leaves, as it said last: who asks never waits for it. */
#include "account-private.h"

#define YOUNG (10 * G_USEC_PER_SEC)

static void quota_told(guint64 used, guint64 limit, const GError *error, gpointer data)
{
    Account *account = data;
    account->quota_job = NULL;
    account->quota_asked = g_get_monotonic_time();
    if (error)
        return;
    account->quota_used = used;
    account->quota_limit = limit;
}

void space_refresh(Account *account)
{
    gint64 age = g_get_monotonic_time() - account->quota_asked;
    if (account->quota_job || remote_state(account->remote) != REMOTE_ONLINE ||
        !remote_features(account->remote)->quota || (account->quota_asked && age < YOUNG))
        return;
    account->quota_job = remote_quota(account->remote, "INBOX", quota_told, account);
}

static guint64 bytes_in(Folder *folder)
{
    Mailbox *mailbox = folder_mailbox(folder);
    guint64 bytes = 0;
    for (guint i = 0; i < mailbox_count(mailbox); i++)
        if (message_visible(folder, mailbox_at(mailbox, i)))
            bytes += mailbox_at(mailbox, i)->size;
    return bytes;
}

void account_space(Account *account, guint64 *used, guint64 *limit)
{
    space_refresh(account);
    *limit = account->quota_limit;
    *used = account->config.flat ? bytes_in(account_root(account))
            : *limit > 0         ? account->quota_used
                                 : 0;
}
