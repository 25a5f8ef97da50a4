/* Encoded words are decoded here rather than by GMime's own functions: those join the text of
 * adjacent base64 words before they decode it, and so lose all behind the first padding, which
 * most mailers write in each word; and they give a question mark, or nothing, where a charset is
 * unknown or a lie. What GMime knows about the names of charsets is used. */
#include "mime.h"

#include <errno.h>
#include <gmime/gmime.h>
#include <string.h>

#include "mail.h"

#define RAW_LIMIT 4096 /* of a field's bytes, more are not looked at */
#define TEXT_LIMIT 256 /* of a result's */

void mime_init(void)
{
    g_mime_init();
}

/* ---- bytes to characters ---- */

/* Windows-1252 for 0x80 to 0x9f; what mail calls Latin-1 seldom is. 0: not assigned. */
static const guint16 windows_1252[32] = {
    0x20ac, 0,      0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017d, 0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0,      0x017e, 0x0178,
};

static gunichar byte_as_latin(guchar byte)
{
    if (byte < 0x80 || byte >= 0xa0)
        return byte;
    gunichar c = windows_1252[byte - 0x80];
    return c ? c : ' ';
}

/* Bytes of an unknown charset: UTF-8 where they are valid, each other byte as Latin-1. */
static void append_guess(GString *out, const char *bytes, gsize size)
{
    for (gsize at = 0; at < size;) {
        gunichar c = g_utf8_get_char_validated(bytes + at, (gssize)(size - at));
        if (c == (gunichar)-1 || c == (gunichar)-2)
            c = byte_as_latin((guchar)bytes[at++]);
        else
            at += (gsize)g_unichar_to_utf8(c, NULL);
        g_string_append_unichar(out, c);
    }
}

/* Charsets of which mailers use a superset under the same name. */
static const char *superset(const char *charset)
{
    static const char *const table[][2] = {
        {"gb2312", "gb18030"},  {"gbk", "gb18030"},       {"euc-kr", "cp949"},
        {"euckr", "cp949"},     {"shift_jis", "cp932"},   {"sjis", "cp932"},
        {"big5", "big5-hkscs"}, {"iso-8859-9", "cp1254"}, {"tis-620", "cp874"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(table); i++)
        if (g_ascii_strcasecmp(charset, table[i][0]) == 0)
            return table[i][1];
    return charset;
}

/* Whether guessing reads this charset as well as iconv does, or better. */
static gboolean is_guessable(const char *charset)
{
    static const char *const names[] = {"utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_ascii_strcasecmp(charset, names[i]) == 0)
            return TRUE;
    return FALSE;
}

/* One step of iconv; with bytes == NULL, the last: some decoders hold a character back to see what
 * follows. FALSE: the next byte makes no sense. */
static gboolean convert_some(GString *out, GIConv converter, char **bytes, gsize *left)
{
    char buffer[512];
    char *to = buffer;
    gsize room = sizeof buffer;
    gboolean failed = g_iconv(converter, bytes, left, &to, &room) == (gsize)-1;
    gboolean full = failed && errno == E2BIG;
    append_guess(out, buffer, (gsize)(to - buffer));
    return !failed || full;
}

/* Converts, with a replacement character for what is wrong: mailers cut characters in half. FALSE,
 * and nothing appended, when so much is wrong that it can be no text in this charset. */
static gboolean append_converted(GString *out, GIConv converter, char *bytes, gsize size)
{
    gsize before = out->len, left = size, errors = 0;
    while (left > 0 && errors <= size / 8) {
        if (convert_some(out, converter, &bytes, &left))
            continue;
        g_string_append_unichar(out, 0xfffd);
        bytes++;
        left--;
        errors++;
    }
    if (errors > size / 8) {
        g_string_truncate(out, before);
        return FALSE;
    }
    convert_some(out, converter, NULL, NULL);
    return TRUE;
}

static void append_charset(GString *out, const char *charset, GString *bytes)
{
    GIConv converter = (GIConv)-1;
    if (!is_guessable(charset))
        converter = g_iconv_open("UTF-8", g_mime_charset_iconv_name(superset(charset)));
    if (converter == (GIConv)-1 || !append_converted(out, converter, bytes->str, bytes->len))
        append_guess(out, bytes->str, bytes->len);
    if (converter != (GIConv)-1)
        g_iconv_close(converter);
}

/* ---- encoded words, RFC 2047 ---- */

typedef struct {
    char charset[48];
    gboolean base64;
    const char *text;
    gsize size;  /* of text */
    gsize whole; /* of the word, from =? to ?= */
} EncodedWord;

/* Nothing that iconv would take for more than a name ("//IGNORE", a path). */
static gboolean is_charset_char(char c)
{
    return g_ascii_isalnum(c) || (c != '\0' && strchr("-_.:+", c));
}

/* Whether an encoded word begins at `at`. Laxer than the standard, as mail is: blanks inside, and
 * any length. */
static gboolean read_word(const char *at, const char *end, EncodedWord *word)
{
    if (end - at < 8 || at[0] != '=' || at[1] != '?')
        return FALSE;
    const char *p = at + 2;
    gsize length = 0;
    while (p < end && is_charset_char(*p) && length < sizeof word->charset - 1)
        word->charset[length++] = *p++;
    word->charset[length] = '\0';
    if (p < end && *p == '*') /* a language, RFC 2231 section 5 */
        while (p < end && *p != '?' && *p != ' ')
            p++;
    if (length == 0 || end - p < 5 || p[0] != '?' || p[2] != '?' || !strchr("bBqQ", p[1]))
        return FALSE;
    word->base64 = g_ascii_tolower(p[1]) == 'b';
    word->text = p + 3;
    const char *close = memmem(word->text, (gsize)(end - word->text), "?=", 2);
    if (!close)
        return FALSE;
    word->size = (gsize)(close - word->text);
    word->whole = (gsize)(close + 2 - at);
    return TRUE;
}

static void append_base64(GString *bytes, const char *text, gsize size)
{
    gint state = 0;
    guint save = 0;
    g_autofree guchar *decoded = g_malloc(size / 4 * 3 + 6);
    gsize length = g_base64_decode_step(text, size, decoded, &state, &save);
    /* Left-out padding would keep the last bytes back. */
    length += g_base64_decode_step("==", state ? 2 : 0, decoded + length, &state, &save);
    g_string_append_len(bytes, (const char *)decoded, (gssize)length);
}

static void append_quoted(GString *bytes, const char *text, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        int high = i + 2 < size ? g_ascii_xdigit_value(text[i + 1]) : -1;
        int low = high >= 0 ? g_ascii_xdigit_value(text[i + 2]) : -1;
        if (text[i] == '=' && low >= 0) {
            g_string_append_c(bytes, (char)(high << 4 | low));
            i += 2;
        } else {
            g_string_append_c(bytes, text[i] == '_' ? ' ' : text[i]);
        }
    }
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && g_ascii_isspace(*at))
        at++;
    return at;
}

