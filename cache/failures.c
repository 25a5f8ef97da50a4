/* Messages that could not be fetched a moment ago: the kernel repeats a failed READ at once, and
 * each program asks anew, so for a while the answer is the same without asking the server. */
#include "account-private.h"

#define FAIL_FOR (3 * G_USEC_PER_SEC) /* the kernel repeats a failed READ at once */

typedef struct {
    GError *error;
    gint64 until; /* monotonic */
} Failure;

void failure_free(gpointer data)
{
    Failure *failure = data;
    g_error_free(failure->error);
    g_free(failure);
}

void failure_note(Folder *folder, MailUid uid, const GError *error)
{
    Failure *failure = g_new0(Failure, 1);
    failure->error = g_error_copy(error);
    failure->until = g_get_monotonic_time() + FAIL_FOR;
    g_hash_table_insert(folder->failures, GUINT_TO_POINTER(uid), failure);
}

const GError *failure_now(Folder *folder, MailUid uid)
{
    Failure *failure = g_hash_table_lookup(folder->failures, GUINT_TO_POINTER(uid));
    if (failure && g_get_monotonic_time() < failure->until)
        return failure->error;
    if (failure)
        g_hash_table_remove(folder->failures, GUINT_TO_POINTER(uid));
    return NULL;
}
