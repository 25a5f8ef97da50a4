#include "credentials.h"
#include "netrc.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

static char *scratch; /* the home directory of these tests */

/* The little that credentials.c reads of it. */
typedef struct {
    Config config;
    Url url;
} Account;

static void account_init(Account *account)
{
    *account = (Account){.url = {.scheme = URL_IMAPS, .user = "alice", .host = "mail.example.org"},
                         .config = {.user = "alice", .name = "work", .password_fd = -1}};
    account->config.url = &account->url;
}

static void assert_gives(const Config *config, const char *expected, gboolean token)
{
    g_autoptr(GError) error = NULL;
    gboolean is_token = !token;
    g_autoptr(Secret) secret = credentials_get(config, &is_token, &error);
    g_assert_no_error(error);
    g_assert_nonnull(secret);
    gsize size;
    const char *text = secret_peek(secret, &size);
    g_assert_cmpmem(text, size, expected, strlen(expected));
    g_assert_cmpint(is_token, ==, token);
}

static void assert_refuses(const Config *config, const char *saying)
{
    g_autoptr(GError) error = NULL;
    gboolean is_token;
    g_assert_null(credentials_get(config, &is_token, &error));
    g_assert_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG);
    g_test_message("%s", error->message);
    g_assert_nonnull(strstr(error->message, saying));
}

static char *write_file(const char *name, const char *text, gsize size, mode_t mode)
{
    char *path = g_build_filename(scratch, name, NULL);
    g_assert_true(g_file_set_contents(path, text, (gssize)size, NULL));
    g_assert_cmpint(chmod(path, mode), ==, 0);
    return path;
}

/* A descriptor from which these bytes come. */
static int fd_of(const char *text, gsize size)
{
    g_autofree char *path = write_file("password", text, size, 0600);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_unlink(path);
    return fd;
}

