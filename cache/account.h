/* account.h: the read-through, write-behind engine: the only door for fs/.
 *
 * Everything runs on the main loop. A question that cannot be answered at once parks the caller's
 * Waiter and is asked again when that wakes. */
#pragma once

#include "mailbox.h"
#include "remote.h"
#include "wait.h"

typedef struct Account Account;
typedef struct Folder Folder;
typedef struct Arrival Arrival;

typedef enum {
    ACCOUNT_DELETE_DEFAULT, /* trash where the server has a \Trash folder, else expunge */
    ACCOUNT_DELETE_TRASH,
    ACCOUNT_DELETE_EXPUNGE,
    ACCOUNT_DELETE_MARK,
    ACCOUNT_DELETE_REFUSE,
} AccountDelete;

#define ACCOUNT_LEAVE_ALWAYS G_MAXUINT

typedef struct {
    const char *directory;      /* the cache's, of this account alone */
    const char *data_directory; /* for what is nowhere else: new messages that wait to be sent */
    const char *identity;       /* e.g. "imaps://user@host:993" */
    guint64 cache_size;         /* bytes of bodies on disk; 0: no limit */
    guint refresh;              /* seconds after which a listing is brought up to date when read */
    AccountDelete delete_policy;
    gboolean headers; /* names need From and Subject */
    gboolean read_only;
    /* One mailbox, INBOX, which is the root, as POP3 has it: see maildrop.h. The directory then
     * holds what may be the only copies of messages. */
    gboolean flat;
    guint leave;        /* days that a message stays on the server once it was downloaded */
    gboolean fetch_all; /* downloads every message */
    guint poll;         /* seconds between looks for new mail; 0: only when somebody looks */
    RemoteConfig remote;
    /* Makes the server's side: imap_remote_new, or another that keeps remote.h's word. */
    Remote *(*make_remote)(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                           gpointer data);
} AccountConfig;

/* What changed in the mail, whoever changed it. */
typedef enum {
    ACCOUNT_EVENT_NEW,   /* a message is listed that was not */
    ACCOUNT_EVENT_GONE,  /* it is not listed any more */
    ACCOUNT_EVENT_FLAGS, /* its flags or keywords are others */
    ACCOUNT_EVENT_MOVED, /* it left its folder for another one, by a move of ours */
    ACCOUNT_EVENT_FOLDER_NEW,
    ACCOUNT_EVENT_FOLDER_GONE, /* with all that is in it; one that was made anew is new after that
                                */
} AccountEvent;

/* What the account tells the file system. */
typedef struct {
    /* The name of a directory for one component of a mailbox's name. */
    char *(*label)(const char *component, gboolean at_root);
    /* The component that has this label; NULL: none can have it. */
    char *(*component)(const char *label, gboolean at_root);
    void (*state)(RemoteState state, const GError *error, gpointer data);
    /* A message left the listing (message is valid during the call only). The kernel's entry goes.
     */
    void (*gone)(Folder *folder, const Message *message, gpointer data);
    /* Its flags (ctime) changed, or its size became known and differs from what was shown. */
    void (*changed)(Folder *folder, MailUid uid, gpointer data);
    /* The folder lists other messages or folders than before. */
    void (*touched)(Folder *folder, gpointer data);
    void (*folder_gone)(Folder *parent, const char *label, gpointer data);
    /* Does the kernel hold a reference to this message? */
    gboolean (*known)(Folder *folder, MailUid uid, gpointer data);
    /* The listing shows it by now, and a folder that is gone has its name and parent still. What is
     * found by the first listing of a folder is no event. message: NULL for a folder's; both are
     * valid during the call only. May be NULL. */
    void (*event)(AccountEvent kind, Folder *folder, const Message *message, gpointer data);
    /* What was put into a folder under this name does not stand there any more. */
    void (*arrival_gone)(Folder *folder, const char *name, guint32 id, gpointer data);
    /* Does the kernel hold a reference to this arrival? */
    gboolean (*arrival_known)(guint32 id, gpointer data);
    void (*renew)(gpointer data); /* another token is needed: account_set_secret() */
} AccountFuncs;

typedef enum { ACCOUNT_READY, ACCOUNT_WAIT, ACCOUNT_FAILED } AccountReply;

/* Opens the cache. config is copied; funcs must be static; takes the secret (may be NULL). */
Account *account_new(const AccountConfig *config, Secret *secret, const AccountFuncs *funcs,
                     gpointer data, GError **error);
void account_free(Account *account);
/* Whether a cache of this account was there already, with a list of folders in it. */
gboolean account_has_cache(Account *account);
void account_start(Account *account);
void account_set_secret(Account *account, Secret *secret);
RemoteState account_state(Account *account);
const GError *account_last_error(Account *account); /* NULL: none since it is online */
gint64 account_started(Account *account);           /* when the mount began, seconds UTC */
/* `key: value` lines for the status page. */
void account_describe(Account *account, GString *out);

