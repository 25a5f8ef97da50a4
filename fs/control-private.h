/* control-private.h: between the clients of the control socket and the commands that they give. */
#pragma once

#include "control-wire.h"
#include "control.h"

typedef struct ControlClient ControlClient;

/* What becomes of a command that is under way when the mount ends. */
typedef enum {
    CONTROL_END_FAILS,
    CONTROL_END_IS_OK,
    CONTROL_END_LATER, /* it waits on while what is pending is sent, and fails after that */
} ControlAtEnd;

typedef struct {
    const char *name;
    gboolean takes_arguments;
    gboolean lasts; /* its client may be silent, and need not read, for as long as it likes */
    ControlAtEnd at_end;
    /* An argument. FALSE: client->waiter is on some list, and the argument comes again once that
     * woke, with the error that it woke with. Nothing more of the request is read meanwhile. */
    gboolean (*argument)(ControlClient *client, const char *text, const GError *woken_by);
    /* The request is complete, or the waiter woke: calls control_client_end(), now or later. */
    void (*run)(ControlClient *client, const GError *woken_by);
    /* What was printed has all been sent. May be NULL. */
    void (*drained)(ControlClient *client);
    /* Of client->state, which is not NULL. May be NULL. */
    GDestroyNotify free_state;
} ControlCommand;

struct ControlClient {
    Waiter waiter; /* first: what wakes it hands back this address */
    Fs *fs;
    const ControlCommand *command; /* NULL before the first line */
    gpointer state;                /* the command's own */
    /* The rest is control.c's. */
    Control *control;
    GSocket *socket;
    guint in_source, out_source;
    GIOCondition in_condition;
    ControlLines lines;
    char *argument; /* one that the command could not take yet */
    GString *queue; /* to be sent */
    gint64 active;  /* monotonic: when bytes went either way */
    gboolean complete, ending;
    GList link;
};

struct Control {
    Fs *fs;
    GSocketService *service; /* NULL once stopped */
    char *path;
    GQueue clients; /* of ControlClient */
    guint timer;    /* looks after silent clients while there are any */
    struct {        /* control-events.c's */
        guint readers;
        GString *lines; /* what they are told next */
        guint count;
        gboolean waits; /* for the notifier */
    } events;
};

/* Queues a line of the answer; control characters in it become spaces. */
void control_client_print(ControlClient *client, const char *format, ...) G_GNUC_PRINTF(2, 3);
/* The answer's last line: frees client->state; the client goes once all is sent. Harmless once it
 * was called. */
void control_client_end(ControlClient *client, const GError *error);
/* Bytes that wait to be sent. */
gsize control_client_queued(const ControlClient *client);
/* Queues lines that are made already, ends and all. */
void control_client_add(ControlClient *client, const char *lines, gsize size);

/* control-files.c: what a path ("/INBOX/1.eml") stands for: a folder (*uid 0), or a message. WAIT
 * as ControlCommand.argument does. */
AccountReply control_find(ControlClient *client, const char *path, const GError *woken_by,
                          Folder **folder, MailUid *uid, GError **error);

/* control-flag.c */
extern const ControlCommand control_flag_command;
/* control-fetch.c */
extern const ControlCommand control_fetch_command;

/* control-events.c */
extern const ControlCommand control_events_command;
/* Tells the readers what there is, now. */
void control_events_flush(Control *control);

/* control-commands.c: NULL: there is none of that name. */
const ControlCommand *control_command_find(const char *name);
