/* SPDX-License-Identifier: MIT */
/* The inside of the perf engine's half in the recorder, for its own files. */
#ifndef CT_RECORDER_FAULTS_INT_H
#define CT_RECORDER_FAULTS_INT_H

#include "recorder/faults.h"
#include "recorder/perf_events.h"

/* Events of children that have not been born here yet. */
#define CT_FAULTS_UNBORN 256u

/* A fault that was told and has not been judged. */
struct ct_fault_pending {
	u64 page, t_ns; /* t_ns: CLOCK_MONOTONIC */
	u64 moved;	/* pages that anything else had moved when it was taken in */
	u32 slot, generation;
	u16 nr_pcs, flags;
	bool placed; /* fork, side and src are known */
	enum ct_side side;
	u32 fork;
	u64 src; /* page in the fork's image */
	u64 pcs[CT_SITE_PCS];
};

struct ct_faults {
	struct ct_perf_events events;
	struct ct_perf_sent unborn[CT_FAULTS_UNBORN];
	u32 nr_unborn;
	struct ct_fault_reader reader;
	struct ct_fault_pending *v; /* in the order of the ring */
	u32 nr, cap;
	u64 next_ns;
	u64 skipped_told;
};

/* faults_events.c: takes in what has been sent; the event of a child that is born now. */
void ct_faults_receive(struct ct_rec_ctx *c);
void ct_faults_claim(struct ct_rec_ctx *c, struct ct_proc *child);

/* faults_judge.c */
/*
 * What the kernel did with it; RETRY: not to be told yet.  img: as in ct_faults_settle();
 * last: nothing more will be learned by waiting.
 */
enum cowtrace_action ct_faults_judge(struct ct_rec_ctx *c, const struct ct_proc *p,
				     const struct ct_share *s, const struct ct_fault_pending *f,
				     const struct ct_image *img, bool last, bool *ret_whole);

#endif
