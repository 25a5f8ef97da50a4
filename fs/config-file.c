#include "config-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1024 * 1024)

/* The config file. */

typedef struct {
    char *section, *key, *value;
    guint line;
} Entry;

static void entry_free(gpointer data)
{
    Entry *entry = data;
    g_free(entry->section);
    g_free(entry->key);
    g_free(entry->value);
    g_free(entry);
}

struct ConfigFile {
    char *path;
    GPtrArray *accounts; /* names, each once */
    GPtrArray *entries;  /* of Entry, in the file's order */
};

void config_file_free(ConfigFile *file)
{
    g_free(file->path);
    g_ptr_array_unref(file->accounts);
    g_ptr_array_unref(file->entries);
    g_free(file);
}

#define ACCOUNT_PREFIX "account "

/* "NAME" of "account NAME", or NULL. */
static const char *account_of(const char *section)
{
    if (!g_str_has_prefix(section, ACCOUNT_PREFIX))
        return NULL;
    const char *name = section + strlen(ACCOUNT_PREFIX);
    while (*name == ' ')
        name++;
    return *name ? name : NULL;
}

/* Takes "[name]" apart; NULL for what is no section that we know. */
static char *parse_section(const char *line)
{
    gsize length = strlen(line);
    if (line[length - 1] != ']')
        return NULL;
    g_autofree char *inside = g_strndup(line + 1, length - 2);
    g_strstrip(inside);
    if (strcmp(inside, "defaults") == 0)
        return g_steal_pointer(&inside);
    const char *account = account_of(inside);
    return account ? g_strconcat(ACCOUNT_PREFIX, account, NULL) : NULL;
}

/* Checks one "key = value" and adds it. Values are checked when they are used: a mistake in one
 * account does not stop another, but a misspelt key is told to everybody. */
static gboolean parse_entry(ConfigFile *file, const char *section, char *line, guint number,
                            GError **error)
{
    char *equals = strchr(line, '=');
    if (!section || !equals) {
        config_value_error(error, "%s:%u: not [defaults], [account NAME], key=value or a # comment",
                           file->path, number);
        return FALSE;
    }
    *equals = '\0';
    g_strstrip(line);
    const ConfigKey *key = config_key_find(line);
    if (!key) {
        g_autofree char *bad = config_shown(line);
        g_autofree char *where = config_shown(section);
        g_autofree char *hint = config_key_hint(line);
        config_value_error(error, "%s:%u: unknown key '%s' in [%s]%s", file->path, number, bad,
                           where, hint);
        return FALSE;
    }
    if (config_key_flags(key) & CONFIG_KEY_ACCOUNT && !account_of(section)) {
        config_value_error(error, "%s:%u: '%s' belongs in [account NAME]", file->path, number,
                           line);
        return FALSE;
    }
    Entry *entry = g_new0(Entry, 1);
    entry->section = g_strdup(section);
    entry->key = g_strdup(line);
    entry->value = g_strstrip(g_strdup(equals + 1));
    entry->line = number;
    g_ptr_array_add(file->entries, entry);
    return TRUE;
}

static gboolean parse_file(ConfigFile *file, const char *text, GError **error)
{
    g_autofree char *section = NULL;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        char *line = g_strstrip(lines[i]);
        if (*line == '\0' || *line == '#')
            continue;
        if (*line != '[') {
            if (!parse_entry(file, section, line, i + 1, error))
                return FALSE;
            continue;
        }
        g_free(section);
        section = parse_section(line);
        if (!section) {
            g_autofree char *bad = config_shown(line);
            config_value_error(error, "%s:%u: '%s' is neither [defaults] nor [account NAME]",
                               file->path, i + 1, bad);
            return FALSE;
        }
        const char *account = account_of(section);
        if (account && !config_file_has_account(file, account))
            g_ptr_array_add(file->accounts, g_strdup(account));
    }
    return TRUE;
}

/* Whoever can write the file can run commands as its owner; where those commands are, readers
 * learn how to get at the password. */
