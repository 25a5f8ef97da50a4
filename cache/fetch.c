#include "fetch.h"

#include "account-private.h"

#define LISTED_AHEAD 8 /* folders that are listed at a time */
#define LOOKS 2000     /* messages that are looked at in one turn of the loop */
#define MAX_ITEMS 2000 /* messages that are asked for at a time */
#define MIN_WINDOW (1024 * 1024)
#define MAX_WINDOW (32 * 1024 * 1024)
#define WINDOW_SECONDS 2 /* what is asked for at a time comes within so long */

/* What is to be had of one folder. */
typedef struct {
    guint32 row;
    GArray *named;  /* of MailUid: these only; NULL: all */
    GArray *wanted; /* of MailUid, in the order in which they are asked for */
    guint next;     /* the one of `wanted` that comes next */
    guint looked;   /* how many of `named` were looked at */
    MailUid last;   /* the message that was looked at last */
    guint on_way;
    FetchAmount fetched;
    gboolean told; /* that it is done with */
} Goal;

/* A message on its way. */
typedef struct {
    Waiter waiter; /* first: what wakes it hands back this address */
    AccountFetch *fetch;
    Goal *goal;
    MailUid uid;
    guint64 size, have;
    GList link;
} Item;

struct AccountFetch {
    Waiter waiter; /* first; for a listing */
    Account *account;
    const FetchFuncs *funcs;
    gpointer data;
    GPtrArray *goals;
    GHashTable *by_row; /* row -> Goal */
    guint listing;      /* the goal that is listed and looked through next */
    gboolean is_listed; /* that one is listed: it remains to look through it */
    guint asking;       /* the goal of which messages are asked for next */
    GQueue items;
    guint64 on_way; /* bytes that are asked for and not here */
    guint64 kept;   /* bytes that are to be in the cache in the end */
    FetchProgress progress;
    guint64 window; /* bytes */
    gint64 since;   /* monotonic: when `before` was taken */
    guint64 before; /* bytes fetched by then */
    GError *error;
    guint source;
};

static void schedule(AccountFetch *fetch);

/* ---- goals ---- */

static void goal_free(gpointer data)
{
    Goal *goal = data;
    g_clear_pointer(&goal->named, g_array_unref);
    g_array_unref(goal->wanted);
    g_free(goal);
}

static Goal *obtain_goal(AccountFetch *fetch, const Folder *folder, gboolean *is_new)
{
    Goal *goal = g_hash_table_lookup(fetch->by_row, GUINT_TO_POINTER(folder->row));
    *is_new = !goal;
    if (goal)
        return goal;
    goal = g_new0(Goal, 1);
    goal->row = folder->row;
    goal->wanted = g_array_new(FALSE, FALSE, sizeof(MailUid));
    g_ptr_array_add(fetch->goals, goal);
    g_hash_table_insert(fetch->by_row, GUINT_TO_POINTER(folder->row), goal);
    return goal;
}

void fetch_add_folder(AccountFetch *fetch, Folder *folder)
{
    gboolean is_new;
    if (folder_selectable(folder))
        g_clear_pointer(&obtain_goal(fetch, folder, &is_new)->named, g_array_unref);
    for (guint i = 0; i < folder->children->len; i++)
        fetch_add_folder(fetch, folder->children->pdata[i]);
}

void fetch_add_message(AccountFetch *fetch, Folder *folder, MailUid uid)
{
    gboolean is_new;
    Goal *goal = obtain_goal(fetch, folder, &is_new);
    if (is_new)
        goal->named = g_array_new(FALSE, FALSE, sizeof(MailUid));
    if (goal->named)
        g_array_append_val(goal->named, uid);
}

static gint newest_first(gconstpointer a, gconstpointer b)
{
    MailUid first = *(const MailUid *)a, second = *(const MailUid *)b;
    return first > second ? -1 : first < second;
}

