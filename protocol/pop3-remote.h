/* pop3-remote.h: a POP3 maildrop as a Remote: one mailbox INBOX, one session at a time.
 *
 * A session locks the maildrop, numbers its messages anew and does not see what arrives meanwhile.
 * So one is opened when there is something to do, and ended by QUIT when there has been nothing for
 * config->idle seconds; a sync has a session that was opened after it was asked for. Removals are
 * done when QUIT was answered: a job that removes is called back only then, and runs again in
 * the next session when the answer never came.
 *
 * REMOTE_ONLINE: the last session worked, whether there is one now or not. */
#pragma once

#include "remote.h"

#define POP3_MAILBOX "INBOX"
/* POP3 has none; the uids are ours. */
#define POP3_UIDVALIDITY 1

/* config is copied. Takes ownership of the secret. funcs->identify must be there. */
Remote *pop3_remote_new(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                        gpointer data);
