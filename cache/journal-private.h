/* journal-private.h: what the journal itself (journal.c) and the sending of its changes
 * (journal-send.c) share. */
#pragma once

#include "account-private.h"

/* How far a removal got on the server. The numbers are in the index. */
enum { STATE_NEW, STATE_COPIED, STATE_MARKED };

typedef struct Group Group;

typedef struct Change {
    gint64 id;
    IndexChangeKind kind;
    Folder *folder;
    MailUid uid;
    guint32 add, remove;
    guint32 target;
    char *target_name;
    guint32 state;
    guint tries;
    gint64 added;        /* monotonic */
    Group *group;        /* that carries it now, or NULL */
    GList link;          /* in journal->changes */
    struct Change *next; /* the next change of the same message */
} Change;

struct Journal {
    Account *account;
    GQueue changes;           /* ascending by id */
    GHashTable *by_message;   /* gint64 key -> the first Change */
    GPtrArray *groups;        /* under way */
    gint64 synced;            /* all ids up to here are on stable storage */
    struct DiskSync *syncing; /* under way, or NULL */
    GThreadPool *syncer;
    guint timer;
    guint refused;
    GQueue refusals; /* of char*: the last ones, newest last */
};

/* journal.c */
gboolean journal_is_removal(IndexChangeKind kind);
/* The oldest change of a message; the others hang on it. */
Change *journal_first_of(Journal *journal, const Folder *folder, MailUid uid);
/* Out of memory and index; the caller has a transaction open. */
void journal_drop(Journal *journal, Change *change);
/* Keeps for the status page what did not come about. */
void journal_note_refusal(Journal *journal, const Change *change, const char *why);
/* Wakes who waits for an empty journal, if it is. */
void journal_tell_if_empty(Journal *journal);

/* journal-send.c */
void journal_send_init(Journal *journal);
void journal_send_free(Journal *journal); /* ends what is under way; the changes stay */
/* Sends in so many milliseconds, or sooner if that is planned already. */
void journal_schedule(Journal *journal, guint milliseconds);
/* Calls back the commands under way for a folder; their changes stay. */
void journal_recall(Journal *journal, const Folder *folder);