/* Decodes the word and those that follow it in the same charset, with only blanks between: a
 * character may be split between two words. Returns where they end. */
static const char *append_words(GString *out, const char *at, const char *end, EncodedWord *word)
{
    g_autoptr(GString) bytes = g_string_new(NULL);
    EncodedWord next = *word;
    do {
        if (next.base64)
            append_base64(bytes, next.text, next.size);
        else
            append_quoted(bytes, next.text, next.size);
        at += next.whole;
        const char *behind = skip_blanks(at, end);
        if (!read_word(behind, end, &next))
            break;
        at = behind; /* blanks between words are no text, whatever their charsets */
    } while (g_ascii_strcasecmp(next.charset, word->charset) == 0);
    append_charset(out, word->charset, bytes);
    return at;
}

static void append_decoded(GString *out, const char *raw, gsize size)
{
    const char *end = raw + size;
    EncodedWord word;
    for (const char *at = raw; at < end;) {
        if (read_word(at, end, &word)) {
            at = append_words(out, at, end, &word);
            continue;
        }
        const char *next = memchr(at + 1, '=', (gsize)(end - at - 1));
        next = next ? next : end;
        append_guess(out, at, (gsize)(next - at));
        at = next;
    }
}

/* ---- what is handed out ---- */

/* Controls become blanks, runs of blanks one; cut before the character that would not fit. */
static char *finish(const char *text, gsize size)
{
    GString *clean = g_string_sized_new(MIN(size, TEXT_LIMIT) + 1);
    gboolean blank = FALSE;
    for (const char *at = text; at < text + size; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        if (c == ' ' || g_unichar_iscntrl(c)) {
            blank = TRUE;
            continue;
        }
        gsize width = (gsize)g_unichar_to_utf8(c, NULL) + (blank && clean->len > 0);
        if (clean->len + width > TEXT_LIMIT)
            break;
        if (blank && clean->len > 0)
            g_string_append_c(clean, ' ');
        g_string_append_unichar(clean, c);
        blank = FALSE;
    }
    return g_string_free(clean, FALSE);
}

static char *decode(const char *raw, gsize size)
{
    g_autoptr(GString) text = g_string_sized_new(size + 1);
    append_decoded(text, raw, size);
    return finish(text->str, text->len);
}