/* ---- folders ---- */

Folder *account_root(Account *account);                /* of a flat account, INBOX */
Folder *account_folder(Account *account, guint32 row); /* NULL: none (any more) */
guint32 folder_row(const Folder *folder);    /* 0 for the root, unless the account is flat */
Folder *folder_parent(const Folder *folder); /* NULL for the root */
const char *folder_label(const Folder *folder);
const char *folder_name(const Folder *folder); /* on the wire */
gboolean folder_selectable(const Folder *folder);
Folder *folder_child(Folder *folder, const char *label);
/* The child with the smallest row above `after`, or NULL. */
Folder *folder_next_child(Folder *folder, guint32 after);
/* Rises whenever the folder lists other things than before. */
guint64 folder_generation(const Folder *folder);
/* Last arrival or removal, seconds UTC. */
gint64 folder_changed(const Folder *folder);
/* Whether its messages are known: listed once, by this mount or an earlier one. */
gboolean folder_listed(const Folder *folder);
/* Its messages, loaded from the index if need be; never NULL. Those flagged MESSAGE_REMOVED or
 * hidden (message_visible) are not to be shown. */
Mailbox *folder_mailbox(Folder *folder);
gboolean message_visible(const Folder *folder, const Message *message);

/* The list of folders is up to date, or as good as can be had: READY. Refreshed when older than
 * `refresh` seconds; the first time after a mount it is refreshed behind. FAILED only when nothing
 * is known. */
AccountReply account_refresh_folders(Account *account, Waiter *waiter, GError **error);
/* The same for a folder's messages. `behind`: never waits when something is known. */
AccountReply account_refresh_messages(Account *account, Folder *folder, gboolean behind,
                                      Waiter *waiter, GError **error);

/* Starts to bring a stale listing up to date; nobody waits for it yet. */
void account_refresh_behind(Account *account, Folder *folder);

/* Changes to folders, which wait for the server: FAILED at once, or WAIT. Then the waiter wakes
 * with an error, or when it is done; if it is cancelled, the change goes on. */
/* MAIL_ERROR_EXISTS; _INVALID: no folder can have this name. */
AccountReply account_make_folder(Account *account, Folder *parent, const char *label,
                                 Waiter *waiter, GError **error);
/* Only one that is empty, here and on the server: MAIL_ERROR_NOT_EMPTY. What was removed from it
 * is removed on the server first. */
AccountReply account_remove_folder(Account *account, Folder *folder, Waiter *waiter,
                                   GError **error);
/* With all below it. Replaces nothing: MAIL_ERROR_EXISTS, or _NOT_EMPTY. */
AccountReply account_rename_folder(Account *account, Folder *folder, Folder *parent,
                                   const char *label, Waiter *waiter, GError **error);
/* The server's quota in bytes, as far as it is known now; never waits. *limit is 0 where there is
 * none: *used is then 0, too, or for a maildrop (RFC 1939 knows no quota) the size of what it
 * holds. */
void account_space(Account *account, guint64 *used, guint64 *limit);

/* ---- messages ---- */

/* A message's attributes, also of one that was removed while the kernel holds it. */
typedef struct {
    guint64 size;
    gint64 date, changed;
    guint32 flags;    /* as in Message */
    gboolean certain; /* size is what a reader will get */
    gboolean removed;
} MessageInfo;
gboolean account_message(Account *account, Folder *folder, MailUid uid, MessageInfo *info);
/* Its keywords, separated by spaces; NULL for none. g_free. */
char *account_keywords(Account *account, Folder *folder, MailUid uid);
/* Its Message-ID; NULL or "" for none. g_free. */
char *account_message_id(Account *account, Folder *folder, MailUid uid);
/* Its true length, from its body if need be: READY or FAILED through *length, *error. */
AccountReply account_length(Account *account, Folder *folder, MailUid uid, Waiter *waiter,
                            guint64 *length, GError **error);

typedef struct {
    int fd; /* for pread; valid until the main loop runs again */
    guint64 offset;
    gsize size; /* 0 at the end of the message */
} BodySpan;
/* Bytes of a body. Short only at its end. */
AccountReply account_read(Account *account, Folder *folder, MailUid uid, guint64 offset, gsize size,
                          Waiter *waiter, BodySpan *span, GError **error);
/* The kernel let go of a message. */
void account_forget(Account *account, Folder *folder, MailUid uid);
void account_forget_all(Account *account);

/* ---- changes: durable here on return, then on their way ---- */

