#include "../pop3-describe.h"

#define NO_CAPS "caps 0 delay 0 mechanisms \n"

/* The same whole, cut in two at every place, and byte by byte. */
static void check(const char *input, gsize size, const char *wanted)
{
    for (gsize first = 0; first <= size; first++) {
        g_autofree char *got = describe_pop3(input, size, first, 0);
        g_assert_cmpstr(got, ==, wanted);
    }
    for (gsize step = 1; step < 4; step++) {
        g_autofree char *got = describe_pop3(input, size, step, step);
        g_assert_cmpstr(got, ==, wanted);
    }
}

static void expect(const char *input, const char *wanted)
{
    check(input, strlen(input), wanted);
}

static void test_status(void)
{
    expect("+OK\r\n", "ok 0: \n" NO_CAPS);
    expect("+OK \r\n", "ok 0: \n" NO_CAPS);
    expect("+OK ready <1@x>\r\n-ERR no\r\n", "ok 0: ready <1@x>\nerr 0: no\n" NO_CAPS);
    expect("+ok low\r\n-err\r\n", "ok 0: low\nerr 0: \n" NO_CAPS);
    expect("+ YWJj\r\n+\r\n", "challenge 0: YWJj\nchallenge 0: \n" NO_CAPS);
    expect("+OKAY\r\n", "no reply: +OKAY\n" NO_CAPS);
    expect("* OK IMAP4rev1\r\n\r\n", "no reply: * OK IMAP4rev1\nno reply: \n" NO_CAPS);
    check("+OK a\0b\r\n", 9, "ok 0: a b\n" NO_CAPS);
    expect("+OK not yet", NO_CAPS);
}

static void test_codes(void)
{
    expect("-ERR [IN-USE] a\r\n", "err 1: a\n" NO_CAPS);
    expect("-ERR [login-delay] a\r\n", "err 2: a\n" NO_CAPS);
    expect("-ERR [AUTH]\r\n", "err 3: \n" NO_CAPS);
    expect("-ERR [SYS/TEMP/DISK] a\r\n", "err 4: a\n" NO_CAPS);
    expect("-ERR [SYS/PERM] a\r\n", "err 5: a\n" NO_CAPS);
    expect("-ERR [SYS/TEMPER] a\r\n", "err 6: a\n" NO_CAPS);
    expect("-ERR [no end\r\n", "err 0: [no end\n" NO_CAPS);
}

static void test_list(void)
{
    expect("+OK list\r\n1 120\r\n2 200\r\n.\r\n+OK\r\n",
           "ok 0: list\nitem 1 120 number 1 size 120 number 1 uidl 120\n"
           "item 2 200 number 2 size 200 number 2 uidl 200\nend\nok 0: \n" NO_CAPS);
    expect("+OK list\r\n.\r\n", "ok 0: list\nend\n" NO_CAPS);
    expect("+OK list\r\n1 a/b c\r\n2 \r\n3\r\n..4\r\n0 x\r\n.\r\n",
           "ok 0: list\nitem 1 a/b c number 1 uidl a/b c\nitem 2  number 2 uidl \n"
           "item 3 number 3 uidl \nitem .4\nitem 0 x\nend\n" NO_CAPS);
    /* Some pad, and some end lines with a bare LF. */
    expect("+OK list\n 1  120 octets\n.\n", "ok 0: list\nitem  1  120 octets number 1 size 120 "
                                            "number 1 uidl 120 octets\nend\n" NO_CAPS);
    expect("+OK list\r\n4294967296 1\r\n1 9223372036854775808\r\n1 1x\r\n-1 1\r\n.\r\n",
           "ok 0: list\nitem 4294967296 1\n"
           "item 1 9223372036854775808 number 1 uidl 9223372036854775808\n"
           "item 1 1x number 1 uidl 1x\nitem -1 1\nend\n" NO_CAPS);
}

