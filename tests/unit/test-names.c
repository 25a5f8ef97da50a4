#include "names.h"

#include <string.h>

#define DATE G_GINT64_CONSTANT(1781159880) /* 2026-06-11 06:38 UTC */
#define ROUNDS 20000

static char *message(MailUid uid, gint64 date, const char *from, const char *subject)
{
    char out[NAMES_MAX + 1];
    gsize length = names_message(out, uid, date, from, subject, ".eml");
    g_assert_cmpuint(length, ==, strlen(out));
    g_assert_cmpuint(length, <=, NAMES_MESSAGE_MAX);
    return g_strdup(out);
}

#define ASSERT_MESSAGE(from, subject, expected)                                                    \
    G_STMT_START                                                                                   \
    {                                                                                              \
        g_autofree char *name = message(1234, DATE, from, subject);                                \
        g_assert_cmpstr(name, ==, expected);                                                       \
    }                                                                                              \
    G_STMT_END

static void test_message(void)
{
    ASSERT_MESSAGE("Alice Example", "Quarterly report",
                   "20260611-0638_Alice-Example_Quarterly-report.1234.eml");
    ASSERT_MESSAGE("bob@example.org", "a+b=c, d",
                   "20260611-0638_bob@example.org_a+b=c,-d.1234.eml");
    ASSERT_MESSAGE("", "", "20260611-0638.1234.eml");
    ASSERT_MESSAGE("", "Hi", "20260611-0638_Hi.1234.eml");
    ASSERT_MESSAGE("Al", "", "20260611-0638_Al.1234.eml");
    ASSERT_MESSAGE("_a_", "x_y", "20260611-0638_a_x-y.1234.eml");
    ASSERT_MESSAGE("...", "-.-.a.-.", "20260611-0638_a.1234.eml");
    ASSERT_MESSAGE("a/../b", "\x01\n\x7f%s", "20260611-0638_a-..-b_s.1234.eml");
    ASSERT_MESSAGE("A", "foo.123", "20260611-0638_A_foo.123.1234.eml");
}

static void test_scripts(void)
{
    /* Devanagari and Thai keep their vowel signs and tones. */
    ASSERT_MESSAGE("नमस्ते दुनिया", "ภาษาไทย ที่นี่", "20260611-0638_नमस्ते-दुनिया_ภาษาไทย-ที่นี่.1234.eml");
    ASSERT_MESSAGE("Jürgen Größe", "Ελληνικά 日本語 ١٢٣",
                   "20260611-0638_Jürgen-Größe_Ελληνικά-日本語-١٢٣.1234.eml");
    /* Decomposed letters become composed ones. */
    ASSERT_MESSAGE("u\xcc\x88", "e\xcc\x81t", "20260611-0638_\xc3\xbc_\xc3\xa9t.1234.eml");
    /* A mark without a letter, direction overrides, zero width, a Hangul filler. */
    ASSERT_MESSAGE("\xcc\x88x",
                   "a\xe2\x80\xae"
                   "fdp.exe",
                   "20260611-0638_x_a-fdp.exe.1234.eml");
    ASSERT_MESSAGE("\xe2\x80\x8b\xef\xbb\xbf", "\xe3\x85\xa4", "20260611-0638.1234.eml");
    /* A heart and its variation selector; the selector alone behind a letter. */
    ASSERT_MESSAGE("a\xef\xb8\x8f"
                   "b",
                   "I \xe2\x9d\xa4\xef\xb8\x8f U", "20260611-0638_a-b_I-U.1234.eml");
}

