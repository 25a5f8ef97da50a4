#include "flag-words.h"

#include <string.h>

static char *joined(const GPtrArray *keywords)
{
    const char *const *list = flag_words_list(keywords);
    return list ? g_strjoinv(" ", (char **)list) : g_strdup("");
}

static void test_words(void)
{
    static const struct {
        const char *word;
        guint32 add, remove;
        const char *add_keyword, *remove_keyword;
    } words[] = {
        {"+seen", MAIL_FLAG_SEEN, 0, "", ""},
        {"-Seen", 0, MAIL_FLAG_SEEN, "", ""},
        {"+\\FLAGGED", MAIL_FLAG_FLAGGED, 0, "", ""},
        {"-answered", 0, MAIL_FLAG_ANSWERED, "", ""},
        {"+deleted", MAIL_FLAG_DELETED, 0, "", ""},
        {"+draft", MAIL_FLAG_DRAFT, 0, "", ""},
        {"+todo", 0, 0, "todo", ""},
        {"-$Label1", 0, 0, "", "$Label1"},
        {"++", 0, 0, "+", ""},
        {"--", 0, 0, "", "-"},
        {"+undo", 0, 0, "undo", ""},
    };
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(FlagWords) taken;
        flag_words_init(&taken);
        g_assert_true(flag_words_take(&taken, words[i].word, &error));
        g_assert_cmpuint(taken.add, ==, words[i].add);
        g_assert_cmpuint(taken.remove, ==, words[i].remove);
        g_autofree char *add = joined(taken.add_keywords);
        g_autofree char *remove = joined(taken.remove_keywords);
        g_assert_cmpstr(add, ==, words[i].add_keyword);
        g_assert_cmpstr(remove, ==, words[i].remove_keyword);
    }
}

static void test_wrong_words(void)
{
    static const char *const words[] = {
        "",      "seen",   "+",    "-",         "+\\",     "+\\todo",    "+\\Recent", "+a b",
        "+a(",   "+a)",    "+{1}", "+50%",      "+*",      "+a\"b",      "+a\\b",     "+a]",
        "+\x01", "+a\x7f", "+a\n", "+\xc3\xa9", "+unseen", "-Unflagged", "+unDraft",
    };
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(FlagWords) taken;
        flag_words_init(&taken);
        g_assert_false(flag_words_take(&taken, words[i], &error));
        g_assert_error(error, MAIL_ERROR, MAIL_ERROR_INVALID);
        for (const char *at = error->message; *at; at++)
            g_assert_false(g_ascii_iscntrl(*at));
        g_assert_cmpuint(taken.add | taken.remove, ==, 0);
        g_assert_cmpuint(taken.add_keywords->len + taken.remove_keywords->len, ==, 0);
    }
}

static void test_limits(void)
{
    g_autoptr(GError) error = NULL;
    g_auto(FlagWords) taken;
    flag_words_init(&taken);
    g_autofree char *longest = g_strnfill(101, 'x');
    longest[0] = '+';
    g_assert_true(flag_words_take(&taken, longest, &error));
    g_autofree char *longer = g_strconcat(longest, "x", NULL);
    g_assert_false(flag_words_take(&taken, longer, NULL));
    for (guint i = 1; i < 100; i++) {
        g_autofree char *word = g_strdup_printf("+k%u", i);
        g_assert_true(flag_words_take(&taken, word, NULL));
    }
    g_assert_false(flag_words_take(&taken, "+another", NULL));
    g_assert_true(flag_words_take(&taken, "+K7", NULL)); /* it is there already */
    g_assert_cmpuint(taken.add_keywords->len, ==, 100);
}

static void test_both_signs(void)
{
    static const char *const pairs[][2] = {
        {"+seen", "-SEEN"}, {"-seen", "+\\Seen"}, {"+todo", "-Todo"}, {"-todo", "+todo"}};
    for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_auto(FlagWords) taken;
        flag_words_init(&taken);
        g_assert_true(flag_words_take(&taken, pairs[i][0], NULL));
        g_assert_false(flag_words_take(&taken, pairs[i][1], NULL));
        g_assert_true(flag_words_take(&taken, pairs[i][0], NULL));
        g_assert_cmpuint(taken.add_keywords->len + taken.remove_keywords->len, <=, 1);
    }
}

static void test_set(void)
{
    static const struct {
        const char *now, *text;
        guint32 add, remove;
        const char *add_keywords, *remove_keywords;
    } sets[] = {
        {"", "", 0, 0, "", ""},
        {"", "seen todo", MAIL_FLAG_SEEN, 0, "todo", ""},
        {"seen todo", "seen todo", 0, 0, "", ""},
        {"seen todo", "", 0, MAIL_FLAG_SEEN, "", "todo"},
        {"seen a b", " B\tflagged \n", MAIL_FLAG_FLAGGED, MAIL_FLAG_SEEN, "", "a"},
        {"unseen (odd a", "a", 0, 0, "", "unseen (odd"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(sets); i++) {
        g_autoptr(GError) error = NULL;
        g_auto(FlagWords) words;
        flag_words_init(&words);
        g_assert_true(flag_words_set(&words, sets[i].now, sets[i].text, &error));
        g_autofree char *add = joined(words.add_keywords);
        g_autofree char *remove = joined(words.remove_keywords);
        g_assert_cmpuint(words.add, ==, sets[i].add);
        g_assert_cmpuint(words.remove, ==, sets[i].remove);
        g_assert_cmpstr(add, ==, sets[i].add_keywords);
        g_assert_cmpstr(remove, ==, sets[i].remove_keywords);
    }
    g_auto(FlagWords) words;
    flag_words_init(&words);
    g_assert_false(flag_words_set(&words, "seen", "flagged a(b", NULL));
}

static void check_text(guint32 flags, const char *keywords, const char *expected)
{
    g_autofree char *text = flag_words_text(flags, keywords);
    g_assert_cmpstr(text, ==, expected);
}

static void test_text(void)
{
    check_text(0, NULL, "");
    check_text(0, "", "");
    check_text(MAIL_FLAG_SEEN, NULL, "seen");
    check_text(MAIL_FLAG_FLAGGED | MAIL_FLAG_SEEN, "", "seen flagged");
    check_text(MAIL_FLAG_DRAFT, "$Label1 work", "draft $Label1 work");
    check_text(1 << 20 | 1 << 16, "$Junk", "$Junk"); /* bits that are no flags */
    check_text(MAIL_FLAGS_SYSTEM, NULL, "seen answered flagged deleted draft");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/flag-words/words", test_words);
    g_test_add_func("/flag-words/wrong-words", test_wrong_words);
    g_test_add_func("/flag-words/limits", test_limits);
    g_test_add_func("/flag-words/both-signs", test_both_signs);
    g_test_add_func("/flag-words/set", test_set);
    g_test_add_func("/flag-words/text", test_text);
    return g_test_run();
}
