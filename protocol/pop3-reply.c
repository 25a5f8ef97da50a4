#include "pop3-reply.h"

#include <string.h>

#define MAX_CAPABILITIES 512
#define MAX_MECHANISMS 64
#define MAX_LOGIN_DELAY (24 * 3600)

typedef enum {
    STATE_STATUS,
    STATE_LIST,
    STATE_MESSAGE_START, /* of a line */
    STATE_MESSAGE_DOT,   /* the line began with a dot, which is not passed on yet */
    STATE_MESSAGE_DOT_CR,
    STATE_MESSAGE_LINE,
    STATE_MESSAGE_CR, /* within a line; the CR was passed on */
    STATE_ERROR,
} State;

struct Pop3Scan {
    GString *line;
    State state;
    gboolean done;    /* the line was handed out */
    gboolean bare_lf; /* the status line ended in a bare LF: so do the others of this reply */
};

Pop3Scan *pop3_scan_new(void)
{
    Pop3Scan *scan = g_new0(Pop3Scan, 1);
    scan->line = g_string_new(NULL);
    return scan;
}

void pop3_scan_free(Pop3Scan *scan)
{
    if (!scan)
        return;
    g_string_free(scan->line, TRUE);
    g_free(scan);
}

void pop3_scan_expect_list(Pop3Scan *scan)
{
    scan->state = STATE_LIST;
}

void pop3_scan_expect_message(Pop3Scan *scan)
{
    scan->state = STATE_MESSAGE_START;
}

const char *pop3_scan_line(const Pop3Scan *scan)
{
    return scan->line->str;
}

/* ---- lines ---- */

static Pop3Event end_line(Pop3Scan *scan)
{
    GString *line = scan->line;
    gboolean crlf = line->len > 0 && line->str[line->len - 1] == '\r';
    if (crlf)
        g_string_truncate(line, line->len - 1);
    for (gsize i = 0; i < line->len; i++)
        if (line->str[i] == '\0')
            line->str[i] = ' ';
    scan->done = TRUE;
    if (scan->state == STATE_STATUS) {
        scan->bare_lf = !crlf;
        return POP3_STATUS;
    }
    if (strcmp(line->str, ".") == 0) {
        scan->state = STATE_STATUS;
        return POP3_END;
    }
    if (line->str[0] == '.')
        g_string_erase(line, 0, 1);
    return POP3_ITEM;
}

static Pop3Event next_line(Pop3Scan *scan, const guint8 *data, gsize size, gsize *used)
{
    if (scan->done)
        g_string_truncate(scan->line, 0);
    scan->done = FALSE;
    const guint8 *lf = size ? memchr(data, '\n', size) : NULL;
    gsize length = lf ? (gsize)(lf - data) : size;
    if (length > POP3_MAX_LINE - scan->line->len) {
        scan->state = STATE_ERROR;
        return POP3_ERROR;
    }
    g_string_append_len(scan->line, (const char *)data, (gssize)length);
    *used = lf ? length + 1 : length;
    return lf ? end_line(scan) : POP3_NEED_DATA;
}

/* ---- messages ----
 *
 * What ends a line of a message decides what its end looks like: to a server that writes CRLF, a
 * bare LF is a byte like any other, and a dot behind it is no end. One that ends its status line in
 * a bare LF knows no CRLF at all. */

static Pop3Event piece_of(Pop3Piece *piece, const void *data, gsize size)
{
    piece->data = data;
    piece->size = size;
    return POP3_DATA;
}

static gboolean ends_line(const Pop3Scan *scan, State before, guint8 byte)
{
    return byte == '\n' && (scan->bare_lf || before == STATE_MESSAGE_CR);
}

static State after_byte(const Pop3Scan *scan, State before, guint8 byte)
{
    if (ends_line(scan, before, byte))
        return STATE_MESSAGE_START;
    return byte == '\r' ? STATE_MESSAGE_CR : STATE_MESSAGE_LINE;
}

/* How many bytes can be passed on as they are; leaves the state behind them. */
static gsize plain_run(Pop3Scan *scan, const guint8 *data, gsize size)
{
    gsize at = 0;
    while (at < size) {
        if (scan->state == STATE_MESSAGE_START && data[at] == '.')
            break;
        if (scan->state == STATE_MESSAGE_LINE) {
            const guint8 *stop = memchr(data + at, scan->bare_lf ? '\n' : '\r', size - at);
            at = stop ? (gsize)(stop - data) : size;
            if (!stop)
                break;
        }
        scan->state = after_byte(scan, scan->state, data[at]);
        at++;
    }
    return at;
}

