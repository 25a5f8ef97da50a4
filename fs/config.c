#include "config-private.h"

#include <string.h>

#define NAME_LENGTH_MAX 200 /* it becomes a directory's name */

G_DEFINE_QUARK(mailfs - config - usage - error, config_usage_error)

static const char default_seen_by[] =
    "cat less more most bat view vi vim nvim nano micro emacs mshow mutt neomutt "
    "thunderbird evolution kmail geary claws-mail sylpheed gedit gnome-text-editor "
    "kate kwrite mousepad xed pluma";

static void usage_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void usage_error(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(CONFIG_USAGE_ERROR, 0, format, arguments));
    va_end(arguments);
}

void config_value_error(GError **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_propagate_error(error, g_error_new_valist(MAIL_ERROR, MAIL_ERROR_CONFIG, format, arguments));
    va_end(arguments);
}

char *config_shown(const char *text)
{
    return mail_escape(text, -1, CONFIG_SHOWN_MAX);
}

/* Not g_get_home_dir() alone: it remembers the first answer for good. */
const char *config_home(void)
{
    const char *home = g_getenv("HOME");
    return home && g_path_is_absolute(home) ? home : g_get_home_dir();
}

/* $VARIABLE/mailfs, or ~/fallback/mailfs: a relative $VARIABLE is to be ignored, says XDG. */
char *config_xdg_directory(const char *variable, const char *fallback)
{
    const char *base = g_getenv(variable);
    if (base && g_path_is_absolute(base))
        return g_build_filename(base, "mailfs", NULL);
    return g_build_filename(config_home(), fallback, "mailfs", NULL);
}

void config_free(Config *config)
{
    if (!config)
        return;
    g_free(config->mountpoint);
    url_free(config->url);
    g_free(config->name);
    g_free(config->user);
    g_strfreev(config->tunnel);
    g_free(config->auth);
    g_free(config->ca_file);
    g_strfreev(config->password_command);
    g_strfreev(config->token_command);
    g_free(config->cache_directory);
    g_free(config->data_directory);
    g_strfreev(config->seen_by);
    g_free(config);
}

static Config *config_new(void)
{
    Config *config = g_new0(Config, 1);
    config->connections = 3;
    config->password_fd = -1;
    config->refresh = 10;
    config->leave = CONFIG_LEAVE_ALWAYS;
    config->idle = 20;
    config->poll = 300;
    config->cache_size = (guint64)5 << 30;
    config_key_set(config_key_find("seen-by"), config, default_seen_by, NULL);
    return config;
}

/* One "key=value" behind -o. */
typedef struct {
    const ConfigKey *key;
    char *value;
} Option;

static void option_free(gpointer data)
{
    Option *option = data;
    g_free(option->value);
    g_free(option);
}

/* The command line, taken apart. */
typedef struct {
    int argc;
    char *const *argv;
    int at;             /* the next word */
    GPtrArray *words;   /* those that are no options; borrowed from argv */
    GPtrArray *options; /* of Option */
} Line;

static void line_clear(Line *line)
{
    g_ptr_array_unref(line->words);
    g_ptr_array_unref(line->options);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Line, line_clear)

/* Words that mount(8) and fstab(5) pass on, which mean nothing here. */
static gboolean is_mount_word(const char *word)
{
    static const char *const ignored[] = {
        "nosuid", "nodev",  "noexec", "exec",  "suid",    "dev",    "noatime",  "relatime",
        "auto",   "noauto", "user",   "users", "_netdev", "nofail", "defaults", NULL,
    };
    return g_strv_contains(ignored, word) || g_str_has_prefix(word, "x-") ||
           g_str_has_prefix(word, "fsname=") || g_str_has_prefix(word, "subtype=");
}

