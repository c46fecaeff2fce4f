/* SPDX-License-Identifier: MIT */
/*
 * Short stories of the ledger, one for each corner that random events seldom
 * reach.  Each is told with every allocation failing once, and again with the
 * ledger's arrays filled a little more, so that each of them grows at each place.
 *
 * Invariant: a story is told to its end with the results it states, or a call in
 * it answers -ENOMEM and so does every later one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "stories.h"

#define MAX_FILLED 9

static long fail_after = -1; /* allocations that still work; -1: all */

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool fails(void)
{
	return fail_after >= 0 && fail_after-- == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

/* A process that was alone, and is again, reuses one page of 512 that are alike. */
static int alone_again(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, SMALL);
	WRITE(1, A, 512);
	FORK(1, 2);
	EXIT(2);
	FRESH();
	WRITE(1, A + 7, 1);
	assert_int_equal(e->reuse, 1);
	WRITE(1, A, 512);
	assert_int_equal(e->reuse, 513);
	return 0;
}

/* A mapping that fork leaves out, one that it empties, and one that holds nothing. */
static int left_out(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 8, SMALL);
	MAP(B, 8, SMALL);
	MAP(C, 512, THP);
	WRITE(1, A, 8);
	WRITE(1, B, 8);
	WRITE(1, C, 512);
	OK(ct_ledger_dontneed(l, 1, C, 512, e));
	ADVISE(A, 8, DONTFORK);
	ADVISE(B, 8, WIPEONFORK);
	FORK(1, 2);
	IS(ct_ledger_read(l, 2, A, 1, e), -EFAULT);
	IS(ct_ledger_state(l, 2, B, &st), -EFAULT);
	WRITE(2, B, 8);
	/* Alone in both: nothing was shared. */
	FRESH();
	WRITE(1, A, 8);
	WRITE(1, B, 8);
	assert_int_equal(e->copy, 0);
	/* Of the last mapping no entry was left. */
	MAP(FILLED * 2, 512, THP);
	WRITE(1, FILLED * 2, 512);
	OK(ct_ledger_dontneed(l, 1, FILLED * 2, 512, e));
	FORK(1, 3);
	IS(ct_ledger_state(l, 3, FILLED * 2, &st), -EFAULT);
	return 0;
}

/* Writing to a shared mapping that was read-only for a while. */
static int shared(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, SHARED);
	WRITE(1, A, 512);
	PROTECT(A, 512, false);
	PROTECT(A, 512, true);
	FORK(1, 2);
	FRESH();
	WRITE(1, A, 512);
	assert_int_equal(e->reuse, 512);
	assert_int_equal(e->reasons[COWTRACE_REASON_SHARED_MAPPING], 512);
	IS(ct_ledger_pin(l, 1, A, CT_PIN_GET, e), -EFAULT);
	IS(ct_ledger_collapse(l, 1, A, 512), -EINVAL);
	return 0;
}

/* Mappings that meet inside a unit; a unit that is not mapped. */
static int neighbours(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 256, SMALL);
	MAP(A + 256, 256, SMALL);
	WRITE(1, A, 512);
	IS(ct_ledger_write(l, 1, B, 512, e), -EFAULT);
	/* The page table stays while one of them does. */
	OK(ct_ledger_unmap(l, 1, A, 256, e));
	WRITE(1, A + 256, 256);
	OK(ct_ledger_remap(l, 1, A + 256, 128, B, e));
	OK(ct_ledger_remap(l, 1, B, 128, B + 256, e));
	OK(ct_ledger_split(l, 1, A + 384, 1, e));
	OK(ct_ledger_unmap(l, 1, A + 384, 128, e));
	IS(ct_ledger_split(l, 1, A, 512, e), 0);
	MAP(C + 8, 8, SMALL);
	OK(ct_ledger_unmap(l, 1, C + 8, 8, e));
	MAP(C + 8, 8, SMALL);
	WRITE(1, C + 8, 8);
	OK(ct_ledger_split(l, 1, C, 1, e));
	OK(ct_ledger_unmap(l, 1, C, 512, e));
	return 0;
}

