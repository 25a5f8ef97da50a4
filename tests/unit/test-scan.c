#include "scan.h"

#include <string.h>

typedef enum { STREAM, CAPTURE, CAPTURE_SECOND } Policy;

typedef struct {
    Scan *scan;
    Policy policy;
    GString *out;
} Run;

static void log_literals(Run *run)
{
    guint count;
    gsize size;
    const char *text = scan_text(run->scan, &size);
    const ScanLiteral *literals = scan_literals(run->scan, &count);
    for (guint i = 0; i < count; i++) {
        g_assert_cmpuint(literals[i].offset, <=, size);
        g_assert_cmpint(text[literals[i].offset - 1], ==, '}');
        g_string_append_printf(run->out, " %" G_GSIZE_FORMAT ":%" G_GUINT64_FORMAT,
                               literals[i].offset, literals[i].size);
        if (!literals[i].bytes)
            continue;
        g_string_append_printf(run->out, "=%.*s", (int)literals[i].size, literals[i].bytes);
        g_assert_cmpint(literals[i].bytes[literals[i].size], ==, 0);
    }
}

static void log_event(Run *run, ScanEvent event, const ScanToken *token)
{
    gsize size;
    const char *text = scan_text(run->scan, &size);
    guint count;
    g_assert_cmpint(text[size], ==, '\0');
    if (event == SCAN_LITERAL_DATA) {
        g_assert_cmpuint(token->size, >, 0);
        g_string_append_len(run->out, (const char *)token->data, (gssize)token->size);
    } else if (event == SCAN_LITERAL_END) {
        g_string_append(run->out, ".\n");
    } else if (event == SCAN_ERROR) {
        g_string_append_printf(run->out, "error %s\n", token->error);
    } else if (event == SCAN_LINE) {
        g_string_append_printf(run->out, "line %.*s", (int)size, text);
        log_literals(run);
        g_string_append_c(run->out, '\n');
    } else if (event == SCAN_LITERAL_BEGIN) {
        g_string_append_printf(run->out, "literal %" G_GUINT64_FORMAT " after %.*s\n",
                               token->literal_size, (int)size, text);
        scan_literals(run->scan, &count);
        if (run->policy == CAPTURE || (run->policy == CAPTURE_SECOND && count % 2 == 0))
            g_string_append(run->out, scan_capture(run->scan) ? "" : "refused\n");
    }
}

static char *run_pieces(const char *input, gsize size, Policy policy, gsize max_text, gsize first,
                        gsize step)
{
    g_autoptr(Scan) scan = scan_new(max_text, 1000);
    Run run = {.scan = scan, .policy = policy, .out = g_string_new(NULL)};
    ScanEvent event = SCAN_NEED_DATA;
    for (gsize at = 0; at < size && event != SCAN_ERROR;) {
        gsize length = MIN(at == 0 && first ? first : step, size - at);
        g_autofree guint8 *piece = g_memdup2(input + at, length);
        gsize done = 0;
        do {
            gsize used;
            ScanToken token;
            event = scan_next(scan, piece + done, length - done, &used, &token);
            done += used;
            log_event(&run, event, &token);
        } while (event != SCAN_NEED_DATA && event != SCAN_ERROR);
        at += length;
    }
    return g_string_free(run.out, FALSE);
}

static void check_bytes(const char *input, gsize size, Policy policy, gsize max_text,
                        const char *expected)
{
    g_autofree char *whole = run_pieces(input, size, policy, max_text, 0, size);
    g_assert_cmpstr(whole, ==, expected);
    for (gsize cut = 1; cut < size; cut++) {
        g_autofree char *cut_once = run_pieces(input, size, policy, max_text, cut, size);
        g_assert_cmpstr(cut_once, ==, expected);
    }
    g_autofree char *bytes = run_pieces(input, size, policy, max_text, 0, 1);
    g_assert_cmpstr(bytes, ==, expected);
}

static void check(const char *input, Policy policy, gsize max_text, const char *expected)
{
    check_bytes(input, strlen(input), policy, max_text, expected);
}

static void test_lines(void)
{
    check("* OK hi\r\n", STREAM, 100, "line * OK hi\n");
    check("a\nb\r\n\r\n\nc", STREAM, 100, "line a\nline b\nline \nline \n");
    check("a\rb\r\r\n", STREAM, 100, "line a\rb\r\n");
    static const char nul[] = "a\0b\r\n";
    g_autoptr(Scan) scan = scan_new(100, 0);
    gsize used, size;
    ScanToken token;
    g_assert_cmpint(scan_next(scan, (const guint8 *)nul, 5, &used, &token), ==, SCAN_LINE);
    g_assert_cmpmem(scan_text(scan, &size), 3, nul, 3);
    g_assert_cmpuint(size, ==, 3);
}

static void test_streamed(void)
{
    check("* X {3}\r\na\r\n)\r\n", STREAM, 100,
          "literal 3 after * X {3}\na\r\n.\nline * X {3}) 7:3\n");
    check("* X {0}\r\n\r\n", STREAM, 100, "literal 0 after * X {0}\n.\nline * X {0} 7:0\n");
    check("* X ~{1}\nz {2+}\nab\n", STREAM, 100,
          "literal 1 after * X ~{1}\nz.\nliteral 2 after * X ~{1} {2+}\nab.\n"
          "line * X ~{1} {2+} 8:1 13:2\n");
    check("* X ({1}\r\nz)\r\n* Y\r\n", STREAM, 100,
          "literal 1 after * X ({1}\nz.\nline * X ({1}) 8:1\nline * Y\n");
}

