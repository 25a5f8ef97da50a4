/* control-wire.h: what passes over the control socket, for both of its sides. Pure but for the
 * directory of the sockets.
 *
 * A request is a line, the name of a command. Where the command takes arguments, a line for each
 * follows, and an empty one ends the request. In an argument '%' and control characters are
 * written as %XX, so any file name fits in a line. The answer is lines, too, the last of which is
 * "ok" or "failed: " and why. */
#pragma once

#include <gio/gio.h>

#define CONTROL_MAX_LINE (16 * 1024) /* bytes of a request's line: a path, escaped */

/* g_free. */
char *control_escape(const char *text);
/* NULL: control_escape gives nothing like it. g_free. */
char *control_unescape(const char *line, gsize size);

/* Bytes as they come, taken line by line. */
typedef struct {
    GString *bytes;
    gsize at; /* what is before was taken */
} ControlLines;

void control_lines_init(ControlLines *lines);
void control_lines_clear(ControlLines *lines);
void control_lines_add(ControlLines *lines, const char *bytes, gsize size);
/* The next whole line, without its end but NUL-terminated, valid until bytes are added; NULL: none
 * yet. */
char *control_lines_next(ControlLines *lines, gsize *size);
/* How many bytes were not taken. */
gsize control_lines_rest(const ControlLines *lines);

/* The directory of the sockets; made if need be. MAIL_ERROR_CONFIG when others could reach into
 * it. g_free. */
char *control_socket_directory(GError **error);
/* The socket of the mount at a canonical path. g_free. */
char *control_socket_path(const char *directory, const char *mountpoint);
/* MAIL_ERROR_CONFIG when the path is longer than the address of a socket can be. */
GSocketAddress *control_socket_address(const char *path, GError **error);
