#include "mount.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>

#include "control.h"
#include "credentials.h"
#include "file.h"
#include "fs.h"
#include "loop.h"
#include "mountpoint.h"
#include "names.h"
#include "notify.h"
#include "ops-private.h"
#include "park.h"
#include "seen.h"
#include "server.h"
#include "utf7.h"
#include "view-eml.h"

/* With a cache, the mount does not wait longer than this for a server that is slow to answer. */
#define WAIT_WITH_CACHE 5 /* seconds */
/* So long an unmount waits for the server to have everything. */
#define WAIT_AT_END 30 /* seconds */

typedef struct {
    Fs fs;
    const Config *config;
    char *point;         /* where it is mounted */
    GMainLoop *starting; /* runs until it is clear whether the server can be had */
    GError *start_error;
    gboolean online, timed_out;
    gboolean signalled; /* told to end */
    gboolean ending;
    gboolean hurry; /* told so again: what is left to send waits for the next mount */
    guint signals[3];
} Mount;

/* ---- what the account tells ---- */

static char *label(const char *component, gboolean at_root)
{
    g_autofree char *decoded = utf7_decode(component);
    const char *text = decoded ? decoded : component;
    return names_folder(text, strlen(text), at_root);
}

static char *component(const char *name, gboolean at_root)
{
    gsize size;
    g_autofree char *text = names_folder_decode(name, at_root, &size);
    if (!text || !*text || strlen(text) != size)
        return NULL;
    return utf7_encode(text);
}

static void state_changed(RemoteState state, const GError *error, gpointer data)
{
    Mount *mount = data;
    if (state == REMOTE_ONLINE)
        g_message("connected");
    if (state == REMOTE_OFFLINE && mount->fs.session)
        g_warning("offline: %s", error->message);
    if (!mount->starting || state == REMOTE_CONNECTING)
        return;
    mount->online = state == REMOTE_ONLINE;
    g_clear_error(&mount->start_error);
    if (error)
        mount->start_error = g_error_copy(error);
    g_main_loop_quit(mount->starting);
}

static void message_gone(Folder *folder, const Message *message, gpointer data)
{
    Mount *mount = data;
    guint64 inode = inode_make(VIEW_EML, folder_row(folder), message->uid);
    if (mount->fs.notifier && inodes_known(mount->fs.inodes, inode))
        file_drop_names(&mount->fs, folder, message, NULL);
}

static void arrival_went(Folder *folder, const char *name, guint32 id, gpointer data)
{
    Mount *mount = data;
    if (mount->fs.notifier && inodes_known(mount->fs.inodes, file_arrival_inode(id)))
        notifier_entry(mount->fs.notifier, eml_folder_inode(folder), name);
}

static gboolean arrival_is_known(guint32 id, gpointer data)
{
    Mount *mount = data;
    return inodes_known(mount->fs.inodes, file_arrival_inode(id));
}

static void message_changed(Folder *folder, MailUid uid, gpointer data)
{
    Mount *mount = data;
    guint64 inode = inode_make(VIEW_EML, folder_row(folder), uid);
    if (mount->fs.notifier && inodes_known(mount->fs.inodes, inode))
        notifier_attributes(mount->fs.notifier, inode);
}

static void folder_was_touched(Folder *folder, gpointer data)
{
    Mount *mount = data;
    guint64 inode = eml_folder_inode(folder);
    if (mount->fs.notifier && (inode == FUSE_ROOT_ID || inodes_known(mount->fs.inodes, inode)))
        notifier_attributes(mount->fs.notifier, inode);
}

static void folder_went(Folder *parent, const char *name, gpointer data)
{
    Mount *mount = data;
    if (mount->fs.notifier)
        notifier_entry(mount->fs.notifier, eml_folder_inode(parent), name);
}

static gboolean message_known(Folder *folder, MailUid uid, gpointer data)
{
    Mount *mount = data;
    return inodes_known(mount->fs.inodes, inode_make(VIEW_EML, folder_row(folder), uid));
}

static void event_happened(AccountEvent kind, Folder *folder, const Message *message, gpointer data)
{
    Mount *mount = data;
    control_event(mount->fs.control, kind, folder, message);
}

static void token_renewed(Secret *secret, const GError *error, gpointer data)
{
    Mount *mount = data;
    if (error)
        g_warning("no new token: %s", error->message);
    account_set_secret(mount->fs.account, secret);
}

