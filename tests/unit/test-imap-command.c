#include "imap-command.h"

#include <fcntl.h>
#include <string.h>

/* All chunks, with "|" where the client waits for the server, and "<size>" for a file. */
static char *joined(const ImapCommand *command)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < imap_command_chunks(command); i++) {
        gsize size;
        const char *bytes = imap_command_chunk(command, i, &size);
        guint64 file_size;
        if (imap_command_chunk_waits(command, i))
            g_string_append_c(out, '|');
        if (imap_command_chunk_file(command, i, &file_size) >= 0)
            g_string_append_printf(out, "<%" G_GUINT64_FORMAT ">", file_size);
        if (size > 0)
            g_string_append_len(out, bytes, (gssize)size);
    }
    return g_string_free(out, FALSE);
}

static void check_astring(ImapLiteralMode mode, const char *text, const char *expected)
{
    g_autoptr(ImapCommand) command = imap_command_new("SELECT", mode);
    g_assert_true(imap_command_astring(command, text, strlen(text)));
    g_autofree char *out = joined(command);
    g_assert_cmpstr(out, ==, expected);
}

static void check_string(ImapLiteralMode mode, const char *text, const char *expected)
{
    g_autoptr(ImapCommand) command = imap_command_new("LOGIN", mode);
    g_assert_true(imap_command_string(command, text, strlen(text)));
    g_autofree char *out = joined(command);
    g_assert_cmpstr(out, ==, expected);
}

static void test_astring(void)
{
    check_astring(IMAP_LITERAL_SYNC, "INBOX", "SELECT INBOX");
    check_astring(IMAP_LITERAL_SYNC, "a&b-/c.d+", "SELECT a&b-/c.d+");
    check_astring(IMAP_LITERAL_SYNC, "", "SELECT \"\"");
    check_astring(IMAP_LITERAL_SYNC, "a b", "SELECT \"a b\"");
    check_astring(IMAP_LITERAL_SYNC, "a\"b\\", "SELECT \"a\\\"b\\\\\"");
    check_astring(IMAP_LITERAL_SYNC, "nil", "SELECT \"nil\"");
    static const char specials[] = "(){%*]\x01\x7f";
    for (const char *c = specials; *c; c++) {
        g_autofree char *text = g_strdup_printf("a%c", *c);
        g_autofree char *expected = g_strdup_printf("SELECT \"a%c\"", *c);
        check_astring(IMAP_LITERAL_SYNC, text, expected);
    }
}

static void test_string(void)
{
    check_string(IMAP_LITERAL_SYNC, "secret", "LOGIN \"secret\"");
    check_string(IMAP_LITERAL_SYNC, "", "LOGIN \"\"");
    check_string(IMAP_LITERAL_SYNC, "p\xc3\xa4", "LOGIN {3}\r\n|p\xc3\xa4");
    check_string(IMAP_LITERAL_PLUS, "p\xc3\xa4", "LOGIN {3+}\r\np\xc3\xa4");
    check_string(IMAP_LITERAL_MINUS, "a\r\nA1 LOGOUT", "LOGIN {12+}\r\na\r\nA1 LOGOUT");
}

static void check_file(ImapLiteralMode mode, guint64 size, const char *expected)
{
    g_autoptr(ImapCommand) command = imap_command_new("APPEND A", mode);
    imap_command_file(command, open("/dev/null", O_RDONLY | O_CLOEXEC), size);
    imap_command_atom(command, "()");
    g_autofree char *out = joined(command);
    g_assert_cmpstr(out, ==, expected);
}

static void test_file(void)
{
    check_file(IMAP_LITERAL_SYNC, 9, "APPEND A {9}\r\n|<9> ()");
    check_file(IMAP_LITERAL_MINUS, 4096, "APPEND A {4096+}\r\n<4096> ()");
    check_file(IMAP_LITERAL_MINUS, 4097, "APPEND A {4097}\r\n|<4097> ()");
    check_file(IMAP_LITERAL_PLUS, 65536, "APPEND A {65536+}\r\n<65536> ()");
    check_file(IMAP_LITERAL_PLUS, 65537, "APPEND A {65537}\r\n|<65537> ()");
    check_file(IMAP_LITERAL_PLUS, 5000000000, "APPEND A {5000000000}\r\n|<5000000000> ()");
}

