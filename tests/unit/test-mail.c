#include "mail.h"

#include <string.h>

#define MODEL 200

/* ---- sets against an array of booleans ---- */

static void check_set(const GArray *set, const gboolean *model)
{
    guint64 count = 0;
    for (MailUid uid = 1; uid < MODEL; uid++) {
        g_assert_cmpint(mail_uid_set_contains(set, uid), ==, model[uid]);
        count += model[uid];
    }
    g_assert_cmpuint(mail_uid_set_count(set), ==, count);
    g_assert_false(mail_uid_set_contains(set, 0));
    for (guint i = 0; i < set->len; i++) {
        const MailUidRange *range = &g_array_index(set, MailUidRange, i);
        g_assert_cmpuint(range->first, <=, range->last);
        if (i > 0) /* a gap of at least one: ranges that adjoin are merged */
            g_assert_cmpuint(range->first, >, range[-1].last + 1);
    }
}

static void test_random_sets(void)
{
    for (guint round = 0; round < 50; round++) {
        g_autoptr(GArray) set = mail_uid_set_new();
        gboolean model[MODEL] = {FALSE};
        for (guint step = 0; step < 100; step++) {
            MailUid first = (MailUid)g_test_rand_int_range(1, MODEL);
            MailUid last = first + (MailUid)g_test_rand_int_range(0, 6);
            last = MIN(last, MODEL - 1);
            if (g_test_rand_bit()) {
                mail_uid_set_add(set, first, last);
                for (MailUid uid = first; uid <= last; uid++)
                    model[uid] = TRUE;
            } else {
                g_assert_cmpint(mail_uid_set_remove(set, first), ==, model[first]);
                model[first] = FALSE;
            }
            check_set(set, model);
        }
    }
}

static void test_set_edges(void)
{
    g_autoptr(GArray) set = mail_uid_set_new();
    g_assert_cmpuint(mail_uid_set_count(set), ==, 0);
    g_assert_false(mail_uid_set_remove(set, 1));
    mail_uid_set_add(set, G_MAXUINT32, G_MAXUINT32);
    mail_uid_set_add(set, 1, 1);
    g_assert_cmpuint(set->len, ==, 2);
    mail_uid_set_add(set, G_MAXUINT32 - 1, G_MAXUINT32 - 1);
    g_assert_cmpuint(set->len, ==, 2);
    g_assert_true(mail_uid_set_contains(set, G_MAXUINT32));
    mail_uid_set_add(set, 1, G_MAXUINT32);
    g_assert_cmpuint(set->len, ==, 1);
    g_assert_cmpuint(mail_uid_set_count(set), ==, G_MAXUINT32);
    g_assert_true(mail_uid_set_remove(set, G_MAXUINT32));
    g_assert_true(mail_uid_set_remove(set, 1));
    g_assert_cmpuint(mail_uid_set_count(set), ==, G_MAXUINT32 - 2);
    g_assert_cmpuint(set->len, ==, 1);
}

/* ---- header fields ---- */

static void check_field(const char *block, const char *name, gsize limit, const char *expected)
{
    /* A block of its own size: a read past its end is noticed. */
    g_autofree char *copy = g_memdup2(block, strlen(block));
    g_autofree char *value = mail_header_field(copy, strlen(block), name, limit);
    g_assert_cmpstr(value, ==, expected);
}

static void test_fields(void)
{
    check_field("From: a\r\nTo: b\r\n\r\n", "to", 100, "b");
    check_field("From: a\nTo: b\n\n", "FROM", 100, "a");
    check_field("To:b", "To", 100, "b");
    check_field("To:", "To", 100, "");
    check_field("To", "To", 100, NULL);
    check_field("", "To", 100, NULL);
    check_field("To:   \r\n", "To", 100, "");
    check_field("To \t: b\r\n", "To", 100, "b");
    check_field("X-To: a\r\nToo: b\r\nT: c\r\n", "To", 100, NULL);
    check_field("To: a\r\nTo: b\r\n", "To", 100, "a");
    check_field("Subject: one\r\n two\r\n\tthree\r\nTo: x\r\n", "Subject", 100, "one two three");
    check_field("A: x\r\n To: no\r\nTo: yes\r\n", "To", 100, "yes");
    check_field("To: a\x01"
                "b\x7f"
                "c\r\n",
                "To", 100, "a b c");
    check_field("To: \xff\xc3\xa9\r\n", "To", 100, "\xff\xc3\xa9");
    check_field("no colon here\r\nTo: b\r\n", "To", 100, "b");
    check_field("From: a\r\n\r\nTo: body\r\n", "To", 100, NULL);
    check_field("From: a\n\nTo: body\n", "To", 100, NULL);
    g_autofree char *cut = mail_header_field("To: 123456789\r\n 0\r\n", 18, "To", 6);
    g_assert_true(g_str_has_prefix("123456", cut) && strlen(cut) >= 5);
    static const char nul[] = "To: a\0b\r\n";
    g_autofree char *value = mail_header_field(nul, sizeof(nul) - 1, "To", 100);
    g_assert_cmpstr(value, ==, "a b");
}

/* ---- text for people ---- */

static void check_escape(const char *text, gsize limit, const char *expected)
{
    g_autofree char *escaped = mail_escape(text, -1, limit);
    g_assert_cmpstr(escaped, ==, expected);
}

static void test_escape(void)
{
    check_escape(NULL, 10, "");
    check_escape("", 10, "");
    check_escape("plain text", 100, "plain text");
    check_escape("caf\xc3\xa9 \xe6\x97\xa5", 100, "caf\xc3\xa9 \xe6\x97\xa5");
    check_escape("a\r\nb\x1b[1m", 100, "a\\x0d\\x0ab\\x1b[1m");
    check_escape("\\x41", 100, "\\x5cx41");
    check_escape("\xff\xc3", 100, "\\xff\\xc3");
    check_escape("\xe2\x80\xae", 100, "\\xe2\\x80\\xae"); /* right-to-left override */
    check_escape("12345678", 8, "12345678");
    check_escape("123456789", 8, "12345678...");
    g_autofree char *nul = mail_escape("a\0b", 3, 100);
    g_assert_cmpstr(nul, ==, "a\\x00b");
    g_autofree char *part = mail_escape("abc", 2, 100);
    g_assert_cmpstr(part, ==, "ab");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mail/random-sets", test_random_sets);
    g_test_add_func("/mail/set-edges", test_set_edges);
    g_test_add_func("/mail/fields", test_fields);
    g_test_add_func("/mail/escape", test_escape);
    return g_test_run();
}
