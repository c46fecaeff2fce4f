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
void ct_ref_drain_local(struct ct_eval *ev);
enum cowtrace_truth ct_ref_above_cached(const struct ct_eval *ev);
bool ct_ref_lock(struct ct_eval *ev);
bool ct_ref_free_swap(struct ct_eval *ev, enum cowtrace_action action);

#endif
