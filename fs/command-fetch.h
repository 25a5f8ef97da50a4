/* command-fetch.h: `mailfs fetch PATH...`, as a program. */
#pragma once

/* NULL-terminated. Returns the exit status. */
int command_fetch(char **paths);