static gboolean add_option(Line *line, char *word, GError **error)
{
    if (*word == '\0' || is_mount_word(word))
        return TRUE;
    char *equals = strchr(word, '=');
    if (equals)
        *equals = '\0';
    const ConfigKey *key = config_key_find(word);
    if (!key || config_key_flags(key) & CONFIG_KEY_FILE) {
        g_autofree char *bad = config_shown(word);
        g_autofree char *hint = config_key_hint(word);
        usage_error(error, "unknown option -o %s%s", bad, hint);
        return FALSE;
    }
    if (!equals && !(config_key_flags(key) & CONFIG_KEY_FLAG)) {
        usage_error(error, "-o %s needs a value: %s=...", word, word);
        return FALSE;
    }
    Option *option = g_new0(Option, 1);
    option->key = key;
    option->value = g_strdup(equals ? equals + 1 : "yes");
    g_ptr_array_add(line->options, option);
    return TRUE;
}

/* Splits "a,b=c\\,d" at its commas; "\\," and "\\\\" stand for a comma and a backslash. */
static gboolean add_options(Line *line, const char *text, GError **error)
{
    g_autoptr(GString) word = g_string_new(NULL);
    for (;; text++) {
        if (*text == '\0' || *text == ',') {
            if (!add_option(line, word->str, error))
                return FALSE;
            if (*text == '\0')
                return TRUE;
            g_string_truncate(word, 0);
            continue;
        }
        if (*text == '\\' && (text[1] == ',' || text[1] == '\\'))
            text++;
        g_string_append_c(word, *text);
    }
}

/* What belongs to an option: the rest of its own word, else the next word. */
static const char *take_value(Line *line, const char *rest, const char *option, GError **error)
{
    if (*rest)
        return rest;
    if (line->at < line->argc)
        return line->argv[line->at++];
    usage_error(error, "%s needs a value", option);
    return NULL;
}

static gboolean set_password_fd(Config *config, const char *value, GError **error)
{
    guint64 fd;
    if (!g_ascii_string_to_unsigned(value, 10, 0, G_MAXINT, &fd, NULL)) {
        usage_error(error, "--password-fd needs the number of an open file");
        return FALSE;
    }
    config->password_fd = (int)fd;
    return TRUE;
}

static gboolean parse_long(Line *line, Config *config, const char *word, GError **error)
{
    static const char password_fd[] = "--password-fd";
    if (strcmp(word, "--help") == 0)
        config->help = TRUE;
    else if (strcmp(word, "--version") == 0)
        config->version = TRUE;
    else if (strcmp(word, "--check") == 0)
        config->check = TRUE;
    else if (g_str_has_prefix(word, "--password-fd=")) {
        return set_password_fd(config, word + sizeof(password_fd), error);
    } else if (strcmp(word, password_fd) == 0) {
        const char *value = take_value(line, "", password_fd, error);
        return value && set_password_fd(config, value, error);
    } else {
        /* Without its value, which may be a secret. */
        g_autofree char *bad = mail_escape(word, (gssize)strcspn(word, "="), CONFIG_SHOWN_MAX);
        usage_error(error, "unknown option %s", bad);
        return FALSE;
    }
    return TRUE;
}

/* "-fd", "-oro", "-fo ro". */
static gboolean parse_short(Line *line, Config *config, const char *word, GError **error)
{
    for (const char *letter = word + 1; *letter; letter++) {
        switch (*letter) {
        case 'h':
            config->help = TRUE;
            break;
        case 'V':
            config->version = TRUE;
            break;
        case 'f':
            config->foreground = TRUE;
            break;
        case 'd':
            config->debug = config->foreground = TRUE;
            break;
        case 'v':
            config->verbose = TRUE;
            break;
        case 'o': {
            const char *value = take_value(line, letter + 1, "-o", error);
            return value && add_options(line, value, error);
        }
        default: {
            g_autofree char *bad = mail_escape(letter, 1, CONFIG_SHOWN_MAX);
            usage_error(error, "unknown option -%s", bad);
            return FALSE;
        }
        }
    }
    return TRUE;
}

