/* SPDX-License-Identifier: MIT */
/*
 * Places for stacks.  It sends no signal and unwinds nothing.
 *
 * Invariant: what the recorder collects was published under the ticket that it
 * asks for.
 */
#include <errno.h>
#include <string.h>

#include "channel/stacks.h"

static struct ct_stack *place_of(struct ct_segment *seg, u64 ticket)
{
	return &seg->stacks[ticket & (CT_SEG_STACKS - 1)];
}

int ct_stack_ask(struct ct_segment *seg, u64 *next, u64 pc, u64 sp, u64 *ret_ticket)
{
	const u64 ticket = (*next)++;
	struct ct_stack *stack = place_of(seg, ticket);

	/* The next ask tries the next place: one that stays taken must not stop them all. */
	if (atomic_load_explicit(&stack->state, memory_order_acquire) != CT_STACK_FREE)
		return -ENOSPC;
	stack->nr_pcs = 0;
	stack->pc = pc;
	stack->sp = sp;
	atomic_store_explicit(&stack->ticket, ticket, memory_order_relaxed);
	atomic_store_explicit(&stack->state, CT_STACK_ASKED, memory_order_release);
	*ret_ticket = ticket;
	return 0;
}

void ct_stack_refuse(struct ct_segment *seg, u64 ticket)
{
	u32 state = CT_STACK_ASKED;

	atomic_compare_exchange_strong(&place_of(seg, ticket)->state, &state, CT_STACK_LATE);
}

struct ct_stack *ct_stack_take(struct ct_segment *seg, u64 ticket, u64 pc, u64 sp)
{
	struct ct_stack *stack = place_of(seg, ticket);
	u32 state = CT_STACK_ASKED;
	bool here;

	if (atomic_load_explicit(&stack->state, memory_order_acquire) != CT_STACK_ASKED ||
	    atomic_load_explicit(&stack->ticket, memory_order_relaxed) != ticket)
		return NULL;
	here = stack->pc == pc && stack->sp == sp;
	if (!atomic_compare_exchange_strong_explicit(&stack->state, &state,
						     here ? CT_STACK_RUNNING : CT_STACK_LATE,
						     memory_order_acq_rel, memory_order_relaxed))
		return NULL;
	return here ? stack : NULL;
}

void ct_stack_done(struct ct_stack *stack, u64 ticket, u32 nr_pcs)
{
	u32 state = CT_STACK_RUNNING;

	if (atomic_load_explicit(&stack->ticket, memory_order_relaxed) != ticket)
		return;
	stack->nr_pcs = nr_pcs;
	atomic_compare_exchange_strong_explicit(&stack->state, &state, CT_STACK_DONE,
						memory_order_release, memory_order_relaxed);
}

void ct_stack_drop(struct ct_segment *seg, u64 ticket)
{
	struct ct_stack *stack = place_of(seg, ticket);

	if (atomic_load_explicit(&stack->ticket, memory_order_relaxed) == ticket)
		atomic_store_explicit(&stack->state, CT_STACK_FREE, memory_order_release);
}

enum ct_stack_answer ct_stack_collect(struct ct_segment *seg, u64 ticket, u64 *ret_pcs, u32 *ret_nr)
{
	struct ct_stack *stack = place_of(seg, ticket);
	u32 state = atomic_load_explicit(&stack->state, memory_order_acquire);

	if (state == CT_STACK_ASKED || state == CT_STACK_RUNNING)
		return CT_STACK_PENDING;
	*ret_nr = 0;
	if (state == CT_STACK_DONE) {
		*ret_nr = ct_min(stack->nr_pcs, CT_STACK_PCS);
		memcpy(ret_pcs, stack->pcs, *ret_nr * sizeof(*ret_pcs));
	}
	ct_stack_drop(seg, ticket);
	return state == CT_STACK_DONE ? CT_STACK_ANSWERED : CT_STACK_MOVED_ON;
}