/* A held folio outlives its mappings, and goes with the hold. */
static int held(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, THP);
	MAP(B, 512, MTHP64);
	MAP(C, 512, SMALL);
	WRITE(1, A, 512);
	WRITE(1, B, 512);
	WRITE(1, C, 512);
	OK(ct_ledger_pin(l, 1, B + 3, CT_PIN_LONGTERM, e));
	OK(ct_ledger_pin(l, 1, A + 3, CT_PIN_LONGTERM, e));
	OK(ct_ledger_pin(l, 1, C + 3, CT_PIN_GET, e));
	FRESH();
	OK(ct_ledger_pageout(l, 1, C, 4, e));
	SPLIT(1, A, 512);
	OK(ct_ledger_unmap(l, 1, A, 512, e));
	OK(ct_ledger_unmap(l, 1, B, 512, e));
	OK(ct_ledger_unmap(l, 1, C, 512, e));
	OK(ct_ledger_unpin(l, 1, A + 3));
	OK(ct_ledger_unpin(l, 1, B + 3));
	OK(ct_ledger_unpin(l, 1, C + 3));
	OK(ct_ledger_drain(l));
	return 0;
}

/* The same, of a huge page whose frames are told apart. */
static int held_apart(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512, THP);
	WRITE(1, A, 512);
	OK(ct_ledger_pin(l, 1, A + 3, CT_PIN_GET, e));
	OK(ct_ledger_dontneed(l, 1, A + 100, 1, e));
	OK(ct_ledger_unmap(l, 1, A, 512, e));
	OK(ct_ledger_unpin(l, 1, A + 3));
	return 0;
}

/* Huge mappings of one folio that are split one after the other. */
static int split_by_two(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 512, THP);
	WRITE(1, A, 512);
	FORK(1, 2);
	SPLIT(2, A, 512);
	EXIT(2);
	STATE(1, A);
	assert_int_equal(st.large_mapcount, 1);
	FORK(1, 3);
	FORK(1, 4);
	SPLIT(3, A, 512);
	SPLIT(4, A, 512);
	OK(ct_ledger_dontneed(l, 3, A + 1, 1, e));
	SPLIT(1, A, 512);
	EXIT(3);
	EXIT(1);
	STATE(4, A);
	assert_int_equal(st.large_mapcount, 512);
	EXIT(4);
	return 0;
}

/* A part of a unit of alike pages goes; then all of it. */
static int part_of_alike(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 1024, SMALL);
	WRITE(1, A, 1024);
	OK(ct_ledger_dontneed(l, 1, A + 10, 1, e));
	OK(ct_ledger_pageout(l, 1, A + 600, 1, e));
	OK(ct_ledger_dontneed(l, 1, A, 1024, e));
	IS(ct_ledger_state(l, 1, A, &st), -EFAULT);
	WRITE(1, A, 1024);
	return 0;
}

/* mremap: nothing there, a part, whole units and a rest, and back down. */
static int moved(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	IS(ct_ledger_remap(l, 1, A, 1024, B, e), -EFAULT);
	MAP(A, 1500, SMALL);
	OK(ct_ledger_remap(l, 1, A, 1500, B, e));
	WRITE(1, B, 512);
	WRITE(1, B + 1024, 476);
	IS(ct_ledger_remap(l, 1, B, 1500, B - 8, e), -EEXIST);
	OK(ct_ledger_remap(l, 1, B, 1500, A, e));
	STATE(1, A + 1499);
	IS(ct_ledger_state(l, 1, A + 600, &st), -EFAULT);
	OK(ct_ledger_remap(l, 1, A, 1500, C + 3, e));
	STATE(1, C + 3 + 1499);
	OK(ct_ledger_remap(l, 1, C + 3 + 400, 300, A, e));
	IS(ct_ledger_state(l, 1, C + 3 + 400, &st), -EFAULT);
	OK(ct_ledger_exec(l, 1));
	MAP(A, 512, THP);
	MAP(B, 1024, THP);
	WRITE(1, B, 1024);
	OK(ct_ledger_remap(l, 1, B, 1024, C, e));
	assert_int_equal(ct_ledger_nr_huge(l, 1) - e->split, 2);
	FRESH();
	OK(ct_ledger_remap(l, 1, C + 200, 100, B, e));
	assert_int_equal(e->split, 1);
	return 0;
}

/* MADV_COLLAPSE where it may not, and where the mapping is read-only. */
static int collapsed(struct ct_ledger *l, struct ct_effect *e)
{
	IS(ct_ledger_collapse(l, 1, A, 512), -EINVAL);
	MAP(A, 512, SMALL);
	MAP(B, 512, FILE);
	MAP(C, 512, SMALL);
	IS(ct_ledger_collapse(l, 1, A, 512), -EINVAL);
	WRITE(1, A, 512);
	READ(1, B, 512);
	WRITE(1, C, 512);
	IS(ct_ledger_collapse(l, 1, B, 512), -EINVAL);
	ADVISE(C, 512, NOHUGEPAGE);
	IS(ct_ledger_collapse(l, 1, C, 512), -EINVAL);
	OK(ct_ledger_pin(l, 1, C, CT_PIN_GET, e));
	OK(ct_ledger_dontneed(l, 1, A + 4, 4, e));
	PROTECT(A, 512, false);
	OK(ct_ledger_collapse(l, 1, A, 512));
	IS(ct_ledger_write(l, 1, A, 1, e), -EFAULT);
	PROTECT(A, 512, true);
	FRESH();
	WRITE(1, A, 512);
	assert_int_equal(e->reuse, 512);
	return 0;
}

