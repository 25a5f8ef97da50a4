#include "mime.h"

#include <locale.h>
#include <string.h>

typedef struct {
    const char *raw, *expected;
} Case;

static void check_cases(const Case *cases, guint count, char *(*function)(const char *raw))
{
    for (guint i = 0; i < count; i++) {
        g_autofree char *text = function(cases[i].raw);
        g_assert_cmpstr(text, ==, cases[i].expected);
    }
}

static void test_plain(void)
{
    static const Case cases[] = {
        {"", ""},
        {"Hello", "Hello"},
        {"  Hello   world ", "Hello world"},
        {"a = b =", "a = b ="},
        {"a\r\n\tb", "a b"},
        {"a\x01\x7f b", "a b"},
        {"=", "="},
        {"=?", "=?"},
        {"=?=?=?=", "=?=?=?="},
        {"=?utf-8?Q?", "=?utf-8?Q?"},
        {"=?utf-8?Q?open", "=?utf-8?Q?open"},
        {"=?utf-8?X?a?=", "=?utf-8?X?a?="},
        {"=?/etc/x?Q?a?=", "=?/etc/x?Q?a?="},
    };
    check_cases(cases, G_N_ELEMENTS(cases), mime_text);
}

static void test_encoded(void)
{
    static const Case cases[] = {
        {"=?utf-8?Q?caf=C3=A9_noir?=", "café noir"},
        {"=?UTF-8?b?w6k=?=", "é"},
        {"=?UTF-8?b?w6k?=", "é"},
        {"=?UTF-8?b?w6kx?=", "é1"},
        {"=?UTF-8?b?YQ?=", "a"},
        {"=?utf-8?B?"
         "?=",
         ""},
        {"=?iso-8859-1?Q?caf=E9?=", "café"},
        {"=?ISO-8859-1*fr?q?caf=E9?=", "café"},
        {"=?windows-1252?Q?=93hi=94?=", "“hi”"},
        {"=?koi8-r?B?8NLJ18XU?=", "Привет"},
        {"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"},
        {"=?gb2312?B?1tDOxA==?=", "中文"},
        {"=?utf-7?Q?+AGEA6Q-?=", "aé"},
        {"=?big5?Q?=88f?=", "Ê"}, /* its decoder waits for a combining character */
        /* beside text, and with blanks inside */
        {"Re: =?utf-8?Q?=C3=A9?= x", "Re: é x"},
        {"a=?utf-8?Q?=C3=A9?=b", "aéb"},
        {"=?utf-8?Q?a b=20c?=", "a b c"},
        {"=?utf-8?Q?=41?=", "A"},
        {"=?utf-8?Q?a=4?=", "a=4"},
        {"=?utf-8?Q?a=zz?=", "a=zz"},
    };
    check_cases(cases, G_N_ELEMENTS(cases), mime_text);
}

static void test_adjacent(void)
{
    static const Case cases[] = {
        {"=?utf-8?Q?a?= =?utf-8?Q?b?=", "ab"},
        {"=?utf-8?Q?a?=\r\n  =?utf-8?Q?b?= c", "ab c"},
        {"=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"},
        /* each padded by itself */
        {"=?utf-8?B?w6k=?= =?utf-8?B?w6g=?=", "éè"},
        {"=?utf-8?Q?a=C3?= =?utf-8?Q?=A9b?=", "aéb"},
        {"=?utf-8?Q?=F0=9F?= =?UTF-8?B?mIA=?=", "😀"},
        {"=?gb2312?B?1g==?= =?gb2312?B?0A==?=", "中"},
        {"=?iso-8859-1?Q?=E9?= =?utf-8?Q?=C3=A9?=", "éé"},
        {"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"},
        {"=?utf-8?Q?a?= =?broken", "a =?broken"},
    };
    check_cases(cases, G_N_ELEMENTS(cases), mime_text);
}

