#include "config.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *scratch; /* the home directory of these tests */

static void write_config(const char *text, mode_t mode)
{
    g_autofree char *directory = g_build_filename(scratch, ".config/mailfs", NULL);
    g_autofree char *path = g_build_filename(directory, "config", NULL);
    g_assert_cmpint(g_mkdir_with_parents(directory, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(chmod(path, mode), ==, 0);
}

static void remove_config(void)
{
    g_autofree char *path = g_build_filename(scratch, ".config/mailfs/config", NULL);
    g_unlink(path);
}

/* Words are separated by blanks. */
static Config *parse(const char *words, GError **error)
{
    g_autofree char *line = g_strconcat("mailfs ", words, NULL);
    g_auto(GStrv) argv = g_strsplit(line, " ", -1);
    g_auto(GStrv) copy = g_strdupv(argv);
    Config *config = config_parse((int)g_strv_length(argv), argv, error);
    g_assert_true(g_strv_equal((const char *const *)argv, (const char *const *)copy));
    return config;
}

static Config *parse_good(const char *words)
{
    g_autoptr(GError) error = NULL;
    Config *config = parse(words, &error);
    g_assert_no_error(error);
    g_assert_nonnull(config);
    return config;
}

/* It fails, in this domain, and says this. */
static void assert_fails(const char *words, GQuark domain, const char *saying)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(parse(words, &error));
    g_assert_nonnull(error);
    g_test_message("%s: %s", words, error->message);
    g_assert_cmpstr(g_quark_to_string(error->domain), ==, g_quark_to_string(domain));
    if (domain == MAIL_ERROR)
        g_assert_cmpint(error->code, ==, MAIL_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, saying));
}

#define URL "imaps://alice@mail.example.org"

static void test_defaults(void)
{
    remove_config();
    g_autoptr(Config) config = parse_good(URL " /mnt");
    g_assert_cmpstr(config->mountpoint, ==, "/mnt");
    g_assert_cmpstr(config->url->host, ==, "mail.example.org");
    g_assert_cmpstr(config->user, ==, "alice");
    g_assert_cmpstr(config->name, ==, "alice@mail.example.org");
    g_assert_cmpuint(config->connections, ==, 3);
    g_assert_cmpint(config->password_fd, ==, -1);
    g_assert_cmpuint(config->refresh, ==, 10);
    g_assert_cmpuint(config->cache_size, ==, (guint64)5 << 30);
    g_assert_cmpint(config->seen, ==, CONFIG_SEEN_VIEWERS);
    g_assert_cmpint(config->delete_policy, ==, CONFIG_DELETE_DEFAULT);
    g_assert_true(g_strv_contains((const char *const *)config->seen_by, "less"));
    g_assert_true(g_strv_contains((const char *const *)config->seen_by, "gnome-text-edit"));
    g_assert_false(config->foreground || config->debug || config->verbose || config->check);
    g_assert_false(config->names_uid || config->xattr || config->read_only || config->sync);
    g_assert_false(config->allow_other || config->tls_off);
    g_autofree char *cache =
        g_build_filename(scratch, ".cache/mailfs/alice@mail.example.org", NULL);
    g_assert_cmpstr(config->cache_directory, ==, cache);
    g_autofree char *data =
        g_build_filename(scratch, ".local/share/mailfs/alice@mail.example.org", NULL);
    g_assert_cmpstr(config->data_directory, ==, data);
}

/* Two mounts of one account have two caches, and must not share what is nowhere else. */
static void test_data_directory(void)
{
    remove_config();
    g_autoptr(Config) usual = parse_good(URL " /mnt");
    g_autoptr(Config) one = parse_good(URL " /mnt -o cache-directory=/tmp/one");
    g_autoptr(Config) again = parse_good(URL " /mnt -o cache-directory=/tmp/one/");
    g_autoptr(Config) two = parse_good(URL " /mnt -o cache-directory=/tmp/two");
    g_assert_cmpstr(one->data_directory, ==, again->data_directory);
    g_assert_cmpstr(one->data_directory, !=, two->data_directory);
    g_assert_true(g_str_has_prefix(one->data_directory, usual->data_directory));
    g_assert_cmpstr(one->data_directory, !=, usual->data_directory);
}

