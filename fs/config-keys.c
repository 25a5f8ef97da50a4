#include "config-private.h"

#include <errno.h>
#include <string.h>

#define COMM_MAX 15 /* the kernel cuts /proc/PID/comm there */

/* "~/x" of a value is the home directory's, since no shell has seen it. */
static char *expand_home(const char *path)
{
    if (path[0] == '~' && path[1] == '/')
        return g_build_filename(config_home(), path + 2, NULL);
    return g_strdup(path);
}

/* Values: each takes the text of one and sets `target`, or says what would be right. */

typedef gboolean (*KeySet)(const ConfigKey *key, Config *config, const char *value, GError **error);

struct ConfigKey {
    const char *name;
    KeySet set;
    gsize offset; /* of the Config's field */
    guint64 low, high;
    const char *const *words; /* of an enumeration, in its order */
    ConfigKeyFlags flags;
};

#define FIELD(type, key, config) ((type *)(gpointer)((char *)(config) + (key)->offset))

static gboolean set_text(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    char **field = FIELD(char *, key, config);
    g_free(*field);
    *field = g_strdup(value);
    return TRUE;
}

/* Absolute, for the daemon leaves the directory that it was started in. */
static gboolean set_path(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    char **field = FIELD(char *, key, config);
    g_autofree char *path = expand_home(value);
    g_free(*field);
    *field = g_canonicalize_filename(path, NULL);
    return TRUE;
}

static gboolean set_command(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    g_auto(GStrv) argv = NULL;
    if (!g_shell_parse_argv(value, NULL, &argv, NULL)) {
        config_value_error(error, "%s is not a command line: is every quote closed?", key->name);
        return FALSE;
    }
    char *program = expand_home(argv[0]);
    g_free(argv[0]);
    argv[0] = program;

    char ***field = FIELD(char **, key, config);
    g_strfreev(*field);
    *field = g_steal_pointer(&argv);
    return TRUE;
}

/* There is one credential: the command that is set last replaces the other kind. */
static gboolean set_password_command(const ConfigKey *key, Config *config, const char *value,
                                     GError **error)
{
    g_clear_pointer(&config->token_command, g_strfreev);
    return set_command(key, config, value, error);
}

static gboolean set_token_command(const ConfigKey *key, Config *config, const char *value,
                                  GError **error)
{
    g_clear_pointer(&config->password_command, g_strfreev);
    return set_command(key, config, value, error);
}

static gboolean set_number(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    guint64 number;
    if (!g_ascii_string_to_unsigned(value, 10, key->low, key->high, &number, NULL)) {
        g_autofree char *bad = config_shown(value);
        config_value_error(
            error, "%s='%s' is not a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT,
            key->name, bad, key->low, key->high);
        return FALSE;
    }
    *FIELD(guint, key, config) = (guint)number;
    return TRUE;
}

/* always, never, or a number of days. */
static gboolean set_leave(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    guint64 days = 0;
    if (strcmp(value, "always") == 0) {
        config->leave = CONFIG_LEAVE_ALWAYS;
        return TRUE;
    }
    if (strcmp(value, "never") != 0 &&
        !g_ascii_string_to_unsigned(value, 10, 1, 100000, &days, NULL)) {
        g_autofree char *bad = config_shown(value);
        config_value_error(error, "leave='%s' is neither always nor never nor a number of days",
                           bad);
        return FALSE;
    }
    config->leave = (guint)days;
    return TRUE;
}

/* "500M", "5G", "5GiB", "1048576". */
static gboolean set_size(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    errno = 0;
    guint64 size = g_ascii_strtoull(value, &end, 10);
    gboolean good = g_ascii_isdigit(*value) && errno == 0;
    const char *unit = good && *end ? strchr(units, g_ascii_toupper(*end)) : NULL;
    if (unit) {
        guint shift = 10 * (guint)(unit - units + 1);
        good = size <= (guint64)G_MAXINT64 >> shift;
        size <<= shift;
        end++;
        if (g_ascii_strcasecmp(end, "iB") == 0)
            end += 2;
        else if (g_ascii_strcasecmp(end, "B") == 0)
            end++;
    }
    if (!good || *end || size > G_MAXINT64) {
        g_autofree char *bad = config_shown(value);
        config_value_error(error, "%s='%s' is not a size such as 500M or 5G", key->name, bad);
        return FALSE;
    }
    *FIELD(guint64, key, config) = size;
    return TRUE;
}

static gboolean set_flag(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    static const char *const yes[] = {"yes", "true", "1", "on", NULL};
    static const char *const no[] = {"no", "false", "0", "off", NULL};
    gboolean is_yes = g_strv_contains(yes, value);
    if (!is_yes && !g_strv_contains(no, value)) {
        g_autofree char *bad = config_shown(value);
        config_value_error(error, "%s='%s' is neither yes nor no", key->name, bad);
        return FALSE;
    }
    *FIELD(gboolean, key, config) = key->flags & CONFIG_KEY_INVERSE ? !is_yes : is_yes;
    return TRUE;
}

static gboolean set_word(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    for (guint i = 0; key->words[i]; i++) {
        if (strcmp(value, key->words[i]) == 0) {
            *FIELD(guint, key, config) = i + (guint)key->low;
            return TRUE;
        }
    }
    g_autofree char *bad = config_shown(value);
    g_autofree char *words = g_strjoinv("|", (char **)key->words);
    config_value_error(error, "%s='%s' is none of %s", key->name, bad, words);
    return FALSE;
}

