/* imap-token.h: cuts the text of a response into atoms, strings, literals and parentheses. Pure,
 * allocates nothing. Private to the parsers of this folder. */
#pragma once

#include "scan.h"

typedef enum {
    IMAP_TOKEN_END,
    IMAP_TOKEN_OPEN,   /* ( */
    IMAP_TOKEN_CLOSE,  /* ) */
    IMAP_TOKEN_ATOM,   /* BODY[HEADER.FIELDS (A B)]<0> is one */
    IMAP_TOKEN_QUOTED, /* what is between the quotes, escapes still in it */
    IMAP_TOKEN_LITERAL,
    IMAP_TOKEN_ERROR, /* an open quote or section; error is a constant text */
} ImapTokenType;

typedef struct {
    ImapTokenType type;
    const char *text; /* ATOM, QUOTED: within the given text */
    gsize size;
    const ScanLiteral *literal;
    const char *error;
} ImapToken;

typedef struct {
    const char *text;
    gsize size, at;
    gsize base; /* where the text starts in what the literals' offsets count from */
    const ScanLiteral *literals;
    guint n_literals;
} ImapLexer;

/* Skips spaces and takes the token behind them. */
ImapToken imap_lexer_next(ImapLexer *lexer);

gboolean imap_token_is(const ImapToken *token, const char *name); /* an atom, in any case */

/* Reads the digits at *at, before `end`, and moves *at behind them. FALSE when there is none or
 * they do not fit 64 bits. */
gboolean imap_token_digits(const char **at, const char *end, guint64 *number);
