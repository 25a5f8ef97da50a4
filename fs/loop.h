/* loop.h: /dev/fuse as a source of the main loop. */
#pragma once

#include "fs.h"

/* Dispatches requests from now on, a bounded number in each turn; quits fs->loop when the kernel has
 * unmounted. Returns the source's id. */
guint loop_attach(Fs *fs);
