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

gboolean account_space(Account *account, guint64 *used, guint64 *limit)
{
    space_refresh(account);
    *used = account->quota_used;
    *limit = account->quota_limit;
    return *limit > 0;
}
