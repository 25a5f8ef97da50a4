/* progress.h: how far a transfer is, for a terminal. Pure. */
#pragma once

#include <glib.h>

typedef struct {
    guint64 messages, all_messages;
    guint64 bytes, all_bytes;
    gboolean counted; /* `all` is all: there is an end to tell of */
} ProgressAmounts;

/* The rate, from what was there some seconds before. */
typedef struct {
    gint64 times[8]; /* microseconds; a second or so apart */
    guint64 bytes[8];
    guint count;
} ProgressRate;

void progress_rate_add(ProgressRate *rate, gint64 now, guint64 bytes);
guint64 progress_rate(const ProgressRate *rate); /* bytes a second; 0: not known yet */

/* One line, at most `width` columns, without its end; all ASCII. g_free. */
char *progress_line(const ProgressAmounts *amounts, guint64 rate, guint width);
/* "512 B", "45.6 MB": units of 1000. g_free. */
char *progress_size(guint64 bytes);
/* "0:07", "12:34", "1:23:45". g_free. */
char *progress_time(guint64 seconds);
