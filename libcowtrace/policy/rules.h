/* SPDX-License-Identifier: MIT */
/*
 * The rules themselves, one per generation, and what else distinguishes them.
 * A small-page rule sees an anonymous page mapped by a PTE; a huge-page rule an
 * anonymous huge page mapped by a PMD.  What comes before (userfaultfd, zero
 * pages, files, hugetlb) is front.c's.
 */
#ifndef CT_POLICY_RULES_H
#define CT_POLICY_RULES_H

#include "policy/eval.h"

/* How do_swap_page decides to map a page writable at once. */
enum ct_swapin_rule {
	CT_SWAPIN_MAPCOUNT,  /* to 5.17 */
	CT_SWAPIN_REFCOUNT,  /* 5.18 */
	CT_SWAPIN_MARK,	     /* 5.19: the exclusive mark, or refcount; writes only */
	CT_SWAPIN_MARK_READ, /* later: reads too */
	CT_SWAPIN_MARK_ONLY, /* G6b: the mark alone */
};

struct ct_rules {
	struct cowtrace_model model;
	void (*small)(struct ct_eval *ev);
	void (*huge)(struct ct_eval *ev);
	enum ct_swapin_rule swapin;
	bool has_mark;	  /* PG_anon_exclusive exists */
	bool has_slots;	  /* the owner slots of 6.15 exist */
	bool whole_swap;  /* a large folio comes back from swap in one piece (6.11) */
	bool pin_copies;  /* fork copies pinned pages (5.9) */
	bool zero_allocs; /* a write to the huge zero page makes a huge page */
};

const struct ct_rules *ct_rules_get(enum cowtrace_model_id id);

void ct_front_judge(struct ct_eval *ev, const struct ct_rules *rules);
void ct_front_small(struct ct_eval *ev, const struct ct_rules *rules);

void ct_g1_small(struct ct_eval *ev);
void ct_g1_huge(struct ct_eval *ev);
bool ct_g1_changed(struct ct_eval *ev);
void ct_g1_not_ksm(struct ct_eval *ev);
void ct_g2_small(struct ct_eval *ev);
void ct_g2_split_huge(struct ct_eval *ev);
void ct_g3_small(struct ct_eval *ev);
void ct_g4_small(struct ct_eval *ev);
bool ct_g4_early(struct ct_eval *ev);
void ct_g4_late(struct ct_eval *ev);
void ct_g4_huge(struct ct_eval *ev);
void ct_g5_small(struct ct_eval *ev);
void ct_g5_late_small(struct ct_eval *ev);
void ct_g5_huge(struct ct_eval *ev);
void ct_g6_small(struct ct_eval *ev);
void ct_g6b_small(struct ct_eval *ev);
void ct_rmapid_small(struct ct_eval *ev);
void ct_draft_small(struct ct_eval *ev);
void ct_eager_small(struct ct_eval *ev);

/* refcount.c: the steps that G3 and later share */
enum cowtrace_reason ct_ref_reason(const struct ct_eval *ev, enum cowtrace_reason lru,
				   enum cowtrace_reason other);

/* A condition on the count: whose reference it is, is asked only where it matters. */
static inline bool ct_when_ref(struct ct_eval *ev, enum cowtrace_truth above,
			       enum cowtrace_reason lru, enum cowtrace_reason other)
{
	if (above == COWTRACE_NO && ct_likely(!ev->steps))
		return false;
	return ct_when(ev, COWTRACE_FIELD_REFCOUNT, above, COWTRACE_COPY,
		       ct_ref_reason(ev, lru, other));
}

void ct_ref_drain_batch(struct ct_eval *ev);
bool ct_ref_lock(struct ct_eval *ev);
bool ct_ref_free_cached(struct ct_eval *ev, enum cowtrace_action action);

/* Most pages are on the LRU, and not in the swap cache. */
static inline void ct_ref_drain_local(struct ct_eval *ev)
{
	if (ct_flag(ev, COWTRACE_FIELD_LRU) != COWTRACE_YES)
		ct_ref_drain_batch(ev);
}

static inline bool ct_ref_free_swap(struct ct_eval *ev, enum cowtrace_action action)
{
	if (ct_likely(ct_flag(ev, COWTRACE_FIELD_SWAPCACHE) == COWTRACE_NO))
		return false;
	return ct_ref_free_cached(ev, action);
}

/* More references than my entry and, if it is there, the swap cache? */
static inline enum cowtrace_truth ct_ref_above_cached(const struct ct_eval *ev)
{
	enum cowtrace_truth cached = ct_flag(ev, COWTRACE_FIELD_SWAPCACHE);

	if (cached == COWTRACE_YES)
		return ct_ref_above(ev, 2);
	if (cached == COWTRACE_NO)
		return ct_ref_above(ev, 1);
	/* One reference more than mine: it is the swap cache's, or it is not. */
	if (ct_ref_above(ev, 2) == COWTRACE_YES)
		return COWTRACE_YES;
	return ct_ref_above(ev, 1) == COWTRACE_NO ? COWTRACE_NO : COWTRACE_MAYBE;
}

#endif
