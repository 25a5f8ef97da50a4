/* imap-remote.h: an IMAP server as a Remote. */
#pragma once

#include "pool.h"

/* config is copied. Takes ownership of the secret (NULL for a tunnel that is logged in by itself).
 */
Remote *imap_remote_new(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                        gpointer data);

/* Jobs for the pool, to be submitted by the caller; what they name is copied. */

/* Bytes of a sequence set in one command, RFC 9051 section 4. */
#define IMAP_REMOTE_MAX_SET 7000

RemoteJob *imap_sync_new(const RemoteSync *known, const RemoteSyncFuncs *funcs, gpointer data);
RemoteJob *imap_body_new(const RemoteFetch *what, const RemoteFetchFuncs *funcs, gpointer data);

typedef enum {
    IMAP_CHANGE_STORE,
    IMAP_CHANGE_COPY,
    IMAP_CHANGE_MOVE,
    IMAP_CHANGE_EXPUNGE,
} ImapChange;
/* Exactly one of the callbacks: `moved` for COPY and MOVE, which go to `target`. */
RemoteJob *imap_change_new(ImapChange kind, const RemoteStore *what, const char *target,
                           RemoteDone done, RemoteMovedDone moved, gpointer data);
RemoteJob *imap_append_new(const char *mailbox, const RemoteNew *messages, guint count,
                           RemoteAppended done, gpointer data);
RemoteJob *imap_create_new(const char *mailbox, RemoteDone done, gpointer data);
RemoteJob *imap_delete_new(const char *mailbox, gboolean selectable, RemoteDone done,
                           gpointer data);
RemoteJob *imap_rename_new(const char *mailbox, const char *new_name, RemoteDone done,
                           gpointer data);
RemoteJob *imap_quota_new(const char *mailbox, RemoteQuotaDone done, gpointer data);
