#include "progress.h"

#include <string.h>

static void test_sizes(void)
{
    static const struct {
        guint64 bytes;
        const char *text;
    } sizes[] = {
        {0, "0 B"},           {999, "999 B"},     {1000, "1.0 kB"},       {45678, "45.7 kB"},
        {999949, "999.9 kB"}, {999950, "1.0 MB"}, {5368709120, "5.4 GB"}, {G_MAXUINT64, "18.4 EB"}};
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = progress_size(sizes[i].bytes);
        g_assert_cmpstr(text, ==, sizes[i].text);
    }
}

static void test_times(void)
{
    static const struct {
        guint64 seconds;
        const char *text;
    } times[] = {{0, "0:00"}, {7, "0:07"}, {754, "12:34"}, {3599, "59:59"}, {5025, "1:23:45"}};
    for (guint i = 0; i < G_N_ELEMENTS(times); i++) {
        g_autofree char *text = progress_time(times[i].seconds);
        g_assert_cmpstr(text, ==, times[i].text);
    }
}

static void test_rate(void)
{
    ProgressRate rate = {.count = 0};
    g_assert_cmpuint(progress_rate(&rate), ==, 0);
    for (gint i = 0; i < 100; i++)
        progress_rate_add(&rate, i * G_USEC_PER_SEC / 5, (guint64)i * 1000);
    g_assert_cmpuint(progress_rate(&rate), ==, 5000);
    for (gint i = 100; i < 200; i++) /* it follows within seconds */
        progress_rate_add(&rate, i * G_USEC_PER_SEC / 5, (guint64)99000 + (guint64)(i - 99) * 10);
    g_assert_cmpuint(progress_rate(&rate), ==, 50);
    progress_rate_add(&rate, 1000 * G_USEC_PER_SEC, 0); /* what failed was taken back */
    g_assert_cmpuint(progress_rate(&rate), ==, 0);
}

static void test_line(void)
{
    const ProgressAmounts amounts = {1234, 5678, 12300000, 45600000, TRUE};
    g_autofree char *wide = progress_line(&amounts, 3400000, 79);
    g_assert_cmpstr(
        wide, ==, " 26% [###-----------] 1234/5678 messages  12.3 MB/45.6 MB  3.4 MB/s  0:09 left");
    g_autofree char *narrow = progress_line(&amounts, 3400000, 60);
    g_assert_cmpstr(narrow, ==, "1234/5678 messages  12.3 MB/45.6 MB  3.4 MB/s  0:09 left");
    const ProgressAmounts open = {10, 20, 100, 200, FALSE};
    g_autofree char *counting = progress_line(&open, 0, 79);
    g_assert_cmpstr(counting, ==, "10/20+ messages  100 B/200 B");
}

/* Whatever the numbers, it fits, and nothing is divided by nothing. */
static void test_line_fits(void)
{
    static const guint64 numbers[] = {0, 1, 1000, G_MAXUINT64};
    for (guint i = 0; i < 256; i++) {
        const ProgressAmounts amounts = {numbers[i & 3], numbers[i >> 2 & 3], numbers[i >> 4 & 3],
                                         numbers[i >> 6], i % 2 == 0};
        for (guint width = 0; width < 200; width++) {
            g_autofree char *line = progress_line(&amounts, numbers[i & 3], width);
            g_assert_cmpuint(strlen(line), <=, width);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/progress/sizes", test_sizes);
    g_test_add_func("/progress/times", test_times);
    g_test_add_func("/progress/rate", test_rate);
    g_test_add_func("/progress/line", test_line);
    g_test_add_func("/progress/line-fits", test_line_fits);
    return g_test_run();
}