static void renew_token(gpointer data)
{
    Mount *mount = data;
    credentials_renew(mount->config, token_renewed, mount);
}

static Account *open_account(Mount *mount, Secret *secret, gboolean is_token, GError **error)
{
    static const AccountFuncs funcs = {
        .label = label,
        .component = component,
        .state = state_changed,
        .gone = message_gone,
        .changed = message_changed,
        .touched = folder_was_touched,
        .folder_gone = folder_went,
        .known = message_known,
        .event = event_happened,
        .arrival_gone = arrival_went,
        .arrival_known = arrival_is_known,
        .renew = renew_token,
    };
    const Config *config = mount->config;
    g_autofree char *identity = server_identity(config);
    gboolean pop3 = url_is_pop3(config->url);
    AccountConfig account_config = {
        .directory = pop3 ? config->data_directory : config->cache_directory,
        .data_directory = config->data_directory,
        .identity = identity,
        .cache_size = config->cache_size,
        .refresh = config->refresh,
        .delete_policy = (AccountDelete)config->delete_policy,
        .headers = pop3 || !config->names_uid, /* a POP3 server is asked once, for ever */
        .read_only = config->read_only,
        .flat = pop3,
        .leave = config->leave,
        .fetch_all = config->fetch_all,
        .poll = config->poll,
        .remote = server_config(config, is_token),
        .make_remote = server_make,
    };
    return account_new(&account_config, secret, &funcs, mount, error);
}

/* ---- beginning ---- */

static gboolean waited_long_enough(gpointer data)
{
    Mount *mount = data;
    mount->timed_out = TRUE;
    g_main_loop_quit(mount->starting);
    return G_SOURCE_REMOVE;
}

/* FALSE: it cannot be mounted. With a cache, an unreachable server is only worth a warning. */
static gboolean reach_server(Mount *mount, char **warning, GError **error)
{
    gboolean cached = account_has_cache(mount->fs.account);
    guint timer = cached ? g_timeout_add_seconds(WAIT_WITH_CACHE, waited_long_enough, mount) : 0;
    mount->starting = g_main_loop_new(NULL, FALSE);
    account_start(mount->fs.account);
    g_main_loop_run(mount->starting);
    g_clear_pointer(&mount->starting, g_main_loop_unref);
    if (timer && !mount->timed_out)
        g_source_remove(timer);
    if (mount->signalled) {
        g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_CANCELLED,
                            "told to end before it was mounted");
        return FALSE;
    }
    if (mount->online)
        return TRUE;
    GError *why = mount->start_error;
    gboolean passing =
        mount->timed_out ||
        (why && (why->code == MAIL_ERROR_OFFLINE || why->code == MAIL_ERROR_TIMEOUT));
    if (!cached || !passing) {
        g_propagate_error(error, g_steal_pointer(&mount->start_error));
        return FALSE;
    }
    *warning = g_strdup_printf("offline, showing what is cached, and trying again: %s",
                               why ? why->message : "the server is slow to answer");
    return TRUE;
}

static gboolean mount_session(Mount *mount, GError **error)
{
    Fs *fs = &mount->fs;
    fs->session = mountpoint_mount(fs, mount->point, error);
    if (!fs->session)
        return FALSE;
    fs->notifier = notifier_new(fs->session);
    fs->seen = seen_new(fs);
    loop_attach(fs);
    return TRUE;
}

/* ---- end ---- */

static gboolean end_waited(gpointer data)
{
    gboolean *over = data;
    *over = TRUE;
    return G_SOURCE_REMOVE;
}

typedef struct {
    Waiter waiter;
    gboolean woken;
} EndWaiter;

static void end_woken(Waiter *waiter, const GError *error)
{
    ((EndWaiter *)waiter)->woken = TRUE;
}

/* Everything pending is sent before the daemon goes, or it says what is left. */
static void send_the_rest(Mount *mount)
{
    Account *account = mount->fs.account;
    EndWaiter end = {.waiter = {.wake = end_woken}};
    gboolean over = FALSE;
    guint timer = g_timeout_add_seconds(WAIT_AT_END, end_waited, &over);
    account_forget_all(account);
    account_finish(account);
    while (!over && !mount->hurry) {
        g_autoptr(GError) error = NULL;
        end.woken = FALSE;
        if (account_flush(account, &end.waiter, &error) != ACCOUNT_WAIT)
            break;
        while (!end.woken && !over && !mount->hurry)
            g_main_context_iteration(NULL, TRUE);
        waiter_cancel(&end.waiter);
    }
    if (!over)
        g_source_remove(timer);
    if (account_pending(account) > 0)
        g_warning("changes not on the server yet (%u): they are kept, and sent by the next "
                  "mount of this account",
                  account_pending(account));
}

