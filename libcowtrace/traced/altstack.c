/* SPDX-License-Identifier: MIT */
/*
 * Pieces of stack, and who has them.  It knows nothing of signals.
 *
 * Who has a piece stands in the segment (stack_owners), so that no page of the
 * program is written to: 0, or -1 from the moment a creator has taken it until
 * its thread has come to life, or that thread's id.  A thread gives its piece
 * back when it returns from its start routine or calls pthread_exit(); one that
 * was cancelled is found to be dead when all pieces are in use.
 *
 * Invariant: a thread is in the table of threads only while it has an alternate
 * stack that our handler has room on.
 */
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/rawsys.h"
#include "channel/threads.h"
#include "traced/altstack.h"
#include "traced/perf.h"
#include "traced/probe.h"
#include "traced/sighandler.h"
#include "traced/thread.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* What a handler of the program may use of its own stack when ours comes on top. */
#define PROGRAM_HANDLER_LEN 4096u

__thread __attribute__((tls_model("initial-exec"))) struct ct_thread_state ct_thread_state;

#define FEW_PIECES 16u

/* A kernel that does not say how large its signal frame is has a small one. */
#define FRAME_LEN_MIN 2048u

/* The page above which a piece's stack lies stays PROT_NONE. */
#define STACK_LEN (CT_PIECE_LEN - CT_PAGE_SIZE - 64)

_Static_assert(sizeof(struct ct_thread_start) <= 64, "above the stack, in its first page");

