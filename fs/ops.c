/* Thin: an operation finds its folder and message, asks the account, and answers or parks.
 *
 * Files are opened and closed without a message: the kernel asks once, learns that there is nothing
 * to do (ENOSYS), and keeps their pages from then on. What would hang in open() hangs in the first
 * READ. */
#include "ops-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dir.h"
#include "file.h"
#include "names.h"
#include "notify.h"
#include "park.h"
#include "reply.h"
#include "seen.h"
#include "view-eml.h"
#include "view-failed.h"
#include "xattr.h"

static Fs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void op_init(void *data, struct fuse_conn_info *conn)
{
    /* READDIRPLUS always: its automatic mode costs a LOOKUP a file on a first find. An O_TRUNC must
     * arrive as SETATTR, where it can be refused. Splicing gains nothing for small files. */
    conn->want &=
        ~(unsigned)(FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_SPLICE_READ |
                    FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE |
                    FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_POSIX_LOCKS);
    conn->want |= conn->capable & (FUSE_CAP_READDIRPLUS | FUSE_CAP_NO_OPEN_SUPPORT |
                                   FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
                                   FUSE_CAP_CACHE_SYMLINKS | FUSE_CAP_EXPLICIT_INVAL_DATA);
    conn->max_background = 64;
    conn->congestion_threshold = 48;
}

/* ---- lookup, getattr ---- */

static void reply_file(Request *request, const File *file)
{
    struct fuse_entry_param entry;
    if (!file_entry(request->fs, file, &entry))
        reply_code(request->req, ENOENT);
    else if (reply_entry(request->fs, request->req, &entry))
        file_looked_up(request->fs, file, request->inode, request->name);
}

/* The kernel locks the directory meanwhile, so this waits only while nothing of it is known. */
static AccountReply lookup_refresh(Request *request, Folder *parent, GError **error)
{
    Account *account = request->fs->account;
    Folder *root = account_root(account);
    if (!folder_selectable(root) && !folder_next_child(root, 0))
        return account_refresh_folders(account, &request->waiter, error);
    if (!folder_selectable(parent) || !g_str_has_suffix(request->name, EML_SUFFIX))
        return ACCOUNT_READY;
    return account_refresh_messages(account, parent, TRUE, &request->waiter, error);
}

static gboolean lookup_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    Folder *parent = eml_folder(fs, request->inode);
    Folder *child = parent ? folder_child(parent, request->name) : NULL;
    File file;
    if (child) {
        op_reply_folder(request, child);
        return TRUE;
    }
    if (parent && file_lookup(fs, parent, request->name, &file)) {
        reply_file(request, &file);
        return TRUE;
    }
    if (!parent) {
        reply_code(request->req, ESTALE);
        return TRUE;
    }
    if (!woken_by) {
        AccountReply reply = lookup_refresh(request, parent, &error);
        if (reply == ACCOUNT_WAIT)
            return FALSE;
        if (reply == ACCOUNT_READY) {
            reply_code(request->req, ENOENT);
            return TRUE;
        }
    }
    reply_error(fs, request->req, "lookup", request->inode, woken_by ? woken_by : error);
    return TRUE;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    Fs *fs = fs_of(req);
    fs->counts[COUNT_LOOKUP]++;
    if (strlen(name) > NAMES_MAX) {
        reply_code(req, ENAMETOOLONG);
        return;
    }
    if (failed_has(parent, name)) {
        failed_lookup(req, parent, name);
        return;
    }
    Request *request = request_new(fs, req, "lookup", parent, lookup_attempt);
    request->holds = parent;
    request->name = g_strdup(name);
    request_run(request);
}

static void forget_one(Fs *fs, guint64 inode, guint64 count)
{
    fs->counts[COUNT_FORGET]++;
    if (!inodes_forget(fs->inodes, inode, count) || inode_uid(inode) == 0)
        return;
    if (inode_view(inode) == VIEW_ARRIVAL) {
        op_arrival_forgotten(fs, inode);
        return;
    }
    Folder *folder = eml_folder(fs, inode);
    file_forget_names(fs, inode);
    if (folder)
        account_forget(fs->account, folder, inode_uid(inode));
}

static void op_forget(fuse_req_t req, fuse_ino_t inode, uint64_t count)
{
    forget_one(fs_of(req), inode, count);
    reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        forget_one(fs_of(req), forgets[i].ino, forgets[i].nlookup);
    reply_none(req);
}

/* A size that is not certain is not guessed: the message's own length is asked for. Where that
 * cannot be had (offline), nobody can read the message either, and the server's claim is as good as
 * any. */
static gboolean getattr_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    struct stat attr;
    double timeout = FS_FOREVER;
    guint64 length;
    File file;
    if (!file_find(fs, request->inode, &file)) {
        reply_code(request->req, ESTALE);
        return TRUE;
    }
    if (!file_attr(fs, &file, &attr, &timeout)) {
        reply_code(request->req, ENOENT);
        return TRUE;
    }
    if (timeout == 0 && !file.arrival && !woken_by) {
        AccountReply reply =
            account_length(fs->account, file.folder, file.uid, &request->waiter, &length, &error);
        if (reply == ACCOUNT_WAIT)
            return FALSE;
        if (reply == ACCOUNT_READY)
            attr.st_size = (off_t)length;
    }
    reply_attr(request->req, &attr, timeout);
    return TRUE;
}

