/* fault.h: points at which a test lets the process die, as a crash would. Compiled in with the
 * meson option `faults` only; a normal build has nothing of it, not even the names.
 *
 * Put a point before and after each step that must not be lost or done twice: what is written to
 * disk, what is sent, what an answer changes. By the environment:
 *   MAILFS_FAULT=N        SIGKILL at the Nth point passed, counted from 1
 *   MAILFS_FAULT=NAME:N   at the Nth of the points whose name begins with NAME
 *   MAILFS_FAULT_LOG=FILE one line for each point that counts, with its name
 *   MAILFS_FAULT_ARM=FILE points count only while this file exists */
#pragma once

#include <glib.h>

#ifdef MAILFS_FAULTS
void fault_point(const char *name);
/* The name followed by what the point is about: the first word of a text, or two of "UID STORE". */
void fault_point_of(const char *name, const char *text, gsize size);
#else
#define fault_point(name) ((void)0)
#define fault_point_of(name, text, size) ((void)(text), (void)(size))
#endif
