/* loop.h: /dev/fuse as a source of the main loop. */
#pragma once

#include "fs.h"

/* Dispatches requests from now on, a bounded number in each turn; quits fs->loop when the kernel
 * has unmounted. */
void loop_attach(Fs *fs);
void loop_detach(Fs *fs); /* before the session is unmounted and its descriptor another one's */
