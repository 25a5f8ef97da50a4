#include "sasl.h"

#include <gsasl.h>
#include <string.h>

/* No server's challenge comes near this. */
#define MAX_CHALLENGE (64 * 1024)
/* SCRAM makes the client compute as many hashes as the server likes, on the main loop. This many
 * cost about half a second; what servers use is far below. */
#define MAX_ITERATIONS 600000

typedef enum {
    NEEDS_SECRET = 1 << 0, /* a password or a token */
    IS_TOKEN = 1 << 1,     /* wants a token, not a password */
    SENDS_SECRET = 1 << 2, /* in the clear: only where nobody listens */
    CLIENT_FIRST = 1 << 3,
    ONLY_WANTED = 1 << 4, /* never chosen unless it is asked for */
    IS_SCRAM = 1 << 5,
} Traits;

typedef struct {
    const char *name;
    guint traits;
} Mechanism;

/* Strongest first. */
static const Mechanism mechanisms[] = {
    {"EXTERNAL", CLIENT_FIRST | ONLY_WANTED},
    {"SCRAM-SHA-256", NEEDS_SECRET | CLIENT_FIRST | IS_SCRAM},
    {"SCRAM-SHA-1", NEEDS_SECRET | CLIENT_FIRST | IS_SCRAM},
    {"CRAM-MD5", NEEDS_SECRET},
    {"PLAIN", NEEDS_SECRET | SENDS_SECRET | CLIENT_FIRST},
    {"LOGIN", NEEDS_SECRET | SENDS_SECRET},
    {"OAUTHBEARER", NEEDS_SECRET | IS_TOKEN | SENDS_SECRET | CLIENT_FIRST},
    {"XOAUTH2", NEEDS_SECRET | IS_TOKEN | SENDS_SECRET | CLIENT_FIRST},
};

typedef enum {
    STEP_FIRST,
    STEP_MORE,   /* the exchange goes on, or a token's server may still say why it refuses */
    STEP_DONE,   /* nothing is owed by either side */
    STEP_FAILED, /* the server's part was wrong, or it refused the token */
} Step;

struct Sasl {
    const Mechanism *mechanism;
    Step step;
    gboolean answered; /* sasl_answer() was called */
    char *user, *host;
    guint16 port;
    const Secret *secret;
    Gsasl *library; /* these two: not for tokens */
    Gsasl_session *session;
};

static gboolean fail(Sasl *sasl, GError **error, const char *message)
{
    sasl->step = STEP_FAILED;
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_AUTH, "%s: %s", sasl->mechanism->name, message);
    return FALSE;
}

static gboolean is_offered(const char *name, const char *const *offered)
{
    for (; offered && *offered; offered++)
        if (g_ascii_strcasecmp(*offered, name) == 0)
            return TRUE;
    return FALSE;
}

/* Whether we could use it with what we have, were it offered. */
static gboolean is_candidate(const Mechanism *mechanism, const SaslConfig *config)
{
    guint traits = mechanism->traits;
    if (config->wanted && g_ascii_strcasecmp(config->wanted, mechanism->name) != 0)
        return FALSE;
    if ((traits & ONLY_WANTED) && !config->wanted)
        return FALSE;
    if ((traits & SENDS_SECRET) && !config->encrypted)
        return FALSE;
    if (!(traits & NEEDS_SECRET))
        return TRUE;
    return config->secret && config->user && !(traits & IS_TOKEN) == !config->is_token;
}

static const Mechanism *choose(const SaslConfig *config, const char *const *offered)
{
    for (guint i = 0; i < G_N_ELEMENTS(mechanisms); i++)
        if (is_candidate(&mechanisms[i], config) && is_offered(mechanisms[i].name, offered))
            return &mechanisms[i];
    return NULL;
}

static gpointer refuse_offer(const SaslConfig *config, const char *const *offered, GError **error)
{
    g_autoptr(GString) ours = g_string_new(NULL);
    for (guint i = 0; i < G_N_ELEMENTS(mechanisms); i++)
        if (is_candidate(&mechanisms[i], config))
            g_string_append_printf(ours, "%s%s", ours->len ? " " : "", mechanisms[i].name);
    if (ours->len == 0 && config->wanted) {
        g_autofree char *wanted = mail_escape(config->wanted, -1, 40);
        g_string_append_printf(
            ours, "nothing, since auth=%s is unknown, or does not fit %s", wanted,
            config->encrypted ? "what there is to log in with" : "a connection without TLS");
    }
    g_autoptr(GString) theirs = g_string_new(NULL);
    for (; offered && *offered && theirs->len < 200; offered++)
        g_string_append_printf(theirs, "%s%s", theirs->len ? " " : "", *offered);
    g_autofree char *shown = mail_escape(theirs->str, -1, 200);
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_AUTH,
                "no common way to log in: the server offers %s; usable here: %s",
                theirs->len ? shown : "nothing", ours->len ? ours->str : "nothing");
    return NULL;
}