/* It is nobody's fault in particular: nothing else would come either. */
static gboolean is_general(const GError *error)
{
    return g_error_matches(error, MAIL_ERROR, MAIL_ERROR_OFFLINE) ||
           g_error_matches(error, MAIL_ERROR, MAIL_ERROR_AUTH) ||
           g_error_matches(error, MAIL_ERROR, MAIL_ERROR_TLS) ||
           g_error_matches(error, MAIL_ERROR, MAIL_ERROR_DISK);
}

static void fail(AccountFetch *fetch, const GError *error)
{
    if (!fetch->error)
        fetch->error = g_error_copy(error);
}

/* ---- looking through listings ---- */

/* Is the message here, to be fetched, or too much? */
static void look_at(AccountFetch *fetch, Goal *goal, Folder *folder, const Message *message)
{
    Bodies *bodies = fetch->account->bodies;
    guint64 budget = bodies_budget(bodies), size = message->size;
    if (!message_visible(folder, message))
        return;
    gboolean here = bodies_has(bodies, folder->row, message->uid, &size);
    FetchAmount *amount = here ? &fetch->progress.had : &fetch->progress.all;
    if (budget > 0 && fetch->kept + size > budget) {
        amount = &fetch->progress.left_out;
    } else {
        fetch->kept += size;
        if (here)
            bodies_use(bodies, folder->row, message->uid);
        else
            g_array_append_val(goal->wanted, message->uid);
    }
    amount->messages++;
    amount->bytes += size;
}

/* The newest of those that were not looked at, 0: none is left. By uid, not by position: others may
 * come and go between two turns. */
static MailUid next_uid(Goal *goal, Folder *folder)
{
    Mailbox *mailbox = folder_mailbox(folder);
    if (goal->named) {
        MailUid uid = 0;
        while (goal->looked < goal->named->len && (uid == 0 || uid == goal->last))
            uid = g_array_index(goal->named, MailUid, goal->looked++);
        return goal->last = uid == goal->last ? 0 : uid; /* one may be named twice */
    }
    guint above = goal->last ? mailbox_position(mailbox, goal->last) : mailbox_count(mailbox);
    goal->last = above > 0 ? mailbox_at(mailbox, above - 1)->uid : 0;
    return goal->last;
}

/* FALSE: there is more to look through, in another turn of the loop. */
static gboolean look_through(AccountFetch *fetch, Goal *goal, Folder *folder)
{
    for (guint looks = 0; looks < LOOKS; looks++) {
        MailUid uid = next_uid(goal, folder);
        if (uid == 0)
            return TRUE;
        const Message *message = mailbox_find(folder_mailbox(folder), uid);
        if (message)
            look_at(fetch, goal, folder, message);
    }
    return FALSE;
}

/* Several listings are brought up to date at a time, and waited for in order. */
static void list_ahead(AccountFetch *fetch)
{
    guint end = MIN(fetch->listing + LISTED_AHEAD, fetch->goals->len);
    for (guint i = fetch->listing; i < end; i++) {
        const Goal *goal = fetch->goals->pdata[i];
        Folder *folder = account_folder(fetch->account, goal->row);
        if (folder)
            account_refresh_behind(fetch->account, folder);
    }
}

/* Offline, a listing that is known has to do; one that is not is no empty folder. */
static void list_failed(AccountFetch *fetch, Folder *folder, const GError *error)
{
    if (folder_listed(folder))
        return;
    if (is_general(error)) {
        fail(fetch, error);
        return;
    }
    fetch->progress.failed++;
    fetch->funcs->failed(folder, 0, error, fetch->data);
}

static void next_goal(AccountFetch *fetch)
{
    fetch->listing++;
    fetch->is_listed = FALSE;
    fetch->progress.counted = fetch->listing == fetch->goals->len;
}

/* A step of listing and looking. FALSE: it waits. */
static gboolean list_one(AccountFetch *fetch)
{
    g_autoptr(GError) error = NULL;
    Goal *goal = fetch->goals->pdata[fetch->listing];
    Folder *folder = account_folder(fetch->account, goal->row);
    if (!folder) {
        next_goal(fetch);
        return TRUE;
    }
    if (!fetch->is_listed) {
        list_ahead(fetch);
        AccountReply reply =
            account_refresh_messages(fetch->account, folder, FALSE, &fetch->waiter, &error);
        if (reply == ACCOUNT_WAIT)
            return FALSE;
        if (reply == ACCOUNT_FAILED)
            list_failed(fetch, folder, error);
        fetch->is_listed = TRUE;
    }
    if (look_through(fetch, goal, folder))
        next_goal(fetch);
    return TRUE;
}

