/* SPDX-License-Identifier: MIT */
/*
 * What "certain" means: a verdict that is given although inputs are unknown holds
 * for every value they may have.  Random states that a kernel can be in, random
 * inputs hidden; the verdict on what is left is held against the one on all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#include <cowtrace/policy.h>

#define NR_STATES 60000

/* xorshift64*: the same states in every run. */
static u64 next(u64 *seed)
{
	*seed ^= *seed >> 12;
	*seed ^= *seed << 25;
	*seed ^= *seed >> 27;
	return *seed * 0x2545f4914f6cdd1dULL;
}

static u32 below(u64 *seed, u32 n)
{
	return (next(seed) >> 33) % n;
}

/* Flags that are mostly no, so that the rules get past their first lines. */
static void random_flags(u64 *seed, struct cowtrace_page_state *st)
{
	for (unsigned int f = 0; f < COWTRACE_FIELD_MAPCOUNT; f++) {
		bool rare = f >= COWTRACE_FIELD_ZERO && f <= COWTRACE_FIELD_HUGETLB;

		cowtrace_page_state_set(st, f, !below(seed, rare ? 24 : 4));
	}
	if (below(seed, 2))
		cowtrace_page_state_set(st, COWTRACE_FIELD_UFFD_WP, 0);
	if (below(seed, 2))
		cowtrace_page_state_set(st, COWTRACE_FIELD_LRU, 1);
}

static bool random_state(u64 *seed, struct cowtrace_page_state *st)
{
	static const u8 orders[] = { 0, 0, 0, 4, 9, 9 };
	u32 pages;

	cowtrace_page_state_init(st);
	random_flags(seed, st);
	st->order = orders[below(seed, ct_array_size(orders))];
	pages = 1U << st->order;
	st->mapcount = 1 + below(seed, 3);
	st->swapcount = below(seed, 3) ? 0 : 1;
	st->max_mapcount = st->mapcount + below(seed, 2);
	st->entire_mapcount = cowtrace_page_state_get(st, COWTRACE_FIELD_PMD);
	st->large_mapcount = st->mapcount + below(seed, 2) * (pages - 1);
	st->own_mapcount =
		below(seed, 2) ? st->large_mapcount : 1 + below(seed, st->large_mapcount);
	st->refcount = (st->order ? st->large_mapcount : st->mapcount) + below(seed, 3);
	if (cowtrace_page_state_get(st, COWTRACE_FIELD_SWAPCACHE))
		st->refcount += pages;
	return !cowtrace_page_state_check(st, NULL);
}

static void hide(u64 *seed, struct cowtrace_page_state *st)
{
	for (u32 n = 1 + below(seed, 5); n; n--)
		st->known &= ~COWTRACE_BIT(below(seed, COWTRACE_NR_FIELDS));
	/* What is hidden must not be read: make it nonsense. */
	for (unsigned int f = 0; f < COWTRACE_NR_FIELDS; f++) {
		u32 known = st->known;

		if (known & COWTRACE_BIT(f))
			continue;
		cowtrace_page_state_set(st, f, cowtrace_field_is_flag(f) ? below(seed, 2) : 77777);
		st->known = known;
	}
}

static void test_certain(void **state)
{
	u64 seed = 20260101;
	u32 certain = 0, uncertain = 0;

	for (u32 i = 0; i < NR_STATES; i++) {
		struct cowtrace_page_state st, part;

		if (!random_state(&seed, &st))
			continue;
		part = st;
		hide(&seed, &part);
		assert_int_equal(cowtrace_page_state_check(&part, NULL), 0);
		for (unsigned int m = 0; m < COWTRACE_NR_MODELS; m++) {
			struct cowtrace_verdict all, less;

			assert_int_equal(cowtrace_policy_judge(m, &st, &all), 0);
			assert_int_equal(cowtrace_policy_judge(m, &part, &less), 0);
			assert_int_not_equal(all.action, COWTRACE_UNCERTAIN);
			uncertain += less.action == COWTRACE_UNCERTAIN;
			certain += less.action != COWTRACE_UNCERTAIN;
			if (less.action == COWTRACE_UNCERTAIN) {
				assert_false(part.known & COWTRACE_BIT(less.decides));
				continue;
			}
			if (less.action != all.action)
				fail_msg("%s: flags %#x known %#x map %u ref %u order %u: %s, all "
					 "known: %s",
					 cowtrace_model_get(m)->name, st.flags, part.known,
					 st.mapcount, st.refcount, st.order,
					 cowtrace_action_name(less.action),
					 cowtrace_action_name(all.action));
		}
	}
	/* The generator must reach both kinds, or the loop proves nothing. */
	assert_true(certain > NR_STATES);
	assert_true(uncertain > NR_STATES / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
