#include "secret.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_copy(void)
{
    char text[] = "correct horse";
    gsize size = strlen(text);
    g_autoptr(Secret) secret = secret_new(text, size);
    gsize got;
    g_assert_cmpstr(secret_peek(secret, &got), ==, "correct horse");
    g_assert_cmpuint(got, ==, size);
    g_assert_cmpstr(secret_peek(secret, NULL), ==, "correct horse");
    for (gsize i = 0; i < size; i++)
        g_assert_cmpint(text[i], ==, 0);
}

static void test_sizes(void)
{
    static const gsize sizes[] = {0, 1, 4095, 4096, 4097, 65535, 65536};
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *text = g_strnfill(sizes[i], 'x');
        g_autoptr(Secret) secret = secret_new(text, sizes[i]);
        g_assert_nonnull(secret);
        gsize got;
        const char *bytes = secret_peek(secret, &got);
        g_assert_cmpuint(got, ==, sizes[i]);
        g_assert_cmpuint(strlen(bytes), ==, sizes[i]);
        g_assert_cmpuint(strspn(bytes, "x"), ==, sizes[i]);
    }
}

static void test_too_long(void)
{
    g_autofree char *text = g_strnfill(65537, 'x');
    g_assert_null(secret_new(text, 65537));
    g_assert_cmpuint(strlen(text), ==, 0); /* wiped nevertheless */
}

static void test_binary(void)
{
    char text[] = "a\0b";
    g_autoptr(Secret) secret = secret_new(text, 3);
    gsize size;
    g_assert_cmpmem(secret_peek(secret, &size), 4, "a\0b\0", 4);
    g_assert_cmpuint(size, ==, 3);
}

static void test_empty(void)
{
    g_autoptr(Secret) secret = secret_new(NULL, 0);
    g_assert_cmpstr(secret_peek(secret, NULL), ==, "");
    secret_free(NULL);
    secret_wipe(NULL, 0);
}

/* The daemon forks once while it holds the secret. */
static void test_fork(void)
{
    char text[] = "tiger";
    g_autoptr(Secret) secret = secret_new(text, 5);
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0)
        _exit(strcmp(secret_peek(secret, NULL), "tiger") == 0 ? 0 : 1);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Without the right to lock memory it still works. */
static void test_no_locking(void)
{
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_MEMLOCK, &none);
        if (setuid(65534) != 0)
            _exit(0); /* not root, and so already without it */
        char text[] = "tiger";
        Secret *secret = secret_new(text, 5);
        _exit(secret && strcmp(secret_peek(secret, NULL), "tiger") == 0 ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/secret/copy", test_copy);
    g_test_add_func("/secret/sizes", test_sizes);
    g_test_add_func("/secret/too-long", test_too_long);
    g_test_add_func("/secret/binary", test_binary);
    g_test_add_func("/secret/empty", test_empty);
    g_test_add_func("/secret/fork", test_fork);
    g_test_add_func("/secret/no-locking", test_no_locking);
    return g_test_run();
}
