/* pop3-reply.h: cuts the bytes of a POP3 server into replies, and reads them. RFC 1939, 2449, 3206.
 *
 * Pure: no I/O, no clock; allocates one bounded buffer for the line at hand. Any split of the same
 * bytes gives the same events (but for the cuts between POP3_DATA). */
#pragma once

#include "mail.h"

/* The most bytes that a line may have: long enough for what a SASL mechanism asks. A message's own
 * lines have no limit. */
#define POP3_MAX_LINE (64 * 1024)

typedef enum {
    POP3_NEED_DATA, /* all bytes are consumed: call again with more */
    POP3_STATUS,    /* a status line or a challenge: pop3_scan_line() */
    POP3_ITEM,      /* one line of a list, dot-unstuffed: pop3_scan_line() */
    POP3_DATA,      /* a piece of a message, dot-unstuffed; its line ends as they came */
    POP3_END,       /* the list or the message is complete */
    POP3_ERROR,     /* a line is too long; the connection is of no more use */
} Pop3Event;

typedef struct {
    const guint8 *data; /* in the caller's buffer, or in the scanner: until the next call */
    gsize size;
} Pop3Piece;

typedef struct Pop3Scan Pop3Scan;
Pop3Scan *pop3_scan_new(void);
void pop3_scan_free(Pop3Scan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Pop3Scan, pop3_scan_free)

/* Consumes some of data[0..size), sets *used to how many, and returns what was found; *piece is set
 * for POP3_DATA. Call again with the rest until POP3_NEED_DATA. */
Pop3Event pop3_scan_next(Pop3Scan *scan, const guint8 *data, gsize size, gsize *used,
                         Pop3Piece *piece);
/* Right after POP3_STATUS only: a list or a message follows that line. */
void pop3_scan_expect_list(Pop3Scan *scan);
void pop3_scan_expect_message(Pop3Scan *scan);
/* The line without its end; owned by the scanner, valid until the next call. NUL bytes are made
 * spaces. */
const char *pop3_scan_line(const Pop3Scan *scan);

/* ---- what a line says ---- */

typedef enum { POP3_OK, POP3_ERR, POP3_CHALLENGE } Pop3Status;

/* Response codes, RFC 2449 section 8 and RFC 3206. */
typedef enum {
    POP3_CODE_NONE,
    POP3_CODE_IN_USE,
    POP3_CODE_LOGIN_DELAY,
    POP3_CODE_AUTH,
    POP3_CODE_SYS_TEMP,
    POP3_CODE_SYS_PERM,
    POP3_CODE_OTHER,
} Pop3Code;

typedef struct {
    Pop3Status status;
    Pop3Code code;
    const char *text; /* what follows the status and the code; in the line */
} Pop3Reply;

/* FALSE: the line is no reply of POP3. */
gboolean pop3_parse_reply(const char *line, Pop3Reply *reply);
/* "NUMBER SIZE", as LIST and STAT tell. */
gboolean pop3_parse_numbers(const char *line, guint32 *number, guint64 *size);
/* "NUMBER UIDL". *uidl is in the line, "" when the server gives none. */
gboolean pop3_parse_uidl(const char *line, guint32 *number, const char **uidl);
/* The timestamp "<...>" of a greeting, for APOP; NULL when there is none. g_free. */
char *pop3_parse_timestamp(const char *greeting);

typedef enum {
    POP3_CAP_TOP = 1 << 0,
    POP3_CAP_UIDL = 1 << 1,
    POP3_CAP_USER = 1 << 2,
    POP3_CAP_STLS = 1 << 3,
    POP3_CAP_PIPELINING = 1 << 4,
    POP3_CAP_RESP_CODES = 1 << 5,
    POP3_CAP_AUTH_RESP_CODE = 1 << 6, /* [AUTH] is said when the credentials are wrong, only then */
} Pop3Cap;

typedef struct {
    guint32 caps;          /* Pop3Cap */
    guint login_delay;     /* seconds between logins, 0: none */
    GPtrArray *mechanisms; /* of char*, of SASL, NULL-terminated */
    GString *text;         /* as the server spelt them, escaped, for people */
    guint count;
} Pop3Capabilities;

Pop3Capabilities *pop3_capabilities_new(void);
void pop3_capabilities_free(Pop3Capabilities *capabilities);
/* One line of the answer to CAPA; lines beyond a limit are ignored. */
void pop3_capabilities_add(Pop3Capabilities *capabilities, const char *line);
