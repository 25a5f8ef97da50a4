/* index.h: what is known of an account, on disk. SQLite, WAL; nothing else sees it.
 *
 * All calls are synchronous and short; the caller groups many into one transaction. A call that
 * fails sets MAIL_ERROR_DISK (ENOSPC, EIO, ...) and leaves the database as before the call. The
 * functions given to index_each_... must not change the table that is read, nor read it by the same
 * function, nor end a transaction. An index must not be kept across fork(). */
#pragma once

#include "mail.h"

typedef struct Index Index;

#define INDEX_SCHEMA_VERSION 3

/* Opens or makes <directory>/index.sqlite. The directory is made 0700 if missing; refused
 * (MAIL_ERROR_CONFIG) when it belongs to another user or others may enter it, or is a symbolic
 * link. Takes <directory>/lock with flock: MAIL_ERROR_IN_USE when another process has it. A
 * database that is damaged, or of a newer schema, is moved aside (index.sqlite.damaged)
 * and made anew, and *rebuilt set: it is a cache, but for pending changes, whose loss is logged
 * with g_warning. Damage that is met later makes the call fail, and index_close moves the database
 * aside. `account` is an identity such as "imaps://user@host:993" kept inside; an index of another
 * account is an error (MAIL_ERROR_CONFIG).
 * journal_mode=WAL, synchronous=NORMAL, locking_mode=EXCLUSIVE, foreign_keys off. */
Index *index_open(const char *directory, const char *account, gboolean *rebuilt, GError **error);
void index_close(Index *index);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Index, index_close)

/* Nested calls are counted; only the outermost does something. index_commit returns FALSE if the
 * transaction could not be made durable here: it is rolled back then. After an inner
 * index_rollback, or an error that made SQLite give up the transaction, the outermost index_commit
 * fails in this way, too. A failed index_begin is not to be followed by either. */
gboolean index_begin(Index *index, GError **error);
gboolean index_commit(Index *index, GError **error);
void index_rollback(Index *index);

/* A descriptor of the WAL file, for fsync on another thread, or -1. Closing it is the caller's
 * business (the WAL carries no POSIX locks, so closing is safe). */
int index_wal_fd(Index *index);
/* For a full disk: writes the WAL into the database and gives its space back. FALSE when there is
 * nothing to gain, or not now, as within a transaction. */
gboolean index_trim(Index *index);

/* Small values by name: "sizes", and the like. index_get_meta returns NULL for none; g_free. */
char *index_get_meta(Index *index, const char *key);
gboolean index_set_meta(Index *index, const char *key, const char *value, GError **error);

/* ---- folders ---- */

/* A row is (name, UIDVALIDITY): AUTOINCREMENT, never reused, below 2^26 (else MAIL_ERROR_DISK).
 * uidvalidity 0: not yet known, or a folder that holds no messages. */
typedef struct {
    guint32 row;
    char *name; /* as on the wire */
    char delimiter;
    guint32 flags; /* MailFolderFlags */
    MailUidValidity uidvalidity;
    MailUid uidnext;   /* the smallest uid not yet looked at; 0 unknown */
    MailModSeq modseq; /* all changes up to here are in the index; 0 unknown */
    gboolean listed;   /* the message list is complete as of some moment */
} IndexFolder;

typedef void (*IndexFolderFunc)(const IndexFolder *folder, gpointer data);
/* All current folders, ascending by row. */
gboolean index_each_folder(Index *index, IndexFolderFunc func, gpointer data, GError **error);
/* Inserts (folder->row == 0: the new row is stored there) or updates everything but name. */
gboolean index_put_folder(Index *index, IndexFolder *folder, GError **error);
gboolean index_rename_folder(Index *index, guint32 row, const char *name, GError **error);
/* Forgets a folder with its messages and bodies' records and pending changes. */
gboolean index_remove_folder(Index *index, guint32 row, GError **error);

/* ---- messages ---- */

typedef struct {
    guint32 folder;
    MailUid uid;
    guint32 flags;              /* MailFlags & MAIL_FLAGS_SYSTEM, as the server has them */
    const char *keywords;       /* space-separated, "" for none */
    guint64 size;               /* as the server claims */
    gint64 length;              /* the body's true length once it was seen whole, else -1 */
    gint64 date;                /* INTERNALDATE, seconds UTC */
    gint64 changed;             /* when flags last changed, seconds; for ctime */
    const char *from, *subject; /* decoded, valid UTF-8, cut; "" when none */
    const char *message_id;
    gboolean hidden; /* removed here, yet left on the server with \Deleted */
} IndexMessage;

typedef void (*IndexMessageFunc)(const IndexMessage *message, gpointer data);
/* The folder's messages, ascending by uid; the strings last until func returns. */
gboolean index_each_message(Index *index, guint32 folder, IndexMessageFunc func, gpointer data,
                            GError **error);
/* Only those with at least this uid. */
gboolean index_each_message_from(Index *index, guint32 folder, MailUid uid, IndexMessageFunc func,
                                 gpointer data, GError **error);
gboolean index_put_message(Index *index, const IndexMessage *message, GError **error);
gboolean index_set_flags(Index *index, guint32 folder, MailUid uid, guint32 flags,
                         const char *keywords, gint64 changed, GError **error);