static gboolean signalled(gpointer data)
{
    Mount *mount = data;
    mount->hurry = mount->ending;
    mount->signalled = TRUE;
    if (mount->starting)
        g_main_loop_quit(mount->starting);
    if (mount->fs.loop)
        g_main_loop_quit(mount->fs.loop);
    return G_SOURCE_CONTINUE;
}

/* When the mount is gone, nobody has a file of it open any more, though no FORGET says so. Not so
 * when the daemon is told to end, or the connection was cut: then a file may be half written. */
static void complete_files(Mount *mount)
{
    Fs *fs = &mount->fs;
    if (!fs->session || fs->dispatcher || mountpoint_is_mounted(mount->point))
        return;
    g_autoptr(GArray) files = inodes_of_view(fs->inodes, VIEW_ARRIVAL);
    for (guint i = 0; i < files->len; i++) {
        guint64 inode = g_array_index(files, guint64, i);
        inodes_forget(fs->inodes, inode, G_MAXUINT64);
        op_arrival_forgotten(fs, inode);
    }
}

static void mount_close(Mount *mount)
{
    Fs *fs = &mount->fs;
    mount->ending = TRUE;
    complete_files(mount);
    if (fs->session) {
        requests_drain(fs);
        notifier_free(fs->notifier);
        fs->notifier = NULL;
        loop_detach(fs);
        fuse_session_unmount(fs->session);
        g_clear_handle_id(&fs->parked_timer, g_source_remove);
    }
    control_stop(fs->control);
    seen_free(fs->seen);
    fs->seen = NULL;
    if (fs->loop)
        send_the_rest(mount);
    control_free(fs->control);
    account_free(fs->account);
    if (fs->session)
        fuse_session_destroy(fs->session);
    inodes_free(fs->inodes);
    g_hash_table_unref(fs->listed);
    g_hash_table_unref(fs->late);
    g_hash_table_unref(fs->other_names);
    g_hash_table_unref(fs->writers);
    g_clear_pointer(&fs->loop, g_main_loop_unref);
    for (guint i = 0; i < G_N_ELEMENTS(mount->signals); i++)
        g_clear_handle_id(&mount->signals[i], g_source_remove);
    g_clear_error(&mount->start_error);
    g_free(mount->point);
}

static gboolean mount_open(Mount *mount, Secret *secret, gboolean is_token, char **warning,
                           GError **error)
{
    Fs *fs = &mount->fs;
    fs->config = mount->config;
    fs->inodes = inodes_new();
    fs->listed = g_hash_table_new_full(inode_hash, NULL, NULL, g_free);
    fs->late = g_hash_table_new_full(inode_hash, NULL, NULL, g_free);
    fs->other_names = file_names_new();
    fs->writers = g_hash_table_new(inode_hash, NULL);
    g_queue_init(&fs->parked);
    mount->point = mountpoint_check(mount->config->mountpoint, error);
    if (!mount->point) {
        secret_free(secret);
        return FALSE;
    }
    fs->account = open_account(mount, secret, is_token, error);
    if (!fs->account || !reach_server(mount, warning, error))
        return FALSE;
    fs->control = control_new(fs, mount->point, error);
    return fs->control && mount_session(mount, error);
}

int mount_run(const Config *config, Secret *secret, gboolean is_token, MountReady ready,
              gpointer data)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    Mount mount = {.config = config};
    g_autoptr(GError) error = NULL;
    g_autofree char *warning = NULL;
    for (guint i = 0; i < G_N_ELEMENTS(ends); i++)
        mount.signals[i] = g_unix_signal_add(ends[i], signalled, &mount);
    if (!mount_open(&mount, secret, is_token, &warning, &error)) {
        mount_close(&mount);
        ready(error, NULL, data);
        return 1;
    }
    mount.fs.loop = g_main_loop_new(NULL, FALSE);
    ready(NULL, warning, data);
    if (!mount.signalled)
        g_main_loop_run(mount.fs.loop);
    mount_close(&mount);
    return 0;
}