static void test_command_line(void)
{
    remove_config();
    g_autoptr(Config) config =
        parse_good("-fvoro,refresh=0 --password-fd=7 " URL " -o allow_other,xattr=no /mnt -o "
                   "sync,,names=uid,delete=mark,seen=any,seen-by=,auth=plain,connections=16");
    g_assert_true(config->foreground && config->verbose && config->read_only);
    g_assert_true(config->allow_other && config->sync && config->names_uid);
    g_assert_false(config->xattr || config->debug);
    g_assert_cmpuint(config->refresh, ==, 0);
    g_assert_cmpint(config->password_fd, ==, 7);
    g_assert_cmpint(config->delete_policy, ==, CONFIG_DELETE_MARK);
    g_assert_cmpint(config->seen, ==, CONFIG_SEEN_ANY);
    g_assert_cmpuint(g_strv_length(config->seen_by), ==, 0);
    g_assert_cmpstr(config->auth, ==, "PLAIN");
    g_assert_cmpuint(config->connections, ==, 16);

    g_autoptr(Config) check = parse_good("--check --password-fd 0 -d " URL);
    g_assert_true(check->check && check->debug && check->foreground);
    g_assert_null(check->mountpoint);
    g_assert_cmpint(check->password_fd, ==, 0);

    g_autoptr(Config) dashes = parse_good("-o ro,rw -- " URL " -mnt");
    g_assert_cmpstr(dashes->mountpoint, ==, "-mnt");
    g_assert_false(dashes->read_only);

    g_autoptr(Config) fstab = parse_good(
        URL " /mnt -o rw,nosuid,nodev,noexec,exec,noatime,auto,noauto,user,users,_netdev,nofail,"
            "x-systemd.automount,fsname=a,subtype=mailfs");
    g_assert_false(fstab->read_only);
    g_assert_cmpstr(fstab->user, ==, "alice");

    g_autoptr(Config) help = parse_good("--help");
    g_assert_true(help->help);
    g_autoptr(Config) version = parse_good("-V");
    g_assert_true(version->version);
}

static void test_escaped_comma(void)
{
    remove_config();
    g_autoptr(Config) config =
        parse_good(URL " /mnt -o password-command=pass\\,word,ca-file=/a\\\\,ro");
    g_assert_cmpstr(config->password_command[0], ==, "pass,word");
    g_assert_cmpstr(config->ca_file, ==, "/a\\");
    g_assert_true(config->read_only);
}

static void test_usage(void)
{
    remove_config();
    GQuark usage = CONFIG_USAGE_ERROR;
    assert_fails("-f", usage, "which account?");
    assert_fails(URL, usage, "directory");
    assert_fails(URL " /a /b", usage, "too many");
    assert_fails("--check " URL " /a", usage, "too many");
    assert_fails("--frobnicate", usage, "unknown option --frobnicate");
    assert_fails("-xsecret " URL " /mnt", usage, "unknown option -x");
    assert_fails(URL " /mnt -o", usage, "-o needs a value");
    assert_fails(URL " /mnt -o refrehs=1", usage, "did you mean 'refresh'");
    assert_fails(URL " /mnt -o url=x", usage, "unknown option");
    assert_fails(URL " /mnt -o refresh", usage, "needs a value");
    assert_fails(URL " /mnt --password-fd", usage, "needs a value");
    assert_fails(URL " /mnt --password-fd=-1", usage, "--password-fd");
    assert_fails(URL " /mnt --password-fdx=1", usage, "unknown option");

    g_autoptr(GError) error = NULL;
    g_assert_null(parse(URL " /mnt -o password=hunter2", &error));
    g_assert_nonnull(strstr(error->message, "password-command"));
    g_assert_null(strstr(error->message, "hunter2"));
}

static void test_bad_values(void)
{
    remove_config();
    static const char *const bad[] = {
        "refresh=x",
        "refresh=-1",
        "refresh=",
        "connections=0",
        "connections=17",
        "cache-size=5X",
        "cache-size=G",
        "cache-size=-1",
        "cache-size=99999999999T",
        "cache-size=99999999999999999999999",
        "cache-size=5GG",
        "seen=all",
        "delete=yes",
        "names=short",
        "xattr=perhaps",
        "tls=2",
        "auth=A!B",
        "user=",
        "tunnel='",
        "password-command=",
        "auth=MUCHTOOLONGFORAMECHANISM",
    };
    for (guint i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *words = g_strconcat(URL " /mnt -o ", bad[i], NULL);
        g_auto(GStrv) key = g_strsplit(bad[i], "=", 2);
        assert_fails(words, MAIL_ERROR, key[0]);
    }
    assert_fails("ftp://host /mnt", MAIL_ERROR, "");
    assert_fails("work /mnt", MAIL_ERROR, "known: none");
}

static void test_sizes(void)
{
    remove_config();
    static const struct {
        const char *text;
        guint64 size;
    } sizes[] = {
        {"0", 0},
        {"1000", 1000},
        {"5k", 5 << 10},
        {"500M", (guint64)500 << 20},
        {"5GiB", (guint64)5 << 30},
        {"2TB", (guint64)2 << 40},
    };
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *words = g_strconcat(URL " /mnt -o cache-size=", sizes[i].text, NULL);
        g_autoptr(Config) config = parse_good(words);
        g_assert_cmpuint(config->cache_size, ==, sizes[i].size);
    }
}

