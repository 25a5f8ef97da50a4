#include "reply.h"

#include <errno.h>

int reply_errno(const GError *error)
{
    if (error->domain != MAIL_ERROR)
        return EIO;
    switch ((MailError)error->code) {
    case MAIL_ERROR_OFFLINE:
        return ENETUNREACH;
    case MAIL_ERROR_TIMEOUT:
        return ETIMEDOUT;
    case MAIL_ERROR_AUTH:
    case MAIL_ERROR_TLS:
        return EKEYREJECTED;
    case MAIL_ERROR_PROTOCOL:
        return EPROTO;
    case MAIL_ERROR_NO_PERMISSION:
        return EACCES;
    case MAIL_ERROR_READ_ONLY:
        return EROFS;
    case MAIL_ERROR_OVER_QUOTA:
        return EDQUOT;
    case MAIL_ERROR_EXISTS:
        return EEXIST;
    case MAIL_ERROR_IN_USE:
        return EBUSY;
    case MAIL_ERROR_GONE:
        return ENOENT;
    case MAIL_ERROR_STALE:
        return ESTALE;
    case MAIL_ERROR_UNSUPPORTED:
        return EOPNOTSUPP;
    case MAIL_ERROR_CANCELLED:
        return EINTR;
    case MAIL_ERROR_TOO_LARGE:
        return EFBIG;
    case MAIL_ERROR_DISK:
        return ENOSPC;
    case MAIL_ERROR_NOT_EMPTY:
        return ENOTEMPTY;
    case MAIL_ERROR_INVALID:
        return EINVAL;
    case MAIL_ERROR_REFUSED:
    case MAIL_ERROR_CONFIG:
        return EIO;
    }
    return EIO;
}

void reply_error(Fs *fs, fuse_req_t req, const char *what, guint64 inode, const GError *error)
{
    int code = reply_errno(error);
    if (code != ENOENT && code != EINTR)
        g_message("%s of %" G_GUINT64_FORMAT ".%u: %s (%s)", what, (guint64)inode_row(inode),
                  inode_uid(inode), error->message, g_strerror(code));
    fuse_reply_err(req, code);
}

void reply_code(fuse_req_t req, int code)
{
    fuse_reply_err(req, code);
}

void reply_none(fuse_req_t req)
{
    fuse_reply_none(req);
}

void reply_attr(fuse_req_t req, const struct stat *attr, double timeout)
{
    fuse_reply_attr(req, attr, timeout);
}

gboolean reply_entry(Fs *fs, fuse_req_t req, const struct fuse_entry_param *entry)
{
    if (fuse_reply_entry(req, entry) != 0)
        return FALSE;
    inodes_looked_up(fs->inodes, entry->ino);
    return TRUE;
}

gboolean reply_create(Fs *fs, fuse_req_t req, const struct fuse_entry_param *entry,
                      const struct fuse_file_info *info)
{
    if (fuse_reply_create(req, entry, info) != 0)
        return FALSE;
    inodes_looked_up(fs->inodes, entry->ino);
    return TRUE;
}

void reply_write(fuse_req_t req, gsize size)
{
    fuse_reply_write(req, size);
}

gboolean reply_buffer(fuse_req_t req, const char *bytes, gsize size)
{
    return fuse_reply_buf(req, bytes, size) == 0;
}

void reply_open(fuse_req_t req, const struct fuse_file_info *info)
{
    fuse_reply_open(req, info);
}

void reply_statfs(fuse_req_t req, const struct statvfs *stat)
{
    fuse_reply_statfs(req, stat);
}

void reply_xattr_size(fuse_req_t req, gsize size)
{
    fuse_reply_xattr(req, size);
}