gboolean account_mark_seen(Account *account, Folder *folder, MailUid uid, GError **error);
/* Changes flags of these messages (of MailUidRange); keywords NULL-terminated, or NULL. Those that
 * do not exist are passed over. MAIL_ERROR_UNSUPPORTED when the server would not keep one of them.
 */
gboolean account_set_flags(Account *account, Folder *folder, const GArray *uids, guint32 add,
                           guint32 remove, const char *const *add_keywords,
                           const char *const *remove_keywords, GError **error);
/* Moves a message to another folder, where it stands under this name until it has its own. */
gboolean account_move(Account *account, Folder *from, MailUid uid, Folder *to, const char *name,
                      GError **error);
/* Removes it from view, and from the server by policy. */
gboolean account_remove(Account *account, Folder *folder, MailUid uid, GError **error);
/* READY once the server has everything; FAILED when it cannot be reached: *error says how many
 * changes wait. */
AccountReply account_flush(Account *account, Waiter *waiter, GError **error);
/* The mount ends: files that are still being written are kept where account_failed_directory()
 * says, and never sent. */
void account_finish(Account *account);
guint account_pending(Account *account);
guint account_refused(Account *account);

/* ---- arrivals: what was put into a folder and has no uid of its own there yet ---- */

Arrival *account_arrival(Account *account, guint32 id); /* NULL: none (any more) */
guint32 arrival_id(const Arrival *arrival);             /* never reused */
Folder *arrival_folder(const Arrival *arrival);         /* NULL: it went */
const char *arrival_name(const Arrival *arrival);       /* that it was given */

typedef struct {
    guint64 size;
    gint64 date;       /* seconds UTC */
    gboolean writable; /* still being written */
    gboolean listed;
    gboolean certain; /* the size is what a reader gets */
} ArrivalInfo;
void arrival_info(Arrival *arrival, ArrivalInfo *info);
/* TRUE: it is this message by now. */
gboolean arrival_message(Arrival *arrival, Folder **folder, MailUid *uid);
/* The visible one of this name. */
Arrival *folder_arrival(Folder *folder, const char *name);
/* The visible one with the smallest id above `after`. */
Arrival *folder_next_arrival(Folder *folder, guint32 after);
/* The visible message that was put here by this name, which is not listed; 0: none. */
MailUid folder_alias(Folder *folder, const char *name);
/* The name by which a message was put here; NULL: it was not. g_free. */
char *folder_given_name(Folder *folder, MailUid uid);

/* An empty new file, open for writing. An open one of that name is replaced; anything else there is
 * MAIL_ERROR_EXISTS. */
Arrival *account_create(Account *account, Folder *folder, const char *name, GError **error);
/* MAIL_ERROR_NO_PERMISSION once it is complete. */
gboolean account_write(Account *account, Arrival *arrival, guint64 offset, const void *bytes,
                       gsize size, GError **error);
gboolean account_truncate(Account *account, Arrival *arrival, guint64 size, GError **error);
/* Its date, which the message will have; without effect once it is on its way. */
gboolean account_set_date(Account *account, Arrival *arrival, gint64 date, GError **error);
AccountReply account_read_arrival(Account *account, Arrival *arrival, guint64 offset, gsize size,
                                  Waiter *waiter, BodySpan *span, GError **error);
/* The kernel let go of it, so nobody has it open: it is complete, and will be sent, unless its name
 * says that it stays here (".x", "x~", "4913"). */
void account_arrival_forgotten(Account *account, guint32 id);
/* Completes it. READY once the server has it; FAILED with what it said, or MAIL_ERROR_INVALID. */
AccountReply account_arrival_sync(Account *account, Arrival *arrival, Waiter *waiter,
                                  GError **error);
/* READY once arrival_message() says which message it is, or it is over; FAILED: it will not be one,
 * or (MAIL_ERROR_IN_USE) it is not complete. */
AccountReply account_arrival_await(Account *account, Arrival *arrival, Waiter *waiter,
                                   GError **error);
/* One that the server may have already is expunged there: it never goes to the Trash, unless it was
 * moved here. */
gboolean account_remove_arrival(Account *account, Arrival *arrival, GError **error);
/* Never replaces a message: MAIL_ERROR_EXISTS. */
gboolean account_rename_arrival(Account *account, Arrival *arrival, Folder *to, const char *name,
                                GError **error);
/* The same for a message that was put here by `name`: programs write a file, sync it, and give it
 * its name at last. MAIL_ERROR_NO_PERMISSION when it has no such name, or would be a file that
 * stays here. */
gboolean account_rename_given(Account *account, Folder *folder, const char *name,
                              const char *new_name, GError **error);
/* Where new files lie that were not sent: <id>-<name>. */
const char *account_failed_directory(Account *account);
