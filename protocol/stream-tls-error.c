#include "stream-tls-error.h"
#include "mail.h"

#include <gio/gio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

/* How many of a certificate's names are shown; some have hundreds. */
#define MAX_NAMES 5

static char *day(const ASN1_TIME *time)
{
    struct tm tm;
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1)
        return g_strdup("an unreadable date");
    return g_strdup_printf("%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}

/* A DNS name or an address as text; NULL for other kinds of names. */
static char *name_text(const GENERAL_NAME *name)
{
    if (name->type == GEN_DNS)
        return mail_escape((const char *)ASN1_STRING_get0_data(name->d.dNSName),
                           ASN1_STRING_length(name->d.dNSName), 100);
    if (name->type != GEN_IPADD)
        return NULL;
    int length = ASN1_STRING_length(name->d.iPAddress);
    if (length != 4 && length != 16)
        return NULL;
    g_autoptr(GInetAddress) address =
        g_inet_address_new_from_bytes(ASN1_STRING_get0_data(name->d.iPAddress),
                                      length == 4 ? G_SOCKET_FAMILY_IPV4 : G_SOCKET_FAMILY_IPV6);
    return g_inet_address_to_string(address);
}

/* "a.example, b.example": whom the certificate is for; NULL for nobody. */
static char *certificate_names(X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    GString *out = g_string_new(NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    for (int i = 0, shown = 0; i < count; i++) {
        g_autofree char *text = name_text(sk_GENERAL_NAME_value(names, i));
        if (!text)
            continue;
        if (++shown > MAX_NAMES) {
            g_string_append(out, ", ...");
            break;
        }
        g_string_append_printf(out, "%s%s", out->len ? ", " : "", text);
    }
    GENERAL_NAMES_free(names);
    return g_string_free(out, out->len == 0);
}

static char *issuer_name(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    if (!bio ||
        X509_NAME_print_ex(bio, X509_get_issuer_name(certificate), 0, XN_FLAG_ONELINE) < 0) {
        BIO_free(bio);
        return g_strdup("?");
    }
    long size = BIO_get_mem_data(bio, &bytes);
    char *text = mail_escape(bytes, size, 120);
    BIO_free(bio);
    return text;
}

static char *untrusted(X509 *certificate, const char *host, gboolean self_signed)
{
    if (self_signed)
        return g_strdup_printf(
            "the certificate of %s is self-signed: if you trust it, save it to a "
            "file and give -o ca-file=FILE",
            host);
    g_autofree char *issuer = issuer_name(certificate);
    return g_strdup_printf("the certificate of %s was issued by \"%s\", which is not trusted here: "
                           "if you trust that issuer, give its certificate with -o ca-file=FILE",
                           host, issuer);
}

static char *wrong_host(X509 *leaf, const char *host)
{
    g_autofree char *names = certificate_names(leaf);
    if (!names)
        return g_strdup_printf("the certificate of %s names no host at all (it has no "
                               "subjectAltName): tell the server's administrator",
                               host);
    return g_strdup_printf("the certificate of %s is for %s: use a name that it is for in the URL",
                           host, names);
}

static char *wrong_time(X509 *certificate, const char *host, gboolean expired)
{
    g_autofree char *date =
        day(expired ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate));
    if (expired)
        return g_strdup_printf("the certificate of %s expired on %s: tell the server's "
                               "administrator, or check this computer's clock",
                               host, date);
    return g_strdup_printf("the certificate of %s is not valid before %s: check this computer's "
                           "clock",
                           host, date);
}

char *stream_tls_error_certificate(X509_STORE_CTX *store, const char *host)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    X509 *current = X509_STORE_CTX_get_current_cert(store);
    if (!current)
        current = leaf;
    int code = X509_STORE_CTX_get_error(store);
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return wrong_time(current, host, TRUE);
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return wrong_time(current, host, FALSE);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return wrong_host(leaf, host);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return untrusted(leaf, host, TRUE);
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return untrusted(current, host, FALSE);
    default:
        return g_strdup_printf("the certificate of %s cannot be trusted: %s; tell the server's "
                               "administrator",
                               host, X509_verify_cert_error_string(code));
    }
}

static gboolean is_version_reason(int reason)
{
    return reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
           reason == SSL_R_VERSION_TOO_LOW;
}

char *stream_tls_error_reason(const char *host, const char *problem, const char *not_tls)
{
    unsigned long code = ERR_peek_error();
    ERR_clear_error();
    if (problem)
        return g_strdup(problem);
    if (not_tls)
        return g_strdup_printf(
            "%s does not speak TLS on this port, but says \"%s\": check the port "
            "and the kind of the URL (imaps and pop3s begin with TLS, imap and "
            "pop3 with STARTTLS)",
            host, not_tls);
    if (is_version_reason(ERR_GET_REASON(code)))
        return g_strdup_printf("%s offers no TLS 1.2 or newer, which is required", host);
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    return g_strdup_printf("TLS with %s failed: %s", host, reason ? reason : "unknown reason");
}