gboolean index_set_length(Index *index, guint32 folder, MailUid uid, gint64 length, GError **error);
gboolean index_set_hidden(Index *index, guint32 folder, MailUid uid, gboolean hidden,
                          GError **error);
gboolean index_remove_message(Index *index, guint32 folder, MailUid uid, GError **error);
/* NULL: no such message. Otherwise its keywords; g_free. */
char *index_get_keywords(Index *index, guint32 folder, MailUid uid);

/* ---- pending changes: the journal's table ---- */

typedef enum {
    INDEX_CHANGE_FLAGS = 1, /* add and remove flags */
    INDEX_CHANGE_EXPUNGE = 2,
    INDEX_CHANGE_MARK = 3,  /* removed here, \Deleted there */
    INDEX_CHANGE_TRASH = 4, /* a removal that moves to `target` */
    INDEX_CHANGE_MOVE = 5,  /* the user's move to `target`, where `arrival` stands for it */
} IndexChangeKind;

typedef struct {
    gint64 id; /* ascending: the order of the user's actions */
    IndexChangeKind kind;
    guint32 folder;
    MailUidValidity uidvalidity;
    MailUid uid;
    guint32 add, remove;                        /* MailFlags */
    const char *add_keywords, *remove_keywords; /* space-separated, "" */
    guint32 target;                             /* a folder row, 0 for none */
    const char *target_name;                    /* its wire name, "" for none */
    gint64 created;                             /* seconds */
    guint32 state;   /* the journal's own: how far it got on the server */
    guint32 arrival; /* of a move, 0 for none */
    MailUid mark;    /* what a copy of it made has at least this uid in the target; 0 unknown */
} IndexChange;

typedef void (*IndexChangeFunc)(const IndexChange *change, gpointer data);
gboolean index_each_change(Index *index, IndexChangeFunc func, gpointer data, GError **error);
/* Inserts; the new id is stored in change->id. */
gboolean index_add_change(Index *index, IndexChange *change, GError **error);
gboolean index_set_change_state(Index *index, gint64 id, guint32 state, MailUid mark,
                                GError **error);
gboolean index_set_change_target(Index *index, gint64 id, guint32 target, const char *name,
                                 GError **error);
gboolean index_remove_change(Index *index, gint64 id, GError **error);

/* ---- arrivals: messages that have no uid in their folder yet ---- */

typedef struct {
    guint32 id;       /* never reused */
    guint32 folder;   /* a row */
    const char *name; /* that it was given */
    guint32 state;    /* arrivals.c's own */
    guint64 size;
    gint64 date;            /* seconds UTC */
    guint32 source;         /* of a move: the row of the folder that it comes from, else 0 */
    MailUid source_uid;     /* and its uid there */
    guint32 after;          /* the arrival that it was before it was moved on, or 0 */
    MailUid mark;           /* its uid will be at least this */
    MailUid uid;            /* its uid, 0 unknown */
    gboolean doomed;        /* it was removed meanwhile */
    const char *message_id; /* "" unknown or none */
} IndexArrival;

typedef void (*IndexArrivalFunc)(const IndexArrival *arrival, gpointer data);
gboolean index_each_arrival(Index *index, IndexArrivalFunc func, gpointer data, GError **error);
/* Inserts (arrival->id == 0: the new id is stored there) or updates. */
gboolean index_put_arrival(Index *index, IndexArrival *arrival, GError **error);
gboolean index_remove_arrival(Index *index, guint32 id, GError **error);

/* Names that messages were given, beside their proper ones. */
MailUid index_find_alias(Index *index, guint32 folder, const char *name); /* 0: none */
gboolean index_put_alias(Index *index, guint32 folder, const char *name, MailUid uid,
                         GError **error);
char *index_get_alias(Index *index, guint32 folder, MailUid uid); /* NULL: none; g_free */
gboolean index_rename_alias(Index *index, guint32 folder, const char *name, const char *new_name,
                            GError **error);
gboolean index_remove_aliases(Index *index, guint32 folder, MailUid uid, GError **error);

/* NULL: no such message. Otherwise its Message-ID, "" for none; g_free. */
char *index_get_message_id(Index *index, guint32 folder, MailUid uid);

/* ---- bodies on disk: who was used last ---- */

typedef struct {
    guint32 folder;
    MailUid uid;
    guint64 bytes;
    gint64 used; /* microseconds since 1970 */
} IndexBody;
typedef void (*IndexBodyFunc)(const IndexBody *body, gpointer data);
/* Least recently used first. */
gboolean index_each_body(Index *index, IndexBodyFunc func, gpointer data, GError **error);
gboolean index_put_body(Index *index, const IndexBody *body, GError **error);
gboolean index_remove_body(Index *index, guint32 folder, MailUid uid, GError **error);

/* ---- uids for servers that have none ---- */

/* The uid of each of these names (any text, no two alike): the one that it had before, or a new
 * one, ascending, that no name ever had. One transaction: all or none. */
gboolean index_identify(Index *index, const char *const *names, guint count, MailUid *uids,
                        GError **error);
/* No name gets this uid, nor one below it that is not given yet. */
gboolean index_reserve_uid(Index *index, MailUid uid, GError **error);
/* Forgets the names whose message is not in the folder. */
gboolean index_prune_identities(Index *index, guint32 folder, GError **error);
