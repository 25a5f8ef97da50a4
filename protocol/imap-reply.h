/* imap-reply.h: one response as a typed reply. RFC 3501, RFC 9051 section 7 and the extensions
 * that mailfs uses. Pure: what it points to belongs to the parser and lasts until its next call. */
#pragma once

#include "imap-value.h"
#include "mail.h"

typedef enum {
    IMAP_REPLY_CONTINUE,       /* "+ text": for SASL, `text` is the base64 challenge */
    IMAP_REPLY_TAGGED,         /* tag, condition, code, text */
    IMAP_REPLY_STATUS,         /* untagged OK, NO, BAD, BYE, PREAUTH: condition, code, text */
    IMAP_REPLY_CAPABILITY,     /* values: atoms */
    IMAP_REPLY_ENABLED,        /* values: atoms */
    IMAP_REPLY_ID,             /* values: NIL or one list of string pairs */
    IMAP_REPLY_NAMESPACE,      /* values: three lists or NILs */
    IMAP_REPLY_LIST,           /* list; LSUB too */
    IMAP_REPLY_MAILBOX_STATUS, /* status */
    IMAP_REPLY_SEARCH,         /* numbers in `uids`; modseq */
    IMAP_REPLY_ESEARCH,        /* search_tag (or NULL), uids (ALL), number (COUNT), modseq */
    IMAP_REPLY_FLAGS,          /* flags */
    IMAP_REPLY_EXISTS,         /* number */
    IMAP_REPLY_RECENT,         /* number */
    IMAP_REPLY_EXPUNGE,        /* number: a sequence number */
    IMAP_REPLY_VANISHED,       /* uids; earlier */
    IMAP_REPLY_FETCH,          /* number: the sequence number; fetch */
    IMAP_REPLY_QUOTA,          /* values */
    IMAP_REPLY_QUOTAROOT,      /* values */
    IMAP_REPLY_MYRIGHTS,       /* values */
    IMAP_REPLY_OTHER,          /* nothing that mailfs knows; an empty line too */
} ImapReplyType;

typedef enum { IMAP_OK, IMAP_NO, IMAP_BAD, IMAP_BYE, IMAP_PREAUTH } ImapCondition;

/* Response codes, RFC 9051 section 7.1 and RFC 5530, 7162, 4315, 4978, 9208. */
typedef enum {
    IMAP_CODE_NONE,
    IMAP_CODE_ALERT,
    IMAP_CODE_ALREADYEXISTS,
    IMAP_CODE_APPENDUID, /* number = UIDVALIDITY, uids */
    IMAP_CODE_AUTHENTICATIONFAILED,
    IMAP_CODE_AUTHORIZATIONFAILED,
    IMAP_CODE_CANNOT,
    IMAP_CODE_CAPABILITY, /* values: atoms */
    IMAP_CODE_CLOSED,
    IMAP_CODE_COMPRESSIONACTIVE,
    IMAP_CODE_COPYUID, /* number = UIDVALIDITY, uids (source), uids_to, in the given order */
    IMAP_CODE_EXPIRED,
    IMAP_CODE_HASCHILDREN,
    IMAP_CODE_HIGHESTMODSEQ, /* number */
    IMAP_CODE_INUSE,
    IMAP_CODE_LIMIT,
    IMAP_CODE_MODIFIED, /* uids */
    IMAP_CODE_NOMODSEQ,
    IMAP_CODE_NONEXISTENT,
    IMAP_CODE_NOPERM,
    IMAP_CODE_OVERQUOTA,
    IMAP_CODE_PERMANENTFLAGS, /* flags */
    IMAP_CODE_READ_ONLY,
    IMAP_CODE_READ_WRITE,
    IMAP_CODE_TRYCREATE,
    IMAP_CODE_UIDNEXT, /* number */
    IMAP_CODE_UIDNOTSTICKY,
    IMAP_CODE_UIDVALIDITY, /* number */
    IMAP_CODE_UNAVAILABLE,
    IMAP_CODE_OTHER,
} ImapCode;

typedef struct {
    gboolean present;      /* FLAGS was in the reply */
    guint32 system;        /* MailFlags */
    const char **keywords; /* NULL-terminated, as the server spells them; at most 64, each at most
                              128 bytes, printable ASCII: others are left out */
    guint n_keywords;
} ImapFlags;

typedef struct {
    MailUid uid; /* 0 when the reply had none */
    ImapFlags flags;
    gboolean has_size, has_date;
    guint64 size;       /* RFC822.SIZE */
    gint64 date;        /* INTERNALDATE as seconds since 1970 UTC */
    MailModSeq modseq;  /* 0 when none */
    const char *header; /* BODY[HEADER.FIELDS ...] or BODY[HEADER]; NULL when none or NIL */
    gsize header_size;
    /* BODY[] or BODY[]<n>: where it was a quoted string or a captured literal, its bytes here.
     * NIL counts as the empty string: body != NULL, body_size 0. Streamed: body_streamed. */
    const char *body;
    gsize body_size;
    gboolean body_streamed;
    gboolean body_partial; /* it had <n> */
    guint64 body_offset;   /* n */
} ImapFetch;

typedef struct {
    /* MailFolderFlags; \HasChildren and the like are dropped. LSUB gives SUBSCRIBED, unless it said
     * \Noselect: there that means "only its children are", and is dropped. */
    guint32 flags;
    char delimiter;   /* 0 for NIL; also 0 for what is not one printable ASCII byte */
    const char *name; /* on the wire's encoding; may be any bytes but NUL */
} ImapList;

typedef struct {
    const char *name;
    gboolean has_messages, has_uidnext, has_uidvalidity, has_highestmodseq, has_unseen;
    guint64 messages, uidnext, uidvalidity, highestmodseq, unseen;
} ImapStatus;

typedef struct {
    ImapReplyType type;
    const char *tag;
    ImapCondition condition;
    ImapCode code;
    const char *text; /* the human-readable part: hostile, escape before showing */
    guint64 number;
    const GArray *uids; /* of MailUidRange. In COPYUID: as listed, not sorted */
    const GArray *uids_to;
    gboolean earlier;
    MailModSeq modseq;
    const char *search_tag;
    ImapFlags flags;
    ImapFetch fetch;
    ImapList list;
    ImapStatus status;
    const ImapValue *values;
} ImapReply;

typedef struct ImapReplyParser ImapReplyParser;
ImapReplyParser *imap_reply_parser_new(void);
void imap_reply_parser_free(ImapReplyParser *parser);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImapReplyParser, imap_reply_parser_free)

/* Turns the response that `scan` just completed (SCAN_LINE) into *reply. FALSE, with *error set
 * to a constant text, when it breaks the protocol so far that the connection cannot be trusted;
 * unknown responses and unknown data items are no error. UID 0, numbers that overflow, and ranges
 * that are no ranges are errors; sets are bounded to 1,000,000 ranges. */
gboolean imap_reply_parse(ImapReplyParser *parser, const Scan *scan, ImapReply *reply,
                          const char **error);

/* What a literal that was just announced (SCAN_LITERAL_BEGIN) belongs to. */
typedef struct {
    gboolean is_body; /* the value of BODY[] or BODY[]<n> in an untagged FETCH */
    MailUid uid;      /* 0 when UID has not been seen yet in this response */
    gboolean partial;
    guint64 offset; /* of BODY[]<n> */
} ImapLiteralContext;

/* Reads scan_text() up to the literal. All but a body's is_body = FALSE. */
void imap_reply_literal_context(const Scan *scan, ImapLiteralContext *context);