static void test_password_fd(void)
{
    Account account;
    account_init(&account);
    static const struct {
        const char *text, *expected;
    } good[] = {
        {"secret", "secret"}, {"secret\n", "secret"}, {"secret\r\n", "secret"},
        {"a\n\n", "a\n"},     {" x \t", " x \t"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        account.config.password_fd = fd_of(good[i].text, strlen(good[i].text));
        assert_gives(&account.config, good[i].expected, FALSE);
        /* It is closed: a child need not inherit it. */
        g_assert_cmpint(fcntl(account.config.password_fd, F_GETFD), ==, -1);
    }

    g_autofree char *longest = g_strnfill(5000, 'x');
    longest[4096] = '\0';
    account.config.password_fd = fd_of(longest, 4096);
    assert_gives(&account.config, longest, FALSE);
    longest[4096] = 'x';
    account.config.password_fd = fd_of(longest, 4097);
    assert_refuses(&account.config, "4096");
    account.config.password_fd = fd_of(longest, 5000);
    assert_refuses(&account.config, "4096");
    account.config.password_fd = fd_of("", 0);
    assert_refuses(&account.config, "empty");
    account.config.password_fd = fd_of("\n", 1);
    assert_refuses(&account.config, "empty");
    account.config.password_fd = fd_of("a\0b", 3);
    assert_refuses(&account.config, "NUL");
    account.config.password_fd = 9999;
    assert_refuses(&account.config, "--password-fd 9999");
}

static void test_command(void)
{
    Account account;
    account_init(&account);
    char *echo[] = {"printf", "top secret\n", NULL};
    account.config.password_command = echo;
    assert_gives(&account.config, "top secret", FALSE);
    account.config.password_command = NULL;
    account.config.token_command = echo;
    assert_gives(&account.config, "top secret", TRUE);
    account.config.token_command = NULL;

    char *fails[] = {"sh", "-c", "echo secret; exit 3", NULL};
    account.config.password_command = fails;
    assert_refuses(&account.config, "'sh' failed with exit status 3");
    char *killed[] = {"sh", "-c", "kill -9 $$", NULL};
    account.config.password_command = killed;
    assert_refuses(&account.config, "signal 9");
    char *missing[] = {"/nonexistent/command", NULL};
    account.config.password_command = missing;
    assert_refuses(&account.config, "'/nonexistent/command' cannot be started");
    char *silent[] = {"true", NULL};
    account.config.password_command = silent;
    assert_refuses(&account.config, "empty");
    char *endless[] = {"yes", NULL};
    account.config.password_command = endless;
    assert_refuses(&account.config, "4096");
}

static void test_systemd(void)
{
    Account account;
    account_init(&account);
    g_setenv("CREDENTIALS_DIRECTORY", scratch, TRUE);
    g_autofree char *shared = write_file("mailfs.password", "shared\n", 7, 0400);
    assert_gives(&account.config, "shared", FALSE);
    g_autofree char *own = write_file("mailfs.work", "own", 3, 0400);
    assert_gives(&account.config, "own", FALSE);
    g_unlink(own);
    g_unlink(shared);
    g_unsetenv("CREDENTIALS_DIRECTORY");
}

static void assert_netrc(const char *text, const char *expected)
{
    g_autofree char *copy = g_strdup(text);
    gsize length = 0;
    const char *password = netrc_find(copy, strlen(text), "mail.example.org", "alice", &length);
    if (!expected) {
        g_assert_null(password);
        return;
    }
    g_assert_nonnull(password);
    g_assert_cmpmem(password, length, expected, strlen(expected));
}

#define MACHINE "machine mail.example.org "

static void test_netrc_text(void)
{
    assert_netrc("", NULL);
    assert_netrc("machine", NULL);
    assert_netrc(MACHINE "login alice password p", "p");
    assert_netrc("machine MAIL.example.ORG\n\tpassword p\n\tlogin alice\n", "p");
    assert_netrc(MACHINE "password p", "p");
    assert_netrc(MACHINE "login bob password b\n" MACHINE "login alice password a\n", "a");
    assert_netrc(MACHINE "login Alice password b\n", NULL);
    assert_netrc("machine example.org login alice password b\n", NULL);
    assert_netrc("default login alice password d\n", "d");
    assert_netrc("default login bob password d\n", NULL);
    assert_netrc(MACHINE "login alice\ndefault password d\n", "d");
    assert_netrc(MACHINE "login alice account x password \"a \\\" b\\\\\" machine x", "a \" b\\");
    assert_netrc(MACHINE "login \"alice\" password \"open", "open");
    assert_netrc(MACHINE "password back\\slash#x", "back\\slash#x");
    assert_netrc(MACHINE "password #x", "#x");
    assert_netrc("# machine x\n#\n" MACHINE "# login bob\npassword p", "p");
    assert_netrc("#" MACHINE "password p", NULL);
    assert_netrc("macdef init\nmachine mail.example.org password no\n\n" MACHINE "password p", "p");
    assert_netrc(MACHINE "login alice password p macdef x\nlogin bob", "p");
    assert_netrc(MACHINE "password", NULL);
    assert_netrc(MACHINE "password \"\"", "");
}

static void test_netrc_random(void)
{
    static const char *const pieces[] = {
        "machine ", "mail.example.org ", "login ", "alice ",   "password ", "\"", "\\", "\n",
        "#",        "macdef ",           "x",      "default ", "account ",  "\t", "\r"};
    for (guint i = 0; i < 20000; i++) {
        g_autoptr(GString) text = g_string_new(NULL);
        for (gint left = g_test_rand_int_range(0, 16); left > 0; left--)
            g_string_append(text, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        /* A copy of the exact size, so that a step beyond it is noticed. */
        g_autofree char *copy = g_memdup2(text->str, text->len);
        gsize length = 0;
        const char *found = netrc_find(copy, text->len, "mail.example.org", "alice", &length);
        if (found)
            g_assert_true(found >= copy && found + length <= copy + text->len);
    }
}

static void test_netrc_file(void)
{
    Account account;
    account_init(&account);
    static const char text[] = MACHINE "login alice password p\n";
    g_autofree char *path = write_file(".netrc", text, sizeof text - 1, 0600);
    assert_gives(&account.config, "p", FALSE);
    g_assert_cmpint(chmod(path, 0640), ==, 0);
    assert_refuses(&account.config, "chmod 600");
    if (geteuid() == 0) {
        g_assert_cmpint(chmod(path, 0600), ==, 0);
        g_assert_cmpint(chown(path, 12345, (gid_t)-1), ==, 0);
        assert_refuses(&account.config, "another user");
    }
    g_unlink(path);

    g_autofree char *other = write_file("netrc", text, sizeof text - 1, 0600);
    g_setenv("NETRC", other, TRUE);
    assert_gives(&account.config, "p", FALSE);
    g_unsetenv("NETRC");
    g_unlink(other);
}

/* The test's own program again, as a child on a terminal of its own. */
static G_NORETURN void child_asks(void)
{
    Account account;
    account_init(&account);
    gboolean is_token;
    g_autoptr(GError) error = NULL;
    g_autoptr(Secret) secret = credentials_get(&account.config, &is_token, &error);
    _exit(secret && g_str_equal(secret_peek(secret, NULL), "typed") ? 42 : 1);
}

/* Reads from the terminal until `text` came. */
static void expect(int terminal, GString *seen, const char *text)
{
    while (!strstr(seen->str, text)) {
        char buffer[256];
        ssize_t got = read(terminal, buffer, sizeof buffer);
        g_assert_cmpint(got, >, 0);
        g_string_append_len(seen, buffer, got);
    }
}

static gboolean terminal_echoes(int terminal)
{
    struct termios state;
    g_assert_cmpint(tcgetattr(terminal, &state), ==, 0);
    return (state.c_lflag & ECHO) != 0;
}

/* Answers the prompt by `typed`. Returns the child's wait status; the terminal must be as it was.
 */
static int run_prompt(const char *typed)
{
    int terminal, side;
    g_assert_cmpint(openpty(&terminal, &side, NULL, NULL, NULL), ==, 0);
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        close(terminal);
        login_tty(side);
        child_asks();
    }
    g_autoptr(GString) seen = g_string_new(NULL);
    expect(terminal, seen, "Password for alice@mail.example.org: ");
    g_assert_false(terminal_echoes(terminal));
    g_assert_cmpint(write(terminal, typed, strlen(typed)), ==, (gssize)strlen(typed));
    expect(terminal, seen, "\n");
    g_assert_null(strstr(seen->str, "typed"));
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(terminal_echoes(terminal));
    close(terminal);
    close(side);
    return status;
}

static void test_prompt(void)
{
    int status = run_prompt("typed\n");
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 42);
    status = run_prompt("\n");
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    status = run_prompt("\x04");
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    status = run_prompt("half\x03"); /* ^C */
    g_assert_true(WIFSIGNALED(status));
    g_assert_cmpint(WTERMSIG(status), ==, SIGINT);
}

