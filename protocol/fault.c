#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *fatal; /* the name that the fatal point begins with, `fatal_size` bytes of it */
static gsize fatal_size;
static guint64 left; /* of such points until it; 0: none is fatal */
static const char *log_file, *arm_file;

static void read_environment(void)
{
    const char *what = g_getenv("MAILFS_FAULT");
    log_file = g_getenv("MAILFS_FAULT_LOG");
    arm_file = g_getenv("MAILFS_FAULT_ARM");
    if (!what)
        return;
    const char *colon = strrchr(what, ':');
    fatal = what;
    fatal_size = colon ? (gsize)(colon - what) : 0;
    left = g_ascii_strtoull(colon ? colon + 1 : what, NULL, 10);
}

/* Opened anew each time, so that no file descriptor of ours is where nobody expects one. */
static void write_log(const char *name)
{
    g_autofree char *line = g_strconcat(name, "\n", NULL);
    int fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        g_warning("cannot write %s", log_file);
    if (fd >= 0)
        close(fd);
}

void fault_point(const char *name)
{
    static gboolean known;
    if (!known)
        read_environment();
    known = TRUE;
    if (arm_file && access(arm_file, F_OK) != 0)
        return;
    if (log_file)
        write_log(name);
    if (left == 0 || strncmp(name, fatal, fatal_size) != 0 || --left > 0)
        return;
    kill(getpid(), SIGKILL);
    pause(); /* until it arrives */
}

void fault_point_of(const char *name, const char *text, gsize size)
{
    gsize start = size > 4 && memcmp(text, "UID ", 4) == 0 ? 4 : 0;
    const char *end = memchr(text + start, ' ', size - start);
    gsize length = end ? (gsize)(end - text) : size;
    g_autofree char *full = g_strdup_printf("%s %.*s", name, (int)MIN(length, 40), text);
    fault_point(g_strstrip(full));
}
