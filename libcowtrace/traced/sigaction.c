/* SPDX-License-Identifier: MIT */
/*
 * Dispositions of signals, our own signal's among them.
 *
 * Many programs set all signals to SIG_DFL: for ours that changes nothing.
 *
 * Invariant: sa_masks has the bit of each signal whose handler runs, as the
 * program sees it, with our signal blocked.
 */
#include <string.h>
#include <time.h>

#include "base/rawsys.h"
#include "channel/stacks.h"
#include "traced/perf.h"
#include "traced/shim.h"
#include "traced/sigaction.h"
#include "traced/sighandler.h"
#include "traced/thread.h"

/*
 * What the recorder was just about to ask has been asked; and how many times more
 * to wait for the answers, which a thread that is not scheduled gives late.
 */
#define IN_FLIGHT_NS 1000000
#define IN_FLIGHT_TRIES 50

static bool has_handler(void)
{
	const struct ct_shim *shim = ct_shim;

	return shim && shim->stack_signal;
}

static struct ct_slot *slot_of(const struct ct_self *self)
{
	return &self->seg->slots[self->slot];
}

/* Bit of a signal in sa_masks; 0: no such signal, or ours. */
static u64 bit_of(int sig)
{
	return sig >= 1 && sig <= 64 && sig != ct_sighandler_signal() ? 1ULL << (sig - 1) : 0;
}

/*
 * With the perf engine nobody can be asked to wait: a SIGTRAP on top of the program's
 * own handler might find no room on a small alternate stack.  So handlers that run on
 * one have it blocked.
 */
static bool holds_stack(const struct sigaction *act)
{
	return ct_sighandler_signal() == SIGTRAP && (act->sa_flags & SA_ONSTACK) &&
	       act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN;
}

/* Those that have it blocked for our sake, and not for the program's (in sigs). */
static void unhold_stacks(u64 sigs)
{
	const u64 bit = ct_sighandler_bit();
	struct ct_ksigaction act;
	int sig;

	for (sig = 1; ct_sighandler_signal() == SIGTRAP && sig <= 64; sig++) {
		if (sig == SIGTRAP || (sigs & 1ULL << (sig - 1)) ||
		    ct_ksigaction_call(sig, NULL, &act) || !(act.flags & SA_ONSTACK) ||
		    !(act.mask & bit))
			continue;
		act.mask &= ~bit;
		ct_ksigaction_call(sig, &act, NULL);
	}
}

/* What the program has set before comes true now. */
static void masks_become_real(struct ct_slot *slot)
{
	u64 sigs = atomic_exchange_explicit(&slot->sa_masks, 0, memory_order_relaxed);
	const u64 bit = ct_sighandler_bit();
	struct ct_ksigaction act;

	unhold_stacks(sigs);
	for (; sigs; sigs &= sigs - 1) {
		const int sig = __builtin_ctzll(sigs) + 1;

		if (ct_ksigaction_call(sig, NULL, &act))
			continue;
		act.mask |= bit;
		ct_ksigaction_call(sig, &act, NULL);
	}
	if (ct_thread_state.blocked) {
		ct_sys4(SYS_rt_sigprocmask, SIG_BLOCK, &bit, NULL, sizeof(bit));
		ct_thread_state.blocked = false;
	}
}

/* Some thread, of whatever process, has a signal of ours on its way. */
static bool is_asked_anywhere(struct ct_segment *seg)
{
	u32 i;

	for (i = 0; i < CT_SEG_STACKS; i++)
		if (atomic_load_explicit(&seg->stacks[i].state, memory_order_acquire) ==
		    CT_STACK_ASKED)
			return true;
	return false;
}

/* The program wants the signal for itself; none of ours may come to its handler. */
static void give_up(const struct ct_self *self)
{
	const struct timespec in_flight = { .tv_nsec = IN_FLIGHT_NS };
	struct ct_slot *slot = slot_of(self);
	u32 ok = CT_STACKS_OK, tries = 0;

	ct_perf_step_back(self, CT_BACK_SIGNAL);
	if (!atomic_compare_exchange_strong_explicit(&slot->no_stacks, &ok, CT_STACKS_TAKEN,
						     memory_order_acq_rel, memory_order_relaxed))
		return;
	do
		ct_sys2(SYS_nanosleep, &in_flight, NULL);
	while (is_asked_anywhere(self->seg) && ++tries < IN_FLIGHT_TRIES);
	masks_become_real(slot);
}

const struct sigaction *ct_sigaction_begin(struct ct_sigaction *call, int sig,
					   const struct sigaction *act)
{
	call->masked = false;
	call->ours =
		has_handler() && ct_self_get(&call->self) && !ct_sighandler_given_up(&call->self);
	if (!call->ours || !act)
		return act;
	if (sig == ct_sighandler_signal()) {
		if (act->sa_handler == SIG_DFL)
			return NULL;
		give_up(&call->self);
		return act;
	}
	call->masked = act->sa_mask.__val[0] & ct_sighandler_bit();
	if (!call->masked && !holds_stack(act))
		return act;
	call->act = *act;
	if (holds_stack(act))
		call->act.sa_mask.__val[0] |= ct_sighandler_bit();
	else
		call->act.sa_mask.__val[0] &= ~ct_sighandler_bit();
	return &call->act;
}

void ct_sigaction_end(const struct ct_sigaction *call, int sig, const struct sigaction *act,
		      struct sigaction *old)
{
	const u64 bit = bit_of(sig);
	struct ct_slot *slot;

	/* Also where we are not traced, as long as the handler is there. */
	if (old && sig == ct_sighandler_signal() && ct_sighandler_is((void *)old->sa_sigaction))
		memset(old, 0, sizeof(*old));
	if (!call->ours || !bit)
		return;
	slot = slot_of(&call->self);
	if (old && ct_sighandler_signal() == SIGTRAP)
		old->sa_mask.__val[0] &= ~ct_sighandler_bit();
	if (old && (atomic_load_explicit(&slot->sa_masks, memory_order_relaxed) & bit))
		old->sa_mask.__val[0] |= ct_sighandler_bit();
	if (act && call->masked)
		atomic_fetch_or_explicit(&slot->sa_masks, bit, memory_order_relaxed);
	else if (act)
		atomic_fetch_and_explicit(&slot->sa_masks, ~bit, memory_order_relaxed);
}

bool ct_sigaction_simple(int sig, void (*handler)(int))
{
	struct ct_self self;

	if (!has_handler() || handler == SIG_ERR || !ct_self_get(&self) ||
	    ct_sighandler_given_up(&self))
		return true;
	if (sig == ct_sighandler_signal()) {
		if (handler == SIG_DFL)
			return false;
		give_up(&self);
	} else if (bit_of(sig)) {
		atomic_fetch_and_explicit(&slot_of(&self)->sa_masks, ~bit_of(sig),
					  memory_order_relaxed);
	}
	return true;
}
