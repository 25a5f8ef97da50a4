#include "../imap-describe.h"

typedef struct {
    const char *input;
    const char *expected; /* NULL: an error */
} Case;

static void check_bytes(const char *input, gsize size, const char *expected)
{
    g_autofree char *whole = describe_input(input, size, 0, 0);
    if (expected)
        g_assert_cmpstr(whole, ==, expected);
    else
        g_assert_nonnull(g_strstr_len(whole, -1, "error: "));
    for (gsize cut = 1; cut < size; cut++) {
        g_autofree char *cut_once = describe_input(input, size, cut, 0);
        g_assert_cmpstr(cut_once, ==, whole);
    }
    for (gsize step = 1; step < 4; step++) {
        g_autofree char *stepped = describe_input(input, size, 0, step);
        g_assert_cmpstr(stepped, ==, whole);
    }
}

/* Each input is one or more responses without their last line's end: with CRLF and with LF. */
static void check(const Case *cases, gsize n_cases)
{
    static const char *const ends[] = {"\r\n", "\n"};
    for (gsize i = 0; i < n_cases; i++) {
        for (guint end = 0; end < G_N_ELEMENTS(ends); end++) {
            g_autofree char *input = g_strconcat(cases[i].input, ends[end], NULL);
            g_autofree char *shown = g_strescape(input, NULL);
            g_test_message("%s", shown);
            check_bytes(input, strlen(input), cases[i].expected);
        }
    }
}

