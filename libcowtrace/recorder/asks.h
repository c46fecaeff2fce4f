/* SPDX-License-Identifier: MIT */
/* What processes wait for: births, exits, execs, each in its turn. */
#ifndef CT_RECORDER_ASKS_H
#define CT_RECORDER_ASKS_H

#include "recorder/state.h"

struct ct_ask_waiting {
	u32 slot;
	u64 since_ns; /* when it was seen first */
	u64 clone_ns; /* of a birth */
	u32 ask;      /* CT_ASK_* */
};

/* Those whose turn has not come.  Zero-initialise. */
struct ct_asks {
	struct ct_ask_waiting births[512], others[512];
	u32 nr_births, nr_others;
};

/* Serves all whose turn it is. */
void ct_asks_serve(struct ct_rec_ctx *c, struct ct_asks *a);

/* Some wait for others: look again within a millisecond. */
static inline bool ct_asks_waiting(const struct ct_asks *a)
{
	return a->nr_births || a->nr_others;
}

#endif
