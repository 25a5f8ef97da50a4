#include "url.h"

#include <string.h>

typedef struct {
    const char *text;
    UrlScheme scheme;
    const char *user, *host;
    guint16 port;
} Good;

static const Good good[] = {
    {"imaps://alice@mail.example.org", URL_IMAPS, "alice", "mail.example.org", 993},
    {"imap://alice@mail.example.org/", URL_IMAP, "alice", "mail.example.org", 143},
    {"pop3s://bob@pop.example.org", URL_POP3S, "bob", "pop.example.org", 995},
    {"pop3://bob@pop.example.org:1110/", URL_POP3, "bob", "pop.example.org", 1110},
    {"IMAPS://alice@MAIL.example.org:1", URL_IMAPS, "alice", "mail.example.org", 1},
    {"imaps://mail.example.org", URL_IMAPS, NULL, "mail.example.org", 993},
    {"imaps://alice%40example.org@mail.example.org", URL_IMAPS, "alice@example.org",
     "mail.example.org", 993},
    {"imaps://alice@example.org@mail.example.org", URL_IMAPS, "alice@example.org",
     "mail.example.org", 993},
    {"imaps://dom%5Cj%C3%BCrgen%3A%2F@h", URL_IMAPS, "dom\\j\xc3\xbcrgen:/", "h", 993},
    {"imaps://a;b+c=d@h:65535", URL_IMAPS, "a;b+c=d", "h", 65535},
    {"imap://u@127.0.0.1:10143", URL_IMAP, "u", "127.0.0.1", 10143},
    {"imap://u@[::1]", URL_IMAP, "u", "::1", 143},
    {"imaps://u@[2001:db8::1]:9930/", URL_IMAPS, "u", "2001:db8::1", 9930},
    {"imap://u@[fe80::1%25eth0]", URL_IMAP, "u", "fe80::1%eth0", 143},
    {"imap://u@[fe80::1%eth0]:99", URL_IMAP, "u", "fe80::1%eth0", 99},
    {"imaps://u@b\xc3\xbc"
     "cher.example",
     URL_IMAPS, "u", "xn--bcher-kva.example", 993},
    {"imaps://u@host.", URL_IMAPS, "u", "host.", 993},
};

static const char *const bad[] = {
    "",
    "alice@mail.example.org",
    "work",
    "://",
    "smtp://alice@h",
    "imapss://alice@h",
    "http://h",
    "imaps:/alice@h",
    "imaps://",
    "imaps:///",
    "imaps://alice@",
    "imaps://alice@/",
    "imaps://alice@:993",
    "imaps://@h",
    "imaps://alice@h:",
    "imaps://alice@h:0",
    "imaps://alice@h:65536",
    "imaps://alice@h:-1",
    "imaps://alice@h:+1",
    "imaps://alice@h: 1",
    "imaps://alice@h:99999999999999999999",
    "imaps://alice@h:12a",
    "imaps://alice@h:1:2",
    "imaps://alice@h/INBOX",
    "imaps://alice@h//",
    "imaps://alice@h?x",
    "imaps://alice@h#x",
    "imaps://al%ice@h",
    "imaps://al%4@h",
    "imaps://al%zzice@h",
    "imaps://al%00ice@h",
    "imaps://al%0aice@h",
    "imaps://al%7fice@h",
    "imaps://al%ffice@h",
    "imaps://al\nice@h",
    "imaps://alice@h\r",
    "imaps://a/b@h",
    "imaps://alice@h h",
    "imaps://alice@-h",
    "imaps://alice@.h",
    "imaps://alice@a..b",
    "imaps://alice@h%41",
    "imaps://alice@a,b",
    "imaps://alice@\xff\xfe",
    "imaps://alice@::1",
    "imaps://alice@[::1",
    "imaps://alice@[]",
    "imaps://alice@[::1]x",
    "imaps://alice@[::1]:",
    "imaps://alice@[127.0.0.1]",
    "imaps://alice@[fe80::1%]",
    "imaps://alice@[fe80::1%25]x",
    "imaps://alice@[fe80::1%a/b]",
    "imaps://alice@[h]",
};