static void test_file(void)
{
    write_config("# mine\n"
                 "[defaults]\n"
                 "refresh = 30\n"
                 "connections=5\r\n"
                 "seen-by = less  mutt\n"
                 "\n"
                 "[account work]\n"
                 "url=imaps://mail.example.org\n"
                 "user = bob=x\n"
                 "connections=7\n"
                 "password-command=pass show 'my mail'\n"
                 "tunnel=~/bin/tunnel --to \"a b\"\n"
                 "ro=yes\n"
                 "ca-file=~/ca.pem\n"
                 "[account other]\n"
                 "url=not used now\n",
                 0600);
    g_autoptr(Config) config = parse_good("work /mnt -o ro=no");
    g_assert_cmpstr(config->name, ==, "work");
    g_assert_cmpstr(config->user, ==, "bob=x");
    g_assert_cmpuint(config->refresh, ==, 30);
    g_assert_cmpuint(config->connections, ==, 7);
    g_assert_cmpuint(g_strv_length(config->seen_by), ==, 2);
    g_assert_cmpstr(config->seen_by[1], ==, "mutt");
    g_assert_cmpuint(g_strv_length(config->password_command), ==, 3);
    g_assert_cmpstr(config->password_command[2], ==, "my mail");
    g_autofree char *tunnel = g_build_filename(scratch, "bin/tunnel", NULL);
    g_assert_cmpstr(config->tunnel[0], ==, tunnel);
    g_assert_cmpstr(config->tunnel[2], ==, "a b");
    g_autofree char *ca_file = g_build_filename(scratch, "ca.pem", NULL);
    g_assert_cmpstr(config->ca_file, ==, ca_file);
    g_assert_false(config->read_only);

    /* A URL takes [defaults] too; the last credential command counts. */
    g_autoptr(Config) url = parse_good(URL " /mnt -o connections=2,token-command=t");
    g_assert_cmpuint(url->refresh, ==, 30);
    g_assert_cmpuint(url->connections, ==, 2);
    g_autoptr(Config) token = parse_good("work /mnt -o token-command=t");
    g_assert_null(token->password_command);
    g_assert_cmpstr(token->token_command[0], ==, "t");

    assert_fails("home /mnt", MAIL_ERROR, "known: work, other");
    assert_fails("other /mnt", MAIL_ERROR, "config:16: ");
}

