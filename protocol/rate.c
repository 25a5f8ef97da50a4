#include "rate.h"

/* Bytes a second. */
#define SLOW (5 * 1000 * 1000)
#define ENOUGH (300 * 1000) /* microseconds */
/* A pause that is longer is the server's, or ours. */
#define MAX_GAP (100 * 1000)

Rate rate_add(RateMeter *meter, gint64 now, gsize bytes, gboolean owed, gboolean waited)
{
    gint64 gap = waited ? CLAMP(now - meter->last, 0, MAX_GAP) : 0;
    meter->last = now;
    if (!owed)
        return RATE_UNKNOWN;
    meter->busy += gap;
    meter->bytes += bytes;
    if (meter->busy < ENOUGH)
        return RATE_UNKNOWN;
    gboolean slow = meter->bytes * G_USEC_PER_SEC / (guint64)meter->busy < SLOW;
    meter->busy = 0;
    meter->bytes = 0;
    return slow ? RATE_SLOW : RATE_FAST;
}
