#include "xattr.h"

#include <errno.h>
#include <string.h>

#include "reply.h"
#include "view-eml.h"

#define PREFIX "user.mail."

static const char *const names[] = {"flags", "from", "subject", "date", "uid"};

char *xattr_flags(guint32 flags, const char *keywords)
{
    static const struct {
        MailFlags flag;
        const char *name;
    } known[] = {{MAIL_FLAG_SEEN, "seen"},
                 {MAIL_FLAG_ANSWERED, "answered"},
                 {MAIL_FLAG_FLAGGED, "flagged"},
                 {MAIL_FLAG_DELETED, "deleted"},
                 {MAIL_FLAG_DRAFT, "draft"}};
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(known); i++)
        if (flags & known[i].flag)
            g_string_append_printf(text, "%s%s", text->len ? " " : "", known[i].name);
    if (keywords && *keywords)
        g_string_append_printf(text, "%s%s", text->len ? " " : "", keywords);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static char *not_empty(const char *text)
{
    return *text ? g_strdup(text) : NULL;
}

/* NULL: it has no such attribute. */
static char *value_of(Fs *fs, Folder *folder, const Message *message, const char *name)
{
    if (strcmp(name, "flags") == 0) {
        g_autofree char *keywords = account_keywords(fs->account, folder, message->uid);
        return xattr_flags(message->flags, keywords);
    }
    if (strcmp(name, "from") == 0)
        return not_empty(message->from);
    if (strcmp(name, "subject") == 0)
        return not_empty(message->subject);
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
    *folder = inode_uid(inode) ? eml_folder(fs, inode) : NULL;
    return *folder ? mailbox_find(folder_mailbox(*folder), inode_uid(inode)) : NULL;
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