/* Behind a dot at the start of a line. */
static Pop3Event after_dot(Pop3Scan *scan, const guint8 *data, gsize *used, Pop3Piece *piece)
{
    if (scan->state == STATE_MESSAGE_DOT_CR && data[0] == '\n') {
        *used = 1;
        scan->state = STATE_STATUS;
        return POP3_END;
    }
    if (scan->state == STATE_MESSAGE_DOT_CR) {
        /* ".\r" and more: the dot was stuffing, the CR belongs to the message. */
        scan->state = STATE_MESSAGE_CR;
        return piece_of(piece, "\r", 1);
    }
    if (data[0] == '\r') {
        *used = 1;
        scan->state = STATE_MESSAGE_DOT_CR;
        return POP3_NEED_DATA;
    }
    if (data[0] == '\n' && scan->bare_lf) {
        *used = 1;
        scan->state = STATE_STATUS;
        return POP3_END;
    }
    scan->state = STATE_MESSAGE_LINE;
    return POP3_NEED_DATA;
}

static Pop3Event next_message(Pop3Scan *scan, const guint8 *data, gsize size, gsize *used,
                              Pop3Piece *piece)
{
    while (*used < size) {
        gsize step = 0;
        if (scan->state == STATE_MESSAGE_DOT || scan->state == STATE_MESSAGE_DOT_CR) {
            Pop3Event event = after_dot(scan, data + *used, &step, piece);
            *used += step;
            if (event != POP3_NEED_DATA)
                return event;
            continue;
        }
        gsize run = plain_run(scan, data + *used, size - *used);
        *used += run;
        if (run > 0)
            return piece_of(piece, data + *used - run, run);
        scan->state = STATE_MESSAGE_DOT;
        ++*used;
    }
    return POP3_NEED_DATA;
}

Pop3Event pop3_scan_next(Pop3Scan *scan, const guint8 *data, gsize size, gsize *used,
                         Pop3Piece *piece)
{
    *used = 0;
    *piece = (Pop3Piece){0};
    if (scan->state == STATE_ERROR)
        return POP3_ERROR;
    if (scan->state == STATE_STATUS || scan->state == STATE_LIST)
        return next_line(scan, data, size, used);
    return next_message(scan, data, size, used, piece);
}

/* ---- what a line says ---- */

static const struct {
    const char *name;
    Pop3Code code;
} codes[] = {
    {"IN-USE", POP3_CODE_IN_USE},     {"LOGIN-DELAY", POP3_CODE_LOGIN_DELAY},
    {"AUTH", POP3_CODE_AUTH},         {"SYS/TEMP", POP3_CODE_SYS_TEMP},
    {"SYS/PERM", POP3_CODE_SYS_PERM},
};

/* "[CODE] text"; codes are hierarchical, RFC 2449 section 8: "SYS/TEMP/DISK" is a SYS/TEMP. */
static Pop3Code parse_code(const char **text)
{
    const char *end = **text == '[' ? strchr(*text, ']') : NULL;
    if (!end)
        return POP3_CODE_NONE;
    const char *name = *text + 1;
    *text = end + 1 + strspn(end + 1, " ");
    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        gsize length = strlen(codes[i].name);
        if (g_ascii_strncasecmp(name, codes[i].name, length) == 0 &&
            (name[length] == ']' || name[length] == '/'))
            return codes[i].code;
    }
    return POP3_CODE_OTHER;
}

static gboolean has_word(const char *line, const char *word)
{
    gsize length = strlen(word);
    return g_ascii_strncasecmp(line, word, length) == 0 &&
           (line[length] == ' ' || line[length] == '\0');
}

gboolean pop3_parse_reply(const char *line, Pop3Reply *reply)
{
    *reply = (Pop3Reply){.status = POP3_OK};
    if (has_word(line, "+OK")) {
        reply->text = line + 3;
    } else if (has_word(line, "-ERR")) {
        reply->status = POP3_ERR;
        reply->text = line + 4;
    } else if (has_word(line, "+")) {
        reply->status = POP3_CHALLENGE;
        reply->text = line + 1;
    } else {
        return FALSE;
    }
    reply->text += strspn(reply->text, " ");
    if (reply->status != POP3_CHALLENGE)
        reply->code = parse_code(&reply->text);
    return TRUE;
}

