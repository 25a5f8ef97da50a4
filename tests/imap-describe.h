/* imap-describe.h: runs bytes of a server through scanner and reply parser, in pieces of any
 * sizes, and tells in one line of text a response what came out: the same bytes must give the same
 * text however they are cut. Shared by unit tests and fuzz targets. */
#pragma once

#include "imap-reply.h"

#include <string.h>

#define DESCRIBE_MAX_TEXT 65536
#define DESCRIBE_MAX_LITERAL (1024 * 1024)

static inline void describe_bytes(GString *out, const char *name, const char *bytes, gsize size)
{
    if (!bytes)
        return;
    g_string_append_printf(out, " %s=", name);
    for (gsize i = 0; i < size; i++) {
        guchar c = (guchar)bytes[i];
        if (c < 0x20 || c >= 0x7f || c == '\\')
            g_string_append_printf(out, "<%02x>", c);
        else
            g_string_append_c(out, (char)c);
    }
    g_assert_cmpint(bytes[size], ==, '\0');
}

static inline void describe_text(GString *out, const char *name, const char *text)
{
    if (text)
        describe_bytes(out, name, text, strlen(text));
}

static inline void describe_number(GString *out, const char *name, guint64 number)
{
    if (number > 0)
        g_string_append_printf(out, " %s=%" G_GUINT64_FORMAT, name, number);
}

static inline void describe_set(GString *out, const char *name, const GArray *set)
{
    for (guint i = 0; set && i < set->len; i++) {
        const MailUidRange *range = &g_array_index(set, MailUidRange, i);
        g_assert_cmpuint(range->first, >, 0);
        g_assert_cmpuint(range->first, <=, range->last);
        if (i == 0)
            g_string_append_printf(out, " %s=", name);
        g_string_append_printf(out, "%s%u", i > 0 ? "," : "", range->first);
        if (range->last > range->first)
            g_string_append_printf(out, ":%u", range->last);
    }
}

static inline void describe_values(GString *out, const ImapValue *value)
{
    for (; value; value = value->next) {
        switch (value->type) {
        case IMAP_VALUE_LIST:
            g_string_append(out, " (");
            describe_values(out, value->child);
            g_string_append(out, " )");
            break;
        case IMAP_VALUE_STREAMED:
            g_string_append_printf(out, " {%" G_GUINT64_FORMAT "}", value->literal_size);
            break;
        case IMAP_VALUE_NIL:
            g_string_append(out, " nil");
            break;
        case IMAP_VALUE_STRING:
            describe_bytes(out, "s", value->text, value->size);
            break;
        case IMAP_VALUE_ATOM:
            g_assert_cmpuint(value->size, >, 0);
            describe_bytes(out, "a", value->text, value->size);
            break;
        }
    }
}

static inline void describe_flags(GString *out, const ImapFlags *flags)
{
    if (!flags->present)
        return;
    g_string_append_printf(out, " flags=%x", flags->system);
    for (guint i = 0; i < flags->n_keywords; i++)
        g_string_append_printf(out, ",%s", flags->keywords[i]);
    g_assert_null(flags->keywords[flags->n_keywords]);
}

static inline void describe_fetch(GString *out, const ImapFetch *fetch)
{
    describe_number(out, "uid", fetch->uid);
    describe_flags(out, &fetch->flags);
    if (fetch->has_size)
        g_string_append_printf(out, " size=%" G_GUINT64_FORMAT, fetch->size);
    if (fetch->has_date)
        g_string_append_printf(out, " date=%" G_GINT64_FORMAT, fetch->date);
    describe_number(out, "modseq", fetch->modseq);
    describe_bytes(out, "header", fetch->header, fetch->header_size);
    describe_bytes(out, "body", fetch->body, fetch->body_size);
    if (fetch->body_streamed)
        g_string_append(out, " streamed");
    if (fetch->body_partial)
        g_string_append_printf(out, " from=%" G_GUINT64_FORMAT, fetch->body_offset);
}

