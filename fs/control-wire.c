#include "control-wire.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mail.h"

/* ---- arguments ---- */

static gboolean is_plain(char c)
{
    return (guchar)c >= 0x20 && c != 0x7f && c != '%';
}

char *control_escape(const char *text)
{
    GString *line = g_string_new(NULL);
    for (; *text; text++) {
        if (is_plain(*text))
            g_string_append_c(line, *text);
        else
            g_string_append_printf(line, "%%%02X", (guchar)*text);
    }
    return g_string_free(line, FALSE);
}

char *control_unescape(const char *line, gsize size)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (gsize at = 0; at < size; at++) {
        char c = line[at];
        if (c == '%') {
            gint high = at + 2 < size ? g_ascii_xdigit_value(line[at + 1]) : -1;
            gint low = high >= 0 ? g_ascii_xdigit_value(line[at + 2]) : -1;
            c = (char)(high * 16 + low);
            if (low < 0 || is_plain(c) || c == '\0')
                return NULL;
            at += 2;
        } else if (!is_plain(c)) {
            return NULL;
        }
        g_string_append_c(text, c);
    }
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* ---- lines ---- */

void control_lines_init(ControlLines *lines)
{
    lines->bytes = g_string_new(NULL);
    lines->at = 0;
}

void control_lines_clear(ControlLines *lines)
{
    g_string_free(lines->bytes, TRUE);
    lines->bytes = NULL;
}

void control_lines_add(ControlLines *lines, const char *bytes, gsize size)
{
    g_string_erase(lines->bytes, 0, (gssize)lines->at);
    lines->at = 0;
    g_string_append_len(lines->bytes, bytes, (gssize)size);
}

char *control_lines_next(ControlLines *lines, gsize *size)
{
    char *line = lines->bytes->str + lines->at;
    char *end = memchr(line, '\n', control_lines_rest(lines));
    if (!end)
        return NULL;
    *end = '\0';
    *size = (gsize)(end - line);
    lines->at += *size + 1;
    return line;
}

gsize control_lines_rest(const ControlLines *lines)
{
    return lines->bytes->len - lines->at;
}

/* ---- where ---- */

char *control_socket_directory(GError **error)
{
    const char *runtime = g_getenv("XDG_RUNTIME_DIR");
    g_autofree char *directory = runtime && *runtime == '/'
                                     ? g_build_filename(runtime, "mailfs", NULL)
                                     : g_strdup_printf("/tmp/mailfs-%u", (unsigned)getuid());
    struct stat info;
    if (mkdir(directory, 0700) != 0 && errno != EEXIST) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG, "%s cannot be made: %s", directory,
                    g_strerror(errno));
        return NULL;
    }
    if (lstat(directory, &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != getuid() ||
        (info.st_mode & 077)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "%s must be a directory of yours that nobody else may enter (chmod 700)",
                    directory);
        return NULL;
    }
    return g_steal_pointer(&directory);
}

char *control_socket_path(const char *directory, const char *mountpoint)
{
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, mountpoint, -1);
    hash[16] = '\0'; /* short: so must the whole path be */
    g_autofree char *name = g_strconcat(hash, ".sock", NULL);
    return g_build_filename(directory, name, NULL);
}

GSocketAddress *control_socket_address(const char *path, GError **error)
{
    if (strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return g_unix_socket_address_new(path);
    g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                "%s is too long for a socket: set XDG_RUNTIME_DIR to a shorter path", path);
    return NULL;
}
