#include "mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"
#include "server.h"

#define SAID_MAX 300 /* bytes of what fusermount3 said that an error repeats */

static void set_error(GError **error, const char *path, int why)
{
    if (why == ENOTCONN)
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "%s is a mount whose daemon died: fusermount3 -u %s first", path, path);
    else if (why == ENOENT)
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "the mount point %s does not exist: mkdir -p %s first", path, path);
    else
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG, "the mount point %s: %s", path,
                    g_strerror(why));
}

char *mountpoint_check(const char *path, GError **error)
{
    struct statx info;
    g_autofree char *shown = mail_escape(path, -1, PATH_MAX);
    char *real = realpath(path, NULL);
    if (!real || statx(AT_FDCWD, real, AT_NO_AUTOMOUNT, STATX_TYPE, &info) != 0) {
        set_error(error, shown, errno);
        free(real);
        return NULL;
    }
    g_autofree char *point = g_strdup(real);
    free(real);
    if (!S_ISDIR(info.stx_mode)) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG, "the mount point %s is no directory",
                    shown);
        return NULL;
    }
    if (info.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG,
                    "something is mounted at %s already: choose another mount point, or "
                    "fusermount3 -u %s first",
                    shown, shown);
        return NULL;
    }
    return g_steal_pointer(&point);
}

gboolean mountpoint_is_mounted(const char *point)
{
    FILE *mounts = setmntent("/proc/self/mounts", "re");
    struct mntent entry;
    char text[PATH_MAX * 4];
    gboolean found = mounts == NULL; /* who cannot know takes care */
    while (!found && getmntent_r(mounts, &entry, text, sizeof(text)))
        found = strcmp(entry.mnt_dir, point) == 0;
    if (mounts)
        endmntent(mounts);
    return found;
}

static struct fuse_session *new_session(Fs *fs)
{
    const Config *config = fs->config;
    struct fuse_lowlevel_ops ops = ops_table(config);
    g_autofree char *name = server_identity(config);
    g_strdelimit(name, ",\\", '_'); /* they separate the kernel's options */
    g_autofree char *options = g_strdup_printf(
        "fsname=%s,subtype=mailfs,default_permissions,nosuid,nodev,noatime%s%s", name,
        config->read_only ? ",ro" : "", config->allow_other ? ",allow_other" : "");
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fuse_opt_add_arg(&args, "mailfs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, options);
    if (config->debug)
        fuse_opt_add_arg(&args, "-d");
    struct fuse_session *session = fuse_session_new(&args, &ops, sizeof(ops), fs);
    fuse_opt_free_args(&args);
    return session;
}

/* The first line of a file, fit for an error; NULL when there is none. */
static char *first_line(int fd)
{
    char text[SAID_MAX];
    ssize_t got = pread(fd, text, sizeof(text), 0);
    char *end = got > 0 ? memchr(text, '\n', (size_t)got) : NULL;
    gssize length = end ? end - text : got;
    return length > 0 ? mail_escape(text, length, SAID_MAX) : NULL;
}

/* libfuse and fusermount3 say on standard error what is wrong, which is to be in our one line. */
static struct fuse_session *mount_and_listen(Fs *fs, const char *point, char **said)
{
    int aside = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    int paper = memfd_create("stderr", MFD_CLOEXEC);
    if (aside >= 0 && paper >= 0)
        dup2(paper, STDERR_FILENO);
    struct fuse_session *session = new_session(fs);
    if (session && fuse_session_mount(session, point) != 0) {
        fuse_session_destroy(session);
        session = NULL;
    }
    if (aside >= 0)
        dup2(aside, STDERR_FILENO);
    *said = paper >= 0 ? first_line(paper) : NULL;
    if (aside >= 0)
        close(aside);
    if (paper >= 0)
        close(paper);
    return session;
}

struct fuse_session *mountpoint_mount(Fs *fs, const char *point, GError **error)
{
    g_autofree char *said = NULL;
    g_autofree char *shown = mail_escape(point, -1, PATH_MAX);
    struct fuse_session *session = mount_and_listen(fs, point, &said);
    if (!session)
        g_set_error(error, MAIL_ERROR, MAIL_ERROR_CONFIG, "%s cannot be mounted: %s", shown,
                    said ? said : "is /dev/fuse there, and is fuse3 installed?");
    return session;
}
