/* SPDX-License-Identifier: MIT */
/*
 * The evaluation's slow side: set-up, and notes of conditions that may hold or
 * that somebody wants to see.  Knows no rule.
 *
 * Invariant: ref_floor <= ref_lo <= ref_hi, and the true count is within.
 */
#include "policy/eval.h"

/* Entries that map the folio: each holds a reference. */
static u32 mappings(const struct cowtrace_page_state *st)
{
	if ((st->known & COWTRACE_BIT(COWTRACE_FIELD_ORDER)) && st->order > 0 &&
	    (st->known & COWTRACE_BIT(COWTRACE_FIELD_LARGE_MAPCOUNT)))
		return st->large_mapcount;
	if (st->known & COWTRACE_BIT(COWTRACE_FIELD_MAPCOUNT))
		return st->mapcount;
	return 1;
}

void ct_eval_init(struct ct_eval *ev, const struct cowtrace_page_state *st,
		  struct cowtrace_step *steps)
{
	ev->st = st;
	ev->may_actions = 0;
	ev->may_order = 0;
	ev->action = COWTRACE_RETRY;
	ev->reason = COWTRACE_REASON_NONE;
	ev->steps = steps;
	ev->nr_steps = 0;
	ev->ref_field = COWTRACE_FIELD_REFCOUNT;
	ev->ref_floor = mappings(st);
	if (ct_flag(ev, COWTRACE_FIELD_SWAPCACHE) == COWTRACE_YES)
		ev->ref_floor += ct_nr_pages(ev);
	if (ct_known(ev, COWTRACE_FIELD_REFCOUNT)) {
		ev->ref_lo = ev->ref_hi = st->refcount;
		ev->ref_floor = ct_min(ev->ref_floor, st->refcount);
		return;
	}
	ev->ref_lo = ev->ref_floor;
	ev->ref_hi = CT_REF_MAX;
}

#define F(name) COWTRACE_BIT(COWTRACE_FIELD_##name)

/* The other inputs of the conditions that are named after a field. */
static const u32 companions[COWTRACE_NR_FIELDS] = {
	[COWTRACE_FIELD_SWAPCACHE] = F(KSM),
	[COWTRACE_FIELD_LOCKED] = F(SWAPCACHE),
	[COWTRACE_FIELD_WRITEBACK] = F(SWAPCACHE),
	[COWTRACE_FIELD_STABLE] = F(SWAPCACHE) | F(WRITEBACK),
	[COWTRACE_FIELD_KSM_STABLE] = F(KSM) | F(RACED),
	[COWTRACE_FIELD_UFFD_WP] = F(UFFD_ASYNC),
	[COWTRACE_FIELD_UFFD_ASYNC] = F(UFFD_WP),
	[COWTRACE_FIELD_HUGE_ALLOC] = F(ZERO),
	[COWTRACE_FIELD_REFCOUNT] =
		F(KSM) | F(SWAPCACHE) | F(LRU) | F(LRU_LOCAL) | F(LARGE_MAPCOUNT),
	[COWTRACE_FIELD_SWAPCOUNT] = F(SWAPCACHE),
	[COWTRACE_FIELD_LARGE_MAPCOUNT] = F(ENTIRE_MAPCOUNT),
	[COWTRACE_FIELD_OWN_MAPCOUNT] = F(LARGE_MAPCOUNT),
};

/* A condition is named after one input; the unknown one may be another. */
static enum cowtrace_field unknown_of(const struct ct_eval *ev, enum cowtrace_field field)
{
	u32 missing = companions[field] & ~ev->st->known;

	if (field == COWTRACE_FIELD_REFCOUNT && !ct_known(ev, ev->ref_field))
		return ev->ref_field;
	return ct_known(ev, field) ? (u32)__builtin_ctz(missing) : field;
}

static u32 seen(const struct ct_eval *ev, enum cowtrace_field field)
{
	/* The count as the rule sees it now: a drain may have lowered it. */
	if (field == COWTRACE_FIELD_REFCOUNT)
		return ev->ref_lo == ev->ref_hi ? ev->ref_lo : 0;
	return cowtrace_page_state_get(ev->st, field);
}

void ct_eval_note(struct ct_eval *ev, enum cowtrace_field field, enum cowtrace_truth truth,
		  enum cowtrace_action action, enum cowtrace_reason reason)
{
	if (ev->steps)
		ev->steps[ev->nr_steps++] = (struct cowtrace_step){
			.reason = reason,
			.action = action,
			.truth = truth,
			.field = field,
			.value = seen(ev, field),
		};
	if (truth != COWTRACE_MAYBE || action == CT_GO_ON)
		return;
	if (ev->may_actions & (1U << action))
		return;
	ev->may_actions |= 1U << action;
	/* Position and field in one number: the smallest is the first. */
	ev->may_fields[action] = ev->may_order++ << 8 | unknown_of(ev, field);
}
