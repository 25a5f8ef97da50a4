/* check.h: `mailfs --check`: can it connect, log in, and what will it use? */
#pragma once

#include "config.h"
#include "secret.h"

/* Prints to standard output; returns the exit status. Takes the secret. */
int check_run(const Config *config, Secret *secret, gboolean is_token);
/* The same for a POP3 account; check_run() comes here by itself. */
int check_pop3(const Config *config, Secret *secret, gboolean is_token);
