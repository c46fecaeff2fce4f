/* SPDX-License-Identifier: MIT */
/*
 * Stories of pages that go to swap and come back; what each generation makes of them
 * is compared with naive_swap.c, and with kernels by the scenarios swap_*.
 *
 * Invariant: as of every story, see test_ledger_stories.c.
 */
#include "stories.h"

/* A pin brings a page back from swap. */
static int pinned_from_swap(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 8, SMALL);
	WRITE(1, A, 8);
	OK(ct_ledger_pageout(l, 1, A, 8, e));
	OK(ct_ledger_pin(l, 1, A, CT_PIN_LONGTERM, e));
	OK(ct_ledger_pin(l, 1, A + 1, CT_PIN_GET, e));
	FRESH();
	/* What was read back is written where it is, or copied: never both. */
	READ(1, A, 8);
	WRITE(1, A, 8);
	assert_int_equal(e->fresh, 6);
	return 0;
}

/* Out to swap and in again, with the LRU's batches in between. */
static int swapped(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 16, SMALL);
	WRITE(1, A, 16);
	OK(ct_ledger_merge(l, 1, A, 1, A + 1, e));
	OK(ct_ledger_unmap(l, 1, A + 1, 1, e));
	OK(ct_ledger_pageout(l, 1, A, 1, e));
	STATE(1, A);
	OK(ct_ledger_pin(l, 1, A + 2, CT_PIN_GET, e));
	OK(ct_ledger_pageout(l, 1, A + 2, 14, e));
	STATE(1, A + 2);
	IS(ct_ledger_state(l, 1, A + 3, &st), -EFAULT);
	FORK(1, 2);
	READ(1, A + 3, 4);
	WRITE(2, A + 3, 13);
	PROTECT(A + 10, 1, false);
	READ(1, A + 10, 1);
	OK(ct_ledger_drain(l));
	return 0;
}

/* Small folios, one swapped out by its second owner when the first is gone. */
static int second_owner(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 512, THP);
	WRITE(1, A, 512);
	FORK(1, 2);
	OK(ct_ledger_pageout(l, 2, A, 512, e));
	STATE(2, A);
	OK(ct_ledger_exec(l, 1));
	OK(ct_ledger_pageout(l, 2, A, 512, e));
	IS(ct_ledger_state(l, 2, A, &st), -EFAULT);
	return 0;
}

/* However it comes back: each page was new, or there already. */
#define ALL_WRITTEN(pages) assert_int_equal(e->fresh + e->reuse + e->copy, pages)

/* A huge page alone, out and in twice; the second time one page of it comes first. */
static int huge_alone(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 512, THP);
	WRITE(1, A, 512);
	PAGEOUT(1, A, 512);
	IS(ct_ledger_state(l, 1, A, &st), -EFAULT);
	READ(1, A + 8, 1);
	READ(1, A, 512);
	FRESH();
	WRITE(1, A, 512);
	assert_int_equal(e->fresh, 0);
	ALL_WRITTEN(512);
	PAGEOUT(1, A, 512);
	FRESH();
	WRITE(1, A + 100, 1);
	WRITE(1, A, 512);
	ALL_WRITTEN(513);
	PROTECT(A, 512, false);
	PROTECT(A, 512, true);
	WRITE(1, A, 512);
	PAGEOUT(1, A, 511);
	/* A new one, its first page last. */
	MAP(B, 512, THP);
	WRITE(1, B, 512);
	PAGEOUT(1, B, 512);
	WRITE(1, B + 1, 511);
	WRITE(1, B, 1);
	EXIT(1);
	return 0;
}

/* A huge page in swap that two processes want. */
static int huge_wanted(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, THP);
	WRITE(1, A, 512);
	PAGEOUT(1, A, 512);
	FORK(1, 2);
	FRESH();
	WRITE(1, A, 512);
	ALL_WRITTEN(512);
	READ(2, A, 512);
	FORK(2, 3);
	FRESH();
	WRITE(3, A, 512);
	WRITE(2, A, 512);
	ALL_WRITTEN(1024);
	PAGEOUT(1, A, 512);
	FORK(1, 4);
	READ(4, A, 1);
	EXIT(4);
	READ(1, A, 512);
	FRESH();
	WRITE(1, A, 512);
	assert_int_equal(e->fresh, 0);
	return 0;
}

