#include "imap-token.h"

#include <string.h>

static gboolean is_space(char c)
{
    return c == ' ' || c == '\t';
}

static gboolean ends_atom(char c)
{
    return is_space(c) || c == '(' || c == ')' || c == '"';
}

gboolean imap_token_digits(const char **at, const char *end, guint64 *number)
{
    const char *start = *at;
    guint64 value = 0;
    for (; *at < end && g_ascii_isdigit(**at); (*at)++) {
        guint digit = (guint)(**at - '0');
        if (value > (G_MAXUINT64 - digit) / 10)
            return FALSE;
        value = value * 10 + digit;
    }
    *number = value;
    return *at > start;
}

static ImapToken error_token(const char *error)
{
    return (ImapToken){.type = IMAP_TOKEN_ERROR, .error = error};
}

/* The offset of the quote that ends the string whose contents start at `at`, or lexer->size. */
static gsize quote_end(const ImapLexer *lexer, gsize at)
{
    while (at < lexer->size && lexer->text[at] != '"')
        at += lexer->text[at] == '\\' ? 2 : 1;
    return MIN(at, lexer->size);
}

/* The offset of the ']' of a section whose contents start at `at`, or lexer->size. Names of
 * header fields in it may be quoted. */
static gsize section_end(const ImapLexer *lexer, gsize at)
{
    while (at < lexer->size && lexer->text[at] != ']') {
        if (lexer->text[at] == '"')
            at = quote_end(lexer, at + 1);
        at++;
    }
    return MIN(at, lexer->size);
}

/* Only behind these does a '[' start a section; elsewhere (keywords, folders) it is a letter. */
static gboolean has_section(const char *name, gsize size)
{
    static const char *const names[] = {"BODY", "BINARY", "BINARY.SIZE"};
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (strlen(names[i]) == size && g_ascii_strncasecmp(name, names[i], size) == 0)
            return TRUE;
    return FALSE;
}

static ImapToken take_atom(ImapLexer *lexer)
{
    gsize start = lexer->at;
    gsize at = start;
    while (at < lexer->size && !ends_atom(lexer->text[at])) {
        if (lexer->text[at] == '[' && has_section(lexer->text + start, at - start)) {
            at = section_end(lexer, at + 1);
            if (at == lexer->size)
                return error_token("a section is not closed");
        }
        at++;
    }
    lexer->at = at;
    return (ImapToken){.type = IMAP_TOKEN_ATOM, .text = lexer->text + start, .size = at - start};
}

static ImapToken take_quoted(ImapLexer *lexer)
{
    gsize start = lexer->at + 1;
    gsize end = quote_end(lexer, start);
    if (end == lexer->size)
        return error_token("a quoted string is not closed");
    lexer->at = end + 1;
    return (ImapToken){.type = IMAP_TOKEN_QUOTED, .text = lexer->text + start, .size = end - start};
}

/* The literal announced at the lexer's place, or NULL: only the scanner knows what is one. */
static const ScanLiteral *literal_here(ImapLexer *lexer)
{
    while (lexer->n_literals > 0 && lexer->literals->offset <= lexer->base + lexer->at) {
        lexer->literals++;
        lexer->n_literals--;
    }
    if (lexer->n_literals == 0)
        return NULL;
    const char *at = lexer->text + lexer->at;
    const char *end = lexer->text + lexer->size;
    guint64 size;
    if (*at == '~')
        at++;
    if (at == end || *at++ != '{' || !imap_token_digits(&at, end, &size))
        return NULL;
    if (at < end && *at == '+')
        at++;
    if (at == end || *at++ != '}')
        return NULL;
    gsize offset = lexer->base + (gsize)(at - lexer->text);
    return offset == lexer->literals->offset ? lexer->literals : NULL;
}

ImapToken imap_lexer_next(ImapLexer *lexer)
{
    while (lexer->at < lexer->size && is_space(lexer->text[lexer->at]))
        lexer->at++;
    if (lexer->at == lexer->size)
        return (ImapToken){.type = IMAP_TOKEN_END};
    switch (lexer->text[lexer->at]) {
    case '(':
        lexer->at++;
        return (ImapToken){.type = IMAP_TOKEN_OPEN};
    case ')':
        lexer->at++;
        return (ImapToken){.type = IMAP_TOKEN_CLOSE};
    case '"':
        return take_quoted(lexer);
    case '{':
    case '~': {
        const ScanLiteral *literal = literal_here(lexer);
        if (!literal)
            return take_atom(lexer);
        lexer->at = literal->offset - lexer->base;
        return (ImapToken){.type = IMAP_TOKEN_LITERAL, .literal = literal};
    }
    default:
        return take_atom(lexer);
    }
}

gboolean imap_token_is(const ImapToken *token, const char *name)
{
    return token->type == IMAP_TOKEN_ATOM && strlen(name) == token->size &&
           g_ascii_strncasecmp(token->text, name, token->size) == 0;
}
