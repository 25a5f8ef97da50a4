#include "wait.h"

void wait_list_add(WaitList *list, Waiter *waiter)
{
    g_return_if_fail(!waiter->list);
    waiter->link.data = waiter;
    waiter->list = list;
    g_queue_push_tail_link(list, &waiter->link);
}

void waiter_cancel(Waiter *waiter)
{
    if (!waiter->list)
        return;
    g_queue_unlink(waiter->list, &waiter->link);
    waiter->list = NULL;
}

void wait_list_wake(WaitList *list, const GError *error)
{
    /* A private list, on which a waiter can still be cancelled by another one's wake. */
    WaitList woken = *list;
    g_queue_init(list);
    for (GList *item = woken.head; item; item = item->next)
        ((Waiter *)item->data)->list = &woken;
    GList *item;
    while ((item = g_queue_pop_head_link(&woken))) {
        Waiter *waiter = item->data;
        waiter->list = NULL;
        waiter->wake(waiter, error);
    }
}
