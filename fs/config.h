/* config.h: the command line and the config file as one set of options. */
#pragma once

#include "mail.h"
#include "remote.h"
#include "url.h"

typedef enum { CONFIG_SEEN_VIEWERS, CONFIG_SEEN_ANY, CONFIG_SEEN_NEVER } ConfigSeen;
typedef enum {
    CONFIG_DELETE_DEFAULT, /* trash where the server has one, else expunge */
    CONFIG_DELETE_TRASH,
    CONFIG_DELETE_EXPUNGE,
    CONFIG_DELETE_MARK,
    CONFIG_DELETE_REFUSE,
} ConfigDelete;

#define CONFIG_LEAVE_ALWAYS G_MAXUINT

typedef struct {
    /* What to do. */
    gboolean help, version, check;
    gboolean foreground; /* -f */
    gboolean debug;      /* -d: implies -f, logs every request and the protocol (without secrets) */
    gboolean verbose;    /* -v */
    char *mountpoint;    /* as given; NULL with --check, --help, --version */
    /* The account. */
    Url *url;
    char *name;    /* the section's name, or "user@host"; safe as a directory's name */
    char *user;    /* from the URL, user=, or the login name */
    char **tunnel; /* argv or NULL */
    char *auth;    /* mechanism or NULL */
    char *ca_file;
    gboolean tls_off;  /* tls=no: the caller checks that the peer is loopback */
    guint connections; /* 1..16, default 3 */
    RemoteCompress compress;
    /* Credentials: see credentials.h. */
    int password_fd;                          /* -1: none */
    char **password_command, **token_command; /* argv (g_shell_parse_argv) or NULL */
    /* Behaviour. */
    guint refresh;         /* seconds, default 10 */
    guint64 cache_size;    /* bytes, default 5 GiB; "5G", "500M" understood; 0: no limit */
    char *cache_directory; /* the account's own; default $XDG_CACHE_HOME/mailfs/<name> */
    /* What is kept nowhere else yet: $XDG_DATA_HOME/mailfs/<name>, or <name>@<hash> beside a cache
     * that is not at its usual place, which is another mount's. */
    char *data_directory;
    ConfigSeen seen;
    char **seen_by; /* NULL-terminated comm names */
    ConfigDelete delete_policy;
    gboolean names_uid; /* names=uid */
    /* POP3 only. */
    guint leave;        /* days on the server after the download; CONFIG_LEAVE_ALWAYS: for ever */
    gboolean fetch_all; /* fetch=all: downloads every message */
    guint idle;         /* seconds after which a session ends, default 20 */
    guint poll;         /* seconds between looks for new mail, default 300; 0: never by itself */
    gboolean xattr;
    gboolean read_only; /* -o ro */
    gboolean allow_other;
    gboolean sync; /* -o sync */
} Config;

/* Reads argv (without changing it) and the config file $XDG_CONFIG_HOME/mailfs/config, which has
 * [defaults] and [account NAME] sections of key=value lines, with url= and the keys that -o knows;
 * values are taken as they stand, and a line that starts with '#' is a comment. -o wins over the
 * account's section, that over [defaults]; of password-command and token-command the last one
 * counts. With --help and --version nothing else is looked at.
 *
 * NULL with an error: CONFIG_USAGE_ERROR for a wrong command line (exit status 2), or
 * MAIL_ERROR_CONFIG for files and values, which names the file and the line, or the option. A
 * config file that others may write, or that belongs to another user, is refused; so is one that
 * others may read when it holds password-command or token-command. Errors never repeat the value of
 * an unknown option.
 *
 * The words after -o are comma-separated, "\," is a comma in a value; what mount(8) passes on is
 * accepted and ignored: nosuid, nodev, noexec, exec, noatime, auto, noauto, user, users, _netdev,
 * nofail, x-*, fsname=*, subtype=* and their like. */
#define CONFIG_USAGE_ERROR (config_usage_error_quark())
GQuark config_usage_error_quark(void);
Config *config_parse(int argc, char *const *argv, GError **error);
void config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)
/* The text of --help: at most 24 lines of 80 columns. */
const char *config_help(void);
