/* SPDX-License-Identifier: MIT */
/*
 * Forks: claiming, birth, and what the parent says afterwards.
 *
 * What passes from parent to child over a fork() lies in a thread variable,
 * since libc's handlers have no argument.  It is a small stack: a signal handler
 * may fork while this thread stands between prepare and clone.
 *
 * Two processes can come out of one prepared fork: a signal handler forks in
 * the middle of it, and its child returns into the fork and goes on.  Then the
 * slot belongs to the first one's child, and the other claims its own at birth.
 *
 * Invariant: a slot goes from CLAIMED to LIVE by one process only (a swap), and
 * only if it still has the generation it was claimed with.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/slot.h"
#include "traced/altstack.h"
#include "traced/forkhook.h"
#include "traced/guard.h"
#include "traced/perf.h"
#include "traced/self.h"
#include "traced/shim.h"
#include "traced/sighandler.h"
#include "traced/stack.h"

enum {
	FORK_NONE = 0,
	FORK_BEGINNING, /* the place is taken, the slot not known yet */
	FORK_WRAPPED,	/* begun by the fork() wrapper; the handlers have not run */
	FORK_STAMPED,	/* the same; prepare has run */
	FORK_INTERNAL,	/* begun by the handlers themselves */
};

#define DEPTH_MAX 4u
#define ARM_TRIES 8u

/*
 * Initial-exec: no allocation at first use.  It lies in the page of the thread
 * control block, which a fork writes to in any case.
 */
static __thread __attribute__((tls_model("initial-exec"))) struct {
	u32 depth;
	struct ct_fork at[DEPTH_MAX];
} pending;

/* NULL: not traced (any more).  To be asked once per function: it may change. */
static struct ct_segment *segment(void)
{
	const struct ct_shim *shim = __atomic_load_n(&ct_shim, __ATOMIC_ACQUIRE);

	return shim && !shim->quiet ? shim->seg : NULL;
}

/* Prepared, and not known to be over: the clone has not returned in the parent. */
static bool under_way(const struct ct_fork *fork)
{
	struct ct_segment *seg = segment();
	const struct ct_slot *slot;

	if (fork->state == FORK_BEGINNING)
		return true;
	if (fork->state == FORK_NONE || fork->slot < 0 || !seg)
		return false;
	slot = &seg->slots[fork->slot];
	return slot->generation == fork->generation &&
	       !atomic_load_explicit(&slot->parent_ns, memory_order_relaxed);
}

/*
 * A new place on top.  What is over is found to be so here, and not taken away
 * by the parent when its clone returns: that would write to a page which it has
 * just begun to share with the child, and copy it, for each fork.
 */
static u32 push(void)
{
	u32 at = ct_min(pending.depth, DEPTH_MAX);

	while (at && !under_way(&pending.at[at - 1]))
		at--;
	if (at == DEPTH_MAX) /* handlers have left by longjmp: begin anew */
		at = 0;
	pending.at[at].state = FORK_BEGINNING;
	/* A signal handler that forks from here on pushes above. */
	atomic_signal_fence(memory_order_seq_cst);
	pending.depth = at + 1;
	atomic_signal_fence(memory_order_seq_cst);
	return at;
}

static struct ct_fork *top(void)
{
	return pending.depth && pending.depth <= DEPTH_MAX ? &pending.at[pending.depth - 1] : NULL;
}

/* The parent's clone has returned: another fork is on top only if this one was nested. */
static void pop_in_parent(u32 at)
{
	if (at)
		pending.depth = at;
}

static void pop_in_child(u32 at)
{
	pending.at[at].state = FORK_NONE;
	atomic_signal_fence(memory_order_seq_cst);
	pending.depth = at;
}

static void report_loss(const struct ct_self *self, u64 why, u64 slot)
{
	struct ct_event ev = { .type = CT_EV_LOSS, .arg = why, .arg2 = slot };

	ct_event_now(self, &ev, CT_SITE_NONE);
}

/*
 * No signal handler forks in the middle of our accounts: its child would go on
 * in there with the identity of its parent.  Microseconds; never over a wait.
 */
static u64 signals_hold(void)
{
	/* Ours comes all the same: it forks nothing, and its stack is wanted. */
	const u64 all = ~ct_sighandler_bit();
	u64 old = 0;

	ct_sys4(SYS_rt_sigprocmask, SIG_BLOCK, &all, &old, sizeof(all));
	return old;
}

static void signals_release(u64 old)
{
	ct_sys4(SYS_rt_sigprocmask, SIG_SETMASK, &old, NULL, sizeof(old));
}

/* A forked child has its parent's handlers and huge pages; another thread's exec does not concern
 * it. */
