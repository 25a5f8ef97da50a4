/* wait.h: requests that wait for something: parked, never blocking a thread. */
#pragma once

#include <glib.h>

typedef struct Waiter Waiter;
typedef GQueue WaitList; /* of Waiter; all zero is an empty one */

/* Embedded in whatever waits; zeroed before its first use. On at most one list at a time. */
struct Waiter {
    GList link;
    WaitList *list; /* NULL: waits for nothing */
    /* What it waited for may be there: it looks again. error: what it waited for failed, and
     * looking again would only start it anew. The waiter is off the list by then. */
    void (*wake)(Waiter *waiter, const GError *error);
};

void wait_list_add(WaitList *list, Waiter *waiter);
void waiter_cancel(Waiter *waiter); /* harmless when it waits for nothing */
/* Wakes all that are on the list now; they may wait again, on the same list too. */
void wait_list_wake(WaitList *list, const GError *error);
