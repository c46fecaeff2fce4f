/* SPDX-License-Identifier: MIT */
/*
 * G4, Linux 5.18: G3 made less blunt.  What the kernel itself holds, the swap
 * cache and this CPU's LRU batch, is let go before references are counted ("mm:
 * optimize do_wp_page() for exclusive pages in the swapcache", "... for fresh
 * pages in local LRU pagevecs"); huge pages count references too ("mm/huge_memory:
 * streamline COW logic in do_huge_pmd_wp_page()").
 *
 * Invariant: after the kernel's own references are gone, one, or a copy.
 * Read in: 5.18.12 mm/memory.c do_wp_page, mm/huge_memory.c do_huge_pmd_wp_page.
 */
#include "policy/rules.h"

/*
 * The tests before the lock.  Three references can still be mine, the swap
 * cache's and an LRU batch's; only then is the drain worth its cost.
 */
bool ct_g4_early(struct ct_eval *ev)
{
	if (ct_when(ev, COWTRACE_FIELD_KSM, ct_flag(ev, COWTRACE_FIELD_KSM), COWTRACE_COPY,
		    COWTRACE_REASON_KSM))
		return true;
	return ct_when_ref(ev, ct_ref_above(ev, 3), COWTRACE_REASON_NONE,
			   COWTRACE_REASON_EARLY_REFCOUNT);
}

void ct_g4_late(struct ct_eval *ev)
{
	ct_ref_drain_local(ev);
	if (ct_when_ref(ev, ct_ref_above_cached(ev), COWTRACE_REASON_LRU_CACHE_REF_REMOTE,
			COWTRACE_REASON_PIN_OR_TRANSIENT_REF))
		return;
	if (ct_ref_lock(ev) || ct_ref_free_swap(ev, COWTRACE_COPY))
		return;
	if (ct_when(ev, COWTRACE_FIELD_RACED, ct_flag(ev, COWTRACE_FIELD_RACED), COWTRACE_COPY,
		    COWTRACE_REASON_LOCKED_RECHECK))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_REFCOUNT_ONE);
}

void ct_g4_small(struct ct_eval *ev)
{
	if (!ct_g4_early(ev))
		ct_g4_late(ev);
}

/* More references than my PMD entry and the swap cache's 512? */
static enum cowtrace_truth huge_ref_above_cached(const struct ct_eval *ev)
{
	enum cowtrace_truth cached = ct_flag(ev, COWTRACE_FIELD_SWAPCACHE);

	if (cached == COWTRACE_NO)
		return ct_ref_above(ev, 1);
	if (cached == COWTRACE_YES)
		return ct_ref_above(ev, 1 + COWTRACE_HUGE_PAGES);
	if (ct_ref_above(ev, 1 + COWTRACE_HUGE_PAGES) == COWTRACE_YES)
		return COWTRACE_YES;
	return ct_ref_above(ev, 1) == COWTRACE_NO ? COWTRACE_NO : COWTRACE_MAYBE;
}

/* The lock is waited for: contention is never a reason to split. */
void ct_g4_huge(struct ct_eval *ev)
{
	if (ct_g1_changed(ev))
		return;
	if (ct_when(ev, COWTRACE_FIELD_REFCOUNT, huge_ref_above_cached(ev), COWTRACE_SPLIT,
		    ct_above(ev, COWTRACE_FIELD_MAPCOUNT, ev->st->mapcount, 1) == COWTRACE_YES
			    ? COWTRACE_REASON_THP_SHARED_SPLIT
			    : COWTRACE_REASON_THP_EXTRA_REF_SPLIT))
		return;
	if (ct_ref_free_swap(ev, COWTRACE_SPLIT))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_THP_REFCOUNT_ONE);
}

/*
 * Matthew Wilcox, 20 January 2022, in the same thread: once a huge page has been
 * split because somebody else uses it, stop looking for reasons to reuse one of
 * its pages; copy what is left.  No kernel does.
 */
void ct_eager_small(struct ct_eval *ev)
{
	if (ct_when(ev, COWTRACE_FIELD_ORDER,
		    ct_above(ev, COWTRACE_FIELD_ORDER, ev->st->order, COWTRACE_HUGE_ORDER - 1),
		    COWTRACE_COPY, COWTRACE_REASON_EAGER_REMAINDER))
		return;
	ct_g4_small(ev);
}
