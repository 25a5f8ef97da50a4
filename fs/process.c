#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIT(signal) (G_GUINT64_CONSTANT(1) << ((signal)-1))

static gboolean read_proc(pid_t pid, const char *file, char *text, gsize size)
{
    char path[64];
    g_snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return FALSE;
    ssize_t length = read(fd, text, size - 1); /* such files come in one piece */
    close(fd);
    text[MAX(length, 0)] = '\0';
    return length > 0;
}

/* The value of a line "Key:\tvalue" of /proc/PID/status, in the given base. */
static guint64 status_value(const char *status, const char *key, int base)
{
    const char *line = strstr(status, key);
    return line ? strtoull(line + strlen(key), NULL, base) : 0;
}

pid_t process_of_thread(pid_t tid)
{
    char status[4096];
    if (tid <= 0 || !read_proc(tid, "status", status, sizeof(status)))
        return 0;
    return (pid_t)status_value(status, "\nTgid:", 10);
}

/* "Name:\tNAME\n" begins the file, with what is odd in it escaped. */
static gboolean plain_name(const char *status, char name[16])
{
    const char *first = status + strlen("Name:\t");
    gsize length = strcspn(first, "\\\n");
    if (!g_str_has_prefix(status, "Name:\t") || first[length] != '\n' || length > 15)
        return FALSE;
    memcpy(name, first, length);
    name[length] = '\0';
    return TRUE;
}

gboolean process_name(pid_t tid, char name[16])
{
    char status[4096];
    if (tid <= 0 || !read_proc(tid, "status", status, sizeof(status)))
        return FALSE;
    /* The kernel names the thread that asks; people know the program by its first one. */
    pid_t program = (pid_t)status_value(status, "\nTgid:", 10);
    if (program == tid && plain_name(status, name))
        return TRUE;
    if (program <= 0 || !read_proc(program, "comm", name, 16))
        return FALSE;
    g_strchomp(name);
    return TRUE;
}

gboolean process_is_dying(pid_t tid)
{
    char status[4096];
    if (tid <= 0)
        return FALSE; /* the kernel itself, or another PID namespace */
    if (!read_proc(tid, "status", status, sizeof(status)))
        return kill(tid, 0) != 0 && errno == ESRCH; /* else it is hidden from us */
    const char *state = strstr(status, "\nState:\t");
    if (state && strchr("ZX", state[strlen("\nState:\t")]))
        return TRUE; /* dead, though its parent has not looked yet */
    guint64 pending = status_value(status, "\nSigPnd:", 16) | status_value(status, "\nShdPnd:", 16);
    guint64 caught = status_value(status, "\nSigCgt:", 16);
    guint64 ignored = status_value(status, "\nSigIgn:", 16);
    guint64 blocked = status_value(status, "\nSigBlk:", 16);
    /* These do nothing, or stop, by default. */
    guint64 harmless = BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT) | BIT(SIGSTOP) |
                       BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);
    guint64 give_up = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGALRM);
    pending &= ~(blocked | ignored | harmless);
    return (pending & BIT(SIGKILL)) || (pending & ~caught) || (pending & give_up);
}
