/* SPDX-License-Identifier: MIT */
/*
 * What comes before a generation's rule, and is nearly the same in all of them:
 * userfaultfd, mappings that are never copied, zero pages, files, hugetlb; and
 * which rule then applies, the small pages' or the huge ones'.
 *
 * Invariant: only anonymous pages of private mappings reach a generation's rule.
 * Read in: mm/memory.c __handle_mm_fault, wp_huge_pmd, do_wp_page of 5.0 to 7.1;
 * mm/hugetlb.c hugetlb_wp of 7.1.
 */
#include "policy/rules.h"

/* The monitor hears of it first; the rule decides when it has let the write go. */
static bool uffd(struct ct_eval *ev, enum cowtrace_action when_async)
{
	enum cowtrace_truth wp = ct_flag(ev, COWTRACE_FIELD_UFFD_WP);
	enum cowtrace_truth async = ct_flag(ev, COWTRACE_FIELD_UFFD_ASYNC);

	if (wp == COWTRACE_NO && !ev->steps)
		return false;
	if (ct_when(ev, COWTRACE_FIELD_UFFD_WP, ct_and(wp, ct_not(async)), COWTRACE_RETRY,
		    COWTRACE_REASON_UFFD_WP_SYNC))
		return true;
	if (when_async == CT_GO_ON) {
		ct_eval_note(ev, COWTRACE_FIELD_UFFD_ASYNC, ct_and(wp, async), CT_GO_ON,
			     COWTRACE_REASON_UFFD_WP_ASYNC);
		return false;
	}
	return ct_when(ev, COWTRACE_FIELD_UFFD_ASYNC, ct_and(wp, async), when_async,
		       COWTRACE_REASON_UFFD_WP_ASYNC);
}

static bool when_flag(struct ct_eval *ev, enum cowtrace_field field, enum cowtrace_action action,
		      enum cowtrace_reason reason)
{
	return ct_when(ev, field, ct_flag(ev, field), action, reason);
}

static void hugetlb(struct ct_eval *ev)
{
	/* References do not count here, by design. */
	if (ct_when(ev, COWTRACE_FIELD_MAPCOUNT,
		    ct_above(ev, COWTRACE_FIELD_MAPCOUNT, ev->st->mapcount, 1), COWTRACE_COPY_HUGE,
		    COWTRACE_REASON_HUGETLB_SHARED))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_HUGETLB_EXCLUSIVE);
}

void ct_front_small(struct ct_eval *ev, const struct ct_rules *rules)
{
	if (uffd(ev, CT_GO_ON))
		return;
	if (when_flag(ev, COWTRACE_FIELD_SHARED, COWTRACE_REUSE, COWTRACE_REASON_SHARED_MAPPING))
		return;
	if (ct_flag(ev, COWTRACE_FIELD_HUGETLB) == COWTRACE_YES) {
		hugetlb(ev);
		return;
	}
	if (when_flag(ev, COWTRACE_FIELD_ZERO, COWTRACE_ALLOC_ZEROED, COWTRACE_REASON_ZERO_PAGE) ||
	    when_flag(ev, COWTRACE_FIELD_SPECIAL, COWTRACE_COPY, COWTRACE_REASON_SPECIAL_PFN) ||
	    when_flag(ev, COWTRACE_FIELD_FILE, COWTRACE_COPY, COWTRACE_REASON_PRIVATE_FILE))
		return;
	rules->small(ev);
}

static bool huge_zero(struct ct_eval *ev, const struct ct_rules *rules)
{
	enum cowtrace_truth zero = ct_flag(ev, COWTRACE_FIELD_ZERO);

	if (rules->zero_allocs && ct_when(ev, COWTRACE_FIELD_HUGE_ALLOC,
					  ct_and(zero, ct_flag(ev, COWTRACE_FIELD_HUGE_ALLOC)),
					  COWTRACE_ALLOC_ZEROED, COWTRACE_REASON_ZERO_HUGE))
		return true;
	return ct_when(ev, COWTRACE_FIELD_ZERO, zero, COWTRACE_SPLIT, COWTRACE_REASON_ZERO_SPLIT);
}

static void front_huge(struct ct_eval *ev, const struct ct_rules *rules)
{
	if (uffd(ev, COWTRACE_SPLIT))
		return;
	if (when_flag(ev, COWTRACE_FIELD_SHARED, COWTRACE_REUSE, COWTRACE_REASON_SHARED_MAPPING) ||
	    huge_zero(ev, rules) ||
	    when_flag(ev, COWTRACE_FIELD_FILE, COWTRACE_SPLIT, COWTRACE_REASON_FILE_HUGE))
		return;
	rules->huge(ev);
}

void ct_front_judge(struct ct_eval *ev, const struct ct_rules *rules)
{
	if (ct_flag(ev, COWTRACE_FIELD_PMD) == COWTRACE_YES &&
	    ct_flag(ev, COWTRACE_FIELD_HUGETLB) != COWTRACE_YES)
		front_huge(ev, rules);
	else
		ct_front_small(ev, rules);
}