/* Which pages get a folio of 16, and which a huge one. */
static int sizes(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(A, 512 + 20, MTHP64);
	MAP(B, 512, THP);
	MAP(C, 512, MTHP64);
	ADVISE(B, 512, NOHUGEPAGE);
	ADVISE(C, 512, NOHUGEPAGE);
	FRESH();
	WRITE(1, A + 512, 20);
	assert_int_equal(e->fresh, 1 + 4);
	FRESH();
	WRITE(1, C, 512);
	WRITE(1, B, 512);
	assert_int_equal(e->fresh, 1024);
	ADVISE(B, 512, HUGEPAGE);
	OK(ct_ledger_unmap(l, 1, B, 512, e));
	MAP(B, 512, HUGETLB);
	FRESH();
	WRITE(1, B, 512);
	assert_int_equal(e->fresh, 1);
	return 0;
}

/* Mappings are cut by advice, and are one again when it is taken back. */
static int cut_and_joined(struct ct_ledger *l, struct ct_effect *e)
{
	MAP(0, 64, SMALL);
	WRITE(1, 0, 64);
	PROTECT(0, 8, false);
	PROTECT(0, 8, true);
	ADVISE(8, 8, WIPEONFORK);
	ADVISE(16, 8, NOHUGEPAGE);
	ADVISE(16, 8, DOFORK);
	ADVISE(24, 8, HUGEPAGE);
	ADVISE(24, 8, DOFORK);
	ADVISE(24, 16, KEEPONFORK);
	ADVISE(0, 64, KEEPONFORK);
	/* mremap wants one mapping: these three differ for good. */
	IS(ct_ledger_remap(l, 1, 0, 64, A, e), -EFAULT);
	OK(ct_ledger_remap(l, 1, 0, 16, A, e));
	return 0;
}

/* MADV_FREE of a part: of nothing, the zero page, others' pages, and one's own. */
static int freed(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 1024, THP);
	MAP(B, 64, MTHP64);
	OK(ct_ledger_free(l, 1, A + 3, 700, e));
	READ(1, A, 1);
	WRITE(1, A + 512, 1);
	OK(ct_ledger_free(l, 1, A + 3, 8, e));
	FORK(1, 2);
	OK(ct_ledger_free(l, 1, A + 515, 8, e));
	STATE(1, A + 515);
	assert_int_equal(st.order, COWTRACE_HUGE_ORDER);
	SPLIT(1, A + 512, 1);
	OK(ct_ledger_free(l, 1, A + 515, 8, e));
	STATE(1, A + 515);
	assert_int_equal(st.order, COWTRACE_HUGE_ORDER);
	EXIT(2);
	WRITE(1, B, 32);
	OK(ct_ledger_free(l, 1, B, 40, e));
	OK(ct_ledger_free(l, 1, B, 20, e));
	STATE(1, B + 20);
	assert_int_equal(st.order, 0);
	WRITE(1, B + 32, 32);
	OK(ct_ledger_free(l, 1, B + 40, 24, e));
	STATE(1, B + 40);
	assert_int_equal(st.order, 0);
	OK(ct_ledger_free(l, 1, A + 512, 512, e));
	return 0;
}

/* Read-only and back, of each kind of unit. */
static int protected_kinds(struct ct_ledger *l, struct ct_effect *e)
{
	PROTECT(FILLED, 512, true);
	MAP(A, 512, THP);
	MAP(A + 512, 512, THP);
	MAP(B, 1024, SMALL);
	MAP(C, 512, FILE);
	MAP(FILLED * 2, 8, SMALL);
	READ(1, A, 1);
	WRITE(1, A + 512, 512);
	WRITE(1, B, 1024);
	OK(ct_ledger_pageout(l, 1, B + 700, 1, e));
	READ(1, C, 16);
	WRITE(1, C, 4);
	PROTECT(A, 1024, false);
	PROTECT(B, 1024, false);
	PROTECT(C, 512, false);
	PROTECT(FILLED * 2, 8, false);
	PROTECT(A, 1024, true);
	PROTECT(B + 20, 1, true);
	PROTECT(B, 1024, true);
	PROTECT(C, 512, true);
	PROTECT(FILLED * 2, 8, true);
	FORK(1, 2);
	PROTECT(B, 1024, false);
	PROTECT(B, 1024, true);
	FRESH();
	WRITE(1, B, 512);
	assert_int_equal(e->copy, 512);
	/* A unit of alike entries over frames that the other tells apart. */
	OK(ct_ledger_exec(l, 1));
	MAP(A, 512, SMALL);
	WRITE(1, A, 512);
	FORK(1, 3);
	OK(ct_ledger_dontneed(l, 3, A + 7, 1, e));
	PROTECT(A, 512, false);
	PROTECT(A, 512, true);
	FORK(1, 4);
	WRITE(1, A, 512);
	return 0;
}

