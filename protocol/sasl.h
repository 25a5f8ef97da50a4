/* sasl.h: one authentication exchange. libgsasl for the mechanisms it knows; OAUTHBEARER
 * (RFC 7628) and XOAUTH2 are ours. */
#pragma once

#include "mail.h"
#include "secret.h"

typedef struct {
    const char *service; /* "imap" or "pop" */
    const char *host;
    guint16 port;
    const char *user;     /* authentication identity */
    const Secret *secret; /* the password, or the token when `is_token`; NULL for EXTERNAL */
    gboolean is_token;    /* then only OAUTHBEARER and XOAUTH2 are candidates */
    gboolean encrypted;   /* TLS, a tunnel or loopback: PLAIN, LOGIN and tokens only then */
    const char *wanted;   /* what auth= names (any case), or NULL for the strongest */
} SaslConfig;

typedef struct Sasl Sasl;

/* Chooses among `offered` (NULL-terminated, mechanism names as the server spells them), strongest
 * first: EXTERNAL only when wanted; SCRAM-SHA-256, SCRAM-SHA-1, CRAM-MD5, PLAIN, LOGIN; for tokens
 * OAUTHBEARER, XOAUTH2. NULL and MAIL_ERROR_AUTH, naming both sides' lists, when none is
 * common. `config` is copied but for the secret, which must outlive the Sasl. */
Sasl *sasl_new(const SaslConfig *config, const char *const *offered, GError **error);
void sasl_free(Sasl *sasl); /* wipes what it holds */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sasl, sasl_free)

const char *sasl_mechanism(const Sasl *sasl);
/* Whether the client speaks first (so that SASL-IR can carry it). */
gboolean sasl_client_first(const Sasl *sasl);
/* One step: challenge (decoded from base64; size 0 with the first one of a client-first
 * mechanism) in, response out (raw; free with secret_wipe + g_free; may be empty: *size 0, but
 * *response != NULL). FALSE and MAIL_ERROR_AUTH when the server's part is wrong, e.g. a SCRAM
 * server signature that does not verify. */
gboolean sasl_step(Sasl *sasl, const guint8 *challenge, gsize challenge_size, guint8 **response,
                   gsize *size, GError **error);
/* The same in base64, as IMAP and POP3 carry it: `challenge` is what the server said, "" or NULL
 * where it said nothing; the first one of a client-first mechanism is not looked at. Free the
 * answer, which may be empty, with secret_free_text(). NULL and an error when sasl_step() fails. */
char *sasl_answer(Sasl *sasl, const char *challenge, GError **error);
/* To be asked when the server reports success: FALSE if the mechanism still owes a proof by the
 * server (SCRAM): then the success must not be believed. */
gboolean sasl_finished(const Sasl *sasl);