static void op_getattr(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info)
{
    Fs *fs = fs_of(req);
    struct stat attr;
    Folder *folder = inode_uid(inode) == 0 ? eml_folder(fs, inode) : NULL;
    fs->counts[COUNT_GETATTR]++;
    if (folder) {
        eml_folder_attr(fs, folder, &attr);
        reply_attr(req, &attr, FS_FOREVER);
        return;
    }
    if (inode_view(inode) == VIEW_FAILED) {
        failed_getattr(req, inode);
        return;
    }
    Request *request = request_new(fs, req, "getattr", inode, getattr_attempt);
    request->holds = inode;
    request_run(request);
}

/* ---- open, read ---- */

static void op_open(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info)
{
    fs_of(req)->counts[COUNT_OPEN]++;
    reply_code(req, ENOSYS);
}

static void op_release(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info)
{
    fs_of(req)->counts[COUNT_RELEASE]++;
    reply_code(req, 0);
}

static gboolean answer_read(Request *request, const BodySpan *span)
{
    if (span->size == 0) {
        reply_buffer(request->req, NULL, 0);
        return TRUE;
    }
    g_autofree char *bytes = g_malloc(span->size);
    gsize have = 0;
    while (have < span->size) {
        ssize_t got =
            pread(span->fd, bytes + have, span->size - have, (off_t)(span->offset + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            reply_code(request->req, EIO); /* never less than what is there */
            return FALSE;
        }
        have += (gsize)got;
    }
    reply_buffer(request->req, bytes, have);
    return TRUE;
}

static AccountReply read_file(Request *request, const File *file, BodySpan *span, GError **error)
{
    Account *account = request->fs->account;
    if (file->arrival)
        return account_read_arrival(account, file->arrival, request->offset, request->size,
                                    &request->waiter, span, error);
    return account_read(account, file->folder, file->uid, request->offset, request->size,
                        &request->waiter, span, error);
}

static void note_reader(Request *request, const File *file, SeenBy by, guint64 read_up_to)
{
    Fs *fs = request->fs;
    MessageInfo info;
    gboolean end =
        account_message(fs->account, file->folder, file->uid, &info) && read_up_to >= info.size;
    seen_read(fs->seen, file->folder, file->uid, request->inode, request->pid, by, end);
}

static gboolean read_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    BodySpan span;
    File file;
    if (!file_find(fs, request->inode, &file)) {
        reply_code(request->req, ESTALE);
        return TRUE;
    }
    AccountReply reply = woken_by ? ACCOUNT_FAILED : read_file(request, &file, &span, &error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    if (reply == ACCOUNT_FAILED) {
        reply_error(fs, request->req, "read", request->inode, woken_by ? woken_by : error);
        return TRUE;
    }
    if (file.arrival) {
        answer_read(request, &span);
        return TRUE;
    }
    SeenBy by = seen_by(fs->seen, file.folder, file.uid, request->pid);
    if (answer_read(request, &span))
        note_reader(request, &file, by, request->offset + span.size);
    return TRUE;
}

static void op_read(fuse_req_t req, fuse_ino_t inode, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    Fs *fs = fs_of(req);
    fs->counts[COUNT_READ]++;
    if (inode_view(inode) == VIEW_FAILED) {
        failed_read(req, inode, size, offset);
        return;
    }
    Request *request = request_new(fs, req, "read", inode, read_attempt);
    request->holds = inode;
    request->offset = (guint64)offset;
    request->size = size;
    request_run(request);
}

/* ---- what was changed, on the server ---- */

gboolean op_flush_attempt(Request *request, const GError *woken_by)
{
    g_autoptr(GError) error = NULL;
    AccountReply reply = ACCOUNT_FAILED;
    if (!woken_by)
        reply = account_flush(request->fs->account, &request->waiter, &error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    if (reply == ACCOUNT_READY)
        reply_code(request->req, 0);
    else
        reply_error(request->fs, request->req, request->what, request->inode,
                    woken_by ? woken_by : error);
    return TRUE;
}

void op_changed(fuse_req_t req, const char *what, guint64 parent, guint64 other_parent)
{
    Fs *fs = fs_of(req);
    if (!fs->config->sync) {
        reply_code(req, 0);
        return;
    }
    Request *request = request_new(fs, req, what, parent, op_flush_attempt);
    request->holds = parent;
    request->holds_too = other_parent == parent ? 0 : other_parent;
    request_run(request);
}

/* ---- what is not allowed ---- */

void op_refuse(fuse_req_t req)
{
    fs_of(req)->counts[COUNT_REFUSED]++;
    reply_code(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    op_refuse(req);
}

static void op_link(fuse_req_t req, fuse_ino_t inode, fuse_ino_t parent, const char *name)
{
    op_refuse(req);
}

/* ---- the rest ---- */

struct fuse_lowlevel_ops ops_table(const Config *config)
{
    return (struct fuse_lowlevel_ops){
        .init = op_init,
        .lookup = op_lookup,
        .forget = op_forget,
        .forget_multi = op_forget_multi,
        .getattr = op_getattr,
        .setattr = op_setattr,
        .mknod = op_mknod,
        .create = op_create,
        .mkdir = op_mkdir,
        .rmdir = op_rmdir,
        .symlink = op_symlink,
        .link = op_link,
        .rename = op_rename,
        .unlink = op_unlink,
        .open = op_open,
        .read = op_read,
        .flush = op_flush,
        .release = op_release,
        .write = op_write,
        .opendir = dir_open,
        .readdirplus = dir_read_plus,
        .statfs = op_statfs,
        .fsync = op_fsync,
        .fsyncdir = op_fsync,
        .getxattr = config->xattr ? xattr_get : NULL,
        .listxattr = config->xattr ? xattr_list : NULL,
        .setxattr = config->xattr ? xattr_set : NULL,
        .removexattr = config->xattr ? xattr_remove : NULL,
    };
}
