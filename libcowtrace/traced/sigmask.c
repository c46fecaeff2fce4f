/* SPDX-License-Identifier: MIT */
/*
 * The bit of our signal in the thread's mask, as the program sees it.
 *
 * Where the program uses the signal itself (CT_STACKS_TAKEN), masks are what the
 * program says; what was kept by us until then becomes true at the thread's next
 * call.  A vfork child keeps its bit in its parent's thread: programs that set
 * a mask there set it back afterwards.
 *
 * Invariant: unless the signal is taken, or somebody else has sent it to a thread
 * that the program has it blocked in, no thread that called through here blocks it.
 */
#include "base/rawsys.h"
#include "traced/probe.h"
#include "traced/shim.h"
#include "traced/sighandler.h"
#include "traced/sigmask.h"
#include "traced/thread.h"

static void block(int how)
{
	const u64 bit = ct_sighandler_bit();

	ct_sys4(SYS_rt_sigprocmask, how, &bit, NULL, sizeof(bit));
}

static bool has_handler(void)
{
	const struct ct_shim *shim = ct_shim;

	return shim && shim->stack_signal;
}

static bool is_taken(void)
{
	struct ct_self self;

	return ct_self_get(&self) && ct_sighandler_given_up(&self);
}

static bool contains(const sigset_t *set)
{
	return set->__val[0] & ct_sighandler_bit();
}

static const sigset_t *without(const sigset_t *set, sigset_t *copy)
{
	*copy = *set;
	copy->__val[0] &= ~ct_sighandler_bit();
	return copy;
}

const sigset_t *ct_sigmask_begin(struct ct_sigmask *mask, int how, const sigset_t *set)
{
	const bool was = ct_thread_state.blocked;

	mask->ours = false;
	if (!has_handler() || (!was && (!set || !contains(set))))
		return set;
	if (is_taken()) {
		if (was) {
			block(SIG_BLOCK);
			ct_thread_state.blocked = false;
		}
		return set;
	}
	mask->ours = true;
	mask->was = was;
	mask->becomes = was;
	if (!set)
		return NULL;
	if (how == SIG_SETMASK || contains(set))
		mask->becomes = how != SIG_UNBLOCK && contains(set);
	return how == SIG_UNBLOCK ? set : without(set, &mask->set);
}

void ct_sigmask_end(const struct ct_sigmask *mask, sigset_t *old)
{
	if (!mask->ours)
		return;
	if (old && mask->was)
		old->__val[0] |= ct_sighandler_bit();
	if (mask->becomes != mask->was)
		ct_thread_state.blocked = mask->becomes;
}

const sigset_t *ct_sigmask_for_wait(const sigset_t *set, sigset_t *copy)
{
	struct ct_probe probe = { 0 };

	if (!has_handler() || ct_shim->quiet || !set || !ct_probe_ok(&probe, set) ||
	    !contains(set) || is_taken())
		return set;
	/* The kernel reads 8 bytes of it, and so do we. */
	copy->__val[0] = set->__val[0] & ~ct_sighandler_bit();
	return copy;
}

bool ct_sigmask_real(void)
{
	if (!has_handler() || ct_shim->quiet || !ct_thread_state.blocked)
		return false;
	block(SIG_BLOCK);
	return true;
}

void ct_sigmask_unreal(void)
{
	block(SIG_UNBLOCK);
}
