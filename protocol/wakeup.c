#include "wakeup.h"

#include <errno.h>
#include <glib-unix.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* While it slept CLOCK_MONOTONIC stood still, and timers with it; CLOCK_BOOTTIME went on. */
#define LOOK_EVERY 5               /* seconds */
#define SLEPT (3 * G_USEC_PER_SEC) /* a difference that is no jitter */
#define SETTLE 1000                /* milliseconds: addresses come and go one by one */

struct Wakeup {
    void (*woken)(gboolean doubt, gpointer data);
    gpointer data;
    gboolean doubt;
    gint64 slept; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC, microseconds */
    int netlink;  /* or -1 */
    guint look_timer, netlink_source, tell_timer;
};

static gint64 clock_now(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        return 0;
    return now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static gint64 time_slept(void)
{
    return clock_now(CLOCK_BOOTTIME) - clock_now(CLOCK_MONOTONIC);
}

static gboolean tell(gpointer data)
{
    Wakeup *wakeup = data;
    wakeup->tell_timer = 0;
    gboolean doubt = wakeup->doubt;
    wakeup->doubt = FALSE;
    wakeup->woken(doubt, wakeup->data);
    return G_SOURCE_REMOVE;
}

static void tell_soon(Wakeup *wakeup, gboolean doubt)
{
    wakeup->doubt |= doubt;
    if (!wakeup->tell_timer)
        wakeup->tell_timer = g_timeout_add(SETTLE, tell, wakeup);
}

static gboolean look(gpointer data)
{
    Wakeup *wakeup = data;
    gint64 slept = time_slept();
    if (slept - wakeup->slept > SLEPT)
        tell_soon(wakeup, TRUE);
    wakeup->slept = slept;
    return G_SOURCE_CONTINUE;
}

/* Whether an address went. New ones, and those whose lifetime was extended, kill no connection. */
static gboolean address_went(const void *bytes, gssize size)
{
    const struct nlmsghdr *message = bytes;
    for (; NLMSG_OK(message, size); message = NLMSG_NEXT(message, size))
        if (message->nlmsg_type == RTM_DELADDR)
            return TRUE;
    return FALSE;
}

static gboolean addresses_changed(gint fd, GIOCondition condition, gpointer data)
{
    Wakeup *wakeup = data;
    _Alignas(struct nlmsghdr) char bytes[8192];
    gssize size = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    gboolean missed = size < 0 && errno == ENOBUFS; /* there was more than the kernel keeps */
    if (size > 0 || missed)
        tell_soon(wakeup, missed || address_went(bytes, size));
    if (size > 0 || errno == ENOBUFS || errno == EAGAIN || errno == EINTR)
        return G_SOURCE_CONTINUE;
    wakeup->netlink_source = 0;
    return G_SOURCE_REMOVE;
}

/* Without it (a sandbox may forbid netlink), a dead line is noticed when it is used. */
static void listen_to_addresses(Wakeup *wakeup)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK,
                                  .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    wakeup->netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (wakeup->netlink < 0 ||
        bind(wakeup->netlink, (struct sockaddr *)&address, sizeof address) != 0)
        return;
    wakeup->netlink_source =
        g_unix_fd_add(wakeup->netlink, G_IO_IN | G_IO_ERR | G_IO_HUP, addresses_changed, wakeup);
}

Wakeup *wakeup_new(void (*woken)(gboolean doubt, gpointer data), gpointer data)
{
    Wakeup *wakeup = g_new0(Wakeup, 1);
    wakeup->woken = woken;
    wakeup->data = data;
    wakeup->slept = time_slept();
    wakeup->look_timer = g_timeout_add_seconds(LOOK_EVERY, look, wakeup);
    listen_to_addresses(wakeup);
    return wakeup;
}

void wakeup_free(Wakeup *wakeup)
{
    if (!wakeup)
        return;
    g_clear_handle_id(&wakeup->look_timer, g_source_remove);
    g_clear_handle_id(&wakeup->netlink_source, g_source_remove);
    g_clear_handle_id(&wakeup->tell_timer, g_source_remove);
    if (wakeup->netlink >= 0)
        close(wakeup->netlink);
    g_free(wakeup);
}