char *mime_text(const char *raw)
{
    return decode(raw, strnlen(raw, RAW_LIMIT));
}

/* ---- the sender ---- */

/* The first mailbox of an address list, RFC 5322 section 3.4, taken apart but not yet decoded. Read
 * leniently, in one pass and without recursion: whatever stands there, something is shown. */
typedef struct {
    GString *phrase;  /* what stands before <, or the bare address */
    GString *comment; /* in parentheses; a name in the old style: user@host (Name) */
    GString *address; /* in < > */
    GString *group;   /* the name of the group it is in */
} Sender;

static const char *read_quoted(const char *at, const char *end, GString *out)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
        g_string_append_c(out, *at);
    }
    return at < end ? at + 1 : end;
}

static const char *read_comment(const char *at, const char *end, GString *out)
{
    int depth = 1;
    g_string_append_c(out, ' ');
    for (at++; at < end; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
        else if (*at == '(')
            depth++;
        else if (*at == ')' && --depth == 0)
            return at + 1;
        g_string_append_c(out, *at);
    }
    return end;
}

static const char *read_address(const char *at, const char *end, GString *out)
{
    const char *close = memchr(at, '>', (gsize)(end - at));
    const char *stop = close ? close : end;
    g_string_append_len(out, at + 1, stop - at - 1);
    return close ? close + 1 : end;
}

static gboolean is_blank(const GString *text)
{
    return skip_blanks(text->str, text->str + text->len) == text->str + text->len;
}

/* Reads one element. Returns NULL when the mailbox ends here. */
static const char *read_element(const char *at, const char *end, Sender *sender)
{
    EncodedWord word;
    switch (*at) {
    case '"':
        return read_quoted(at, end, sender->phrase);
    case '(':
        return read_comment(at, end, sender->comment);
    case '<':
        return read_address(at, end, sender->address);
    case ':': /* the name of a group, or just a colon */
        if (!memchr(at, ';', (gsize)(end - at)))
            break;
        g_string_assign(sender->group, sender->phrase->str);
        g_string_truncate(sender->phrase, 0);
        return at + 1;
    case ',':
    case ';':
        return is_blank(sender->phrase) && is_blank(sender->address) ? at + 1 : NULL;
    case '=':
        if (read_word(at, end, &word)) {
            g_string_append_len(sender->phrase, at, (gssize)word.whole);
            return at + word.whole;
        }
        break;
    default:
        break;
    }
    g_string_append_c(sender->phrase, *at);
    return at + 1;
}

static char *show_sender(const Sender *sender)
{
    const GString *bare = is_blank(sender->address) ? sender->comment : sender->phrase;
    const GString *choice[] = {bare, sender->phrase, sender->address, sender->comment,
                               sender->group};
    for (guint i = 0; i < G_N_ELEMENTS(choice); i++) {
        g_autofree char *text = decode(choice[i]->str, choice[i]->len);
        if (*text)
            return g_steal_pointer(&text);
    }
    return g_strdup("");
}

char *mime_sender(const char *raw)
{
    Sender sender = {g_string_new(NULL), g_string_new(NULL), g_string_new(NULL),
                     g_string_new(NULL)};
    const char *end = raw + strnlen(raw, RAW_LIMIT);
    for (const char *at = raw; at && at < end && sender.address->len == 0;)
        at = read_element(at, end, &sender);
    char *shown = show_sender(&sender);
    g_string_free(sender.phrase, TRUE);
    g_string_free(sender.comment, TRUE);
    g_string_free(sender.address, TRUE);
    g_string_free(sender.group, TRUE);
    return shown;
}

/* 0: there is none that makes sense. */
static gint64 read_date(const char *text)
{
    g_autoptr(GDateTime) date = text ? g_mime_utils_header_decode_date(text) : NULL;
    gint64 seconds = date ? g_date_time_to_unix(date) : 0;
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    /* Neither before mail was, nor from a future that a wrong clock made. */
    return seconds > 0 && seconds < now + 7 * 24 * 3600 ? seconds : 0;
}

gint64 mime_date(const char *header, gsize size)
{
    g_autofree char *received = mail_header_field(header, size, "Received", RAW_LIMIT);
    g_autofree char *sent = mail_header_field(header, size, "Date", 200);
    const char *stamp = received ? strrchr(received, ';') : NULL;
    gint64 date = read_date(stamp ? stamp + 1 : NULL);
    if (date == 0)
        date = read_date(sent);
    return date > 0 ? date : g_get_real_time() / G_USEC_PER_SEC;
}
