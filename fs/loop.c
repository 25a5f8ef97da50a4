#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdlib.h>

#define REQUESTS_A_TURN 64

typedef struct {
    Fs *fs;
    struct fuse_buf buffer; /* grown by libfuse once, then reused */
} Loop;

static void loop_free(gpointer data)
{
    Loop *loop = data;
    free(loop->buffer.mem);
    g_free(loop);
}

static gboolean readable(int fd, GIOCondition condition, gpointer data)
{
    Loop *loop = data;
    struct fuse_session *session = loop->fs->session;
    for (guint i = 0; i < REQUESTS_A_TURN; i++) {
        int got = fuse_session_receive_buf(session, &loop->buffer);
        if (got == -EINTR)
            continue;
        if (got == -EAGAIN)
            return G_SOURCE_CONTINUE;
        if (got > 0)
            fuse_session_process_buf(session, &loop->buffer);
        if (got <= 0 || fuse_session_exited(session)) {
            loop->fs->dispatcher = 0;
            g_main_loop_quit(loop->fs->loop); /* unmounted */
            return G_SOURCE_REMOVE;
        }
    }
    return G_SOURCE_CONTINUE;
}

void loop_attach(Fs *fs)
{
    int fd = fuse_session_fd(fs->session);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    Loop *loop = g_new0(Loop, 1);
    loop->fs = fs;
    fs->dispatcher = g_unix_fd_add_full(G_PRIORITY_DEFAULT, fd, G_IO_IN | G_IO_ERR | G_IO_HUP,
                                        readable, loop, loop_free);
}

void loop_detach(Fs *fs)
{
    g_clear_handle_id(&fs->dispatcher, g_source_remove);
}
