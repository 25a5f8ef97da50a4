#include "scan.h"

#include <string.h>

typedef enum {
    STATE_TEXT,     /* collecting a response's text */
    STATE_LINE,     /* the response is complete: it goes with the next call */
    STATE_STREAMED, /* inside a literal that is handed over in pieces */
    STATE_CAPTURED, /* inside a literal that is kept */
    STATE_ERROR,
} ScanState;

struct Scan {
    ScanState state;
    gsize max_text;
    guint64 max_literal;
    GString *text;
    GArray *literals;     /* of ScanLiteral */
    GByteArray *captured; /* contents of captured literals, each with a NUL behind it */
    guint64 remaining;    /* bytes of the literal still to come */
    gboolean announced;   /* SCAN_LITERAL_BEGIN was the last event */
    const char *error;
};

Scan *scan_new(gsize max_text, guint64 max_literal)
{
    Scan *scan = g_new0(Scan, 1);
    scan->max_text = MIN(max_text, G_MAXINT32); /* GLib's arrays count in 32 bits */
    scan->max_literal = max_literal;
    scan->text = g_string_new(NULL);
    scan->literals = g_array_new(FALSE, FALSE, sizeof(ScanLiteral));
    scan->captured = g_byte_array_new();
    return scan;
}

void scan_free(Scan *scan)
{
    if (!scan)
        return;
    g_string_free(scan->text, TRUE);
    g_array_unref(scan->literals);
    g_byte_array_unref(scan->captured);
    g_free(scan);
}

static ScanEvent fail(Scan *scan, ScanToken *token, const char *error)
{
    scan->state = STATE_ERROR;
    scan->error = error;
    token->error = error;
    return SCAN_ERROR;
}

static ScanLiteral *last_literal(Scan *scan)
{
    return scan->literals->len
               ? &g_array_index(scan->literals, ScanLiteral, scan->literals->len - 1)
               : NULL;
}

static void begin_response(Scan *scan)
{
    g_string_truncate(scan->text, 0);
    g_array_set_size(scan->literals, 0);
    g_byte_array_set_size(scan->captured, 0);
    scan->state = STATE_TEXT;
}

static gsize word_length(const char *text)
{
    return strcspn(text, " ");
}

/* Whether the response ends in text for people, which holds no literals (RFC 9051 section 9,
 * resp-text). A server may quote anything there: what happens to end like a literal's announcement
 * must not swallow the responses after it. */
