#include "command-fetch.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command-files.h"
#include "progress.h"

typedef struct {
    const CommandFiles *files;
    guint next;        /* of its paths */
    gboolean terminal; /* else a line for each folder */
    gboolean drawn;    /* the cursor stands behind a bar */
    ProgressRate rate;
    guint64 failed;
    guint64 had, had_bytes, fetched, fetched_bytes, left_out, left_out_bytes;
} Fetch;

static guint terminal_width(void)
{
    struct winsize size = {0};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

static void clear_bar(Fetch *fetch)
{
    if (fetch->drawn)
        fputs("\r\033[K", stderr);
    fetch->drawn = FALSE;
}

/* Numbers behind the word that a line begins with; returns what follows them. */
static const char *take_numbers(const char *line, guint64 *numbers, guint count)
{
    const char *at = line + strcspn(line, " ");
    for (guint i = 0; i < count; i++)
        numbers[i] = g_ascii_strtoull(at, (char **)&at, 10);
    return *at == ' ' ? at + 1 : at;
}

static void show_progress(Fetch *fetch, const char *line)
{
    guint64 n[5];
    take_numbers(line, n, G_N_ELEMENTS(n));
    ProgressAmounts amounts = {n[0], n[2], n[1], n[3], n[4] != 0};
    progress_rate_add(&fetch->rate, g_get_monotonic_time(), amounts.bytes);
    g_autofree char *text =
        progress_line(&amounts, progress_rate(&fetch->rate), terminal_width() - 1);
    fprintf(stderr, "\r%s\033[K", text);
    fetch->drawn = TRUE;
}

static void show_folder(const char *line)
{
    guint64 n[2];
    const char *path = take_numbers(line, n, G_N_ELEMENTS(n));
    g_autofree char *size = progress_size(n[1]);
    fprintf(stderr, "%s: %" G_GUINT64_FORMAT " messages, %s\n", *path ? path : ".", n[0], size);
}

static void note_total(Fetch *fetch, const char *line)
{
    guint64 n[7];
    take_numbers(line, n, G_N_ELEMENTS(n));
    fetch->fetched += n[0];
    fetch->fetched_bytes += n[1];
    fetch->had += n[2];
    fetch->had_bytes += n[3];
    fetch->left_out += n[4];
    fetch->left_out_bytes += n[5];
    fetch->failed += n[6];
}

static void take_line(char *line, gpointer data)
{
    Fetch *fetch = data;
    if (g_str_has_prefix(line, "progress ")) {
        if (fetch->terminal)
            show_progress(fetch, line);
    } else if (g_str_has_prefix(line, "folder ")) {
        if (!fetch->terminal)
            show_folder(line);
    } else if (g_str_has_prefix(line, "total ")) {
        note_total(fetch, line);
    } else {
        clear_bar(fetch);
        fetch->failed += command_files_complain(fetch->files, line) ? 1 : 0;
    }
}

static const char *next_path(gpointer data)
{
    Fetch *fetch = data;
    GPtrArray *paths = fetch->files->paths;
    return fetch->next < paths->len ? paths->pdata[fetch->next++] : NULL;
}

static void fetch_from(Fetch *fetch, const CommandFiles *files)
{
    g_autoptr(GError) error = NULL;
    Conversation how = {.argument = next_path, .line = take_line, .data = fetch};
    fetch->files = files;
    fetch->next = 0;
    fetch->rate.count = 0;
    gboolean done = converse(files->place->socket, "fetch", &how, &error);
    clear_bar(fetch);
    if (done)
        return;
    fprintf(stderr, "mailfs: %s: %s\n", files->place->mountpoint, error->message);
    fetch->failed++;
}

static void show_total(const Fetch *fetch, gint64 began)
{
    g_autofree char *size = progress_size(fetch->fetched_bytes);
    g_autofree char *had = progress_size(fetch->had_bytes);
    g_autofree char *left_out = progress_size(fetch->left_out_bytes);
    g_autofree char *took =
        progress_time((guint64)(g_get_monotonic_time() - began) / G_USEC_PER_SEC);
    fprintf(stderr,
            "fetched %" G_GUINT64_FORMAT " messages, %s, in %s; %" G_GUINT64_FORMAT
            " messages, %s, were here\n",
            fetch->fetched, size, took, fetch->had, had);
    if (fetch->left_out > 0)
        fprintf(stderr,
                "mailfs: left out, since the cache is too small (cache-size): %" G_GUINT64_FORMAT
                " messages, %s\n",
                fetch->left_out, left_out);
}

int command_fetch(char **paths)
{
    guint failed = 0;
    gint64 began = g_get_monotonic_time();
    g_autoptr(GPtrArray) all = command_files_new(paths, &failed);
    Fetch fetch = {.terminal = isatty(STDERR_FILENO), .failed = failed};
    for (guint i = 0; i < all->len; i++)
        fetch_from(&fetch, all->pdata[i]);
    if (all->len > 0)
        show_total(&fetch, began);
    return fetch.failed > 0 || fetch.left_out > 0;
}
