/* SPDX-License-Identifier: MIT */
/* A message with a descriptor beside it, by raw system calls. */
#ifndef CT_TRACED_PASS_H
#define CT_TRACED_PASS_H

#include "base/base.h"

/* fd < 0: none goes with it; it is not closed.  0, or -errno.  Async-signal-safe. */
int ct_pass_send(int sock, const void *msg, size_t len, int fd);

#endif
