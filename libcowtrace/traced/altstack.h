/* SPDX-License-Identifier: MIT */
/*
 * Alternate stacks for our signal handler: pieces of one range, which the
 * recorder knows and does not protect.
 *
 * A thread gets one when it has none set: the first in the constructor, others
 * from the wrapper of pthread_create().  What a program's own SA_ONSTACK handler
 * would have run on its thread's normal stack now runs on a piece: 252 KiB, with
 * a page below that cannot be touched.
 *
 * Nothing here touches errno.
 */
#ifndef CT_TRACED_ALTSTACK_H
#define CT_TRACED_ALTSTACK_H

#include <signal.h>

#include "traced/self.h"
#include "traced/shim.h"

/* Address space only; a page of memory is there when it has been used. */
#define CT_PIECE_LEN (256UL << 10)

/* Maps the range and fills shim->stacks_*; without room they stay 0. */
void ct_altstack_reserve(struct ct_shim *shim);
void ct_altstack_unreserve(struct ct_shim *shim);

/* The constructor's thread.  False: no handler may be installed. */
bool ct_altstack_main(const struct ct_shim *shim, u32 slot);

/* A forked child, in its slot: goes on with the stack of the thread that forked. */
void ct_altstack_born(struct ct_segment *seg, u32 slot, s32 tid);

/* What a new thread begins with.  It lies in the thread's piece, above the stack. */
struct ct_thread_start {
	void *fn; /* the start routine, of whichever type the caller's library has */
	void *arg;
	bool blocked; /* the program has our signal in the creating thread's mask */
};

/* NULL: not traced, no handler, or no piece left; then the thread runs without. */
struct ct_thread_start *ct_altstack_offer(const struct ct_self *self, void *fn, void *arg);
/* The thread has not been created. */
void ct_altstack_withdraw(struct ct_thread_start *start);

/* In the new thread; *start is not valid any longer. */
void ct_altstack_take(struct ct_thread_start *start);

/*
 * The thread is about to end.  A thread that is cancelled does not come here:
 * its piece is found when all are in use.
 */
void ct_altstack_leave(void);

/* The program's sigaltstack(): 0 or -errno, *old as if ours were not there. */
int ct_altstack_call(const stack_t *new, stack_t *old);

#endif
