/* command.h: `mailfs status` and the other commands about a mount, as programs: each asks the
 * daemon through its control socket. */
#pragma once

#include <glib.h>

gboolean command_is_one(const char *word);
/* argv[0] is the command's name. Returns the exit status: 2 for wrong usage. */
int command_run(int argc, char **argv);
