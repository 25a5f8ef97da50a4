/* How fast a line is, from what comes over it when. */
#include "rate.h"

#define MS 1000 /* microseconds */

/* `pieces` of so many bytes, one each `gap` microseconds; the verdict, if one comes. */
static Rate feed(RateMeter *meter, guint pieces, gsize bytes, gint64 gap, gboolean owed)
{
    gint64 now = meter->last;
    for (guint i = 0; i < pieces; i++) {
        now += gap;
        Rate rate = rate_add(meter, now, bytes, owed, TRUE);
        if (rate != RATE_UNKNOWN)
            return rate;
    }
    return RATE_UNKNOWN;
}

static void verdicts(void)
{
    RateMeter slow = {.last = 77}, fast = {.last = 77};
    /* 20 Mbit/s, and 200. */
    g_assert_cmpint(feed(&slow, 100, 16384, 6554, TRUE), ==, RATE_SLOW);
    g_assert_cmpint(feed(&fast, 1000, 16384, 655, TRUE), ==, RATE_FAST);
    /* Each begins anew. */
    g_assert_cmpint(feed(&slow, 1000, 16384, 655, TRUE), ==, RATE_FAST);
    g_assert_cmpint(feed(&fast, 100, 16384, 6554, TRUE), ==, RATE_SLOW);
}

/* One message for each round trip says nothing of the line. */
static void latency(void)
{
    RateMeter meter = {0};
    g_assert_cmpint(feed(&meter, 1000, 6000, 50 * MS, FALSE), ==, RATE_UNKNOWN);
    g_assert_cmpint(feed(&meter, 10, 16384, 6554, TRUE), ==, RATE_UNKNOWN);
}

/* Nor does one pause, of the server or of ours, within much that comes fast. */
static void pause_within(void)
{
    RateMeter meter = {0};
    g_assert_cmpint(feed(&meter, 300, 16384, 655, TRUE), ==, RATE_UNKNOWN);
    g_assert_cmpint(feed(&meter, 1, 16384, 60000 * MS, TRUE), ==, RATE_UNKNOWN);
    g_assert_cmpint(feed(&meter, 300, 16384, 655, TRUE), ==, RATE_FAST);
    /* A clock does not go back, but a test may think so. */
    g_assert_cmpint(rate_add(&meter, 0, 1, TRUE, TRUE), ==, RATE_UNKNOWN);
}

/* Where more is always there to be read, we are what is slow. */
static void busy_reader(void)
{
    RateMeter meter = {0};
    for (guint i = 1; i < 1000; i++)
        g_assert_cmpint(rate_add(&meter, i * 50 * MS, 65536, TRUE, FALSE), ==, RATE_UNKNOWN);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rate/verdicts", verdicts);
    g_test_add_func("/rate/latency", latency);
    g_test_add_func("/rate/pause", pause_within);
    g_test_add_func("/rate/busy-reader", busy_reader);
    return g_test_run();
}
