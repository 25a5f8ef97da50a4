/* Names of files and folders: whatever a server says, one component of a path that leads back to
 * what it stands for. */
#include "names.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_component(const char *name, gsize max)
{
    g_assert_cmpuint(strlen(name), >, 0);
    g_assert_cmpuint(strlen(name), <=, max);
    g_assert_true(g_utf8_validate(name, -1, NULL));
    g_assert_null(strchr(name, '/'));
    g_assert_cmpstr(name, !=, ".");
    g_assert_cmpstr(name, !=, "..");
    for (const char *at = name; *at; at = g_utf8_next_char(at))
        g_assert_false(g_unichar_iscntrl(g_utf8_get_char(at)));
}

static void check_message(MailUid uid, gint64 date, const char *from, const char *subject)
{
    char name[NAMES_MAX + 1], again[NAMES_MAX + 1];
    gsize length = names_message(name, uid, date, from, subject, ".eml");
    g_assert_cmpuint(length, ==, strlen(name));
    check_component(name, NAMES_MESSAGE_MAX);
    g_assert_true(g_str_has_suffix(name, ".eml"));
    g_assert_cmpuint(names_parse_uid(name, ".eml"), ==, uid);
    g_assert_false(names_is_bare(name, ".eml"));
    g_autofree char *composed = g_utf8_normalize(name, -1, G_NORMALIZE_NFC);
    g_assert_cmpstr(name, ==, composed);
    names_message(again, uid, date, from, subject, ".eml");
    g_assert_cmpstr(name, ==, again);
    names_uid(name, uid, ".eml");
    g_assert_true(names_is_bare(name, ".eml"));
    g_assert_cmpuint(names_parse_uid(name, ".eml"), ==, uid);
}

/* A name that was too long ends in "%~" and 16 hexadecimal digits. */
static gboolean was_cut(const char *name)
{
    gsize length = strlen(name);
    return length >= 18 && memcmp(name + length - 18, "%~", 2) == 0;
}

static void check_folder(const char *text, gsize size, gboolean at_root)
{
    g_autofree char *name = names_folder(text, size, at_root);
    check_component(name, NAMES_MAX);
    g_assert_cmpuint(names_parse_uid(name, ".eml"), ==, 0);
    if (at_root)
        g_assert_false(g_str_has_prefix(name, ".mailfs"));
    gsize back_size = 0;
    g_autofree char *back = names_folder_decode(name, at_root, &back_size);
    g_assert_cmpint(back == NULL, ==, was_cut(name));
    if (back)
        g_assert_cmpmem(back, back_size, text, size);
}

/* Whatever a program looks up: each folder has one name. */
static void check_decode(const char *name, gboolean at_root)
{
    gsize size = 0;
    g_autofree char *text = names_folder_decode(name, at_root, &size);
    if (!text)
        return;
    g_autofree char *again = names_folder(text, size, at_root);
    g_assert_cmpstr(again, ==, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MailUid uid;
    gint64 date;
    check_folder((const char *)data, size, FALSE);
    check_folder((const char *)data, size, TRUE);
    g_autofree char *text = g_strndup((const char *)data, size);
    check_decode(text, FALSE);
    check_decode(text, TRUE);
    names_parse_uid(text, ".eml");
    names_is_bare(text, ".eml");
    if (size < sizeof(uid) + sizeof(date))
        return 0;
    memcpy(&uid, data, sizeof(uid));
    memcpy(&date, data + sizeof(uid), sizeof(date));
    data += sizeof(uid) + sizeof(date);
    size -= sizeof(uid) + sizeof(date);
    g_autofree char *valid = g_utf8_make_valid((const char *)data, (gssize)size);
    char *subject = strchr(valid, '\n');
    if (subject)
        *subject++ = '\0';
    check_message(MAX(uid, 1), date, valid, subject ? subject : "");
    check_message(MAX(uid, 1), date % 400000000000, valid, subject ? subject : "");
    return 0;
}
