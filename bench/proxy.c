/* A network to measure through: forwards TCP connections to a port of this machine as if it were
 * RTT_MS away, at the end of a line of RATE_MBIT (0: no limit).
 *
 *     proxy TARGET_PORT RTT_MS RATE_MBIT
 *
 * It prints the port it listens on and runs until it is killed, or until the other end of the pipe
 * that is its standard input closes, so that it does not survive what started it.
 *
 * All connections share one line for each direction. What is read is stamped at once and waits in a
 * queue for its time, so nothing but the line limits how much is under way. Loss and
 * slow start are not played. Without a delay or a rate the bytes do not come to user space at all,
 * as the proxy shares the CPUs with what is measured. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <malloc.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE (256 * 1024)
#define LINE_CHUNK (16 * 1024) /* small enough for bytes to flow evenly on a slow line */
#define PIPE_SIZE (1024 * 1024)
#define QUEUE_LIMIT ((gsize)256 * 1024 * 1024)
#define SECOND G_GINT64_CONSTANT(1000000000) /* all times are nanoseconds */
#define NEVER G_MAXINT64

typedef struct Chunk Chunk;
struct Chunk {
    Chunk *next;
    gint64 due;
    gsize length; /* 0: the end of the stream */
    gsize sent;
    char data[];
};

typedef struct {
    int from, to; /* -1: not connected yet */
    int pipe[2];  /* takes the place of the chunks when there is nothing to wait for */
    Chunk *first, *last;
    gsize queued;
    gint64 *line_free; /* when the line can take the next chunk; shared */
    gint64 begins;     /* what came before waits here until then */
    gboolean ended;    /* there is no more to read */
    gboolean blocked;  /* the receiver is slower than the network */
    gboolean finished;
} Direction;

typedef struct {
    gint64 connect_at;
    Direction up, down;
} Connection;

static struct sockaddr_in target;
static gint64 half_rtt;
static double nanoseconds_per_byte;
static gint64 up_free, down_free; /* when either line can take the next chunk */
static gboolean plain;            /* neither a delay nor a rate */
static GPtrArray *connections;

