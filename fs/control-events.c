/* `mailfs events`: each reader is told what happens from when it asked.
 *
 * What happens is told once the kernel knows, so that whoever acts upon an event finds what it
 * says. A reader that does not keep up loses events rather than memory or time of the mount's, and
 * is told how many. */
#include "control-private.h"

#include "notify.h"
#include "view-eml.h"

#define MAX_LINES (64 * 1024)   /* bytes that wait for the kernel to be told */
#define MAX_BEHIND (512 * 1024) /* bytes that a reader may be behind */

typedef struct {
    Control *control;
    guint64 missed;
} Reader;

/* ---- readers ---- */

static void reader_free(gpointer data)
{
    Reader *reader = data;
    reader->control->events.readers--;
    g_free(reader);
}

static void reader_new(ControlClient *client)
{
    control_events_flush(client->control); /* what was before is not for this one */
    Reader *reader = g_new0(Reader, 1);
    reader->control = client->control;
    reader->control->events.readers++;
    client->state = reader;
}

/* New mail is told of even where nobody has looked into the inbox yet. */
static void reader_run(ControlClient *client, const GError *woken_by)
{
    Account *account = client->fs->account;
    Folder *root = account_root(account);
    if (!client->state)
        reader_new(client);
    Folder *inbox = folder_selectable(root) ? root : folder_child(root, "INBOX");
    if (inbox)
        account_refresh_behind(account, inbox);
    else if (!folder_next_child(root, 0) && !woken_by)
        account_refresh_folders(account, &client->waiter, NULL);
}

static void tell_missed(ControlClient *client)
{
    Reader *reader = client->state;
    if (reader->missed == 0)
        return;
    control_client_print(client, "missed %" G_GUINT64_FORMAT, reader->missed);
    reader->missed = 0;
}

const ControlCommand control_events_command = {
    .name = "events",
    .lasts = TRUE,
    .at_end = CONTROL_END_IS_OK,
    .run = reader_run,
    .drained = tell_missed,
    .free_state = reader_free,
};

/* ---- events ---- */

static void tell(ControlClient *client, const GString *lines, guint count)
{
    Reader *reader = client->state;
    if (reader->missed > 0 || control_client_queued(client) + lines->len > MAX_BEHIND)
        reader->missed += count;
    else
        control_client_add(client, lines->str, lines->len);
}

void control_events_flush(Control *control)
{
    GString *lines = control->events.lines;
    for (GList *item = control->clients.head; lines->len > 0 && item; item = item->next) {
        ControlClient *client = item->data;
        if (client->command == &control_events_command && client->state && !client->ending)
            tell(client, lines, control->events.count);
    }
    g_string_truncate(lines, 0);
    control->events.count = 0;
}

static gboolean kernel_was_told(gpointer data)
{
    Control *control = data;
    control->events.waits = FALSE;
    control_events_flush(control);
    return G_SOURCE_REMOVE;
}

void control_event(Control *control, AccountEvent kind, Folder *folder, const Message *message)
{
    static const char *const kinds[] = {
        [ACCOUNT_EVENT_NEW] = "new",
        [ACCOUNT_EVENT_GONE] = "gone",
        [ACCOUNT_EVENT_FLAGS] = "flags",
        [ACCOUNT_EVENT_MOVED] = "moved",
        [ACCOUNT_EVENT_FOLDER_NEW] = "folder-new",
        [ACCOUNT_EVENT_FOLDER_GONE] = "folder-gone",
    };
    if (!control || control->events.readers == 0)
        return;
    GString *lines = control->events.lines;
    g_string_append_printf(lines, "%s ", kinds[kind]);
    eml_append_path(control->fs, folder, message, lines);
    g_string_append_c(lines, '\n');
    control->events.count++;
    if (lines->len >= MAX_LINES || !control->fs->notifier) {
        control_events_flush(control);
    } else if (!control->events.waits) {
        control->events.waits = TRUE;
        notifier_after(control->fs->notifier, kernel_was_told, control);
    }
}
