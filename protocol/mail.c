#include "mail.h"

#include <string.h>

G_DEFINE_QUARK(mail-error-quark, mail_error)

GArray *mail_uid_set_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(MailUidRange));
}

GArray *mail_uid_set_copy(const GArray *set)
{
    GArray *copy = mail_uid_set_new();
    return set->len > 0 ? g_array_append_vals(copy, set->data, set->len) : copy;
}

/* The index of the first range whose last is >= uid, or set->len. */
static guint range_at(const GArray *set, MailUid uid)
{
    guint low = 0, high = set->len;
    while (low < high) {
        guint middle = low + (high - low) / 2;
        if (g_array_index(set, MailUidRange, middle).last < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void mail_uid_set_add(GArray *set, MailUid first, MailUid last)
{
    g_return_if_fail(first > 0 && first <= last);
    MailUidRange added = {first, last};
    /* The first range that touches or overlaps the new one, adjacency included. */
    guint begin = range_at(set, first - 1 > 0 ? first - 1 : first);
    guint end = begin;
    while (end < set->len) {
        const MailUidRange *range = &g_array_index(set, MailUidRange, end);
        if (last != G_MAXUINT32 && range->first > last + 1)
            break;
        added.first = MIN(added.first, range->first);
        added.last = MAX(added.last, range->last);
        end++;
    }
    if (end > begin) {
        g_array_index(set, MailUidRange, begin) = added;
        if (end > begin + 1)
            g_array_remove_range(set, begin + 1, end - begin - 1);
        return;
    }
    g_array_insert_val(set, begin, added);
}

gboolean mail_uid_set_contains(const GArray *set, MailUid uid)
{
    guint at = range_at(set, uid);
    return at < set->len && g_array_index(set, MailUidRange, at).first <= uid;
}

gboolean mail_uid_set_remove(GArray *set, MailUid uid)
{
    if (!mail_uid_set_contains(set, uid))
        return FALSE;
    guint at = range_at(set, uid);
    MailUidRange *range = &g_array_index(set, MailUidRange, at);
    if (range->first == range->last) {
        g_array_remove_index(set, at);
    } else if (range->first == uid) {
        range->first++;
    } else if (range->last == uid) {
        range->last--;
    } else {
        MailUidRange upper = {uid + 1, range->last};
        range->last = uid - 1;
        g_array_insert_val(set, at + 1, upper);
    }
    return TRUE;
}

guint64 mail_uid_set_count(const GArray *set)
{
    guint64 count = 0;
    for (guint i = 0; i < set->len; i++) {
        const MailUidRange *range = &g_array_index(set, MailUidRange, i);
        count += (guint64)range->last - range->first + 1;
    }
    return count;
}

/* The end of the line that starts at `at`: the offset behind its LF, or `size`. */
static gsize line_end(const char *block, gsize size, gsize at)
{
    const char *lf = memchr(block + at, '\n', size - at);
    return lf ? (gsize)(lf - block) + 1 : size;
}

static gboolean is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Appends block[from..to) with control bytes as spaces, up to `limit` bytes in all. */
static void append_value(GString *value, const char *block, gsize from, gsize to, gsize limit)
{
    for (gsize i = from; i < to && value->len < limit; i++) {
        guchar c = (guchar)block[i];
        if (c == '\r' || c == '\n')
            continue;
        g_string_append_c(value, c < 0x20 || c == 0x7f ? ' ' : (char)c);
    }
}

char *mail_header_field(const char *block, gsize size, const char *name, gsize limit)
{
    gsize name_length = strlen(name);
    for (gsize at = 0; at < size;) {
        gsize end = line_end(block, size, at);
        if (block[at] == '\r' || block[at] == '\n')
            return NULL; /* the header ends here */
        gsize colon = at + name_length;
        gboolean match = colon < end && g_ascii_strncasecmp(block + at, name, name_length) == 0;
        while (match && colon < end && is_blank(block[colon]))
            colon++;
        if (!match || colon >= end || block[colon] != ':') {
            at = end;
            continue;
        }
        GString *value = g_string_new(NULL);
        append_value(value, block, colon + 1, end, limit);
        while (end < size && is_blank(block[end])) {
            gsize next = line_end(block, size, end);
            append_value(value, block, end, next, limit);
            end = next;
        }
        char *text = g_string_free(value, FALSE);
        return g_strstrip(text);
    }
    return NULL;
}

char *mail_escape(const char *text, gssize size, gsize limit)
{
    if (!text)
        return g_strdup("");
    gsize length = size < 0 ? strlen(text) : (gsize)size;
    GString *out = g_string_new(NULL);
    for (gsize at = 0; at < length;) {
        if (out->len >= limit) {
            g_string_append(out, "...");
            break;
        }
        gunichar c = g_utf8_get_char_validated(text + at, (gssize)(length - at));
        if (c == 0 || c == (gunichar)-1 || c == (gunichar)-2 || !g_unichar_isprint(c) ||
            c == '\\') {
            g_string_append_printf(out, "\\x%02x", (guchar)text[at]);
            at++;
            continue;
        }
        gsize width = (gsize)(g_utf8_next_char(text + at) - (text + at));
        g_string_append_len(out, text + at, (gssize)width);
        at += width;
    }
    return g_string_free(out, FALSE);
}