static void test_tagged(void)
{
    static const Case cases[] = {
        {"A1 OK done", "TAGGED tag=A1 OK text=done\n"},
        {"A1 OK", "TAGGED tag=A1 OK text=\n"},
        {"A1 OK ", "TAGGED tag=A1 OK text=\n"},
        {"a1  no   not  now  ", "TAGGED tag=a1 NO text=not  now\n"},
        {"A1 BAD what?", "TAGGED tag=A1 BAD text=what?\n"},
        {"A1 OK ends like a literal {5}", "TAGGED tag=A1 OK text=ends like a literal {5}\n"},
        {"A1 BYE bye", NULL},
        {"A1 PREAUTH hello", NULL},
        {"A1 OKAY", NULL},
        {"A1", NULL},
        {"A1 5 EXISTS", NULL},
        {"(A1 OK", NULL},
        {"A+1 OK", NULL},
        {" OK no tag", NULL},
        {"\xc3\xa9 OK", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_conditions(void)
{
    static const Case cases[] = {
        {"* OK ready", "STATUS OK text=ready\n"},
        {"* ok", "STATUS OK text=\n"},
        {"*  NO  trouble", "STATUS NO text=trouble\n"},
        {"* BAD \xff {3}", "STATUS BAD text=<ff> {3}\n"},
        {"* BYE", "STATUS BYE text=\n"},
        {"* PREAUTH hi", "STATUS PREAUTH text=hi\n"},
        {"+", "CONTINUE text=\n"},
        {"+ ", "CONTINUE text=\n"},
        {"+ idling", "CONTINUE text=idling\n"},
        {"+idling", "CONTINUE text=idling\n"},
        {"+ cmVhZHk= ", "CONTINUE text=cmVhZHk=\n"},
        {"+ {7}", "CONTINUE text={7}\n"},
        {"", "OTHER\n"},
        {"* XFOO (((\"", "OTHER\n"},
        {"* 5 XFOO (((\"", "OTHER number=5\n"},
        {"* 5", "OTHER number=5\n"},
        {"*", NULL},
        {"* ", NULL},
        {"* (", NULL},
        {"* \"OK\" text", NULL},
        {"*OK text", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

/* `expected` names the code by its enumerator, since the numbers are nobody's business. */
static void check_code(const char *input, ImapCode code, const char *rest)
{
    g_autofree char *expected = g_strdup_printf("STATUS OK code=%d%s\n", code, rest);
    g_autofree char *text = g_strconcat("* OK ", input, NULL);
    check(&(Case){text, expected}, 1);
}

static void test_codes(void)
{
    check_code("[ALERT] fire", IMAP_CODE_ALERT, " text=fire");
    check_code("[alert]", IMAP_CODE_ALERT, " text=");
    check_code("[ALERT]fire", IMAP_CODE_ALERT, " text=fire");
    check_code("[CLOSED] x", IMAP_CODE_CLOSED, " text=x");
    check_code("[READ-ONLY] x", IMAP_CODE_READ_ONLY, " text=x");
    check_code("[READ-WRITE] x", IMAP_CODE_READ_WRITE, " text=x");
    check_code("[UIDVALIDITY 4294967295] x", IMAP_CODE_UIDVALIDITY, " number=4294967295 text=x");
    check_code("[UIDNEXT 4294967296] x", IMAP_CODE_UIDNEXT, " number=4294967296 text=x");
    check_code("[HIGHESTMODSEQ 9223372036854775807]", IMAP_CODE_HIGHESTMODSEQ,
               " number=9223372036854775807 text=");
    check_code("[APPENDUID 7 9] x", IMAP_CODE_APPENDUID, " number=7 uids=9 text=x");
    check_code("[APPENDUID 7 9,8] x", IMAP_CODE_APPENDUID, " number=7 uids=8:9 text=x");
    check_code("[COPYUID 7 5,1:2 9,12:11] x", IMAP_CODE_COPYUID,
               " number=7 uids=5,1:2 to=9,11:12 text=x");
    check_code("[MODIFIED 7,9,8] x", IMAP_CODE_MODIFIED, " uids=7:9 text=x");
    check_code("[CAPABILITY IMAP4rev1 IDLE] x", IMAP_CODE_CAPABILITY, " a=IMAP4rev1 a=IDLE text=x");
    check_code("[PERMANENTFLAGS (\\Seen $X \\*)] x", IMAP_CODE_PERMANENTFLAGS,
               " flags=41,$X text=x");
    check_code("[PERMANENTFLAGS (od]d \\Draft)] x", IMAP_CODE_PERMANENTFLAGS,
               " flags=10,od]d text=x");
    check_code("[PERMANENTFLAGS ()] x", IMAP_CODE_PERMANENTFLAGS, " flags=0 text=x");
}

static void test_odd_codes(void)
{
    check_code("[X-NEW (1 2)] x", IMAP_CODE_OTHER, " text=x");
    check_code("[BADCHARSET (\"a]\\\"b\" c)] x", IMAP_CODE_OTHER, " text=x");
    /* Known, but they say nothing that could be used. */
    check_code("[UIDNEXT] x", IMAP_CODE_OTHER, " text=x");
    check_code("[UIDNEXT soon] x", IMAP_CODE_OTHER, " text=x");
    check_code("[PERMANENTFLAGS] x", IMAP_CODE_OTHER, " text=x");
    check_code("[COPYUID 7  ] x", IMAP_CODE_OTHER, " number=7 text=x");
    check_code("[COPYUID 7 1:3 4:5] x", IMAP_CODE_OTHER, " number=7 text=x");
    check_code("[APPENDUID] x", IMAP_CODE_OTHER, " text=x");
    /* Nor what names no messages: the command was carried out all the same. */
    check_code("[APPENDUID 1 0] x", IMAP_CODE_OTHER, " number=1 text=x");
    check_code("[APPENDUID 4294967296 1] x", IMAP_CODE_OTHER, " text=x");
    check_code("[COPYUID 1 1:4294967296 1] x", IMAP_CODE_OTHER, " number=1 text=x");
    check_code("[COPYUID 1 1:* 1:2] x", IMAP_CODE_OTHER, " number=1 text=x");
    check_code("[COPYUID 1 1:2 1,] x", IMAP_CODE_OTHER, " number=1 text=x");
    check_code("[COPYUID 1 1:2] x", IMAP_CODE_OTHER, " number=1 text=x");
    check_code("[MODIFIED 1,] x", IMAP_CODE_OTHER, " text=x");
    check_code("[MODIFIED 1:] x", IMAP_CODE_OTHER, " text=x");
    check_code("[MODIFIED 18446744073709551617] x", IMAP_CODE_OTHER, " text=x");
    static const Case cases[] = {
        {"* OK [ALERT fire", "STATUS OK text=[ALERT fire\n"},
        {"* OK [] fire", "STATUS OK text=[] fire\n"},
        {"* OK [(] fire", "STATUS OK text=[(] fire\n"},
        {"* OK [\"ALERT\"] fire", "STATUS OK text=[\"ALERT\"] fire\n"},
        {"* OK text [ALERT]", "STATUS OK text=text [ALERT]\n"},
        {"* OK [UIDVALIDITY 4294967296] x", NULL},
        {"* OK [UIDNEXT 4294967297] x", NULL},
        {"* OK [HIGHESTMODSEQ 9223372036854775808] x", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_numbered(void)
{
    static const Case cases[] = {
        {"* 0 EXISTS", "EXISTS\n"},
        {"* 4294967295 exists ", "EXISTS number=4294967295\n"},
        {"* 3 RECENT", "RECENT number=3\n"},
        {"* 3 EXPUNGE", "EXPUNGE number=3\n"},
        {"* 0 EXPUNGE", NULL},
        {"* 4294967296 EXISTS", NULL},
        {"* 99999999999999999999999 EXISTS", NULL},
        {"* 3x EXISTS", NULL},
        {"* 0 FETCH (UID 1)", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_values(void)
{
    static const Case cases[] = {
        {"* CAPABILITY IMAP4rev1  AUTH=PLAIN ", "CAPABILITY a=IMAP4rev1 a=AUTH=PLAIN\n"},
        {"* ENABLED", "ENABLED\n"},
        {"* ENABLED QRESYNC", "ENABLED a=QRESYNC\n"},
        {"* ID nil", "ID nil\n"},
        {"* ID (\"name\" {3}\r\na\"b \"x\" NIL)", "ID ( s=name s=a\"b s=x nil )\n"},
        {"* NAMESPACE ((\"\" \"/\")) NIL NIL", "NAMESPACE ( ( s= s=/ ) ) nil nil\n"},
        {"* QUOTA \"\" (STORAGE 10 512)", "QUOTA s= ( a=STORAGE a=10 a=512 )\n"},
        {"* QUOTAROOT INBOX \"\"", "QUOTAROOT a=INBOX s=\n"},
        {"* MYRIGHTS INBOX lrs", "MYRIGHTS a=INBOX a=lrs\n"},
        {"* FLAGS (\\Answered \\Recent $Junk \\*)", "FLAGS flags=22,$Junk\n"},
        {"* FLAGS NIL", "FLAGS flags=0\n"},
        {"* FLAGS", NULL},
        {"* FLAGS (\\Seen", NULL},
        {"* ID (\"a\" \"b\"", NULL},
        {"* CAPABILITY )", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_list(void)
{
    static const Case cases[] = {
        {"* LIST () \"/\" INBOX", "LIST flags=0 delimiter=/ name=INBOX\n"},
        {"* list (\\HasChildren \\noselect) \".\" \"a \\\"b\\\\\"",
         "LIST flags=1 delimiter=. name=a \"b<5c>\n"},
        {"* LIST (\\NonExistent \\Noinferiors \\Subscribed) NIL {3}\r\na\"\xe9",
         "LIST flags=407 name=a\"<e9>\n"},
        {"* LIST (\\All \\Archive \\Drafts \\Flagged \\Junk \\Sent \\Trash) / x",
         "LIST flags=3f8 delimiter=/ name=x\n"},
        {"* LIST () \"\\\\\" x (\"CHILDINFO\" (\"SUBSCRIBED\"))",
         "LIST flags=0 delimiter=\\ name=x\n"},
        {"* LIST () \"/\" NIL", "LIST flags=0 delimiter=/ name=NIL\n"},
        {"* LIST (\\Noselect) \"/\" \"\"", "LIST flags=1 delimiter=/ name=\n"},
        {"* LIST () \"ab\" x", "LIST flags=0 name=x\n"},
        {"* LIST () \"\xe9\" x", "LIST flags=0 name=x\n"},
        {"* LSUB () \"/\" x", "LIST flags=4 delimiter=/ name=x\n"},
        {"* LSUB (\\Noselect) \"/\" x", "LIST flags=0 delimiter=/ name=x\n"},
        {"* LIST () \"/\"", NULL},
        {"* LIST () \"/\" (x)", NULL},
        {"* LIST () \"/\" \"x", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
    static const char nul[] = "* LIST () \"/\" \"a\0b\"\r\n";
    check_bytes(nul, sizeof(nul) - 1, NULL);
}

static void test_status(void)
{
    static const Case cases[] = {
        {"* STATUS INBOX (MESSAGES 0 UIDNEXT 4294967296 UIDVALIDITY 1 UNSEEN 2 HIGHESTMODSEQ 7)",
         "MAILBOX_STATUS name=INBOX messages=0 uidnext=4294967296 uidvalidity=1 modseq=7 "
         "unseen=2\n"},
        {"* STATUS {3}\r\na b () ", "MAILBOX_STATUS name=a b\n"},
        {"* STATUS x (SIZE 5 messages 3 X-NEW (a (b)) RECENT -1)",
         "MAILBOX_STATUS name=x messages=3\n"},
        {"* STATUS x (MESSAGES NIL)", "MAILBOX_STATUS name=x\n"},
        {"* STATUS my folder (MESSAGES 1)", "OTHER\n"},
        {"* STATUS x (MESSAGES)", NULL},
        {"* STATUS x (MESSAGES 4294967296)", NULL},
        {"* STATUS x (HIGHESTMODSEQ 9223372036854775808)", NULL},
        {"* STATUS x (MESSAGES 1", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_sets(void)
{
    static const Case cases[] = {
        {"* SEARCH", "SEARCH\n"},
        {"* SEARCH 2 84 3 882  883 ", "SEARCH uids=2:3,84,882:883\n"},
        {"* SEARCH 4294967295 (MODSEQ 917162500)", "SEARCH uids=4294967295 modseq=917162500\n"},
        {"* SEARCH 0", NULL},
        {"* SEARCH 4294967296", NULL},
        {"* SEARCH 4294967295 4294967296", NULL},
        {"* SEARCH 1,2", NULL},
        {"* SEARCH 1 x", NULL},
        {"* SEARCH 1 (MODSEQ", NULL},
        {"* ESEARCH (TAG \"A5\") UID ALL 9,1:3 COUNT 4 MODSEQ 12 MIN 1",
         "ESEARCH number=4 uids=1:3,9 modseq=12 search=A5\n"},
        {"* ESEARCH UID", "ESEARCH\n"},
        {"* ESEARCH", "ESEARCH\n"},
        {"* ESEARCH (TAG A5) PARTIAL (1:5 7) ALL 2", "ESEARCH uids=2 search=A5\n"},
        {"* ESEARCH UID ALL", NULL},
        {"* ESEARCH UID ALL 1:0", NULL},
        {"* ESEARCH UID ALL *", NULL},
        {"* ESEARCH UID ALL (1)", NULL},
        {"* VANISHED 300:310,405,411", "VANISHED uids=300:310,405,411\n"},
        {"* VANISHED (EARLIER) 7,6,5:1,3", "VANISHED uids=1:7 earlier\n"},
        {"* VANISHED (EARLIER)", "VANISHED earlier\n"},
        {"* VANISHED 0", NULL},
        {"* VANISHED 1;2", NULL},
        {"* VANISHED 1,,2", NULL},
        {"* VANISHED NIL", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_fetch(void)
{
    static const Case cases[] = {
        {"* 5 FETCH (UID 7 FLAGS (\\Seen $X) RFC822.SIZE 4444 MODSEQ (55))",
         "FETCH number=5 uid=7 flags=1,$X size=4444 modseq=55\n"},
        {"*  5  fetch  ( uid  7 )  ", "FETCH number=5 uid=7\n"},
        {"* 5 FETCH ()", "FETCH number=5\n"},
        {"* 5 FETCH (RFC822.SIZE 9223372036854775807 MODSEQ 3)",
         "FETCH number=5 size=9223372036854775807 modseq=3\n"},
        {"* 5 FETCH (RFC822.SIZE NIL)", "FETCH number=5\n"},
        {"* 5 FETCH (UID 7 UID 7)", "FETCH number=5 uid=7\n"},
        {"* 5 FETCH (X-NEW (a (b \"c)\") {2}\r\n)( NIL) UID 9 X-GM-LABELS (\"\\\\Inbox\"))",
         "FETCH number=5 uid=9\n"},
        {"* 5 FETCH (FLAGS (\\Seen \\* \\Odd NIL \xc3\xa9 (a) a%b \"two words\" \"quoted\") UID 9)",
         "FETCH number=5 uid=9 flags=1,quoted\n"},
        {"* 5 FETCH (FLAGS (a[b BODY1[c) UID 9)", "FETCH number=5 uid=9 flags=0,a[b,BODY1[c\n"},
        {"* 5 FETCH", NULL},
        {"* 5 FETCH UID 7", NULL},
        {"* 5 FETCH (UID)", NULL},
        {"* 5 FETCH (UID 0)", NULL},
        {"* 5 FETCH (UID 4294967296)", NULL},
        {"* 5 FETCH (UID -1)", NULL},
        {"* 5 FETCH (UID \"7\")", NULL},
        {"* 5 FETCH (UID 7 UID 8)", NULL},
        {"* 5 FETCH (RFC822.SIZE 9223372036854775808)", NULL},
        {"* 5 FETCH (RFC822.SIZE 99999999999999999999)", NULL},
        {"* 5 FETCH (FLAGS 5)", NULL},
        {"* 5 FETCH ((UID) 7)", NULL},
        {"* 5 FETCH (UID 7", NULL},
        {"* 5 FETCH (UID 7))", NULL},
        {"* 5 FETCH (BODY[ {3}\r\nabc)", NULL},
        {"* 5 FETCH (BODY[HEADER.FIELDS (\"] x)", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void check_date(const char *text, const char *expected)
{
    g_autofree char *input = g_strdup_printf("* 1 FETCH (INTERNALDATE \"%s\")", text);
    g_autofree char *output =
        g_strdup_printf("FETCH number=1%s%s\n", expected ? " date=" : "", expected ? expected : "");
    check(&(Case){input, output}, 1);
}

static void test_dates(void)
{
    check_date("01-Jan-1970 00:00:00 +0000", "0");
    check_date("17-Jul-1996 02:44:25 -0700", "837596665");
    check_date(" 7-jul-1996 02:44:25 +0530", "836687665");
    check_date("7-Jul-1996 2:44:25", "836707465");
    check_date("29-Feb-2000 23:59:60 +0000", "951868800");
    check_date("31-Dec-1969 23:59:59 +0000", "-1");
    check_date("01-Jan-0001 00:00:00 +0000", "-62135596800");
    check_date("31-Dec-9999 23:59:59 +0000", "253402300799");
    check_date("19-Jan-2038 03:14:08 +0000", "2147483648");
    check_date("29-Feb-1900 00:00:00 +0000", NULL);
    check_date("31-Apr-2001 00:00:00 +0000", NULL);
    check_date("00-Jan-2001 00:00:00 +0000", NULL);
    check_date("01-Jan-0000 00:00:00 +0000", NULL);
    check_date("01-Xyz-2001 00:00:00 +0000", NULL);
    check_date("01-Jan-2001 24:00:00 +0000", NULL);
    check_date("01-Jan-2001 00:60:00 +0000", NULL);
    check_date("01-Jan-2001 00:00:00 +00", NULL);
    check_date("01-Jan-2001", NULL);
    check_date("01-J", NULL);
    check_date("", NULL);
}

static void test_bodies(void)
{
    static const Case cases[] = {
        {"* 5 FETCH (UID 7 BODY[] {5}\r\na\r\nb) FLAGS ())",
         "body of 7, 5 bytes: a\r\nb)\nFETCH number=5 uid=7 flags=0 streamed\n"},
        {"* 5 FETCH (BODY[]<512> {2}\r\nab UID 7)",
         "body of 0, 2 bytes from 512: ab\nFETCH number=5 uid=7 streamed from=512\n"},
        {"* 5 FETCH (FLAGS (\\Seen) UID 7 body[]<0> ~{0+}\r\n)",
         "body of 7, 0 bytes from 0: \nFETCH number=5 uid=7 flags=1 streamed from=0\n"},
        {"* 5 FETCH (BODY[HEADER.FIELDS (\"From\" {2}\r\nTo \"a]b\")] {4}\r\nF: x BODY[]  "
         "{1}\r\nz)",
         "body of 0, 1 bytes: z\nFETCH number=5 header=F: x streamed\n"},
        {"* 5 FETCH (X (\"BODY[]\" (UID 3)) BODY[] {1}\r\nz)",
         "body of 0, 1 bytes: z\nFETCH number=5 streamed\n"},
        {"* 5 FETCH (BODY[] \"quo\\\"ted\" UID 7)", "FETCH number=5 uid=7 body=quo\"ted\n"},
        {"* 5 FETCH (BODY[] NIL UID 7)", "FETCH number=5 uid=7 body=\n"},
        {"* 5 FETCH (BODY[] \"\" UID 7)", "FETCH number=5 uid=7 body=\n"},
        {"* 5 FETCH (BODY[HEADER] {3}\r\na: UID 7)", "FETCH number=5 uid=7 header=a: \n"},
        {"* 5 FETCH (BODY[HEADER.FIELDS (From)]<0> \"x\")", "FETCH number=5 header=x\n"},
        {"* 5 FETCH (BODY[HEADER] NIL)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[] NIL BODY[] NIL)", NULL},
        {"* 5 FETCH (BODY[] {1}\r\na BODY[] {1}\r\nb)", NULL},
        {"* 5 FETCH (BODY[] atom)", NULL},
        {"* 5 FETCH (BODY[] (list))", NULL},
        {"* 5 FETCH (UID 7 BODY[] {1048577}", NULL},
        {"* 5 FETCH (UID 7 BODY[] {18446744073709551616}", NULL},
    };
    check(cases, G_N_ELEMENTS(cases));
}

/* What looks like a body, but is none, is captured as any other literal. */
static void test_no_bodies(void)
{
    static const Case cases[] = {
        {"* 5 FETCH (BODY[HEADER] {1}\r\na)", "FETCH number=5 header=a\n"},
        {"* 5 FETCH (BODY[TEXT] {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[1] {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[HEADER.FIELDS.NOT (X)] {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[HEADER]<9> {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[]<x> {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[]<18446744073709551616> {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BODY[]x {1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (BINARY[] ~{1}\r\na)", "FETCH number=5\n"},
        {"* 5 FETCH (X-NEW (BODY[] {1}\r\na))", "FETCH number=5\n"},
        {"* 5 FETCH (X-NEW BODY[] {1}\r\na NIL)", NULL},
        {"* x FETCH (BODY[] {1}\r\na)", "OTHER\n"},
        {"A1 FETCH (BODY[] {1}\r\na)", NULL},
        {"* ID (\"BODY[]\" BODY[] {1}\r\na)", "ID ( s=BODY[] a=BODY[] s=a )\n"},
    };
    check(cases, G_N_ELEMENTS(cases));
}

static void test_bounds(void)
{
    GString *input = g_string_new("* 1 FETCH (FLAGS (");
    for (guint i = 0; i < 100; i++)
        g_string_append_printf(input, "k%u ", i);
    for (guint i = 0; i < 129; i++)
        g_string_append_c(input, 'x');
    g_string_append(input, "))\r\n");
    g_autofree char *flags = describe_input(input->str, input->len, 0, 0);
    g_assert_nonnull(strstr(flags, ",k63\n"));
    g_assert_null(strstr(flags, "xxx"));

    /* As many ranges as there may be, and one more. Descending: sorting must not be quadratic. */
    g_autoptr(Scan) scan = scan_new(32 * 1024 * 1024, 0);
    g_autoptr(ImapReplyParser) parser = imap_reply_parser_new();
    for (guint extra = 0; extra < 2; extra++) {
        g_string_assign(input, "* VANISHED 3000001");
        for (guint i = 1; i < 1000000 + extra; i++)
            g_string_append_printf(input, ",%u", 3000001 - 2 * i);
        g_string_append(input, "\r\n");
        gsize used;
        ScanToken token;
        ImapReply reply;
        const char *error;
        g_assert_cmpint(scan_next(scan, (const guint8 *)input->str, input->len, &used, &token), ==,
                        SCAN_LINE);
        g_assert_cmpint(imap_reply_parse(parser, scan, &reply, &error), ==, extra == 0);
        if (extra == 0)
            g_assert_cmpuint(reply.uids->len, ==, 1000000);
    }
    g_string_free(input, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/imap-reply/tagged", test_tagged);
    g_test_add_func("/imap-reply/conditions", test_conditions);
    g_test_add_func("/imap-reply/codes", test_codes);
    g_test_add_func("/imap-reply/odd-codes", test_odd_codes);
    g_test_add_func("/imap-reply/numbered", test_numbered);
    g_test_add_func("/imap-reply/values", test_values);
    g_test_add_func("/imap-reply/list", test_list);
    g_test_add_func("/imap-reply/status", test_status);
    g_test_add_func("/imap-reply/sets", test_sets);
    g_test_add_func("/imap-reply/fetch", test_fetch);
    g_test_add_func("/imap-reply/dates", test_dates);
    g_test_add_func("/imap-reply/bodies", test_bodies);
    g_test_add_func("/imap-reply/no-bodies", test_no_bodies);
    g_test_add_func("/imap-reply/bounds", test_bounds);
    return g_test_run();
}
