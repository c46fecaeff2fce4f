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
};

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *arg)
{
	struct walk *walk = arg;
	int interrupted = 0;
	u64 pc = _Unwind_GetIPInfo(context, &interrupted);
	u64 cfa = _Unwind_GetCFA(context);

	if (!pc || ++walk->frames > CT_SITE_PCS + 12)
		return _URC_END_OF_STACK;
	/* Callers lie higher; only a signal may have changed the stack. */
	if (walk->cfa && !interrupted && (cfa < walk->cfa || cfa - walk->cfa > FRAME_MAX))
		return _URC_END_OF_STACK;
	walk->cfa = cfa;
	if (pc >= walk->text_start && pc < walk->text_end && !interrupted)
		return _URC_NO_REASON;
	walk->pcs[walk->nr++] = pc + (interrupted ? 1 : 0);
	return walk->nr == walk->max || interrupted ? _URC_END_OF_STACK : _URC_NO_REASON;
}

u32 ct_stack_capture(u64 *ret_pcs, u32 max_pcs)
{
	struct ct_shim *shim = ct_shim;
	struct walk walk = { .pcs = ret_pcs, .max = max_pcs };

	if (shim) {
		walk.text_start = shim->text_start;
		walk.text_end = shim->text_end;
	}
	if (max_pcs)
		_Unwind_Backtrace(visit, &walk);
	return walk.nr;
}

void ct_stack_warm(void)
{
	u64 pcs[2];

	ct_stack_capture(pcs, 2);
}