static void test_bad_files(void)
{
    static const struct {
        const char *text, *saying;
    } cases[] = {
        {"[account work]\nurl=" URL "\n\nfoo=1\n",
         "/.config/mailfs/config:4: unknown key 'foo' in [account work]"},
        {"[account work]\nurl=" URL "\nrefersh=1\n", "config:3: unknown key 'refersh' in [account "
                                                     "work], did you mean 'refresh'?"},
        {"[account work]\nurl=" URL "\nrefresh=soon\n", "config:3: refresh='soon'"},
        {"[account work]\nurl=" URL "\nrefresh=\n", "config:3: refresh has no value"},
        {"[defaults]\nurl=" URL "\n", "config:2: 'url' belongs in [account NAME]"},
        {"[defaults]\ncache-directory=/x\n", "config:2: 'cache-directory' belongs in"},
        {"refresh=1\n", "config:1: "},
        {"[defaults]\nrefresh\n", "config:2: "},
        {"[defaults\n", "config:1: "},
        {"[", "config:1: "},
        {"[]", "config:1: "},
        {"[account ]", "config:1: "},
        {"[accounts work]", "config:1: '[accounts work]' is neither"},
        {"[account work]\nrefresh=1\n", "[account work] has no url"},
        {"[account work]\nurl=imaps://a:secret@h\n", "config:2: "},
        {"[defaults]\nrefresh=\xff\n", "UTF-8"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        write_config(cases[i].text, 0600);
        assert_fails("work /mnt", MAIL_ERROR, cases[i].saying);
    }
    g_autofree char *path = g_build_filename(scratch, ".config/mailfs/config", NULL);
    g_assert_true(g_file_set_contents(path, "[defaults]\n\0x", 13, NULL));
    assert_fails(URL " /mnt", MAIL_ERROR, "UTF-8");
}

static void test_permissions(void)
{
    static const char plain[] = "[account work]\nurl=" URL "\n";
    static const char secret[] = "[account work]\nurl=" URL "\npassword-command=x\n";
    write_config(plain, 0644);
    g_autoptr(Config) readable = parse_good("work /mnt");
    write_config(secret, 0600);
    g_autoptr(Config) private = parse_good("work /mnt");
    write_config(secret, 0640);
    assert_fails("work /mnt", MAIL_ERROR, "config:3: a file with 'password-command'");
    write_config(plain, 0620);
    assert_fails("work /mnt", MAIL_ERROR, "written by others");
    write_config(plain, 0602);
    assert_fails(URL " /mnt", MAIL_ERROR, "written by others");

    g_autofree char *path = g_build_filename(scratch, ".config/mailfs/config", NULL);
    if (geteuid() == 0) {
        write_config(plain, 0600);
        g_assert_cmpint(chown(path, 12345, (gid_t)-1), ==, 0);
        assert_fails("work /mnt", MAIL_ERROR, "another user");
    }
    remove_config();
    g_assert_cmpint(mkfifo(path, 0600), ==, 0);
    assert_fails("work /mnt", MAIL_ERROR, "not a file");
    remove_config();
}

static void assert_name(const char *words, const char *expected)
{
    g_autofree char *line = g_strconcat(words, " /mnt", NULL);
    g_autoptr(Config) config = parse_good(line);
    g_assert_cmpstr(config->name, ==, expected);
}

static void test_names(void)
{
    remove_config();
    assert_name("imaps://a@Host", "a@host");
    assert_name("imaps://a@host:993", "a@host");
    assert_name("imaps://a@host:1993", "a@host_1993");
    assert_name("imap://a@host:993", "a@host_993");
    assert_name("imap://a%2Fb@host", "a%2Fb@host");
    assert_name("imap://..@host", "%2E.@host");
    assert_name("imap://a@[::1]:1143", "a@%3A%3A1_1143");
    assert_name("-o user=carol imap://host", "carol@host");
    assert_name("-o user=carol imap://alice@host", "alice@host");
    g_autofree char *login = g_strdup_printf("%s@host", g_get_user_name());
    assert_name("imap://host", login);

    write_config("[account ../x y]\nurl=" URL "\n", 0600);
    char *const argv[] = {"mailfs", "../x y", "/mnt", NULL};
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_parse(3, argv, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(config->name, ==, "%2E.%2Fx%20y");

    g_autofree char *user = g_strnfill(300, 'u');
    g_autofree char *words = g_strdup_printf("imaps://%s@host /mnt", user);
    assert_fails(words, MAIL_ERROR, "too long");
}

static void test_help(void)
{
    g_auto(GStrv) lines = g_strsplit(config_help(), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), <=, 25); /* the last one is empty */
    for (guint i = 0; lines[i]; i++)
        g_assert_cmpuint(strlen(lines[i]), <=, 80);
}

/* Whatever the file and the words hold, the answer is a Config or an error. */
static void test_random(void)
{
    static const char *const pieces[] = {
        "[",
        "]",
        "[defaults]\n",
        "[account a]\n",
        "=",
        "\n",
        "#",
        " ",
        "url",
        "imaps://a@h",
        "-o",
        ",",
        "\\",
        "'",
        "tunnel",
        "refresh",
        "cache-size",
        "9",
        "G",
        "seen-by",
        "%",
        "-",
        "--password-fd=",
        "a",
        "@",
        ":",
        "password-command",
        "\xc3\xa9",
    };
    for (guint i = 0; i < 2000; i++) {
        g_autoptr(GString) file = g_string_new(NULL);
        g_autoptr(GString) option = g_string_new(NULL);
        for (gint left = g_test_rand_int_range(0, 40); left > 0; left--)
            g_string_append(left % 2 ? file : option,
                            pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        write_config(file->str, 0600);
        char *const argv[] = {"mailfs", "a", "/mnt", option->str, NULL};
        g_autoptr(GError) error = NULL;
        g_autoptr(Config) config = config_parse(4, argv, &error);
        g_assert_true((config == NULL) == (error != NULL));
    }
    remove_config();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GError) error = NULL;
    scratch = g_dir_make_tmp("mailfs-config-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("HOME", scratch, TRUE);
    g_unsetenv("XDG_CONFIG_HOME");
    g_setenv("XDG_CACHE_HOME", "relative", TRUE); /* to be ignored */

    g_test_add_func("/config/defaults", test_defaults);
    g_test_add_func("/config/data-directory", test_data_directory);
    g_test_add_func("/config/command-line", test_command_line);
    g_test_add_func("/config/escaped-comma", test_escaped_comma);
    g_test_add_func("/config/usage", test_usage);
    g_test_add_func("/config/bad-values", test_bad_values);
    g_test_add_func("/config/sizes", test_sizes);
    g_test_add_func("/config/file", test_file);
    g_test_add_func("/config/bad-files", test_bad_files);
    g_test_add_func("/config/permissions", test_permissions);
    g_test_add_func("/config/names", test_names);
    g_test_add_func("/config/help", test_help);
    g_test_add_func("/config/random", test_random);
    int status = g_test_run();

    static const char *const made[] = {".config/mailfs", ".config", ""};
    for (guint i = 0; i < G_N_ELEMENTS(made); i++) {
        g_autofree char *path = g_build_filename(scratch, made[i], NULL);
        g_rmdir(path);
    }
    g_free(scratch);
    return status;
}
