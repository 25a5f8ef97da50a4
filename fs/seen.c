#include "seen.h"

#include <string.h>

#include "notify.h"
#include "process.h"

/* With seen=any these still mark nothing. */
static const char *const searchers[] = {
    "grep",   "egrep",     "fgrep",    "zgrep",   "rg",       "ag",       "ack",
    "ugrep",  "git",       "find",     "fd",      "xargs",    "tar",      "rsync",
    "cp",     "mv",        "rm",       "scp",     "sftp-server", "zip",   "7z",
    "gzip",   "xz",        "zstd",     "cpio",    "pax",      "du",       "wc",
    "file",   "stat",      "diff",     "cmp",     "sha1sum",  "sha256sum", "sha512sum",
    "md5sum", "b2sum",     "cksum",    "sum",     "updatedb", "mlocate",  "plocate",
    "notmuch", "mu",       "mairix",   "recollindex", "baloo_file", "tracker-extract",
    "tracker-miner-f", "localsearch-3", "borg", "restic", "rclone", "duplicity", NULL};

/* So long after the last look at a message its pages are dropped, if its end was not read. */
#define DROP_AFTER 1000 /* milliseconds */

struct Seen {
    Fs *fs;
    GHashTable *unread; /* inodes whose pages hold a message that nobody has read */
    guint timer;
};

Seen *seen_new(Fs *fs)
{
    Seen *seen = g_new0(Seen, 1);
    seen->fs = fs;
    seen->unread = g_hash_table_new(g_direct_hash, NULL);
    return seen;
}

void seen_free(Seen *seen)
{
    if (!seen)
        return;
    g_clear_handle_id(&seen->timer, g_source_remove);
    g_hash_table_unref(seen->unread);
    g_free(seen);
}

static gboolean marks(const Config *config, pid_t pid)
{
    char name[16];
    if (!process_name(pid, name))
        return FALSE; /* who cannot be named cannot be trusted to be a reader */
    if (config->seen == CONFIG_SEEN_ANY)
        return !g_strv_contains(searchers, name);
    return g_strv_contains((const char *const *)config->seen_by, name);
}

static gboolean drop_pages(gpointer data)
{
    Seen *seen = data;
    GHashTableIter iter;
    gpointer inode;
    seen->timer = 0;
    g_hash_table_iter_init(&iter, seen->unread);
    while (g_hash_table_iter_next(&iter, &inode, NULL))
        notifier_content(seen->fs->notifier, GPOINTER_TO_SIZE(inode));
    g_hash_table_remove_all(seen->unread);
    return G_SOURCE_REMOVE;
}

void seen_read(Seen *seen, Folder *folder, MailUid uid, guint64 inode, pid_t pid, gboolean end)
{
    Fs *fs = seen->fs;
    MessageInfo info;
    if (fs->config->seen == CONFIG_SEEN_NEVER || fs->config->read_only ||
        !account_message(fs->account, folder, uid, &info) || info.removed ||
        (info.flags & MAIL_FLAG_SEEN))
        return;
    if (marks(fs->config, pid)) {
        g_autoptr(GError) error = NULL;
        if (!account_mark_seen(fs->account, folder, uid, &error))
            g_warning("a message cannot be marked as read: %s", error->message);
        return;
    }
    /* A later reader must be noticed, so the kernel may not answer it by itself. */
    if (end) {
        g_hash_table_remove(seen->unread, GSIZE_TO_POINTER(inode));
        notifier_content(fs->notifier, inode);
        return;
    }
    g_hash_table_add(seen->unread, GSIZE_TO_POINTER(inode));
    if (!seen->timer)
        seen->timer = g_timeout_add(DROP_AFTER, drop_pages, seen);
}
