/* SPDX-License-Identifier: MIT */
/*
 * The steps that the rules by reference count share (5.9 and later): naming the
 * foreign reference, draining this CPU's LRU batch, the lock, the swap cache.
 * No rule of its own: g3.c and later put these in their order.
 *
 * Invariant: a step only ever lowers the count's interval.
 */
#include "policy/rules.h"

/*
 * Whose is the reference too many?  The kernel does not ask; a person does.
 * @lru: the name when the page sits in an LRU batch; @other: when nothing tells
 */
enum cowtrace_reason ct_ref_reason(const struct ct_eval *ev, enum cowtrace_reason lru,
				   enum cowtrace_reason other)
{
	const struct cowtrace_page_state *st = ev->st;

	if (ct_above(ev, COWTRACE_FIELD_MAPCOUNT, st->mapcount, 1) == COWTRACE_YES)
		return COWTRACE_REASON_MAPCOUNT_SHARED;
	if (ct_is_large(ev) &&
	    ct_above(ev, COWTRACE_FIELD_LARGE_MAPCOUNT, st->large_mapcount, 1) != COWTRACE_NO)
		return COWTRACE_REASON_LARGE_FOLIO;
	if (lru != COWTRACE_REASON_NONE && ct_flag(ev, COWTRACE_FIELD_LRU) == COWTRACE_NO)
		return lru;
	return other;
}

/*
 * lru_add_drain(), this CPU only: a page that waits in this CPU's batch loses the
 * batch's reference; one that waits in another CPU's keeps it.
 */
void ct_ref_drain_batch(struct ct_eval *ev)
{
	enum cowtrace_truth lru = ct_flag(ev, COWTRACE_FIELD_LRU);
	enum cowtrace_truth local = ct_flag(ev, COWTRACE_FIELD_LRU_LOCAL);
	enum cowtrace_truth drained = ct_and(ct_not(lru), local);

	if (drained == COWTRACE_NO)
		return;
	if (ev->ref_lo > ev->ref_floor)
		ev->ref_lo--;
	else if (ev->ref_hi == ev->ref_lo)
		return;
	if (drained == COWTRACE_YES) {
		if (ev->ref_hi != CT_REF_MAX)
			ev->ref_hi--;
		return;
	}
	if (ct_known(ev, COWTRACE_FIELD_REFCOUNT))
		ev->ref_field =
			lru == COWTRACE_MAYBE ? COWTRACE_FIELD_LRU : COWTRACE_FIELD_LRU_LOCAL;
}

/* The folio lock is only tried: who holds it may be about to add references. */
bool ct_ref_lock(struct ct_eval *ev)
{
	return ct_when(ev, COWTRACE_FIELD_LOCKED, ct_flag(ev, COWTRACE_FIELD_LOCKED), COWTRACE_COPY,
		       COWTRACE_REASON_TRYLOCK_FAILED);
}

/*
 * Drop the page from the swap cache, which works unless it is being written or
 * some entry still wants it.  True: it failed, and the rule ended with @action.
 */
bool ct_ref_free_cached(struct ct_eval *ev, enum cowtrace_action action)
{
	enum cowtrace_truth cached = ct_flag(ev, COWTRACE_FIELD_SWAPCACHE);
	enum cowtrace_truth wanted = ct_above(ev, COWTRACE_FIELD_SWAPCOUNT, ev->st->swapcount, 0);

	if (ct_when(ev, COWTRACE_FIELD_WRITEBACK,
		    ct_and(cached, ct_flag(ev, COWTRACE_FIELD_WRITEBACK)), action,
		    COWTRACE_REASON_SWAP_WRITEBACK))
		return true;
	if (ct_when(ev, COWTRACE_FIELD_SWAPCOUNT, ct_and(cached, wanted), action,
		    COWTRACE_REASON_SWAP_SHARED))
		return true;
	ct_ref_drop(ev, ct_nr_pages(ev), cached);
	return false;
}
