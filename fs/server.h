/* server.h: the configured server, in the terms of protocol/remote.h. */
#pragma once

#include "config.h"
#include "remote.h"

/* Points into config. */
RemoteConfig server_config(const Config *config, gboolean is_token);
/* MAIL_ERROR_CONFIG for what this version cannot do, or must not. */
gboolean server_check(const Config *config, GError **error);
/* "imaps://user@host:993"; g_free. */
char *server_identity(const Config *config);
/* Whether a password or token has to be found. */
gboolean server_wants_secret(const Config *config);
/* The server's side for such a configuration, by its protocol. */
Remote *server_make(const RemoteConfig *config, Secret *secret, const RemoteFuncs *funcs,
                    gpointer data);
