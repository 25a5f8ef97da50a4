/* Which response it is; conditions (OK, NO, ...) and their codes. */
#include "imap-parser.h"
#include "imap-token.h"

#include <string.h>

ImapReplyParser *imap_reply_parser_new(void)
{
    ImapReplyParser *parser = g_new0(ImapReplyParser, 1);
    parser->tree = imap_tree_new();
    parser->line = g_string_new(NULL);
    parser->keywords = g_ptr_array_new();
    parser->uids = mail_uid_set_new();
    parser->uids_to = mail_uid_set_new();
    return parser;
}

void imap_reply_parser_free(ImapReplyParser *parser)
{
    if (!parser)
        return;
    imap_tree_free(parser->tree);
    g_string_free(parser->line, TRUE);
    g_ptr_array_unref(parser->keywords);
    g_array_unref(parser->uids);
    g_array_unref(parser->uids_to);
    g_free(parser);
}

gboolean imap_input_fail(ImapInput *input, const char *error)
{
    *input->error = error;
    return FALSE;
}

gboolean imap_input_values(ImapInput *input, const ImapValue **first)
{
    return imap_tree_parse(input->parser->tree, input->text + input->at, input->size - input->at,
                           input->at, input->literals, input->n_literals, first, input->error);
}

gboolean imap_input_number(ImapInput *input, const ImapValue *value, guint64 max, gboolean *present,
                           guint64 *number)
{
    guint64 parsed;
    *present = FALSE;
    if (!value || value->type != IMAP_VALUE_ATOM || !g_ascii_isdigit(value->text[0]))
        return TRUE;
    if (!imap_value_number(value, &parsed) || parsed > max)
        return imap_input_fail(input, "a number is out of range");
    *present = TRUE;
    *number = parsed;
    return TRUE;
}

gboolean imap_input_modseq(ImapInput *input, const ImapValue *value, MailModSeq *modseq)
{
    gboolean present;
    if (value && value->type == IMAP_VALUE_LIST)
        value = value->child;
    return imap_input_number(input, value, G_MAXINT64, &present, modseq);
}

/* ---- response codes ---- */

/* What follows a code's name. */
typedef enum {
    ARGUMENT_NONE,
    ARGUMENT_NUMBER,
    ARGUMENT_VALUES,
    ARGUMENT_FLAGS,
    ARGUMENT_UIDS
} CodeArgument;

static const struct {
    const char *name;
    ImapCode code;
    CodeArgument argument;
    guint64 max; /* of a number */
} codes[] = {
    {"ALERT", IMAP_CODE_ALERT, ARGUMENT_NONE, 0},
    {"ALREADYEXISTS", IMAP_CODE_ALREADYEXISTS, ARGUMENT_NONE, 0},
    {"APPENDUID", IMAP_CODE_APPENDUID, ARGUMENT_UIDS, 0},
    {"AUTHENTICATIONFAILED", IMAP_CODE_AUTHENTICATIONFAILED, ARGUMENT_NONE, 0},
    {"AUTHORIZATIONFAILED", IMAP_CODE_AUTHORIZATIONFAILED, ARGUMENT_NONE, 0},
    {"CANNOT", IMAP_CODE_CANNOT, ARGUMENT_NONE, 0},
    {"CAPABILITY", IMAP_CODE_CAPABILITY, ARGUMENT_VALUES, 0},
    {"CLOSED", IMAP_CODE_CLOSED, ARGUMENT_NONE, 0},
    {"COMPRESSIONACTIVE", IMAP_CODE_COMPRESSIONACTIVE, ARGUMENT_NONE, 0},
    {"COPYUID", IMAP_CODE_COPYUID, ARGUMENT_UIDS, 0},
    {"EXPIRED", IMAP_CODE_EXPIRED, ARGUMENT_NONE, 0},
    {"HASCHILDREN", IMAP_CODE_HASCHILDREN, ARGUMENT_NONE, 0},
    {"HIGHESTMODSEQ", IMAP_CODE_HIGHESTMODSEQ, ARGUMENT_NUMBER, G_MAXINT64},
    {"INUSE", IMAP_CODE_INUSE, ARGUMENT_NONE, 0},
    {"LIMIT", IMAP_CODE_LIMIT, ARGUMENT_NONE, 0},
    {"MODIFIED", IMAP_CODE_MODIFIED, ARGUMENT_UIDS, 0},
    {"NOMODSEQ", IMAP_CODE_NOMODSEQ, ARGUMENT_NONE, 0},
    {"NONEXISTENT", IMAP_CODE_NONEXISTENT, ARGUMENT_NONE, 0},
    {"NOPERM", IMAP_CODE_NOPERM, ARGUMENT_NONE, 0},
    {"OVERQUOTA", IMAP_CODE_OVERQUOTA, ARGUMENT_NONE, 0},
    {"PERMANENTFLAGS", IMAP_CODE_PERMANENTFLAGS, ARGUMENT_FLAGS, 0},
    {"READ-ONLY", IMAP_CODE_READ_ONLY, ARGUMENT_NONE, 0},
    {"READ-WRITE", IMAP_CODE_READ_WRITE, ARGUMENT_NONE, 0},
    {"TRYCREATE", IMAP_CODE_TRYCREATE, ARGUMENT_NONE, 0},
    {"UIDNEXT", IMAP_CODE_UIDNEXT, ARGUMENT_NUMBER, (guint64)G_MAXUINT32 + 1},
    {"UIDNOTSTICKY", IMAP_CODE_UIDNOTSTICKY, ARGUMENT_NONE, 0},
    {"UIDVALIDITY", IMAP_CODE_UIDVALIDITY, ARGUMENT_NUMBER, G_MAXUINT32},
    {"UNAVAILABLE", IMAP_CODE_UNAVAILABLE, ARGUMENT_NONE, 0},
};

