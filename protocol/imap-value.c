#include "imap-value.h"
#include "imap-token.h"

#include <string.h>

#define BLOCK_NODES 256
/* What is kept from one response to the next; a rare large one gives the rest back. */
#define KEEP_BLOCKS 64
#define KEEP_TEXT (256 * 1024)

struct ImapTree {
    GPtrArray *blocks; /* of ImapValue[BLOCK_NODES]: nodes never move while the tree grows */
    guint n_nodes;
    char *text; /* copies of all atoms and strings */
    gsize text_size, text_used;
};

ImapTree *imap_tree_new(void)
{
    ImapTree *tree = g_new0(ImapTree, 1);
    tree->blocks = g_ptr_array_new_with_free_func(g_free);
    return tree;
}

void imap_tree_free(ImapTree *tree)
{
    if (!tree)
        return;
    g_ptr_array_unref(tree->blocks);
    g_free(tree->text);
    g_free(tree);
}

/* Makes room for all text at once, so that it never moves. Atoms and strings need a NUL each, for
 * which the delimiter behind them, or their quotes, made room; the last atom may have none. */
static void reset(ImapTree *tree, gsize size, const ScanLiteral *literals, guint n_literals)
{
    gsize need = size + 1;
    for (guint i = 0; i < n_literals; i++)
        if (literals[i].bytes)
            need += (gsize)literals[i].size;
    if (need > tree->text_size || (tree->text_size > KEEP_TEXT && need <= KEEP_TEXT)) {
        g_free(tree->text);
        tree->text_size = MAX(need, 1024);
        tree->text = g_malloc(tree->text_size);
    }
    tree->text_used = 0;
    tree->n_nodes = 0;
    if (tree->blocks->len > KEEP_BLOCKS)
        g_ptr_array_set_size(tree->blocks, KEEP_BLOCKS);
}

static ImapValue *new_node(ImapTree *tree)
{
    guint block = tree->n_nodes / BLOCK_NODES;
    if (block == tree->blocks->len)
        g_ptr_array_add(tree->blocks, g_new(ImapValue, BLOCK_NODES));
    ImapValue *nodes = g_ptr_array_index(tree->blocks, block);
    ImapValue *node = &nodes[tree->n_nodes++ % BLOCK_NODES];
    *node = (ImapValue){0};
    return node;
}

static void set_text(ImapTree *tree, ImapValue *node, const void *text, gsize size)
{
    char *copy = tree->text + tree->text_used;
    if (size > 0)
        memcpy(copy, text, size);
    copy[size] = '\0';
    tree->text_used += size + 1;
    node->text = copy;
    node->size = size;
}

static void set_quoted(ImapTree *tree, ImapValue *node, const char *text, gsize size)
{
    char *copy = tree->text + tree->text_used;
    gsize length = 0;
    for (gsize i = 0; i < size; i++) {
        if (text[i] == '\\' && i + 1 < size)
            i++;
        copy[length++] = text[i];
    }
    copy[length] = '\0';
    tree->text_used += length + 1;
    node->text = copy;
    node->size = length;
}

static void set_leaf(ImapTree *tree, ImapValue *node, const ImapToken *token)
{
    if (token->type == IMAP_TOKEN_QUOTED) {
        node->type = IMAP_VALUE_STRING;
        set_quoted(tree, node, token->text, token->size);
    } else if (token->type == IMAP_TOKEN_ATOM) {
        node->type = imap_token_is(token, "NIL") ? IMAP_VALUE_NIL : IMAP_VALUE_ATOM;
        set_text(tree, node, token->text, token->size);
    } else {
        node->literal_size = token->literal->size;
        node->type = token->literal->bytes ? IMAP_VALUE_STRING : IMAP_VALUE_STREAMED;
        if (token->literal->bytes)
            set_text(tree, node, token->literal->bytes, (gsize)token->literal->size);
    }
}

static gboolean fail(const char **error, const char *text)
{
    *error = text;
    return FALSE;
}

gboolean imap_tree_parse(ImapTree *tree, const char *text, gsize size, gsize base,
                         const ScanLiteral *literals, guint n_literals, const ImapValue **first,
                         const char **error)
{
    const ImapValue **outer[IMAP_VALUE_MAX_DEPTH]; /* where each open list's next sibling goes */
    guint depth = 0;
    const ImapValue **tail = first;
    ImapLexer lexer = {
        .text = text, .size = size, .base = base, .literals = literals, .n_literals = n_literals};
    *first = NULL;
    reset(tree, size, literals, n_literals);
    for (;;) {
        ImapToken token = imap_lexer_next(&lexer);
        if (token.type == IMAP_TOKEN_ERROR)
            return fail(error, token.error);
        if (token.type == IMAP_TOKEN_END)
            return depth == 0 || fail(error, "a list is not closed");
        if (token.type == IMAP_TOKEN_CLOSE) {
            if (depth == 0)
                return fail(error, "a list is closed that was not opened");
            tail = outer[--depth];
            continue;
        }
        if (tree->n_nodes == IMAP_VALUE_MAX_NODES)
            return fail(error, "a response has too many values");
        ImapValue *node = new_node(tree);
        *tail = node;
        tail = &node->next;
        if (token.type != IMAP_TOKEN_OPEN) {
            set_leaf(tree, node, &token);
            continue;
        }
        if (depth == IMAP_VALUE_MAX_DEPTH)
            return fail(error, "lists are nested too deep");
        node->type = IMAP_VALUE_LIST;
        outer[depth++] = tail;
        tail = &node->child;
    }
}

gboolean imap_value_is(const ImapValue *value, const char *name)
{
    return value && (value->type == IMAP_VALUE_ATOM || value->type == IMAP_VALUE_NIL) &&
           g_ascii_strcasecmp(value->text, name) == 0 && strlen(name) == value->size;
}

gboolean imap_value_number(const ImapValue *value, guint64 *number)
{
    if (!value || value->type != IMAP_VALUE_ATOM)
        return FALSE;
    const char *at = value->text;
    const char *end = value->text + value->size;
    return imap_token_digits(&at, end, number) && at == end;
}

const char *imap_value_text(const ImapValue *value)
{
    if (!value || (value->type != IMAP_VALUE_ATOM && value->type != IMAP_VALUE_STRING))
        return NULL;
    return strlen(value->text) == value->size ? value->text : NULL;
}
