#include "imap-value.h"

#include <string.h>

static void describe(GString *out, const ImapValue *value)
{
    for (; value; value = value->next) {
        if (value->type == IMAP_VALUE_LIST) {
            g_string_append_c(out, '(');
            describe(out, value->child);
            g_string_append_c(out, ')');
        } else if (value->type == IMAP_VALUE_STREAMED) {
            g_string_append_printf(out, "{%" G_GUINT64_FORMAT "}", value->literal_size);
        } else {
            static const char marks[] = {
                [IMAP_VALUE_ATOM] = 'a', [IMAP_VALUE_STRING] = 's', [IMAP_VALUE_NIL] = 'n'};
            g_assert_cmpint(value->text[value->size], ==, '\0');
            g_string_append_printf(out, "%c<%.*s>", marks[value->type], (int)value->size,
                                   value->text);
        }
        if (value->next)
            g_string_append_c(out, ' ');
    }
}

/* Parses a copy that ends where the text ends, so that a read past it is noticed. */
static void check(const char *text, const char *expected)
{
    g_autoptr(ImapTree) tree = imap_tree_new();
    g_autofree char *copy = g_memdup2(text, strlen(text));
    const ImapValue *first;
    const char *error = NULL;
    gboolean ok = imap_tree_parse(tree, copy, strlen(text), 0, NULL, 0, &first, &error);
    g_assert_cmpint(ok, ==, expected != NULL);
    g_assert_cmpint(ok, ==, error == NULL);
    if (!ok)
        return;
    GString *out = g_string_new(NULL);
    describe(out, first);
    g_assert_cmpstr(out->str, ==, expected);
    g_string_free(out, TRUE);
}

static void test_values(void)
{
    check("", "");
    check("   ", "");
    check("a", "a<a>");
    check("a  b ", "a<a> a<b>");
    check("NIL nil NILS \"NIL\"", "n<NIL> n<nil> a<NILS> s<NIL>");
    check("\\Seen \\* 12 {5} ~x", "a<\\Seen> a<\\*> a<12> a<{5}> a<~x>");
    check("\"\" \"a b\" \"q\\\"\\\\\" \"odd\\n\"", "s<> s<a b> s<q\"\\> s<oddn>");
    check("a\"b\"c", "a<a> s<b> a<c>");
    check("() (a) (a(b)()c)", "() (a<a>) (a<a> (a<b>) () a<c>)");
    check("( a ) (NIL \"x\")", "(a<a>) (n<NIL> s<x>)");
}

static void test_sections(void)
{
    check("BODY[HEADER.FIELDS (A B)]<0> x", "a<BODY[HEADER.FIELDS (A B)]<0>> a<x>");
    check("body[] binary[1 2] Binary.Size[1 (]x", "a<body[]> a<binary[1 2]> a<Binary.Size[1 (]x>");
    check("BODY[HEADER.FIELDS (\"]\\\"(\" B)]", "a<BODY[HEADER.FIELDS (\"]\\\"(\" B)]>");
    check("foo[a b]", "a<foo[a> a<b]>");
    check("BODY [a b]", "a<BODY> a<[a> a<b]>");
    check("BODY[", NULL);
    check("BODY[\"]", NULL);
    check("BODY[\"]\\", NULL);
}

static void test_errors(void)
{
    check("(", NULL);
    check(")", NULL);
    check("(a))", NULL);
    check("((a)", NULL);
    check("\"", NULL);
    check("\"a", NULL);
    check("\"a\\\"", NULL);
    check("\"a\\", NULL);
}

static void test_depth(void)
{
    GString *text = g_string_new(NULL);
    for (guint depth = 1; depth <= IMAP_VALUE_MAX_DEPTH + 1; depth++) {
        g_string_insert_c(text, 0, '(');
        g_string_append_c(text, ')');
        check(text->str, depth <= IMAP_VALUE_MAX_DEPTH ? text->str : NULL);
    }
    g_string_free(text, TRUE);
}

static void test_count(void)
{
    g_autoptr(ImapTree) tree = imap_tree_new();
    gsize size = 2 * IMAP_VALUE_MAX_NODES;
    g_autofree char *text = g_malloc(size + 2);
    for (gsize i = 0; i < size + 2; i++)
        text[i] = i % 2 ? ' ' : 'a';
    const ImapValue *first;
    const char *error;
    g_assert_true(imap_tree_parse(tree, text, size, 0, NULL, 0, &first, &error));
    guint count = 0;
    for (const ImapValue *value = first; value; value = value->next)
        count++;
    g_assert_cmpuint(count, ==, IMAP_VALUE_MAX_NODES);
    g_assert_false(imap_tree_parse(tree, text, size + 2, 0, NULL, 0, &first, &error));
    /* After a large response a small one. */
    g_assert_true(imap_tree_parse(tree, "x y", 3, 0, NULL, 0, &first, &error));
    g_assert_true(imap_value_is(first->next, "Y"));
}

