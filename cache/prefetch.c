/* Reading ahead: a program that walks a folder (grep -r, tar, rg) asks for its messages one by one,
 * and a round trip for each would take most of its time. After a few steps what comes next is
 * fetched in large sets, in a window of bytes that grows as long as the walk goes on, as the
 * kernel's readahead does within a file. When the reader stops, so does this. */
#include "account-private.h"

#define NEAR 64       /* messages: parallel searchers do not go strictly in order */
#define FIRST_STEPS 3 /* so many in a row are a walk, up or down: rg begins with the last */
#define MAX_STEPS 16  /* so many against it turn it round */
#define FIRST_WINDOW (512 * 1024)
#define GROWTH 4 /* times: each step of it costs a round trip */
#define MAX_WINDOW (32 * 1024 * 1024)
#define MAX_AHEAD 4096 /* messages */
/* It comes in windows, as it is read, outside of a walk; within one, all of it is going to be read,
 * and what is not larger than a fourth of what is fetched ahead anyway comes whole. */
#define TOO_LARGE (1024 * 1024)

/* What is read ahead must not push out of the cache what was read ahead before it. */
static guint64 window_limit(const Account *account)
{
    guint64 budget = bodies_budget(account->bodies);
    return budget == 0 ? MAX_WINDOW : MIN(MAX_WINDOW, budget / 4);
}

static void start_walk(Folder *folder, MailUid uid)
{
    folder->walk.ahead = uid;
    folder->walk.window = MIN(FIRST_WINDOW, window_limit(folder->account));
}

/* From this size on messages of the walk come in windows. */
static guint64 large_from(const Walk *walk)
{
    return MAX(TOO_LARGE, walk->window / 4);
}

gboolean prefetch_takes_whole(const Folder *folder, const Message *message)
{
    const Walk *walk = &folder->walk;
    MailUid first = MIN(walk->last, walk->ahead), last = MAX(walk->last, walk->ahead);
    gboolean walked = ABS(walk->steps) >= FIRST_STEPS && walk->ahead != 0 &&
                      message->uid >= first && message->uid <= last;
    return message->size < (walked ? large_from(walk) : TOO_LARGE);
}

/* `at`: the reader's position; fetches on in its direction when less than half a window is left. */
static void extend(Folder *folder, guint at)
{
    Walk *walk = &folder->walk;
    Mailbox *mailbox = folder_mailbox(folder);
    gint64 step = walk->backward ? -1 : 1;
    gint64 count = mailbox_count(mailbox);
    gint64 ahead = mailbox_position(mailbox, walk->ahead);
    if ((ahead - at) * step < 0)
        ahead = at;
    guint64 bytes = 0;
    gint64 next = (gint64)at + step;
    for (; (ahead - next) * step >= 0 && next >= 0 && next < count; next += step)
        bytes += mailbox_at(mailbox, (guint)next)->size;
    if (bytes > walk->window / 2 || ABS(ahead - at) > MAX_AHEAD / 2)
        return;
    for (; next >= 0 && next < count && bytes < walk->window && ABS(next - at) < MAX_AHEAD;
         next += step) {
        const Message *message = mailbox_at(mailbox, (guint)next);
        walk->ahead = message->uid;
        if (!message_visible(folder, message) || message->size >= large_from(walk))
            continue;
        bytes += message->size;
        downloads_ahead(folder, message->uid);
    }
    walk->window = MIN(walk->window * GROWTH, window_limit(folder->account));
}

static gboolean was_counted(Walk *walk, MailUid uid)
{
    for (guint i = 0; i < WALK_RECENT; i++)
        if (walk->recent[i] == uid)
            return TRUE;
    walk->recent[walk->next_recent++ % WALK_RECENT] = uid;
    return FALSE;
}

void prefetch_read(Folder *folder, MailUid uid)
{
    Walk *walk = &folder->walk;
    Mailbox *mailbox = folder_mailbox(folder);
    if (was_counted(walk, uid))
        return;
    guint at = mailbox_position(mailbox, uid);
    guint before = mailbox_position(mailbox, walk->last);
    gint step = uid > walk->last ? 1 : -1;
    gboolean near = walk->last && MAX(at, before) - MIN(at, before) <= NEAR;
    walk->last = uid;
    walk->steps = near ? CLAMP(walk->steps + step, -MAX_STEPS, MAX_STEPS) : 0;
    if (!near)
        walk->ahead = 0; /* a walk that starts elsewhere is another one */
    gboolean backward = walk->steps < 0;
    if (ABS(walk->steps) < FIRST_STEPS || remote_state(folder->account->remote) != REMOTE_ONLINE)
        return;
    if (backward != walk->backward || walk->ahead == 0)
        start_walk(folder, uid);
    walk->backward = backward;
    extend(folder, at);
}
