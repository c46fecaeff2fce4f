/* SPDX-License-Identifier: MIT */
/*
 * Stories of memory that somebody watches: userfaultfd and soft-dirty bits.
 *
 * Invariant: as of every story, see test_ledger_stories.c.
 */
#include "stories.h"

#define UFFD(page, nr, mode) OK(ct_ledger_uffd(l, 1, page, nr, CT_UFFD_##mode, e))
#define WP(page, nr, on) OK(ct_ledger_uffd_protect(l, 1, page, nr, on, e))

/* The first write splits a marked huge page; one let go whole stays. */
static int marked_huge(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, THP);
	WRITE(1, A, 512);
	UFFD(A, 512, SYNC);
	/* Its neighbour begins inside of a unit. */
	MAP(A + 520, 512, THP);
	WRITE(1, A + 520, 512);
	WP(A, 512, true);
	WP(A, 512, false);
	FRESH();
	WRITE(1, A, 512);
	assert_int_equal(e->split, 0);
	WP(A, 512, true);
	/* Read-only for another reason and back: the mark is there still. */
	PROTECT(A, 512, false);
	PROTECT(A, 512, true);
	WRITE(1, A + 7, 1);
	assert_int_equal(e->split, 1);
	assert_int_equal(e->reasons[COWTRACE_REASON_UFFD_WP_SYNC], 1);
	WP(A, 8, true);
	WRITE(1, A, 512);
	/* The page table that is there now forbids another huge page. */
	OK(ct_ledger_dontneed(l, 1, A, 512, e));
	WRITE(1, A, 512);
	UFFD(A, 512, NONE);
	IS(ct_ledger_uffd_protect(l, 1, A, 8, true, e), -EFAULT);
	return 0;
}

/* Nobody watches the child, nor what was moved, nor what is watched no more. */
static int unwatched(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 1024, THP);
	WRITE(1, A, 1024);
	UFFD(A, 1024, ASYNC);
	WP(A, 1024, true);
	FORK(1, 2);
	EXIT(1);
	FRESH();
	WRITE(2, A, 1);
	assert_int_equal(e->split, 0);
	OK(ct_ledger_spawn(l, 1));
	MAP(A, 1024, THP);
	WRITE(1, A, 1024);
	UFFD(A, 1024, ASYNC);
	WP(A, 1024, true);
	OK(ct_ledger_remap(l, 1, A, 512, B, e));
	FRESH();
	WRITE(1, B, 512);
	assert_int_equal(e->split, 0);
	WRITE(1, A + 512, 1);
	assert_int_equal(e->reasons[COWTRACE_REASON_UFFD_WP_ASYNC], 1);
	/* A half that is watched no more splits, and the other keeps its mark. */
	MAP(C, 1024, THP);
	WRITE(1, C, 512);
	UFFD(C, 1024, SYNC);
	WP(C, 512, true);
	UFFD(C, 256, NONE);
	WP(C + 256, 256, true);
	UFFD(C, 1024, NONE);
	/* The highest mapping, empty and not. */
	MAP(16 * FILLED, 8, SMALL);
	UFFD(16 * FILLED, 8, NONE);
	WRITE(1, 16 * FILLED, 8);
	UFFD(16 * FILLED, 8, NONE);
	return 0;
}

/* What cannot be watched, and what is not mapped. */
static int unwatchable(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 8, FILE);
	MAP(B, 8, SMALL);
	IS(ct_ledger_uffd(l, 1, A, 8, CT_UFFD_SYNC, e), -EINVAL);
	IS(ct_ledger_uffd(l, 1, B, 8, CT_NR_UFFDS, e), -EINVAL);
	IS(ct_ledger_uffd(l, 1, B, 9, CT_UFFD_SYNC, e), -EFAULT);
	IS(ct_ledger_uffd(l, 99, B, 8, CT_UFFD_SYNC, e), -ESRCH);
	IS(ct_ledger_uffd_protect(l, 1, B, 8, true, e), -EFAULT);
	IS(ct_ledger_uffd_protect(l, 1, C, 8, false, e), -EFAULT);
	IS(ct_ledger_uffd_protect(l, 99, C, 8, false, e), -ESRCH);
	IS(ct_ledger_clear_dirty(l, 99), -ESRCH);
	return 0;
}

