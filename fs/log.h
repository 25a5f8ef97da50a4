/* log.h: where messages go: to standard error in the foreground, to syslog in the background. */
#pragma once

#include <glib.h>

/* quiet: warnings and errors only. */
void log_start(gboolean verbose, gboolean debug);
void log_to_syslog(void);
