/* SPDX-License-Identifier: MIT */
/*
 * The ledger against naive.c: random events, every generation; after each event
 * the effects are the same, and so is the state of every page of every process.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "naive.h"

#define NR_EVENTS 60
#define MAX_LIVE 4

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

struct pair {
	struct nv *nv;
	struct ct_ledger *l;
	u64 seed;
	u32 live[NV_PROCS];
	int nr_live;
	u32 next_pid;
	char event[96];
};

static void compare_states(struct pair *pr, const char *model)
{
	nv_count(pr->nv);
	pr->nv->counted = true;
	for (int i = 0; i < pr->nr_live; i++) {
		for (u32 q = 0; q < NV_PAGES; q++) {
			struct cowtrace_page_state a, b;
			int ra, rb;

			ra = nv_state(pr->nv, pr->live[i], q, &a);
			rb = ct_ledger_state(pr->l, pr->live[i], NV_BASE + q, &b);
			a.own_mapcount = a.known & COWTRACE_BIT(COWTRACE_FIELD_OWN_MAPCOUNT)
						 ? a.own_mapcount
						 : b.own_mapcount;
			if (ra == rb && (ra || !memcmp(&a, &b, sizeof(a))))
				continue;
			fail_msg("%s, %s: pid %u page %u: %d/%d flags %#x/%#x map %u/%u ref %u/%u "
				 "order %u/%u large %u/%u own %u/%u max %u/%u",
				 model, pr->event, pr->live[i], q, ra, rb, a.flags, b.flags,
				 a.mapcount, b.mapcount, a.refcount, b.refcount, a.order, b.order,
				 a.large_mapcount, b.large_mapcount, a.own_mapcount, b.own_mapcount,
				 a.max_mapcount, b.max_mapcount);
		}
	}
	pr->nv->counted = false;
}

/* A range inside one unit mostly, small mostly, sometimes a whole unit. */
static void pick_range(struct pair *pr, u32 *page, u32 *nr)
{
	u32 unit = below(&pr->seed, NV_UNITS);

	*page = unit * 512;
	*nr = 512;
	if (!below(&pr->seed, 5))
		return;
	*page += below(&pr->seed, 500);
	*nr = 1 + below(&pr->seed, ct_min(24U, (unit + 1) * 512 - *page));
}

static int do_event(struct pair *pr, struct ct_effect *a, struct ct_effect *b, int *rb)
{
	u32 pid = pr->live[below(&pr->seed, pr->nr_live)], page, nr, what;
	u32 other = pr->live[below(&pr->seed, pr->nr_live)], page2 = below(&pr->seed, NV_PAGES);
	bool yes = below(&pr->seed, 2);
	u64 at;

	pick_range(pr, &page, &nr);
	at = NV_BASE + page;
	what = below(&pr->seed, 37);
	snprintf(pr->event, sizeof(pr->event), "event %u of pid %u (%u), pages %u+%u", what, pid,
		 other, page, nr);
	if (what < 12) {
		*rb = ct_ledger_write(pr->l, pid, at, nr, b);
		return nv_touch(pr->nv, pid, page, nr, true, a);
	} else if (what < 14) {
		*rb = ct_ledger_read(pr->l, pid, at, nr, b);
		return nv_touch(pr->nv, pid, page, nr, false, a);
	} else if (what < 18 && pr->nr_live < MAX_LIVE) {
		*rb = ct_ledger_fork(pr->l, pid, pr->next_pid, b);
		nv_fork(pr->nv, pid, pr->next_pid, a);
		pr->live[pr->nr_live++] = pr->next_pid++;
	} else if (what < 21 && pr->nr_live > 1) {
		*rb = ct_ledger_exit(pr->l, pid);
		nv_exit(pr->nv, pid);
		for (int i = 0; i < pr->nr_live; i++)
			if (pr->live[i] == pid)
				pr->live[i] = pr->live[--pr->nr_live];
	} else if (what < 23) {
		*rb = ct_ledger_dontneed(pr->l, pid, at, nr, b);
		nv_dontneed(pr->nv, pid, page, nr, a);
	} else if (what < 26 && pr->nv->next_vma < 240) {
		*rb = ct_ledger_protect(pr->l, pid, at, nr, yes, b);
		nv_protect(pr->nv, pid, page, nr, yes, a);
	} else if (what < 28) {
		*rb = ct_ledger_split(pr->l, pid, at, nr, b);
		nv_split(pr->nv, pid, page, nr, a);
	} else if (what < 30 && pr->nv->nr_pins < NV_PINS) {
		*rb = ct_ledger_pin(pr->l, pid, at, yes ? CT_PIN_LONGTERM : CT_PIN_GET, b);
		return nv_pin(pr->nv, pid, page, yes ? CT_PIN_LONGTERM : CT_PIN_GET, a);
	} else if (what < 31) {
		u32 q = pr->nv->nr_pins ? pr->nv->pin[0].page : page;

		*rb = ct_ledger_unpin(pr->l, pid, NV_BASE + q);
		return nv_unpin(pr->nv, pid, q);
	} else if (what < 33) {
		*rb = ct_ledger_merge(pr->l, pid, at, other, NV_BASE + page2, b);
		return nv_merge(pr->nv, pid, page, other, page2, a);
	} else if (what < 36) {
		/* What is whole goes whole. */
		if (yes)
			page &= ~511U, nr = 512;
		*rb = ct_ledger_pageout(pr->l, pid, NV_BASE + page, nr, b);
		nv_pageout(pr->nv, pid, page, nr, a);
	} else {
		*rb = ct_ledger_collapse(pr->l, pid, at & ~511ULL, 512);
		return nv_collapse(pr->nv, pid, page / 512);
	}
	return 0;
}

