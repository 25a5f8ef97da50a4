/* url.h: the address of an account. RFC 5092 (imap), RFC 2384 (pop) as far as a mount needs. */
#pragma once

#include "mail.h"

typedef enum { URL_IMAP, URL_IMAPS, URL_POP3, URL_POP3S } UrlScheme;

typedef struct {
    UrlScheme scheme;
    char *user; /* percent-decoded; NULL when the URL names none */
    char *host; /* an IPv6 literal without its brackets */
    guint16 port; /* the given one, else 143, 993, 110, 995 */
} Url;

/* NULL and MAIL_ERROR_CONFIG, with a sentence that says what to do, for: an unknown scheme, a
 * password in it (the message must not repeat it), no host, a bad port, a bad percent escape, a
 * control character, a path other than "/" or "". ";AUTH=..." after the user is refused with a
 * hint at the option auth=. Free with url_free. */
Url *url_parse(const char *text, GError **error);
void url_free(Url *url);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Url, url_free)
gboolean url_is_tls(const Url *url);  /* imaps, pop3s */
gboolean url_is_pop3(const Url *url);
