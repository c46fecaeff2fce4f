/* SPDX-License-Identifier: MIT */
/*
 * A fork, seen from both sides.
 *
 * The parent claims a slot for the child before the clone and leaves in it who
 * forks, from where and when.  The child finds the slot's number in memory that
 * the clone has copied (its stack, or a thread variable), enters its pid, and
 * asks to be read.  The parent never waits.
 *
 * fork() runs the atfork handlers, _Fork() and clone() do not; daemon(),
 * forkpty() and their like run the handlers and pass by every wrapper.  So the
 * handlers do the work where no wrapper has begun it.
 *
 * All of it is async-signal-safe and leaves errno alone.
 */
#ifndef CT_TRACED_FORKHOOK_H
#define CT_TRACED_FORKHOOK_H

#include "base/base.h"

struct ct_fork {
	s32 slot;	/* the child's; -1: this fork is not traced */
	u32 parent;	/* the forking process's slot */
	u32 generation; /* of the child's slot: another one is not ours any more */
	u32 state;	/* forkhook.c */
	s32 saved_errno;
	u64 clone_ns; /* the slot may be another one's when the clone returns */
};

/* A wrapper begins a fork.  how: CT_HOW_*.  Call ct_fork_stamp() last. */
void ct_fork_begin(struct ct_fork *fork, u32 how);

/* The clone is the next thing that happens. */
void ct_fork_stamp(struct ct_fork *fork);

/* In the child, first of all; the second call for the same fork does nothing. */
void ct_fork_born(struct ct_fork *fork);

/* In the parent: the clone returned ret (a pid, or -errno). */
void ct_fork_done(const struct ct_fork *fork, s32 ret);

/*
 * The same for fork(), whose handlers run in between: the fork is kept where
 * they find it.  Returns a handle for ct_fork_leave().
 */
u32 ct_fork_enter(u32 how);

/* After fork() has returned ret (0: this is the child; else a pid or -errno). */
void ct_fork_leave(u32 handle, s32 ret);

/* Registers the atfork handlers; in the constructor, once. */
void ct_forkhook_register(void);

#endif
