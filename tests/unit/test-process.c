#include "process.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child that is stopped: it takes no signal but SIGKILL and SIGCONT, so the others stay pending.
 */
static pid_t child_new(void (*prepare)(void))
{
    int ready[2];
    char byte;
    g_assert_cmpint(pipe(ready), ==, 0);
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int number = 1; number < 32; number++)
            signal(number, SIG_DFL); /* some may be ignored, where this runs in the background */
        if (prepare)
            prepare();
        if (write(ready[1], "x", 1) == 1)
            raise(SIGSTOP);
        for (;;)
            pause();
    }
    g_assert_cmpint((int)read(ready[0], &byte, 1), ==, 1);
    close(ready[0]);
    close(ready[1]);
    int status;
    g_assert_cmpint(waitpid(child, &status, WUNTRACED), ==, child);
    g_assert_true(WIFSTOPPED(status));
    return child;
}

static void child_end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void check(void (*prepare)(void), int number, gboolean dying)
{
    pid_t child = child_new(prepare);
    g_assert_false(process_is_dying(child));
    kill(child, number);
    g_assert_cmpint(process_is_dying(child), ==, dying);
    child_end(child);
}

static void handler(int number)
{
}

static void catch_all(void)
{
    for (int number = 1; number < 32; number++)
        signal(number, handler);
}

static void ignore_all(void)
{
    for (int number = 1; number < 32; number++)
        signal(number, SIG_IGN);
}

static void block_all(void)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

static void test_uncaught(void)
{
    static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGALRM, SIGPIPE};
    static const int harmless[] = {SIGURG, SIGCHLD, SIGWINCH, SIGTSTP};
    for (guint i = 0; i < G_N_ELEMENTS(deadly); i++)
        check(NULL, deadly[i], TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(harmless); i++)
        check(NULL, harmless[i], FALSE);
}

static void test_caught(void)
{
    static const int give_up[] = {SIGINT, SIGTERM, SIGALRM};
    static const int others[] = {SIGURG, SIGUSR1, SIGUSR2, SIGCHLD, SIGHUP, SIGPROF};
    for (guint i = 0; i < G_N_ELEMENTS(give_up); i++)
        check(catch_all, give_up[i], TRUE);
    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        check(catch_all, others[i], FALSE);
}

static void test_ignored_and_blocked(void)
{
    check(ignore_all, SIGINT, FALSE);
    check(ignore_all, SIGTERM, FALSE);
    check(block_all, SIGINT, FALSE);
    check(block_all, SIGTERM, FALSE);
}

static void test_gone(void)
{
    pid_t child = child_new(NULL);
    kill(child, SIGKILL);
    siginfo_t info;
    g_assert_cmpint(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), ==, 0);
    g_assert_true(process_is_dying(child)); /* a zombie */
    waitpid(child, NULL, 0);
    g_assert_true(process_is_dying(child)); /* nobody */
    char name[16];
    g_assert_false(process_name(child, name));
}

static void test_nobody(void)
{
    char name[16];
    g_assert_false(process_is_dying(0));
    g_assert_false(process_name(0, name));
    g_assert_false(process_name(-1, name));
    g_assert_false(process_is_dying(getpid()));
}

static gpointer helper_main(gpointer data)
{
    pid_t *tid = data;
    prctl(PR_SET_NAME, "a-helper");
    *tid = gettid();
    char name[16];
    g_assert_true(process_name(*tid, name));
    return g_strdup(name);
}

/* A program is known by its first thread, and by 15 bytes of its name. */
static void test_name(void)
{
    char name[16];
    prctl(PR_SET_NAME, "the-program's-very-long-name");
    g_assert_true(process_name(getpid(), name));
    g_assert_cmpstr(name, ==, "the-program's-v");

    pid_t helper = 0;
    GThread *thread = g_thread_new("x", helper_main, &helper);
    g_autofree char *seen = g_thread_join(thread);
    g_assert_cmpint(helper, !=, getpid());
    g_assert_cmpstr(seen, ==, "the-program's-v");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/process/uncaught", test_uncaught);
    g_test_add_func("/process/caught", test_caught);
    g_test_add_func("/process/ignored-and-blocked", test_ignored_and_blocked);
    g_test_add_func("/process/gone", test_gone);
    g_test_add_func("/process/nobody", test_nobody);
    g_test_add_func("/process/name", test_name);
    return g_test_run();
}