static void test_cut(void)
{
    g_autoptr(GString) emoji = g_string_new(NULL);
    while (emoji->len < 4000)
        g_string_append(emoji, "\xf0\x9f\x98\x80");
    ASSERT_MESSAGE("Al", emoji->str, "20260611-0638_Al.1234.eml");
    /* More than is looked at, with a character across the limit. */
    g_string_prepend(emoji, "x");
    g_autofree char *twice = g_strconcat(emoji->str, emoji->str, NULL);
    ASSERT_MESSAGE("Al", twice, "20260611-0638_Al_x-x.1234.eml");

    g_autofree char *from = g_strnfill(100, 'f'), *subject = g_strnfill(9000, 's');
    g_autofree char *both = message(G_MAXUINT32, DATE, from, subject);
    g_assert_cmpuint(strlen(both), ==, NAMES_MESSAGE_MAX);
    g_autofree char *start = g_strdup_printf("20260611-0638_%.60s_sss", from);
    g_assert_true(g_str_has_prefix(both, start));
    g_assert_true(g_str_has_suffix(both, "s.4294967295.eml"));

    /* The cut falls on a gap: no '-' is left. */
    memset(from, ' ', 100);
    memset(from, 'f', 59);
    from[60] = 'f';
    g_autofree char *gap = message(7, DATE, from, "");
    g_autofree char *expected = g_strdup_printf("20260611-0638_%.59s.7.eml", from);
    g_assert_cmpstr(gap, ==, expected);
}