static void inherit_handler(struct ct_slot *child, struct ct_slot *parent)
{
	u32 no_stacks = atomic_load_explicit(&parent->no_stacks, memory_order_relaxed);

	child->stack_signal = parent->stack_signal;
	atomic_store_explicit(&child->sa_masks,
			      atomic_load_explicit(&parent->sa_masks, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&child->no_stacks,
			      no_stacks == CT_STACKS_EXEC ? CT_STACKS_OK : no_stacks,
			      memory_order_relaxed);
	atomic_fetch_or_explicit(&child->flags,
				 atomic_load_explicit(&parent->flags, memory_order_relaxed) &
					 CT_SLOT_HUGE,
				 memory_order_relaxed);
	atomic_store_explicit(&child->stepped_back,
			      atomic_load_explicit(&parent->stepped_back, memory_order_relaxed),
			      memory_order_relaxed);
}

static void begin(struct ct_fork *fork, u32 how)
{
	struct ct_self self;
	struct ct_slot *slot;
	u64 t0;
	int idx;

	if (!ct_self_get(&self))
		return;
	t0 = ct_now_ns();
	/* A dead recorder frees no slots: leave them. */
	if (!ct_self_recorded(&self, t0))
		return;
	idx = ct_slot_claim(self.seg, how, self.slot);
	if (idx < 0) {
		report_loss(&self, CT_LOSS_NO_SLOT, 0);
		return;
	}
	slot = &self.seg->slots[idx];
	slot->phase =
		atomic_load_explicit(&self.seg->slots[self.slot].phase_now, memory_order_relaxed);
	atomic_store_explicit(&slot->phase_now, slot->phase, memory_order_relaxed);
	slot->nr_pcs = ct_stack_capture(slot->pcs, CT_SITE_PCS);
	slot->tid = self.tid;
	inherit_handler(slot, &self.seg->slots[self.slot]);
	/* Not an older fork's, for what is drained before ours is stamped. */
	atomic_store_explicit(&self.seg->slots[self.slot].fork_began_ns, t0, memory_order_relaxed);
	atomic_fetch_add_explicit(&self.seg->slots[self.slot].forks_begun, 1, memory_order_release);
	fork->parent = self.slot;
	fork->generation = slot->generation;
	slot->prepare_ns = (u32)(ct_now_ns() - t0);
	fork->slot = idx;
}

void ct_fork_begin(struct ct_fork *fork, u32 how)
{
	u64 signals;

	fork->slot = -1;
	if (!segment())
		return;
	signals = signals_hold();
	begin(fork, how);
	signals_release(signals);
}

/*
 * Not in the child of a signal handler that has returned into its parent's fork:
 * the child's slot is still to be that parent's.
 */
static bool prepared_here(struct ct_segment *seg, const struct ct_fork *fork)
{
	return atomic_load_explicit(&seg->slots[fork->parent].pid, memory_order_relaxed) ==
	       (s32)ct_sys0(SYS_getpid);
}

/*
 * Has the recorder protect this process's memory.  Another thread may be asking
 * for something: after it.
 */
static void arm(struct ct_segment *seg, u32 slot)
{
	u32 i;

	for (i = 0; i < ARM_TRIES && ct_ask(seg, slot, CT_ASK_ARM) == -EBUSY; i++)
		ct_ask_join(seg, slot);
}

/* Quiet, its child will not be traced; but what it has shared is still asked for. */
static void arm_quietly(void)
{
	const struct ct_shim *shim = __atomic_load_n(&ct_shim, __ATOMIC_ACQUIRE);

	if (shim && shim->quiet && shim->uffd && shim->seg && shim->quiet_slot >= 0)
		ct_ask(shim->seg, (u32)shim->quiet_slot, CT_ASK_ARM);
}

void ct_fork_stamp(struct ct_fork *fork)
{
	struct ct_segment *seg = segment();
	u64 now;

	/* Not even the clock where nothing is traced: it may be a system call. */
	if (fork->slot < 0 || !seg) {
		arm_quietly();
		return;
	}
	fork->clone_ns = ct_now_ns();
	now = fork->clone_ns;
	if (ct_shim->uffd) {
		arm(seg, fork->parent);
		/* From here on a write to memory of the program is a fault: none but the stack. */
		now = ct_now_ns();
		if (!prepared_here(seg, fork))
			return;
		seg->slots[fork->slot].prepare_ns += (u32)(now - fork->clone_ns);
	} else if (ct_shim->perf && prepared_here(seg, fork)) {
		ct_perf_before_fork(seg, fork->parent, (u32)fork->slot);
		now = ct_now_ns();
		if (!prepared_here(seg, fork))
			return;
		seg->slots[fork->slot].prepare_ns += (u32)(now - fork->clone_ns);
	}
	seg->slots[fork->slot].clone_ns = now;
	atomic_store_explicit(&seg->slots[fork->parent].fork_began_ns, now, memory_order_relaxed);
}

/*
 * The slot that this child takes.  Its own parent is the one that prepared the
 * fork, or that one's child out of a signal handler (see above): then a slot of
 * its own, with what is known.
 */
static int slot_for_birth(struct ct_segment *seg, const struct ct_fork *fork)
{
	int real = ct_slot_of_pid(seg, (s32)ct_sys0(SYS_getppid));
	struct ct_slot *from = &seg->slots[fork->slot];
	struct ct_slot *slot;
	int idx;

	if (real < 0 || (u32)real == fork->parent || seg->slots[real].parent_slot != fork->parent)
		return fork->slot;
	idx = ct_slot_claim(seg, from->how, (u32)real);
	if (idx < 0)
		return idx;
	slot = &seg->slots[idx];
	slot->phase = from->phase;
	atomic_store_explicit(&slot->phase_now, from->phase, memory_order_relaxed);
	slot->nr_pcs = ct_min(from->nr_pcs, CT_SITE_PCS);
	memcpy(slot->pcs, from->pcs, sizeof(slot->pcs));
	inherit_handler(slot, from);
	atomic_store_explicit(&slot->watched,
			      atomic_load_explicit(&from->watched, memory_order_relaxed),
			      memory_order_relaxed);
	slot->clone_ns = ct_now_ns();
	return idx;
}

/* Goes untraced for good, it and its children: their pids mean something else. */
static void leave_other_namespace(struct ct_segment *seg, const struct ct_fork *fork)
{
	struct ct_self parent = { .seg = seg, .slot = fork->parent };

	report_loss(&parent, CT_LOSS_PIDNS, (u64)fork->slot);
	ct_slot_unclaim(seg, (u32)fork->slot, fork->generation);
	ct_guard_detach();
}

static bool become_live(struct ct_segment *seg, u32 idx, s32 pid)
{
	struct ct_slot *slot = &seg->slots[idx];
	const struct ct_self parent = { .seg = seg, .slot = slot->parent_slot };
	u32 state = CT_SLOT_CLAIMED;

	slot->tid = (s32)ct_sys0(SYS_gettid);
	slot->sp = (u64)__builtin_frame_address(0);
	slot->tp = ct_thread_pointer();
	slot->born_ns = ct_now_ns();
	if (ct_slot_bind_pid(seg, idx, pid)) {
		report_loss(&parent, CT_LOSS_NO_SLOT, idx);
		ct_slot_free(seg, idx);
		return false;
	}
	if (atomic_compare_exchange_strong_explicit(&slot->state, &state, CT_SLOT_LIVE,
						    memory_order_acq_rel, memory_order_relaxed))
		return true;
	ct_slot_unbind_pid(seg, idx);
	return false;
}

/* Makes this child live; its slot, or -1 where it goes untraced. */
static int be_born(struct ct_segment *seg, const struct ct_fork *fork)
{
	struct ct_slot *slot = &seg->slots[fork->slot];
	s32 pid = (s32)ct_sys0(SYS_getpid);
	int idx;

	if (pid == 1 &&
	    atomic_load_explicit(&seg->slots[fork->parent].pid, memory_order_relaxed) != 1) {
		leave_other_namespace(seg, fork);
		return -1;
	}
	idx = slot_for_birth(seg, fork);
	if (idx < 0)
		return -1;
	if (idx == fork->slot &&
	    (slot->generation != fork->generation ||
	     atomic_load_explicit(&slot->state, memory_order_acquire) != CT_SLOT_CLAIMED))
		return -1;
	return become_live(seg, (u32)idx, pid) ? idx : -1;
}

void ct_fork_born(struct ct_fork *fork)
{
	struct ct_segment *seg = segment();
	u64 signals;
	int idx;

	if (fork->slot < 0 || !seg)
		return;
	signals = signals_hold();
	idx = be_born(seg, fork);
	fork->slot = -1; /* once; it is our own copy */
	if (idx >= 0 && seg->slots[idx].stack_signal)
		ct_altstack_born(seg, (u32)idx, seg->slots[idx].tid);
	if (idx >= 0)
		ct_perf_born(seg, (u32)idx);
	signals_release(signals);
	/* What it wrote up to here it could not be asked about: fork() did. */
	if (idx >= 0) {
		seg->slots[idx].born_ns = ct_now_ns();
		ct_ask(seg, (u32)idx, CT_ASK_BIRTH);
	}
}

/*
 * The child's slot, as long as it is: a parent that is stopped right after the
 * clone comes back to one that has seen other processes since.
 */
static struct ct_slot *slot_of(struct ct_segment *seg, const struct ct_fork *fork)
{
	struct ct_slot *slot = &seg->slots[fork->slot];

	return slot->generation == fork->generation ? slot : NULL;
}

/* In the parent, as soon as may be: the end of the fork's window.  When it was. */
static u64 parent_back(struct ct_segment *seg, const struct ct_fork *fork)
{
	struct ct_slot *slot = slot_of(seg, fork);
	u64 ns = slot ? atomic_load_explicit(&slot->parent_ns, memory_order_relaxed) : 0;

	if (ns)
		return ns;
	ns = ct_now_ns();
	if (slot && prepared_here(seg, fork))
		atomic_store_explicit(&slot->parent_ns, ns, memory_order_release);
	return ns;
}

static void settle(const struct ct_fork *fork, s32 ret, u64 back_ns)
{
	struct ct_event ev = {
		.type = CT_EV_FORK,
		.t_ns = fork->clone_ns,
		.arg = (u64)fork->slot,
		.arg2 = (u64)(s64)ret,
		.arg3 = back_ns - fork->clone_ns,
	};
	struct ct_slot *slot;
	struct ct_self self;

	/* Not the one that prepared it, but the child of a signal handler in it? */
	if (!ct_self_get(&self) || self.slot != fork->parent)
		return;
	slot = slot_of(self.seg, fork);
	if (slot) {
		atomic_store_explicit(&slot->parent_ret, ret, memory_order_release);
		/* Our own is older than the arming, which comes before the clone. */
		ev.t_ns = slot->clone_ns;
		ev.arg3 = back_ns - ev.t_ns;
	}
	ev.dur_ns = (u32)ct_min(ev.arg3, (u64)UINT32_MAX);
	if (ret < 0)
		ct_slot_unclaim(self.seg, (u32)fork->slot, fork->generation);
	ct_event_now(&self, &ev, CT_SITE_NONE);
	atomic_fetch_add_explicit(&self.seg->slots[self.slot].forks_done, 1, memory_order_release);
}

void ct_fork_done(const struct ct_fork *fork, s32 ret)
{
	struct ct_segment *seg = segment();
	u64 signals, back_ns;

	if (fork->slot < 0 || !seg)
		return;
	back_ns = parent_back(seg, fork);
	signals = signals_hold();
	settle(fork, ret, back_ns);
	signals_release(signals);
}

u32 ct_fork_enter(u32 how)
{
	u32 at = push();

	ct_fork_begin(&pending.at[at], how);
	atomic_signal_fence(memory_order_seq_cst);
	pending.at[at].state = FORK_WRAPPED;
	return at;
}

void ct_fork_leave(u32 handle, s32 ret)
{
	struct ct_fork *fork = &pending.at[handle];

	if (ret == 0) {
		ct_fork_born(fork); /* where the handlers did not */
		pop_in_child(handle);
	} else {
		ct_fork_done(fork, ret);
		pop_in_parent(handle);
	}
}

static void prepare(void)
{
	struct ct_fork *fork = top();

	if (fork && fork->state == FORK_WRAPPED) {
		fork->state = FORK_STAMPED;
		ct_fork_stamp(fork);
		return;
	}
	fork = &pending.at[push()];
	ct_fork_begin(fork, CT_HOW_FORK);
	if (fork->slot >= 0) {
		/*
		 * The parent's handler runs after a failed clone too, and nobody tells
		 * it.  errno does: libc's _Fork() sets it when it fails and only then.
		 */
		fork->saved_errno = errno;
		errno = 0;
	}
	atomic_signal_fence(memory_order_seq_cst);
	fork->state = FORK_INTERNAL;
	ct_fork_stamp(fork);
}

static void in_parent(void)
{
	struct ct_segment *seg = segment();
	const struct ct_fork *fork = top();
	int err = errno;

	if (!fork)
		return;
	if (fork->state == FORK_STAMPED && fork->slot >= 0 && seg)
		parent_back(seg, fork);
	if (fork->state != FORK_INTERNAL)
		return;
	if (fork->slot >= 0) {
		/* 0 for a pid that only the child knows. */
		ct_fork_done(fork, -err);
		if (!err && fork->saved_errno)
			errno = fork->saved_errno;
	}
	pop_in_parent(pending.depth - 1);
}

static void in_child(void)
{
	struct ct_fork *fork = top();
	bool traced;

	if (!fork || fork->state < FORK_WRAPPED)
		return;
	traced = fork->slot >= 0;
	ct_fork_born(fork);
	if (fork->state != FORK_INTERNAL)
		return;
	if (traced)
		errno = fork->saved_errno;
	pop_in_child(pending.depth - 1);
}

void ct_forkhook_register(void)
{
	int (*register_atfork)(void (*)(void), void (*)(void), void (*)(void), void *) =
		ct_next_find(CT_NEXT___register_atfork);

	/* No DSO handle: they stay until the end. */
	if (register_atfork)
		register_atfork(prepare, in_parent, in_child, NULL);
}
