#include "spool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PIECE (64 * 1024)
#define MAX_HEADER (1024 * 1024) /* so much of a header is looked at */
#define MAX_MESSAGE_ID 500

typedef struct {
    int out;
    guint64 size;
    GByteArray *head;  /* the beginning, as it was written */
    gboolean after_cr; /* the byte before the next one was a CR */
} Copy;

static gboolean fail_errno(const char *what, GError **error)
{
    int code = errno;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_DISK, "%s a new message: %s", what, g_strerror(code));
    return FALSE;
}

static gboolean fail_invalid(const char *why, GError **error)
{
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_INVALID, "this is no message: %s", why);
    return FALSE;
}

static gboolean write_all(int fd, const guint8 *bytes, gsize size, GError **error)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_errno("writing", error);
        bytes += written;
        size -= (gsize)written;
    }
    return TRUE;
}

static gboolean copy_piece(Copy *copy, const guint8 *bytes, gsize size, GError **error)
{
    guint8 converted[2 * PIECE];
    gsize length = 0;
    for (gsize i = 0; i < size; i++) {
        if (bytes[i] == '\0')
            return fail_invalid("it holds a NUL byte", error);
        if (bytes[i] == '\n' && !copy->after_cr)
            converted[length++] = '\r';
        converted[length++] = bytes[i];
        copy->after_cr = bytes[i] == '\r';
    }
    if (copy->head->len < MAX_HEADER)
        g_byte_array_append(copy->head, converted,
                            (guint)MIN(length, (gsize)MAX_HEADER - copy->head->len));
    copy->size += length;
    return write_all(copy->out, converted, length, error);
}

static gboolean copy_all(Copy *copy, int in, GError **error)
{
    guint8 bytes[PIECE];
    for (guint64 offset = 0;;) {
        ssize_t got = pread(in, bytes, sizeof bytes, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno("reading", error);
        if (got == 0)
            return TRUE;
        if (!copy_piece(copy, bytes, (gsize)got, error))
            return FALSE;
        offset += (guint64)got;
    }
}

/* RFC 5322 section 3.6.8: a field's name is printable ASCII but ':'; the obsolete syntax allows
 * blanks before the colon. */
static gboolean begins_with_field(const char *text, const char *end)
{
    const char *at = text;
    while (at<end && * at> ' ' && *at < 0x7f && *at != ':')
        at++;
    gboolean named = at > text;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return named && at < end && *at == ':';
}

static gboolean is_message(const GByteArray *head)
{
    const char *text = (const char *)head->data;
    const char *end = text + head->len;
    if (head->len >= 5 && memcmp(text, "From ", 5) == 0) {
        const char *line = memchr(text, '\n', head->len);
        text = line ? line + 1 : end;
    }
    return begins_with_field(text, end);
}

/* The header ends with the first empty line. */
static char *find_message_id(const GByteArray *head)
{
    const char *text = (const char *)head->data;
    const char *end = g_strstr_len(text, (gssize)head->len, "\r\n\r\n");
    gsize size = end ? (gsize)(end - text) + 2 : head->len;
    g_autofree char *raw = mail_header_field(text, size, "Message-ID", MAX_MESSAGE_ID);
    return raw ? g_utf8_make_valid(raw, -1) : g_strdup("");
}

gboolean spool_convert(int in, int out, SpoolMessage *message, GError **error)
{
    g_autoptr(GByteArray) head = g_byte_array_new();
    Copy copy = {.out = out, .head = head};
    if (!copy_all(&copy, in, error))
        return FALSE;
    if (copy.size == 0)
        return fail_invalid("it is empty", error);
    if (!is_message(head))
        return fail_invalid("it does not begin with a header field", error);
    message->size = copy.size;
    message->message_id = find_message_id(head);
    return TRUE;
}
