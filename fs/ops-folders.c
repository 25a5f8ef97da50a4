/* Folders that are made, removed and renamed; how much room there is. */
#include "ops-private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "names.h"
#include "park.h"
#include "reply.h"
#include "view-eml.h"

/* What the server cannot do at all (POP3 has no folders) is not permitted here. */
static void reply_failure(Request *request, const GError *error)
{
    if (g_error_matches(error, MAIL_ERROR, MAIL_ERROR_UNSUPPORTED))
        reply_code(request->req, EPERM);
    else
        reply_error(request->fs, request->req, request->what, request->inode, error);
}

static Folder *directory(Fs *fs, guint64 inode)
{
    return inode_view(inode) == VIEW_EML ? eml_folder(fs, inode) : NULL;
}

/* 0: a folder may be given this name, as far as can be seen here. Files whose names begin with a
 * dot are local, so no folder may look like one: programs that keep their own things in such
 * directories had better not keep them in the mail. */
static int check_name(const char *name)
{
    if (strlen(name) > NAMES_MAX)
        return ENAMETOOLONG;
    return name[0] == '.' ? EPERM : 0;
}

static Request *folder_request(fuse_req_t req, const char *what, guint64 parent, const char *name,
                               gboolean (*attempt)(Request *request, const GError *error))
{
    Request *request = request_new(fuse_req_userdata(req), req, what, parent, attempt);
    request->holds = parent;
    request->name = g_strdup(name);
    return request;
}

void op_reply_folder(Request *request, const Folder *folder)
{
    struct fuse_entry_param entry = {
        .ino = eml_folder_inode(folder), .attr_timeout = FS_FOREVER, .entry_timeout = FS_FOREVER};
    eml_folder_attr(request->fs, folder, &entry.attr);
    reply_entry(request->fs, request->req, &entry);
}

/* ---- mkdir ---- */

static void reply_made(Request *request)
{
    Folder *parent = directory(request->fs, request->inode);
    Folder *folder = parent ? folder_child(parent, request->name) : NULL;
    if (folder)
        op_reply_folder(request, folder);
    else
        reply_code(request->req, ESTALE);
}

/* The first attempt starts it; when it is woken without an error, that is done. The same holds for
 * the others below. */
static gboolean mkdir_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    if (request->stage++ == 0 && !woken_by) {
        Folder *parent = directory(fs, request->inode);
        if (account_make_folder(fs->account, parent, request->name, &request->waiter, &error) ==
            ACCOUNT_WAIT)
            return FALSE;
    }
    if (woken_by || error)
        reply_failure(request, woken_by ? woken_by : error);
    else
        reply_made(request);
    return TRUE;
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    Fs *fs = fuse_req_userdata(req);
    Folder *folder = directory(fs, parent);
    int code = check_name(name);
    fs->counts[COUNT_OTHER]++;
    if (!folder)
        code = inode_view(parent) == VIEW_EML ? ESTALE : EPERM;
    else if (url_is_pop3(fs->config->url))
        code = EPERM; /* a maildrop has no folders */
    if (code)
        reply_code(req, code);
    else
        request_run(folder_request(req, "mkdir", parent, name, mkdir_attempt));
}

/* ---- rmdir ---- */

static gboolean rmdir_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    if (request->stage++ == 0 && !woken_by) {
        Folder *folder = folder_child(directory(fs, request->inode), request->name);
        if (account_remove_folder(fs->account, folder, &request->waiter, &error) == ACCOUNT_WAIT)
            return FALSE;
    }
    if (woken_by || error)
        reply_failure(request, woken_by ? woken_by : error);
    else
        reply_code(request->req, 0);
    return TRUE;
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    Fs *fs = fuse_req_userdata(req);
    Folder *folder = directory(fs, parent);
    fs->counts[COUNT_OTHER]++;
    if (!folder || !folder_child(folder, name))
        reply_code(req, ENOENT);
    else
        request_run(folder_request(req, "rmdir", parent, name, rmdir_attempt));
}

/* ---- rename ---- */

static gboolean rename_attempt(Request *request, const GError *woken_by)
{
    Fs *fs = request->fs;
    g_autoptr(GError) error = NULL;
    if (request->stage++ == 0 && !woken_by) {
        Folder *folder = folder_child(directory(fs, request->inode), request->name);
        Folder *parent = directory(fs, request->new_parent);
        if (account_rename_folder(fs->account, folder, parent, request->new_name, &request->waiter,
                                  &error) == ACCOUNT_WAIT)
            return FALSE;
    }
    if (woken_by || error)
        reply_failure(request, woken_by ? woken_by : error);
    else
        reply_code(request->req, 0);
    return TRUE;
}

gboolean op_rename_folder(fuse_req_t req, fuse_ino_t parent, const char *name,
                          fuse_ino_t new_parent, const char *new_name, unsigned int flags)
{
    Fs *fs = fuse_req_userdata(req);
    Folder *from = directory(fs, parent), *to = directory(fs, new_parent);
    int code = check_name(new_name);
    if (!from || !folder_child(from, name))
        return FALSE;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        code = EINVAL;
    else if (!to)
        code = EPERM;
    if (code) {
        reply_code(req, code);
        return TRUE;
    }
    Request *request = folder_request(req, "rename", parent, name, rename_attempt);
    request->new_parent = new_parent;
    request->new_name = g_strdup(new_name);
    request->holds_too = new_parent == parent ? 0 : new_parent;
    request_run(request);
    return TRUE;
}

/* ---- statfs ---- */

#define BLOCK 4096
/* Where the server sets no limit: ample, for programs look here before they copy. */
#define AMPLE (G_GUINT64_CONSTANT(1) << 30)

void op_statfs(fuse_req_t req, fuse_ino_t inode)
{
    Fs *fs = fuse_req_userdata(req);
    guint64 used, limit;
    account_space(fs->account, &used, &limit);
    guint64 total = limit ? limit : AMPLE * BLOCK;
    struct statvfs stat = {.f_bsize = BLOCK,
                           .f_frsize = BLOCK,
                           .f_blocks = total / BLOCK,
                           .f_bfree = (total - MIN(used, total)) / BLOCK,
                           .f_files = G_MAXUINT32,
                           .f_ffree = G_MAXUINT32,
                           .f_namemax = 255};
    fs->counts[COUNT_STATFS]++;
    stat.f_bavail = stat.f_bfree;
    reply_statfs(req, &stat);
}
