/* imap-value.h: one response as a tree of atoms, strings and lists. Pure and bounded.
 *
 * A tree reuses its memory from one response to the next: a listing of 100,000 messages
 * allocates nothing for each. */
#pragma once

#include "scan.h"

typedef enum {
    IMAP_VALUE_ATOM,   /* also numbers, flags (\Seen), and BODY[HEADER.FIELDS (A B)]<0> as one */
    IMAP_VALUE_STRING, /* quoted (escapes undone) or captured literal; any bytes, NULs too */
    IMAP_VALUE_NIL,    /* the atom NIL, in any case */
    IMAP_VALUE_LIST,
    IMAP_VALUE_STREAMED, /* a literal that went elsewhere; only literal_size is known */
} ImapValueType;

typedef struct ImapValue ImapValue;
struct ImapValue {
    ImapValueType type;
    const char *text; /* ATOM, STRING, NIL (as spelled): NUL-terminated beyond size; the tree's */
    gsize size;
    guint64 literal_size;
    const ImapValue *child; /* LIST: its first element */
    const ImapValue *next;  /* the next element of the same list */
};

typedef struct ImapTree ImapTree;

#define IMAP_VALUE_MAX_DEPTH 32
#define IMAP_VALUE_MAX_NODES (1 << 20)

ImapTree *imap_tree_new(void);
void imap_tree_free(ImapTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapTree, imap_tree_free)

/* Parses text[0..size) (a part of a response, `base` being where it starts in the whole text that
 * the literals' offsets count from) into a list of values, separated by single or several spaces.
 * Returns its first element in *first (NULL for none), valid until the next call. FALSE, with
 * *error set to a constant text, for unbalanced parentheses, an open quote, too deep, too many. */
gboolean imap_tree_parse(ImapTree *tree, const char *text, gsize size, gsize base,
                         const ScanLiteral *literals, guint n_literals, const ImapValue **first,
                         const char **error);

/* Whether it is an atom (any case) equal to `name`. NULL is nothing. */
gboolean imap_value_is(const ImapValue *value, const char *name);
/* A decimal number of at most 64 bits; FALSE for anything else, overflow, or NULL. */
gboolean imap_value_number(const ImapValue *value, guint64 *number);
/* A string or an atom as NUL-terminated text; NULL for NIL, a list, or a text with a NUL inside. */
const char *imap_value_text(const ImapValue *value);
