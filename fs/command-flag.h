/* command-flag.h: `mailfs flag +WORD -WORD FILE...`, as a program. */
#pragma once

/* Both NULL-terminated. Returns the exit status. */
int command_flag(char **words, char **files);