static void test_lies(void)
{
    static const Case cases[] = {
        {"caf\xe9", "café"},
        {"caf\xc3\xa9", "café"},
        {"\x93hi\x94", "“hi”"},
        {"a\x81z", "a z"},
        {"=?x-unknown?Q?caf=E9?=", "café"},
        {"=?x-unknown?Q?caf=C3=A9?=", "café"},
        {"=?utf-8?Q?caf=E9?=", "café"},
        {"=?us-ascii?Q?caf=C3=A9?=", "café"},
        {"=?utf-8?Q?whole_=C3=A9_cut_=C3?=", "whole é cut Ã"},
        {"=?iso-2022-jp?B?/////w==?=", "ÿÿÿÿ"},
        {"=?utf-8?Q?=ED=A0=80?=", "í\u00a0€"},
        {"=?utf-8?Q?=C0=AF?=", "À¯"},
        /* one character in half, of several */
        {"=?big5?Q?=A7=DA=AA=BE=B9D=A7A=BB=DD=ADn=A7?=", "我知道你需要\uFFFD"},
        {"=?big5?Q?=A7?=", "§"},
        /* encoded NULs, newlines and escapes */
        {"=?utf-8?Q?a=00b?=", "a b"},
        {"=?utf-8?B?YQBi?=", "a b"},
        {"=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"},
        {"=?utf-8?Q?a=1B[31m?=", "a [31m"},
        {"=?utf-16le?B?YQAAAGIA?=", "a b"},
    };
    check_cases(cases, G_N_ELEMENTS(cases), mime_text);
}

static void test_cut(void)
{
    g_autofree char *long_ascii = g_strnfill(1000, 'x');
    g_autofree char *ascii = mime_text(long_ascii);
    g_assert_cmpuint(strlen(ascii), ==, 256);

    g_autoptr(GString) accents = g_string_new("x");
    for (int i = 0; i < 500; i++)
        g_string_append(accents, "é");
    g_autofree char *cut = mime_text(accents->str);
    g_assert_cmpuint(strlen(cut), ==, 255);
    g_assert_true(g_utf8_validate(cut, -1, NULL));

    /* A blank and what follows it do not fit: neither is there. */
    g_autofree char *words = g_strnfill(255, 'x');
    g_autofree char *two = g_strconcat(words, " y", NULL);
    g_autofree char *one = mime_text(two);
    g_assert_cmpstr(one, ==, words);

    /* Far more than is looked at. */
    g_autofree char *huge = g_strnfill(10 * 1000 * 1000, ' ');
    huge[9 * 1000 * 1000] = 'x';
    g_autofree char *nothing = mime_text(huge);
    g_assert_cmpstr(nothing, ==, "");
}

static void test_sender(void)
{
    static const Case cases[] = {
        {"", ""},
        {"   ", ""},
        {"Alice <a@b>", "Alice"},
        {"\"Smith, John\" <a@b>", "Smith, John"},
        {"John Q. Public <j@x>", "John Q. Public"},
        {"\"a\\\"b\" <x@y>", "a\"b"},
        {"<a@b>", "a@b"},
        {"\"\" <a@b>", "a@b"},
        {"a@b", "a@b"},
        {"a@b (Alice)", "Alice"},
        {"a@b (Alice (at work))", "Alice (at work)"},
        {"a@b (A\\)B)", "A)B"},
        {"Bob (work) <b@x>", "Bob"},
        {"=?utf-8?Q?caf=C3=A9?= <x@y>", "café"},
        {"\"=?utf-8?Q?caf=C3=A9?=\" <x@y>", "café"},
        {"=?utf-8?Q?A?=\r\n =?utf-8?Q?B?= <x@y>", "AB"},
        {"=?utf-8?Q?=22A=2C_B=22?= <a@b>", "\"A, B\""},
        {"=?utf-8?Q?A, B?= <a@b>", "A, B"},
        {"a@b (=?utf-8?B?w6k=?=)", "é"},
        {"Andr\xe9 <a@b>", "André"},
        /* several */
        {"Alice <a@b>, Bob <c@d>", "Alice"},
        {", ,Alice <a@b>", "Alice"},
        {"a@b, c@d", "a@b"},
        {"friends: Alice <a@b>, c@d;", "Alice"},
        {"undisclosed-recipients:;", "undisclosed-recipients"},
        {"At 12:30 <a@b>", "At 12:30"},
        /* broken */
        {"foo bar", "foo bar"},
        {"Bob [x] <a@b", "Bob [x]"},
        {"Name <>", "Name"},
        {"<>", ""},
        {"\"Bob <a@b>", "Bob <a@b>"},
        {"a@b (Alice", "Alice"},
        {"<a@b", "a@b"},
        {"Bob\\", "Bob\\"},
        {"\"Bob\\", "Bob\\"},
    };
    check_cases(cases, G_N_ELEMENTS(cases), mime_sender);
}

