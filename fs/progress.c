#include "progress.h"

#include <string.h>

#define MIN_BAR 10
#define MAX_BAR 40

char *progress_size(guint64 bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    guint unit = 0;
    double value = (double)bytes;
    while (value >= 999.95 && unit + 1 < G_N_ELEMENTS(units)) {
        value /= 1000;
        unit++;
    }
    return g_strdup_printf("%.*f %s", unit == 0 ? 0 : 1, value, units[unit]);
}

char *progress_time(guint64 seconds)
{
    guint64 hours = seconds / 3600, minutes = seconds / 60 % 60;
    if (hours > 0)
        return g_strdup_printf("%" G_GUINT64_FORMAT ":%02u:%02u", hours, (guint)minutes,
                               (guint)(seconds % 60));
    return g_strdup_printf("%u:%02u", (guint)minutes, (guint)(seconds % 60));
}

void progress_rate_add(ProgressRate *rate, gint64 now, guint64 bytes)
{
    guint last = rate->count ? rate->count - 1 : 0;
    if (rate->count > 0 && now - rate->times[last] < G_USEC_PER_SEC)
        return;
    if (rate->count == G_N_ELEMENTS(rate->times)) {
        memmove(rate->times, rate->times + 1, sizeof(rate->times) - sizeof(rate->times[0]));
        memmove(rate->bytes, rate->bytes + 1, sizeof(rate->bytes) - sizeof(rate->bytes[0]));
        rate->count--;
    }
    rate->times[rate->count] = now;
    rate->bytes[rate->count++] = bytes;
}

guint64 progress_rate(const ProgressRate *rate)
{
    guint last = rate->count ? rate->count - 1 : 0;
    if (last == 0 || rate->bytes[last] <= rate->bytes[0])
        return 0;
    double seconds = (double)(rate->times[last] - rate->times[0]) / G_USEC_PER_SEC;
    return (guint64)((double)(rate->bytes[last] - rate->bytes[0]) / seconds);
}

static double part(const ProgressAmounts *amounts)
{
    double done = (double)(amounts->all_bytes ? amounts->bytes : amounts->messages);
    double all = (double)(amounts->all_bytes ? amounts->all_bytes : amounts->all_messages);
    return all > 0 ? CLAMP(done / all, 0, 1) : 1;
}

static void append_left(GString *text, const ProgressAmounts *amounts, guint64 rate)
{
    g_autofree char *speed = progress_size(rate);
    if (rate == 0)
        return;
    g_string_append_printf(text, "  %s/s", speed);
    if (!amounts->counted || amounts->bytes > amounts->all_bytes)
        return;
    g_autofree char *left = progress_time((amounts->all_bytes - amounts->bytes) / rate);
    g_string_append_printf(text, "  %s left", left);
}

char *progress_line(const ProgressAmounts *amounts, guint64 rate, guint width)
{
    g_autofree char *done = progress_size(amounts->bytes);
    g_autofree char *all = progress_size(amounts->all_bytes);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_append_printf(text, "%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT "%s messages  %s/%s",
                           amounts->messages, amounts->all_messages, amounts->counted ? "" : "+",
                           done, all);
    append_left(text, amounts, rate);
    guint room = width > text->len + 9 ? width - (guint)text->len - 9 : 0;
    if (amounts->counted && room >= MIN_BAR) {
        guint bar = MIN(room, MAX_BAR), full = (guint)(part(amounts) * bar);
        g_autofree char *filled = g_strnfill(full, '#');
        g_autofree char *empty = g_strnfill(bar - full, '-');
        g_autofree char *head =
            g_strdup_printf("%3u%% [%s%s] ", (guint)(part(amounts) * 100), filled, empty);
        g_string_prepend(text, head);
    }
    if (text->len > width)
        g_string_truncate(text, width);
    return g_string_free(g_steal_pointer(&text), FALSE);
}