G_GNUC_NORETURN static void die(const char *what)
{
    fprintf(stderr, "proxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static gint64 now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static gboolean is_transient(int error)
{
    return error == EAGAIN || error == EINTR;
}

static void set_no_delay(int fd)
{
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* ---- a direction that plays a network ---- */

static void enqueue(Direction *direction, const char *data, gsize length, gint64 arrived)
{
    Chunk *chunk = g_malloc(sizeof *chunk + length);
    gint64 begin = MAX(arrived, *direction->line_free);
    *direction->line_free = begin + (gint64)((double)length * nanoseconds_per_byte);
    chunk->due = MAX(*direction->line_free, direction->begins) + half_rtt;
    chunk->next = NULL;
    chunk->length = length;
    chunk->sent = 0;
    if (length > 0)
        memcpy(chunk->data, data, length);
    if (direction->last)
        direction->last->next = chunk;
    else
        direction->first = chunk;
    direction->last = chunk;
    direction->queued += length;
}

static void dequeue(Direction *direction)
{
    Chunk *chunk = direction->first;
    direction->first = chunk->next;
    if (!direction->first)
        direction->last = NULL;
    direction->queued -= chunk->length;
    g_free(chunk);
}

static void receive_chunks(Direction *direction)
{
    static char buffer[READ_SIZE];
    gssize got = recv(direction->from, buffer, sizeof buffer, 0);
    if (got < 0 && is_transient(errno))
        return;
    gint64 arrived = now();
    if (got <= 0) { /* a reset ends the stream as well */
        direction->ended = TRUE;
        enqueue(direction, NULL, 0, arrived);
        return;
    }
    gsize most = nanoseconds_per_byte > 0 ? LINE_CHUNK : READ_SIZE;
    for (gsize start = 0; start < (gsize)got; start += most)
        enqueue(direction, buffer + start, MIN(most, (gsize)got - start), arrived);
}

/* Returns whether the receiver has all of the chunk. */
static gboolean send_chunk(Direction *direction, Chunk *chunk)
{
    if (chunk->length == 0) {
        shutdown(direction->to, SHUT_WR);
        direction->finished = TRUE;
        return TRUE;
    }
    gssize sent =
        send(direction->to, chunk->data + chunk->sent, chunk->length - chunk->sent, MSG_NOSIGNAL);
    if (sent >= 0)
        chunk->sent += (gsize)sent;
    else if (!is_transient(errno))
        direction->finished = TRUE;
    return chunk->sent == chunk->length;
}

static void deliver_chunks(Direction *direction)
{
    gint64 time = now();
    direction->blocked = FALSE;
    while (direction->first && direction->first->due <= time && !direction->finished) {
        if (!send_chunk(direction, direction->first)) {
            direction->blocked = TRUE;
            return;
        }
        dequeue(direction);
    }
}

/* ---- a direction that has nothing to wait for ---- */

static void receive_pipe(Direction *direction)
{
    gssize got = splice(direction->from, NULL, direction->pipe[1], NULL, PIPE_SIZE,
                        SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (got > 0)
        direction->queued = (gsize)got;
    else if (got == 0 || !is_transient(errno))
        direction->ended = TRUE;
}

static void deliver_pipe(Direction *direction)
{
    if (direction->queued > 0) {
        gssize sent = splice(direction->pipe[0], NULL, direction->to, NULL, direction->queued,
                             SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (sent >= 0)
            direction->queued -= (gsize)sent;
        else if (!is_transient(errno))
            direction->finished = TRUE;
    }
    direction->blocked = direction->queued > 0;
    if (direction->ended && !direction->blocked) {
        shutdown(direction->to, SHUT_WR);
        direction->finished = TRUE;
    }
}

/* ---- either ---- */

static void direction_init(Direction *direction, int from, int to, gint64 *line_free)
{
    direction->from = from;
    direction->to = to;
    direction->line_free = line_free;
    direction->pipe[0] = direction->pipe[1] = -1;
    if (!plain)
        return;
    if (pipe2(direction->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
        die("pipe");
    fcntl(direction->pipe[1], F_SETPIPE_SZ, PIPE_SIZE); /* a smaller one is only slower */
}

static void direction_clear(Direction *direction)
{
    while (direction->first)
        dequeue(direction);
    if (plain) {
        close(direction->pipe[0]);
        close(direction->pipe[1]);
    }
}

static gboolean wants_input(const Direction *direction)
{
    gsize limit = plain ? 1 : QUEUE_LIMIT; /* splice() cannot tell a full pipe from no input */
    return !direction->ended && !direction->finished && direction->queued < limit;
}

static gboolean wants_output(const Direction *direction)
{
    return direction->blocked && !direction->finished;
}

static gint64 direction_wakes_at(const Direction *direction)
{
    if (direction->finished || direction->blocked || !direction->first)
        return NEVER;
    return direction->first->due;
}

static void run_direction(Direction *direction, const struct pollfd *from, const struct pollfd *to)
{
    if (from->revents && wants_input(direction))
        (plain ? receive_pipe : receive_chunks)(direction);
    if (!direction->finished && (!direction->blocked || to->revents))
        (plain ? deliver_pipe : deliver_chunks)(direction);
}

/* ---- connections ---- */

/* As with TCP, the server accepts when the third packet arrives, and that is when the client's
 * first bytes can arrive as well: a client of loopback may send at once, and it waits for the
 * line until the second packet would have come. */
static void connection_add(int client)
{
    gint64 accepted = now();
    Connection *connection = g_new0(Connection, 1);
    set_no_delay(client);
    connection->connect_at = accepted + 3 * half_rtt;
    direction_init(&connection->up, client, -1, &up_free);
    direction_init(&connection->down, -1, client, &down_free);
    connection->up.begins = accepted + 2 * half_rtt;
    g_ptr_array_add(connections, connection);
}

static void connection_free(gpointer data)
{
    Connection *connection = data;
    close(connection->up.from);
    if (connection->up.to >= 0)
        close(connection->up.to);
    direction_clear(&connection->up);
    direction_clear(&connection->down);
    g_free(connection);
}

static void connect_server(Connection *connection)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    set_no_delay(fd);
    connection->up.to = connection->down.from = fd;
    connection->connect_at = NEVER;
    if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS)
        connection->up.finished = connection->down.finished = TRUE;
}

static gint64 connection_wakes_at(const Connection *connection)
{
    gint64 data = MIN(direction_wakes_at(&connection->up), direction_wakes_at(&connection->down));
    return MIN(data, connection->connect_at);
}

/* fds[0] is the client's, fds[1] the server's. */
static void connection_run(Connection *connection, const struct pollfd *fds)
{
    if (connection->connect_at <= now())
        connect_server(connection);
    run_direction(&connection->up, &fds[0], &fds[1]);
    run_direction(&connection->down, &fds[1], &fds[0]);
}

static void accept_all(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
        connection_add(fd);
    if (!is_transient(errno) && errno != ECONNABORTED)
        die("accept");
}

/* ---- the loop ---- */

/* An end that nothing is wanted of is left out: poll() would report its hang-up for ever. */
static void add_poll(GArray *fds, int fd, gboolean input, gboolean output)
{
    short events = (short)((input ? POLLIN : 0) | (output ? POLLOUT : 0));
    struct pollfd one = {.fd = events ? fd : -1, .events = events};
    g_array_append_val(fds, one);
}

static gint64 collect(GArray *fds, int listener)
{
    gint64 wake = NEVER;
    struct pollfd starter = {.fd = STDIN_FILENO}; /* hang-ups only: /dev/null has none */
    g_array_set_size(fds, 0);
    g_array_append_val(fds, starter);
    add_poll(fds, listener, TRUE, FALSE);
    for (guint i = 0; i < connections->len; i++) {
        const Connection *connection = connections->pdata[i];
        const Direction *up = &connection->up, *down = &connection->down;
        add_poll(fds, up->from, wants_input(up), wants_output(down));
        add_poll(fds, up->to, wants_input(down), wants_output(up));
        wake = MIN(wake, connection_wakes_at(connection));
    }
    return wake;
}

static void wait_until(GArray *fds, gint64 wake)
{
    gint64 time = now();
    gint64 left = wake > time ? wake - time : 0;
    struct timespec timeout = {.tv_sec = left / SECOND, .tv_nsec = left % SECOND};
    struct pollfd *first = &g_array_index(fds, struct pollfd, 0);
    if (ppoll(first, fds->len, wake == NEVER ? NULL : &timeout, NULL) < 0 && errno != EINTR)
        die("poll");
}

/* Backwards, as the last connection takes the place of one that is removed. */
static void run_all(const struct pollfd *fds)
{
    for (guint i = connections->len; i-- > 0;) {
        Connection *connection = connections->pdata[i];
        connection_run(connection, &fds[2 * i]);
        if (connection->up.finished && connection->down.finished)
            g_ptr_array_remove_index_fast(connections, i);
    }
}

static void serve(int listener)
{
    g_autoptr(GArray) fds = g_array_new(FALSE, TRUE, sizeof(struct pollfd));
    for (;;) {
        wait_until(fds, collect(fds, listener));
        const struct pollfd *polled = &g_array_index(fds, struct pollfd, 0);
        if (polled[0].revents)
            return;
        run_all(polled + 2);
        if (polled[1].revents)
            accept_all(listener);
    }
}

static int listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = target.sin_addr};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

/* Has the heap grow once for all queues that are not extreme, in huge pages, and never shrink:
 * chunks come and go by the thousand, and where page faults are dear, as in some virtual machines,
 * these would cost ten times what the forwarding does. */
static void prepare_heap(void)
{
    mallopt(M_MMAP_THRESHOLD, 4 * READ_SIZE);
    mallopt(M_TRIM_THRESHOLD, G_MAXINT);
    mallopt(M_TOP_PAD, (int)QUEUE_LIMIT);
    char *first = g_malloc(2 * READ_SIZE); /* more than the heap has, so it grows by all of that */
    gsize page = (gsize)sysconf(_SC_PAGESIZE);
    madvise(first + page - (gsize)first % page, QUEUE_LIMIT, MADV_HUGEPAGE);
    g_free(first);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: proxy TARGET_PORT RTT_MS RATE_MBIT\n");
        return 2;
    }
    double rate = g_ascii_strtod(argv[3], NULL);
    target.sin_family = AF_INET;
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons((guint16)atoi(argv[1]));
    half_rtt = (gint64)(g_ascii_strtod(argv[2], NULL) * 1e6 / 2);
    nanoseconds_per_byte = rate > 0 ? 8e3 / rate : 0;
    plain = half_rtt == 0 && rate <= 0;
    prctl(PR_SET_TIMERSLACK, 1UL); /* the kernel's 50 us would add up over many round trips */
    signal(SIGPIPE, SIG_IGN);      /* splice() has no MSG_NOSIGNAL */
    prepare_heap();
    connections = g_ptr_array_new_with_free_func(connection_free);
    int listener = listen_somewhere();
    serve(listener);
    g_ptr_array_unref(connections);
    close(listener);
    return 0;
}