/* Address space that is rationed is the program's: some threads must do then. */
static size_t nr_pieces(void)
{
	struct rlimit limit;

	if (ct_sys4(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return CT_STACK_PIECES;
	return FEW_PIECES;
}

void ct_altstack_reserve(struct ct_shim *shim)
{
	const size_t frame_len = getauxval(AT_MINSIGSTKSZ);
	const size_t len = nr_pieces() * CT_PIECE_LEN;
	long at = ct_sys6(SYS_mmap, 0, (long)len, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at < 0 && at > -4096)
		return;
	/* A huge page of stacks would be copied whole. */
	ct_sys3(SYS_madvise, at, len, MADV_NOHUGEPAGE);
	shim->stacks_start = (u64)at;
	shim->stacks_end = (u64)at + len;
	shim->stack_min_len = ct_max(frame_len, (size_t)FRAME_LEN_MIN) + CT_HANDLER_LEN;
	/* Theirs may be in use when a signal of ours comes on top of it. */
	shim->stack_nested_len = shim->stack_min_len + ct_max(frame_len, (size_t)FRAME_LEN_MIN) +
				 PROGRAM_HANDLER_LEN;
}

void ct_altstack_unreserve(struct ct_shim *shim)
{
	if (shim->stacks_start)
		ct_sys2(SYS_munmap, shim->stacks_start, shim->stacks_end - shim->stacks_start);
	shim->stacks_start = 0;
	shim->stacks_end = 0;
}

static stack_t stack_of(const struct ct_shim *shim, u32 piece)
{
	return (stack_t){
		.ss_sp = (void *)(shim->stacks_start + piece * CT_PIECE_LEN + CT_PAGE_SIZE),
		.ss_size = STACK_LEN,
	};
}

static struct ct_thread_start *start_of(const struct ct_shim *shim, u32 piece)
{
	return (void *)(shim->stacks_start + (piece + 1) * CT_PIECE_LEN - 64);
}

static bool is_ours(const struct ct_shim *shim, const void *at)
{
	return (u64)at >= shim->stacks_start && (u64)at < shim->stacks_end;
}

static bool make_accessible(const struct ct_shim *shim, u32 piece)
{
	const u64 at = shim->stacks_start + piece * CT_PIECE_LEN + CT_PAGE_SIZE;

	return !ct_sys3(SYS_mprotect, at, CT_PIECE_LEN - CT_PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void become_ready(struct ct_segment *seg, u32 slot, s32 tid)
{
	bool ready = !ct_thread_enter(seg, slot, tid);

	if (ct_thread_state.ready != ready)
		ct_thread_state.ready = ready;
}

static void be_ready_no_longer(struct ct_segment *seg, u32 slot, s32 tid)
{
	ct_thread_leave(seg, slot, tid);
	if (ct_thread_state.ready)
		ct_thread_state.ready = false;
}

/* May this thread be asked, with the stack that it has set now? */
static void settle(const struct ct_shim *shim, struct ct_segment *seg, u32 slot, s32 tid)
{
	bool ours;
	stack_t now;

	if (ct_sys2(SYS_sigaltstack, NULL, &now))
		return;
	ours = is_ours(shim, now.ss_sp);
	if ((now.ss_flags & SS_DISABLE) || (!ours && now.ss_size < shim->stack_min_len)) {
		be_ready_no_longer(seg, slot, tid);
		return;
	}
	become_ready(seg, slot, tid);
	if (!ours && now.ss_size < shim->stack_nested_len)
		ct_thread_avoid(seg, slot, tid, (u64)now.ss_sp, now.ss_size);
}

bool ct_altstack_main(const struct ct_shim *shim, u32 slot)
{
	const s32 tid = (s32)ct_sys0(SYS_gettid);
	const stack_t ours = stack_of(shim, 0);
	stack_t old;

	if (!shim->stacks_start || ct_sys2(SYS_sigaltstack, NULL, &old))
		return false;
	memset(shim->seg->stack_owners[slot], 0, sizeof(shim->seg->stack_owners[slot]));
	/* Another library's constructor has come before: its stack stays. */
	if (!(old.ss_flags & SS_DISABLE)) {
		settle(shim, shim->seg, slot, tid);
		return old.ss_size >= shim->stack_min_len;
	}
	if (!make_accessible(shim, 0) || ct_sys2(SYS_sigaltstack, &ours, NULL))
		return false;
	atomic_store_explicit(&shim->seg->stack_owners[slot][0], tid, memory_order_relaxed);
	ct_thread_state.piece = 1;
	become_ready(shim->seg, slot, tid);
	return true;
}

void ct_altstack_born(struct ct_segment *seg, u32 slot, s32 tid)
{
	const struct ct_thread_state *me = &ct_thread_state;

	memset(seg->stack_owners[slot], 0, sizeof(seg->stack_owners[slot]));
	if (me->piece)
		atomic_store_explicit(&seg->stack_owners[slot][me->piece - 1], tid,
				      memory_order_relaxed);
	if (me->ready)
		settle(ct_shim, seg, slot, tid);
}

static bool is_dead(s32 tid)
{
	return ct_sys3(SYS_tgkill, ct_sys0(SYS_getpid), tid, 0) == -ESRCH;
}

/* A piece that nobody has, or whose thread has died; -1: all are in use. */
static s32 piece_claim(const struct ct_self *self)
{
	const u32 nr = (u32)((ct_shim->stacks_end - ct_shim->stacks_start) / CT_PIECE_LEN);
	_Atomic s32 *owners = self->seg->stack_owners[self->slot];
	u32 i, pass;

	for (pass = 0; pass < 2; pass++)
		for (i = 0; i < nr; i++) {
			s32 owner = atomic_load_explicit(&owners[i], memory_order_relaxed);

			if ((owner && (!pass || owner < 0 || !is_dead(owner))) ||
			    !atomic_compare_exchange_strong(&owners[i], &owner, -1))
				continue;
			if (owner)
				ct_thread_end(self->seg, self->slot, owner);
			return (s32)i;
		}
	return -1;
}

static void piece_free(const struct ct_self *self, u32 piece)
{
	atomic_store_explicit(&self->seg->stack_owners[self->slot][piece], 0, memory_order_release);
}

struct ct_thread_start *ct_altstack_offer(const struct ct_self *self, void *fn, void *arg)
{
	const struct ct_shim *shim = ct_shim;
	struct ct_thread_start *start;
	s32 piece;

	if (!shim->stack_signal || ct_sighandler_given_up(self))
		return NULL;
	piece = piece_claim(self);
	if (piece < 0)
		return NULL;
	if (!make_accessible(shim, (u32)piece)) {
		piece_free(self, (u32)piece);
		return NULL;
	}
	start = start_of(shim, (u32)piece);
	start->fn = fn;
	start->arg = arg;
	start->blocked = ct_thread_state.blocked;
	return start;
}

static u32 piece_of(const struct ct_shim *shim, const void *at)
{
	return (u32)(((u64)at - shim->stacks_start) / CT_PIECE_LEN);
}

void ct_altstack_withdraw(struct ct_thread_start *start)
{
	struct ct_self self;

	if (ct_self_get(&self))
		piece_free(&self, piece_of(ct_shim, start));
}

void ct_altstack_take(struct ct_thread_start *start)
{
	const struct ct_shim *shim = ct_shim;
	const u64 signal = ct_sighandler_bit();
	struct ct_self self;
	stack_t ours;
	u64 mask = 0;
	u32 piece;

	/* Attributes may set a mask, with which the thread begins. */
	ct_thread_state.blocked = start->blocked;
	if (!ct_self_get(&self))
		return;
	piece = piece_of(shim, start);
	ours = stack_of(shim, piece);
	atomic_store_explicit(&self.seg->stack_owners[self.slot][piece], self.tid,
			      memory_order_relaxed);
	ct_thread_state.piece = (u16)(piece + 1);
	if (ct_sighandler_given_up(&self))
		return;
	ct_sys4(SYS_rt_sigprocmask, SIG_UNBLOCK, &signal, &mask, sizeof(mask));
	if (mask & signal)
		ct_thread_state.blocked = true;
	if (!ct_sys2(SYS_sigaltstack, &ours, NULL))
		become_ready(self.seg, self.slot, self.tid);
}

void ct_altstack_leave(void)
{
	const stack_t none = { .ss_flags = SS_DISABLE };
	const struct ct_shim *shim = ct_shim;
	struct ct_self self;
	stack_t now;

	if (!ct_thread_state.piece || !ct_self_get(&self))
		return;
	ct_thread_end(self.seg, self.slot, self.tid);
	if (ct_thread_state.ready)
		ct_thread_state.ready = false;
	/* A handler of the program on our stack that calls pthread_exit(): it stays in use. */
	if (ct_sys2(SYS_sigaltstack, NULL, &now) || (now.ss_flags & SS_ONSTACK))
		return;
	if (is_ours(shim, now.ss_sp))
		ct_sys2(SYS_sigaltstack, &none, NULL);
	piece_free(&self, ct_thread_state.piece - 1u);
	ct_thread_state.piece = 0;
}

/* Both ends; a bad pointer is the kernel's to refuse. */
static bool readable(const stack_t *ss)
{
	struct ct_probe probe = { 0 };

	return ct_probe_ok(&probe, ss) && ct_probe_ok(&probe, (const char *)(ss + 1) - 1);
}

static void note_change(const struct ct_shim *shim)
{
	struct ct_self self;

	/* A vfork child has its own stack and its parent's memory. */
	if (ct_self_get(&self))
		settle(shim, self.seg, self.slot, self.tid);
}

int ct_altstack_call(const stack_t *new, stack_t *old)
{
	const struct ct_shim *shim = ct_shim;
	stack_t set;
	int ret;

	if (new &&readable(new)) {
		set = *new;
		if ((set.ss_flags & SS_DISABLE) && ct_thread_state.piece)
			set = stack_of(shim, ct_thread_state.piece - 1u);
		/* The kernel's signal comes unasked: there must be room for it. */
		if (!(set.ss_flags & SS_DISABLE) && set.ss_size < shim->stack_min_len)
			ct_perf_step_back_now(CT_BACK_STACK);
		ret = (int)ct_sys2(SYS_sigaltstack, &set, old);
		if (!ret)
			note_change(shim);
	} else {
		ret = (int)ct_sys2(SYS_sigaltstack, new, old);
	}
	/* The kernel has written to it. */
	if (!ret && old && is_ours(shim, old->ss_sp))
		*old = (stack_t){ .ss_flags = SS_DISABLE };
	return ret;
}
