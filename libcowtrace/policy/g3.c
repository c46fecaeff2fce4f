/* SPDX-License-Identifier: MIT */
/*
 * G3, Linux 5.9 to 5.17: reuse only what nobody else refers to, for whatever
 * reason ("mm: do_wp_page() simplification", 09854ba94c6a).  It closes the hole
 * of G1 and copies much that is not shared: a page read back from swap (its swap
 * cache holds a reference), a page fresh in an LRU batch, and each page of a
 * split huge page (the count is the whole folio's).
 *
 * Invariant: one reference, or a copy; the lock is only tried.
 * Read in: 5.9.1, 5.11.0, 5.15.100 and 5.17-rc5 mm/memory.c do_wp_page.
 */
#include "policy/rules.h"

/* The swap cache explains a reference before an LRU batch does. */
static bool early(struct ct_eval *ev)
{
	if (ct_flag(ev, COWTRACE_FIELD_SWAPCACHE) == COWTRACE_YES)
		return ct_when_ref(ev, ct_ref_above(ev, 1), COWTRACE_REASON_NONE,
				   COWTRACE_REASON_SWAPCACHE_REF);
	return ct_when_ref(ev, ct_ref_above(ev, 1), COWTRACE_REASON_LRU_CACHE_REF,
			   COWTRACE_REASON_PIN_OR_TRANSIENT_REF);
}

static bool ksm(struct ct_eval *ev)
{
	return ct_when(ev, COWTRACE_FIELD_KSM, ct_flag(ev, COWTRACE_FIELD_KSM), COWTRACE_COPY,
		       COWTRACE_REASON_KSM);
}

static void lock_and_look_again(struct ct_eval *ev)
{
	if (ct_when(ev, COWTRACE_FIELD_RACED, ct_flag(ev, COWTRACE_FIELD_RACED), COWTRACE_COPY,
		    COWTRACE_REASON_LOCKED_RECHECK))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_REFCOUNT_ONE);
}

void ct_g3_small(struct ct_eval *ev)
{
	if (ksm(ev))
		return;
	if (early(ev))
		return;
	if (!ct_ref_lock(ev))
		lock_and_look_again(ev);
}

/*
 * The draft that David Hildenbrand posted on 20 January 2022 in answer to "mm:
 * reuse the unshared swapcache page in do_wp_page": G3, but the swap cache is
 * dropped first.  No bound of three and no drain yet: those came with G4.
 */
void ct_draft_small(struct ct_eval *ev)
{
	if (ksm(ev))
		return;
	if (ct_when_ref(ev, ct_ref_above_cached(ev), COWTRACE_REASON_LRU_CACHE_REF,
			COWTRACE_REASON_EARLY_REFCOUNT))
		return;
	if (ct_ref_lock(ev) || ct_ref_free_swap(ev, COWTRACE_COPY))
		return;
	lock_and_look_again(ev);
}