static int count_runs(void *arg, const struct ct_ledger_run *run)
{
	*(int *)arg += run->page < FILLED;
	return 0;
}

/* Runs end where zero pages, a file's and private pages meet. */
static int runs(struct ct_ledger *l, struct ct_effect *e)
{
	int nr = 0;

	MAP(A, 4, SMALL);
	MAP(A + 4, 4, FILE);
	MAP(A + 8, 8, SMALL);
	OK(ct_ledger_spawn(l, 9));
	OK(ct_ledger_runs(l, 9, count_runs, &nr));
	assert_int_equal(nr, 0);
	READ(1, A, 8);
	WRITE(1, A + 8, 8);
	FORK(1, 2);
	OK(ct_ledger_runs(l, 2, count_runs, &nr));
	assert_int_equal(nr, 1);
	nr = 0;
	OK(ct_ledger_exec(l, 1));
	MAP(A, 4, SMALL);
	MAP(A + 4, 4, FILE);
	MAP(A + 8, 8, SMALL);
	MAP(B, 1024, SMALL);
	READ(1, A, 8);
	WRITE(1, A + 8, 8);
	WRITE(1, B, 1024);
	OK(ct_ledger_dontneed(l, 1, B, 512, e));
	FORK(1, 3);
	OK(ct_ledger_dontneed(l, 3, B + 512, 1, e));
	/* zero, file, private; then 1 page that only one maps, and 511. */
	OK(ct_ledger_runs(l, 1, count_runs, &nr));
	assert_int_equal(nr, 5);
	return 0;
}

/* A whole huge page is copied for its second owner, and held by its first. */
static int copied_huge(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;

	MAP(A, 512, HUGETLB);
	MAP(B, 512, THP);
	WRITE(1, A, 1);
	WRITE(1, B, 512);
	FORK(1, 2);
	FRESH();
	WRITE(2, A, 1);
	assert_int_equal(e->copied_huge, 1);
	EXIT(2);
	OK(ct_ledger_pin(l, 1, B, CT_PIN_GET, e));
	OK(ct_ledger_pageout(l, 1, B, 1, e));
	STATE(1, B);
	assert_int_equal(st.order, COWTRACE_HUGE_ORDER);
	OK(ct_ledger_unmap(l, 1, B, 512, e));
	OK(ct_ledger_unpin(l, 1, B));
	return 0;
}

/* The highest mapping of all: nothing comes after what is taken away. */
static int highest(struct ct_ledger *l, struct ct_effect *e)
{
	struct cowtrace_page_state st;
	u64 top = 8 * FILLED;

	MAP(top, 100, SMALL);
	OK(ct_ledger_remap(l, 1, top, 100, top + 1024, e));
	OK(ct_ledger_remap(l, 1, top + 1024, 100, top, e));
	WRITE(1, top, 100);
	OK(ct_ledger_remap(l, 1, top, 100, A + 3, e));
	STATE(1, A + 3);
	MAP(top, 100, SMALL);
	WRITE(1, top, 100);
	OK(ct_ledger_unmap(l, 1, top, 100, e));
	MAP(top, 512, SMALL);
	WRITE(1, top, 512);
	OK(ct_ledger_dontneed(l, 1, top, 512, e));
	OK(ct_ledger_unmap(l, 1, top, 256, e));
	OK(ct_ledger_unmap(l, 1, top + 256, 256, e));
	return 0;
}

static int (*const stories[])(struct ct_ledger *l, struct ct_effect *e) = {
	alone_again,  left_out,	       shared, neighbours,  held,    held_apart,
	split_by_two, part_of_alike,   moved,  collapsed,   sizes,   cut_and_joined,
	freed,	      protected_kinds, runs,   copied_huge, highest,
};

