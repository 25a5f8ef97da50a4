/* fake-remote.h: a server in memory that keeps remote.h's word, or breaks it as a test likes, and
 * an account mounted from it. Jobs wait until the test lets them run. */
#pragma once

#include "account-private.h"

typedef struct {
    MailUid uid;
    guint32 flags;
    guint64 claimed; /* RFC822.SIZE */
    char *body;
    gint64 date;
} FakeMessage;

typedef struct {
    char *name;
    guint32 flags; /* MailFolderFlags */
    MailUidValidity uidvalidity;
    MailUid last;        /* uids are not given twice */
    GPtrArray *messages; /* of FakeMessage, ascending */
} FakeFolder;

struct RemoteJob {
    char kind; /* l(ist) s(ync) f(etch) S(tore) c(opy) m(ove) e(xpunge) a(ppend) */
    char *mailbox, *target;
    MailUidValidity uidvalidity;
    GArray *uids;
    guint32 add, remove;
    gboolean window;
    guint64 offset, length;
    const RemoteListFuncs *list;
    const RemoteSyncFuncs *sync;
    const RemoteFetchFuncs *fetch;
    RemoteDone done;
    RemoteMovedDone moved;
    GArray *from, *to; /* of MailUid: what was moved; to: what was appended */
    RemoteAppended appended;
    GPtrArray *bodies; /* of char*: what is to be appended */
    gint64 date;
    gpointer data;
};

typedef struct {
    Remote base;
    const RemoteFuncs *funcs;
    gpointer data;
    RemoteState state;
    RemoteFeatures features;
    GQueue jobs;         /* of RemoteJob: waiting */
    GPtrArray *folders;  /* of FakeFolder */
    const char *watched; /* the mailbox of which news are told; or NULL */
    char *wanted;        /* what it was asked to watch, with spaces between */
    GString *log;        /* what changed the server: one word for each command */
    MailError fail;      /* the next change fails with fail_with */
    gboolean fails;
    gboolean uid_last; /* fetches name the message after its body */
    gboolean mute;     /* does not say which uids moved and new messages have */
    gboolean loses; /* carries the next change out, and the connection breaks before the answer */
} FakeRemote;

typedef struct {
    char *directory;
    AccountConfig config;
    Account *account;
    FakeRemote *remote;         /* lives and dies with the account */
    GPtrArray *folders;         /* of the server: outlives both */
    GHashTable *known;          /* uids that the kernel holds */
    GString *events;            /* a line each: "new INBOX 3" */
    GHashTable *known_arrivals; /* and ids */
    guint gone, changed, arrivals_gone;
} Fixture;

typedef struct {
    Waiter waiter;
    guint woken;
    GError *error;
} TestWaiter;

void fixture_set_up(Fixture *f, gconstpointer data);
void fixture_tear_down(Fixture *f, gconstpointer data);
/* Mounts, and gets the listings of all folders. */
void fixture_mount(Fixture *f);
void fixture_unmount(Fixture *f);
/* As after SIGKILL: nothing is written any more. */
void fixture_crash(Fixture *f);
Folder *fixture_folder(Fixture *f, const char *name);

FakeFolder *fake_folder(Fixture *f, const char *name, guint32 flags);
FakeMessage *fake_message(FakeFolder *folder, MailUid uid, const char *body, gint64 misstated_by);
FakeMessage *fake_find(Fixture *f, const char *folder, MailUid uid);
void fake_set_state(FakeRemote *remote, RemoteState state);
/* The first waiting job of this kind, taken from the queue; NULL: none. */
RemoteJob *fake_take(FakeRemote *remote, char kind);
/* Carries a job out, and frees it. */
void fake_run(FakeRemote *remote, RemoteJob *job);
void fake_finish(RemoteJob *job, const GError *error); /* calls it back, and frees it */
/* Lets everything run until nothing happens any more. */
void fake_settle(Fixture *f);

void test_wake(Waiter *waiter, const GError *error);
void test_waiter_clear(TestWaiter *waiter);
/* Reads a message to its end; NULL and *error when that fails. */
char *read_message(Fixture *f, Folder *folder, MailUid uid, GError **error);
