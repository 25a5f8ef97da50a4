/* FETCH: flags, dates, and to which message a literal belongs. RFC 9051 section 7.5.2. */
#include "imap-parser.h"
#include "imap-token.h"

#include <string.h>

#define MAX_KEYWORDS 64
#define MAX_KEYWORD_LENGTH 128

static guint32 system_flag(const char *name)
{
    static const struct {
        const char *name;
        guint32 flag;
    } names[] = {
        {"\\Seen", MAIL_FLAG_SEEN},       {"\\Answered", MAIL_FLAG_ANSWERED},
        {"\\Flagged", MAIL_FLAG_FLAGGED}, {"\\Deleted", MAIL_FLAG_DELETED},
        {"\\Draft", MAIL_FLAG_DRAFT},     {"\\Recent", MAIL_FLAG_RECENT},
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_ascii_strcasecmp(name, names[i].name) == 0)
            return names[i].flag;
    return 0;
}

/* What could be sent back to the server as it is. */
static gboolean is_keyword(const char *name)
{
    gsize length = 0;
    for (; name[length]; length++)
        if (!g_ascii_isgraph(name[length]) || strchr("(){%*\"\\", name[length]))
            return FALSE;
    return length > 0 && length <= MAX_KEYWORD_LENGTH;
}

gboolean imap_flags_parse(ImapInput *input, const ImapValue *list, gboolean permanent,
                          ImapFlags *flags)
{
    GPtrArray *keywords = input->parser->keywords;
    if (!list || (list->type != IMAP_VALUE_LIST && list->type != IMAP_VALUE_NIL))
        return imap_input_fail(input, "FLAGS without a list");
    g_ptr_array_set_size(keywords, 0);
    *flags = (ImapFlags){.present = TRUE};
    for (const ImapValue *flag = list->child; flag; flag = flag->next) {
        const char *name = imap_value_text(flag);
        if (!name)
            continue;
        if (permanent && strcmp(name, "\\*") == 0)
            flags->system |= MAIL_FLAG_ANY_KEYWORD;
        else if (name[0] == '\\')
            flags->system |= system_flag(name);
        else if (keywords->len < MAX_KEYWORDS && is_keyword(name))
            g_ptr_array_add(keywords, (gpointer)name);
    }
    flags->n_keywords = keywords->len;
    g_ptr_array_add(keywords, NULL);
    flags->keywords = (const char **)keywords->pdata;
    return TRUE;
}

/* ---- INTERNALDATE ---- */

