/* SPDX-License-Identifier: MIT */
/*
 * The rules, one case for each branch of each generation, written from
 * docs/cow-generations.md and not from the code.  Where a kernel can be booted
 * tests/vm says the same by experiment; for G1, G2 and G4 this is all there is.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"
#include "policy/parse.h"

struct judged {
	const char *models; /* names apart by blanks */
	const char *state;
	const char *action; /* "split/copy": what follows the split */
	const char *reason;
};

#define ALL "g1 g2 g2-split g3 g4 g5 g5-late g5-zero g6 g6b rmapid draft eager"
#define BY_MAP "g1 g2 g2-split"
#define BY_REF "g4 g5 g5-late g5-zero g6 g6b rmapid eager"
#define MARKED "g5 g5-late g5-zero g6 g6b rmapid"
#define G56 "g6 g6b"

static const struct judged cases[] = {
	/* before any rule */
	{ ALL, "uffd_wp", "retry", "uffd_wp_sync" },
	{ ALL, "uffd_wp pmd", "retry", "uffd_wp_sync" },
	{ ALL, "uffd_wp uffd_async shared", "reuse", "shared_mapping" },
	{ MARKED, "uffd_wp uffd_async pmd exclusive", "split/reuse", "uffd_wp_async" },
	{ ALL, "shared", "reuse", "shared_mapping" },
	{ ALL, "shared pmd", "reuse", "shared_mapping" },
	{ ALL, "zero", "alloc_zeroed", "zero_page" },
	{ "g1 g2 g5-zero g6 g6b", "zero pmd", "alloc_zeroed", "zero_huge" },
	{ "g1 g2 g5-zero g6 g6b", "zero pmd !huge_alloc", "split/alloc_zeroed", "zero_split" },
	{ "g2-split g3 g4 g5 g5-late rmapid draft eager", "zero pmd", "split/alloc_zeroed",
	  "zero_split" },
	{ ALL, "special", "copy", "special_pfn" },
	{ ALL, "file", "copy", "private_file" },
	{ ALL, "file pmd", "split/copy", "file_huge" },
	{ ALL, "hugetlb", "reuse", "hugetlb_exclusive" },
	{ ALL, "hugetlb refcount=7", "reuse", "hugetlb_exclusive" },
	{ ALL, "hugetlb mapcount=2", "copy_huge", "hugetlb_shared" },
	{ ALL, "hugetlb mapcount=2 pmd", "copy_huge", "hugetlb_shared" },

	/* KSM */
	{ "g1 g3 g4 g5 g5-late g5-zero g6 g6b rmapid draft eager", "ksm mapcount=2", "copy",
	  "ksm" },
	{ "g1 g3 g4 g5 g5-late g5-zero g6 g6b rmapid draft eager", "ksm", "copy", "ksm" },
	{ "g2 g2-split", "ksm", "reuse", "ksm_reused" },
	{ "g2 g2-split", "ksm mapcount=2", "copy", "ksm_shared" },
	{ "g2 g2-split", "ksm refcount=2", "copy", "ksm_shared" },
	{ "g2 g2-split", "ksm swapcache", "copy", "ksm_swapcache" },
	{ "g2 g2-split", "ksm !ksm_stable", "copy", "ksm_freeze_failed" },
	{ "g2 g2-split", "ksm raced", "copy", "ksm_freeze_failed" },
	{ "g2 g2-split", "ksm changed", "retry", "pte_changed" },

	/* by mapping count */
	{ BY_MAP, "", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "refcount=5", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "locked", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "!lru", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "mapcount=2", "copy", "mapcount_shared" },
	{ BY_MAP, "swapcount=1", "copy", "swapcount_shared" },
	{ BY_MAP, "swapcache", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "swapcache writeback", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "swapcache writeback stable", "copy", "swap_stable_writeback" },
	{ BY_MAP, "changed", "retry", "pte_changed" },
	{ BY_MAP, "order=9", "reuse", "mapcount_exclusive" },
	{ BY_MAP, "order=9 max_mapcount=2", "copy", "mapcount_shared" },

	/* G3: any reference too many copies */
	{ "g3 draft", "", "reuse", "refcount_one" },
	{ "g3 draft", "mapcount=2", "copy", "mapcount_shared" },
	{ "g3", "swapcache", "copy", "swapcache_ref" },
	{ "g3", "swapcache !lru", "copy", "swapcache_ref" },
	{ "g3 draft", "!lru", "copy", "lru_cache_ref" },
	{ "g3 draft", "lru_local", "copy", "lru_cache_ref" },
	{ "g3", "refcount=2", "copy", "pin_or_transient_ref" },
	{ "g3 draft", "order=9", "copy", "large_folio" },
	{ "g3 draft", "order=9 large_mapcount=1", "reuse", "refcount_one" },
	{ "g3 draft", "locked", "copy", "trylock_failed" },
	{ "g3 draft", "raced", "copy", "locked_recheck" },
	{ "g3", "exclusive refcount=2", "copy", "pin_or_transient_ref" },

	/* the draft: as G3, but the swap cache goes first */
	{ "draft", "swapcache", "reuse", "refcount_one" },
	{ "draft", "swapcache refcount=3", "copy", "early_refcount" },
	{ "draft", "refcount=2", "copy", "early_refcount" },
	{ "draft", "swapcache swapcount=1", "copy", "swap_shared" },
	{ "draft", "swapcache writeback", "copy", "swap_writeback" },

	/* G4, and every later rule for a small page without the mark */
	{ BY_REF, "", "reuse", "refcount_one" },
	{ BY_REF, "mapcount=2", "copy", "mapcount_shared" },
	{ BY_REF, "mapcount=4", "copy", "mapcount_shared" },
	{ BY_REF, "refcount=4", "copy", "early_refcount" },
	{ "g6b", "refcount=2", "copy", "early_refcount" },
	{ "g6b", "swapcache refcount=3", "copy", "early_refcount" },
	{ "g4 g5 g5-late g5-zero g6 rmapid eager", "refcount=2", "copy", "pin_or_transient_ref" },
	{ "g4 g5 g5-late g5-zero g6 rmapid eager", "swapcache refcount=3", "copy",
	  "pin_or_transient_ref" },
	{ BY_REF, "lru_local", "reuse", "refcount_one" },
	{ BY_REF, "!lru", "copy", "lru_cache_ref_remote" },
	{ BY_REF, "lru_local swapcache", "reuse", "refcount_one" },
	{ BY_REF, "swapcache", "reuse", "refcount_one" },
	{ BY_REF, "swapcache swapcount=1", "copy", "swap_shared" },
	{ BY_REF, "swapcache writeback", "copy", "swap_writeback" },
	{ BY_REF, "locked", "copy", "trylock_failed" },
	{ BY_REF, "raced", "copy", "locked_recheck" },

	/* G5: the mark */
	{ MARKED, "exclusive", "reuse", "anon_exclusive" },
	{ MARKED, "exclusive refcount=1025 pinned", "reuse", "anon_exclusive" },
	{ MARKED, "exclusive swapcache locked", "reuse", "anon_exclusive" },
	{ MARKED, "exclusive order=9", "reuse", "anon_exclusive" },
	{ "g4 eager", "exclusive refcount=1025 pinned", "copy", "early_refcount" },

	/* large folios mapped by PTEs */
	{ "g4 g5", "order=9", "copy", "large_folio" },
	{ "g4 g5", "order=9 large_mapcount=1", "reuse", "refcount_one" },
	{ "g5-late g5-zero", "order=9", "copy", "large_folio" },
	{ "g5-late g5-zero", "order=4 large_mapcount=1", "copy", "large_folio" },
	{ G56, "order=9", "reuse", "large_exclusive" },
	{ G56, "order=4", "reuse", "large_exclusive" },
	{ G56, "order=4 locked", "reuse", "large_exclusive" },
	{ G56, "order=9 large_mapcount=1", "copy", "large_last_page" },
	{ G56, "order=9 mapcount=2", "copy", "large_shared_mm" },
	{ G56, "order=9 mm_shared", "copy", "large_shared_mm" },
	{ G56, "order=4 swapcache", "reuse", "large_exclusive" },
	{ G56, "order=4 swapcache locked", "copy", "large_swapcache_trylock" },
	{ G56, "order=4 swapcache swapcount=1", "copy", "swap_shared" },
	{ G56, "order=4 swapcache writeback", "copy", "swap_writeback" },
	{ G56, "order=9 refcount=513", "copy", "large_extra_ref" },
	{ G56, "order=9 raced", "copy", "large_race" },
	{ "rmapid", "order=9", "reuse", "rmapid_exclusive" },
	{ "rmapid", "order=9 large_mapcount=1", "reuse", "rmapid_exclusive" },
	{ "rmapid", "order=9 mm_shared", "reuse", "rmapid_exclusive" },
	{ "rmapid", "order=9 rmap_busy", "copy", "rmapid_busy" },
	{ "rmapid", "order=9 mapcount=2", "copy", "rmapid_mapcount" },
	{ "rmapid", "order=9 large_mapcount=512 entire_mapcount=1", "copy", "rmapid_mapcount" },
	{ "rmapid", "order=9 refcount=513", "copy", "rmapid_extra_ref" },
	{ "rmapid", "order=9 large_mapcount=512 own_mapcount=256", "copy", "rmapid_other_mm" },
	{ "rmapid", "order=9 raced", "copy", "rmapid_retry" },
	{ "eager", "order=9", "copy", "eager_remainder" },
	{ "eager", "order=9 large_mapcount=1", "copy", "eager_remainder" },
	{ "eager", "order=4", "copy", "large_folio" },

	/* huge pages */
	{ "g1 g2", "pmd", "reuse", "thp_mapcount_exclusive" },
	{ "g1 g2", "pmd refcount=3", "reuse", "thp_mapcount_exclusive" },
	{ "g1 g2", "pmd mapcount=2", "copy_huge", "thp_copy" },
	{ "g1 g2", "pmd mapcount=2 !huge_alloc", "copy_huge", "thp_copy_small" },
	{ ALL, "pmd changed", "retry", "pte_changed" },
	{ "g2-split", "pmd", "reuse", "thp_mapcount_exclusive" },
	{ "g2-split g3 draft", "pmd mapcount=2", "split/copy", "thp_shared_split" },
	{ "g3 draft", "pmd refcount=2", "reuse", "thp_mapcount_exclusive" },
	{ BY_REF, "pmd", "reuse", "thp_refcount_one" },
	{ BY_REF, "pmd locked", "reuse", "thp_refcount_one" },
	{ BY_REF, "pmd mapcount=2", "split/copy", "thp_shared_split" },
	{ BY_REF, "pmd refcount=2", "split/copy", "thp_extra_ref_split" },
	{ BY_REF, "pmd swapcache", "reuse", "thp_refcount_one" },
	{ BY_REF, "pmd swapcache refcount=514", "split/copy", "thp_extra_ref_split" },
	{ BY_REF, "pmd swapcache writeback", "split/copy", "swap_writeback" },
	{ BY_REF, "pmd swapcache swapcount=1", "split/copy", "swap_shared" },
	{ MARKED, "pmd exclusive refcount=2", "reuse", "thp_anon_exclusive" },

	/* what is not known, and does not matter */
	{ ALL, "mapcount=2 refcount=? locked=? raced=? lru=? changed=no", "copy",
	  "mapcount_shared" },
	{ "g5 g6", "exclusive refcount=? locked=? swapcache=?", "reuse", "anon_exclusive" },
	{ BY_MAP, "refcount=? lru=? locked=?", "reuse", "mapcount_exclusive" },
	{ "g3", "swapcache refcount=?", "copy", "swapcache_ref" },
	{ "g5-late", "order=4 refcount=? locked=?", "copy", "large_folio" },
	{ "g4 g5", "refcount=1 swapcache=?", "reuse", "refcount_one" },
	{ "g4 g5", "refcount=3 swapcache=?", "copy", "pin_or_transient_ref" },
	{ "g6b", "refcount=1 swapcache=? lru=?", "reuse", "refcount_one" },
	{ BY_REF, "pmd refcount=1 swapcache=?", "reuse", "thp_refcount_one" },
	{ BY_REF, "pmd refcount=600 swapcache=?", "split/copy", "thp_extra_ref_split" },
	{ ALL, "order=0 pmd=?  shared", "reuse", "shared_mapping" },
	{ BY_MAP, "order=9 pmd=? large_mapcount=1", "reuse", "mapcount_exclusive" },
};

