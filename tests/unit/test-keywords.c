#include "keywords.h"

static void expect(const char *words, const char *add, const char *remove, const char *expected)
{
    g_autofree char *result = keywords_apply(words, add, remove);
    g_assert_cmpstr(result, ==, expected);
}

static void test_apply(void)
{
    expect("", "", "", "");
    expect(NULL, NULL, NULL, "");
    expect("a b", "", "", "a b");
    expect("a b", "c", "", "a b c");
    expect("a b", "", "a", "b");
    expect("a b", "c d", "b", "a c d");
    expect("a B", "b A", "", "a B"); /* the same words, in another case */
    expect("Todo $Junk", "", "todo $JUNK", "");
    expect("a", "", "b", "a");
    expect("ab", "a", "", "ab a");
    expect("ab", "", "a", "ab");
}

static void test_join(void)
{
    static const char *const list[] = {"a", "b", NULL}, *const none[] = {NULL};
    g_autofree char *joined = keywords_join(list);
    g_autofree char *empty = keywords_join(none);
    g_autofree char *nothing = keywords_join(NULL);
    g_assert_cmpstr(joined, ==, "a b");
    g_assert_cmpstr(empty, ==, "");
    g_assert_cmpstr(nothing, ==, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keywords/apply", test_apply);
    g_test_add_func("/keywords/join", test_join);
    return g_test_run();
}
