#include "log.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

static gboolean log_verbose, log_debug, log_syslog;

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize count,
                                  gpointer data)
{
    const char *message = NULL;
    gboolean ours = FALSE;
    gssize length = -1;
    for (gsize i = 0; i < count; i++) {
        if (strcmp(fields[i].key, "MESSAGE") == 0) {
            message = fields[i].value;
            length = fields[i].length;
        } else if (strcmp(fields[i].key, "GLIB_DOMAIN") == 0) {
            ours = strcmp(fields[i].value, G_LOG_DOMAIN) == 0;
        }
    }
    gboolean grave = level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING);
    gboolean wanted = grave || (log_debug && ours) ||
                      ((log_verbose || log_syslog) &&
                       (level & (G_LOG_LEVEL_MESSAGE | G_LOG_LEVEL_INFO)));
    if (!message || !wanted)
        return G_LOG_WRITER_HANDLED;
    int size = length < 0 ? (int)strlen(message) : (int)length;
    if (log_syslog)
        syslog(grave ? LOG_WARNING : LOG_INFO, "%.*s", size, message);
    else
        fprintf(stderr, "mailfs: %.*s\n", size, message);
    return G_LOG_WRITER_HANDLED;
}

void log_start(gboolean verbose, gboolean debug)
{
    log_verbose = verbose;
    log_debug = debug;
    g_log_set_writer_func(write_log, NULL, NULL);
}

void log_to_syslog(void)
{
    openlog("mailfs", LOG_PID, LOG_USER);
    log_syslog = TRUE;
}
