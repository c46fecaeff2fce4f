/* SPDX-License-Identifier: MIT */
/*
 * First writes on their way from the engine to the trace: which fork each belongs
 * to, which call site made it, and what the kernel then did.
 *
 * All of it belongs to the serving thread.  A write is kept until its stack has
 * come back and the page tells what became of it; at the latest it is settled
 * when the side of the fork that it belongs to is closed.
 */
#ifndef CT_RECORDER_WRITES_H
#define CT_RECORDER_WRITES_H

#include "recorder/engine.h"
#include "recorder/state.h"

/* One address space that the engine watches. */
struct ct_watch {
	struct ct_watch *next;			   /* of those with like numbers (watches.h) */
	struct ct_watch *next_unborn, **unborn_at; /* unborn_at NULL: it is not in the list */
	u64 made_ns;				   /* CLOCK_MONOTONIC, of the fork that made it */
	u32 ctx;				   /* the engine's id */
	s32 pid;				   /* 0: a child that has not said a word */
	int uffd;				   /* the serving thread's own descriptor of it */
	struct ct_proc *proc;			   /* NULL: not born yet, or ended */
	u32 process;				   /* its id, kept beyond its end */
	u32 birth_fork;				   /* 0: none, or not counted */
	u64 born_ns; /* CLOCK_MONOTONIC, when it was ready to be asked for stacks */
	u32 nr_fork_pcs;
	u64 fork_pcs[CT_SITE_PCS]; /* of the fork that made it, leaf first */
	bool ended;
	u32 nr_pending;		/* writes that lead here */
	struct ct_armed *armed; /* what the last arming covered; NULL: nothing is */
	u64 idle_ns;		/* since when it has no relative; 0: it has, or is not armed */
	u32 lift_range;		/* how far the lifting has come */
	u64 lift_at;
	/* Its forks as the engine has seen them; the oldest ones are forgotten. */
	u32 old_epochs, old_fork; /* how many; the newest of these that was counted, or 0 */
	struct ct_epoch {
		u32 child; /* context; 0: it is not watched */
		u32 fork;  /* 0: not counted */
		bool settled;
		u32 site; /* where fork() was called */
		u64 t_ns;
	} * epochs;
	u32 nr_epochs, cap_epochs;
};

struct ct_writes;

/* 0 or -ENOMEM.  The engine stays the caller's. */
int ct_writes_create(struct ct_engine *engine, struct ct_writes **ret);
void ct_writes_destroy(struct ct_writes *w);

/* A process has sent its userfaultfd: prepares it and has it served.  Owns fd. */
void ct_writes_watch(struct ct_rec_ctx *c, struct ct_proc *p, int fd);

/* Takes in what the engine has seen; cheap, also in the middle of a reading. */
void ct_writes_ingest(struct ct_rec_ctx *c);
/* Ingests, and tells what can be told. */
void ct_writes_run(struct ct_rec_ctx *c, u64 now);
/* When ct_writes_run() has something to do again: CLOCK_MONOTONIC, or UINT64_MAX. */
u64 ct_writes_due(const struct ct_rec_ctx *c);

/*
 * p is about to be closed with this reading (NULL: it could not be read): tells all
 * of its writes before its fork number max_epoch (UINT32_MAX: all).
 */
void ct_writes_settle(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_image *now,
		      u32 max_epoch);

struct ct_birth_word {
	u32 fork; /* its id; 0: not counted */
	u64 born_ns;
	const u64 *pcs; /* where fork() was called */
	u32 nr_pcs;
	const struct ct_image *at_clone; /* what the parent had at the clone */
};

/* Writes of this side of p's that the engine's queue had no room for. */
u64 ct_writes_lost(struct ct_rec_ctx *c, const struct ct_proc *p, u32 fork, enum ct_side side);

/* The child is a process now. */
void ct_writes_born(struct ct_rec_ctx *c, struct ct_proc *parent, struct ct_proc *child,
		    const struct ct_birth_word *birth);
/* p is about to be forgotten. */
void ct_writes_ended(struct ct_rec_ctx *c, struct ct_proc *p);

/* Takes protection off what has had no relative for c->linger_ns.  True: did something. */
bool ct_writes_lift(struct ct_rec_ctx *c, u64 now);

/* What became of the copied pages of a side, by reason; [CT_SITE_KNOWN]: attributed. */
struct ct_attribution {
	struct ct_rec_ctx *c;
	struct ct_share *share;
	u64 pages[CT_NO_SITE_NR];
};
/* ct_compare.copied */
void ct_attribution_add(void *arg, u64 src, u64 page, size_t region);
/* All are added: those of p that the recorder itself had no time for are counted as such. */
void ct_attribution_blame(struct ct_rec_ctx *c, const struct ct_proc *p, struct ct_attribution *a);
void ct_attribution_tell(struct ct_rec_ctx *c, const struct ct_attribution *a);

#endif
