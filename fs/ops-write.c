/* Making and writing files, and what belongs to them.
 *
 * A new file is complete once it was fsynced, or once nobody has it open any more. Without OPEN the
 * kernel sends no RELEASE; but it FORGETs a file at its last close when no entry of it is left. So
 * the entry is taken away right behind each reply that hands a writable file out (file_looked_up),
 * and nothing of it is kept: timeouts of 0, no node in a listing. */
#include "ops-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "file.h"
#include "names.h"
#include "notify.h"
#include "park.h"
#include "process.h"
#include "reply.h"
#include "view-eml.h"

/* ---- create ---- */

/* 0 when *file is a new one. */
static int make(Fs *fs, guint64 parent, const char *name, File *file, GError **error)
{
    Folder *folder = eml_folder(fs, parent);
    if (strlen(name) > NAMES_MAX)
        return ENAMETOOLONG;
    if (!folder || !folder_selectable(folder))
        return EPERM;
    if (folder_child(folder, name) || file_lookup(fs, folder, name, file))
        return EEXIST;
    Arrival *arrival = account_create(fs->account, folder, name, error);
    if (!arrival)
        return reply_errno(*error);
    *file = (File){
        .inode = file_arrival_inode(arrival_id(arrival)), .folder = folder, .arrival = arrival};
    return 0;
}

/* FALSE: answered with what is wrong. */
static gboolean make_entry(fuse_req_t req, guint64 parent, const char *name, File *file,
                           struct fuse_entry_param *entry)
{
    Fs *fs = fuse_req_userdata(req);
    g_autoptr(GError) error = NULL;
    fs->counts[COUNT_CREATE]++;
    int code = make(fs, parent, name, file, &error);
    if (error)
        reply_error(fs, req, "create", parent, error);
    else if (code)
        reply_code(req, code);
    return code == 0 && file_entry(fs, file, entry);
}

/* taken: the kernel has it now; else the program behind it went away meanwhile. */
static void made(Fs *fs, const File *file, guint64 parent, const char *name, gboolean taken)
{
    if (taken)
        file_looked_up(fs, file, parent, name);
    else
        op_arrival_forgotten(fs, file->inode);
}

void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
               struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    File file;
    struct fuse_entry_param entry;
    if (!make_entry(req, parent, name, &file, &entry))
        return;
    if (fs->config->sync)
        g_hash_table_insert(fs->writers, GSIZE_TO_POINTER(file.inode),
                            GINT_TO_POINTER(process_of_thread(fuse_req_ctx(req)->pid)));
    made(fs, &file, parent, name, reply_create(fs, req, &entry, info));
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    Fs *fs = fuse_req_userdata(req);
    File file;
    struct fuse_entry_param entry;
    if (!S_ISREG(mode))
        op_refuse(req);
    else if (make_entry(req, parent, name, &file, &entry))
        made(fs, &file, parent, name, reply_entry(fs, req, &entry));
}

void op_arrival_forgotten(Fs *fs, guint64 inode)
{
    g_hash_table_remove(fs->writers, GSIZE_TO_POINTER(inode));
    account_arrival_forgotten(fs->account, inode_uid(inode));
}

/* ---- write ---- */

/* A shared mapping, too, may have dirtied pages that the kernel would go on showing. */
void op_write(fuse_req_t req, fuse_ino_t inode, const char *bytes, size_t size, off_t offset,
              struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    g_autoptr(GError) error = NULL;
    File file;
    fs->counts[COUNT_WRITE]++;
    if (!file_find(fs, inode, &file) || !file_is_writable(&file)) {
        op_refuse(req);
        notifier_content(fs->notifier, inode);
    } else if (account_write(fs->account, file.arrival, (guint64)offset, bytes, size, &error)) {
        reply_write(req, size);
    } else {
        reply_error(fs, req, "write", inode, error);
        notifier_content(fs->notifier, inode);
    }
}

/* ---- setattr ---- */

static gboolean changes_owner(const struct stat *attr, int to_set)
{
    return ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != getuid()) ||
           ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != getgid());
}

/* Nothing of a message can be changed. But programs that copy a file set what it is already, and
 * what a message does not have; right behind the copying the file may be a message already. */
static gboolean message_allows(Fs *fs, const File *file, const struct stat *attr, int to_set,
                               const struct stat *is)
{
    g_autofree char *given = folder_given_name(file->folder, file->uid);
    if (given)
        return TRUE;
    if ((to_set & FUSE_SET_ATTR_MODE) && (attr->st_mode & 07777) != (is->st_mode & 07777))
        return FALSE;
    if (to_set & FUSE_SET_ATTR_MTIME_NOW)
        return FALSE;
    return !(to_set & FUSE_SET_ATTR_MTIME) || attr->st_mtime == is->st_mtime;
}