static gboolean starts_set(const ImapValue *value)
{
    return value && value->type == IMAP_VALUE_ATOM && g_ascii_isdigit(value->text[0]);
}

/* APPENDUID and COPYUID (RFC 4315), MODIFIED (RFC 7162). What cannot be read, or not be paired,
 * tells nothing, and stays IMAP_CODE_OTHER: the command that it belongs to was carried out all the
 * same. Some servers send empty sets when nothing was done. */
static void parse_uid_code(ImapInput *input, ImapCode code, const ImapValue *value)
{
    ImapReply *reply = input->reply;
    ImapReplyParser *parser = input->parser;
    const char *ignored;
    ImapInput lenient = *input;
    lenient.error = &ignored;
    gboolean present = TRUE;
    if (code != IMAP_CODE_MODIFIED) {
        if (!imap_input_number(&lenient, value, G_MAXUINT32, &present, &reply->number))
            return;
        value = value ? value->next : NULL;
    }
    if (!present || !starts_set(value) || !imap_set_parse(&lenient, value, parser->uids))
        return;
    if (code == IMAP_CODE_COPYUID) {
        if (!starts_set(value->next) || !imap_set_parse(&lenient, value->next, parser->uids_to) ||
            mail_uid_set_count(parser->uids) != mail_uid_set_count(parser->uids_to))
            return;
        reply->uids_to = parser->uids_to;
    } else {
        imap_set_sort(parser->uids);
    }
    reply->uids = parser->uids;
    reply->code = code;
}

static gboolean parse_code(ImapInput *input, const ImapValue *name)
{
    ImapReply *reply = input->reply;
    guint i = 0;
    while (i < G_N_ELEMENTS(codes) && !imap_value_is(name, codes[i].name))
        i++;
    reply->code = IMAP_CODE_OTHER;
    if (i == G_N_ELEMENTS(codes))
        return TRUE;
    gboolean present = TRUE;
    switch (codes[i].argument) {
    case ARGUMENT_UIDS:
        parse_uid_code(input, codes[i].code, name->next);
        return TRUE;
    case ARGUMENT_FLAGS:
        present = name->next && name->next->type == IMAP_VALUE_LIST;
        if (present && !imap_flags_parse(input, name->next, TRUE, &reply->flags))
            return FALSE;
        break;
    case ARGUMENT_NUMBER:
        if (!imap_input_number(input, name->next, codes[i].max, &present, &reply->number))
            return FALSE;
        break;
    case ARGUMENT_VALUES:
        reply->values = name->next;
        break;
    case ARGUMENT_NONE:
        break;
    }
    if (present)
        reply->code = codes[i].code;
    return TRUE;
}