/* What is not known and does matter: the input that would decide, and the guess. */
static const struct {
	const char *models, *state, *decides, *likely, *likely_reason;
} unknown[] = {
	{ "g3 g4 g5 g6 g6b", "refcount=?", "refcount", "reuse", "refcount_one" },
	{ "g4 g5 g6", "locked=?", "locked", "reuse", "refcount_one" },
	{ "g4 g5 g6", "refcount=2 lru=no lru_local=?", "lru_local", "reuse", "refcount_one" },
	{ "g4 g5 g6", "refcount=2 lru=? lru_local=?", "lru", "reuse", "refcount_one" },
	{ "g4 g5 g6", "lru=no lru_local=? swapcache=?", "lru_local", "reuse", "refcount_one" },
	{ "g4 g5 g6", "refcount=? lru_local", "refcount", "reuse", "refcount_one" },
	{ "g5 g5-late g6", "exclusive=? mapcount=1 refcount=2", "exclusive", "copy",
	  "pin_or_transient_ref" },
	{ "g4 g5 g6 draft", "swapcache=? refcount=2", "swapcache", "reuse", "refcount_one" },
	{ "g4 g5 g6", "swapcache swapcount=?", "swapcount", "reuse", "refcount_one" },
	{ "g4 g5 g6", "swapcache writeback=?", "writeback", "reuse", "refcount_one" },
	{ "g1", "ksm=?", "ksm", "reuse", "mapcount_exclusive" },
	{ "g1 g2", "mapcount=?", "mapcount", "reuse", "mapcount_exclusive" },
	{ "g1 g2", "swapcache swapcount=?", "swapcount", "reuse", "mapcount_exclusive" },
	{ "g1 g2", "swapcache writeback stable=?", "stable", "reuse", "mapcount_exclusive" },
	{ "g1 g2", "changed=?", "changed", "reuse", "mapcount_exclusive" },
	{ "g2", "ksm ksm_stable=?", "ksm_stable", "reuse", "ksm_reused" },
	{ "g2", "ksm swapcache=?", "swapcache", "reuse", "ksm_reused" },
	{ "g6 g6b", "order=9 mm_shared=?", "mm_shared", "reuse", "large_exclusive" },
	{ "g6", "order=9 large_mapcount=? refcount=512", "large_mapcount", "reuse",
	  "large_exclusive" },
	{ "g6", "order=4 swapcache=? locked=?", "locked", "reuse", "large_exclusive" },
	{ "rmapid", "order=9 own_mapcount=?", "own_mapcount", "reuse", "rmapid_exclusive" },
	{ "g6", "order=9 pmd=? entire_mapcount=? mapcount=2 mm_shared", "pmd", "copy",
	  "large_shared_mm" },
	{ "g3", "pmd=? order=9 entire_mapcount=? max_mapcount=1", "pmd", "copy", "large_folio" },
	{ "g3", "hugetlb=? refcount=2", "hugetlb", "copy", "pin_or_transient_ref" },
	{ "g6", "order=? large_mapcount=1", "order", "reuse", "refcount_one" },
	{ "g5", "order=? pmd=? mapcount=2", "pmd", "copy", "mapcount_shared" },
	{ "g1", "pmd max_mapcount=?", "max_mapcount", "copy_huge", "thp_copy" },
	{ "g3", "pmd max_mapcount=?", "max_mapcount", "reuse", "thp_mapcount_exclusive" },
	{ "g4", "pmd swapcache=? refcount=2", "swapcache", "reuse", "thp_refcount_one" },
	{ "g6", "zero=?", "zero", "reuse", "refcount_one" },
	{ "g6", "uffd_wp uffd_async=?", "uffd_async", "reuse", "refcount_one" },
	{ "g6b", "swapcache=? lru=? refcount=2", "swapcache", "reuse", "refcount_one" },
	{ "g6", "hugetlb mapcount=?", "mapcount", "reuse", "hugetlb_exclusive" },
};

