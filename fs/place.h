/* place.h: which mount a path is in, found by the sockets of the mounts alone: a daemon that hangs
 * is not asked. */
#pragma once

#include <glib.h>

typedef struct {
    char *socket;
    char *mountpoint;
    char *inside; /* "/INBOX/1.eml"; "/" for the mount point */
} Place;

/* The innermost mount of this user's that a path is in; NULL: none. Symbolic links are followed up
 * to the mount only. */
Place *place_find(const char *path);
void place_free(Place *place);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Place, place_free)