static gboolean set_programs(const ConfigKey *key, Config *config, const char *value,
                             GError **error)
{
    g_autoptr(GPtrArray) programs = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) words = g_strsplit_set(value, " \t", -1);
    for (guint i = 0; words[i]; i++)
        if (*words[i])
            g_ptr_array_add(programs, g_strndup(words[i], COMM_MAX));
    g_ptr_array_add(programs, NULL);

    char ***field = FIELD(char **, key, config);
    g_strfreev(*field);
    *field = (char **)g_ptr_array_free(g_steal_pointer(&programs), FALSE);
    return TRUE;
}

/* The name of a SASL mechanism, RFC 4422 section 3.1. */
static gboolean set_mechanism(const ConfigKey *key, Config *config, const char *value,
                              GError **error)
{
    g_autofree char *name = g_ascii_strup(value, -1);
    gsize good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    if (good == 0 || good > 20 || name[good]) {
        g_autofree char *bad = config_shown(value);
        config_value_error(error, "auth='%s' is not the name of a mechanism such as PLAIN", bad);
        return FALSE;
    }
    return set_text(key, config, name, error);
}

static gboolean set_url(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    Url *url = url_parse(value, error);
    if (!url)
        return FALSE;
    url_free(config->url);
    config->url = url;
    return TRUE;
}

static const char *const seen_words[] = {"viewers", "any", "never", NULL};
static const char *const delete_words[] = {"trash", "expunge", "mark", "refuse", NULL};
static const char *const compress_words[] = {"auto", "no", "yes", NULL}; /* RemoteCompress */
static const char *const fetch_words[] = {"read", "all", NULL};
static const char *const names_words[] = {"full", "uid", NULL};

G_STATIC_ASSERT(sizeof(ConfigSeen) == sizeof(guint) && sizeof(ConfigDelete) == sizeof(guint));

#define AT(field) .offset = G_STRUCT_OFFSET(Config, field)
static const ConfigKey keys[] = {
    {"url", set_url, .flags = CONFIG_KEY_ACCOUNT | CONFIG_KEY_FILE},
    {"user", set_text, AT(user)},
    {"tunnel", set_command, AT(tunnel)},
    {"auth", set_mechanism, AT(auth)},
    {"ca-file", set_path, AT(ca_file)},
    {"tls", set_flag, AT(tls_off), .flags = CONFIG_KEY_INVERSE},
    {"connections", set_number, AT(connections), .low = 1, .high = 16},
    {"compress", set_word, AT(compress), .words = compress_words},
    {"password-command", set_password_command, AT(password_command)},
    {"token-command", set_token_command, AT(token_command)},
    {"refresh", set_number, AT(refresh), .high = 1000000},
    {"cache-size", set_size, AT(cache_size)},
    {"cache-directory", set_path, AT(cache_directory), .flags = CONFIG_KEY_ACCOUNT},
    {"seen", set_word, AT(seen), .words = seen_words},
    {"seen-by", set_programs, AT(seen_by)},
    {"delete", set_word, AT(delete_policy), .words = delete_words, .low = CONFIG_DELETE_TRASH},
    {"names", set_word, AT(names_uid), .words = names_words},
    {"leave", set_leave, AT(leave)},
    {"fetch", set_word, AT(fetch_all), .words = fetch_words},
    {"idle", set_number, AT(idle), .low = 1, .high = 600},
    {"poll", set_number, AT(poll), .high = 1000000},
    {"xattr", set_flag, AT(xattr), .flags = CONFIG_KEY_FLAG},
    {"ro", set_flag, AT(read_only), .flags = CONFIG_KEY_FLAG},
    {"rw", set_flag, AT(read_only), .flags = CONFIG_KEY_FLAG | CONFIG_KEY_INVERSE},
    {"allow_other", set_flag, AT(allow_other), .flags = CONFIG_KEY_FLAG},
    {"sync", set_flag, AT(sync), .flags = CONFIG_KEY_FLAG},
};
#undef AT

const ConfigKey *config_key_find(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* How many letters must be added, dropped or changed to make one word of the other; both at most
 * CONFIG_SHOWN_MAX bytes. */
static guint word_distance(const char *a, const char *b)
{
    guint row[CONFIG_SHOWN_MAX + 1];
    gsize width = strlen(b);
    for (guint i = 0; i <= width; i++)
        row[i] = i;
    for (guint line = 1; *a; a++, line++) {
        guint diagonal = row[0];
        row[0] = line;
        for (guint i = 1; i <= width; i++) {
            guint above = row[i];
            row[i] = MIN(MIN(above, row[i - 1]) + 1, diagonal + (*a != b[i - 1]));
            diagonal = above;
        }
    }
    return row[width];
}

char *config_key_hint(const char *name)
{
    static const char *const secrets[] = {"password", "passwd", "pass", "token", NULL};
    if (g_strv_contains(secrets, name))
        return g_strdup(": secrets are never options, use password-command or --password-fd");
    const char *best = NULL;
    guint nearest = 3;
    for (guint i = 0; i < G_N_ELEMENTS(keys) && strlen(name) <= CONFIG_SHOWN_MAX; i++) {
        guint distance = word_distance(name, keys[i].name);
        if (distance > 0 && distance < nearest && 2 * distance < strlen(name)) {
            nearest = distance;
            best = keys[i].name;
        }
    }
    return best ? g_strdup_printf(", did you mean '%s'?", best) : g_strdup("");
}

ConfigKeyFlags config_key_flags(const ConfigKey *key)
{
    return key->flags;
}

gboolean config_key_set(const ConfigKey *key, Config *config, const char *value, GError **error)
{
    if (*value == '\0' && key->set != set_programs) {
        config_value_error(error, "%s has no value", key->name);
        return FALSE;
    }
    return key->set(key, config, value, error);
}