static void test_long(void)
{
    g_autofree char *text = g_strnfill(4097, 'x');
    g_autofree char *plus = g_strdup_printf("LOGIN {4097+}\r\n%s", text);
    g_autofree char *sync = g_strdup_printf("LOGIN {4097}\r\n|%s", text);
    check_string(IMAP_LITERAL_PLUS, text, plus);
    check_string(IMAP_LITERAL_MINUS, text, sync);
    text[4096] = '\0';
    g_autofree char *minus = g_strdup_printf("LOGIN {4096+}\r\n%s", text);
    check_string(IMAP_LITERAL_MINUS, text, minus);
    text[1001] = '\0';
    g_autofree char *literal = g_strdup_printf("SELECT {1001+}\r\n%s", text);
    check_astring(IMAP_LITERAL_PLUS, text, literal);
    text[1000] = '\0';
    g_autofree char *atom = g_strdup_printf("SELECT %s", text);
    g_autofree char *quoted = g_strdup_printf("LOGIN \"%s\"", text);
    check_astring(IMAP_LITERAL_PLUS, text, atom);
    check_string(IMAP_LITERAL_PLUS, text, quoted);
}

static void test_nul(void)
{
    g_autoptr(ImapCommand) command = imap_command_new("X", IMAP_LITERAL_PLUS);
    g_assert_false(imap_command_astring(command, "a\0b", 3));
    g_assert_false(imap_command_string(command, "\0", 1));
    g_autofree char *out = joined(command);
    g_assert_cmpstr(out, ==, "X");
}

static void test_command(void)
{
    static const char *const keywords[] = {"$Junk", "two words", "a\r\nb", "",
                                           "x]",    "\\Evil",    NULL};
    g_autoptr(ImapCommand) command = imap_command_new("UID STORE", IMAP_LITERAL_SYNC);
    imap_command_atom(command, "1:3");
    imap_command_number(command, G_MAXUINT64);
    imap_command_flags(command, 0x7f, keywords);
    imap_command_flags(command, 0, NULL);
    g_assert_true(imap_command_astring(command, "\xff", 1));
    g_assert_true(imap_command_string(command, "\r", 1));
    imap_command_atom(command, "END");
    g_autofree char *out = joined(command);
    g_assert_cmpstr(out, ==,
                    "UID STORE 1:3 18446744073709551615 (\\Seen \\Answered \\Flagged \\Deleted "
                    "\\Draft $Junk x]) () {1}\r\n|\xff {1}\r\n|\r END");
    g_assert_cmpuint(imap_command_chunks(command), ==, 3);
}

static void test_sets(void)
{
    g_autoptr(GArray) set = mail_uid_set_new();
    guint at = 0;
    g_autofree char *empty = imap_sequence_set(set, &at, 100);
    g_assert_cmpstr(empty, ==, "");
    mail_uid_set_add(set, 1, 4);
    mail_uid_set_add(set, 7, 7);
    mail_uid_set_add(set, 9, 12);
    mail_uid_set_add(set, G_MAXUINT32, G_MAXUINT32);
    g_autofree char *all = imap_sequence_set(set, &at, 100);
    g_assert_cmpstr(all, ==, "1:4,7,9:12,4294967295");
    g_assert_cmpuint(at, ==, 4);

    static const char *const parts[] = {"1:4,7", "9:12", "4294967295"};
    at = 0;
    for (guint i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_autofree char *part = imap_sequence_set(set, &at, 5); /* the last is longer alone */
        g_assert_cmpstr(part, ==, parts[i]);
    }
    g_assert_cmpuint(at, ==, 4);
    at = 0;
    g_autofree char *exact = imap_sequence_set(set, &at, 10);
    g_assert_cmpstr(exact, ==, "1:4,7,9:12");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/imap-command/astring", test_astring);
    g_test_add_func("/imap-command/string", test_string);
    g_test_add_func("/imap-command/file", test_file);
    g_test_add_func("/imap-command/long", test_long);
    g_test_add_func("/imap-command/nul", test_nul);
    g_test_add_func("/imap-command/command", test_command);
    g_test_add_func("/imap-command/sets", test_sets);
    return g_test_run();
}
