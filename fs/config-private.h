/* config-private.h: what config.c, config-keys.c and config-file.c share. */
#pragma once

#include "config.h"

#define CONFIG_SHOWN_MAX 64 /* bytes of a user's word that an error repeats */

/* One key of the table: how -o and the file spell it, and how its value is set. */
typedef struct ConfigKey ConfigKey;
typedef enum {
    CONFIG_KEY_FLAG = 1 << 0,    /* "xattr" alone means "xattr=yes" */
    CONFIG_KEY_INVERSE = 1 << 1, /* rw is the opposite of ro */
    CONFIG_KEY_ACCOUNT = 1 << 2, /* makes no sense in [defaults] */
    CONFIG_KEY_FILE = 1 << 3,    /* only in the file */
} ConfigKeyFlags;

const ConfigKey *config_key_find(const char *name); /* NULL: there is no such key */
ConfigKeyFlags config_key_flags(const ConfigKey *key);
/* Takes the text of a value. FALSE with an error that names the key and says what is wrong. */
gboolean config_key_set(const ConfigKey *key, Config *config, const char *value, GError **error);
/* What to say behind "unknown key 'name'": ", did you mean 'x'?", or "". Free with g_free. */
char *config_key_hint(const char *name);

/* The config file, its keys checked and its values not yet. */
typedef struct ConfigFile ConfigFile;
/* An absent file is an empty one. NULL and MAIL_ERROR_CONFIG for one that cannot be read, breaks
 * its own syntax, or has permissions that are not safe. */
ConfigFile *config_file_load(GError **error);
void config_file_free(ConfigFile *file);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigFile, config_file_free)
const char *config_file_path(const ConfigFile *file);
/* Sets what [section] holds: "defaults" or "account NAME". */
gboolean config_file_apply(const ConfigFile *file, const char *section, Config *config,
                           GError **error);
/* "work, home", fit for an error; "none" where there is no account. Free with g_free. */
char *config_file_accounts(const ConfigFile *file);
gboolean config_file_has_account(const ConfigFile *file, const char *name);

/* $variable/mailfs, or ~/fallback/mailfs. Free with g_free. */
char *config_xdg_directory(const char *variable, const char *fallback);
/* The home directory: $HOME, else what the user database says. */
const char *config_home(void);
/* Sets MAIL_ERROR_CONFIG. */
void config_value_error(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* A user's word, fit for an error. Free with g_free. */
char *config_shown(const char *text);
