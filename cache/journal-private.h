/* journal-private.h: what the journal itself (journal.c), the sending of its changes
 * (journal-send.c) and their ends (journal-end.c) share. */
#pragma once

#include "account-private.h"

/* How far a removal got on the server. The numbers are in the index. */
enum {
    STATE_NEW,
    STATE_COPIED,
    STATE_MARKED,
    STATE_COPYING, /* a COPY was sent, and was not answered: it may have been carried out */
};

typedef struct Group Group;

typedef struct Change {
    gint64 id;
    IndexChangeKind kind;
    Folder *folder;
    MailUid uid;
    guint32 add, remove;
    char *add_keywords, *remove_keywords; /* never NULL */
    guint32 target;                       /* a row, 0 for none */
    char *target_name;
    guint32 arrival;
    guint32 state;
    MailUid mark; /* what a COPY made has at least this uid in the target */
    guint tries;
    gboolean sent;       /* the server may know of it */
    gint64 added;        /* monotonic */
    Group *group;        /* that carries it now, or NULL */
    GList link;          /* in journal->changes */
    struct Change *next; /* the next change of the same message */
} Change;

/* Changes of one kind in one folder, that one command carries. */
struct Group {
    Journal *journal;
    Folder *folder;
    IndexChangeKind kind;
    guint32 state;
    GArray *uids;
    GPtrArray *changes; /* at least one; the first tells what all are */
    RemoteJob *job;
    Waiter waiter; /* for the target's listing, as of ... */
    gint64 since;  /* ... this time (monotonic) or later */
};

struct Journal {
    Account *account;
    GQueue changes;           /* ascending by id */
    GHashTable *by_message;   /* gint64 key -> the first Change */
    GHashTable *by_arrival;   /* id -> Change */
    GPtrArray *fresh;         /* of Change: added since journal_begin; NULL outside */
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
/* TRASH and MOVE: into another folder. */
gboolean journal_carries(IndexChangeKind kind);
/* The folder that a change carries to, NULL when it is not known (any more). */
Folder *journal_target(const Change *change);
/* The oldest change of a message; the others hang on it. */
Change *journal_first_of(Journal *journal, const Folder *folder, MailUid uid);
/* Out of memory and index; the caller has a transaction open. */
void journal_drop(Journal *journal, Change *change);
/* Keeps for the status page what did not come about. */
void journal_note_refusal(Journal *journal, const Change *change, const char *why);

/* journal-end.c */
typedef enum { END_OK, END_LEFT, END_REFUSED, END_VOID } Ending;
/* `gone` gathers what is not on the server any more; the caller has a transaction open. */
void journal_end_change(Journal *journal, Change *change, Ending ending, const char *why,
                        GArray *gone);

/* journal-send.c */
void journal_send_init(Journal *journal);
void journal_send_free(Journal *journal); /* ends what is under way; the changes stay */
/* Sends in so many milliseconds, or sooner if that is planned already. */
void journal_schedule(Journal *journal, guint milliseconds);
/* Calls back the commands under way for a folder; their changes stay. */
void journal_recall(Journal *journal, const Folder *folder);