static void test_date(void)
{
    static const struct {
        gint64 date;
        const char *expected;
    } cases[] = {
        {0, "19700101-0000.1.eml"},
        {-1, "19691231-2359.1.eml"},
        {951782400, "20000229-0000.1.eml"},
        {951868799, "20000229-2359.1.eml"},
        {951868800, "20000301-0000.1.eml"},
        {G_GINT64_CONSTANT(4107542400), "21000301-0000.1.eml"},
        {-G_GINT64_CONSTANT(62167219200), "00000101-0000.1.eml"},
        {-G_GINT64_CONSTANT(62167219201), "00000000-0000.1.eml"},
        {G_GINT64_CONSTANT(253402300799), "99991231-2359.1.eml"},
        {G_GINT64_CONSTANT(253402300800), "00000000-0000.1.eml"},
        {G_MININT64, "00000000-0000.1.eml"},
        {G_MAXINT64, "00000000-0000.1.eml"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = message(1, cases[i].date, "", "");
        g_assert_cmpstr(name, ==, cases[i].expected);
    }
    for (guint i = 0; i < ROUNDS; i++) {
        gint64 date = (gint64)g_test_rand_double_range(-62135596800.0, 253402300799.0);
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(date);
        g_autofree char *name = message(1, date, "", "");
        g_autofree char *expected =
            g_strdup_printf("%04d%02d%02d-%02d%02d.1.eml", g_date_time_get_year(time),
                            g_date_time_get_month(time), g_date_time_get_day_of_month(time),
                            g_date_time_get_hour(time), g_date_time_get_minute(time));
        g_assert_cmpstr(name, ==, expected);
    }
}

static void test_parse_uid(void)
{
    g_assert_cmpuint(names_parse_uid("1234.eml", ".eml"), ==, 1234);
    g_assert_cmpuint(names_parse_uid("x_foo.123.7.eml", ".eml"), ==, 7);
    g_assert_cmpuint(names_parse_uid("x.4294967295.eml", ".eml"), ==, G_MAXUINT32);
    g_assert_cmpuint(names_parse_uid("5.txt", ".txt"), ==, 5);
    static const char *const bad[] = {
        "",
        ".eml",
        "x.eml",
        "0.eml",
        "x.0.eml",
        "x.012.eml",
        "x.12",
        "x.4294967296.eml",
        "x12.eml",
        "x.12.emlx",
        "x.12.txt",
        "x.-12.eml",
        "12345678901.eml",
        "1234.EML",
        "x.12.eml~",
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_cmpuint(names_parse_uid(bad[i], ".eml"), ==, 0);

    g_assert_true(names_is_bare("1234.eml", ".eml"));
    g_assert_false(names_is_bare("x.1234.eml", ".eml"));
    g_assert_false(names_is_bare(".1234.eml", ".eml"));
    g_assert_false(names_is_bare("01234.eml", ".eml"));

    char out[NAMES_MAX + 1];
    g_assert_cmpuint(names_uid(out, 1234, ".eml"), ==, 8);
    g_assert_cmpstr(out, ==, "1234.eml");
    names_uid(out, G_MAXUINT32, ".txt");
    g_assert_cmpstr(out, ==, "4294967295.txt");
}

/* Text of all the kinds that matter: letters, marks, separators, controls, invisible ones. */
static char *random_text(guint most)
{
    static const char *const pieces[] = {
        "a",
        "Z",
        "9",
        " ",
        "-",
        "_",
        ".",
        "@",
        ",",
        "/",
        "\n",
        "\x7f",
        "%",
        "\xc2\x85",
        "\xcc\x81",
        "\xe0\xa5\x8d",
        "\xef\xb8\x8f",
        "\xe2\x80\xae",
        "\xe2\x80\x8b",
        "é",
        "日",
        "\xea\xb0\x80",
        "\xe1\x84\x80\xe1\x85\xa1",
        "\xf0\x9f\x98\x80",
        "\xf0\x90\x90\x80",
    };
    GString *text = g_string_new(NULL);
    for (guint left = (guint)g_test_rand_int_range(0, (gint)most); left > 0; left--) {
        if (g_test_rand_bit())
            g_string_append(text, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        else
            g_string_append_c(text, (char)g_test_rand_int_range('a', 'z' + 1));
    }
    return g_string_free(text, FALSE);
}

static void test_message_properties(void)
{
    for (guint i = 0; i < ROUNDS; i++) {
        g_autofree char *from = random_text(i % 40 ? 20 : 3000);
        g_autofree char *subject = random_text(i % 40 ? 60 : 3000);
        MailUid uid = MAX(g_test_rand_int() >> g_test_rand_int_range(0, 32), 1);
        gint64 date = (gint64)g_test_rand_double_range(-1e11, 3e11);
        g_autofree char *name = message(uid, date, from, subject);
        g_autofree char *again = message(uid, date, from, subject);
        g_assert_cmpstr(name, ==, again);
        g_assert_cmpuint(names_parse_uid(name, ".eml"), ==, uid);
        g_assert_false(names_is_bare(name, ".eml"));

        g_assert_true(g_utf8_validate(name, -1, NULL));
        g_autofree char *normal = g_utf8_normalize(name, -1, G_NORMALIZE_DEFAULT_COMPOSE);
        g_assert_cmpstr(name, ==, normal);
        guint underscores = 0;
        for (const char *at = name; *at; at = g_utf8_next_char(at)) {
            gunichar c = g_utf8_get_char(at);
            g_assert_true(g_unichar_isalnum(c) || g_unichar_ismark(c) || strchr("-_.@+=,", (int)c));
            underscores += c == '_';
        }
        g_assert_cmpuint(underscores, <=, 2);
        static const char *const ugly[] = {"--", "_-", "-_", "__", "_.", "._"};
        for (guint k = 0; k < G_N_ELEMENTS(ugly); k++)
            g_assert_null(strstr(name, ugly[k]));
    }
}

static void assert_folder(const char *text, gsize size, gboolean at_root, const char *expected)
{
    g_autofree char *name = names_folder(text, size, at_root);
    g_assert_cmpstr(name, ==, expected);
    gsize back_size = 0;
    g_autofree char *back = names_folder_decode(name, at_root, &back_size);
    g_assert_nonnull(back);
    g_assert_cmpmem(back, back_size, text, size);
}

#define ASSERT_FOLDER(text, expected)                                                              \
    G_STMT_START                                                                                   \
    {                                                                                              \
        assert_folder(text, sizeof(text) - 1, TRUE, expected);                                     \
        assert_folder(text, sizeof(text) - 1, FALSE, expected);                                    \
    }                                                                                              \
    G_STMT_END

static void test_folder(void)
{
    ASSERT_FOLDER("INBOX", "INBOX");
    ASSERT_FOLDER("Müll & Spaß", "Müll & Spaß");
    ASSERT_FOLDER("", "%");
    ASSERT_FOLDER("%", "%25");
    ASSERT_FOLDER("100%~", "100%25~");
    ASSERT_FOLDER(".", "%2E");
    ASSERT_FOLDER("..", "%2E.");
    ASSERT_FOLDER("...", "...");
    ASSERT_FOLDER("a/b\n\0c", "a%2Fb%0A%00c");
    ASSERT_FOLDER("\xff\xc3", "%FF%C3");
    ASSERT_FOLDER("\xc2\x85\xe2\x80\xae", "%C2%85%E2%80%AE");
    ASSERT_FOLDER("123.eml", "123%2Eeml");
    ASSERT_FOLDER("a.123.eml", "a.123%2Eeml");
    ASSERT_FOLDER("notes.eml", "notes.eml");
    ASSERT_FOLDER("012.eml", "012.eml");
    assert_folder(".mailfs", 7, TRUE, "%2Emailfs");
    assert_folder(".mailfs-x", 9, TRUE, "%2Emailfs-x");
    assert_folder(".mailfs", 7, FALSE, ".mailfs");
    assert_folder(".mail", 5, TRUE, ".mail");
}

/* What names_folder() would not have written has no folder. */
static void test_folder_foreign(void)
{
    static const char *const foreign[] = {
        "",  "%41",  "%2f",      "%zz",  "%2",     "a%",      "%%",      "..",
        ".", "\xff", "12.3.eml", "a\tb", "%C3%A9", "%2Email", "x%2Eeml", "%~0123456789abcdef",
    };
    for (guint i = 0; i < G_N_ELEMENTS(foreign); i++) {
        gsize size;
        g_assert_null(names_folder_decode(foreign[i], TRUE, &size));
    }
}

static void test_folder_long(void)
{
    g_autofree char *text = g_strnfill(300, 'a');
    gsize size;
    assert_folder(text, 255, TRUE, text + 45);
    g_autofree char *cut = names_folder(text, 256, TRUE), *other = names_folder(text, 257, TRUE);
    g_autofree char *again = names_folder(text, 256, TRUE);
    g_assert_cmpuint(strlen(cut), ==, NAMES_MAX);
    g_assert_cmpuint(strlen(other), ==, NAMES_MAX);
    g_assert_cmpstr(cut, ==, again);
    g_assert_cmpstr(cut, !=, other);
    g_assert_null(names_folder_decode(cut, TRUE, &size));

    /* 255 bytes that the hidden dot of a message's name makes too many. */
    memcpy(text + 255 - 6, ".1.eml", 7);
    g_autofree char *message_like = names_folder(text, 255, TRUE);
    g_assert_cmpuint(strlen(message_like), ==, NAMES_MAX);
    g_assert_nonnull(strstr(message_like, "%~"));
}

static void test_folder_properties(void)
{
    static const char interesting[] = {'%',    '.',    '/', '\0', '\n', '2', 'E',    '~',
                                       '\xc3', '\xa9', '1', 'e',  'm',  'l', '\xff', ' '};
    for (guint i = 0; i < ROUNDS; i++) {
        char text[400];
        gsize size = (gsize)g_test_rand_int_range(0, i % 20 ? 24 : (gint)sizeof text);
        for (gsize k = 0; k < size; k++)
            text[k] = g_test_rand_bit() ? interesting[g_test_rand_int_range(0, sizeof interesting)]
                                        : (char)g_test_rand_int_range(0, 256);
        gboolean at_root = g_test_rand_bit();
        g_autofree char *name = names_folder(text, size, at_root);
        g_assert_cmpuint(strlen(name), >, 0);
        g_assert_cmpuint(strlen(name), <=, NAMES_MAX);
        g_assert_true(g_utf8_validate(name, -1, NULL));
        g_assert_null(strchr(name, '/'));
        g_assert_cmpuint(names_parse_uid(name, ".eml"), ==, 0);
        gsize back_size = 0;
        g_autofree char *back = names_folder_decode(name, at_root, &back_size);
        if (strstr(name, "%~"))
            g_assert_null(back);
        else
            g_assert_cmpmem(back, back_size, text, size);

        /* The other way: whatever decodes is the one name of what it decodes to. */
        g_autofree char *raw = g_strndup(text, size);
        gsize raw_size = 0;
        g_autofree char *decoded = names_folder_decode(raw, at_root, &raw_size);
        g_autofree char *encoded = decoded ? names_folder(decoded, raw_size, at_root) : NULL;
        if (decoded)
            g_assert_cmpstr(encoded, ==, raw);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/names/message", test_message);
    g_test_add_func("/names/scripts", test_scripts);
    g_test_add_func("/names/cut", test_cut);
    g_test_add_func("/names/date", test_date);
    g_test_add_func("/names/parse-uid", test_parse_uid);
    g_test_add_func("/names/message-properties", test_message_properties);
    g_test_add_func("/names/folder", test_folder);
    g_test_add_func("/names/folder-foreign", test_folder_foreign);
    g_test_add_func("/names/folder-long", test_folder_long);
    g_test_add_func("/names/folder-properties", test_folder_properties);
    return g_test_run();
}
