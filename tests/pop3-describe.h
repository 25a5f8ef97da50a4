/* pop3-describe.h: runs bytes of a server through the POP3 scanner and parsers, in pieces of any
 * sizes, and tells what came out: the same bytes must give the same text however they are cut.
 * What follows a status line goes by its first word: "list" or "message". Shared by unit tests and
 * fuzz targets. */
#pragma once

#include "pop3-reply.h"

#include <string.h>

static inline void describe_raw(GString *out, const char *bytes, gsize size)
{
    for (gsize i = 0; i < size; i++) {
        guchar c = (guchar)bytes[i];
        if (c < 0x20 || c >= 0x7f || c == '\\')
            g_string_append_printf(out, "<%02x>", c);
        else
            g_string_append_c(out, (char)c);
    }
}

static inline void describe_status(GString *out, Pop3Scan *scan, const char *line)
{
    static const char *const names[] = {"ok", "err", "challenge"};
    Pop3Reply reply;
    if (!pop3_parse_reply(line, &reply)) {
        g_string_append(out, "no reply: ");
        describe_raw(out, line, strlen(line));
        g_string_append_c(out, '\n');
        return;
    }
    g_string_append_printf(out, "%s %d: ", names[reply.status], reply.code);
    describe_raw(out, reply.text, strlen(reply.text));
    g_string_append_c(out, '\n');
    if (reply.status != POP3_OK)
        return;
    if (g_str_has_prefix(reply.text, "list"))
        pop3_scan_expect_list(scan);
    if (g_str_has_prefix(reply.text, "message"))
        pop3_scan_expect_message(scan);
}

static inline void describe_item(GString *out, const char *line)
{
    guint32 number;
    guint64 size;
    const char *uidl;
    g_string_append(out, "item ");
    describe_raw(out, line, strlen(line));
    if (pop3_parse_numbers(line, &number, &size))
        g_string_append_printf(out, " number %u size %" G_GUINT64_FORMAT, number, size);
    if (pop3_parse_uidl(line, &number, &uidl)) {
        g_string_append_printf(out, " number %u uidl ", number);
        describe_raw(out, uidl, strlen(uidl));
    }
    g_string_append_c(out, '\n');
}

static inline void describe_capabilities(GString *out, const Pop3Capabilities *capabilities)
{
    g_autofree char *mechanisms = g_strjoinv(" ", (char **)capabilities->mechanisms->pdata);
    g_string_append_printf(out, "caps %x delay %u mechanisms %s\n", capabilities->caps,
                           capabilities->login_delay, mechanisms);
}

/* One piece of `size` bytes; FALSE after an error. */
static inline gboolean describe_piece(GString *out, Pop3Scan *scan, Pop3Capabilities *capabilities,
                                      const guint8 *data, gsize size, gboolean *in_data)
{
    for (gsize at = 0;;) {
        gsize used = 0;
        Pop3Piece piece;
        Pop3Event event = pop3_scan_next(scan, data + at, size - at, &used, &piece);
        at += used;
        g_assert_cmpuint(at, <=, size);
        if (event == POP3_NEED_DATA) {
            g_assert_cmpuint(at, ==, size);
            return TRUE;
        }
        if (*in_data && event != POP3_DATA)
            g_string_append_c(out, '\n');
        *in_data = event == POP3_DATA;
        if (event == POP3_DATA) {
            g_assert_cmpuint(piece.size, >, 0);
            describe_raw(out, (const char *)piece.data, piece.size);
        } else if (event == POP3_STATUS) {
            describe_status(out, scan, pop3_scan_line(scan));
        } else if (event == POP3_ITEM) {
            describe_item(out, pop3_scan_line(scan));
            pop3_capabilities_add(capabilities, pop3_scan_line(scan));
        } else {
            g_string_append(out, event == POP3_END ? "end\n" : "error\n");
            if (event == POP3_ERROR)
                return FALSE;
        }
    }
}

/* The first piece has `first` bytes, the others `step`; 0: all that is left. g_free. */
static inline char *describe_pop3(const char *bytes, gsize size, gsize first, gsize step)
{
    g_autoptr(Pop3Scan) scan = pop3_scan_new();
    Pop3Capabilities *capabilities = pop3_capabilities_new();
    g_autoptr(GString) out = g_string_new(NULL);
    gboolean in_data = FALSE;
    for (gsize at = 0; at < size;) {
        gsize length = at == 0 ? first : step;
        length = length == 0 || length > size - at ? size - at : length;
        /* On the heap, so that a byte read beyond it is noticed. */
        g_autofree guint8 *piece = g_memdup2(bytes + at, length);
        if (!describe_piece(out, scan, capabilities, piece, length, &in_data))
            break;
        at += length;
    }
    if (in_data)
        g_string_append_c(out, '\n');
    describe_capabilities(out, capabilities);
    pop3_capabilities_free(capabilities);
    return g_string_free(g_steal_pointer(&out), FALSE);
}
