/* What the daemon does when it is told `status` or `sync`. */
#include "control-private.h"

#include <string.h>

#include "notify.h"

static void status_run(ControlClient *client, const GError *woken_by)
{
    static const char *const names[COUNT_LAST] = {
        "lookup",  "forget",  "getattr",     "open",   "read",    "flush",
        "release", "opendir", "readdirplus", "create", "write",   "setattr",
        "rename",  "unlink",  "statfs",      "xattr",  "refused", "other"};
    Fs *fs = client->fs;
    g_autoptr(GString) text = g_string_new(NULL);
    account_describe(fs->account, text);
    control_client_print(client, "mountpoint: %s", fs->config->mountpoint);
    control_client_add(client, text->str, text->len);
    control_client_print(client, "waiting-requests: %u", fs->parked.length);
    control_client_print(client, "event-readers: %u", client->control->events.readers);
    control_client_print(client, "kernel-inodes: %u", inodes_count(fs->inodes));
    for (guint i = 0; i < COUNT_LAST; i++)
        control_client_print(client, "kernel-%s: %" G_GUINT64_FORMAT, names[i], fs->counts[i]);
    control_client_end(client, NULL);
}

/* First the kernel lets go of the files that nobody has open any more, which are complete then. */
static void sync_run(ControlClient *client, const GError *woken_by)
{
    g_autoptr(GError) error = NULL;
    AccountReply reply = ACCOUNT_FAILED;
    if (!client->state && client->fs->notifier) {
        client->state = client;
        notifier_wait(client->fs->notifier, &client->waiter);
        return;
    }
    if (!woken_by)
        reply = account_flush(client->fs->account, &client->waiter, &error);
    if (reply != ACCOUNT_WAIT)
        control_client_end(client, woken_by ? woken_by : error);
}

static const ControlCommand status_command = {.name = "status", .run = status_run};
static const ControlCommand sync_command = {
    .name = "sync", .lasts = TRUE, .at_end = CONTROL_END_LATER, .run = sync_run};

const ControlCommand *control_command_find(const char *name)
{
    static const ControlCommand *const all[] = {&status_command, &sync_command,
                                                &control_events_command, &control_flag_command,
                                                &control_fetch_command};
    for (guint i = 0; i < G_N_ELEMENTS(all); i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}