static void listing_woken(Waiter *waiter, const GError *error)
{
    AccountFetch *fetch = (AccountFetch *)waiter;
    const Goal *goal = fetch->goals->pdata[fetch->listing];
    Folder *folder = account_folder(fetch->account, goal->row);
    if (folder && error)
        list_failed(fetch, folder, error);
    fetch->is_listed = TRUE; /* as well as can be */
    schedule(fetch);
}

/* ---- messages ---- */

/* Is it done with? */
static void goal_check(AccountFetch *fetch, Goal *goal)
{
    Folder *folder = account_folder(fetch->account, goal->row);
    if (fetch->error || goal->next < goal->wanted->len || goal->on_way > 0 || goal->told || !folder)
        return;
    goal->told = TRUE;
    fetch->funcs->folder(folder, &goal->fetched, fetch->data);
}

static void item_free(Item *item)
{
    AccountFetch *fetch = item->fetch;
    waiter_cancel(&item->waiter);
    g_queue_unlink(&fetch->items, &item->link);
    fetch->on_way -= item->size;
    item->goal->on_way--;
    g_free(item);
}

static void item_failed(Item *item, const GError *error)
{
    AccountFetch *fetch = item->fetch;
    Folder *folder = account_folder(fetch->account, item->goal->row);
    fetch->progress.fetched.bytes -= item->have;
    fetch->progress.all.messages--;
    fetch->progress.all.bytes -= item->size;
    if (is_general(error)) {
        fail(fetch, error);
    } else if (folder && !g_error_matches(error, MAIL_ERROR, MAIL_ERROR_GONE)) {
        fetch->progress.failed++;
        fetch->funcs->failed(folder, item->uid, error, fetch->data);
    }
}

/* The size was the server's claim: what is here counts. */
static void item_had(Item *item, guint64 have)
{
    FetchProgress *progress = &item->fetch->progress;
    progress->fetched.bytes += have - item->have;
    item->have = have;
}

static void item_done(Item *item, guint64 length)
{
    FetchProgress *progress = &item->fetch->progress;
    item_had(item, length);
    progress->all.bytes += length - item->size;
    progress->fetched.messages++;
    item->goal->fetched.messages++;
    item->goal->fetched.bytes += length;
}

/* Looks how far it is, and waits for more. */
static void item_look(Item *item, const GError *woken_by)
{
    AccountFetch *fetch = item->fetch;
    Goal *goal = item->goal;
    g_autoptr(GError) error = NULL;
    guint64 have = 0;
    Folder *folder = account_folder(fetch->account, goal->row);
    AccountReply reply = ACCOUNT_FAILED;
    if (!folder)
        error = g_error_new_literal(MAIL_ERROR, MAIL_ERROR_GONE, "the folder is gone");
    else if (bodies_has(fetch->account->bodies, folder->row, item->uid, &have))
        reply = ACCOUNT_READY; /* also where its size was not as it was said */
    else if (!woken_by)
        reply = downloads_follow(folder, item->uid, &item->waiter, &have, &error);
    if (reply == ACCOUNT_WAIT) {
        item_had(item, have);
        return;
    }
    if (reply == ACCOUNT_READY)
        item_done(item, have);
    else
        item_failed(item, woken_by ? woken_by : error);
    item_free(item);
    goal_check(fetch, goal);
    schedule(fetch);
}

static void item_woken(Waiter *waiter, const GError *error)
{
    item_look((Item *)waiter, error);
}

static void ask(AccountFetch *fetch, Goal *goal, const Message *message)
{
    Item *item = g_new0(Item, 1);
    item->waiter.wake = item_woken;
    item->fetch = fetch;
    item->goal = goal;
    item->uid = message->uid;
    item->size = message->size;
    item->link.data = item;
    g_queue_push_tail_link(&fetch->items, &item->link);
    fetch->on_way += item->size;
    goal->on_way++;
    item_look(item, NULL);
}

