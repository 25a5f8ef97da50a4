/* ops.h: what the kernel asks for, as libfuse calls it. */
#pragma once

#include "fs.h"

/* Extended attributes only if the user wants them: to be asked for them costs two messages a file.
 */
struct fuse_lowlevel_ops ops_table(const Config *config);
