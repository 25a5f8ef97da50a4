/* check.h: `mailfs --check`: can it connect, log in, and what will it use? */
#pragma once

#include "config.h"
#include "secret.h"

/* Prints to standard output; returns the exit status. Takes the secret. */
int check_run(const Config *config, Secret *secret, gboolean is_token);
