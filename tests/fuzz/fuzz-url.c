/* Account URLs: an error that says so, or parts that keep the header's word. */
#include "url.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    g_assert_cmpint(*text, !=, '\0');
    for (; *text; text++)
        g_assert_false(g_ascii_iscntrl(*text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Url) url = url_parse(text, &error);
    if (!url) {
        g_assert_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG);
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
        return 0;
    }
    g_assert_no_error(error);
    check_text(url->host);
    if (url->user)
        check_text(url->user);
    g_assert_cmpuint(url->port, >, 0);
    g_assert_cmpint(url_is_tls(url), ==, url->scheme == URL_IMAPS || url->scheme == URL_POP3S);
    g_assert_cmpint(url_is_pop3(url), ==, url->scheme == URL_POP3 || url->scheme == URL_POP3S);
    return 0;
}