/* The ']' of a code that starts at text[0] == '['. One in a quoted string or in parentheses (a
 * keyword with brackets) does not count, unless there is no other. */
static char *code_end(char *text)
{
    gboolean quoted = FALSE;
    guint depth = 0;
    for (char *at = text; *at; at++) {
        if (quoted && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted && *at == '(')
            depth++;
        else if (!quoted && *at == ')' && depth > 0)
            depth--;
        else if (!quoted && depth == 0 && *at == ']')
            return at;
    }
    return strchr(text, ']');
}

static char *skip_spaces(char *text)
{
    return text + strspn(text, " \t");
}

/* "[CODE arguments] text". What looks like a code, but cannot be read as one, is text. */
static gboolean parse_resp_text(ImapInput *input, char *text)
{
    ImapReply *reply = input->reply;
    text = skip_spaces(text);
    reply->text = text;
    char *end = *text == '[' ? code_end(text) : NULL;
    if (!end)
        return TRUE;
    const ImapValue *name;
    const char *ignored;
    if (!imap_tree_parse(input->parser->tree, text + 1, (gsize)(end - text - 1), 0, NULL, 0, &name,
                         &ignored) ||
        !name || name->type != IMAP_VALUE_ATOM)
        return TRUE;
    reply->text = skip_spaces(end + 1);
    return parse_code(input, name);
}

/* ---- dispatch ---- */

static gboolean condition_named(const char *name, ImapCondition *condition)
{
    static const char *const names[] = {
        [IMAP_OK] = "OK",   [IMAP_NO] = "NO",           [IMAP_BAD] = "BAD",
        [IMAP_BYE] = "BYE", [IMAP_PREAUTH] = "PREAUTH",
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (g_ascii_strcasecmp(name, names[i]) == 0) {
            *condition = (ImapCondition)i;
            return TRUE;
        }
    }
    return FALSE;
}

/* Ends the word at `text` with a NUL and returns what is behind it, spaces skipped. */
static char *cut_word(char *text)
{
    gsize length = strcspn(text, " \t");
    char *rest = skip_spaces(text + length);
    text[length] = '\0';
    return rest;
}

/* Copies the response from `at` on, without trailing spaces. */
static char *copy_line(ImapInput *input, gsize at)
{
    GString *line = input->parser->line;
    gsize end = input->size;
    while (end > at && (input->text[end - 1] == ' ' || input->text[end - 1] == '\t'))
        end--;
    g_string_truncate(line, 0);
    g_string_append_len(line, input->text + at, (gssize)(end - at));
    return line->str;
}

static gboolean is_tag(const char *tag)
{
    const char *at = tag;
    while (g_ascii_isgraph(*at) && !strchr("(){%*\"\\+", *at))
        at++;
    return at > tag && *at == '\0';
}

static gboolean parse_tagged(ImapInput *input)
{
    ImapReply *reply = input->reply;
    char *tag = copy_line(input, 0);
    char *name = cut_word(tag);
    char *text = cut_word(name);
    if (!is_tag(tag))
        return imap_input_fail(input, "a response with neither a tag nor * or +");
    if (!condition_named(name, &reply->condition) || reply->condition > IMAP_BAD)
        return imap_input_fail(input, "a tagged response without OK, NO or BAD");
    reply->type = IMAP_REPLY_TAGGED;
    reply->tag = tag;
    return parse_resp_text(input, text);
}

static gboolean parse_values(ImapInput *input, ImapReplyType type)
{
    if (!imap_input_values(input, &input->reply->values))
        return FALSE;
    input->reply->type = type;
    return TRUE;
}

static gboolean parse_flags(ImapInput *input)
{
    const ImapValue *list;
    input->reply->type = IMAP_REPLY_FLAGS;
    return imap_input_values(input, &list) &&
           imap_flags_parse(input, list, FALSE, &input->reply->flags);
}

/* "* 12 EXISTS" and the like; the word is what follows the number. */
static gboolean parse_numbered(ImapInput *input, guint64 number, const ImapToken *word)
{
    ImapReply *reply = input->reply;
    gboolean names_message = imap_token_is(word, "FETCH") || imap_token_is(word, "EXPUNGE");
    if (names_message && number == 0)
        return imap_input_fail(input, "a message number is out of range");
    reply->number = number;
    if (imap_token_is(word, "FETCH"))
        return imap_fetch_parse(input);
    if (imap_token_is(word, "EXPUNGE"))
        reply->type = IMAP_REPLY_EXPUNGE;
    else if (imap_token_is(word, "EXISTS"))
        reply->type = IMAP_REPLY_EXISTS;
    else if (imap_token_is(word, "RECENT"))
        reply->type = IMAP_REPLY_RECENT;
    return TRUE;
}

