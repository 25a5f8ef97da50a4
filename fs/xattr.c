#include "xattr.h"

#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

#include "file.h"
#include "flag-words.h"
#include "ops-private.h"
#include "reply.h"

#define PREFIX "user.mail."

static const char *const names[] = {"flags", "from", "subject", "date", "message-id", "uid"};

static char *not_empty(const char *text)
{
    return *text ? g_strdup(text) : NULL;
}

static char *flags_of(Fs *fs, Folder *folder, const Message *message)
{
    g_autofree char *keywords = account_keywords(fs->account, folder, message->uid);
    return flag_words_text(message->flags, keywords);
}

/* NULL: it has no such attribute. */
static char *value_of(Fs *fs, Folder *folder, const Message *message, const char *name)
{
    if (strcmp(name, "flags") == 0)
        return flags_of(fs, folder, message);
    if (strcmp(name, "from") == 0)
        return not_empty(message->from);
    if (strcmp(name, "subject") == 0)
        return not_empty(message->subject);
    if (strcmp(name, "message-id") == 0) {
        g_autofree char *id = account_message_id(fs->account, folder, message->uid);
        return not_empty(id ? id : "");
    }
    if (strcmp(name, "uid") == 0)
        return g_strdup_printf("%u", message->uid);
    if (strcmp(name, "date") != 0)
        return NULL;
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(message->date);
    return date ? g_date_time_format(date, "%Y-%m-%dT%H:%M:%SZ") : NULL;
}

/* NULL: no message that is there still. */
static const Message *message_of(Fs *fs, guint64 inode, Folder **folder)
{
    File file;
    if (!file_find(fs, inode, &file) || file.arrival)
        return NULL;
    *folder = file.folder;
    return mailbox_find(folder_mailbox(file.folder), file.uid);
}

/* size 0 asks how much there is. */
static void answer(fuse_req_t req, const char *bytes, gsize length, gsize size)
{
    if (size == 0)
        reply_xattr_size(req, length);
    else if (length > size)
        reply_code(req, ERANGE);
    else
        reply_buffer(req, bytes, length);
}

void xattr_get(fuse_req_t req, fuse_ino_t inode, const char *name, size_t size)
{
    Fs *fs = fuse_req_userdata(req);
    Folder *folder;
    fs->counts[COUNT_XATTR]++;
    gboolean ours = g_str_has_prefix(name, PREFIX);
    const Message *message = ours ? message_of(fs, inode, &folder) : NULL;
    g_autofree char *value = message ? value_of(fs, folder, message, name + strlen(PREFIX)) : NULL;
    if (value)
        answer(req, value, strlen(value), size);
    else
        reply_code(req, ENODATA);
}

void xattr_list(fuse_req_t req, fuse_ino_t inode, size_t size)
{
    Fs *fs = fuse_req_userdata(req);
    Folder *folder;
    fs->counts[COUNT_XATTR]++;
    const Message *message = message_of(fs, inode, &folder);
    g_autoptr(GString) list = g_string_new(NULL);
    for (guint i = 0; message && i < G_N_ELEMENTS(names); i++) {
        g_autofree char *value = value_of(fs, folder, message, names[i]);
        if (!value)
            continue;
        g_string_append_printf(list, PREFIX "%s", names[i]);
        g_string_append_c(list, '\0');
    }
    answer(req, list->str, list->len, size);
}

/* ---- writing ---- */

/* 0: the attribute is the flags of this message; else why it cannot be written. */
static int writable(Fs *fs, fuse_ino_t inode, const char *name, Folder **folder,
                    const Message **message)
{
    fs->counts[COUNT_XATTR]++;
    gboolean ours = g_str_has_prefix(name, PREFIX);
    *message = message_of(fs, inode, folder);
    if (!*message)
        return EPERM;
    if (ours && strcmp(name + strlen(PREFIX), "flags") == 0)
        return 0;
    g_autofree char *value = ours ? value_of(fs, *folder, *message, name + strlen(PREFIX)) : NULL;
    return value ? EPERM : ENODATA;
}

static gboolean change_flags(Fs *fs, Folder *folder, MailUid uid, const char *now, const char *text,
                             GError **error)
{
    g_auto(FlagWords) words;
    g_autoptr(GArray) uids = mail_uid_set_new();
    flag_words_init(&words);
    mail_uid_set_add(uids, uid, uid);
    if (!flag_words_set(&words, now, text, error))
        return FALSE;
    return flag_words_empty(&words) ||
           account_set_flags(fs->account, folder, uids, words.add, words.remove,
                             flag_words_list(words.add_keywords),
                             flag_words_list(words.remove_keywords), error);
}

static void set_flags(fuse_req_t req, fuse_ino_t inode, Folder *folder, const Message *message,
                      const char *text)
{
    Fs *fs = fuse_req_userdata(req);
    g_autoptr(GError) error = NULL;
    g_autofree char *now = flags_of(fs, folder, message);
    if (change_flags(fs, folder, message->uid, now, text, &error))
        op_changed(req, "setxattr", inode, 0);
    else
        reply_error(fs, req, "setxattr", inode, error);
}

void xattr_set(fuse_req_t req, fuse_ino_t inode, const char *name, const char *value, size_t size,
               int flags)
{
    Folder *folder;
    const Message *message;
    int code = writable(fuse_req_userdata(req), inode, name, &folder, &message);
    if (code == ENODATA)
        code = EPERM; /* none may be made */
    if (code == 0 && (flags & XATTR_CREATE))
        code = EEXIST;
    if (code == 0 && memchr(value, '\0', size))
        code = EINVAL;
    g_autofree char *text = g_strndup(value, size);
    if (code != 0)
        reply_code(req, code);
    else
        set_flags(req, inode, folder, message, text);
}

void xattr_remove(fuse_req_t req, fuse_ino_t inode, const char *name)
{
    Folder *folder;
    const Message *message;
    int code = writable(fuse_req_userdata(req), inode, name, &folder, &message);
    if (code != 0)
        reply_code(req, message ? code : ENODATA);
    else
        set_flags(req, inode, folder, message, "");
}
