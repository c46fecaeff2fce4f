/* SPDX-License-Identifier: MIT */
/*
 * The ends of processes that were read for their exit.  Nobody waits for the word
 * that they have gone: it is asked for when there is other work, all of them at
 * once, and a server's hundreds of short children wake nobody by their ends.
 */
#ifndef CT_RECORDER_REAP_H
#define CT_RECORDER_REAP_H

#include "recorder/state.h"

/* p has had its last reading: from now on we ask, instead of being told. */
void ct_reap_add(struct ct_rec_ctx *c, struct ct_proc *p);

/* p is not to be asked about any more; nothing where it was not added. */
void ct_reap_forget(struct ct_rec_ctx *c, struct ct_proc *p);

/* Asks about all of them: those that have gone are ended, and may be freed. */
void ct_reap_look(struct ct_rec_ctx *c, u64 now);

/* When to look at the latest, where there is nothing else to do; UINT64_MAX: never. */
static inline u64 ct_reap_due(const struct ct_rec_ctx *c)
{
	return c->reap.nr ? c->reap.due_ns : UINT64_MAX;
}

#endif
