#include "names.h"

#include <string.h>

#define FROM_MAX 60        /* bytes that a sender may take from the subject */
#define SUFFIX_MAX 8       /* ".eml", ".txt" */
#define NORMALIZE_MAX 4096 /* bytes of a field that are looked at when it is not ASCII */
#define DATE_LENGTH 13     /* "20260611-0638" */

/* Message names. */

static gboolean is_kept_ascii(guchar c)
{
    return g_ascii_isalnum(c) || c == '.' || c == '@' || c == '+' || c == '=' || c == ',';
}

/* Characters that Unicode calls letters or marks and that nobody sees: two names would look the
 * same. (Default_Ignorable_Code_Point, as far as it is not a format character.) */
static gboolean is_invisible(gunichar c)
{
    return c == 0x034f || c == 0x115f || c == 0x1160 || c == 0x17b4 || c == 0x17b5 ||
           (c >= 0x180b && c <= 0x180f) || c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0f) ||
           c == 0xffa0 || (c >= 0xe0100 && c <= 0xe01ef);
}

/* Whether `c` stays. A mark stays only behind a letter: Indic vowels and Thai tones belong to
 * their word, an emoji's variation selector does not. */
static gboolean is_kept(gunichar c, gboolean after_letter)
{
    if (c < 0x80)
        return is_kept_ascii((guchar)c);
    if (is_invisible(c))
        return FALSE;
    return g_unichar_isalnum(c) || (after_letter && g_unichar_ismark(c));
}

/* Writes what stays of text[0..size), valid UTF-8, in at most `room` bytes of out: no '-' or '.' at
 * either end, since a field stands between separators. Returns the length. */
static gsize put_field(char *out, gsize room, const char *text, gsize size)
{
    gsize length = 0;
    gboolean gap = FALSE, after_letter = FALSE;
    for (gsize at = 0, width; at < size; at += width) {
        guchar byte = (guchar)text[at];
        gunichar c = byte < 0x80 ? byte : g_utf8_get_char(text + at);
        width = byte < 0x80 ? 1 : (gsize)g_utf8_skip[byte];
        gboolean kept = is_kept(c, after_letter);
        after_letter = kept && (c >= 0x80 || g_ascii_isalnum((char)c));
        if (!kept || (length == 0 && c == '.')) {
            gap = length > 0;
            continue;
        }
        if (length + gap + width > room)
            break;
        if (gap)
            out[length++] = '-';
        gap = FALSE;
        memcpy(out + length, text + at, width);
        length += width;
    }
    while (length > 0 && (out[length - 1] == '-' || out[length - 1] == '.'))
        length--;
    return length;
}

/* Appends '_' and the field, or nothing where nothing of it stays. Returns the new length. */
static gsize add_field(char *out, gsize length, gsize limit, const char *text)
{
    if (length + 1 >= limit)
        return length;
    gsize ascii = 0;
    while (text[ascii] != '\0' && (guchar)text[ascii] < 0x80)
        ascii++;
    gsize added;
    if (text[ascii] == '\0') {
        added = put_field(out + length + 1, limit - length - 1, text, ascii);
    } else {
        gsize size = strnlen(text, NORMALIZE_MAX);
        while (size > 0 && ((guchar)text[size] & 0xc0) == 0x80)
            size--;
        g_autofree char *normal = g_utf8_normalize(text, (gssize)size, G_NORMALIZE_DEFAULT_COMPOSE);
        if (!normal)
            return length;
        added = put_field(out + length + 1, limit - length - 1, normal, strlen(normal));
    }
    if (added == 0)
        return length;
    out[length] = '_';
    return length + 1 + added;
}

static void put_digits(char *out, guint count, guint value)
{
    for (; count > 0; value /= 10)
        out[--count] = (char)('0' + value % 10);
}

/* Writes YYYYMMDD-HHMM. Not gmtime(): that one consults TZ for leap seconds, and a name must not.
 */
