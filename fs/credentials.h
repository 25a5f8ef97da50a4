/* credentials.h: where the password or token comes from.
 *
 * Blocks (it may run a command or ask on the terminal): called before the main loop runs, or in
 * a child of its own. */
#pragma once

#include "config.h"
#include "secret.h"

/* In this order: --password-fd (closed then, but for 0, 1 and 2); password-command or
 * token-command; the systemd credential ($CREDENTIALS_DIRECTORY/mailfs.<name>, then
 * mailfs.password); ~/.netrc (or $NETRC) for the host and user; a prompt on /dev/tty, with the echo
 * off, which is restored on a signal. The first that is there decides: if it fails, the others are
 * not asked. One trailing newline is cut; an empty password, one with a NUL, or over 4096 bytes is
 * refused, and so is a
 * ~/.netrc that has an entry for us and that others may use or own. Every copy but the Secret is
 * wiped.
 *
 * *is_token tells whether it came from token-command. NULL and MAIL_ERROR_CONFIG when there is
 * none, saying what was tried and what to do; MAIL_ERROR_CANCELLED after a signal that did not end
 * us. */
Secret *credentials_get(const Config *config, gboolean *is_token, GError **error);
/* Starts the command (password_command or token_command) again without blocking and calls back
 * from the main loop, never from within this call, with the secret, which is then the callee's, or
 * NULL and an error; at most 60 s, then it is killed. For tokens that expire. `config` is not kept.
 */
typedef void (*CredentialsFunc)(Secret *secret, const GError *error, gpointer data);
void credentials_renew(const Config *config, CredentialsFunc func, gpointer data);
