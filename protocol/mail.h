/* mail.h: the plain values that every layer speaks of, and the error domain.
 *
 * Nothing here allocates beyond what it says, does I/O, or knows a protocol. */
#pragma once

#include <glib.h>

/* A message's unique identifier within (mailbox, UIDVALIDITY). 1..2^32-1; 0 means "none".
 * RFC 9051 section 2.3.1.1. */
typedef guint32 MailUid;
typedef guint32 MailUidValidity;
/* Modification sequence, 63 bits; 0 means "none". RFC 7162. */
typedef guint64 MailModSeq;

/* System flags, RFC 9051 section 2.3.2. Keywords travel beside them as text. */
typedef enum {
    MAIL_FLAG_SEEN = 1 << 0,
    MAIL_FLAG_ANSWERED = 1 << 1,
    MAIL_FLAG_FLAGGED = 1 << 2,
    MAIL_FLAG_DELETED = 1 << 3,
    MAIL_FLAG_DRAFT = 1 << 4,
    MAIL_FLAG_RECENT = 1 << 5,      /* session state: never stored, never kept */
    MAIL_FLAG_ANY_KEYWORD = 1 << 6, /* only in PERMANENTFLAGS: "\*", new keywords may be made */
} MailFlags;

/* The flags that can be stored and are kept in the index. */
#define MAIL_FLAGS_SYSTEM 0x1f

/* What a mailbox is for, RFC 6154, and how it may be used, RFC 9051 section 7.3.1. */
typedef enum {
    MAIL_FOLDER_NOSELECT = 1 << 0, /* \Noselect or \NonExistent: it holds only folders */
    MAIL_FOLDER_NOINFERIORS = 1 << 1,
    MAIL_FOLDER_SUBSCRIBED = 1 << 2,
    MAIL_FOLDER_ALL = 1 << 3,
    MAIL_FOLDER_ARCHIVE = 1 << 4,
    MAIL_FOLDER_DRAFTS = 1 << 5,
    MAIL_FOLDER_FLAGGED = 1 << 6,
    MAIL_FOLDER_JUNK = 1 << 7,
    MAIL_FOLDER_SENT = 1 << 8,
    MAIL_FOLDER_TRASH = 1 << 9,
    MAIL_FOLDER_NONEXISTENT = 1 << 10, /* with NOSELECT: it is told of because it is gone */
} MailFolderFlags;

/* Why something failed. fs/reply.c alone turns these into errno. */
#define MAIL_ERROR (mail_error_quark())
typedef enum {
    MAIL_ERROR_OFFLINE,       /* no connection, and what was asked is not cached */
    MAIL_ERROR_TIMEOUT,       /* a deadline passed */
    MAIL_ERROR_AUTH,          /* the server refused the login, or no common mechanism */
    MAIL_ERROR_TLS,           /* certificate, host name or handshake */
    MAIL_ERROR_PROTOCOL,      /* BAD, or a reply that breaks the protocol */
    MAIL_ERROR_REFUSED,       /* NO, with no more specific code */
    MAIL_ERROR_NO_PERMISSION, /* NO [NOPERM] */
    MAIL_ERROR_READ_ONLY,     /* the folder or the mount is read-only */
    MAIL_ERROR_OVER_QUOTA,    /* NO [OVERQUOTA] */
    MAIL_ERROR_EXISTS,        /* NO [ALREADYEXISTS] */
    MAIL_ERROR_IN_USE,        /* NO [INUSE], or another mount of this account */
    MAIL_ERROR_GONE,          /* no such message or mailbox (any more) */
    MAIL_ERROR_STALE,         /* UIDVALIDITY changed under it */
    MAIL_ERROR_UNSUPPORTED,   /* the server cannot do this */
    MAIL_ERROR_CANCELLED,     /* the caller gave up */
    MAIL_ERROR_TOO_LARGE,     /* more than a message may have */
    MAIL_ERROR_DISK,          /* the local disk failed or is full */
    MAIL_ERROR_NOT_EMPTY,     /* a folder that holds messages or folders */
    MAIL_ERROR_INVALID,       /* what is no mail, or a name that no mailbox can have */
    MAIL_ERROR_CONFIG,        /* a wrong option, file or permission: says what to do */
} MailError;

GQuark mail_error_quark(void);

/* A set of UIDs as ascending, disjoint, non-adjacent ranges. */
typedef struct {
    MailUid first, last; /* inclusive, first <= last */
} MailUidRange;

/* mail_uid_set_add: adds first..last (first <= last, both > 0) to a GArray of MailUidRange,
 * merging with what it touches. Appending in ascending order costs O(1); other orders O(n). */
void mail_uid_set_add(GArray *set, MailUid first, MailUid last);
gboolean mail_uid_set_contains(const GArray *set, MailUid uid);
/* mail_uid_set_remove: takes one UID out, splitting its range. Returns whether it was in. */
gboolean mail_uid_set_remove(GArray *set, MailUid uid);
guint64 mail_uid_set_count(const GArray *set);
GArray *mail_uid_set_new(void); /* free with g_array_unref */
GArray *mail_uid_set_copy(const GArray *set);

/* mail_header_field: the raw value of the first header field called `name` (ASCII, any case) in
 * the RFC 5322 header block: unfolded, trimmed, NUL and other control bytes made spaces, cut at
 * `limit` bytes. Lines end in CRLF or LF. NULL when there is none; free with g_free. Not
 * decoded: RFC 2047 words stay as they are. */
char *mail_header_field(const char *block, gsize size, const char *name, gsize limit);

/* mail_escape: what a server or a user sent, fit for a log or a terminal: valid printable UTF-8
 * stays, all else becomes \xNN, and what is longer than `limit` bytes is cut with "...".
 * Free with g_free. */
char *mail_escape(const char *text, gssize size, gsize limit);