static const int days_before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
static const int days_in_month[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

static gboolean is_leap(gint64 year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* The month's index from its English abbreviation; -1 for none. */
static int month_of(const char *name)
{
    static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    for (int month = 0; month < 12; month++)
        if (g_ascii_strncasecmp(name, months + 3 * month, 3) == 0)
            return month;
    return -1;
}

static gint64 seconds_since_1970(gint64 year, int month, int day)
{
    gint64 past = year - 1;
    gint64 days = past * 365 + past / 4 - past / 100 + past / 400 - 719162;
    days += days_before_month[month] + (month > 1 && is_leap(year)) + day - 1;
    return days * 86400;
}

/* Exactly `count` digits (or, where `count` is 0, one or two), which are then stepped over. */
static gboolean take_digits(const char **at, guint count, int *number)
{
    guint seen = 0;
    guint most = count > 0 ? count : 2;
    *number = 0;
    for (; seen < most && g_ascii_isdigit(**at); seen++)
        *number = *number * 10 + (*(*at)++ - '0');
    return seen > 0 && (count == 0 || seen == count);
}

static gboolean take(const char **at, char c)
{
    if (**at != c)
        return FALSE;
    (*at)++;
    return TRUE;
}

/* "17-Jul-1996 02:44:25 -0700"; the day may be one digit, with or without a space before it, and
 * what lacks a zone is taken as UTC. */
static gboolean parse_date(const char *at, gint64 *date)
{
    int day, year, hour, minute, second, zone_hours = 0, zone_minutes = 0;
    at += strspn(at, " ");
    if (!take_digits(&at, 0, &day) || !take(&at, '-'))
        return FALSE;
    int month = month_of(at);
    if (month < 0)
        return FALSE;
    at += 3;
    if (!take(&at, '-') || !take_digits(&at, 4, &year) || !take(&at, ' '))
        return FALSE;
    at += strspn(at, " ");
    if (!take_digits(&at, 0, &hour) || !take(&at, ':') || !take_digits(&at, 2, &minute) ||
        !take(&at, ':') || !take_digits(&at, 2, &second))
        return FALSE;
    at += strspn(at, " ");
    char sign = *at;
    if (sign == '+' || sign == '-') {
        at++;
        if (!take_digits(&at, 2, &zone_hours) || !take_digits(&at, 2, &zone_minutes))
            return FALSE;
    }
    if (year < 1 || day < 1 || day > days_in_month[month] ||
        (month == 1 && day == 29 && !is_leap(year)) || hour > 23 || minute > 59 || second > 60 ||
        zone_minutes > 59)
        return FALSE;
    gint64 zone = zone_hours * 3600 + zone_minutes * 60;
    *date = seconds_since_1970(year, month, day) + hour * 3600 + minute * 60 + second -
            (sign == '-' ? -zone : zone);
    return TRUE;
}

/* ---- data items ---- */

/* Whether an item is BODY[] or BODY[]<n>; what it is decides where a literal goes, so that the
 * parser and imap_reply_literal_context() must agree. */
static gboolean is_body_item(const char *name, gsize size, gboolean *partial, guint64 *offset)
{
    static const char body[] = "BODY[]";
    const char *at = name + strlen(body);
    const char *end = name + size;
    *partial = FALSE;
    *offset = 0;
    if (size < strlen(body) || g_ascii_strncasecmp(name, body, strlen(body)) != 0)
        return FALSE;
    if (at == end)
        return TRUE;
    if (*at++ != '<' || !imap_token_digits(&at, end, offset) || end - at != 1 || *at != '>')
        return FALSE;
    *partial = TRUE;
    return TRUE;
}

/* BODY[HEADER] or BODY[HEADER.FIELDS (...)], from its first byte on. */
static gboolean is_header_item(const ImapValue *item)
{
    static const char header[] = "BODY[HEADER]", fields[] = "BODY[HEADER.FIELDS ";
    const char *origin = strrchr(item->text, ']');
    if (!origin || (origin[1] != '\0' && strcmp(origin + 1, "<0>") != 0))
        return FALSE;
    return g_ascii_strncasecmp(item->text, header, strlen(header)) == 0 ||
           g_ascii_strncasecmp(item->text, fields, strlen(fields)) == 0;
}

static gboolean parse_uid(ImapInput *input, const ImapValue *value, ImapFetch *fetch)
{
    guint64 uid;
    if (!imap_value_number(value, &uid) || uid == 0 || uid > G_MAXUINT32)
        return imap_input_fail(input, "FETCH with an impossible UID");
    if (fetch->uid != 0 && fetch->uid != uid)
        return imap_input_fail(input, "FETCH with two UIDs");
    fetch->uid = (MailUid)uid;
    return TRUE;
}

static gboolean parse_body(ImapInput *input, const ImapValue *value, ImapFetch *fetch)
{
    if (fetch->body || fetch->body_streamed)
        return imap_input_fail(input, "FETCH with two bodies");
    if (value->type == IMAP_VALUE_STREAMED) {
        fetch->body_streamed = TRUE;
    } else if (value->type == IMAP_VALUE_STRING) {
        fetch->body = value->text;
        fetch->body_size = value->size;
    } else if (value->type == IMAP_VALUE_NIL) {
        fetch->body = "";
    } else {
        return imap_input_fail(input, "FETCH with a body that is no string");
    }
    return TRUE;
}

static void parse_internaldate(const ImapValue *value, ImapFetch *fetch)
{
    const char *text = imap_value_text(value);
    if (text)
        fetch->has_date = parse_date(text, &fetch->date);
}

static gboolean parse_item(ImapInput *input, const ImapValue *item)
{
    ImapFetch *fetch = &input->reply->fetch;
    const ImapValue *value = item->next;
    gboolean partial;
    guint64 offset;
    if (imap_value_is(item, "UID"))
        return parse_uid(input, value, fetch);
    if (imap_value_is(item, "FLAGS"))
        return imap_flags_parse(input, value, FALSE, &fetch->flags);
    if (imap_value_is(item, "RFC822.SIZE"))
        return imap_input_number(input, value, G_MAXINT64, &fetch->has_size, &fetch->size);
    if (imap_value_is(item, "MODSEQ"))
        return imap_input_modseq(input, value, &fetch->modseq);
    if (imap_value_is(item, "INTERNALDATE")) {
        parse_internaldate(value, fetch);
    } else if (is_body_item(item->text, item->size, &partial, &offset)) {
        if (!parse_body(input, value, fetch))
            return FALSE;
        fetch->body_partial = partial;
        fetch->body_offset = offset;
    } else if (value->type == IMAP_VALUE_STRING && is_header_item(item)) {
        fetch->header = value->text;
        fetch->header_size = value->size;
    }
    return TRUE;
}

gboolean imap_fetch_parse(ImapInput *input)
{
    const ImapValue *items;
    if (!imap_input_values(input, &items))
        return FALSE;
    if (!items || items->type != IMAP_VALUE_LIST)
        return imap_input_fail(input, "FETCH without a list");
    for (const ImapValue *item = items->child; item; item = item->next->next) {
        if (item->type != IMAP_VALUE_ATOM || !item->next)
            return imap_input_fail(input, "FETCH has an item without a name or value");
        if (!parse_item(input, item))
            return FALSE;
    }
    input->reply->type = IMAP_REPLY_FETCH;
    return TRUE;
}

/* ---- literals ---- */

/* Whether the text may end in the announcement of a body: a cheap look from its end, since most
 * literals (headers in a listing) are none. */
static gboolean may_be_body(const char *text, gsize size)
{
    const char *at = text + size;
    while (at > text && *--at != '{')
        ;
    while (at > text && (at[-1] == ' ' || at[-1] == '~'))
        at--;
    if (at > text && at[-1] == '>')
        while (at > text && *--at != '<')
            ;
    return at - text >= 2 && at[-1] == ']' && at[-2] == '[';
}

/* Steps over a value whose first token has been taken. FALSE when the text ends inside it. */
static gboolean skip_value(ImapLexer *lexer, const ImapToken *first)
{
    guint depth = first->type == IMAP_TOKEN_OPEN ? 1 : 0;
    while (depth > 0) {
        ImapToken token = imap_lexer_next(lexer);
        if (token.type == IMAP_TOKEN_END || token.type == IMAP_TOKEN_ERROR)
            return FALSE;
        if (token.type == IMAP_TOKEN_OPEN)
            depth++;
        else if (token.type == IMAP_TOKEN_CLOSE)
            depth--;
    }
    return TRUE;
}

/* Steps into the list of "* 12 FETCH (". */
static gboolean enter_fetch(ImapLexer *lexer)
{
    ImapToken star = imap_lexer_next(lexer);
    ImapToken number = imap_lexer_next(lexer);
    ImapToken fetch = imap_lexer_next(lexer);
    ImapToken list = imap_lexer_next(lexer);
    return imap_token_is(&star, "*") && number.type == IMAP_TOKEN_ATOM &&
           g_ascii_isdigit(*number.text) && imap_token_is(&fetch, "FETCH") &&
           list.type == IMAP_TOKEN_OPEN;
}

static MailUid token_uid(const ImapToken *token)
{
    guint64 uid;
    if (token->type != IMAP_TOKEN_ATOM)
        return 0;
    const char *at = token->text;
    const char *end = at + token->size;
    return imap_token_digits(&at, end, &uid) && at == end && uid <= G_MAXUINT32 ? (MailUid)uid : 0;
}

void imap_reply_literal_context(const Scan *scan, ImapLiteralContext *context)
{
    *context = (ImapLiteralContext){0};
    ImapLexer lexer = {0};
    lexer.text = scan_text(scan, &lexer.size);
    lexer.literals = scan_literals(scan, &lexer.n_literals);
    if (!may_be_body(lexer.text, lexer.size) || !enter_fetch(&lexer))
        return;
    MailUid uid = 0;
    for (;;) {
        ImapToken name = imap_lexer_next(&lexer);
        ImapToken value = imap_lexer_next(&lexer);
        if (name.type != IMAP_TOKEN_ATOM || value.type == IMAP_TOKEN_END)
            return;
        gboolean partial;
        guint64 offset;
        gboolean body = is_body_item(name.text, name.size, &partial, &offset);
        if (body && value.type == IMAP_TOKEN_LITERAL && lexer.at == lexer.size) {
            *context = (ImapLiteralContext){TRUE, uid, partial, offset};
            return;
        }
        /* A second body breaks the protocol, and imap_reply_parse() will say so. */
        if (body || !skip_value(&lexer, &value))
            return;
        if (imap_token_is(&name, "UID"))
            uid = token_uid(&value);
    }
}
