/* scan.h: cuts the bytes of an IMAP server into responses and literals.
 *
 * Pure: no I/O, no clock; allocates one bounded buffer for the text of the response at hand. Any
 * split of the same bytes gives the same events (but for the cuts between LITERAL_DATA).
 *
 * A response is one line, which literals may interrupt (RFC 9051 section 4.3). Its text is
 * collected without the final CRLF (or bare LF). The text of OK, NO, BAD, BYE, PREAUTH and "+" is
 * for people and holds no literals, whatever it ends in. When a literal is announced, the caller
 * decides: captured literals (small ones) become part of the text's side table; the others are
 * handed over in pieces as they come and never held. Until scan_capture() is called, a literal is
 * streamed. */
#pragma once

#include <glib.h>

typedef struct Scan Scan;

typedef enum {
    SCAN_NEED_DATA,     /* all bytes are consumed: call again with more */
    SCAN_LINE,          /* a whole response: scan_text() until the next call */
    SCAN_LITERAL_BEGIN, /* a literal is announced: size in token.literal_size; scan_text() holds
                           what came before it. Now scan_capture() may be called */
    SCAN_LITERAL_DATA,  /* token.data, token.size: a piece of a streamed literal, pointing into the
                           caller's buffer */
    SCAN_LITERAL_END,   /* the streamed literal is complete (not sent for captured ones) */
    SCAN_ERROR,         /* token.error says why; the connection is of no more use */
} ScanEvent;

typedef struct {
    guint64 literal_size;
    const guint8 *data;
    gsize size;
    const char *error;
} ScanToken;

/* One literal of the response at hand, in order. `offset` is where in the text it stands: the
 * text holds "{123}" (or "~{123}", "{123+}") ending at offset and goes on after it. `bytes` is the
 * content if captured (owned by the scan, NUL-terminated beyond size), else NULL. */
typedef struct {
    gsize offset;
    guint64 size;
    const guint8 *bytes;
} ScanLiteral;

/* The most literals one response may have; more is SCAN_ERROR. No reply that mailfs asks for comes
 * near it, and each is looked up from the start of the text. */
#define SCAN_MAX_LITERALS 256

/* max_text: the most bytes a response's text may have (its captured literals counted);
 * more is SCAN_ERROR. max_literal: the largest literal size a server may announce. */
Scan *scan_new(gsize max_text, guint64 max_literal);
void scan_free(Scan *scan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scan, scan_free)

/* Consumes some of data[0..size), sets *used to how many, and returns what was found. Call again
 * with the rest until SCAN_NEED_DATA. After SCAN_ERROR it returns SCAN_ERROR for ever. */
ScanEvent scan_next(Scan *scan, const guint8 *data, gsize size, gsize *used, ScanToken *token);

/* Right after SCAN_LITERAL_BEGIN only: keep this literal in memory. Returns FALSE, and leaves it
 * streamed, when it would not fit max_text. */
gboolean scan_capture(Scan *scan);

/* The text so far (after LITERAL_BEGIN) or whole (after LINE); owned by the scan, valid until the
 * next scan_next(). May contain NUL; is NUL-terminated beyond *size. */
const char *scan_text(const Scan *scan, gsize *size);
/* The literals of the response at hand, captured or not; owned by the scan. */
const ScanLiteral *scan_literals(const Scan *scan, guint *count);
