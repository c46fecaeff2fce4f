/* SPDX-License-Identifier: MIT */
/* The address spaces that the engine watches, as the serving thread knows them. */
#ifndef CT_RECORDER_WATCHES_H
#define CT_RECORDER_WATCHES_H

#include "recorder/writes.h"

#define CT_WATCH_BUCKETS 1024u

/* Zero-initialise. */
struct ct_watches {
	struct ct_watch *buckets[CT_WATCH_BUCKETS]; /* by the engine's id */
	struct ct_watch *unborn;		    /* newest first */
	u64 swept_ns;
};

void ct_watches_fini(struct ct_watches *ws);

/* NULL: no memory (fd stays the caller's).  Owns fd otherwise. */
struct ct_watch *ct_watch_create(struct ct_watches *ws, u32 ctx, int fd);
void ct_watch_free(struct ct_watches *ws, struct ct_watch *w);
struct ct_watch *ct_watch_of(const struct ct_watches *ws, u32 ctx);

/* What CT_SEEN_FORK and a write's epoch tell. */
void ct_watch_forked(struct ct_watches *ws, const struct ct_seen *s);
void ct_watch_epochs_reach(struct ct_watch *w, u32 epoch, u64 t_ns);

/* Fork number n of w; NULL: not heard of, or long forgotten. */
struct ct_epoch *ct_watch_epoch(const struct ct_watch *w, u32 n);
/* Number of the fork that made this context (0: of one that nobody could watch); 0: none. */
u32 ct_watch_epoch_of_child(const struct ct_watch *w, u32 child);

/* A child that has been seen to have this pid, and was not born yet. */
struct ct_watch *ct_watch_unborn(const struct ct_watches *ws, s32 pid);
void ct_watch_is_born(struct ct_watch *w);
/* Now and then: those that died unborn are marked as ended; calls gone() of each. */
void ct_watches_sweep(struct ct_watches *ws, u64 now, void (*gone)(void *arg, struct ct_watch *w),
		      void *arg);

#endif
