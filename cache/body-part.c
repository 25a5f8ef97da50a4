#include "bodies-private.h"

#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define EVICT_LEAST (1 << 20) /* bytes, when the disk is full: not a few for each append */

struct BodyPart {
    Bodies *bodies;
    guint32 folder;
    guint64 serial;
    guint64 frontier;
    gboolean torn; /* a failed append may have written behind the frontier */
    int fd;
};

static void part_name(char name[32], guint64 serial)
{
    g_snprintf(name, 32, "%" G_GUINT64_FORMAT ".part", serial);
}

BodyPart *bodies_part_new(Bodies *bodies, guint32 folder, GError **error)
{
    int directory = bodies_folder_fd(bodies, folder, TRUE);
    guint64 serial = bodies_next_serial(bodies);
    char name[32];
    part_name(name, serial);
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = directory < 0 ? -1 : openat(directory, name, flags, 0600);
    if (fd < 0) {
        bodies_fail_errno("a new message", error);
        return NULL;
    }
    BodyPart *part = g_new0(BodyPart, 1);
    part->bodies = bodies;
    part->folder = folder;
    part->serial = serial;
    part->fd = fd;
    return part;
}

static void release_part(BodyPart *part)
{
    close(part->fd);
    g_free(part);
}

void body_part_free(BodyPart *part)
{
    if (!part)
        return;
    char name[32];
    part_name(name, part->serial);
    int directory = bodies_folder_fd(part->bodies, part->folder, FALSE);
    if (directory >= 0)
        unlinkat(directory, name, 0);
    release_part(part);
}

/* At the frontier, whatever an earlier attempt has left behind it. */
static gboolean write_all(const BodyPart *part, const guint8 *bytes, gsize size)
{
    gsize done = 0;
    while (done < size) {
        ssize_t written =
            pwrite(part->fd, bytes + done, size - done, (off_t)(part->frontier + done));
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return FALSE;
        done += (gsize)written;
    }
    return TRUE;
}

/* SQLite uses its WAL, of some megabytes, again and again; but when no body is left to evict, it
 * must not be what keeps every message out. What was written in vain gives the index some room to
 * work with. */
static gboolean make_room(const BodyPart *part, gsize size)
{
    if (ftruncate(part->fd, (off_t)part->frontier) != 0)
        return FALSE;
    return bodies_evict(part->bodies, MAX(size, EVICT_LEAST)) > 0 ||
           bodies_trim_index(part->bodies);
}

gboolean body_part_append(BodyPart *part, const guint8 *bytes, gsize size, GError **error)
{
    gboolean written = write_all(part, bytes, size);
    if (!written && (errno == ENOSPC || errno == EDQUOT)) {
        int code = errno;
        gboolean room = make_room(part, size);
        errno = code;
        written = room && write_all(part, bytes, size);
    }
    if (!written) {
        part->torn = TRUE;
        return bodies_fail_errno("a message's body", error);
    }
    part->frontier += size;
    return TRUE;
}

guint64 body_part_frontier(const BodyPart *part)
{
    return part->frontier;
}

int body_part_fd(const BodyPart *part)
{
    return part->fd;
}

/* What a failed append wrote behind the frontier must not become part of the message. */
static gboolean move_into_place(BodyPart *part, MailUid uid)
{
    char from[32], to[16];
    part_name(from, part->serial);
    bodies_name(to, uid);
    int directory = bodies_folder_fd(part->bodies, part->folder, FALSE);
    fault_point("body-rename");
    gboolean whole = !part->torn || ftruncate(part->fd, (off_t)part->frontier) == 0;
    gboolean moved = whole && directory >= 0 && renameat(directory, from, directory, to) == 0;
    fault_point("body-renamed");
    return moved;
}

gboolean bodies_part_complete(BodyPart *part, MailUid uid, GError **error)
{
    Bodies *bodies = part->bodies;
    if (bodies_has(bodies, part->folder, uid, NULL)) {
        body_part_free(part);
        return TRUE;
    }
    if (!move_into_place(part, uid)) {
        bodies_fail_errno("a message's body", error);
        body_part_free(part);
        return FALSE;
    }
    guint32 folder = part->folder;
    guint64 bytes = part->frontier;
    release_part(part);
    return bodies_adopt(bodies, folder, uid, bytes, error);
}
