/* process.h: what /proc tells of the program behind a request. */
#pragma once

#include <glib.h>
#include <sys/types.h>

/* The name (comm) of the program that a thread belongs to; FALSE when it is gone or hidden. */
gboolean process_name(pid_t tid, char name[16]);
/* The process that a thread belongs to; 0 when it is gone or hidden. */
pid_t process_of_thread(pid_t tid);
/* Whether a signal is pending that will end it: one that it neither catches nor ignores nor blocks,
 * or SIGINT, SIGTERM or SIGALRM, which mean "give up" to programs that catch them too; or it is
 * gone. */
gboolean process_is_dying(pid_t tid);