/* 0: done. Of all that can be set, a file on its way keeps its size and its time. */
static int change_arrival(Fs *fs, const File *file, const struct stat *attr, int to_set,
                          GError **error)
{
    gint64 date = to_set & FUSE_SET_ATTR_MTIME_NOW ? g_get_real_time() / G_USEC_PER_SEC
                                                   : (gint64)attr->st_mtime;
    if (to_set & FUSE_SET_ATTR_SIZE) {
        if (!file_is_writable(file))
            return EPERM;
        if (!account_truncate(fs->account, file->arrival, (guint64)attr->st_size, error))
            return reply_errno(*error);
    }
    if ((to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW)) &&
        !account_set_date(fs->account, file->arrival, date, error))
        return reply_errno(*error);
    return 0;
}

static int change_file(Fs *fs, const File *file, const struct stat *attr, int to_set,
                       GError **error)
{
    struct stat is;
    double timeout;
    if (!file_attr(fs, file, &is, &timeout))
        return ENOENT;
    if (file->arrival)
        return change_arrival(fs, file, attr, to_set, error);
    return !(to_set & FUSE_SET_ATTR_SIZE) && message_allows(fs, file, attr, to_set, &is) ? 0
                                                                                         : EPERM;
}

static void setattr_folder(fuse_req_t req, Folder *folder)
{
    struct stat attr;
    eml_folder_attr(fuse_req_userdata(req), folder, &attr);
    reply_attr(req, &attr, FS_FOREVER);
}

void op_setattr(fuse_req_t req, fuse_ino_t inode, struct stat *attr, int to_set,
                struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    g_autoptr(GError) error = NULL;
    File file;
    double timeout;
    Folder *folder = inode_uid(inode) == 0 ? eml_folder(fs, inode) : NULL;
    fs->counts[COUNT_SETATTR]++;
    if (changes_owner(attr, to_set) || inode_view(inode) == VIEW_FAILED) {
        op_refuse(req);
        return;
    }
    if (folder) {
        setattr_folder(req, folder); /* accepted, without any effect */
        return;
    }
    int code = file_find(fs, inode, &file) ? change_file(fs, &file, attr, to_set, &error) : ESTALE;
    struct stat now;
    if (code == 0 && !file_attr(fs, &file, &now, &timeout))
        code = ESTALE;
    if (error)
        reply_error(fs, req, "setattr", inode, error);
    else if (code == EPERM)
        op_refuse(req);
    else if (code)
        reply_code(req, code);
    else
        reply_attr(req, &now, timeout);
}

/* ---- on the server ---- */

/* The content is that of the message from now on: line ends may have become CRLF. */
static void arrival_ended(Request *request, int code, const GError *error)
{
    Fs *fs = request->fs;
    if (error)
        reply_error(fs, request->req, request->what, request->inode, error);
    else
        reply_code(request->req, code);
    notifier_content(fs->notifier, request->inode);
}

static gboolean arrival_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    File file;
    AccountReply reply = ACCOUNT_READY;
    if (woken_by) {
        arrival_ended(request, 0, woken_by);
        return TRUE;
    }
    if (!file_find(fs, request->inode, &file)) {
        arrival_ended(request, ESTALE, NULL); /* removed meanwhile */
        return TRUE;
    }
    if (file.arrival)
        reply = account_arrival_sync(fs->account, file.arrival, &request->waiter, &error);
    if (reply == ACCOUNT_WAIT)
        return FALSE;
    arrival_ended(request, 0, error);
    return TRUE;
}

/* What was changed is on the server when fsync returns. The kernel locks a directory meanwhile. */
void op_fsync(fuse_req_t req, fuse_ino_t inode, int only_data, struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    gboolean arrival = inode_view(inode) == VIEW_ARRIVAL;
    fs->counts[COUNT_OTHER]++;
    Request *request =
        request_new(fs, req, "fsync", inode, arrival ? arrival_attempt : op_flush_attempt);
    if (inode_uid(inode) == 0)
        request->holds = inode;
    request_run(request);
}

/* With -o sync, close() waits for the server. It comes for each descriptor: a shell that prepares
 * one for its child closes it before anything is written, and so does each child of several that
 * write one after the other. So only who made the file closes it, and not while it is empty. */
static gboolean closes_file(Fs *fs, fuse_req_t req, const File *file)
{
    ArrivalInfo info;
    if (!file->arrival)
        return FALSE;
    arrival_info(file->arrival, &info);
    gpointer writer = g_hash_table_lookup(fs->writers, GSIZE_TO_POINTER(file->inode));
    return info.writable && info.size > 0 && writer &&
           GPOINTER_TO_INT(writer) == process_of_thread(fuse_req_ctx(req)->pid);
}

void op_flush(fuse_req_t req, fuse_ino_t inode, struct fuse_file_info *info)
{
    Fs *fs = fuse_req_userdata(req);
    File file;
    fs->counts[COUNT_FLUSH]++;
    if (!fs->config->sync)
        reply_code(req, ENOSYS); /* none comes any more */
    else if (file_find(fs, inode, &file) && closes_file(fs, req, &file))
        request_run(request_new(fs, req, "close", inode, arrival_attempt));
    else
        reply_code(req, 0);
}
