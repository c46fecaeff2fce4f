/* SPDX-License-Identifier: MIT */
/*
 * G6, Linux 6.15 on: a large folio mapped by PTEs can be reused, page by page,
 * when all its references are entries of one process ("mm: Copy-on-Write (COW)
 * reuse support for PTE-mapped THP", 1da190f4d0a6).  Who maps it is remembered in
 * two slots (owners.c), so a third process that outlives the others copies for
 * nothing.  Also G6b, and the rmap-ID series that came before and never landed.
 *
 * Invariant: small folios and PMD-mapped huge pages are judged as by G5.
 * Read in: 6.17.0, 6.18.2, 6.19, 7.1.5 mm/memory.c (one text), and mainline of
 * June 2026 for G6b.
 */
#include "policy/rules.h"

static bool marked(struct ct_eval *ev)
{
	return ct_when(ev, COWTRACE_FIELD_EXCLUSIVE, ct_flag(ev, COWTRACE_FIELD_EXCLUSIVE),
		       COWTRACE_REUSE, COWTRACE_REASON_ANON_EXCLUSIVE);
}

/* The swap cache, if the folio is in it; a failure shows in the count later. */
static bool large_free_swap(struct ct_eval *ev)
{
	enum cowtrace_truth cached = ct_flag(ev, COWTRACE_FIELD_SWAPCACHE);

	if (cached == COWTRACE_NO)
		return false;
	if (ct_when(ev, COWTRACE_FIELD_LOCKED, ct_and(cached, ct_flag(ev, COWTRACE_FIELD_LOCKED)),
		    COWTRACE_COPY, COWTRACE_REASON_LARGE_SWAPCACHE_TRYLOCK))
		return true;
	return ct_ref_free_swap(ev, COWTRACE_COPY);
}

static enum cowtrace_truth extra_refs(const struct ct_eval *ev)
{
	if (!ct_known(ev, COWTRACE_FIELD_LARGE_MAPCOUNT))
		return COWTRACE_MAYBE;
	return ct_ref_above(ev, ev->st->large_mapcount);
}

static void large(struct ct_eval *ev)
{
	enum cowtrace_truth many =
		ct_above(ev, COWTRACE_FIELD_LARGE_MAPCOUNT, ev->st->large_mapcount, 1);

	/* Deliberate: the last page goes, so that the folio can be freed. */
	if (ct_when(ev, COWTRACE_FIELD_LARGE_MAPCOUNT, ct_not(many), COWTRACE_COPY,
		    COWTRACE_REASON_LARGE_LAST_PAGE))
		return;
	if (ct_when(ev, COWTRACE_FIELD_MM_SHARED, ct_flag(ev, COWTRACE_FIELD_MM_SHARED),
		    COWTRACE_COPY, COWTRACE_REASON_LARGE_SHARED_MM))
		return;
	if (large_free_swap(ev))
		return;
	if (ct_when(ev, COWTRACE_FIELD_REFCOUNT, extra_refs(ev), COWTRACE_COPY,
		    COWTRACE_REASON_LARGE_EXTRA_REF))
		return;
	if (ct_when(ev, COWTRACE_FIELD_RACED, ct_flag(ev, COWTRACE_FIELD_RACED), COWTRACE_COPY,
		    COWTRACE_REASON_LARGE_RACE))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_LARGE_EXCLUSIVE);
}

void ct_g6_small(struct ct_eval *ev)
{
	if (marked(ev))
		return;
	if (ct_is_large(ev))
		large(ev);
	else
		ct_g4_small(ev);
}

/* G6b's early bound counts exactly what the kernel itself may hold. */
static bool g6b_early(struct ct_eval *ev)
{
	enum cowtrace_truth bound[3] = { ct_ref_above(ev, 1), ct_ref_above(ev, 2),
					 ct_ref_above(ev, 3) };
	enum cowtrace_truth cached = ct_flag(ev, COWTRACE_FIELD_SWAPCACHE);
	enum cowtrace_truth batched = ct_not(ct_flag(ev, COWTRACE_FIELD_LRU));
	unsigned int most = (cached != COWTRACE_NO) + (batched != COWTRACE_NO);
	unsigned int least = (cached == COWTRACE_YES) + (batched == COWTRACE_YES);
	enum cowtrace_truth above = bound[most] == bound[least] ? bound[most] : COWTRACE_MAYBE;

	if (ct_when(ev, COWTRACE_FIELD_KSM, ct_flag(ev, COWTRACE_FIELD_KSM), COWTRACE_COPY,
		    COWTRACE_REASON_KSM))
		return true;
	return ct_when_ref(ev, above, COWTRACE_REASON_NONE, COWTRACE_REASON_EARLY_REFCOUNT);
}

void ct_g6b_small(struct ct_eval *ev)
{
	if (marked(ev))
		return;
	if (ct_is_large(ev))
		large(ev);
	else if (!g6b_early(ev))
		ct_g4_late(ev);
}

/*
 * "[PATCH WIP v1 10/20] mm/memory: COW reuse support for PTE-mapped THP with rmap
 * IDs", 24 November 2023, as posted: any number of processes is told apart, the
 * last page may be reused, and neither the swap cache nor a lock is touched.
 */
static void rmapid_large(struct ct_eval *ev)
{
	const struct cowtrace_page_state *st = ev->st;
	enum cowtrace_truth raced = ct_flag(ev, COWTRACE_FIELD_RACED);
	enum cowtrace_truth many = ct_or(
		ct_above(ev, COWTRACE_FIELD_LARGE_MAPCOUNT, st->large_mapcount, 1U << st->order),
		ct_above(ev, COWTRACE_FIELD_ENTIRE_MAPCOUNT, st->entire_mapcount, 0));
	enum cowtrace_truth other = ct_known(ev, COWTRACE_FIELD_OWN_MAPCOUNT)
					    ? ct_above(ev, COWTRACE_FIELD_LARGE_MAPCOUNT,
						       st->large_mapcount, st->own_mapcount)
					    : COWTRACE_MAYBE;

	if (ct_when(ev, COWTRACE_FIELD_RMAP_BUSY, ct_flag(ev, COWTRACE_FIELD_RMAP_BUSY),
		    COWTRACE_COPY, COWTRACE_REASON_RMAPID_BUSY))
		return;
	if (ct_when(ev, COWTRACE_FIELD_LARGE_MAPCOUNT, many, COWTRACE_COPY,
		    COWTRACE_REASON_RMAPID_MAPCOUNT))
		return;
	if (ct_when(ev, COWTRACE_FIELD_REFCOUNT, extra_refs(ev), COWTRACE_COPY,
		    COWTRACE_REASON_RMAPID_EXTRA_REF))
		return;
	if (ct_when(ev, COWTRACE_FIELD_OWN_MAPCOUNT, other, COWTRACE_COPY,
		    COWTRACE_REASON_RMAPID_OTHER_MM))
		return;
	if (ct_when(ev, COWTRACE_FIELD_RACED, raced, COWTRACE_COPY, COWTRACE_REASON_RMAPID_RETRY))
		return;
	ct_else(ev, COWTRACE_REUSE, COWTRACE_REASON_RMAPID_EXCLUSIVE);
}

void ct_rmapid_small(struct ct_eval *ev)
{
	if (marked(ev))
		return;
	if (ct_is_large(ev))
		rmapid_large(ev);
	else
		ct_g4_small(ev);
}
