#include "utf7.h"

static void test_pairs(void)
{
    static const struct {
        const char *wire, *name;
    } pairs[] = {
        {"", ""},
        {"INBOX", "INBOX"},
        {"&-", "&"},
        {"a&-b&-&-", "a&b&&"},
        {"Entw&APw-rfe", "Entw\xc3\xbcrfe"},
        {"&AOk-&-", "\xc3\xa9&"},
        {"&-&AOk-", "&\xc3\xa9"},
        {"&AOkA6Q-", "\xc3\xa9\xc3\xa9"},
        {"&AOkA6QDp-", "\xc3\xa9\xc3\xa9\xc3\xa9"},
        {"~peter/mail/&U,BTFw-/&ZeVnLIqe-", /* the example of RFC 3501 section 5.1.3 */
         "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
        {"&2D3eAA-", "\xf0\x9f\x98\x80"},
        {"&2D3eANg93gA-x", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80x"},
        {"&AH8AAQ-", "\x7f\x01"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *name = utf7_decode(pairs[i].wire);
        g_autofree char *wire = utf7_encode(pairs[i].name);
        g_assert_cmpstr(name, ==, pairs[i].name);
        g_assert_cmpstr(wire, ==, pairs[i].wire);
    }
}

static void test_refused(void)
{
    static const char *const names[] = {
        "&",               /* an open shift */
        "a&AOk",           /* the same, with contents */
        "&AOk x-",         /* not base64 */
        "&AO/-",           /* the alphabet of plain base64 */
        "&AOk=-",          /* padding */
        "&AOl-",           /* padding bits that are not zero */
        "&AOkA-",          /* half a unit too many */
        "&A-",             /* less than a unit */
        "&AGE-",           /* "a" needs no shift */
        "&AOk-&AOk-",      /* two shifts where one does */
        "&AAA-",           /* NUL */
        "&2D0-",           /* a high surrogate alone */
        "&3gA-",           /* a low one alone */
        "&2D0A6Q-",        /* a high one before a letter */
        "&2D3YPQ-",        /* two high ones */
        "Entw\xc3\xbcrfe", /* 8-bit */
        "\xff",
        "a\x01", /* a control character, which must be shifted */
        "a\x7f",
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *name = utf7_decode(names[i]);
        g_test_message("%u", i);
        g_assert_null(name);
    }
    g_assert_null(utf7_encode("\xff"));
    g_assert_null(utf7_encode("\xed\xa0\x80")); /* a surrogate in UTF-8 */
}

static void test_every_character(void)
{
    for (gunichar c = 1; c < 0x110000; c++) {
        char text[9] = "x";
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        int length = g_unichar_to_utf8(c, text + 1);
        text[1 + length] = '\0';
        g_autofree char *wire = utf7_encode(text);
        g_autofree char *back = utf7_decode(wire);
        g_assert_cmpstr(back, ==, text);
        g_assert_true(g_str_is_ascii(wire));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/utf7/pairs", test_pairs);
    g_test_add_func("/utf7/refused", test_refused);
    g_test_add_func("/utf7/every-character", test_every_character);
    return g_test_run();
}
