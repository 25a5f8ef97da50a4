/* mount.h: one mount from its beginning to its end. */
#pragma once

#include "config.h"
#include "secret.h"

/* Called once: the mount is up (error NULL; `warning` may say that it is offline), or cannot be,
 * and nothing of it is left. */
typedef void (*MountReady)(const GError *error, const char *warning, gpointer data);

/* Connects, logs in, mounts, serves until unmounted. Takes the secret (NULL for none). Returns the
 * exit status. */
int mount_run(const Config *config, Secret *secret, gboolean is_token, MountReady ready,
              gpointer data);