/* Folios of 16: out whole, in part, with a page less, cut in two, and marked unalike. */
static int small_folios(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 64, MTHP64);
	WRITE(1, A, 64);
	PAGEOUT(1, A, 8);
	PAGEOUT(1, A + 24, 40);
	OK(ct_ledger_dontneed(l, 1, A + 33, 1, e));
	PROTECT(A + 56, 8, false);
	FRESH();
	WRITE(1, A, 56);
	ALL_WRITTEN(56);
	READ(1, A + 56, 8);
	PROTECT(A + 56, 8, true);
	WRITE(1, A, 64);
	MAP(B, 32, MTHP64);
	WRITE(1, B, 32);
	FORK(1, 2);
	EXIT(2);
	WRITE(1, B, 1);
	PAGEOUT(1, B, 32);
	PROTECT(B + 24, 8, false);
	READ(1, B + 24, 8);
	READ(1, B + 1, 15);
	FRESH();
	WRITE(1, B, 24);
	ALL_WRITTEN(24);
	return 0;
}

/* Folios of 16 in swap that two processes want, one of them page by page. */
static int small_wanted(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 32, MTHP64);
	WRITE(1, A, 32);
	PAGEOUT(1, A, 32);
	FORK(1, 2);
	OK(ct_ledger_dontneed(l, 2, A + 3, 1, e));
	READ(1, A, 20);
	FRESH();
	WRITE(2, A, 32);
	ALL_WRITTEN(32);
	EXIT(1);
	PAGEOUT(2, A, 32);
	WRITE(2, A, 32);
	return 0;
}

/* A folio in swap, moved to where it spans two page tables, or shares one. */
static int moved_apart(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, THP);
	MAP(B, 16, MTHP64);
	MAP(C, 32, MTHP64);
	WRITE(1, A, 512);
	WRITE(1, B, 16);
	WRITE(1, C, 32);
	PAGEOUT(1, A, 512);
	PAGEOUT(1, B, 16);
	PAGEOUT(1, C, 32);
	OK(ct_ledger_remap(l, 1, A, 512, A + 2056, e));
	OK(ct_ledger_remap(l, 1, B, 16, B + 1000 + 500, e));
	OK(ct_ledger_remap(l, 1, C, 32, C + 1000 + 504, e));
	FRESH();
	WRITE(1, A + 2056, 512);
	ALL_WRITTEN(512);
	WRITE(1, C + 1000 + 534, 1);
	WRITE(1, C + 1000 + 504, 32);
	WRITE(1, B + 1000 + 500, 16);
	/* Back in memory, still apart. */
	PAGEOUT(1, A + 2056, 512);
	PAGEOUT(1, C + 1000 + 504, 32);
	WRITE(1, A + 2056, 1);
	return 0;
}

/* A folio in the swap cache that is shared, merged, held, and broken up. */
static int cached(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 512, THP);
	WRITE(1, A, 512);
	PAGEOUT(1, A, 512);
	READ(1, A, 512);
	FORK(1, 2);
	WRITE(2, A, 8);
	EXIT(2);
	FRESH();
	WRITE(1, A, 100);
	ALL_WRITTEN(100);
	OK(ct_ledger_pin(l, 1, A, CT_PIN_GET, e));
	PAGEOUT(1, A, 512);
	STATE(1, A);
	OK(ct_ledger_unpin(l, 1, A));
	WRITE(1, A + 500, 2);
	OK(ct_ledger_merge(l, 1, A + 500, 1, A + 501, e));
	PAGEOUT(1, A, 512);
	WRITE(1, A, 512);
	return 0;
}

int (*const swap_stories[])(struct ct_ledger *l, struct ct_effect *e) = {
	pinned_from_swap, swapped,	small_folios, huge_alone, huge_wanted,
	small_wanted,	  second_owner, moved_apart,  cached,	  NULL,
};