/* The decimal number at *line, which a space or the end follows. */
static gboolean parse_number(const char **line, guint64 limit, guint64 *number)
{
    const char *at = *line;
    *number = 0;
    if (!g_ascii_isdigit(*at))
        return FALSE;
    for (; g_ascii_isdigit(*at); at++) {
        guint digit = (guint)(*at - '0');
        if (*number > (limit - digit) / 10)
            return FALSE;
        *number = *number * 10 + digit;
    }
    if (*at && *at != ' ' && *at != '\t')
        return FALSE;
    *line = at + strspn(at, " \t");
    return TRUE;
}

static gboolean parse_message_number(const char **line, guint32 *number)
{
    guint64 value;
    *line += strspn(*line, " \t");
    if (!parse_number(line, G_MAXUINT32, &value))
        return FALSE;
    *number = (guint32)value;
    return TRUE;
}

gboolean pop3_parse_numbers(const char *line, guint32 *number, guint64 *size)
{
    return parse_message_number(&line, number) && parse_number(&line, G_MAXINT64, size);
}

gboolean pop3_parse_uidl(const char *line, guint32 *number, const char **uidl)
{
    if (!parse_message_number(&line, number) || *number == 0)
        return FALSE;
    *uidl = line;
    return TRUE;
}

char *pop3_parse_timestamp(const char *greeting)
{
    const char *end = strrchr(greeting, '>');
    const char *start = end ? g_strrstr_len(greeting, end - greeting, "<") : NULL;
    return start ? g_strndup(start, (gsize)(end - start) + 1) : NULL;
}

/* ---- CAPA ---- */

static const struct {
    const char *name;
    guint32 cap;
} known_caps[] = {
    {"TOP", POP3_CAP_TOP},
    {"UIDL", POP3_CAP_UIDL},
    {"USER", POP3_CAP_USER},
    {"STLS", POP3_CAP_STLS},
    {"PIPELINING", POP3_CAP_PIPELINING},
    {"RESP-CODES", POP3_CAP_RESP_CODES},
    {"AUTH-RESP-CODE", POP3_CAP_AUTH_RESP_CODE},
};

Pop3Capabilities *pop3_capabilities_new(void)
{
    Pop3Capabilities *capabilities = g_new0(Pop3Capabilities, 1);
    capabilities->mechanisms = g_ptr_array_new_null_terminated(4, g_free, TRUE);
    capabilities->text = g_string_new(NULL);
    return capabilities;
}

void pop3_capabilities_free(Pop3Capabilities *capabilities)
{
    if (!capabilities)
        return;
    g_ptr_array_unref(capabilities->mechanisms);
    g_string_free(capabilities->text, TRUE);
    g_free(capabilities);
}

static void add_mechanisms(Pop3Capabilities *capabilities, const char *names)
{
    g_auto(GStrv) words = g_strsplit(names, " ", MAX_MECHANISMS);
    for (guint i = 0; words[i] && capabilities->mechanisms->len < MAX_MECHANISMS; i++)
        if (*words[i])
            g_ptr_array_add(capabilities->mechanisms, g_strndup(words[i], 64));
}

void pop3_capabilities_add(Pop3Capabilities *capabilities, const char *line)
{
    if (++capabilities->count > MAX_CAPABILITIES)
        return;
    g_autofree char *shown = mail_escape(line, -1, 100);
    if (capabilities->text->len > 0)
        g_string_append(capabilities->text, ", ");
    g_string_append(capabilities->text, shown);
    for (guint i = 0; i < G_N_ELEMENTS(known_caps); i++)
        if (has_word(line, known_caps[i].name))
            capabilities->caps |= known_caps[i].cap;
    if (has_word(line, "SASL"))
        add_mechanisms(capabilities, line + strlen("SASL"));
    if (has_word(line, "LOGIN-DELAY"))
        capabilities->login_delay =
            (guint)MIN(g_ascii_strtoull(line + strlen("LOGIN-DELAY"), NULL, 10), MAX_LOGIN_DELAY);
}
