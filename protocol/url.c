#include "url.h"

#include <gio/gio.h>
#include <string.h>

/* No message here repeats anything of the URL but its scheme: whatever else looks wrong may be a
 * piece of a password that was typed into it, and messages end in logs and scrollback. */

typedef struct {
    const char *name;
    UrlScheme scheme;
    guint16 port;
} SchemeEntry;

static const SchemeEntry schemes[] = {
    {"imap", URL_IMAP, 143},
    {"imaps", URL_IMAPS, 993},
    {"pop3", URL_POP3, 110},
    {"pop3s", URL_POP3S, 995},
};

static gpointer refuse(GError **error, const char *message)
{
    g_set_error_literal(error, MAIL_ERROR, MAIL_ERROR_CONFIG, message);
    return NULL;
}

static gboolean is_control(const char *text)
{
    for (; *text; text++)
        if ((guchar)*text < 0x20 || *text == 0x7f)
            return TRUE;
    return FALSE;
}

/* The entry of the scheme that `text` starts with; *rest is what follows "://". */
static const SchemeEntry *parse_scheme(const char *text, const char **rest, GError **error)
{
    const char *mark = strstr(text, "://");
    if (!mark)
        return refuse(error, "not an account URL: write it as imaps://USER@HOST (or imap://, "
                             "pop3s://, pop3://)");
    *rest = mark + 3;
    gsize length = (gsize)(mark - text);
    for (guint i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (strlen(schemes[i].name) == length &&
            g_ascii_strncasecmp(schemes[i].name, text, length) == 0)
            return &schemes[i];
    g_autofree char *shown = mail_escape(text, (gssize)length, 20);
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                "unknown kind of account \"%s\": use imaps, imap, pop3s or pop3", shown);
    return NULL;
}

static gboolean has_auth_parameter(const char *user)
{
    for (const char *at = strchr(user, ';'); at; at = strchr(at + 1, ';'))
        if (g_ascii_strncasecmp(at, ";auth=", 6) == 0)
            return TRUE;
    return FALSE;
}

/* Decodes what stands before the "@". */
static char *parse_user(const char *encoded, GError **error)
{
    if (strchr(encoded, ':'))
        return refuse(error, "a password does not belong into the URL, where others can see it: "
                             "take it out; it is asked for, or read from ~/.netrc, --password-fd "
                             "or password-command");
    if (has_auth_parameter(encoded))
        return refuse(error, "\";AUTH=\" is not understood in a URL: use the option -o auth=NAME");
    if (!*encoded)
        return refuse(error, "no user name before the \"@\": write imaps://USER@HOST");
    if (strpbrk(encoded, "/?#[]"))
        return refuse(error, "the user name has a character that must be percent-encoded "
                             "(\"/\" as %2F, \"@\" as %40, \"#\" as %23)");
    g_autofree char *user = g_uri_unescape_string(encoded, NULL);
    if (!user || !g_utf8_validate(user, -1, NULL))
        return refuse(error, "bad percent escape in the user name: write \"%\" itself as %25");
    if (is_control(user))
        return refuse(error, "the user name has a control character in it");
    return g_steal_pointer(&user);
}

static gboolean parse_port(const char *text, guint16 *port)
{
    guint64 number;
    if (!g_ascii_string_to_unsigned(text, 10, 1, G_MAXUINT16, &number, NULL))
        return FALSE;
    *port = (guint16)number;
    return TRUE;
}

/* "::1" or "fe80::1%25eth0" (RFC 6874; a bare "%" as people type it is taken too), without the
 * brackets. NULL when it is none. */
static char *parse_ipv6(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "%", 2);
    g_autoptr(GInetAddress) address = parts[0] ? g_inet_address_new_from_string(parts[0]) : NULL;
    if (!address || g_inet_address_get_family(address) != G_SOCKET_FAMILY_IPV6)
        return NULL;
    if (!parts[1])
        return g_strdup(parts[0]);
    const char *zone = g_str_has_prefix(parts[1], "25") && parts[1][2] ? parts[1] + 2 : parts[1];
    if (!*zone || strlen(zone) > 32)
        return NULL;
    for (const char *c = zone; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr("-_.", *c))
            return NULL;
    return g_strdup_printf("%s%%%s", parts[0], zone);
}

/* A host name in its ASCII form, or an IPv4 address. NULL when it is none. */
static char *parse_name(const char *text)
{
    gsize length = strlen(text);
    if (length == 0 || length > 1000 || *text == '.' || *text == '-' ||
        !g_utf8_validate(text, (gssize)length, NULL))
        return NULL;
    g_autofree char *ascii = g_hostname_to_ascii(text);
    if (!ascii || !*ascii || strlen(ascii) > 254 || strstr(ascii, ".."))
        return NULL;
    for (const char *c = ascii; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr("-._", *c))
            return NULL;
    return g_steal_pointer(&ascii);
}

/* Cuts "host:port" (modified in place) into its parts. */
static gboolean parse_address(char *address, Url *url, GError **error)
{
    char *port;
    if (*address == '[') {
        char *end = strchr(address, ']');
        if (!end || (end[1] && end[1] != ':')) {
            refuse(error, "bad IPv6 address in the URL: write it as [2001:db8::1]");
            return FALSE;
        }
        port = end[1] ? end + 2 : NULL;
        *end = '\0';
        url->host = parse_ipv6(address + 1);
    } else {
        port = strchr(address, ':');
        if (port)
            *port++ = '\0';
        url->host = *address ? parse_name(address) : NULL;
    }
    if (!url->host) {
        refuse(error, *address ? "bad host name in the URL: write a name as mail.example.org, or "
                                 "an address as 192.0.2.1 or [2001:db8::1]"
                               : "no host in the URL: write it as imaps://USER@HOST");
        return FALSE;
    }
    if (port && !parse_port(port, &url->port)) {
        refuse(error, "bad port in the URL: it is a number from 1 to 65535");
        return FALSE;
    }
    return TRUE;
}

Url *url_parse(const char *text, GError **error)
{
    const char *rest;
    if (is_control(text))
        return refuse(error, "the URL has a control character in it");
    const SchemeEntry *entry = parse_scheme(text, &rest, error);
    if (!entry)
        return NULL;
    g_autoptr(Url) url = g_new0(Url, 1);
    url->scheme = entry->scheme;
    url->port = entry->port;
    /* The last "@" of all: a password with "@" or "/" in it is then still known as one. */
    const char *at = strrchr(rest, '@');
    if (at) {
        g_autofree char *encoded = g_strndup(rest, (gsize)(at - rest));
        url->user = parse_user(encoded, error);
        if (!url->user)
            return NULL;
        rest = at + 1;
    }
    gsize length = strcspn(rest, "/?#");
    if (rest[length] && strcmp(rest + length, "/") != 0)
        return refuse(error, "the URL names an account, not a folder: take out what follows the "
                             "host");
    g_autofree char *address = g_strndup(rest, length);
    if (!parse_address(address, url, error))
        return NULL;
    return g_steal_pointer(&url);
}

void url_free(Url *url)
{
    if (!url)
        return;
    g_free(url->user);
    g_free(url->host);
    g_free(url);
}

gboolean url_is_tls(const Url *url)
{
    return url->scheme == URL_IMAPS || url->scheme == URL_POP3S;
}

gboolean url_is_pop3(const Url *url)
{
    return url->scheme == URL_POP3 || url->scheme == URL_POP3S;
}