static struct cowtrace_page_state parse(const char *text)
{
	struct cowtrace_page_state st;
	struct ct_err err;

	if (ct_state_parse(text, &st, &err))
		fail_msg("\"%s\": %s", text, err.text);
	return st;
}

/* Calls @check for each model named in @models; the list is the table's. */
static void for_each_model(const char *models, const void *arg, const char *state,
			   void (*check)(enum cowtrace_model_id id, const void *arg,
					 const struct cowtrace_page_state *st))
{
	const struct cowtrace_page_state st = parse(state);
	char list[256], *save = NULL;

	snprintf(list, sizeof(list), "%s", models);
	for (char *name = strtok_r(list, " ", &save); name; name = strtok_r(NULL, " ", &save)) {
		enum cowtrace_model_id id;

		assert_int_equal(cowtrace_model_find(name, &id), 0);
		check(id, arg, &st);
	}
}

static void check_case(enum cowtrace_model_id id, const void *arg,
		       const struct cowtrace_page_state *st)
{
	const struct judged *want = arg;
	struct cowtrace_verdict v;
	char got[64];

	assert_int_equal(cowtrace_policy_judge(id, st, &v), 0);
	snprintf(got, sizeof(got), "%s%s%s", cowtrace_action_name(v.action),
		 v.action == COWTRACE_SPLIT ? "/" : "",
		 v.action == COWTRACE_SPLIT ? cowtrace_action_name(v.then) : "");
	if (strcmp(got, want->action) || strcmp(cowtrace_reason_name(v.reason), want->reason))
		fail_msg("%s, \"%s\": %s %s, expected %s %s", cowtrace_model_get(id)->name,
			 want->state, got, cowtrace_reason_name(v.reason), want->action,
			 want->reason);
	assert_int_equal(v.likely, v.action);
	assert_int_equal(v.decides, COWTRACE_NR_FIELDS);
}

