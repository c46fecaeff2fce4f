/* SPDX-License-Identifier: MIT */
/* How processes leave. */
#ifndef CT_RECORDER_LEAVE_H
#define CT_RECORDER_LEAVE_H

#include "recorder/state.h"

/* Serve what a process asked before it exits, or execs; they answer the ask. */
void ct_leave_exit(struct ct_rec_ctx *c, struct ct_proc *p);
void ct_leave_exec(struct ct_rec_ctx *c, struct ct_proc *p);

/* The exec that p asked to be read for has failed: it goes on as before. */
void ct_leave_stays(struct ct_rec_ctx *c, struct ct_proc *p);

/* A new image of the same pid has said HELLO: p is over.  p is freed. */
void ct_leave_replaced(struct ct_rec_ctx *c, struct ct_proc *p);

/* The kernel said at told_ns that p has gone.  p may be freed. */
void ct_leave_gone(struct ct_rec_ctx *c, struct ct_proc *p, u64 told_ns);

/* Execs that went to a program that did not attach: found out, and said. */
void ct_leave_check_execs(struct ct_rec_ctx *c, u64 now);

/* Processes without a pidfd, and those kept for a child's sake. */
void ct_leave_sweep(struct ct_rec_ctx *c, u64 now);

#endif
