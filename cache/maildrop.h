/* maildrop.h: an account that is one mailbox, held here: POP3.
 *
 * Its mailbox INBOX is the root of the mount. What was downloaded stays here until the user removes
 * it: a message that the server has no more is listed for as long as its body is here, which is
 * never evicted. Every body is flushed to disk, off the loop; only then, if the account says so, is
 * it removed from the server. That needs no record of its own: what is on the server, here, and
 * flushed, is due, until a listing shows that it is gone. */
#pragma once

#include "account-private.h"

/* Takes in the bodies that the index does not know: it was lost. */
Maildrop *maildrop_new(Account *account, GError **error);
void maildrop_free(Maildrop *maildrop);
/* For RemoteFuncs.identify. */
gboolean maildrop_identify(Maildrop *maildrop, const char *const *names, guint count, MailUid *uids,
                           GError **error);
/* The server can be had: looks for new mail. */
void maildrop_online(Maildrop *maildrop);
/* Whether a message stays though the server does not have it. */
gboolean maildrop_keeps(Maildrop *maildrop, MailUid uid);
/* A listing is complete: the server has these. */
void maildrop_listed(Maildrop *maildrop, const GArray *uids);
/* A body is here, whole. */
void maildrop_downloaded(Maildrop *maildrop);
