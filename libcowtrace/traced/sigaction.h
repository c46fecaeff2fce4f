/* SPDX-License-Identifier: MIT */
/*
 * The program's sigaction() and signal(), as if our handler were not there.
 *
 * Handlers get masks without our signal, and the program is told what it has set.
 * A handler of the program's own for our signal, or SIG_IGN, ends ours: from
 * then on it has no stacks (CT_STACKS_TAKEN).
 *
 * Nothing here touches errno.
 */
#ifndef CT_TRACED_SIGACTION_H
#define CT_TRACED_SIGACTION_H

#include <signal.h>

#include "traced/self.h"

struct ct_sigaction {
	struct ct_self self;
	bool ours; /* there is a handler of ours to be hidden, and a slot to remember in */
	struct sigaction act;
	bool masked;
};

/* What to pass on: act, or call->act, or NULL where the kernel is to change nothing. */
const struct sigaction *ct_sigaction_begin(struct ct_sigaction *call, int sig,
					   const struct sigaction *act);

/* The call has succeeded; act and old are the program's. */
void ct_sigaction_end(const struct ct_sigaction *call, int sig, const struct sigaction *act,
		      struct sigaction *old);

/* signal() and its like.  False: it is done, and what was there is SIG_DFL. */
bool ct_sigaction_simple(int sig, void (*handler)(int));

#endif