static void test_literals(void)
{
    static const char text[] = "{1} (~{2} {5} {3+}) {9}";
    static const ScanLiteral literals[] = {
        {.offset = 50, .size = 4, .bytes = (const guint8 *)"past"},
        {.offset = 103, .size = 1, .bytes = (const guint8 *)"\""},
        {.offset = 109, .size = 2, .bytes = (const guint8 *)"\0)"},
        {.offset = 118, .size = 3},
        {.offset = 123, .size = 0, .bytes = (const guint8 *)""},
    };
    g_autoptr(ImapTree) tree = imap_tree_new();
    const ImapValue *first;
    const char *error;
    g_assert_true(imap_tree_parse(tree, text, strlen(text), 100, literals, G_N_ELEMENTS(literals),
                                  &first, &error));
    g_assert_cmpmem(first->text, first->size + 1, "\"", 2);
    const ImapValue *inner = first->next->child;
    g_assert_cmpint(inner->type, ==, IMAP_VALUE_STRING);
    g_assert_cmpmem(inner->text, inner->size + 1, "\0)", 3);
    g_assert_cmpuint(inner->literal_size, ==, 2);
    g_assert_null(imap_value_text(inner));
    g_assert_cmpint(inner->next->type, ==, IMAP_VALUE_ATOM); /* no literal of the scanner's */
    g_assert_cmpint(inner->next->next->type, ==, IMAP_VALUE_STREAMED);
    g_assert_cmpuint(inner->next->next->literal_size, ==, 3);
    g_assert_cmpstr(imap_value_text(first->next->next), ==, "");
}

static const ImapValue *parse_one(ImapTree *tree, const char *text)
{
    const ImapValue *first;
    const char *error;
    g_assert_true(imap_tree_parse(tree, text, strlen(text), 0, NULL, 0, &first, &error));
    return first;
}

static void test_numbers(void)
{
    static const struct {
        const char *text;
        gboolean ok;
        guint64 number;
    } cases[] = {
        {"0", TRUE, 0},
        {"007", TRUE, 7},
        {"4294967296", TRUE, 4294967296},
        {"18446744073709551615", TRUE, G_MAXUINT64},
        {"18446744073709551616", FALSE, 0},
        {"99999999999999999999999", FALSE, 0},
        {"-1", FALSE, 0},
        {"+1", FALSE, 0},
        {"1x", FALSE, 0},
        {"0x1", FALSE, 0},
        {"\"1\"", FALSE, 0},
        {"(1)", FALSE, 0},
        {"NIL", FALSE, 0},
        {"", FALSE, 0},
    };
    g_autoptr(ImapTree) tree = imap_tree_new();
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        guint64 number = 0;
        g_assert_cmpint(imap_value_number(parse_one(tree, cases[i].text), &number), ==,
                        cases[i].ok);
        if (cases[i].ok)
            g_assert_cmpuint(number, ==, cases[i].number);
    }
}

static void test_access(void)
{
    g_autoptr(ImapTree) tree = imap_tree_new();
    g_assert_true(imap_value_is(parse_one(tree, "FLAGS"), "flags"));
    g_assert_true(imap_value_is(parse_one(tree, "nil"), "NIL"));
    g_assert_false(imap_value_is(parse_one(tree, "FLAG"), "flags"));
    g_assert_false(imap_value_is(parse_one(tree, "\"FLAGS\""), "flags"));
    g_assert_false(imap_value_is(parse_one(tree, "(FLAGS)"), "flags"));
    g_assert_false(imap_value_is(NULL, "flags"));
    g_assert_cmpstr(imap_value_text(parse_one(tree, "a")), ==, "a");
    g_assert_cmpstr(imap_value_text(parse_one(tree, "\"a\\\\\"")), ==, "a\\");
    g_assert_null(imap_value_text(parse_one(tree, "NIL")));
    g_assert_null(imap_value_text(parse_one(tree, "(a)")));
    g_assert_null(imap_value_text(NULL));
}

/* A listing allocates nothing for each message: the same block is used again. */
static void test_reuse(void)
{
    g_autoptr(ImapTree) tree = imap_tree_new();
    const ImapValue *first = parse_one(tree, "(UID 1)");
    const char *text = first->child->text;
    for (guint i = 0; i < 1000; i++) {
        const ImapValue *again = parse_one(tree, "(UID 2 FLAGS (\\Seen))");
        g_assert_true(again == first && again->child->text == text);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/imap-value/values", test_values);
    g_test_add_func("/imap-value/sections", test_sections);
    g_test_add_func("/imap-value/errors", test_errors);
    g_test_add_func("/imap-value/depth", test_depth);
    g_test_add_func("/imap-value/count", test_count);
    g_test_add_func("/imap-value/literals", test_literals);
    g_test_add_func("/imap-value/numbers", test_numbers);
    g_test_add_func("/imap-value/access", test_access);
    g_test_add_func("/imap-value/reuse", test_reuse);
    return g_test_run();
}
