/* account-private.h: what the parts of the account engine share. One account owns its folders, a
 * folder its messages and downloads; rows and uids are what passes between them. */
#pragma once

#include "account.h"
#include "bodies.h"
#include "index.h"
#include "journal.h"

/* How far the server's RFC822.SIZE can be trusted. */
typedef enum { SIZES_UNKNOWN, SIZES_CERTAIN, SIZES_WRONG } SizesState;
#define SIZES_SAMPLE 20 /* bodies that must agree before the server's sizes are believed */

/* A program that reads one message after the other; prefetch.c. Of parallel readers several wait at a
 * time, and each asks again once its message is there: that is no step back. */
#define WALK_RECENT 32
typedef struct {
    MailUid last;  /* the message read last */
    MailUid recent[WALK_RECENT];
    guint next_recent;
    MailUid ahead; /* up to here what follows was asked for */
    gint steps;    /* how many of the last reads went up from the one before, less those down */
    gboolean backward;
    guint64 window; /* bytes to be ahead of the reader */
} Walk;

typedef struct Download Download;
typedef struct Maildrop Maildrop;
typedef struct FolderSync FolderSync;
typedef struct Arrivals Arrivals;
typedef struct FolderChange FolderChange;

struct Folder {
    Account *account;
    Folder *parent;
    guint32 row;
    char *name;  /* on the wire, whole */
    char *label; /* as a directory's name */
    char delimiter;
    guint32 flags; /* MailFolderFlags */
    MailUidValidity uidvalidity;
    MailUid uidnext;
    MailModSeq modseq;
    gboolean listed;
    gboolean read_only;
    char *rights;              /* of the user, as letters (RFC 4314); NULL: not known */
    guint32 permanent_flags;   /* MailFlags that the server keeps; 0: not known */
    char **permanent_keywords; /* or NULL */
    gboolean seen;             /* by the LIST that is running */

    GHashTable *by_label; /* char* (a child's label) -> Folder */
    GPtrArray *children;  /* of Folder, ascending by row */

    Mailbox *mailbox; /* NULL until somebody looks */
    guint64 generation;
    gint64 changed;
    gint64 refreshed; /* monotonic; 0: not in this mount */
    gint64 synced;    /* when the last sync that was completed had begun; likewise */
    gboolean dirty;   /* the server hinted at a change */
    FolderSync *sync; /* running, or NULL */
    WaitList sync_waiters;
    /* watch.c: */
    gint64 used;      /* when somebody last looked at it, monotonic */
    gint64 followed;  /* when a hint last led to a sync */
    gboolean hinted;  /* the server hinted at a change while a sync ran */
    guint fruitless;  /* syncs in a row that learnt nothing */
    guint hint_timer; /* a sync is to follow */
    GArray *taken; /* uids that changes of ours removed: a listing under way may still name them */

    GHashTable *downloads;     /* uid -> Download */
    GHashTable *orphans;       /* uid -> Message*: removed, yet held by the kernel */
    GHashTable *failures;      /* uid -> Failure: reads that fail at once for a while */
    guint verifying;           /* downloads whose only purpose is to check sizes */
    GPtrArray *arrivals;       /* of Arrival: put here, without a uid so far; ascending by id */
    GHashTable *arrival_names; /* char* -> Arrival: the visible ones */
    Walk walk;
};

struct Account {
    AccountConfig config;
    const AccountFuncs *funcs;
    gpointer data;
    Index *index;
    Bodies *bodies;
    Journal *journal;
    Arrivals *arrivals;
    Remote *remote;
    Folder *root;
    Folder *top;         /* what is mounted: the root, or INBOX of a flat account */
    Maildrop *maildrop;  /* of a flat account, else NULL */
    GHashTable *by_row;  /* row -> Folder; owns them */
    GHashTable *by_name; /* char* -> Folder */
    gint64 started;
    gboolean had_cache;
    GError *last_error;

    RemoteJob *list_job;
    gint64 list_refreshed; /* monotonic */
    gboolean list_known;   /* by this mount or an earlier one */
    gboolean list_dirty;   /* the server hinted at a change */
    gboolean list_doubted; /* the last one was not believed */
    gboolean trash_known;  /* there is or was a \Trash folder */
    guint spare_rows;      /* given to folders that the index could not take */
    WaitList list_waiters;
    WaitList flush_waiters;
    GPtrArray *folder_changes; /* of FolderChange: under way */

    RemoteJob *quota_job;
    gint64 quota_asked; /* monotonic; 0: never */
    guint64 quota_used, quota_limit;

    /* watch.c: */
    GQueue lately;      /* of Folder: looked at lately, the last first */
    guint watch_timer;  /* runs since the account was started */
    guint watch_source; /* the server is to be told what to watch */

    guint tidy_source;
    guint batch_source;    /* a transaction is open, and ends at the next turn of the loop */
    gboolean batch_failed; /* some of what memory knows is not in the index: believe it less */

    SizesState sizes;
    guint sizes_agreed;
    GQueue wanted;      /* of Download: to be sent at the next turn of the loop */
    GQueue halted;      /* of Download: large messages of which nobody wants more for now */
    GPtrArray *batches; /* commands under way */
    guint download_source;
    guint64 fetched_bodies, fetched_bytes;
};

/* Where anything of what AccountEvent says happens. message: NULL for a folder's. */
static inline void account_event(AccountEvent kind, Folder *folder, const Message *message)
{
    Account *account = folder->account;
    if (account->funcs->event)
        account->funcs->event(kind, folder, message, account->data);
}