static void test_captured(void)
{
    check("* X {3}\r\na\r\n)\r\nb\r\n", CAPTURE, 100,
          "literal 3 after * X {3}\nline * X {3}) 7:3=a\r\n\nline b\n");
    check("* X {0}\r\n {0}\r\n\r\n", CAPTURE, 100,
          "literal 0 after * X {0}\nliteral 0 after * X {0} {0}\n"
          "line * X {0} {0} 7:0= 11:0=\n");
    check("* X {1}\r\na {2}\r\nbc {1}\r\nd {2}\r\nef\r\n", CAPTURE_SECOND, 100,
          "literal 1 after * X {1}\na.\nliteral 2 after * X {1} {2}\n"
          "literal 1 after * X {1} {2} {1}\nd.\nliteral 2 after * X {1} {2} {1} {2}\n"
          "line * X {1} {2} {1} {2} 7:1 11:2=bc 15:1 19:2=ef\n");
}

/* What captured literals moved when their buffer grew must still be found. */
static void test_many_captured(void)
{
    GString *input = g_string_new("* X"), *expected = g_string_new(NULL);
    GString *text = g_string_new("* X"), *literals = g_string_new(NULL);
    for (guint i = 0; i < 40; i++) {
        g_string_append_printf(input, " {20}\r\n%020u", i);
        g_string_append(text, " {20}");
        g_string_append_printf(expected, "literal 20 after %s\n", text->str);
        g_string_append_printf(literals, " %u:20=%020u", (guint)text->len, i);
    }
    g_string_append(input, "\r\n");
    g_string_append_printf(expected, "line %s%s\n", text->str, literals->str);
    check(input->str, CAPTURE, 5000, expected->str);
    g_string_free(input, TRUE);
    g_string_free(expected, TRUE);
    g_string_free(text, TRUE);
    g_string_free(literals, TRUE);
}

static void test_no_literals(void)
{
    /* In text for people, not at the end, not where one may stand, or not spelled like one. */
    static const char *const lines[] = {
        "* OK {5}",      "A1 no such folder {5}",
        "* bad ({5}",    "* Bye {5}",
        "* PREAUTH {5}", "+ {5}",
        "* X {5} ",      "* X a{5}",
        "* X {}",        "* X {+}",
        "* X {5++}",     "* X {-5}",
        "* X { 5}",      "* X {5",
        "* X 5}",        "{5}",
        "* X \"{5}\"",   "* X a~{5}",
        "* X {0x5}",
    };
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autofree char *input = g_strdup_printf("%s\r\nnext\r\n", lines[i]);
        g_autofree char *expected = g_strdup_printf("line %s\nline next\n", lines[i]);
        check(input, STREAM, 100, expected);
    }
}

static void test_text_bound(void)
{
    check("1234567890\r\n1234567890\n", STREAM, 10, "line 1234567890\nline 1234567890\n");
    check("12345678901\r\n", STREAM, 10, "error a response is too long\n");
    check("12345678901\n", STREAM, 10, "error a response is too long\n");
    check("123456789012345", STREAM, 10, "error a response is too long\n");
    /* 7 bytes of text, 3 of the literal and its NUL; then ")". */
    check("* X {3}\r\nabc)\r\n", CAPTURE, 12, "literal 3 after * X {3}\nline * X {3}) 7:3=abc\n");
    check("* X {3}\r\nabc)\r\n", CAPTURE, 11,
          "literal 3 after * X {3}\nerror a response is too long\n");
    check("* X {3}\r\nabc\r\n", CAPTURE, 10,
          "literal 3 after * X {3}\nrefused\nabc.\nline * X {3} 7:3\n");
}

static void test_literal_bound(void)
{
    check("* X {1001}\r\n", STREAM, 100, "error a literal is too large\n");
    check("* X {18446744073709551616}\r\n", STREAM, 100, "error a literal is too large\n");
    check("* X {99999999999999999999999999}\r\n", STREAM, 100, "error a literal is too large\n");
    check("* X {0000000000000000000000001}\r\na\r\n", STREAM, 100,
          "literal 1 after * X {0000000000000000000000001}\na.\n"
          "line * X {0000000000000000000000001} 31:1\n");
    GString *input = g_string_new("* X");
    for (guint i = 0; i <= SCAN_MAX_LITERALS; i++)
        g_string_append(input, " {0}\r\n");
    g_autofree char *out = run_pieces(input->str, input->len, STREAM, 10000, 0, input->len);
    g_assert_true(g_str_has_suffix(out, "error a response has too many literals\n"));
    g_string_free(input, TRUE);
}

static void test_error_stays(void)
{
    g_autoptr(Scan) scan = scan_new(3, 0);
    gsize used;
    ScanToken token;
    g_assert_cmpint(scan_next(scan, (const guint8 *)"abcdefgh", 8, &used, &token), ==, SCAN_ERROR);
    for (guint i = 0; i < 3; i++) {
        g_assert_cmpint(scan_next(scan, (const guint8 *)"a\n", 2, &used, &token), ==, SCAN_ERROR);
        g_assert_cmpstr(token.error, ==, "a response is too long");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/scan/lines", test_lines);
    g_test_add_func("/scan/streamed", test_streamed);
    g_test_add_func("/scan/captured", test_captured);
    g_test_add_func("/scan/many-captured", test_many_captured);
    g_test_add_func("/scan/no-literals", test_no_literals);
    g_test_add_func("/scan/text-bound", test_text_bound);
    g_test_add_func("/scan/literal-bound", test_literal_bound);
    g_test_add_func("/scan/error-stays", test_error_stays);
    return g_test_run();
}
