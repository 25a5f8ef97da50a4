/* control.h: the socket by which `mailfs status` and the like speak to the daemon, and those
 * commands.
 *
 * One Unix socket (0600) for each mount, in $XDG_RUNTIME_DIR/mailfs/. A client sends one line, the
 * name of a command; the daemon answers with lines, the last of which is "ok" or "failed: ...". */
#pragma once

#include "fs.h"

/* mountpoint: canonical. NULL and MAIL_ERROR_CONFIG when the socket cannot be made. */
Control *control_new(Fs *fs, const char *mountpoint, GError **error);
/* Takes no new clients, and removes the socket: its name is free for another mount's. */
void control_stop(Control *control);
/* Answers those who wait still. */
void control_free(Control *control);

/* Runs `mailfs COMMAND PATH`: path is the mount point or anything below it. Returns the exit
 * status. */
int control_command(const char *command, const char *path);
gboolean control_is_command(const char *word);