static void test_message(void)
{
    expect("+OK message\r\nA: b\r\n\r\nc\r\n.\r\n+OK\r\n",
           "ok 0: message\nA: b<0d><0a><0d><0a>c<0d><0a>\nend\nok 0: \n" NO_CAPS);
    expect("+OK message\r\n.\r\n", "ok 0: message\nend\n" NO_CAPS);
    expect("+OK message\r\n..\r\n...\r\n.x\r\na.\r\n.\r\n",
           "ok 0: message\n.<0d><0a>..<0d><0a>x<0d><0a>a.<0d><0a>\nend\n" NO_CAPS);
}

/* To a server that writes CRLF, only CRLF.CRLF ends a message: whatever else is in it stays. */
static void test_line_ends(void)
{
    expect("+OK message\r\na\n.\nb\n.\r\nc\r\n.\r\n",
           "ok 0: message\na<0a>.<0a>b<0a>.<0d><0a>c<0d><0a>\nend\n" NO_CAPS);
    expect("+OK message\r\na\r\n.\rb\r\n.\r.\r\n.\n.\r\n.\r\n",
           "ok 0: message\na<0d><0a><0d>b<0d><0a><0d>.<0d><0a><0a>.<0d><0a>\nend\n" NO_CAPS);
    expect("+OK message\r\na\r\r\n.\r\r\n.\r\n",
           "ok 0: message\na<0d><0d><0a><0d><0d><0a>\nend\n" NO_CAPS);
    expect("+OK message\na\n..b\n.\n-ERR no\n",
           "ok 0: message\na<0a>.b<0a>\nend\nerr 0: no\n" NO_CAPS);
    check("+OK message\r\na\0b\r\n.\r\n", 21, "ok 0: message\na<00>b<0d><0a>\nend\n" NO_CAPS);
}

static void test_too_long(void)
{
    g_autoptr(GString) input = g_string_new("+OK ");
    while (input->len < POP3_MAX_LINE + 10)
        g_string_append_c(input, 'x');
    g_autofree char *status = describe_pop3(input->str, input->len, 1000, 1000);
    g_assert_cmpstr(status, ==, "error\n" NO_CAPS);
    /* A message's lines have no limit. */
    g_string_prepend(input, "+OK message\r\n");
    g_string_append(input, "\r\n.\r\n");
    g_autofree char *message = describe_pop3(input->str, input->len, 1000, 1000);
    g_assert_true(g_str_has_suffix(message, "<0d><0a>\nend\n" NO_CAPS));
}

static void test_capabilities(void)
{
    expect("+OK list\r\nTOP\r\nUSER\r\nuidl\r\nRESP-CODES\r\nPIPELINING\r\nSTLS\r\n"
           "AUTH-RESP-CODE\r\nLOGIN-DELAY 300 USER\r\nSASL PLAIN  LOGIN\r\nTOPPER\r\n.\r\n",
           "ok 0: list\nitem TOP\nitem USER\nitem uidl\nitem RESP-CODES\nitem PIPELINING\n"
           "item STLS\nitem AUTH-RESP-CODE\nitem LOGIN-DELAY 300 USER\nitem SASL PLAIN  LOGIN\n"
           "item TOPPER\nend\ncaps 7f delay 300 mechanisms PLAIN LOGIN\n");
}

static void test_timestamp(void)
{
    g_autofree char *plain = pop3_parse_timestamp("ready <1896.697@dbc> and more");
    g_assert_cmpstr(plain, ==, "<1896.697@dbc>");
    g_assert_null(pop3_parse_timestamp("ready"));
    g_assert_null(pop3_parse_timestamp("> ready <"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pop3-reply/status", test_status);
    g_test_add_func("/pop3-reply/codes", test_codes);
    g_test_add_func("/pop3-reply/list", test_list);
    g_test_add_func("/pop3-reply/message", test_message);
    g_test_add_func("/pop3-reply/line-ends", test_line_ends);
    g_test_add_func("/pop3-reply/too-long", test_too_long);
    g_test_add_func("/pop3-reply/capabilities", test_capabilities);
    g_test_add_func("/pop3-reply/timestamp", test_timestamp);
    return g_test_run();
}
