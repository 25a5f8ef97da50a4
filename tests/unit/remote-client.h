/* remote-client.h: a client of one Remote, for tests that play a server by a transcript. */
#pragma once

#include "imap-remote.h"
#include "transcript.h"

/* What a SELECT of any mailbox tells. */
#define SELECTED "> * 9 EXISTS\n> * OK [UIDVALIDITY 7] x\n"

typedef struct {
    const char *scripts[5];
    Transcript *transcript;
    RemoteConfig config;
    Remote *remote;
    gint online, offline; /* have been so */
    GError *error;        /* why it is offline */
    guint changes;        /* that were told of */
    char *changed;        /* the mailbox of the last of them */
    guint renewals;       /* how often another token was asked for */
    const char *renewed;  /* which is this then, or NULL */
} Client;

/* One operation. */
typedef struct {
    Client *client;
    RemoteJob *job;
    gint over;
    GError *error;
    GString *told;
    guint count;                       /* of messages to be added */
    gboolean cancel_at_begin, decline; /* of a body */
} Work;

void work_free(Work *work);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Work, work_free)
/* Wait for its end. told: what its callbacks heard. */
void work_succeeds(Work *work, const char *told);
void work_fails(Work *work, MailError code);

/* Starts the server with client->scripts, and connects. */
void client_start(Client *client);
void client_end(Client *client);
/* Operations on messages of a mailbox whose UIDVALIDITY is 7. */
Work *client_fetch(Client *client, const char *mailbox, MailUid first, MailUid last);
/* On a session that has heard what is new. */
Work *client_fetch_fresh(Client *client, MailUid uid);
Work *client_fetch_window(Client *client, guint64 offset, guint64 length);

typedef enum { STORE, COPY, MOVE, EXPUNGE } Kind;
/* Of 1:2 in A; STORE adds \Seen, COPY and MOVE go to T. */
Work *client_change(Client *client, Kind kind);
Work *client_change_uids(Client *client, Kind kind, MailUid first, MailUid last);
Work *client_create(Client *client, const char *mailbox);
Work *client_delete(Client *client, const char *mailbox, gboolean selectable);
Work *client_rename(Client *client, const char *mailbox, const char *new_name);
Work *client_quota(Client *client);
/* Opens a mailbox, and tells what is known of it. */
Work *client_open(Client *client, const char *mailbox);
/* Of messages with these texts (NULL-terminated) to T, flagged \Seen $A, dated 2026-02-01 03:04:05;
 * `missing` bytes are promised that the last file does not have. */
Work *client_append(Client *client, const char *const *texts, guint missing);
Work *client_list(Client *client, gboolean counts);