static gboolean parse_named(ImapInput *input, const ImapToken *word)
{
    static const struct {
        const char *name;
        ImapReplyType type;
    } plain[] = {
        {"CAPABILITY", IMAP_REPLY_CAPABILITY},
        {"ENABLED", IMAP_REPLY_ENABLED},
        {"ID", IMAP_REPLY_ID},
        {"NAMESPACE", IMAP_REPLY_NAMESPACE},
        {"QUOTA", IMAP_REPLY_QUOTA},
        {"QUOTAROOT", IMAP_REPLY_QUOTAROOT},
        {"MYRIGHTS", IMAP_REPLY_MYRIGHTS},
    };
    if (imap_token_is(word, "LIST") || imap_token_is(word, "LSUB"))
        return imap_list_parse(input, imap_token_is(word, "LSUB"));
    if (imap_token_is(word, "STATUS"))
        return imap_status_parse(input);
    if (imap_token_is(word, "SEARCH"))
        return imap_search_parse(input);
    if (imap_token_is(word, "ESEARCH"))
        return imap_esearch_parse(input);
    if (imap_token_is(word, "VANISHED"))
        return imap_vanished_parse(input);
    if (imap_token_is(word, "FLAGS"))
        return parse_flags(input);
    for (guint i = 0; i < G_N_ELEMENTS(plain); i++)
        if (imap_token_is(word, plain[i].name))
            return parse_values(input, plain[i].type);
    return TRUE;
}

static gboolean parse_condition(ImapInput *input, gsize at)
{
    char *name = copy_line(input, at);
    char *text = cut_word(name);
    if (!condition_named(name, &input->reply->condition))
        return TRUE;
    input->reply->type = IMAP_REPLY_STATUS;
    return parse_resp_text(input, text);
}

static gboolean is_condition(const ImapToken *word)
{
    return imap_token_is(word, "OK") || imap_token_is(word, "NO") || imap_token_is(word, "BAD") ||
           imap_token_is(word, "BYE") || imap_token_is(word, "PREAUTH");
}

static gboolean parse_untagged(ImapInput *input)
{
    ImapLexer lexer = {.text = input->text, .size = input->size, .at = 1};
    ImapToken word = imap_lexer_next(&lexer);
    if (word.type != IMAP_TOKEN_ATOM)
        return imap_input_fail(input, "an untagged response without a name");
    if (is_condition(&word))
        return parse_condition(input, (gsize)(word.text - input->text));
    input->at = lexer.at;
    if (!g_ascii_isdigit(*word.text))
        return parse_named(input, &word);
    guint64 number;
    const char *at = word.text;
    if (!imap_token_digits(&at, word.text + word.size, &number) || number > G_MAXUINT32 ||
        at != word.text + word.size)
        return imap_input_fail(input, "a number is out of range");
    word = imap_lexer_next(&lexer);
    input->at = lexer.at;
    return parse_numbered(input, number, &word);
}

gboolean imap_reply_parse(ImapReplyParser *parser, const Scan *scan, ImapReply *reply,
                          const char **error)
{
    ImapInput input = {.parser = parser, .reply = reply, .error = error};
    input.text = scan_text(scan, &input.size);
    input.literals = scan_literals(scan, &input.n_literals);
    *reply = (ImapReply){.type = IMAP_REPLY_OTHER};
    *error = NULL;
    g_array_set_size(parser->uids, 0);
    g_array_set_size(parser->uids_to, 0);
    if (input.size == 0)
        return TRUE; /* some servers send an empty line too many */
    if (input.text[0] == '+') {
        reply->type = IMAP_REPLY_CONTINUE;
        reply->text = skip_spaces(copy_line(&input, 1));
        return TRUE;
    }
    if (input.text[0] == '*' && (input.size == 1 || strchr(" \t", input.text[1])))
        return parse_untagged(&input);
    return parse_tagged(&input);
}