static void test_good(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Url) url = url_parse(good[i].text, &error);
        g_assert_no_error(error);
        g_assert_nonnull(url);
        g_assert_cmpint(url->scheme, ==, good[i].scheme);
        g_assert_cmpstr(url->user, ==, good[i].user);
        g_assert_cmpstr(url->host, ==, good[i].host);
        g_assert_cmpuint(url->port, ==, good[i].port);
    }
}

static void test_bad(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Url) url = url_parse(bad[i], &error);
        if (url)
            g_test_message("accepted: %s", bad[i]);
        g_assert_null(url);
        g_assert_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG);
        g_assert_null(strchr(error->message, '\n'));
        g_assert_true(g_utf8_validate(error->message, -1, NULL));
    }
}

/* However it is mistyped, the password does not come back in the message. */
static void test_password(void)
{
    static const char *const texts[] = {
        "imaps://alice:tiger@mail.example.org",
        "imaps://alice:@mail.example.org",
        "imaps://alice:ti@tiger@h",
        "imaps://alice:tiger/tiger@h",
        "imaps://alice:tiger#1@h:99999",
        "imaps://alice:tiger",
        "alice:tiger@mail.example.org",
        "imaps://alice@tiger:tiger",
        "imaps://alice;AUTH=tiger:tiger@h",
        "imaps://alice:tiger%zz@h",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(url_parse(texts[i], &error));
        g_assert_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG);
        g_assert_null(strstr(error->message, "tiger"));
    }
    g_autoptr(GError) error = NULL;
    g_assert_null(url_parse(texts[0], &error));
    g_assert_nonnull(strstr(error->message, "password"));
}

static void test_auth(void)
{
    static const char *const texts[] = {"imap://alice;AUTH=PLAIN@h", "imap://;auth=*@h",
                                        "imap://a;b;Auth=X@h"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(url_parse(texts[i], &error));
        g_assert_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, "auth="));
    }
}

/* Either a whole Url or a whole error, wherever the text ends. */
static void check_cut(const char *text)
{
    for (gsize length = 0; length <= strlen(text); length++) {
        g_autofree char *cut = g_strndup(text, length);
        g_autoptr(GError) error = NULL;
        g_autoptr(Url) url = url_parse(cut, &error);
        g_assert_true((url == NULL) == (error != NULL));
        if (url) {
            g_assert_cmpuint(strlen(url->host), >, 0);
            g_assert_cmpuint(url->port, >, 0);
        }
    }
}

static void test_cut(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(good); i++)
        check_cut(good[i].text);
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++)
        check_cut(bad[i]);
}

static void test_long(void)
{
    g_autofree char *name = g_strnfill(100000, 'a');
    g_autofree char *host = g_strdup_printf("imaps://%s", name);
    g_autofree char *user = g_strdup_printf("imaps://%s@h", name);
    g_autofree char *scheme = g_strdup_printf("%s://h", name);
    g_autoptr(GError) error = NULL;
    g_assert_null(url_parse(host, NULL));
    g_autoptr(Url) url = url_parse(user, NULL);
    g_assert_nonnull(url);
    g_assert_null(url_parse(scheme, &error));
    g_assert_cmpuint(strlen(error->message), <, 200);
}

static void test_kinds(void)
{
    static const char *const texts[] = {"imap://h", "imaps://h", "pop3://h", "pop3s://h"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Url) url = url_parse(texts[i], NULL);
        g_assert_cmpint(url_is_tls(url), ==, i % 2 == 1);
        g_assert_cmpint(url_is_pop3(url), ==, i >= 2);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/url/good", test_good);
    g_test_add_func("/url/bad", test_bad);
    g_test_add_func("/url/password", test_password);
    g_test_add_func("/url/auth", test_auth);
    g_test_add_func("/url/cut", test_cut);
    g_test_add_func("/url/long", test_long);
    g_test_add_func("/url/kinds", test_kinds);
    return g_test_run();
}