/* What is short for a sender of mail, and may be long for a parser. Completion is the test. */
static void test_bombs(void)
{
    static const char *const units[] = {"(",
                                        "a:",
                                        "<",
                                        "\"",
                                        "=?",
                                        "@",
                                        ";",
                                        "a(",
                                        "\\",
                                        "[",
                                        "a:;",
                                        "<@a,",
                                        "a <",
                                        "\"a\" ",
                                        ":",
                                        "():",
                                        ",",
                                        "=?utf-8?Q?",
                                        "=?a",
                                        "=?a?",
                                        "?=",
                                        "=?u?Q?=",
                                        "=?utf-7?B?=",
                                        "\x80",
                                        "\xf0",
                                        "<>",
                                        "(\\",
                                        "=?utf-8?q?a?=",
                                        "=?iso-2022-jp?Q?=1B?= ",
                                        "=?utf-8?Q?=F0?= =?koi8-r?B?8A?="};
    for (guint i = 0; i < G_N_ELEMENTS(units); i++) {
        g_autoptr(GString) bomb = g_string_new(NULL);
        while (bomb->len < 100 * 1000)
            g_string_append(bomb, units[i]);
        g_autofree char *sender = mime_sender(bomb->str);
        g_autofree char *text = mime_text(bomb->str);
        g_assert_true(g_utf8_validate(sender, -1, NULL) && strlen(sender) <= 256);
        g_assert_true(g_utf8_validate(text, -1, NULL) && strlen(text) <= 256);
    }
}

static void test_random(void)
{
    static const char *const pieces[] = {
        "=?",     "?=",     "?Q?", "?B?", "utf-8", "iso-2022-jp",
        "gb2312", "utf-7",  "=C3", "=A9", "=",     "w6k=",
        " ",      "\"",     "(",   ")",   "<",     ">",
        "a@b.c",  ",",      ";",   ":",   "\\",    "\xc3",
        "\xa9",   "\x1b$B", "é",   "x",   "\r\n ", "=?utf-8?Q?=C3=A9?="};
    for (int round = 0; round < 20000; round++) {
        g_autoptr(GString) raw = g_string_new(NULL);
        for (int i = g_test_rand_int_range(0, 40); i > 0; i--)
            g_string_append(raw, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        g_autofree char *sender = mime_sender(raw->str);
        g_autofree char *text = mime_text(raw->str);
        g_assert_true(g_utf8_validate(sender, -1, NULL) && strlen(sender) <= 256);
        g_assert_true(g_utf8_validate(text, -1, NULL) && strlen(text) <= 256);
    }
}

static void check_date(const char *header, gint64 wanted)
{
    g_assert_cmpint(mime_date(header, strlen(header)), ==, wanted);
}

static void test_date(void)
{
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    check_date("Date: Mon, 01 Jun 2020 10:00:00 +0200\r\n\r\n", 1590998400);
    check_date("Received: from a by b; Mon, 01 Jun 2020 08:00:01 +0000\r\n"
               "Received: from c by a; Mon, 01 Jun 2020 07:00:00 +0000\r\n"
               "Date: Fri, 01 May 2020 10:00:00 +0000\r\n\r\n",
               1590998401);
    /* Where there is none, or one that cannot be. */
    static const char *const bad[] = {"", "Date: soon\r\n\r\n",
                                      "Date: Mon, 01 Jun 2620 10:00:00 +0000\r\n\r\n"};
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_cmpint(mime_date(bad[i], strlen(bad[i])), >=, now);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    g_test_init(&argc, &argv, NULL);
    mime_init();
    g_test_add_func("/mime/plain", test_plain);
    g_test_add_func("/mime/encoded", test_encoded);
    g_test_add_func("/mime/adjacent", test_adjacent);
    g_test_add_func("/mime/lies", test_lies);
    g_test_add_func("/mime/cut", test_cut);
    g_test_add_func("/mime/sender", test_sender);
    g_test_add_func("/mime/bombs", test_bombs);
    g_test_add_func("/mime/random", test_random);
    g_test_add_func("/mime/date", test_date);
    return g_test_run();
}
