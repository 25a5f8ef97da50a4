#include "command-files.h"

#include <stdio.h>
#include <string.h>

static void files_free(gpointer data)
{
    CommandFiles *files = data;
    place_free(files->place);
    g_ptr_array_unref(files->paths);
    g_ptr_array_unref(files->names);
    g_free(files);
}

/* What was found of the file before: most are in the same directory. */
typedef struct {
    char *directory;
    CommandFiles *files;
    char *inside; /* of that directory */
} Last;

static void last_clear(Last *last)
{
    g_free(last->directory);
    g_free(last->inside);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Last, last_clear)

static CommandFiles *obtain(GPtrArray *all, GHashTable *by_socket, Place *place)
{
    CommandFiles *files = g_hash_table_lookup(by_socket, place->socket);
    if (files) {
        place_free(place);
        return files;
    }
    files = g_new0(CommandFiles, 1);
    files->place = place;
    files->paths = g_ptr_array_new_with_free_func(g_free);
    files->names = g_ptr_array_new();
    g_ptr_array_add(all, files);
    g_hash_table_insert(by_socket, place->socket, files);
    return files;
}

/* NULL: it is in no mount. *path: within the mount. */
static CommandFiles *find(GPtrArray *all, GHashTable *by_socket, Last *last, const char *name,
                          char **path)
{
    g_autofree char *whole = g_canonicalize_filename(name, NULL);
    const char *base = strrchr(whole, '/');
    g_autofree char *directory = g_strndup(whole, (gsize)(base - whole));
    if (!last->files || strcmp(directory, last->directory) != 0) {
        Place *above = place_find(directory);
        Place *place = above ? above : place_find(whole);
        if (!place)
            return NULL;
        char *inside = g_strdup(place->inside);
        CommandFiles *files = obtain(all, by_socket, place);
        if (!above) { /* the mount point, or a link: it says nothing of what is beside it */
            *path = inside;
            return files;
        }
        last_clear(last);
        *last = (Last){g_steal_pointer(&directory), files, inside};
    }
    *path = g_strconcat(strcmp(last->inside, "/") == 0 ? "" : last->inside, base, NULL);
    return last->files;
}

GPtrArray *command_files_new(char **names, guint *failed)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(files_free);
    g_autoptr(GHashTable) by_socket = g_hash_table_new(g_str_hash, g_str_equal);
    g_auto(Last) last = {0};
    for (; *names; names++) {
        char *path;
        CommandFiles *files = find(all, by_socket, &last, *names, &path);
        if (!files) {
            fprintf(stderr, "mailfs: %s: it is in no mount of yours\n", *names);
            ++*failed;
            continue;
        }
        g_ptr_array_add(files->paths, path);
        g_ptr_array_add(files->names, *names);
    }
    return all;
}

gboolean command_files_complain(const CommandFiles *files, const char *line)
{
    char *text;
    if (g_str_has_prefix(line, "problem ")) {
        fprintf(stderr, "mailfs: %s/%s\n", files->place->mountpoint, line + strlen("problem "));
        return TRUE;
    }
    if (!g_str_has_prefix(line, "error "))
        return FALSE;
    guint64 number = g_ascii_strtoull(line + strlen("error "), &text, 10);
    if (number < 1 || number > files->names->len)
        return FALSE;
    fprintf(stderr, "mailfs: %s:%s\n", (const char *)files->names->pdata[number - 1], text);
    return TRUE;
}