/* account.c */
/* A removal or a move of this message is in the journal: it is out of sight from here on. */
void folder_take(Folder *folder, Message *message, AccountEvent event);
/* How a message of this folder is removed; FALSE when it is not to be. */
gboolean account_removal_kind(Account *account, Folder *folder, IndexChangeKind *kind,
                              Folder **target, GError **error);
/* Removes a message that may not be listed yet; for good, or by policy. */
gboolean account_remove_uid(Account *account, Folder *folder, MailUid uid, gboolean for_good,
                            GError **error);
/* Wakes who waits for the server to have everything, if it has. */
void account_tell_if_flushed(Account *account);
/* Puts what follows into one transaction with what other calls of this turn of the loop write. */
void account_batch(Account *account);
/* Ends that transaction now: before one that must be durable by itself. */
void account_batch_end(Account *account);
/* Something could not be written to the index: memory goes on by itself, and the next mount asks
 * the server again for all since the last time that it worked. */
void account_index_failed(Account *account, const GError *error);

/* The age in microseconds at which a listing is stale: what asks again right after a refresh, with
 * refresh=0 too, finds it fresh. */
gint64 account_refresh_age(const Account *account);

/* folders.c */
gboolean folders_load(Account *account, GError **error);
void folders_free(Account *account);
void folder_store(Folder *folder); /* writes its row; a failure is logged */
/* The mailbox was made anew: the old row goes, its messages with it. */
void folder_renew(Folder *folder, MailUidValidity uidvalidity);
void folders_refresh(Account *account); /* asks the server for the list, unless it is under way */
void folder_touch(Folder *folder);      /* it lists other things now */
/* The list of folders is not asked for until folders_go_on(); doubted: it may be another than is
 * known. */
void folders_hold(Account *account);
void folders_go_on(Account *account, gboolean doubted);
/* What the server has done: a new folder, one less, another name for one and all below it. */
void folders_made(Account *account, const char *name, char delimiter);
void folders_removed(Folder *folder);
void folders_renamed(Folder *folder, Folder *parent, const char *name);
/* Ends the listings of its messages that are under way, and of all below it. */
void folders_stop_syncs(Folder *folder);
Folder *folders_trash(Account *account); /* NULL: the server has none */

/* folder-changes.c */
void folder_changes_end(Account *account); /* forgets those under way */
/* Names are about to change: nothing that goes by them is to be sent. */
gboolean folder_changes_rename(const Account *account);

/* space.c */
void space_refresh(Account *account); /* asks for the quota, if that is worth it */

/* sync.c */
/* Whether the listing is one that was asked for after `since` (monotonic). If not, one is on its
 * way, and the waiter wakes when it is here or failed; then the question is put again. */
gboolean sync_since(Folder *folder, gint64 since, Waiter *waiter);
void sync_cancel(Folder *folder);
/* Takes messages out of mailbox, index and bodies; an orphan stays while the kernel holds it. */
void folder_drop_messages(Folder *folder, const GArray *uids);
/* Keeps what a removed message was, and pins its body, if the kernel holds it; and lets it go. */
void folder_orphan(Folder *folder, const Message *message);
void folder_release_orphan(Folder *folder, MailUid uid);

/* sizes.c */
void sizes_load(Account *account);
/* A body was seen whole. */
void sizes_set_length(Folder *folder, MailUid uid, guint64 length);
/* Before the sizes of a server that is not known yet are shown, some small bodies are measured. */
void sizes_verify(Folder *folder);
/* Whether a program may go by the message's size: it is certain, or was once shown as such. */
gboolean sizes_believed(const Account *account, const Message *message);
/* The message, or what is kept of one that was removed; NULL: none. */
Message *account_find(Folder *folder, MailUid uid);

/* failures.c: the values of folder->failures. */
void failure_free(gpointer failure);
void failure_note(Folder *folder, MailUid uid, const GError *error);
const GError *failure_now(Folder *folder, MailUid uid); /* NULL: it may be tried */

/* downloads.c */
/* account_read(), of a message that was not moved. */
AccountReply downloads_read(Folder *folder, MailUid uid, guint64 offset, gsize size, Waiter *waiter,
                            BodySpan *span, GError **error);
void downloads_drop_halted(Account *account); /* those that rest for long */
void downloads_cancel(Folder *folder);
/* Fetches a body that nobody waits for yet, unless it is here or on its way. */
void downloads_ahead(Folder *folder, MailUid uid);
/* Fetches a body to see its length; folder->verifying counts it until then. */
void downloads_measure(Folder *folder, MailUid uid);
/* Has a whole body fetched that nobody reads yet: for a message that is about to be removed on the
 * server while a program still holds it open. TRUE: it is here, or cannot be had any more. */
gboolean downloads_secure(Folder *folder, MailUid uid);

/* Whether a body is just being received. */
gboolean downloads_active(Folder *folder, MailUid uid);
/* Fetches a body whole. WAIT: *have bytes of it are here, and the waiter wakes when there are more,
 * to ask again: when nobody does, a large message rests. READY: all of it is here. */
AccountReply downloads_follow(Folder *folder, MailUid uid, Waiter *waiter, guint64 *have,
                              GError **error);

/* prefetch.c */
/* A program begins to read this message: fetches ahead when it walks the folder. */
void prefetch_read(Folder *folder, MailUid uid);
/* Whether it is fetched at once, not in windows as it is read. */
gboolean prefetch_takes_whole(const Folder *folder, const Message *message);
