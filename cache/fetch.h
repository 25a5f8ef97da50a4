/* fetch.h: whole folders, or messages by name, into the cache: for use offline.
 *
 * Folders are listed first, so that it is known how much there is to do. Then bodies are asked for,
 * the newest of each folder first, so many at a time as come within a second or two: whoever
 * reads something else meanwhile does not wait for long. */
#pragma once

#include "account.h"

typedef struct AccountFetch AccountFetch;

typedef struct {
    guint64 messages, bytes;
} FetchAmount;

/* The amounts of messages that are to be here in the end. */
typedef struct {
    FetchAmount all;      /* to be fetched, as far as is known by now */
    FetchAmount fetched;  /* of those; bytes: also of what is on its way */
    FetchAmount had;      /* here already */
    FetchAmount left_out; /* the cache has no room for them beside the others */
    guint64 failed;       /* messages, and folders that cannot be listed */
    gboolean counted;     /* all folders are listed: `all` is all */
} FetchProgress;

typedef struct {
    /* A folder is done with; amount: what was fetched of it. */
    void (*folder)(Folder *folder, const FetchAmount *amount, gpointer data);
    /* A message (uid 0: the listing of the folder) cannot be had; the others go on. */
    void (*failed)(Folder *folder, MailUid uid, const GError *error, gpointer data);
    /* The end. error: why it could not go on. From the main loop, once. */
    void (*done)(const GError *error, gpointer data);
} FetchFuncs;

/* funcs must be static. */
AccountFetch *fetch_new(Account *account, const FetchFuncs *funcs, gpointer data);
/* Ends it: what is on its way still comes, and stays. Also from within `done`. */
void fetch_free(AccountFetch *fetch);
/* A folder with all below it, or a message. Before fetch_start(). */
void fetch_add_folder(AccountFetch *fetch, Folder *folder);
void fetch_add_message(AccountFetch *fetch, Folder *folder, MailUid uid);
void fetch_start(AccountFetch *fetch);
const FetchProgress *fetch_progress(const AccountFetch *fetch);
