/* SPDX-License-Identifier: MIT */
/* Programs that were started by a traced one and did not attach. */
#ifndef CT_RECORDER_STRAYS_H
#define CT_RECORDER_STRAYS_H

#include "recorder/state.h"

/*
 * Notes why the program that runs as pid (or, when it has gone, the one at path)
 * is not traced, once for each program.  process: the id of the one that ran it.
 */
void ct_strays_explain(struct ct_rec_ctx *c, u32 process, s32 pid, const char *path);

/* Looks at what was started by vfork and posix_spawn a moment ago. */
void ct_strays_check(struct ct_rec_ctx *c, u64 now);

#endif
