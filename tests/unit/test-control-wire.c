#include "control-wire.h"

#include <string.h>

static void test_escape(void)
{
    static const struct {
        const char *text, *line;
    } pairs[] = {
        {"/INBOX/1.eml", "/INBOX/1.eml"},     {"", ""},
        {"/a b/\xc3\xa9", "/a b/\xc3\xa9"},   {"/100%", "/100%25"},
        {"/a\nb\r\t\x7f", "/a%0Ab%0D%09%7F"}, {"/\xff", "/\xff"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(pairs); i++) {
        g_autofree char *line = control_escape(pairs[i].text);
        g_assert_cmpstr(line, ==, pairs[i].line);
        g_autofree char *text = control_unescape(line, strlen(line));
        g_assert_cmpstr(text, ==, pairs[i].text);
    }
}

static void test_every_byte(void)
{
    for (guint byte = 1; byte < 256; byte++) {
        const char text[] = {'x', (char)byte, 'y', '\0'};
        g_autofree char *line = control_escape(text);
        g_assert_null(strpbrk(line, "\n\r"));
        g_autofree char *back = control_unescape(line, strlen(line));
        g_assert_cmpstr(back, ==, text);
    }
}

static void test_malformed(void)
{
    static const struct {
        const char *line;
        gsize size;
    } lines[] = {{"%", 1},   {"%2", 2}, {"%zz", 3}, {"%00", 3}, {"a\0b", 3}, {"\t", 1},
                 {"%41", 3}, {"\r", 1}, {"a%0", 3}, {"% 1", 3}, {"\x7f", 1}};
    for (guint i = 0; i < G_N_ELEMENTS(lines); i++)
        g_assert_null(control_unescape(lines[i].line, lines[i].size));
    g_autofree char *cut = control_unescape("/a%25b", 5); /* it does not look behind the end */
    g_assert_cmpstr(cut, ==, "/a%");
    g_assert_null(control_unescape("/a%25b", 4));
}

/* However the bytes come, the lines are the same. */
static void test_lines_cut_everywhere(void)
{
    static const char input[] = "flag\n+seen\n\n/INBOX/1.eml\nrest\0of\n";
    gsize size = sizeof(input) - 1;
    for (gsize first = 0; first <= size; first++) {
        for (gsize second = first; second <= size; second++) {
            g_autoptr(GString) seen = g_string_new(NULL);
            ControlLines lines;
            control_lines_init(&lines);
            const gsize cuts[] = {0, first, second, size};
            for (guint i = 0; i + 1 < G_N_ELEMENTS(cuts); i++) {
                gsize length;
                const char *line;
                control_lines_add(&lines, input + cuts[i], cuts[i + 1] - cuts[i]);
                while ((line = control_lines_next(&lines, &length))) {
                    g_assert_cmpint(line[length], ==, '\0');
                    g_string_append_len(seen, line, (gssize)length);
                    g_string_append_c(seen, '\n');
                }
            }
            g_assert_cmpmem(seen->str, seen->len, input, size);
            g_assert_cmpuint(control_lines_rest(&lines), ==, 0);
            control_lines_clear(&lines);
        }
    }
}

static void test_lines_rest(void)
{
    ControlLines lines;
    gsize size;
    control_lines_init(&lines);
    g_assert_null(control_lines_next(&lines, &size));
    control_lines_add(&lines, "a\nbc", 4);
    g_assert_cmpuint(control_lines_rest(&lines), ==, 4);
    g_assert_cmpstr(control_lines_next(&lines, &size), ==, "a");
    g_assert_cmpuint(control_lines_rest(&lines), ==, 2);
    g_assert_null(control_lines_next(&lines, &size));
    control_lines_add(&lines, "\n", 1);
    g_assert_cmpstr(control_lines_next(&lines, &size), ==, "bc");
    g_assert_cmpuint(size, ==, 2);
    control_lines_clear(&lines);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control-wire/escape", test_escape);
    g_test_add_func("/control-wire/every-byte", test_every_byte);
    g_test_add_func("/control-wire/malformed", test_malformed);
    g_test_add_func("/control-wire/lines-cut-everywhere", test_lines_cut_everywhere);
    g_test_add_func("/control-wire/lines-rest", test_lines_rest);
    return g_test_run();
}
