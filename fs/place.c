#include "place.h"

#include <stdlib.h>
#include <string.h>

#include "control-wire.h"

void place_free(Place *place)
{
    if (!place)
        return;
    g_free(place->socket);
    g_free(place->mountpoint);
    g_free(place->inside);
    g_free(place);
}

static gboolean is_mount(const char *sockets, const char *path)
{
    g_autofree char *socket = control_socket_path(sockets, path);
    return g_file_test(socket, G_FILE_TEST_EXISTS);
}

/* The length of the deepest mount point that a path begins with, 0 for none. The path is absolute
 * and plain. */
static gsize mount_length(const char *sockets, const char *path)
{
    for (gsize length = strlen(path); length > 1; length--) {
        if (path[length] != '/' && path[length] != '\0')
            continue;
        g_autofree char *above = g_strndup(path, length);
        if (is_mount(sockets, above))
            return length;
    }
    return 0;
}

/* Follows the links of a path until it is in a mount; what is not there has none. g_free. */
static char *follow(const char *sockets, const char *path)
{
    g_autofree char *whole = g_canonicalize_filename(path, NULL);
    g_auto(GStrv) components = g_strsplit(whole, "/", -1);
    g_autofree char *at = g_strdup("/");
    for (guint i = 0; components[i]; i++) {
        g_autofree char *next = g_build_filename(at, components[i], NULL);
        char *real =
            is_mount(sockets, next) || mount_length(sockets, at) ? NULL : realpath(next, NULL);
        g_free(at);
        at = g_strdup(real ? real : next);
        free(real);
    }
    return g_steal_pointer(&at);
}

Place *place_find(const char *path)
{
    g_autofree char *sockets = control_socket_directory(NULL);
    g_autofree char *real = sockets ? follow(sockets, path) : NULL;
    gsize length = real ? mount_length(sockets, real) : 0;
    if (length == 0)
        return NULL;
    Place *place = g_new0(Place, 1);
    place->mountpoint = g_strndup(real, length);
    place->socket = control_socket_path(sockets, place->mountpoint);
    place->inside = g_strdup(real[length] ? real + length : "/");
    return place;
}