/* So much at a time as comes within a second or two. */
static void measure(AccountFetch *fetch)
{
    gint64 now = g_get_monotonic_time();
    guint64 bytes = fetch->progress.fetched.bytes;
    if (now - fetch->since < G_USEC_PER_SEC)
        return;
    guint64 came = bytes > fetch->before ? bytes - fetch->before : 0;
    guint64 rate = came * G_USEC_PER_SEC / (guint64)(now - fetch->since);
    if (fetch->since)
        fetch->window = CLAMP(rate * WINDOW_SECONDS, MIN_WINDOW, MAX_WINDOW);
    fetch->since = now;
    fetch->before = bytes;
}

/* In large sets: the next one when half of what was asked for has come. */
static void ask_for_more(AccountFetch *fetch)
{
    measure(fetch);
    if (fetch->on_way > fetch->window / 2 || fetch->items.length > MAX_ITEMS / 2)
        return;
    while (fetch->asking < fetch->listing) {
        Goal *goal = fetch->goals->pdata[fetch->asking];
        Folder *folder = account_folder(fetch->account, goal->row);
        while (folder && goal->next < goal->wanted->len) {
            if (fetch->on_way >= fetch->window || fetch->items.length >= MAX_ITEMS)
                return;
            MailUid uid = g_array_index(goal->wanted, MailUid, goal->next++);
            const Message *message = mailbox_find(folder_mailbox(folder), uid);
            if (message)
                ask(fetch, goal, message);
            else
                fetch->progress.all.messages--;
        }
        fetch->asking++;
        goal_check(fetch, goal);
    }
}

/* ---- beginning and end ---- */

static gboolean step(gpointer data)
{
    AccountFetch *fetch = data;
    gboolean goes_on = FALSE;
    if (!fetch->error && fetch->listing < fetch->goals->len)
        goes_on = !fetch->waiter.list && list_one(fetch);
    if (!fetch->error)
        ask_for_more(fetch);
    if (goes_on)
        return G_SOURCE_CONTINUE;
    fetch->source = 0;
    gboolean over = fetch->listing == fetch->goals->len && fetch->items.length == 0 &&
                    fetch->asking == fetch->goals->len;
    if (over || fetch->error)
        fetch->funcs->done(fetch->error, fetch->data);
    return G_SOURCE_REMOVE;
}

static void schedule(AccountFetch *fetch)
{
    if (!fetch->source)
        fetch->source = g_idle_add_full(G_PRIORITY_DEFAULT, step, fetch, NULL);
}

AccountFetch *fetch_new(Account *account, const FetchFuncs *funcs, gpointer data)
{
    AccountFetch *fetch = g_new0(AccountFetch, 1);
    fetch->waiter.wake = listing_woken;
    fetch->account = account;
    fetch->funcs = funcs;
    fetch->data = data;
    fetch->goals = g_ptr_array_new_with_free_func(goal_free);
    fetch->by_row = g_hash_table_new(NULL, NULL);
    g_queue_init(&fetch->items);
    fetch->window = MIN_WINDOW;
    return fetch;
}

void fetch_start(AccountFetch *fetch)
{
    for (guint i = 0; i < fetch->goals->len; i++) {
        Goal *goal = fetch->goals->pdata[i];
        if (goal->named)
            g_array_sort(goal->named, newest_first);
    }
    schedule(fetch);
}

void fetch_free(AccountFetch *fetch)
{
    if (!fetch)
        return;
    g_clear_handle_id(&fetch->source, g_source_remove);
    waiter_cancel(&fetch->waiter);
    while (fetch->items.head)
        item_free(fetch->items.head->data);
    g_hash_table_unref(fetch->by_row);
    g_ptr_array_unref(fetch->goals);
    g_clear_error(&fetch->error);
    g_free(fetch);
}

const FetchProgress *fetch_progress(const AccountFetch *fetch)
{
    return &fetch->progress;
}