static inline void describe_list(GString *out, const ImapList *list)
{
    g_string_append_printf(out, " flags=%x", list->flags);
    if (list->delimiter)
        g_string_append_printf(out, " delimiter=%c", list->delimiter);
    describe_text(out, "name", list->name);
}

static inline void describe_status(GString *out, const ImapStatus *status)
{
    describe_text(out, "name", status->name);
    if (status->has_messages)
        g_string_append_printf(out, " messages=%" G_GUINT64_FORMAT, status->messages);
    if (status->has_uidnext)
        g_string_append_printf(out, " uidnext=%" G_GUINT64_FORMAT, status->uidnext);
    if (status->has_uidvalidity)
        g_string_append_printf(out, " uidvalidity=%" G_GUINT64_FORMAT, status->uidvalidity);
    if (status->has_highestmodseq)
        g_string_append_printf(out, " modseq=%" G_GUINT64_FORMAT, status->highestmodseq);
    if (status->has_unseen)
        g_string_append_printf(out, " unseen=%" G_GUINT64_FORMAT, status->unseen);
}

static inline void describe_reply(GString *out, const ImapReply *reply)
{
    static const char *const types[] = {
        [IMAP_REPLY_CONTINUE] = "CONTINUE",
        [IMAP_REPLY_TAGGED] = "TAGGED",
        [IMAP_REPLY_STATUS] = "STATUS",
        [IMAP_REPLY_CAPABILITY] = "CAPABILITY",
        [IMAP_REPLY_ENABLED] = "ENABLED",
        [IMAP_REPLY_ID] = "ID",
        [IMAP_REPLY_NAMESPACE] = "NAMESPACE",
        [IMAP_REPLY_LIST] = "LIST",
        [IMAP_REPLY_MAILBOX_STATUS] = "MAILBOX_STATUS",
        [IMAP_REPLY_SEARCH] = "SEARCH",
        [IMAP_REPLY_ESEARCH] = "ESEARCH",
        [IMAP_REPLY_FLAGS] = "FLAGS",
        [IMAP_REPLY_EXISTS] = "EXISTS",
        [IMAP_REPLY_RECENT] = "RECENT",
        [IMAP_REPLY_EXPUNGE] = "EXPUNGE",
        [IMAP_REPLY_VANISHED] = "VANISHED",
        [IMAP_REPLY_FETCH] = "FETCH",
        [IMAP_REPLY_QUOTA] = "QUOTA",
        [IMAP_REPLY_QUOTAROOT] = "QUOTAROOT",
        [IMAP_REPLY_MYRIGHTS] = "MYRIGHTS",
        [IMAP_REPLY_OTHER] = "OTHER",
    };
    static const char *const conditions[] = {"OK", "NO", "BAD", "BYE", "PREAUTH"};
    g_string_append(out, types[reply->type]);
    describe_text(out, "tag", reply->tag);
    if (reply->type == IMAP_REPLY_TAGGED || reply->type == IMAP_REPLY_STATUS)
        g_string_append_printf(out, " %s", conditions[reply->condition]);
    describe_number(out, "code", reply->code);
    describe_number(out, "number", reply->number);
    describe_set(out, "uids", reply->uids);
    describe_set(out, "to", reply->uids_to);
    if (reply->earlier)
        g_string_append(out, " earlier");
    describe_number(out, "modseq", reply->modseq);
    describe_text(out, "search", reply->search_tag);
    describe_flags(out, &reply->flags);
    if (reply->type == IMAP_REPLY_FETCH)
        describe_fetch(out, &reply->fetch);
    if (reply->type == IMAP_REPLY_LIST)
        describe_list(out, &reply->list);
    if (reply->type == IMAP_REPLY_MAILBOX_STATUS)
        describe_status(out, &reply->status);
    describe_values(out, reply->values);
    describe_text(out, "text", reply->text);
    g_string_append_c(out, '\n');
}