/* Regions, page tables and blocks that the story finds there already. */
static struct ct_ledger *filled(enum cowtrace_model_id model, u64 nr, bool batches, bool sync)
{
	struct ct_ledger_options opts = {
		.sz = sizeof(opts), .model = model, .batches = batches, .sync_swap = sync
	};
	struct ct_effect e = { 0 };
	struct ct_ledger *l = NULL;

	assert_int_equal(ct_ledger_create(&opts, &l), 0);
	assert_int_equal(ct_ledger_spawn(l, 1), 0);
	for (u64 i = 0; i <= nr; i++) {
		u64 page = FILLED + i * 1024;

		assert_int_equal(ct_ledger_map(l, 1, page, 512, CT_BACK_HUGETLB), 0);
		assert_int_equal(ct_ledger_write(l, 1, page, 1, &e), 0);
	}
	return l;
}

static void tell(int (*story)(struct ct_ledger *l, struct ct_effect *e),
		 enum cowtrace_model_id model, u64 nr)
{
	int rc = -ENOMEM;

	for (long n = 0; rc == -ENOMEM; n++) {
		struct ct_ledger *l = filled(model, nr, false, nr & 1);
		struct ct_effect e = { 0 };

		assert_in_range(n, 0, 2000);
		fail_after = n;
		rc = story(l, &e);
		if (rc) {
			assert_int_equal(ct_ledger_spawn(l, 77), -ENOMEM);
			assert_int_equal(ct_ledger_drain(l), -ENOMEM);
			assert_int_equal(ct_ledger_write(l, 1, A, 1, &e), -ENOMEM);
		}
		fail_after = -1;
		ct_ledger_destroy(l);
	}
}

static void test_stories(void **state)
{
	for (u64 nr = 0; nr < MAX_FILLED; nr++) {
		for (size_t s = 0; s < ct_array_size(stories); s++)
			tell(stories[s], COWTRACE_MODEL_G6, nr);
		for (size_t s = 0; swap_stories[s]; s++)
			tell(swap_stories[s], COWTRACE_MODEL_G6, nr);
		for (size_t s = 0; track_stories[s]; s++)
			tell(track_stories[s], COWTRACE_MODEL_G6, nr);
	}
	/* What comes back in copies needs memory at other places. */
	for (size_t s = 0; swap_stories[s]; s++)
		tell(swap_stories[s], COWTRACE_MODEL_G5, 0);
}

static void tell_plainly(int (*story)(struct ct_ledger *l, struct ct_effect *e), int model)
{
	for (int how = 0; how < 4; how++) {
		struct ct_ledger *l = filled(model, how, how & 1, how & 2);
		struct ct_effect e = { 0 };

		assert_int_equal(story(l, &e), 0);
		ct_ledger_destroy(l);
	}
}

/* Without memory running out: by every generation. */
static void test_generations(void **state)
{
	for (int m = 0; m < COWTRACE_NR_MODELS; m++) {
		for (size_t s = 0; s < ct_array_size(stories); s++)
			tell_plainly(stories[s], m);
		for (size_t s = 0; swap_stories[s]; s++)
			tell_plainly(swap_stories[s], m);
		for (size_t s = 0; track_stories[s]; s++)
			tell_plainly(track_stories[s], m);
	}
}

static void test_limits(void **state)
{
	struct ct_ledger *l = filled(COWTRACE_MODEL_G6, 0, false, false);
	struct ct_effect e = { 0 };
	u32 pid = 1, nr;
	int rc = 0;

	while (!rc && pid <= CT_LEDGER_MAX_PROCS)
		rc = ct_ledger_spawn(l, ++pid);
	assert_int_equal(rc, -EAGAIN);
	assert_int_equal(pid, CT_LEDGER_MAX_PROCS + 1);
	/* A page that KSM merged counts its mappings in 16 bits. */
	rc = ct_ledger_map(l, 2, A, 1 << 17, CT_BACK_SMALL);
	assert_int_equal(rc, 0);
	assert_int_equal(ct_ledger_write(l, 2, A, 1 << 17, &e), 0);
	for (nr = 1; !rc; nr++)
		rc = ct_ledger_merge(l, 2, A, 2, A + nr, &e);
	assert_int_equal(rc, -ENOMEM);
	assert_int_equal(nr, 1 << 16);
	ct_ledger_destroy(l);
	l = filled(COWTRACE_MODEL_G6, 0, false, false);
	/* A TiB of memory is all that the book holds. */
	assert_int_equal(ct_ledger_map(l, 1, 1ULL << 30, (1ULL << 28) + 512, CT_BACK_SMALL), 0);
	assert_int_equal(ct_ledger_write(l, 1, 1ULL << 30, 1ULL << 28, &e), -ENOMEM);
	ct_ledger_destroy(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
