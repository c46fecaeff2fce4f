/* SPDX-License-Identifier: MIT */
/*
 * The list of generations: names, versions, and which rule belongs to which.
 * A release that is not in the list is the newest one's: the rule is expected to
 * stay until somebody changes it, and `cowtrace policy probe` would tell.
 *
 * Invariant: rules[i].model.id == i.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "policy/rules.h"

#define REF_THEN_LRU \
	"reuse if one reference is left after the swap cache's and this CPU's LRU batch's"
#define THP_BY_MAPCOUNT "reuse if one process maps it, else split"
#define THP_BY_REFCOUNT "reuse if one reference is left after the swap cache's, else split"

static const struct ct_rules rules[COWTRACE_NR_MODELS] = {
	[COWTRACE_MODEL_G1] = {
		.model = { COWTRACE_MODEL_G1, "g1", "to 5.0",
			   "reuse if map + swap count is one; references do not count; KSM copies",
			   "reuse if one process maps it, else copy 2 MiB",
			   "6d0a07edd17c (4.6)", true },
		.small = ct_g1_small,
		.huge = ct_g1_huge,
		.zero_allocs = true,
	},
	[COWTRACE_MODEL_G2] = {
		.model = { COWTRACE_MODEL_G2, "g2", "5.1 to 5.7",
			   "g1, and a KSM page with one reference is taken back and reused",
			   "reuse if one process maps it, else copy 2 MiB",
			   "52d1e606ee73 (5.1)", true },
		.small = ct_g2_small,
		.huge = ct_g1_huge,
		.zero_allocs = true,
	},
	[COWTRACE_MODEL_G2_SPLIT] = {
		.model = { COWTRACE_MODEL_G2_SPLIT, "g2-split", "5.8", "as g2", THP_BY_MAPCOUNT,
			   "3917c80280c9 (5.8)", true },
		.small = ct_g2_small,
		.huge = ct_g2_split_huge,
	},
	[COWTRACE_MODEL_G3] = {
		.model = { COWTRACE_MODEL_G3, "g3", "5.9 to 5.17",
			   "reuse only if the folio has one reference of any kind; KSM copies",
			   THP_BY_MAPCOUNT, "09854ba94c6a (5.9)", true },
		.small = ct_g3_small,
		.huge = ct_g2_split_huge,
		.pin_copies = true,
	},
	[COWTRACE_MODEL_G4] = {
		.model = { COWTRACE_MODEL_G4, "g4", "5.18", REF_THEN_LRU, THP_BY_REFCOUNT,
			   "mm: optimize do_wp_page() for exclusive pages in the swapcache (5.18)",
			   true },
		.small = ct_g4_small,
		.huge = ct_g4_huge,
		.swapin = CT_SWAPIN_REFCOUNT,
		.pin_copies = true,
	},
	[COWTRACE_MODEL_G5] = {
		.model = { COWTRACE_MODEL_G5, "g5", "5.19 to 6.9",
			   "reuse if marked exclusive, else g4's rule", "the same",
			   "mm: remember exclusively mapped anonymous pages with "
			   "PG_anon_exclusive (5.19)",
			   true },
		.small = ct_g5_small,
		.huge = ct_g5_huge,
		.swapin = CT_SWAPIN_MARK,
		.has_mark = true,
		.pin_copies = true,
	},
	[COWTRACE_MODEL_G5_LATE] = {
		.model = { COWTRACE_MODEL_G5_LATE, "g5-late", "6.10 to 6.12",
			   "g5, but a page of a large folio that is not exclusive is copied",
			   "as g5", "absent in 6.8.0, present in 6.13.7", true },
		.small = ct_g5_late_small,
		.huge = ct_g5_huge,
		.swapin = CT_SWAPIN_MARK,
		.has_mark = true,
		.whole_swap = true,
		.pin_copies = true,
	},
	[COWTRACE_MODEL_G5_ZERO] = {
		.model = { COWTRACE_MODEL_G5_ZERO, "g5-zero", "6.13 to 6.14", "as g5-late",
			   "as g5; a write to the huge zero page makes a huge page",
			   "absent in 6.12.107, present in 6.13.7", true },
		.small = ct_g5_late_small,
		.huge = ct_g5_huge,
		.swapin = CT_SWAPIN_MARK_READ,
		.has_mark = true,
		.whole_swap = true,
		.pin_copies = true,
		.zero_allocs = true,
	},
	[COWTRACE_MODEL_G6] = {
		.model = { COWTRACE_MODEL_G6, "g6", "from 6.15",
			   "g5, and a large folio of one process alone, by two owner slots, is "
			   "reused page by page",
			   "as g5-zero", "6af8cb80d3a9, 1da190f4d0a6 (6.15)", true },
		.small = ct_g6_small,
		.huge = ct_g5_huge,
		.swapin = CT_SWAPIN_MARK_READ,
		.has_mark = true,
		.has_slots = true,
		.whole_swap = true,
		.pin_copies = true,
		.zero_allocs = true,
	},
	[COWTRACE_MODEL_G6B] = {
		.model = { COWTRACE_MODEL_G6B, "g6b", "mainline of mid-2026",
			   "g6 with a tighter first test and fewer drains", "as g6",
			   "mm: avoid unnecessary lru drain for wp_can_reuse_anon_folio()", true },
		.small = ct_g6b_small,
		.huge = ct_g5_huge,
		.swapin = CT_SWAPIN_MARK_ONLY,
		.has_mark = true,
		.has_slots = true,
		.whole_swap = true,
		.pin_copies = true,
		.zero_allocs = true,
	},
	[COWTRACE_MODEL_RMAPID] = {
		.model = { COWTRACE_MODEL_RMAPID, "rmapid", "never merged",
			   "g5, and a large folio of one process alone, told exactly, is reused",
			   "as g5", "[PATCH WIP v1 10/20] of 24 November 2023", false },
		.small = ct_rmapid_small,
		.huge = ct_g5_huge,
		.swapin = CT_SWAPIN_MARK,
		.has_mark = true,
		.pin_copies = true,
	},
	[COWTRACE_MODEL_DRAFT] = {
		.model = { COWTRACE_MODEL_DRAFT, "draft", "never merged",
			   "g3, but the swap cache is dropped before references are counted",
			   THP_BY_MAPCOUNT, "draft of 20 January 2022, became g4", false },
		.small = ct_draft_small,
		.huge = ct_g2_split_huge,
		.pin_copies = true,
	},
	[COWTRACE_MODEL_EAGER] = {
		.model = { COWTRACE_MODEL_EAGER, "eager", "never written",
			   "g4, but what is left of a split huge page is always copied", "as g4",
			   "proposed on 20 January 2022", false },
		.small = ct_eager_small,
		.huge = ct_g4_huge,
		.swapin = CT_SWAPIN_REFCOUNT,
		.pin_copies = true,
	},
};

/* The first release of each shipped model, as major << 8 | minor. */
static const struct {
	u32 first;
	enum cowtrace_model_id id;
} releases[] = {
	{ 6 << 8 | 15, COWTRACE_MODEL_G6 },
	{ 6 << 8 | 13, COWTRACE_MODEL_G5_ZERO },
	{ 6 << 8 | 10, COWTRACE_MODEL_G5_LATE },
	{ 5 << 8 | 19, COWTRACE_MODEL_G5 },
	{ 5 << 8 | 18, COWTRACE_MODEL_G4 },
	{ 5 << 8 | 9, COWTRACE_MODEL_G3 },
	{ 5 << 8 | 8, COWTRACE_MODEL_G2_SPLIT },
	{ 5 << 8 | 1, COWTRACE_MODEL_G2 },
	{ 0, COWTRACE_MODEL_G1 },
};

