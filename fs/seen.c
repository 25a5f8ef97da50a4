#include "seen.h"

#include <string.h>

#include "notify.h"
#include "process.h"

/* With seen=any these still mark nothing. */
static const char searchers[] =
    "grep egrep fgrep zgrep rg ag ack ugrep git find fd xargs tar rsync cp mv rm scp "
    "sftp-server zip 7z gzip xz zstd cpio pax du wc file stat diff cmp sha1sum sha256sum "
    "sha512sum md5sum b2sum cksum sum updatedb mlocate plocate notmuch mu mairix "
    "recollindex baloo_file tracker-extract tracker-miner-f localsearch-3 borg restic "
    "rclone duplicity";

/* The pages of an unread message are dropped at once when its end was read, so that the very next
 * program is noticed. That may hit the reader itself, before it has looked at them or in the middle
 * of what the kernel had read ahead for it: it would send a READ for each of its steps. So after a
 * few times, and where the end was not read, they are dropped a moment later. */
#define MAX_DROPS 3
#define DROP_AFTER 20 /* milliseconds */

/* What the kernel may hold of an unread message. */
typedef struct {
    pid_t reader;
    guint drops;
    gboolean cached; /* some came since */
} Pages;

struct Seen {
    Fs *fs;
    char **searchers;
    GHashTable *unread; /* inode -> Pages, of those read a moment ago */
    guint timer;
};

Seen *seen_new(Fs *fs)
{
    Seen *seen = g_new0(Seen, 1);
    seen->fs = fs;
    seen->searchers = g_strsplit(searchers, " ", -1);
    seen->unread = g_hash_table_new_full(inode_hash, NULL, NULL, g_free);
    return seen;
}

void seen_free(Seen *seen)
{
    if (!seen)
        return;
    g_clear_handle_id(&seen->timer, g_source_remove);
    g_strfreev(seen->searchers);
    g_hash_table_unref(seen->unread);
    g_free(seen);
}

static gboolean marks(Seen *seen, pid_t pid)
{
    const Config *config = seen->fs->config;
    char name[16];
    if (!process_name(pid, name))
        return FALSE; /* who cannot be named cannot be trusted to be a reader */
    if (config->seen == CONFIG_SEEN_ANY)
        return !g_strv_contains((const char *const *)seen->searchers, name);
    return g_strv_contains((const char *const *)config->seen_by, name);
}

static gboolean drop_pages(gpointer data)
{
    Seen *seen = data;
    GHashTableIter iter;
    gpointer inode, pages;
    seen->timer = 0;
    g_hash_table_iter_init(&iter, seen->unread);
    while (g_hash_table_iter_next(&iter, &inode, &pages))
        if (((Pages *)pages)->cached)
            notifier_content(seen->fs->notifier, GPOINTER_TO_SIZE(inode));
    g_hash_table_remove_all(seen->unread);
    return G_SOURCE_REMOVE;
}

SeenBy seen_by(Seen *seen, Folder *folder, MailUid uid, pid_t pid)
{
    Fs *fs = seen->fs;
    MessageInfo info;
    if (fs->config->seen == CONFIG_SEEN_NEVER || fs->config->read_only ||
        !account_message(fs->account, folder, uid, &info) || info.removed ||
        (info.flags & MAIL_FLAG_SEEN))
        return SEEN_IS_SEEN;
    return marks(seen, pid) ? SEEN_READER : SEEN_OTHER;
}

static void watch_pages(Seen *seen, guint64 inode, pid_t pid, gboolean end)
{
    Pages *pages = g_hash_table_lookup(seen->unread, GSIZE_TO_POINTER(inode));
    if (!pages) {
        pages = g_new0(Pages, 1);
        g_hash_table_insert(seen->unread, GSIZE_TO_POINTER(inode), pages);
    }
    if (pages->reader != pid)
        pages->drops = 0;
    pages->reader = pid;
    pages->cached = !end || pages->drops >= MAX_DROPS;
    if (!pages->cached) {
        pages->drops++;
        notifier_content(seen->fs->notifier, inode);
    }
    if (!seen->timer)
        seen->timer = g_timeout_add(DROP_AFTER, drop_pages, seen);
}

void seen_read(Seen *seen, Folder *folder, MailUid uid, guint64 inode, pid_t pid, SeenBy by,
               gboolean end)
{
    g_autoptr(GError) error = NULL;
    if (by == SEEN_OTHER)
        watch_pages(seen, inode, pid, end); /* a later reader must be noticed */
    else if (by == SEEN_READER && !account_mark_seen(seen->fs->account, folder, uid, &error))
        g_warning("a message cannot be marked as read: %s", error->message);
}
