/* command-files.h: the files that a command was given, by mount: one request for each. */
#pragma once

#include "conversation.h"
#include "place.h"

typedef struct {
    Place *place;     /* of one of them */
    GPtrArray *paths; /* of char*: within the mount */
    GPtrArray *names; /* as the user named them; borrowed */
} CommandFiles;

/* In the order in which the mounts were named first. What is in no mount is complained of, and
 * counted in *failed. Elements are freed with the array. */
GPtrArray *command_files_new(char **files, guint *failed);
/* "error N TEXT" about the Nth file, or "problem PATH: TEXT" about something in the mount:
 * complains of it. FALSE: it is another line. */
gboolean command_files_complain(const CommandFiles *files, const char *line);
