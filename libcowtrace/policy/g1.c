/* SPDX-License-Identifier: MIT */
/*
 * G1, Linux to 5.0: a page is reused when nothing else maps it.  References of
 * other kinds (get_user_pages, vmsplice, O_DIRECT) are not looked at: the hole
 * of CVE-2020-29374.  The counting is reuse_swap_page()'s, and stays the huge
 * page's rule until 5.17.
 *
 * Invariant: a contended lock is waited for; it is never a reason to copy.
 * Read in: 5.0.1 mm/memory.c do_wp_page, mm/swapfile.c reuse_swap_page,
 * mm/huge_memory.c do_huge_pmd_wp_page.
 */
#include "policy/rules.h"

/*
 * Entries and swap entries of the page that are not this one; in a huge page,
 * of its busiest page.  True: shared, and the rule ended with COPY.
 */
static bool counts(struct ct_eval *ev)
{
	const struct cowtrace_page_state *st = ev->st;
	enum cowtrace_truth cached = ct_flag(ev, COWTRACE_FIELD_SWAPCACHE);

	if (ct_is_large(ev))
		return ct_when(ev, COWTRACE_FIELD_MAX_MAPCOUNT,
			       ct_above(ev, COWTRACE_FIELD_MAX_MAPCOUNT, st->max_mapcount, 1),
			       COWTRACE_COPY, COWTRACE_REASON_MAPCOUNT_SHARED);
	if (ct_when(ev, COWTRACE_FIELD_MAPCOUNT,
		    ct_above(ev, COWTRACE_FIELD_MAPCOUNT, st->mapcount, 1), COWTRACE_COPY,
		    COWTRACE_REASON_MAPCOUNT_SHARED))
		return true;
	return ct_when(ev, COWTRACE_FIELD_SWAPCOUNT,
		       ct_and(cached, ct_above(ev, COWTRACE_FIELD_SWAPCOUNT, st->swapcount, 0)),
		       COWTRACE_COPY, COWTRACE_REASON_SWAPCOUNT_SHARED);
}

/* A device that checksums what it writes must not see the page change. */
static bool stable_writeback(struct ct_eval *ev)
{
	enum cowtrace_truth busy = ct_and(ct_flag(ev, COWTRACE_FIELD_SWAPCACHE),
					  ct_flag(ev, COWTRACE_FIELD_WRITEBACK));

	return ct_when(ev, COWTRACE_FIELD_STABLE, ct_and(busy, ct_flag(ev, COWTRACE_FIELD_STABLE)),
		       COWTRACE_COPY, COWTRACE_REASON_SWAP_STABLE_WRITEBACK);
}

/* Whoever sleeps for the lock looks again at what it is about to decide on. */
bool ct_g1_changed(struct ct_eval *ev)
{
	return ct_when(ev, COWTRACE_FIELD_CHANGED, ct_flag(ev, COWTRACE_FIELD_CHANGED),
		       COWTRACE_RETRY, COWTRACE_REASON_PTE_CHANGED);
}

void ct_g1_not_ksm(struct ct_eval *ev)
{
	if (counts(ev) || stable_writeback(ev))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_MAPCOUNT_EXCLUSIVE);
}

void ct_g1_small(struct ct_eval *ev)
{
	if (ct_when(ev, COWTRACE_FIELD_KSM, ct_flag(ev, COWTRACE_FIELD_KSM), COWTRACE_COPY,
		    COWTRACE_REASON_KSM))
		return;
	if (!ct_g1_changed(ev))
		ct_g1_not_ksm(ev);
}

static enum cowtrace_truth huge_shared(const struct ct_eval *ev)
{
	return ct_above(ev, COWTRACE_FIELD_MAX_MAPCOUNT, ev->st->max_mapcount, 1);
}

/* A shared huge page is copied whole; where none can be had, in 512 small ones. */
void ct_g1_huge(struct ct_eval *ev)
{
	enum cowtrace_truth shared = huge_shared(ev);

	if (ct_g1_changed(ev))
		return;
	if (ct_when(ev, COWTRACE_FIELD_MAX_MAPCOUNT, ct_not(shared), COWTRACE_REUSE,
		    COWTRACE_REASON_THP_MAPCOUNT_EXCLUSIVE))
		return;
	if (ct_when(ev, COWTRACE_FIELD_HUGE_ALLOC, ct_flag(ev, COWTRACE_FIELD_HUGE_ALLOC),
		    COWTRACE_COPY_HUGE, COWTRACE_REASON_THP_COPY))
		return;
	ct_else(ev, COWTRACE_COPY_HUGE, COWTRACE_REASON_THP_COPY_SMALL);
}

/* From 5.8 ("thp: change CoW semantics for anon-THP", 3917c80280c9) to 5.17. */
void ct_g2_split_huge(struct ct_eval *ev)
{
	if (ct_g1_changed(ev))
		return;
	if (ct_when(ev, COWTRACE_FIELD_MAX_MAPCOUNT, huge_shared(ev), COWTRACE_SPLIT,
		    COWTRACE_REASON_THP_SHARED_SPLIT))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_THP_MAPCOUNT_EXCLUSIVE);
}
