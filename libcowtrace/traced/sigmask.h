/* SPDX-License-Identifier: MIT */
/*
 * The program's signal masks, with our signal never in them: a thread that
 * blocks everything is asked for its stack all the same.  What the program has
 * set it is told again: one bit a thread (thread.h), one a signal (sa_masks).
 *
 * sigsetjmp() and the like save the kernel's mask: what a jump restores is right
 * for the kernel, the thread's bit may then be older than that.
 *
 * Nothing here touches errno, but where it says so.
 */
#ifndef CT_TRACED_SIGMASK_H
#define CT_TRACED_SIGMASK_H

#include <signal.h>

#include "traced/self.h"

/* A call that changes the thread's mask: begin, call with what it returns, end. */
struct ct_sigmask {
	sigset_t set; /* without our signal */
	bool ours;    /* the bit is kept by us */
	bool was, becomes;
};

const sigset_t *ct_sigmask_begin(struct ct_sigmask *mask, int how, const sigset_t *set);

/* The call has succeeded; old may be NULL. */
void ct_sigmask_end(const struct ct_sigmask *mask, sigset_t *old);

/*
 * A mask for the time of a wait (sigsuspend, ppoll, ...): the program's own, or
 * *copy without our signal.  NULL and what cannot be read stay what they are.
 */
const sigset_t *ct_sigmask_for_wait(const sigset_t *set, sigset_t *copy);

/*
 * What another image inherits: the program's mask in truth.  True: our signal is
 * blocked now, and ct_sigmask_unreal() must undo it where this image goes on.
 */
bool ct_sigmask_real(void);
void ct_sigmask_unreal(void);

#endif