static gboolean check_owner(const ConfigFile *file, const struct stat *status, GError **error)
{
    if (!S_ISREG(status->st_mode)) {
        config_value_error(error, "%s is not a file", file->path);
        return FALSE;
    }
    if (status->st_uid != geteuid()) {
        config_value_error(error, "%s belongs to another user", file->path);
        return FALSE;
    }
    if (status->st_mode & (S_IWGRP | S_IWOTH)) {
        config_value_error(error, "%s can be written by others: chmod go-w it", file->path);
        return FALSE;
    }
    return TRUE;
}

static gboolean check_readers(const ConfigFile *file, const struct stat *status, GError **error)
{
    if (!(status->st_mode & (S_IRGRP | S_IROTH)))
        return TRUE;
    for (guint i = 0; i < file->entries->len; i++) {
        const Entry *entry = file->entries->pdata[i];
        if (g_str_equal(entry->key, "password-command") ||
            g_str_equal(entry->key, "token-command")) {
            config_value_error(error, "%s:%u: a file with '%s' must be private: chmod go-r it",
                               file->path, entry->line, entry->key);
            return FALSE;
        }
    }
    return TRUE;
}

/* The whole of an open file, or NULL with errno. */
static char *read_all(int fd, gsize *size)
{
    g_autofree char *text = g_malloc(FILE_MAX + 1);
    gsize used = 0;
    while (used <= FILE_MAX) {
        ssize_t got = read(fd, text + used, FILE_MAX + 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return NULL;
        if (got == 0)
            break;
        used += (gsize)got;
    }
    if (used > FILE_MAX) {
        errno = EFBIG;
        return NULL;
    }
    text[used] = '\0';
    *size = used;
    return g_steal_pointer(&text);
}

ConfigFile *config_file_load(GError **error)
{
    g_autoptr(ConfigFile) file = g_new0(ConfigFile, 1);
    g_autofree char *directory = config_xdg_directory("XDG_CONFIG_HOME", ".config");
    file->path = g_build_filename(directory, "config", NULL);
    file->accounts = g_ptr_array_new_with_free_func(g_free);
    file->entries = g_ptr_array_new_with_free_func(entry_free);

    /* O_NONBLOCK: a FIFO in its place must not hang us. */
    int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return g_steal_pointer(&file);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        config_value_error(error, "%s: %s", file->path, g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    g_autofree char *text = NULL;
    gsize size = 0;
    if (check_owner(file, &status, error)) {
        text = read_all(fd, &size);
        if (!text)
            config_value_error(error, "%s: %s", file->path, g_strerror(errno));
    }
    close(fd);
    if (!text)
        return NULL;
    if (!g_utf8_validate(text, (gssize)size, NULL)) {
        config_value_error(error, "%s is not UTF-8 text", file->path);
        return NULL;
    }
    if (!parse_file(file, text, error) || !check_readers(file, &status, error))
        return NULL;
    return g_steal_pointer(&file);
}

gboolean config_file_apply(const ConfigFile *file, const char *section, Config *config,
                           GError **error)
{
    for (guint i = 0; i < file->entries->len; i++) {
        const Entry *entry = file->entries->pdata[i];
        if (strcmp(entry->section, section) != 0)
            continue;
        if (!config_key_set(config_key_find(entry->key), config, entry->value, error)) {
            g_prefix_error(error, "%s:%u: ", file->path, entry->line);
            return FALSE;
        }
    }
    return TRUE;
}

const char *config_file_path(const ConfigFile *file)
{
    return file->path;
}

gboolean config_file_has_account(const ConfigFile *file, const char *name)
{
    return g_ptr_array_find_with_equal_func(file->accounts, name, g_str_equal, NULL);
}

char *config_file_accounts(const ConfigFile *file)
{
    if (file->accounts->len == 0)
        return g_strdup("none");
    g_autoptr(GString) list = g_string_new(NULL);
    for (guint i = 0; i < file->accounts->len; i++) {
        g_autofree char *name = config_shown(file->accounts->pdata[i]);
        g_string_append_printf(list, "%s%s", i > 0 ? ", " : "", name);
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}