/* Small pages: none there yet, zero, alike, read-only, cut in two, of 16. */
static int marked_small(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 520, SMALL);
	UFFD(A, 520, SYNC);
	WP(A, 520, true);
	READ(1, A + 512, 8);
	WP(A + 512, 8, true);
	WRITE(1, A, 512);
	WP(A, 512, true);
	FRESH();
	WRITE(1, A, 512);
	assert_int_equal(e->reuse, 512);
	/* Told apart on the side of the frames only. */
	FORK(1, 2);
	WRITE(2, A, 8);
	WP(A, 512, true);
	EXIT(2);
	PROTECT(A, 512, false);
	WP(A, 512, true);
	WP(A, 512, false);
	PROTECT(A, 512, true);
	WRITE(1, A, 520);
	OK(ct_ledger_dontneed(l, 1, A, 512, e));
	MAP(C, 512, SMALL);
	UFFD(C, 512, ASYNC);
	WRITE(1, C, 512);
	OK(ct_ledger_dontneed(l, 1, C, 512, e));
	WP(C, 512, true);
	/* A watched mapping gets no folios of 16, and none in one read. */
	MAP(B, 1024, MTHP64);
	WRITE(1, B, 16);
	PAGEOUT(1, B, 16);
	UFFD(B, 1024, SYNC);
	FRESH();
	WRITE(1, B, 32);
	WRITE(1, B + 512, 512);
	assert_in_range(e->fresh, 16 + 512 + 1, 16 + 512 + 16);
	return 0;
}

static int cleared_dirty(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, THP);
	MAP(B, 512, SMALL);
	MAP(C, 8, SMALL);
	MAP(C + 512, 512, MTHP64);
	WRITE(1, A, 512);
	WRITE(1, B, 512);
	WRITE(1, C, 4);
	WRITE(1, C + 512, 512);
	OK(ct_ledger_clear_dirty(l, 1));
	FRESH();
	WRITE(1, A, 512);
	WRITE(1, C, 4);
	assert_int_equal(e->split, 0);
	assert_int_equal(e->reuse, 516);
	WRITE(1, C + 512, 512);
	/* What is pinned stays writable where PTEs map it: one by one, and of a folio. */
	OK(ct_ledger_pin(l, 1, C, CT_PIN_LONGTERM, e));
	OK(ct_ledger_pin(l, 1, A + 3, CT_PIN_LONGTERM, e));
	SPLIT(1, A, 512);
	OK(ct_ledger_clear_dirty(l, 1));
	WRITE(1, A + 3, 1);
	OK(ct_ledger_clear_dirty(l, 1));
	WRITE(1, A, 512);
	/* Told apart by the child on the side of the frames, clean on this one. */
	FORK(1, 2);
	WRITE(2, B, 8);
	OK(ct_ledger_clear_dirty(l, 1));
	WRITE(1, B, 512);
	return 0;
}

/* Broken up wherever it is mapped, unless something holds it. */
static int broken_up(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 512, THP);
	MAP(B, 8, SMALL);
	MAP(C, 512, HUGETLB);
	WRITE(1, A, 512);
	WRITE(1, B, 4);
	WRITE(1, C, 1);
	OK(ct_ledger_pin(l, 1, A, CT_PIN_GET, e));
	FORK(1, 2);
	OK(ct_ledger_split_folio(l, 1, A, 512, e));
	STATE(1, A);
	assert_int_equal(st.order, COWTRACE_HUGE_ORDER);
	OK(ct_ledger_unpin(l, 1, A));
	FRESH();
	OK(ct_ledger_split_folio(l, 1, A, 512, e));
	OK(ct_ledger_split_folio(l, 1, B, 600, e));
	OK(ct_ledger_split_folio(l, 1, C, 512, e));
	assert_int_equal(e->split, 2);
	STATE(2, A + 9);
	assert_int_equal(st.order, 0);
	assert_int_equal(st.mapcount, 2);
	IS(ct_ledger_split_folio(l, 99, A, 1, e), -ESRCH);
	return 0;
}

int (*const track_stories[])(struct ct_ledger *l, struct ct_effect *e) = {
	marked_huge, unwatched, unwatchable, marked_small, cleared_dirty, broken_up, NULL,
};
