/* SPDX-License-Identifier: MIT */
/* A recorder whose heart stands still: is it stuck? */
#ifndef CLI_WAITS_H
#define CLI_WAITS_H

#include <sys/types.h>

#include "channel/segment.h"

/*
 * True: it stands in the kernel, for the memory of a process that clones itself, which
 * ends by itself.  One that was stopped stands nowhere in the kernel.
 */
bool ct_waits_for_clone(const struct ct_segment *seg, pid_t recorder);

#endif
