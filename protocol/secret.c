#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_SIZE (64 * 1024)

#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif

struct Secret {
    char *text;
    gsize size;
    gsize mapped;
    gboolean shared; /* hidden pages stay one and the same over a fork */
};

/* Pages that even the kernel's own direct map leaves out; NULL where it has none of them (before
 * Linux 5.14, switched off, or over RLIMIT_MEMLOCK). */
static char *map_hidden(gsize size)
{
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *memory = MAP_FAILED;
    if (ftruncate(fd, (off_t)size) == 0)
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED)
        return NULL;
    return memory;
}

static void lock(void *memory, gsize size)
{
    if (mlock(memory, size) != 0)
        g_debug("cannot lock the memory of a password: %s", g_strerror(errno));
}

/* Ordinary pages, kept out of the swap and of core files as far as the system lets us. */
static char *map_locked(gsize size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    lock(memory, size);
    if (madvise(memory, size, MADV_DONTDUMP) != 0)
        g_debug("cannot keep a password out of core files: %s", g_strerror(errno));
    return memory;
}

Secret *secret_new(char *text, gsize size)
{
    gsize page = (gsize)sysconf(_SC_PAGESIZE);
    gsize mapped = (MIN(size, MAX_SIZE) + 1 + page - 1) / page * page;
    char *memory = NULL;
    if (size <= MAX_SIZE)
        memory = map_hidden(mapped);
    gboolean shared = memory != NULL;
    if (!memory && size <= MAX_SIZE)
        memory = map_locked(mapped);
    if (memory && size > 0)
        memcpy(memory, text, size);
    if (size > 0)
        secret_wipe(text, size);
    if (!memory)
        return NULL;
    Secret *secret = g_new0(Secret, 1);
    secret->text = memory;
    secret->size = size;
    secret->mapped = mapped;
    secret->shared = shared;
    return secret;
}

void secret_free(Secret *secret)
{
    if (!secret)
        return;
    secret_wipe(secret->text, secret->mapped);
    secret_let_go(secret);
}

void secret_forked(Secret *secret)
{
    if (secret && !secret->shared)
        lock(secret->text, secret->mapped); /* a lock does not outlive the fork */
}

void secret_let_go(Secret *secret)
{
    if (!secret)
        return;
    if (!secret->shared)
        secret_wipe(secret->text, secret->mapped);
    munmap(secret->text, secret->mapped);
    g_free(secret);
}

const char *secret_peek(const Secret *secret, gsize *size)
{
    if (size)
        *size = secret->size;
    return secret->text;
}

void secret_wipe(gpointer memory, gsize size)
{
    if (memory && size > 0)
        explicit_bzero(memory, size);
}

void secret_free_text(char *text)
{
    if (text)
        secret_wipe(text, strlen(text));
    g_free(text);
}