static gboolean parse_line(Line *line, Config *config, GError **error)
{
    gboolean only_words = FALSE;
    while (line->at < line->argc && !config->help && !config->version) {
        const char *word = line->argv[line->at++];
        if (only_words || word[0] != '-' || word[1] == '\0')
            g_ptr_array_add(line->words, (gpointer)word);
        else if (strcmp(word, "--") == 0)
            only_words = TRUE;
        else if (word[1] == '-' ? !parse_long(line, config, word, error)
                                : !parse_short(line, config, word, error))
            return FALSE;
    }
    return TRUE;
}

static gboolean check_words(const Line *line, const Config *config, GError **error)
{
    guint wanted = config->check ? 1 : 2;
    if (line->words->len == 0)
        usage_error(error, "which account? Give its URL, or its name in the config file");
    else if (line->words->len < wanted)
        usage_error(error, "where to? Give a directory to mount on");
    else if (line->words->len > wanted)
        usage_error(error, "too many words%s", config->check ? ": --check takes no directory" : "");
    return line->words->len == wanted;
}

/* Makes a name that is safe as that of a file: what could be anything else becomes %XX. */
static char *safe_name(const char *text)
{
    GString *name = g_string_new(NULL);
    for (const char *at = text; *at; at++) {
        gboolean plain =
            g_ascii_isalnum(*at) || (*at && strchr("@_+-", *at)) || (*at == '.' && at != text);
        if (plain)
            g_string_append_c(name, *at);
        else
            g_string_append_printf(name, "%%%02X", (guchar)*at);
    }
    return g_string_free(name, FALSE);
}

static guint16 default_port(UrlScheme scheme)
{
    static const guint16 ports[] = {
        [URL_IMAP] = 143, [URL_IMAPS] = 993, [URL_POP3] = 110, [URL_POP3S] = 995};
    return ports[scheme];
}

/* "user@host", or "user@host_port". */
static char *name_of_url(const Url *url, const char *user)
{
    g_autofree char *host = g_ascii_strdown(url->host, -1);
    g_autofree char *plain = url->port == default_port(url->scheme)
                                 ? g_strdup_printf("%s@%s", user, host)
                                 : g_strdup_printf("%s@%s_%u", user, host, url->port);
    return safe_name(plain);
}

/* Finds out what the word means: an account's section, or a URL. */
static gboolean apply_account(const ConfigFile *file, const char *word, Config *config,
                              GError **error)
{
    if (config_file_has_account(file, word)) {
        g_autofree char *section = g_strdup_printf("account %s", word);
        if (!config_file_apply(file, section, config, error))
            return FALSE;
        if (!config->url)
            config_value_error(error, "%s: [account %s] has no url", config_file_path(file), word);
        config->name = safe_name(word);
        return config->url != NULL;
    }
    if (strchr(word, ':')) {
        config->url = url_parse(word, error);
        return config->url != NULL;
    }
    g_autofree char *bad = config_shown(word);
    g_autofree char *known = config_file_accounts(file);
    config_value_error(error,
                       "'%s' is neither a URL such as imaps://user@host nor an account of %s "
                       "(known: %s)",
                       bad, config_file_path(file), known);
    return FALSE;
}

static gboolean apply_options(const Line *line, Config *config, GError **error)
{
    for (guint i = 0; i < line->options->len; i++) {
        const Option *option = line->options->pdata[i];
        if (!config_key_set(option->key, config, option->value, error)) {
            g_prefix_error(error, "-o ");
            return FALSE;
        }
    }
    return TRUE;
}