const struct ct_rules *ct_rules_get(enum cowtrace_model_id id)
{
	return (unsigned int)id < COWTRACE_NR_MODELS ? &rules[id] : NULL;
}

ct_public const struct cowtrace_model *cowtrace_model_get(enum cowtrace_model_id id)
{
	const struct ct_rules *r = ct_rules_get(id);

	return r ? &r->model : NULL;
}

/* Up to three digits; -1: none, or too many. */
static int digits(const char **p)
{
	int n = 0, len = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++, len++)
		n = len < 3 ? n * 10 + (**p - '0') : -1;
	return len && len <= 3 ? n : -1;
}

static int find_release(const char *name, enum cowtrace_model_id *ret_id)
{
	int major, minor;
	size_t i = 0;

	major = digits(&name);
	if (major < 2 || *name++ != '.')
		return -ENOENT;
	minor = digits(&name);
	if (minor < 0 || isalnum((unsigned char)*name))
		return -ENOENT;
	while (((u32)major << 8 | ct_min((u32)minor, 255U)) < releases[i].first)
		i++;
	*ret_id = releases[i].id;
	return 0;
}

ct_public int cowtrace_model_find(const char *name, enum cowtrace_model_id *ret_id)
{
	for (size_t i = 0; i < COWTRACE_NR_MODELS; i++) {
		if (!strcmp(name, rules[i].model.name)) {
			*ret_id = rules[i].model.id;
			return 0;
		}
	}
	return find_release(name, ret_id);
}
