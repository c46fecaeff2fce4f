/* SPDX-License-Identifier: MIT */
/*
 * How a rule is evaluated: a straight line of ct_when(), each "if this holds,
 * that happens".  A condition on an unknown input is MAYBE: the rule goes on as
 * if it did not hold, and remembers what would have happened.  At the end, if
 * every way leads to the same action, the verdict is certain although inputs
 * were not; else it is UNCERTAIN and names the first input that would decide.
 *
 * The reference count is an interval, because userspace can bound it (mappings
 * and the swap cache hold one each) but not read it.
 */
#ifndef CT_POLICY_EVAL_H
#define CT_POLICY_EVAL_H

#include <cowtrace/policy.h>

#include "base/base.h"

#define CT_REF_MAX UINT32_MAX
/* A step that notes something and never ends the rule. */
#define CT_GO_ON COWTRACE_NR_ACTIONS

struct ct_eval {
	const struct cowtrace_page_state *st;
	u32 ref_lo, ref_hi;	       /* the reference count lies in here, both included */
	u32 ref_floor;		       /* mappings and swap cache: never below */
	enum cowtrace_field ref_field; /* what would narrow it */
	/* remembered of the conditions that may hold */
	u32 may_actions;		     /* 1 << action */
	u32 may_fields[COWTRACE_NR_ACTIONS]; /* first field + 1 by action */
	u32 may_order;
	enum cowtrace_action action;
	enum cowtrace_reason reason;
	struct cowtrace_step *steps; /* NULL: nobody asked how */
	size_t nr_steps;
};

void ct_eval_init(struct ct_eval *ev, const struct cowtrace_page_state *st,
		  struct cowtrace_step *steps);
void ct_eval_note(struct ct_eval *ev, enum cowtrace_field field, enum cowtrace_truth truth,
		  enum cowtrace_action action, enum cowtrace_reason reason);

static inline bool ct_known(const struct ct_eval *ev, enum cowtrace_field f)
{
	return ev->st->known & COWTRACE_BIT(f);
}

static inline enum cowtrace_truth ct_flag(const struct ct_eval *ev, enum cowtrace_field f)
{
	if (!ct_known(ev, f))
		return COWTRACE_MAYBE;
	return ev->st->flags & COWTRACE_BIT(f) ? COWTRACE_YES : COWTRACE_NO;
}

static inline enum cowtrace_truth ct_not(enum cowtrace_truth a)
{
	return a == COWTRACE_MAYBE ? a : (a == COWTRACE_NO ? COWTRACE_YES : COWTRACE_NO);
}

static inline enum cowtrace_truth ct_and(enum cowtrace_truth a, enum cowtrace_truth b)
{
	if (a == COWTRACE_NO || b == COWTRACE_NO)
		return COWTRACE_NO;
	return a == COWTRACE_YES && b == COWTRACE_YES ? COWTRACE_YES : COWTRACE_MAYBE;
}

static inline enum cowtrace_truth ct_or(enum cowtrace_truth a, enum cowtrace_truth b)
{
	return ct_not(ct_and(ct_not(a), ct_not(b)));
}

/* Is a number above @n? */
static inline enum cowtrace_truth ct_above(const struct ct_eval *ev, enum cowtrace_field f, u32 val,
					   u32 n)
{
	if (!ct_known(ev, f))
		return COWTRACE_MAYBE;
	return val > n ? COWTRACE_YES : COWTRACE_NO;
}

static inline enum cowtrace_truth ct_ref_above(const struct ct_eval *ev, u32 n)
{
	if (ev->ref_lo > n)
		return COWTRACE_YES;
	return ev->ref_hi <= n ? COWTRACE_NO : COWTRACE_MAYBE;
}

/* A large folio that is not hugetlb's; unknown order counts as small. */
static inline bool ct_is_large(const struct ct_eval *ev)
{
	return ct_known(ev, COWTRACE_FIELD_ORDER) && ev->st->order > 0;
}

static inline u32 ct_nr_pages(const struct ct_eval *ev)
{
	return ct_is_large(ev) ? 1U << ev->st->order : 1;
}

/* True: the rule ends here with @action. */
static inline bool ct_when(struct ct_eval *ev, enum cowtrace_field field, enum cowtrace_truth truth,
			   enum cowtrace_action action, enum cowtrace_reason reason)
{
	if (ct_unlikely(ev->steps || truth == COWTRACE_MAYBE))
		ct_eval_note(ev, field, truth, action, reason);
	if (truth != COWTRACE_YES)
		return false;
	ev->action = action;
	ev->reason = reason;
	return true;
}

/* The last line of a rule. */
static inline void ct_else(struct ct_eval *ev, enum cowtrace_action action,
			   enum cowtrace_reason reason)
{
	ev->action = action;
	ev->reason = reason;
}

/* @n references go if @truth; where it may be, only the lower bound moves. */
static inline void ct_ref_drop(struct ct_eval *ev, u32 n, enum cowtrace_truth truth)
{
	if (truth == COWTRACE_YES)
		ev->ref_floor -= ct_min(n, ev->ref_floor);
	ev->ref_lo -= ct_min(n, ev->ref_lo - ev->ref_floor);
	if (truth == COWTRACE_YES && ev->ref_hi != CT_REF_MAX)
		ev->ref_hi -= ct_min(n, ev->ref_hi);
}

#endif