static char *data_directory(const Config *config, const char *usual_cache)
{
    g_autofree char *base = config_xdg_directory("XDG_DATA_HOME", ".local/share");
    if (strcmp(config->cache_directory, usual_cache) == 0)
        return g_build_filename(base, config->name, NULL);
    g_autofree char *hash =
        g_compute_checksum_for_string(G_CHECKSUM_SHA256, config->cache_directory, -1);
    g_autofree char *name = g_strdup_printf("%s@%.16s", config->name, hash);
    return g_build_filename(base, name, NULL);
}

/* What follows from all the rest: the user, the name, the cache's directory. */
static gboolean complete(Config *config, GError **error)
{
    if (config->url->user || !config->user) {
        g_free(config->user);
        config->user = g_strdup(config->url->user ? config->url->user : g_get_user_name());
    }
    if (!config->name)
        config->name = name_of_url(config->url, config->user);
    if (strlen(config->name) > NAME_LENGTH_MAX) {
        config_value_error(error, "the account's name is too long: name it by an [account NAME]");
        return FALSE;
    }
    g_autofree char *base = config_xdg_directory("XDG_CACHE_HOME", ".cache");
    g_autofree char *usual = g_build_filename(base, config->name, NULL);
    if (!config->cache_directory)
        config->cache_directory = g_strdup(usual);
    config->data_directory = data_directory(config, usual);
    return TRUE;
}

Config *config_parse(int argc, char *const *argv, GError **error)
{
    g_autoptr(Config) config = config_new();
    g_auto(Line)
        line = {argc, argv, 1, g_ptr_array_new(), g_ptr_array_new_with_free_func(option_free)};
    if (!parse_line(&line, config, error))
        return NULL;
    if (config->help || config->version)
        return g_steal_pointer(&config);
    if (!check_words(&line, config, error))
        return NULL;

    g_autoptr(ConfigFile) file = config_file_load(error);
    if (!file || !config_file_apply(file, "defaults", config, error) ||
        !apply_account(file, line.words->pdata[0], config, error) ||
        !apply_options(&line, config, error) || !complete(config, error))
        return NULL;
    if (!config->check)
        config->mountpoint = g_strdup(line.words->pdata[1]);
    return g_steal_pointer(&config);
}

const char *config_help(void)
{
    return "usage: mailfs [OPTIONS] URL|ACCOUNT MOUNTPOINT\n"
           "       mailfs --check [OPTIONS] URL|ACCOUNT   can it connect and log in?\n"
           "       mailfs status|sync|events MOUNTPOINT   its state | wait | what changes\n"
           "       mailfs flag +flagged -seen +todo FILE... | fetch PATH...\n"
           "Mounts a mailbox as a directory. Unmount: fusermount3 -u MOUNTPOINT\n"
           "URL: imaps:// or pop3s://[USER@]HOST[:PORT] (TLS); imap://, pop3:// (STARTTLS)\n"
           "ACCOUNT: [account NAME] in ~/.config/mailfs/config\n"
           "\n"
           "  -f, -d, -v           stay in the foreground; and log all; log more\n"
           "  -h, --help; -V, --version\n"
           "  --password-fd N      read the password from an open file\n"
           "  -o KEY=VALUE,...     or in the config file:\n"
           "     user=NAME  auth=MECHANISM  tunnel=CMD  connections=3  compress=auto|no|yes\n"
           "     ca-file=FILE  tls=yes|no  password-command=CMD  token-command=CMD\n"
           "     refresh=10        seconds that a listing stays fresh\n"
           "     cache-size=5G  cache-directory=DIR\n"
           "     seen=viewers|any|never   whose reading marks a message as read\n"
           "     seen-by='cat less ...'   the viewers\n"
           "     delete=trash|expunge|mark|refuse   what rm does\n"
           "     names=full|uid    20260611-0638_Alice_Report.1234.eml, or 1234.eml\n"
           "     ro  xattr  sync  allow_other  POP3: leave=always|never|DAYS fetch=read|all\n"
           "Passwords: --password-fd, password-command, a systemd credential, ~/.netrc,\n"
           "or a prompt. See mailfs(1).\n";
}