/* A NUL would end the text early for libgsasl, and ^A separates the fields of a token's message;
 * no token or password has a control character in it. */
static gboolean is_plain_text(const char *text, gsize size)
{
    for (gsize i = 0; i < size; i++)
        if ((guchar)text[i] < 0x20 || text[i] == 0x7f)
            return FALSE;
    return TRUE;
}

static gboolean start_session(Sasl *sasl, const SaslConfig *config, GError **error)
{
    int rc = gsasl_init(&sasl->library);
    if (rc == GSASL_OK)
        rc = gsasl_client_start(sasl->library, sasl->mechanism->name, &sasl->session);
    if (rc == GSASL_OK && config->user)
        rc = gsasl_property_set(
            sasl->session, sasl->mechanism->traits & NEEDS_SECRET ? GSASL_AUTHID : GSASL_AUTHZID,
            config->user);
    if (rc == GSASL_OK && (sasl->mechanism->traits & NEEDS_SECRET))
        rc = gsasl_property_set(sasl->session, GSASL_PASSWORD, secret_peek(config->secret, NULL));
    if (rc == GSASL_OK)
        rc = gsasl_property_set(sasl->session, GSASL_SERVICE, config->service);
    if (rc == GSASL_OK)
        rc = gsasl_property_set(sasl->session, GSASL_HOSTNAME, config->host);
    return rc == GSASL_OK || fail(sasl, error, gsasl_strerror(rc));
}

Sasl *sasl_new(const SaslConfig *config, const char *const *offered, GError **error)
{
    const Mechanism *mechanism = choose(config, offered);
    if (!mechanism)
        return refuse_offer(config, offered, error);
    g_autoptr(Sasl) sasl = g_new0(Sasl, 1);
    sasl->mechanism = mechanism;
    sasl->user = g_strdup(config->user ? config->user : "");
    sasl->host = g_strdup(config->host);
    sasl->port = config->port;
    sasl->secret = config->secret;
    gsize size = 0;
    const char *secret = mechanism->traits & NEEDS_SECRET ? secret_peek(config->secret, &size) : "";
    if (!is_plain_text(secret, size) || !is_plain_text(sasl->user, strlen(sasl->user))) {
        fail(sasl, error, "the user name or the password has a control character in it");
        return NULL;
    }
    if (!(mechanism->traits & IS_TOKEN) && !start_session(sasl, config, error))
        return NULL;
    return g_steal_pointer(&sasl);
}

/* libgsasl frees its copies without wiping them. */
static void wipe_session(Gsasl_session *session)
{
    static const Gsasl_property secrets[] = {GSASL_PASSWORD, GSASL_SCRAM_SALTED_PASSWORD,
                                             GSASL_SCRAM_SERVERKEY, GSASL_SCRAM_STOREDKEY};
    for (guint i = 0; i < G_N_ELEMENTS(secrets); i++) {
        const char *copy = gsasl_property_fast(session, secrets[i]);
        if (copy)
            secret_wipe((char *)copy, strlen(copy));
    }
}

void sasl_free(Sasl *sasl)
{
    if (!sasl)
        return;
    if (sasl->session) {
        wipe_session(sasl->session);
        gsasl_finish(sasl->session);
    }
    if (sasl->library)
        gsasl_done(sasl->library);
    g_free(sasl->user);
    g_free(sasl->host);
    g_free(sasl);
}

const char *sasl_mechanism(const Sasl *sasl)
{
    return sasl->mechanism->name;
}

gboolean sasl_client_first(const Sasl *sasl)
{
    return (sasl->mechanism->traits & CLIENT_FIRST) != 0;
}

gboolean sasl_finished(const Sasl *sasl)
{
    if (sasl->mechanism->traits & IS_TOKEN)
        return sasl->step == STEP_MORE;
    return sasl->step == STEP_DONE;
}

/* A saslname: RFC 5801 section 4 has "," and "=" escaped. */
static void append_saslname(GString *out, const char *name)
{
    for (; *name; name++) {
        if (*name == ',')
            g_string_append(out, "=2C");
        else if (*name == '=')
            g_string_append(out, "=3D");
        else
            g_string_append_c(out, *name);
    }
}

/* The one message that carries the token. The string has its full room from the start: growing
 * would leave copies of the token behind. */
