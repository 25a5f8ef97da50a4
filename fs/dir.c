/* A directory lists ".", "..", its folders by row, its arrivals by id, its messages by uid. Offsets
 * follow those numbers, not positions: what is removed while somebody reads makes nothing be
 * skipped, and an arrival that becomes a message meanwhile is there twice rather than not at all.
 *
 * Opening waits for the listing to be fresh; reading never waits, since the kernel locks the
 * directory meanwhile. The kernel keeps the entries and is told with each OPENDIR whether they are
 * still what it has. */
#include "dir.h"

#include <errno.h>
#include <string.h>

#include "file.h"
#include "names.h"
#include "park.h"
#include "reply.h"
#include "view-eml.h"
#include "view-failed.h"

/* So long a listing that is known waits for the server to say what is new, in seconds. */
#define KNOWN_DEADLINE 5

#define OFFSET_DOT 1
#define OFFSET_DOTDOT 2
#define OFFSET_FOLDERS DIR_FIRST_OFFSET               /* + row */
#define OFFSET_ARRIVALS (G_GUINT64_CONSTANT(1) << 32) /* + id */
#define OFFSET_MESSAGES (G_GUINT64_CONSTANT(2) << 32) /* + uid */

/* ---- opening ---- */

enum { STAGE_FOLDERS, STAGE_MESSAGES, STAGE_BOTH_WAITED };

/* The folders and the messages are asked for together, and waited for one after the other, each
 * once: what is stale again by then is fresh enough for this listing. */
static AccountReply refresh(Request *request, Folder *folder, GError **error)
{
    Account *account = request->fs->account;
    AccountReply reply = ACCOUNT_READY;
    if (request->stage == STAGE_FOLDERS) {
        account_refresh_behind(account, folder);
        request->stage = STAGE_MESSAGES;
        reply = account_refresh_folders(account, &request->waiter, error);
    }
    if (reply != ACCOUNT_READY)
        return reply;
    gboolean behind = request->stage == STAGE_BOTH_WAITED;
    request->stage = STAGE_BOTH_WAITED;
    return account_refresh_messages(account, folder, behind, &request->waiter, error);
}

static gboolean has_listing(Folder *folder)
{
    return folder_row(folder) == 0 ? folder_next_child(folder, 0) != NULL
                                   : !folder_selectable(folder) || folder_listed(folder);
}

static gboolean open_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    Folder *folder = eml_folder(fs, request->inode);
    if (!folder) {
        reply_code(request->req, ESTALE); /* the kernel looks the path up afresh, and opens that */
        return TRUE;
    }
    /* A listing that cannot be refreshed is shown as it is known: offline is no reason to show
     * less. */
    AccountReply reply = woken_by ? ACCOUNT_FAILED : refresh(request, folder, &error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    if (reply == ACCOUNT_FAILED && !has_listing(folder)) {
        reply_error(fs, request->req, "listing", request->inode, woken_by ? woken_by : error);
        return TRUE;
    }
    gpointer key = GSIZE_TO_POINTER(request->inode);
    guint64 *cached = g_hash_table_lookup(fs->listed, key);
    request->info.cache_readdir = 1;
    request->info.keep_cache = cached && *cached == folder_generation(folder);
    if (!request->info.keep_cache) {
        guint64 generation = folder_generation(folder);
        g_hash_table_insert(fs->listed, key, g_memdup2(&generation, sizeof(generation)));
    }
    reply_open(request->req, &request->info);
    return TRUE;
}

void dir_open(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    fs->counts[COUNT_OPENDIR]++;
    if (inode_view(inode) == VIEW_FAILED) {
        reply_open(req, info);
        return;
    }
    Request *request = request_new(fs, req, "opendir", inode, open_attempt);
    Folder *folder = eml_folder(fs, inode);
    request->info = *info;
    if (folder && has_listing(folder))
        request->deadline = request->since + KNOWN_DEADLINE * G_USEC_PER_SEC;
    request_run(request);
}

/* ---- reading ---- */

struct Listing {
    Fs *fs;
    fuse_req_t req;
    GByteArray *out;
    gsize limit;
    GArray *inodes; /* of guint64: handed out by this reply */
};

Fs *dir_listing_fs(Listing *listing)
{
    return listing->fs;
}

gboolean dir_add(Listing *listing, const char *name, const struct fuse_entry_param *entry,
                 guint64 offset)
{
    gsize used = listing->out->len;
    gsize need = fuse_add_direntry_plus(listing->req, (char *)listing->out->data + used,
                                        listing->limit - used, name, entry, (off_t)offset);
    if (need > listing->limit - used)
        return FALSE;
    listing->out->len += (guint)need;
    if (entry->ino)
        g_array_append_val(listing->inodes, entry->ino);
    return TRUE;
}