static void test_cases(void **state)
{
	for (size_t i = 0; i < ct_array_size(cases); i++)
		for_each_model(cases[i].models, &cases[i], cases[i].state, check_case);
}

static void check_unknown(enum cowtrace_model_id id, const void *arg,
			  const struct cowtrace_page_state *st)
{
	const char *const *want = arg; /* models, state, decides, likely, likely_reason */
	struct cowtrace_verdict v;

	assert_int_equal(cowtrace_policy_judge(id, st, &v), 0);
	if (v.action != COWTRACE_UNCERTAIN || strcmp(cowtrace_field_name(v.decides), want[2]) ||
	    strcmp(cowtrace_action_name(v.likely), want[3]) ||
	    strcmp(cowtrace_reason_name(v.likely_reason), want[4]))
		fail_msg("%s, \"%s\": %s decided by %s, likely %s %s", cowtrace_model_get(id)->name,
			 want[1], cowtrace_action_name(v.action),
			 v.decides < COWTRACE_NR_FIELDS ? cowtrace_field_name(v.decides) : "-",
			 cowtrace_action_name(v.likely), cowtrace_reason_name(v.likely_reason));
}

static void test_unknown(void **state)
{
	for (size_t i = 0; i < ct_array_size(unknown); i++)
		for_each_model(unknown[i].models, &unknown[i], unknown[i].state, check_unknown);
}