static void play(enum cowtrace_model_id model, u64 seed)
{
	static const enum ct_backing backings[] = { CT_BACK_THP, CT_BACK_SMALL, CT_BACK_MTHP64,
						    CT_BACK_FILE, CT_BACK_THP };
	const char *name = cowtrace_model_get(model)->name;
	struct ct_ledger_options opts = { .sz = sizeof(opts),
					  .model = model,
					  .sync_swap = seed & 1 };
	struct pair pr = { .nv = calloc(1, sizeof(*pr.nv)),
			   .seed = seed * 7919 + 1,
			   .next_pid = 2 };

	assert_int_equal(ct_ledger_create(&opts, &pr.l), 0);
	pr.nv->opts = opts;
	pr.nv->has_mark = cowtrace_model_get(model)->id >= COWTRACE_MODEL_G5 &&
			  model <= COWTRACE_MODEL_RMAPID;
	pr.nv->next_vma = NV_UNITS;
	nv_spawn(pr.nv, 1);
	assert_int_equal(ct_ledger_spawn(pr.l, 1), 0);
	pr.live[pr.nr_live++] = 1;
	for (u32 u = 0; u < NV_UNITS; u++) {
		enum ct_backing b = backings[below(&pr.seed, ct_array_size(backings))];

		nv_map(pr.nv, 1, u, b);
		assert_int_equal(ct_ledger_map(pr.l, 1, NV_BASE + u * 512, 512, b), 0);
	}
	for (int i = 0; i < NR_EVENTS; i++) {
		struct ct_effect a = { 0 }, b = { 0 };
		int rb = 0, ra = do_event(&pr, &a, &b, &rb);

		if (ra != rb || memcmp(&a, &b, sizeof(a)))
			fail_msg(
				"%s, seed %lu, %s: %d/%d reuse %lu/%lu copy %lu/%lu zeroed %lu/%lu "
				"fresh %lu/%lu split %lu/%lu",
				name, (unsigned long)seed, pr.event, ra, rb, a.reuse, b.reuse,
				a.copy, b.copy, a.zeroed, b.zeroed, a.fresh, b.fresh, a.split,
				b.split);
		if (i % 20 == 19 || i < 4)
			compare_states(&pr, name);
	}
	while (pr.nr_live)
		assert_int_equal(ct_ledger_exit(pr.l, pr.live[--pr.nr_live]), 0);
	ct_ledger_destroy(pr.l);
	nv_free(pr.nv);
	free(pr.nv);
}

static void test_property(void **state)
{
	const char *env = getenv("CT_PROPERTY_SEEDS");
	u64 seeds = env ? strtoull(env, NULL, 10) : 1;

	for (u64 seed = 1; seed <= seeds; seed++)
		for (unsigned int m = 0; m < COWTRACE_NR_MODELS; m++)
			play(m, seed * 100 + m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_property),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
