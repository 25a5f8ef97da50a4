/* wakeup.h: tells when the machine slept or its addresses changed: then connections may have died
 * without a word, and a server that could not be reached may be within reach. */
#pragma once

#include <glib.h>

typedef struct Wakeup Wakeup;

/* Calls woken from the main loop, a moment after such a change. doubt: what is connected may be
 * dead; FALSE when only another address came. */
Wakeup *wakeup_new(void (*woken)(gboolean doubt, gpointer data), gpointer data);
void wakeup_free(Wakeup *wakeup);
