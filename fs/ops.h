/* ops.h: what the kernel asks for, as libfuse calls it. */
#pragma once

#include "fs.h"

extern const struct fuse_lowlevel_ops ops_table;
