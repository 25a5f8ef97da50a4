/* control.h: the socket by which `mailfs status` and the like speak to the daemon: the daemon's
 * side. See control-wire.h for what is said, command.h for the other side.
 *
 * One Unix socket (0600) for each mount, in $XDG_RUNTIME_DIR/mailfs/. Whatever a client does, the
 * mount goes on: what is read and queued for each is bounded, and so is the time for which a client
 * may be silent in the middle of something. */
#pragma once

#include "fs.h"

/* mountpoint: canonical. NULL and MAIL_ERROR_CONFIG when the socket cannot be made. */
Control *control_new(Fs *fs, const char *mountpoint, GError **error);
/* For those who ask for events. Harmless with no control (yet). */
void control_event(Control *control, AccountEvent kind, Folder *folder, const Message *message);
/* The mount has ended: takes no new clients, ends all commands but `sync`, and removes the socket:
 * its name is free for another mount's. */
void control_stop(Control *control);
/* Answers those who wait still. */
void control_free(Control *control);
