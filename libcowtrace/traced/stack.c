/* SPDX-License-Identifier: MIT */
/*
 * Call stacks by libgcc's unwinder, linked into this library and hidden, so
 * that it cannot clash with the program's own.  GCC 12's finds the unwind tables
 * by _dl_find_object() of glibc 2.35, which takes no lock: dl_iterate_phdr()
 * would dead-lock with an allocator that maps memory under its own lock while
 * another thread is inside dlopen().
 *
 * Code that a JIT made has no tables here: the stack ends there.
 *
 * Invariant: beyond the frames that have unwind tables no memory is read, but
 * for the instruction at a return address (the unwinder looks whether it is a
 * signal trampoline).
 */
#include <unwind.h>

#include "traced/shim.h"
#include "traced/stack.h"

/* A frame larger than this is a stack that the tables do not describe. */
#define FRAME_MAX (64UL << 20)

struct walk {
	u64 *pcs;
	u32 nr, max;
	u32 frames; /* of any kind: a bound for corrupted stacks */
	u64 cfa;
	u64 text_start, text_end;
	bool handler; /* still in the frames of our own signal handler */
	bool leaf;    /* the next frame to be shown is what the signal interrupted */
};

static bool is_own(const struct walk *walk, u64 pc)
{
	return pc >= walk->text_start && pc < walk->text_end;
}

static _Unwind_Reason_Code put(struct walk *walk, u64 pc)
{
	walk->pcs[walk->nr++] = pc;
	return walk->nr == walk->max ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	int interrupted = 0;
	u64 pc = _Unwind_GetIPInfo(context, &interrupted);
	u64 cfa = _Unwind_GetCFA(context);
	bool leaf = walk->leaf;

	if (!pc || ++walk->frames > walk->max + 12)
		return _URC_END_OF_STACK;
	if (walk->handler) {
		/* The first frame that a signal has interrupted is the one we serve. */
		if (!interrupted)
			return _URC_NO_REASON;
		walk->handler = false;
		walk->cfa = cfa;
		if (is_own(walk, pc))
			return _URC_NO_REASON;
		walk->leaf = false;
		return put(walk, pc);
	}
	/* Callers lie higher; only a signal may have changed the stack. */
	if (walk->cfa && !interrupted && (cfa < walk->cfa || cfa - walk->cfa > FRAME_MAX))
		return _URC_END_OF_STACK;
	walk->cfa = cfa;
	if (is_own(walk, pc) && !interrupted)
		return _URC_NO_REASON;
	walk->leaf = false;
	if (leaf)
		return put(walk, interrupted ? pc : pc - 1);
	put(walk, pc + (interrupted ? 1 : 0));
	return walk->nr == walk->max || interrupted ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static u32 run(struct walk *walk)
{
	struct ct_shim *shim = ct_shim;

	if (shim) {
		walk->text_start = shim->text_start;
		walk->text_end = shim->text_end;
	}
	if (walk->max)
		_Unwind_Backtrace(visit, walk);
	return walk->nr;
}

u32 ct_stack_capture(u64 *ret_pcs, u32 max_pcs)
{
	struct walk walk = { .pcs = ret_pcs, .max = max_pcs };

	return run(&walk);
}

u32 ct_stack_capture_interrupted(u64 *ret_pcs, u32 max_pcs)
{
	struct walk walk = { .pcs = ret_pcs, .max = max_pcs, .handler = true, .leaf = true };

	return run(&walk);
}

void ct_stack_warm(void)
{
	u64 pcs[2];

	ct_stack_capture(pcs, 2);
}