/* The conditions that `explain` shows end with the verdict that `judge` gives. */
static void test_explain(void **state)
{
	struct cowtrace_step steps[COWTRACE_MAX_STEPS];

	for (size_t i = 0; i < ct_array_size(cases); i++) {
		const struct cowtrace_page_state st = parse(cases[i].state);

		for (unsigned int m = 0; m < COWTRACE_NR_MODELS; m++) {
			struct cowtrace_verdict a, b;
			size_t nr;

			assert_int_equal(cowtrace_policy_judge(m, &st, &a), 0);
			assert_int_equal(cowtrace_policy_explain(m, &st, steps, &nr, &b), 0);
			assert_memory_equal(&a, &b, sizeof(a));
			assert_in_range(nr, 1, COWTRACE_MAX_STEPS - 1);
			for (size_t s = 0; s + 1 < nr; s++)
				assert_true(steps[s].truth != COWTRACE_YES ||
					    steps[s].action == COWTRACE_NR_ACTIONS);
			if (steps[nr - 1].truth == COWTRACE_YES &&
			    steps[nr - 1].action != COWTRACE_NR_ACTIONS)
				assert_int_equal(steps[nr - 1].action, a.likely);
		}
	}
}

static void test_explain_values(void **state)
{
	const struct cowtrace_page_state st = parse("refcount=2 swapcache");
	struct cowtrace_step steps[COWTRACE_MAX_STEPS];
	struct cowtrace_verdict v;
	size_t nr, seen = 0;

	assert_int_equal(cowtrace_policy_explain(COWTRACE_MODEL_G4, &st, steps, &nr, &v), 0);
	for (size_t i = 0; i < nr; i++) {
		if (steps[i].field != COWTRACE_FIELD_REFCOUNT)
			continue;
		assert_int_equal(steps[i].value, 2);
		seen++;
	}
	assert_int_equal(seen, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_explain_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
