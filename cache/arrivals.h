/* arrivals.h: messages that were put into a folder and have no uid of their own there yet: new
 * files on their way to the server, and messages that were moved. What fs/ sees of them is in
 * account.h.
 *
 * An arrival stands in its folder under the name that it was given. When the server's listing has
 * the message, the message takes its place, and the name goes on standing for it, unlisted. */
#pragma once

#include "account-private.h"

/* The numbers are in the index. */
typedef enum {
    ARRIVAL_OPEN = 1, /* a new file that is being written, or whose name says that it stays local */
    ARRIVAL_CLOSED,   /* complete; whether it is a message is still to be seen */
    ARRIVAL_READY,    /* a message, to be sent */
    ARRIVAL_SENDING,  /* an APPEND of it may have been carried out */
    ARRIVAL_MOVING,   /* the journal moves it here */
    ARRIVAL_WAITING,  /* it was moved on from `after`, which has no uid yet */
    ARRIVAL_PLACED,   /* the server has it here, and the listing is to tell which it is */
} ArrivalState;

struct Arrival {
    guint32 id;
    Folder *folder; /* NULL once it is over and the folder went */
    char *name;
    ArrivalState state;
    guint64 size;
    gint64 date;
    guint32 source; /* a row, 0 for a new file */
    MailUid source_uid;
    guint32 after;
    MailUid mark;
    MailUid uid;
    gboolean doomed;
    char *message_id;
    gboolean certain; /* of its size */

    gboolean over;  /* no row any more: kept for the kernel, or for who waits */
    gboolean dated; /* the date was set: not that of the last write */
    gboolean hurry; /* somebody waits for it */
    gboolean alone; /* refused within a set: it is sent by itself */
    gboolean checking;
    int fd;       /* of the spool file, or -1 */
    gint64 since; /* monotonic: when it came into its state */
    WaitList waiters;
    GError *error;  /* why it was refused */
    gpointer batch; /* the command that carries it, or NULL */
};

struct Arrivals {
    Account *account;
    GHashTable *by_id;     /* id -> Arrival; owns them */
    GHashTable *by_source; /* gint64 key -> Arrival: messages that were moved, for who holds them */
    char *spool, *failed;  /* directories */
    GThreadPool *checker;
    GQueue checks;      /* of Check: under way */
    GPtrArray *batches; /* of AppendBatch: under way */
    GPtrArray *settles; /* of Settle: folders whose listing is waited for */
    guint timer;
    guint pending; /* not over, and not OPEN */
};

/* ---- arrivals.c: the list ---- */

Arrivals *arrivals_new(Account *account, GError **error);
/* Ends what is under way: before journal and folders go, while the list itself stays. */
void arrivals_stop(Arrivals *arrivals);
void arrivals_free(Arrivals *arrivals);
/* Once folders and journal are there: loads what an earlier run left. */
gboolean arrivals_load(Account *account, GError **error);
Arrival *arrival_new(Account *account, Folder *folder, const char *name, ArrivalState state);
/* Gives it a row, then a place in the folder. In a transaction of the caller's the place comes with
 * arrival_show(). */
gboolean arrival_store(Arrival *arrival, GError **error);
void arrival_show(Arrival *arrival);
/* Writes its row, with what else is written now; a failure is logged. */
void arrival_save(Arrival *arrival);
void arrival_set_state(Arrival *arrival, ArrivalState state);
/* Takes it out of its folder's listing; told: the kernel's entry goes, too. */
void arrival_hide(Arrival *arrival, gboolean told);
/* Its row and its file go; it is freed when nobody needs it any more. error: why, for who waits. */
void arrival_end(Arrival *arrival, const GError *error);
/* Never was: within a transaction that failed. */
void arrival_discard(Arrival *arrival);
/* MAIL_ERROR_EXISTS when the name stands for a message. *replaced: an unfinished file that has it,
 * or NULL. */
gboolean arrivals_name_is_free(Folder *folder, const char *name, Arrival **replaced,
                               GError **error);
char *arrival_path(const Arrival *arrival);
/* Whether it is a new file, not a message that is moved. */
gboolean arrival_has_file(const Arrival *arrival);
/* Where a file is kept that is not sent. g_free. */
char *arrivals_failed_path(const Arrivals *arrivals, guint32 id, const char *name);
/* Whether files of this name stay here. */
gboolean arrivals_is_local(const char *name);
guint arrivals_pending(Account *account);
/* The folder goes, or is made anew: what waits to be sent is kept in the failed directory. */
void arrivals_folder_gone(Folder *folder);
/* The folder has another row. */
void arrivals_folder_renewed(Folder *folder);
/* Where a message that was moved went; NULL: it was not moved. */
Arrival *arrivals_of_source(Account *account, guint32 row, MailUid uid);
/* The connection is lost: who waits for the server learns it. */
void arrivals_offline(Account *account, const GError *error);
void arrivals_describe(Account *account, GString *out);
/* The mount ends: files that are not complete go to the failed directory. */
void arrivals_give_up_open(Account *account);

/* ---- arrivals-write.c: new files ---- */

/* Nobody writes to it any more: what it is gets known. */
void arrival_close(Arrival *arrival);
/* Checks a closed one, off the loop. */
void arrival_check(Arrival *arrival);
/* It is not sent: its file goes to the failed directory, and that is said. */
void arrival_fail(Arrival *arrival, const GError *error);
void arrivals_checks_end(Arrivals *arrivals);

/* ---- arrivals-send.c: APPEND ---- */

void arrivals_schedule(Account *account, guint milliseconds);
/* The connection is there, or a barrier wants it now. */
void arrivals_kick(Account *account);
void arrivals_recall(Arrivals *arrivals);

/* ---- arrivals-place.c: which message it is ---- */

/* The server said which uid it has, or (0) did not. */
void arrivals_tell_uid(Account *account, guint32 id, MailUidValidity uidvalidity, MailUid uid);
/* It is there, and nowhere else. */
void arrivals_arrived(Account *account, guint32 id);
/* Both. */
void arrivals_placed(Account *account, guint32 id, MailUidValidity uidvalidity, MailUid uid);
/* Its move was refused: it never left. error may be NULL. */
void arrivals_refused(Account *account, guint32 id, const GError *error, const char *why);
/* A sync reports a message that is new in the folder. When it is one that is being sent, both would
 * be listed until the answer comes; which of several equal ones it is, the answer tells. */
void arrivals_reported(Folder *folder, MailUid uid, const char *message_id, guint64 size,
                       gint64 date);
/* The folder's listing is up to date: what it has takes the place of what stood for it. */
void arrivals_listed(Folder *folder);
/* The uid of a copy, made after `mark` was the folder's next uid, of a message of `source`; 0:
 * there is none. Those in `taken` are none; the one found is added to it. */
MailUid arrivals_find_copy(Folder *folder, MailUid mark, Folder *source, MailUid uid,
                           GArray *taken);
/* The same for a new message. */
MailUid arrivals_find_new(Arrival *arrival, GArray *taken);
void arrivals_settle(Folder *folder);
void arrivals_settle_all(Account *account);
void arrivals_settles_end(Arrivals *arrivals);