/* "." and ".." carry no node: the kernel takes none for them. */
static gboolean add_dot(Listing *listing, const char *name, guint64 inode, guint64 offset)
{
    struct fuse_entry_param entry = {.attr = {.st_ino = inode, .st_mode = S_IFDIR}};
    return dir_add(listing, name, &entry, offset);
}

static gboolean add_folders(Listing *listing, Folder *folder, guint32 after)
{
    Folder *child;
    while ((child = folder_next_child(folder, after))) {
        struct fuse_entry_param entry = {.ino = eml_folder_inode(child),
                                         .attr_timeout = FS_FOREVER,
                                         .entry_timeout = FS_FOREVER};
        eml_folder_attr(listing->fs, child, &entry.attr);
        after = folder_row(child);
        if (!dir_add(listing, folder_label(child), &entry, OFFSET_FOLDERS + after))
            return FALSE;
    }
    return TRUE;
}

/* What is still being written is listed without a node, so that the kernel keeps none. */
static gboolean add_arrivals(Listing *listing, Folder *folder, guint32 after)
{
    Arrival *arrival;
    while ((arrival = folder_next_arrival(folder, after))) {
        struct fuse_entry_param entry;
        after = arrival_id(arrival);
        File file = {.inode = file_arrival_inode(after), .folder = folder, .arrival = arrival};
        file_entry(listing->fs, &file, &entry);
        if (file_is_writable(&file))
            entry.ino = 0;
        if (!dir_add(listing, arrival_name(arrival), &entry, OFFSET_ARRIVALS + after))
            return FALSE;
    }
    return TRUE;
}

static void add_messages(Listing *listing, Folder *folder, MailUid after)
{
    if (!folder_selectable(folder) || after == G_MAXUINT32)
        return;
    Mailbox *mailbox = folder_mailbox(folder);
    for (guint i = mailbox_position(mailbox, after + 1); i < mailbox_count(mailbox); i++) {
        const Message *message = mailbox_at(mailbox, i);
        if (!message_visible(folder, message))
            continue;
        char name[NAMES_MAX + 1];
        struct fuse_entry_param entry = {.ino =
                                             inode_make(VIEW_EML, folder_row(folder), message->uid),
                                         .entry_timeout = FS_FOREVER};
        eml_message_attr(listing->fs, folder, message->uid, &entry.attr, &entry.attr_timeout);
        eml_name(listing->fs, message, name);
        if (!dir_add(listing, name, &entry, OFFSET_MESSAGES + message->uid))
            return;
    }
}

/* The last number that an offset of this kind stands for; 0: none of it was listed yet. */
static guint32 number_at(guint64 offset, guint64 kind)
{
    return offset > kind ? (guint32)(offset - kind) : 0;
}

static void add_folder(Listing *listing, Folder *folder, guint64 offset)
{
    if (offset < OFFSET_ARRIVALS &&
        !add_folders(listing, folder, number_at(offset, OFFSET_FOLDERS)))
        return;
    if (offset < OFFSET_MESSAGES &&
        !add_arrivals(listing, folder, number_at(offset, OFFSET_ARRIVALS)))
        return;
    add_messages(listing, folder, number_at(offset, OFFSET_MESSAGES));
}

static void fill(Listing *listing, guint64 inode, Folder *folder, guint64 offset)
{
    Folder *parent = folder ? folder_parent(folder) : NULL;
    guint64 above = parent ? eml_folder_inode(parent) : folder ? inode : FUSE_ROOT_ID;
    if (offset < OFFSET_DOT && !add_dot(listing, ".", inode, OFFSET_DOT))
        return;
    if (offset < OFFSET_DOTDOT && !add_dot(listing, "..", above, OFFSET_DOTDOT))
        return;
    if (folder)
        add_folder(listing, folder, offset);
    else
        failed_list(listing, inode, offset);
}

void dir_read_plus(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
                   struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    Folder *folder = eml_folder(fs, inode);
    fs->counts[COUNT_READDIRPLUS]++;
    if (!folder && inode_view(inode) != VIEW_FAILED) {
        reply_code(req, ENOENT);
        return;
    }
    g_autoptr(GByteArray) out = g_byte_array_sized_new((guint)size);
    g_autoptr(GArray) inodes = g_array_new(FALSE, FALSE, sizeof(guint64));
    Listing listing = {fs, req, out, size, inodes};
    fill(&listing, inode, folder, (guint64)offset);
    if (!reply_buffer(req, (const char *)out->data, out->len))
        return;
    for (guint i = 0; i < inodes->len; i++)
        inodes_looked_up(fs->inodes, g_array_index(inodes, guint64, i));
}
