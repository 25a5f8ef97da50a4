/* What is a message, and line ends. */
#include "spool.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static int temporary(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("mailfs-test-XXXXXX", &path, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_unlink(path);
    return fd;
}

static char *contents(int fd, gsize *size)
{
    *size = (gsize)lseek(fd, 0, SEEK_END);
    char *bytes = g_malloc0(*size + 1);
    g_assert_cmpint(pread(fd, bytes, *size, 0), ==, *size);
    return bytes;
}

static gboolean convert(const char *text, gsize size, char **result, gsize *result_size,
                        char **message_id, GError **error)
{
    SpoolMessage message = {0};
    int in = temporary(), out = temporary();
    g_assert_cmpint(write(in, text, size), ==, size);
    gboolean good = spool_convert(in, out, &message, error);
    *result = contents(out, result_size);
    if (good)
        g_assert_cmpuint(message.size, ==, *result_size);
    *message_id = message.message_id;
    close(in);
    close(out);
    return good;
}

static void expect(const char *text, const char *expected, const char *id)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *result = NULL, *message_id = NULL;
    gsize size;
    g_assert_true(convert(text, strlen(text), &result, &size, &message_id, &error));
    g_assert_no_error(error);
    g_assert_cmpstr(result, ==, expected);
    g_assert_cmpstr(message_id, ==, id);
}

static void refuse(const char *text, gsize size)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *result = NULL, *message_id = NULL;
    gsize have;
    g_assert_false(convert(text, size, &result, &have, &message_id, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_INVALID);
}

static void test_line_ends(void)
{
    expect("A: b\n\nx\n", "A: b\r\n\r\nx\r\n", "");
    expect("A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n", "");
    expect("A: b\n\r\nx\r\ny", "A: b\r\n\r\nx\r\ny", "");
    expect("A: b\r\n\r\na\rb\r\rc\n", "A: b\r\n\r\na\rb\r\rc\r\n", ""); /* a bare CR stays */
    expect("A: b\r\n\r\n\n\n", "A: b\r\n\r\n\r\n\r\n", "");
}

static void test_headers(void)
{
    expect("From a@b Thu Jan  1\nA: b\n", "From a@b Thu Jan  1\r\nA: b\r\n", "");
    expect("From: a\n", "From: a\r\n", "");
    expect("Subject : old style\n\n", "Subject : old style\r\n\r\n", "");
    expect("A: b\nMessage-ID:\n <x@y>\n\nMessage-ID: <no>\n",
           "A: b\r\nMessage-ID:\r\n <x@y>\r\n\r\nMessage-ID: <no>\r\n", "<x@y>");
    refuse("", 0);
    refuse("hello world\n", 12);
    refuse("\nA: b\n", 6);
    refuse(": b\n", 4);
    refuse(" A: b\n", 6);
    refuse("From a@b\n", 9);
    refuse("\x89PNG\r\n\x1a\n", 8);
    refuse("A: b\n\nx\0y\n", 10);
    refuse("\xc3\xa4: b\n", 6);
}

/* Across the pieces in which a file is read, at each place where a line end may be. */
static void test_pieces(void)
{
    for (gsize before = 64 * 1024 - 12; before < 64 * 1024 + 2; before++) {
        g_autoptr(GString) text = g_string_new("A: b\r\n\r\n");
        g_autoptr(GString) expected = g_string_new("A: b\r\n\r\n");
        while (text->len < before) {
            g_string_append_c(text, 'x');
            g_string_append_c(expected, 'x');
        }
        g_string_append(text, "\r\na\nb\n\r\n");
        g_string_append(expected, "\r\na\r\nb\r\n\r\n");
        expect(text->str, expected->str, "");
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spool/line-ends", test_line_ends);
    g_test_add_func("/spool/headers", test_headers);
    g_test_add_func("/spool/pieces", test_pieces);
    return g_test_run();
}