typedef struct {
    Scan *scan;
    ImapReplyParser *parser;
    GString *out;
    gboolean body;     /* the streamed literal is a body */
    gboolean had_body; /* this response had one */
    MailUid uid;       /* as far as it was known then */
    gboolean failed;
} Describe;

static inline void describe_literal(Describe *run, const ScanToken *token)
{
    ImapLiteralContext context;
    imap_reply_literal_context(run->scan, &context);
    run->body = context.is_body;
    if (!context.is_body) {
        scan_capture(run->scan);
        return;
    }
    g_assert_false(run->had_body);
    run->had_body = TRUE;
    run->uid = context.uid;
    g_string_append_printf(run->out, "body of %u, %" G_GUINT64_FORMAT " bytes", context.uid,
                           token->literal_size);
    if (context.partial)
        g_string_append_printf(run->out, " from %" G_GUINT64_FORMAT, context.offset);
    g_string_append(run->out, ": ");
}

/* What was announced as a body is the body of the reply, and of the same message. */
static inline void check_body(const Describe *run, const ImapReply *reply)
{
    gboolean streamed = reply->type == IMAP_REPLY_FETCH && reply->fetch.body_streamed;
    g_assert_cmpint(streamed, ==, run->had_body);
    if (run->had_body && run->uid != 0)
        g_assert_cmpuint(reply->fetch.uid, ==, run->uid);
}

static inline void describe_event(Describe *run, ScanEvent event, const ScanToken *token)
{
    ImapReply reply;
    const char *error;
    switch (event) {
    case SCAN_NEED_DATA:
        break;
    case SCAN_LITERAL_BEGIN:
        describe_literal(run, token);
        break;
    case SCAN_LITERAL_DATA:
        if (run->body)
            g_string_append_len(run->out, (const char *)token->data, (gssize)token->size);
        break;
    case SCAN_LITERAL_END:
        if (run->body)
            g_string_append_c(run->out, '\n');
        break;
    case SCAN_ERROR:
        g_string_append_printf(run->out, "error: %s\n", token->error);
        run->failed = TRUE;
        break;
    case SCAN_LINE:
        if (imap_reply_parse(run->parser, run->scan, &reply, &error)) {
            g_assert_null(error);
            describe_reply(run->out, &reply);
            check_body(run, &reply);
        } else {
            g_assert_nonnull(error);
            g_string_append_printf(run->out, "error: %s\n", error);
        }
        run->had_body = FALSE;
        break;
    }
}

/* Hands over one piece in a block of its own size, so that a read past its end is noticed. */
static inline void describe_piece(Describe *run, const char *bytes, gsize size)
{
    g_autofree guint8 *piece = g_memdup2(bytes, size);
    gsize at = 0;
    while (!run->failed) {
        gsize used;
        ScanToken token;
        ScanEvent event = scan_next(run->scan, piece + at, size - at, &used, &token);
        g_assert_cmpuint(used, <=, size - at);
        at += used;
        describe_event(run, event, &token);
        if (event == SCAN_NEED_DATA)
            break;
    }
    g_assert_true(run->failed || at == size);
}

/* Cuts the input at `first`, and then every `step` bytes (0: not again). Free with g_free. */
static inline char *describe_input(const char *bytes, gsize size, gsize first, gsize step)
{
    Describe run = {.scan = scan_new(DESCRIBE_MAX_TEXT, DESCRIBE_MAX_LITERAL),
                    .parser = imap_reply_parser_new(),
                    .out = g_string_new(NULL)};
    for (gsize at = 0; at < size;) {
        gsize length = at == 0 && first > 0 ? first : (step > 0 ? step : size);
        length = MIN(length, size - at);
        describe_piece(&run, bytes + at, length);
        at += length;
    }
    scan_free(run.scan);
    imap_reply_parser_free(run.parser);
    return g_string_free(run.out, FALSE);
}