static void token_message(const Sasl *sasl, guint8 **response, gsize *size)
{
    gsize token_size;
    const char *token = secret_peek(sasl->secret, &token_size);
    GString *out =
        g_string_sized_new(token_size + 3 * strlen(sasl->user) + strlen(sasl->host) + 64);
    if (g_str_equal(sasl->mechanism->name, "OAUTHBEARER")) {
        g_string_append(out, "n,a=");
        append_saslname(out, sasl->user);
        g_string_append_printf(out, ",\001host=%s\001port=%u", sasl->host, sasl->port);
    } else {
        g_string_append_printf(out, "user=%s", sasl->user);
    }
    g_string_append(out, "\001auth=Bearer ");
    g_string_append_len(out, token, (gssize)token_size);
    g_string_append(out, "\001\001");
    *size = out->len;
    *response = (guint8 *)g_string_free(out, FALSE);
}

/* After the token a challenge can only be the reason of a refusal. The server waits for an answer
 * before it says NO: RFC 7628 section 3.2.3 has ^A for it, XOAUTH2 an empty one. */
static gboolean token_step(Sasl *sasl, const guint8 *challenge, gsize challenge_size,
                           guint8 **response, gsize *size, GError **error)
{
    if (sasl->step == STEP_FIRST) {
        token_message(sasl, response, size);
        sasl->step = STEP_MORE;
        return TRUE;
    }
    if (sasl->step != STEP_MORE)
        return fail(sasl, error, "the server does not end the login");
    g_autofree char *shown = mail_escape((const char *)challenge, (gssize)challenge_size, 300);
    g_message("the server refused the token: %s", shown);
    sasl->step = STEP_FAILED;
    gboolean bearer = g_str_equal(sasl->mechanism->name, "OAUTHBEARER");
    *response = (guint8 *)g_strdup(bearer ? "\001" : "");
    *size = bearer ? 1 : 0;
    return TRUE;
}

/* Whether the "i=" of a server's first message (RFC 5802 section 5.1) is one we will compute. */
static gboolean iterations_allowed(const guint8 *challenge, gsize size)
{
    g_autofree char *text = g_strndup((const char *)challenge, size);
    const char *mark = strstr(text, ",i=");
    if (!mark)
        return TRUE; /* no such message, or one that libgsasl will refuse */
    return g_ascii_strtoull(mark + 3, NULL, 10) <= MAX_ITERATIONS;
}

static gboolean session_step(Sasl *sasl, const guint8 *challenge, gsize challenge_size,
                             guint8 **response, gsize *size, GError **error)
{
    if ((sasl->mechanism->traits & IS_SCRAM) && !iterations_allowed(challenge, challenge_size))
        return fail(sasl, error, "the server wants the password hashed unreasonably often");
    char *output = NULL;
    gsize output_size = 0;
    int rc =
        gsasl_step(sasl->session, (const char *)challenge, challenge_size, &output, &output_size);
    if (rc != GSASL_OK && rc != GSASL_NEEDS_MORE)
        return fail(sasl, error,
                    sasl->mechanism->traits & IS_SCRAM && rc == GSASL_AUTHENTICATION_ERROR
                        ? "the server could not prove that it knows the password"
                        : gsasl_strerror(rc));
    sasl->step = rc == GSASL_OK ? STEP_DONE : STEP_MORE;
    *response = g_malloc0(output_size + 1);
    *size = output_size;
    if (output) {
        memcpy(*response, output, output_size);
        secret_wipe(output, output_size);
        gsasl_free(output);
    }
    return TRUE;
}

gboolean sasl_step(Sasl *sasl, const guint8 *challenge, gsize challenge_size, guint8 **response,
                   gsize *size, GError **error)
{
    *response = NULL;
    *size = 0;
    if (sasl->step == STEP_DONE || sasl->step == STEP_FAILED)
        return fail(sasl, error, "the server goes on after the login's end");
    if (challenge_size == 0)
        challenge = (const guint8 *)"";
    if (challenge_size > MAX_CHALLENGE)
        return fail(sasl, error, "the server's challenge is too long");
    if (sasl->mechanism->traits & IS_TOKEN)
        return token_step(sasl, challenge, challenge_size, response, size, error);
    return session_step(sasl, challenge, challenge_size, response, size, error);
}

char *sasl_answer(Sasl *sasl, const char *challenge, GError **error)
{
    guint8 *response = NULL;
    gsize size = 0, response_size = 0;
    g_autofree guint8 *bytes = g_base64_decode(challenge ? challenge : "", &size);
    if (!sasl->answered && sasl_client_first(sasl))
        size = 0;
    sasl->answered = TRUE;
    if (!sasl_step(sasl, bytes, size, &response, &response_size, error))
        return NULL;
    char *text = g_base64_encode(response, response_size);
    secret_wipe(response, response_size);
    g_free(response);
    return text;
}
