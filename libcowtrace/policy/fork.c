/* SPDX-License-Identifier: MIT */
/*
 * What makes and unmakes sharing besides the write fault: fork, and the return of
 * a page from swap.  Effects on an entry only; who counts mappings is the ledger.
 *
 * Invariant: what fork shares is exclusive to nobody.
 * Read in: mm/memory.c copy_one_pte (5.8), copy_present_pte (5.9, 5.17),
 * copy_present_ptes (7.1), do_swap_page (5.0 to 7.1); mm/huge_memory.c
 * copy_huge_pmd.
 */
#include <errno.h>

#include "policy/rules.h"

#define FORK_NEEDS                                                                      \
	(COWTRACE_BIT(COWTRACE_FIELD_FILE) | COWTRACE_BIT(COWTRACE_FIELD_SHARED) |      \
	 COWTRACE_BIT(COWTRACE_FIELD_PINNED) | COWTRACE_BIT(COWTRACE_FIELD_EXCLUSIVE) | \
	 COWTRACE_BIT(COWTRACE_FIELD_PMD))

static bool is(const struct cowtrace_page_state *st, enum cowtrace_field f)
{
	return st->flags & st->known & COWTRACE_BIT(f);
}

ct_public int cowtrace_policy_fork(enum cowtrace_model_id model,
				   const struct cowtrace_page_state *st,
				   enum cowtrace_fork_action *ret_action)
{
	const struct ct_rules *r = ct_rules_get(model);

	if (!r || (st->known & FORK_NEEDS) != FORK_NEEDS)
		return -EINVAL;
	if (is(st, COWTRACE_FIELD_SHARED) ||
	    (is(st, COWTRACE_FIELD_FILE) && is(st, COWTRACE_FIELD_PMD)))
		*ret_action = COWTRACE_FORK_REFAULT;
	else if (!r->pin_copies || !is(st, COWTRACE_FIELD_PINNED) ||
		 (r->has_mark && !is(st, COWTRACE_FIELD_EXCLUSIVE)))
		*ret_action = COWTRACE_FORK_SHARE;
	else
		*ret_action =
			is(st, COWTRACE_FIELD_PMD) ? COWTRACE_FORK_SPLIT_COPY : COWTRACE_FORK_COPY;
	return 0;
}

/*
 * Is the entry's reference the only one, the swap cache dropped if that works?  Of a
 * large folio in it, to 6.10, the wrong number of references was expected.
 */
static bool one_ref(const struct cowtrace_page_state *st, bool may_drop)
{
	bool cached = is(st, COWTRACE_FIELD_SWAPCACHE);

	if (cached && may_drop && !st->swapcount && !is(st, COWTRACE_FIELD_WRITEBACK))
		return st->refcount == 1 + (1U << st->order);
	return st->refcount == 1;
}

/* Of a large folio the busiest page counts (page_trans_huge_map_swapcount). */
static bool one_user(const struct cowtrace_page_state *st)
{
	return (st->order ? st->max_mapcount : st->mapcount + st->swapcount) <= 1;
}

ct_public int cowtrace_policy_swapin(enum cowtrace_model_id model,
				     const struct cowtrace_page_state *st, bool write,
				     bool exclusive_entry, struct cowtrace_swapin *ret)
{
	const struct ct_rules *r = ct_rules_get(model);
	bool ksm = is(st, COWTRACE_FIELD_KSM);
	bool sole;

	if (!r || cowtrace_page_state_check(st, NULL))
		return -EINVAL;
	if (r->swapin == CT_SWAPIN_MAPCOUNT) {
		sole = !ksm && one_user(st);
		*ret = (struct cowtrace_swapin){ .writable = write && sole };
		return 0;
	}
	sole = exclusive_entry || (r->swapin != CT_SWAPIN_MARK_ONLY &&
				   one_ref(st, write && (!st->order || r->whole_swap)));
	sole = sole && !ksm;
	*ret = (struct cowtrace_swapin){
		.writable = sole && (write || r->swapin >= CT_SWAPIN_MARK_READ),
		.exclusive = sole && r->has_mark,
	};
	return 0;
}
