/* SPDX-License-Identifier: MIT */
/*
 * A fork's counts where the recording has many files: what belongs to the running one
 * is what came since it began.
 */
#ifndef CT_RECORDER_PORTION_H
#define CT_RECORDER_PORTION_H

#include "recorder/state.h"

/* A side as it was looked at: since the fork, whatever the file. */
struct ct_portion_look {
	struct ct_tally sum;
	struct ct_tally *regions; /* one more than the fork has; NULL: never looked at */
	u64 who[CT_NO_SITE_NR];
};

/* Enough of a process to name it when it has gone. */
struct ct_portion_proc {
	u32 id;
	s32 pid;
	char comm[16];
	u64 start_ns;
};

struct ct_portion {
	struct ct_rec row; /* CT_REC_FORK; its phase is the one below */
	char phase[CT_TAG_NAME];
	struct ct_portion_proc proc[2]; /* enum ct_side */
	struct ct_portion_look now[2], base[2];
	struct ct_tally told[2]; /* in the running file */
	u64 told_attributed[2];
	enum ct_side_end why[2]; /* of a side that is closed */
	u32 mark;		 /* rotation.c's own */
};

/* For the fork that was told by `row`.  NULL: no memory, and it is told as in one file. */
struct ct_portion *ct_portion_create(const struct ct_rec *row, const struct ct_proc *parent,
				     const struct ct_proc *child);
void ct_portion_destroy(struct ct_portion *p); /* NULL is fine */

/*
 * A side was looked at: sum, the tallies of its `nr` regions and one more, and who
 * wrote (NULL: not known) become those of the running file.
 */
void ct_portion_cut(struct ct_portion *p, enum ct_side side, u32 nr, struct ct_tally *sum,
		    struct ct_tally *tallies, u64 *who);

/* Pages of a region that this side shared no more when the running file began. */
u64 ct_portion_gone(const struct ct_portion *p, enum ct_side side, u32 region);

/* What is told from here on is told to another file. */
void ct_portion_next(struct ct_portion *p, u32 nr);

#endif
