#include "watch.h"

#include <string.h>

#define SECOND G_USEC_PER_SEC
#define MAX_WATCHED 8
#define LATELY (30 * 60 * SECOND)
/* Programs go from folder to folder: the server is told where they are at most so often. */
#define SETTLE 300 /* milliseconds */
/* One sync that was hinted at follows the next at least so much later; twice as much each time that
 * one learns nothing, so that a server that takes our syncs for changes does not keep us busy. */
#define GAP (SECOND / 10)
#define GAP_CAP 5          /* times */
#define CALM (10 * SECOND) /* without a hint; then it begins with the shortest gap again */
/* Even a folder of which all news are told is looked at after so long. */
#define TRUSTED_FOR (5 * 60 * SECOND)
/* How often folders are looked at of which no news are told. */
#define POLL_DEFAULT 10 /* seconds */
#define POLL_CAP 60

/* ---- hints ---- */

static gboolean follow(gpointer data)
{
    Folder *folder = data;
    folder->hint_timer = 0;
    folder->followed = g_get_monotonic_time();
    if (remote_state(folder->account->remote) == REMOTE_ONLINE)
        account_refresh_behind(folder->account, folder);
    return G_SOURCE_REMOVE;
}

static void follow_up(Folder *folder)
{
    if (folder->hint_timer || !folder->listed)
        return; /* of a folder that nobody ever listed nothing can be out of date */
    gint64 passed = g_get_monotonic_time() - folder->followed;
    if (passed > CALM)
        folder->fruitless = 0;
    gint64 wait = MAX((GAP << folder->fruitless) - passed, 0);
    folder->hint_timer = g_timeout_add((guint)(wait / 1000), follow, folder);
}

void watch_hint(Folder *folder)
{
    if (folder->sync) {
        folder->hinted = TRUE; /* perhaps of what the sync has passed by already */
        return;
    }
    folder->dirty = TRUE;
    follow_up(folder);
}

void watch_synced(Folder *folder, gboolean found)
{
    folder->fruitless = found ? 0 : MIN(folder->fruitless + 1, GAP_CAP);
    if (!folder->hinted)
        return;
    folder->hinted = FALSE;
    watch_hint(folder);
}

gint64 watch_age(const Folder *folder)
{
    gint64 age = account_refresh_age(folder->account);
    return remote_watched(folder->account->remote, folder->name) ? MAX(age, TRUSTED_FOR) : age;
}

/* ---- which folders ---- */

static Folder *inbox_of(Account *account)
{
    return g_hash_table_lookup(account->by_name, "INBOX");
}

static gboolean is_watched(const Folder *folder)
{
    return folder_selectable(folder) && g_get_monotonic_time() - folder->used < LATELY;
}

static gboolean tell_server(gpointer data)
{
    Account *account = data;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    account->watch_source = 0;
    g_ptr_array_add(names, (gpointer) "INBOX");
    for (GList *item = account->lately.head; item; item = item->next) {
        Folder *folder = item->data;
        if (is_watched(folder) && strcmp(folder->name, "INBOX") != 0)
            g_ptr_array_add(names, folder->name);
    }
    g_ptr_array_add(names, NULL);
    remote_watch(account->remote, (const char *const *)names->pdata);
    return G_SOURCE_REMOVE;
}

static void tell_server_soon(Account *account)
{
    if (account->watch_timer && !account->watch_source)
        account->watch_source = g_timeout_add(SETTLE, tell_server, account);
}

void watch_use(Folder *folder)
{
    GQueue *lately = &folder->account->lately;
    folder->used = g_get_monotonic_time();
    if (lately->head && lately->head->data == folder)
        return;
    g_queue_remove(lately, folder);
    g_queue_push_head(lately, folder);
    if (lately->length > MAX_WATCHED)
        g_queue_pop_tail(lately);
    tell_server_soon(folder->account);
}

void watch_forget(Folder *folder)
{
    g_clear_handle_id(&folder->hint_timer, g_source_remove);
    if (g_queue_remove(&folder->account->lately, folder))
        tell_server_soon(folder->account);
}

/* ---- looking from time to time ---- */

static gboolean look_around(gpointer data)
{
    Account *account = data;
    Folder *inbox = inbox_of(account);
    if (remote_state(account->remote) != REMOTE_ONLINE)
        return G_SOURCE_CONTINUE;
    if (inbox && inbox->refreshed > 0)
        account_refresh_behind(account, inbox);
    for (GList *item = account->lately.head; item; item = item->next) {
        Folder *folder = item->data;
        if (is_watched(folder) && folder->refreshed > 0)
            account_refresh_behind(account, folder);
    }
    if (account->list_refreshed > 0 &&
        g_get_monotonic_time() - account->list_refreshed >= POLL_CAP * SECOND) {
        folders_refresh(account);
        tell_server_soon(account); /* some may have other names, or be there again */
    }
    return G_SOURCE_CONTINUE;
}

void watch_start(Account *account)
{
    if (account->config.flat)
        return; /* POP3: to look is to log in, and to lock the others out meanwhile */
    guint every = account->config.refresh ? MIN(account->config.refresh, POLL_CAP) : POLL_DEFAULT;
    account->watch_timer = g_timeout_add_seconds(every, look_around, account);
    tell_server(account);
}

void watch_end(Account *account)
{
    g_clear_handle_id(&account->watch_timer, g_source_remove);
    g_clear_handle_id(&account->watch_source, g_source_remove);
}