static void put_date(char out[DATE_LENGTH], gint64 date)
{
    const gint64 day_seconds = 86400;
    const gint64 year_0 = -G_GINT64_CONSTANT(62167219200);     /* 0000-01-01T00:00:00Z */
    const gint64 year_10000 = G_GINT64_CONSTANT(253402300800); /* 10000-01-01T00:00:00Z */
    if (date < year_0 || date >= year_10000) {
        memcpy(out, "00000000-0000", DATE_LENGTH);
        return;
    }
    guint days = (guint)((date - year_0) / day_seconds);
    guint minutes = (guint)((date - year_0) % day_seconds / 60);

    /* Years are counted from March, so that a leap day is the last day of its year, and from one
     * era of 400 years earlier, so that nothing is negative: 0000-01-01 is 60 days before March. */
    days += 146097 - 60;
    guint era = days / 146097, day = days % 146097;
    guint year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= year * 365 + year / 4 - year / 100;
    guint month = (5 * day + 2) / 153; /* 0 is March: 31 30 31 30 31 repeats every 153 days */
    day -= (153 * month + 2) / 5;
    year += era * 400 + (month >= 10) - 400;
    month = month < 10 ? month + 3 : month - 9;

    put_digits(out, 4, year);
    put_digits(out + 4, 2, month);
    put_digits(out + 6, 2, day + 1);
    out[8] = '-';
    put_digits(out + 9, 2, minutes / 60);
    put_digits(out + 11, 2, minutes % 60);
}

/* The decimal digits of `uid`, not terminated. Returns how many. */
static gsize put_uid(char *out, MailUid uid)
{
    guint count = 1;
    for (MailUid rest = uid; rest >= 10; rest /= 10)
        count++;
    put_digits(out, count, uid);
    return count;
}

gsize names_message(char out[NAMES_MAX + 1], MailUid uid, gint64 date, const char *from,
                    const char *subject, const char *suffix)
{
    char digits[10];
    gsize uid_length = put_uid(digits, uid), suffix_length = strlen(suffix);
    g_return_val_if_fail(suffix_length <= SUFFIX_MAX, 0);

    gsize limit = NAMES_MESSAGE_MAX - 1 - uid_length - suffix_length;
    put_date(out, date);
    gsize length = add_field(out, DATE_LENGTH, DATE_LENGTH + 1 + FROM_MAX, from);
    length = add_field(out, length, limit, subject);
    out[length++] = '.';
    memcpy(out + length, digits, uid_length);
    length += uid_length;
    memcpy(out + length, suffix, suffix_length + 1);
    return length + suffix_length;
}

gsize names_uid(char out[NAMES_MAX + 1], MailUid uid, const char *suffix)
{
    gsize suffix_length = strlen(suffix);
    g_return_val_if_fail(suffix_length <= SUFFIX_MAX, 0);
    gsize length = put_uid(out, uid);
    memcpy(out + length, suffix, suffix_length + 1);
    return length + suffix_length;
}

/* The uid before the suffix, and where its digits begin. */
static MailUid uid_at(const char *name, const char *suffix, gsize *begin)
{
    gsize length = strlen(name), suffix_length = strlen(suffix);
    if (length <= suffix_length || strcmp(name + length - suffix_length, suffix) != 0)
        return 0;
    gsize end = length - suffix_length, at = end;
    while (at > 0 && g_ascii_isdigit(name[at - 1]))
        at--;
    if (at == end || end - at > 10 || name[at] == '0' || (at > 0 && name[at - 1] != '.'))
        return 0;
    *begin = at;
    guint64 uid = 0;
    for (; at < end; at++)
        uid = uid * 10 + (guint64)(name[at] - '0');
    return uid <= G_MAXUINT32 ? (MailUid)uid : 0;
}

MailUid names_parse_uid(const char *name, const char *suffix)
{
    gsize begin;
    return uid_at(name, suffix, &begin);
}

gboolean names_is_bare(const char *name, const char *suffix)
{
    gsize begin;
    return uid_at(name, suffix, &begin) != 0 && begin == 0;
}

/* Folder names. */

