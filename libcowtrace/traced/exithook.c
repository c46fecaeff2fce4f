/* SPDX-License-Identifier: MIT */
/*
 * The end of a process.
 *
 * exit() runs its handlers in reverse, and the first that libc itself registers
 * (before main) is the one that runs the destructors of all libraries.  Ours is
 * registered by the constructor, before that: it runs when all destructors are
 * done and only stdio's last flush is left.  A destructor of this library would
 * run among the first.  No DSO handle, or our own finalizer would run it early.
 *
 * Invariant: at most one CT_ASK_EXIT per slot.
 */
#include "channel/ask.h"
#include "traced/exithook.h"
#include "traced/self.h"
#include "traced/shim.h"
#include "traced/stack.h"

void ct_exit_now(void)
{
	struct ct_self self;
	struct ct_slot *slot;
	u32 flags;

	if (!ct_self_get(&self))
		return;
	slot = &self.seg->slots[self.slot];
	flags = atomic_fetch_or_explicit(&slot->flags, CT_SLOT_EXITING, memory_order_acq_rel);
	if (flags & CT_SLOT_EXITING) {
		ct_ask_join(self.seg, self.slot);
		return;
	}
	ct_ask_join(self.seg, self.slot); /* an exec in another thread */
	slot->tid = self.tid;
	slot->sp = (u64)__builtin_frame_address(0);
	slot->tp = ct_thread_pointer();
	ct_ask(self.seg, self.slot, CT_ASK_EXIT);
}

static void at_exit(void *unused)
{
	ct_exit_now();
}

void ct_exithook_register(void)
{
	int (*cxa_atexit)(void (*)(void *), void *, void *) = ct_next_find(CT_NEXT___cxa_atexit);
	int (*cxa_at_quick_exit)(void (*)(void *), void *) =
		ct_next_find(CT_NEXT___cxa_at_quick_exit);

	if (cxa_atexit)
		cxa_atexit(at_exit, NULL, NULL);
	if (cxa_at_quick_exit)
		cxa_at_quick_exit(at_exit, NULL);
}
