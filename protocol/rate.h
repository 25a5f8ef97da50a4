/* rate.h: how fast a line is, told from what comes while the server has more to send. Pure. */
#pragma once

#include <glib.h>

typedef struct {
    gint64 last;   /* when something came, in microseconds */
    gint64 busy;   /* for how long more was owed, and ... */
    guint64 bytes; /* ... what came meanwhile */
} RateMeter;       /* all zero is a new one */

typedef enum { RATE_UNKNOWN, RATE_FAST, RATE_SLOW } Rate;

/* `bytes` came now; owed: the server had more to send ever since the last that came; waited: and we
 * had read all that was there. A verdict comes when enough is known, and then it begins anew. SLOW:
 * compression wins; measured, it does below some 50 Mbit/s, and loses where a line is faster than
 * the server's processor. */
Rate rate_add(RateMeter *meter, gint64 now, gsize bytes, gboolean owed, gboolean waited);