#define MESSAGE_SUFFIX ".eml"
#define HASH_DIGITS 16
#define CUT_MARK "%~"

/* Characters that would break a path or a terminal's line: controls, line ends, and those that
 * turn the writing's direction. */
static gboolean is_unsafe(gunichar c)
{
    return g_unichar_iscntrl(c) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* How many bytes at text[0..size) stay as they are: a whole character, or 0. */
static gsize plain_width(const char *text, gsize size)
{
    guchar byte = (guchar)*text;
    if (byte < 0x80)
        return byte >= 0x20 && byte != 0x7f && byte != '/' && byte != '%';
    gunichar c = g_utf8_get_char_validated(text, (gssize)size);
    if (c == (gunichar)-1 || c == (gunichar)-2 || is_unsafe(c))
        return 0;
    return (gsize)g_utf8_skip[byte];
}

/* Whether the first byte must be hidden, because the name means something else. */
static gboolean is_reserved(const char *text, gsize size, gboolean at_root)
{
    static const char control[] = ".mailfs";
    if (size == 0 || text[0] != '.')
        return FALSE;
    if (size == 1 || (size == 2 && text[1] == '.'))
        return TRUE;
    return at_root && size >= strlen(control) && memcmp(text, control, strlen(control)) == 0;
}

/* Replaces what is behind `edge`, a character's edge, by a hash of the whole. */
static void cut_name(GString *name, gsize edge, const char *text, gsize size)
{
    g_autofree char *hash =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, size);
    g_string_truncate(name, edge);
    g_string_append(name, CUT_MARK);
    g_string_append_len(name, hash, HASH_DIGITS);
}

char *names_folder(const char *text, gsize size, gboolean at_root)
{
    if (size == 0)
        return g_strdup("%");
    const gsize cut_at = NAMES_MAX - strlen(CUT_MARK) - HASH_DIGITS;
    GString *name = g_string_sized_new(MIN(size, NAMES_MAX) + 1);
    gsize edge = 0;
    for (gsize at = 0; at < size && name->len <= NAMES_MAX;) {
        gboolean hidden = at == 0 && is_reserved(text, size, at_root);
        gsize width = hidden ? 0 : plain_width(text + at, size - at);
        if (width > 0)
            g_string_append_len(name, text + at, (gssize)width);
        else
            g_string_append_printf(name, "%%%02X", (guchar)text[at]);
        at += MAX(width, 1);
        if (name->len <= cut_at)
            edge = name->len;
    }
    /* What is escaped above is never part of ".123.eml": the name can be looked at as it is. */
    if (name->len <= NAMES_MAX && names_parse_uid(name->str, MESSAGE_SUFFIX) != 0) {
        gsize dot = name->len - strlen(MESSAGE_SUFFIX);
        g_string_erase(name, (gssize)dot, 1);
        g_string_insert(name, (gssize)dot, "%2E");
    }
    if (name->len > NAMES_MAX)
        cut_name(name, edge, text, size);
    return g_string_free(name, FALSE);
}

/* Undoes the escapes alone. NULL when a '%' is not followed by two hexadecimal digits. */
static GString *unescape(const char *name)
{
    g_autoptr(GString) text = g_string_new(NULL);
    if (strcmp(name, "%") == 0)
        return g_steal_pointer(&text);
    for (const char *at = name; *at; at++) {
        if (*at != '%') {
            g_string_append_c(text, *at);
            continue;
        }
        int high = g_ascii_xdigit_value(at[1]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(at[2]);
        if (low < 0)
            return NULL;
        g_string_append_c(text, (char)(high * 16 + low));
        at += 2;
    }
    return g_steal_pointer(&text);
}

char *names_folder_decode(const char *name, gboolean at_root, gsize *size)
{
    g_autoptr(GString) text = unescape(name);
    if (!text)
        return NULL;
    g_autofree char *canonical = names_folder(text->str, text->len, at_root);
    if (strcmp(canonical, name) != 0)
        return NULL;
    *size = text->len;
    return g_string_free(g_steal_pointer(&text), FALSE);
}
