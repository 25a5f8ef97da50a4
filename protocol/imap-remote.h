/* imap-remote.h: an IMAP server as a Remote. */
#pragma once

#include "pool.h"

/* config is copied. Takes ownership of the secret (NULL for a tunnel that is logged in by itself).
 */
Remote *imap_remote_new(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                        gpointer data);

/* In imap-sync.c. */
RemoteJob *imap_sync_new(const RemoteSync *known, const RemoteSyncFuncs *funcs, gpointer data);