/* In a session without a terminal: what was tried is told. */
static void test_nothing(void)
{
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        setsid();
        Account account;
        account_init(&account);
        gboolean is_token;
        g_autoptr(GError) error = NULL;
        gboolean good = !credentials_get(&account.config, &is_token, &error) &&
                        g_error_matches(error, MAIL_ERROR, MAIL_ERROR_CONFIG) &&
                        strstr(error->message, "no terminal") &&
                        strstr(error->message, "alice at mail.example.org");
        _exit(good ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 0);
}

typedef struct {
    GMainLoop *loop;
    Secret *secret;
    GError *error;
    guint calls;
} Answer;

static void on_answer(Secret *secret, const GError *error, gpointer data)
{
    Answer *answer = data;
    answer->secret = secret;
    answer->error = error ? g_error_copy(error) : NULL;
    answer->calls++;
    g_main_loop_quit(answer->loop);
}

/* Renews by this command; what comes back is `expected`, or an error that says so. */
static void assert_renews(char **argv, const char *expected, const char *saying)
{
    Account account;
    account_init(&account);
    account.config.token_command = argv;
    Answer answer = {.loop = g_main_loop_new(NULL, FALSE)};
    credentials_renew(&account.config, on_answer, &answer);
    g_assert_cmpuint(answer.calls, ==, 0);
    g_main_loop_run(answer.loop);
    while (g_main_context_iteration(NULL, FALSE))
        continue;
    g_assert_cmpuint(answer.calls, ==, 1);
    if (expected) {
        g_assert_no_error(answer.error);
        g_assert_cmpstr(secret_peek(answer.secret, NULL), ==, expected);
    } else {
        g_assert_null(answer.secret);
        g_assert_error(answer.error, MAIL_ERROR, MAIL_ERROR_CONFIG);
        g_assert_nonnull(strstr(answer.error->message, saying));
    }
    secret_free(answer.secret);
    g_clear_error(&answer.error);
    g_main_loop_unref(answer.loop);
}

static void test_renew(void)
{
    char *echo[] = {"sh", "-c", "printf to; sleep 0.1; echo ken", NULL};
    assert_renews(echo, "token", NULL);
    char *early[] = {"sh", "-c", "echo token; exec >&-; sleep 0.1", NULL};
    assert_renews(early, "token", NULL);
    char *fails[] = {"sh", "-c", "echo token; exit 4", NULL};
    assert_renews(fails, NULL, "status 4");
    char *missing[] = {"/nonexistent/command", NULL};
    assert_renews(missing, NULL, "cannot be started");
    char *endless[] = {"sh", "-c", "yes", NULL};
    assert_renews(endless, NULL, "4096");
    assert_renews(NULL, NULL, "no command");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(GError) error = NULL;
    scratch = g_dir_make_tmp("mailfs-credentials-XXXXXX", &error);
    g_assert_no_error(error);
    g_setenv("HOME", scratch, TRUE);
    g_unsetenv("NETRC");
    g_unsetenv("CREDENTIALS_DIRECTORY");

    g_test_add_func("/credentials/password-fd", test_password_fd);
    g_test_add_func("/credentials/command", test_command);
    g_test_add_func("/credentials/systemd", test_systemd);
    g_test_add_func("/credentials/netrc-text", test_netrc_text);
    g_test_add_func("/credentials/netrc-random", test_netrc_random);
    g_test_add_func("/credentials/netrc-file", test_netrc_file);
    g_test_add_func("/credentials/prompt", test_prompt);
    g_test_add_func("/credentials/nothing", test_nothing);
    g_test_add_func("/credentials/renew", test_renew);
    int status = g_test_run();
    g_rmdir(scratch);
    g_free(scratch);
    return status;
}