static gboolean ends_in_prose(const char *text)
{
    static const char *const conditions[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
    if (*text == '+')
        return TRUE;
    text += word_length(text);
    text += strspn(text, " ");
    gsize length = word_length(text);
    for (guint i = 0; i < G_N_ELEMENTS(conditions); i++)
        if (strlen(conditions[i]) == length &&
            g_ascii_strncasecmp(text, conditions[i], length) == 0)
            return TRUE;
    return FALSE;
}

/* Whether the text ends in "{123}", "{123+}" or "~{123}" where a literal may stand. A size that
 * does not fit comes out as G_MAXUINT64. */
static gboolean announces_literal(Scan *scan, guint64 *size)
{
    const char *text = scan->text->str;
    const ScanLiteral *last = last_literal(scan);
    gsize floor = last ? last->offset : 0;
    gsize at = scan->text->len;
    if (at < floor + 4 || text[--at] != '}')
        return FALSE;
    if (text[at - 1] == '+')
        at--;
    gsize end = at;
    while (at > floor && g_ascii_isdigit(text[at - 1]))
        at--;
    if (at == end || at < floor + 2 || text[at - 1] != '{')
        return FALSE;
    char before = text[at - 2] == '~' && at >= floor + 3 ? text[at - 3] : text[at - 2];
    if ((before != ' ' && before != '(') || ends_in_prose(text))
        return FALSE;
    *size = 0;
    for (; at < end; at++) {
        guint digit = (guint)(text[at] - '0');
        *size = *size > (G_MAXUINT64 - digit) / 10 ? G_MAXUINT64 : *size * 10 + digit;
    }
    return TRUE;
}

/* A line has ended: it completes the response, or a literal follows. */
static ScanEvent end_line(Scan *scan, ScanToken *token)
{
    GString *text = scan->text;
    const ScanLiteral *last = last_literal(scan);
    if (text->len > (last ? last->offset : 0) && text->str[text->len - 1] == '\r')
        g_string_truncate(text, text->len - 1);
    if (text->len + scan->captured->len > scan->max_text)
        return fail(scan, token, "a response is too long");

    ScanLiteral literal = {.offset = text->len};
    if (!announces_literal(scan, &literal.size)) {
        scan->state = STATE_LINE;
        return SCAN_LINE;
    }
    if (literal.size > scan->max_literal)
        return fail(scan, token, "a literal is too large");
    if (scan->literals->len >= SCAN_MAX_LITERALS)
        return fail(scan, token, "a response has too many literals");
    g_array_append_val(scan->literals, literal);
    scan->remaining = literal.size;
    scan->state = STATE_STREAMED;
    scan->announced = TRUE;
    token->literal_size = literal.size;
    return SCAN_LITERAL_BEGIN;
}

static ScanEvent next_text(Scan *scan, const guint8 *data, gsize size, gsize *used,
                           ScanToken *token)
{
    const guint8 *lf = size ? memchr(data, '\n', size) : NULL;
    gsize length = lf ? (gsize)(lf - data) : size;
    /* One byte more than may stay, for a CR before the LF; never exceeded. */
    gsize taken = scan->text->len + scan->captured->len;
    if (length > scan->max_text + 1 - taken)
        return fail(scan, token, "a response is too long");
    g_string_append_len(scan->text, (const char *)data, (gssize)length);
    *used = lf ? length + 1 : length;
    return lf ? end_line(scan, token) : SCAN_NEED_DATA;
}

static ScanEvent next_streamed(Scan *scan, const guint8 *data, gsize size, gsize *used,
                               ScanToken *token)
{
    if (scan->remaining == 0) {
        scan->state = STATE_TEXT;
        return SCAN_LITERAL_END;
    }
    if (size == 0)
        return SCAN_NEED_DATA;
    token->data = data;
    token->size = (gsize)MIN(scan->remaining, size);
    scan->remaining -= token->size;
    *used = token->size;
    return SCAN_LITERAL_DATA;
}

/* Takes what is there of a captured literal into the room that scan_capture() made for it. */
static gsize fill_captured(Scan *scan, const guint8 *data, gsize size)
{
    gsize length = (gsize)MIN(scan->remaining, size);
    gsize end = scan->captured->len - 1;
    if (length > 0)
        memcpy(scan->captured->data + end - scan->remaining, data, length);
    scan->remaining -= length;
    if (scan->remaining == 0)
        scan->state = STATE_TEXT;
    return length;
}

ScanEvent scan_next(Scan *scan, const guint8 *data, gsize size, gsize *used, ScanToken *token)
{
    *used = 0;
    *token = (ScanToken){0};
    scan->announced = FALSE;
    if (scan->state == STATE_LINE)
        begin_response(scan);
    if (scan->state == STATE_ERROR)
        return fail(scan, token, scan->error);
    if (scan->state == STATE_STREAMED)
        return next_streamed(scan, data, size, used, token);
    gsize filled = 0;
    if (scan->state == STATE_CAPTURED)
        filled = fill_captured(scan, data, size);
    if (filled == size || scan->state == STATE_CAPTURED) {
        *used = filled;
        return SCAN_NEED_DATA;
    }
    ScanEvent event = next_text(scan, data + filled, size - filled, used, token);
    *used += filled;
    return event;
}

gboolean scan_capture(Scan *scan)
{
    g_return_val_if_fail(scan->announced, FALSE);
    gsize taken = scan->text->len + scan->captured->len;
    if (taken > scan->max_text || scan->remaining >= scan->max_text - taken)
        return FALSE;
    gsize size = (gsize)scan->remaining;
    g_byte_array_set_size(scan->captured, (guint)(scan->captured->len + size + 1));
    scan->captured->data[scan->captured->len - 1] = 0;
    last_literal(scan)->bytes = scan->captured->data;
    /* The bytes may have moved: the literals lie in it in their order. */
    const guint8 *at = scan->captured->data;
    for (guint i = 0; i < scan->literals->len; i++) {
        ScanLiteral *literal = &g_array_index(scan->literals, ScanLiteral, i);
        if (!literal->bytes)
            continue;
        literal->bytes = at;
        at += literal->size + 1;
    }
    scan->state = STATE_CAPTURED;
    return TRUE;
}

const char *scan_text(const Scan *scan, gsize *size)
{
    *size = scan->text->len;
    return scan->text->str;
}

const ScanLiteral *scan_literals(const Scan *scan, guint *count)
{
    *count = scan->literals->len;
    return (const ScanLiteral *)(const void *)scan->literals->data;
}
