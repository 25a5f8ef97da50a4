#include "utf7.h"

#include <string.h>

/* RFC 3501 section 5.1.3: base64 with ',' for '/'. */
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static gboolean is_direct(gunichar c)
{
    return c >= 0x20 && c <= 0x7e;
}

/* Bits that are not yet a whole base64 digit, or a whole UTF-16 unit. */
typedef struct {
    guint32 bits;
    guint count;
} BitQueue;

static void push_unit(GString *out, BitQueue *queue, guint16 unit)
{
    queue->bits = queue->bits << 16 | unit;
    queue->count += 16;
    while (queue->count >= 6) {
        queue->count -= 6;
        g_string_append_c(out, alphabet[queue->bits >> queue->count & 0x3f]);
    }
    queue->bits &= 0x3f;
}

static void push_character(GString *out, BitQueue *queue, gunichar c)
{
    if (c < 0x10000) {
        push_unit(out, queue, (guint16)c);
        return;
    }
    push_unit(out, queue, (guint16)(0xd800 + ((c - 0x10000) >> 10)));
    push_unit(out, queue, (guint16)(0xdc00 + ((c - 0x10000) & 0x3ff)));
}

static void end_shift(GString *out, BitQueue *queue)
{
    if (queue->count > 0)
        g_string_append_c(out, alphabet[queue->bits << (6 - queue->count) & 0x3f]);
    g_string_append_c(out, '-');
    *queue = (BitQueue){0};
}

char *utf7_encode(const char *name)
{
    if (!g_utf8_validate(name, -1, NULL))
        return NULL;
    GString *out = g_string_new(NULL);
    BitQueue queue = {0};
    gboolean shifted = FALSE;
    for (; *name; name = g_utf8_next_char(name)) {
        gunichar c = g_utf8_get_char(name);
        if (shifted && is_direct(c))
            end_shift(out, &queue);
        if (!shifted && !is_direct(c))
            g_string_append_c(out, '&');
        shifted = !is_direct(c);
        if (shifted)
            push_character(out, &queue, c);
        else if (c == '&')
            g_string_append(out, "&-");
        else
            g_string_append_c(out, (char)c);
    }
    if (shifted)
        end_shift(out, &queue);
    return g_string_free(out, FALSE);
}

/* Appends one UTF-16 unit; *high is a surrogate that waits for its other half. */
static gboolean append_unit(GString *out, guint16 unit, guint16 *high)
{
    gboolean is_high = unit >= 0xd800 && unit <= 0xdbff;
    gboolean is_low = unit >= 0xdc00 && unit <= 0xdfff;
    if (unit == 0 || is_low != (*high != 0))
        return FALSE;
    if (is_high)
        *high = unit;
    else if (is_low) {
        g_string_append_unichar(out, 0x10000 + ((guint32)(*high - 0xd800) << 10) + (unit - 0xdc00));
        *high = 0;
    } else {
        g_string_append_unichar(out, unit);
    }
    return TRUE;
}

/* Decodes what stands between '&' and '-', and returns the place of the '-', or NULL. */
static const char *decode_shift(const char *at, GString *out)
{
    BitQueue queue = {0};
    guint16 high = 0;
    for (; *at != '-'; at++) {
        const char *digit = *at ? strchr(alphabet, *at) : NULL;
        if (!digit)
            return NULL;
        queue.bits = (queue.bits << 6 | (guint32)(digit - alphabet)) & 0x3fffff;
        queue.count += 6;
        if (queue.count < 16)
            continue;
        queue.count -= 16;
        if (!append_unit(out, (guint16)(queue.bits >> queue.count), &high))
            return NULL;
    }
    return high == 0 ? at : NULL;
}

char *utf7_decode(const char *name)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (const char *at = name; *at; at++) {
        if (*at != '&')
            g_string_append_c(out, *at);
        else if (at[1] == '-')
            g_string_append_c(out, *at++);
        else if (!(at = decode_shift(at + 1, out)))
            return NULL;
    }
    /* There is one encoding of each name. Whatever else decodes to it (padding that is not zero,
     * shifts that adjoin, letters that need none) is not canonical. */
    g_autofree char *canonical = utf7_encode(out->str);
    if (!canonical || strcmp(canonical, name) != 0)
        return NULL;
    return g_strdup(out->str);
}
