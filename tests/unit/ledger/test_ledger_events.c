/* SPDX-License-Identifier: MIT */
/*
 * The ledger's events one by one: what each refuses, what it leaves, how it reads
 * out in runs; and every allocation failing once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ledger/ledger.h"

#define A (64 * 512ULL)	 /* a region that is aligned */
#define B (128 * 512ULL) /* another */

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

static struct ct_ledger *make(enum cowtrace_model_id model, bool batches)
{
	struct ct_ledger_options opts = { .sz = sizeof(opts), .model = model, .batches = batches };
	struct ct_ledger *l = NULL;

	assert_int_equal(ct_ledger_create(&opts, &l), 0);
	assert_int_equal(ct_ledger_spawn(l, 1), 0);
	return l;
}

static void test_refused(void **state)
{
	struct ct_ledger_options opts = { .sz = sizeof(opts), .model = COWTRACE_NR_MODELS };
	struct ct_ledger *l = NULL;
	struct ct_effect eff = { 0 };
	struct cowtrace_page_state st;

	assert_int_equal(ct_ledger_create(&opts, &l), -EINVAL);
	ct_ledger_destroy(NULL);
	l = make(COWTRACE_MODEL_G6, false);
	assert_int_equal(ct_ledger_spawn(l, 0), -EINVAL);
	assert_int_equal(ct_ledger_spawn(l, 1), -EEXIST);
	assert_int_equal(ct_ledger_map(l, 9, A, 8, CT_BACK_SMALL), -ESRCH);
	assert_int_equal(ct_ledger_map(l, 1, A, 0, CT_BACK_SMALL), -EINVAL);
	assert_int_equal(ct_ledger_map(l, 1, UINT64_MAX, 2, CT_BACK_SMALL), -EINVAL);
	assert_int_equal(ct_ledger_map(l, 1, 1ULL << 52, 2, CT_BACK_SMALL), -EINVAL);
	assert_int_equal(ct_ledger_map(l, 1, A, 8, CT_NR_BACKINGS), -EINVAL);
	assert_int_equal(ct_ledger_map(l, 1, A + 1, 512, CT_BACK_HUGETLB), -EINVAL);
	assert_int_equal(ct_ledger_map(l, 1, A, 8, CT_BACK_SMALL), 0);
	assert_int_equal(ct_ledger_map(l, 1, A + 7, 8, CT_BACK_SMALL), -EEXIST);
	assert_int_equal(ct_ledger_write(l, 1, A, 9, &eff), -EFAULT);
	assert_int_equal(ct_ledger_read(l, 1, B, 1, &eff), -EFAULT);
	assert_int_equal(ct_ledger_protect(l, 1, A, 9, false, &eff), -EFAULT);
	assert_int_equal(ct_ledger_dontneed(l, 1, B, 1, &eff), -EFAULT);
	assert_int_equal(ct_ledger_free(l, 1, B, 1, &eff), -EFAULT);
	assert_int_equal(ct_ledger_advise(l, 1, A, 9, CT_ADVISE_DONTFORK, &eff), -EFAULT);
	assert_int_equal(ct_ledger_advise(l, 1, A, 8, CT_NR_ADVICES, &eff), -EINVAL);
	assert_int_equal(ct_ledger_protect(l, 1, A, 8, false, &eff), 0);
	assert_int_equal(ct_ledger_write(l, 1, A, 1, &eff), -EFAULT);
	assert_int_equal(ct_ledger_remap(l, 1, A, 9, B, &eff), -EFAULT);
	assert_int_equal(ct_ledger_remap(l, 1, A, 8, A + 4, &eff), -EEXIST);
	assert_int_equal(ct_ledger_remap(l, 1, A, 8, UINT64_MAX, &eff), -EINVAL);
	assert_int_equal(ct_ledger_collapse(l, 1, A, 512), -EINVAL);
	assert_int_equal(ct_ledger_collapse(l, 1, A + 1, 512), -EINVAL);
	assert_int_equal(ct_ledger_pin(l, 1, B, CT_PIN_GET, &eff), -EFAULT);
	assert_int_equal(ct_ledger_unpin(l, 1, A), -ENOENT);
	assert_int_equal(ct_ledger_merge(l, 1, A, 1, B, &eff), -EINVAL);
	assert_int_equal(ct_ledger_merge(l, 1, B, 1, A, &eff), -EINVAL);
	assert_int_equal(ct_ledger_merge(l, 1, A, 2, A + 1, &eff), -ESRCH);
	assert_int_equal(ct_ledger_state(l, 1, B, &st), -EFAULT);
	assert_int_equal(ct_ledger_fork(l, 2, 3, &eff), -ESRCH);
	assert_int_equal(ct_ledger_fork(l, 1, 1, &eff), -EEXIST);
	assert_int_equal(ct_ledger_exit(l, 7), -ESRCH);
	assert_int_equal(ct_ledger_exec(l, 7), -ESRCH);
	assert_int_equal(ct_ledger_unmap(l, 7, A, 1, &eff), -ESRCH);
	assert_int_equal(ct_ledger_split(l, 7, A, 1, &eff), -ESRCH);
	assert_int_equal(ct_ledger_pageout(l, 7, A, 1, &eff), -ESRCH);
	assert_int_equal(ct_ledger_unpin(l, 7, A), -ESRCH);
	ct_ledger_destroy(l);
}

/* The same answer from every event: no such process. */
static void test_nobody(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6, false);
	struct cowtrace_page_state st;
	struct ct_effect e = { 0 };

	assert_int_equal(ct_ledger_write(l, 7, A, 1, &e), -ESRCH);
	assert_int_equal(ct_ledger_read(l, 7, A, 1, &e), -ESRCH);
	assert_int_equal(ct_ledger_dontneed(l, 7, A, 1, &e), -ESRCH);
	assert_int_equal(ct_ledger_free(l, 7, A, 1, &e), -ESRCH);
	assert_int_equal(ct_ledger_protect(l, 7, A, 1, true, &e), -ESRCH);
	assert_int_equal(ct_ledger_advise(l, 7, A, 1, CT_ADVISE_DOFORK, &e), -ESRCH);
	assert_int_equal(ct_ledger_remap(l, 7, A, 1, B, &e), -ESRCH);
	assert_int_equal(ct_ledger_collapse(l, 7, A, 512), -ESRCH);
	assert_int_equal(ct_ledger_merge(l, 7, A, 1, A, &e), -ESRCH);
	assert_int_equal(ct_ledger_unmerge(l, 7, A, 1, &e), -ESRCH);
	assert_int_equal(ct_ledger_pin(l, 7, A, CT_PIN_GET, &e), -ESRCH);
	assert_int_equal(ct_ledger_state(l, 7, A, &st), -ESRCH);
	ct_ledger_destroy(l);
}

/* A large folio is told by each of its slots; pageout leaves others' pages alone. */
static void test_large(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_RMAPID, false);
	struct cowtrace_page_state st;
	struct ct_effect e = { 0 };

	ct_ledger_map(l, 1, A, 512, CT_BACK_THP);
	ct_ledger_map(l, 1, B, 512, CT_BACK_MTHP64);
	ct_ledger_write(l, 1, A, 512, &e);
	ct_ledger_write(l, 1, B, 512, &e);
	ct_ledger_fork(l, 1, 2, &e);
	assert_int_equal(ct_ledger_pageout(l, 2, A, 512, &e), 0);
	assert_int_equal(ct_ledger_nr_huge(l, 2), 1);
	assert_int_equal(ct_ledger_state(l, 2, B + 5, &st), 0);
	assert_int_equal(st.own_mapcount, 16);
	assert_int_equal(st.large_mapcount, 32);
	assert_int_equal(ct_ledger_exit(l, 1), 0);
	/* The second slot's process alone: MADV_FREE of a part breaks its folio up. */
	assert_int_equal(ct_ledger_free(l, 2, A + 1, 3, &e), 0);
	assert_int_equal(ct_ledger_nr_huge(l, 0), 0);
	assert_int_equal(ct_ledger_state(l, 2, A + 1, &st), 0);
	assert_int_equal(st.order, 0);
	ct_ledger_destroy(l);
}

static void test_held(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6, false);
	struct ct_effect eff = { 0 };

	ct_ledger_map(l, 1, A, 512, CT_BACK_THP);
	ct_ledger_map(l, 1, B, 512, CT_BACK_HUGETLB);
	ct_ledger_write(l, 1, A, 512, &eff);
	ct_ledger_write(l, 1, B, 512, &eff);
	assert_int_equal(ct_ledger_split(l, 1, B, 1, &eff), -EINVAL);
	assert_int_equal(ct_ledger_remap(l, 1, B, 512, B + 1025, &eff), -EINVAL);
	assert_int_equal(ct_ledger_collapse(l, 1, B, 512), -EINVAL);
	assert_int_equal(ct_ledger_merge(l, 1, A, 1, B, &eff), -EINVAL);
	assert_int_equal(ct_ledger_pin(l, 1, A + 3, CT_PIN_GET, &eff), 0);
	assert_int_equal(ct_ledger_merge(l, 1, A, 1, A + 1, &eff), -EBUSY);
	assert_int_equal(ct_ledger_split(l, 1, A, 1, &eff), 0);
	assert_int_equal(ct_ledger_collapse(l, 1, A, 512), -EBUSY);
	assert_int_equal(ct_ledger_unpin(l, 1, A + 3), 0);
	assert_int_equal(ct_ledger_collapse(l, 1, A, 512), 0);
	assert_int_equal(ct_ledger_nr_huge(l, 0), 1);
	assert_int_equal(ct_ledger_nr_huge(l, 2), 0);
	assert_int_equal(ct_ledger_merge(l, 1, A, 1, A + 1, &eff), 0);
	assert_int_equal(ct_ledger_pin(l, 1, A + 9, CT_PIN_LONGTERM, &eff), 0);
	assert_int_equal(ct_ledger_merge(l, 1, A, 1, A + 9, &eff), -EBUSY);
	/* A page may be unmapped while it is held: it goes with the pin. */
	assert_int_equal(ct_ledger_unmap(l, 1, A, 512, &eff), 0);
	assert_int_equal(ct_ledger_unpin(l, 1, A + 9), 0);
	ct_ledger_destroy(l);
}

struct seen {
	int nr;
	u64 pages;
	struct ct_ledger_run run[8];
};

static int note(void *arg, const struct ct_ledger_run *run)
{
	struct seen *s = arg;

	s->run[s->nr++ % 8] = *run;
	s->pages += run->nr;
	return 0;
}

static int stop(void *arg, const struct ct_ledger_run *run)
{
	return 5;
}

static void test_runs(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6, false);
	struct ct_effect eff = { 0 };
	struct seen s = { 0 };

	ct_ledger_map(l, 1, A, 2048, CT_BACK_SMALL);
	ct_ledger_write(l, 1, A, 2048, &eff);
	assert_int_equal(ct_ledger_runs(l, 1, note, &s), 0);
	assert_int_equal(s.nr, 1);
	assert_int_equal(s.pages, 2048);
	ct_ledger_fork(l, 1, 2, &eff);
	ct_ledger_write(l, 1, A + 700, 1, &eff);
	ct_ledger_dontneed(l, 1, A + 1000, 24, &eff);
	memset(&s, 0, sizeof(s));
	assert_int_equal(ct_ledger_runs(l, 1, note, &s), 0);
	assert_int_equal(s.pages, 2048 - 24);
	assert_int_equal(s.nr, 4);
	assert_true(s.run[1].writable && s.run[1].page == A + 700 && s.run[1].nr == 1);
	assert_false(s.run[0].writable);
	assert_int_equal(s.run[0].st.mapcount, 2);
	assert_int_equal(ct_ledger_runs(l, 1, stop, &s), 5);
	assert_int_equal(ct_ledger_runs(l, 9, stop, &s), -ESRCH);
	ct_ledger_destroy(l);
}

/* Runs of what is not anonymous memory, or not there. */
static void test_kinds(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6, false);
	struct cowtrace_page_state st;
	struct ct_effect e = { 0 };
	struct seen s = { 0 };

	ct_ledger_map(l, 1, A, 520, CT_BACK_SMALL);
	ct_ledger_map(l, 1, B, 40, CT_BACK_FILE);
	ct_ledger_map(l, 1, 2 * B, 8, CT_BACK_SHARED);
	ct_ledger_map(l, 1, 3 * B, 512, CT_BACK_THP);
	ct_ledger_read(l, 1, A, 4, &e);
	ct_ledger_write(l, 1, A + 4, 4, &e);
	ct_ledger_pageout(l, 1, A + 6, 2, &e);
	ct_ledger_read(l, 1, B + 20, 1, &e);
	ct_ledger_read(l, 1, 2 * B, 2, &e);
	ct_ledger_protect(l, 1, 2 * B + 2, 2, false, &e);
	ct_ledger_read(l, 1, 2 * B + 2, 1, &e);
	ct_ledger_read(l, 1, 3 * B, 512, &e);
	assert_int_equal(ct_ledger_runs(l, 1, note, &s), 0);
	assert_int_equal(s.nr, 7);
	assert_true(s.run[0].zero && s.run[0].nr == 4 && !s.run[0].writable);
	assert_true(s.run[1].writable && s.run[1].nr == 2);
	assert_true(s.run[2].swapped && !s.run[2].present && s.run[2].nr == 2);
	assert_true(s.run[3].file && s.run[3].page == B + 16 && s.run[3].nr == 16);
	assert_true(s.run[4].writable && !s.run[5].writable);
	assert_true(s.run[6].zero && s.run[6].nr == 512);
	assert_int_equal(ct_ledger_nr_huge(l, 1), 0);
	assert_int_equal(ct_ledger_state(l, 1, 2 * B, &st), 0);
	assert_true(cowtrace_page_state_get(&st, COWTRACE_FIELD_SHARED));
	assert_int_equal(ct_ledger_state(l, 1, A + 6, &st), -EFAULT);
	assert_int_equal(ct_ledger_pin(l, 1, A, CT_PIN_GET, &e), -EFAULT);
	assert_int_equal(ct_ledger_collapse(l, 1, 3 * B, 512), -EINVAL);
	ct_ledger_destroy(l);
}

static void test_corners(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6, false);
	struct ct_effect e = { 0 };
	int pins = 0;

	ct_ledger_map(l, 1, A, 600, CT_BACK_SMALL);
	ct_ledger_map(l, 1, B, 512, CT_BACK_HUGETLB);
	ct_ledger_map(l, 1, 3 * B + 8, 40, CT_BACK_MTHP64);
	ct_ledger_write(l, 1, A, 600, &e);
	ct_ledger_write(l, 1, B, 1, &e);
	/* A count of pins has its limit. */
	while (!ct_ledger_pin(l, 1, A, CT_PIN_LONGTERM, &e))
		pins++;
	assert_in_range(pins, 32, 64);
	/* Folios only where a whole one fits. */
	memset(&e, 0, sizeof(e));
	ct_ledger_write(l, 1, 3 * B + 8, 40, &e);
	assert_int_equal(e.fresh, 8 + 1 + 1);
	ct_ledger_advise(l, 1, 3 * B + 8, 40, CT_ADVISE_NOHUGEPAGE, &e);
	assert_int_equal(ct_ledger_dontneed(l, 1, 3 * B + 16, 16, &e), 0);
	memset(&e, 0, sizeof(e));
	ct_ledger_write(l, 1, 3 * B + 16, 16, &e);
	assert_int_equal(e.fresh, 16);
	/* Aligned hugetlb moves whole; a unit with a border inside does not collapse. */
	assert_int_equal(ct_ledger_remap(l, 1, B, 512, 4 * B, &e), 0);
	assert_int_equal(ct_ledger_remap(l, 1, 4 * B, 512, A, &e), -EEXIST);
	assert_int_equal(ct_ledger_pageout(l, 1, 4 * B, 512, &e), 0);
	assert_int_equal(ct_ledger_collapse(l, 1, A + 512, 512), -EINVAL);
	/* The gap that remap left is free again, and its page table gone. */
	assert_int_equal(ct_ledger_map(l, 1, B, 512, CT_BACK_THP), 0);
	memset(&e, 0, sizeof(e));
	ct_ledger_write(l, 1, B, 512, &e);
	assert_int_equal(e.fresh, 1);
	/* KSM pages that are read-only stay merged. */
	assert_int_equal(ct_ledger_merge(l, 1, A + 30, 1, A + 31, &e), 0);
	assert_int_equal(ct_ledger_merge(l, 1, A, 1, A + 31, &e), -EBUSY);
	ct_ledger_protect(l, 1, A + 30, 2, false, &e);
	memset(&e, 0, sizeof(e));
	assert_int_equal(ct_ledger_unmerge(l, 1, A + 20, 1200, &e), 0);
	assert_int_equal(e.copy, 0);
	ct_ledger_protect(l, 1, A + 30, 2, true, &e);
	assert_int_equal(ct_ledger_unmerge(l, 1, A + 20, 20, &e), 0);
	assert_int_equal(e.copy, 2);
	/* A swapped page that is read in a read-only mapping stays read-only. */
	ct_ledger_pageout(l, 1, A + 50, 1, &e);
	ct_ledger_protect(l, 1, A + 50, 1, false, &e);
	assert_int_equal(ct_ledger_read(l, 1, A + 50, 1, &e), 0);
	assert_int_equal(ct_ledger_write(l, 1, A + 50, 1, &e), -EFAULT);
	ct_ledger_destroy(l);
}

/* Under a byte a page, while units are alike; everything is given back. */
static void test_memory(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G6, false);
	struct ct_effect eff = { 0 };
	u64 pages = 512 * 4096;

	ct_ledger_map(l, 1, A, pages, CT_BACK_SMALL);
	ct_ledger_write(l, 1, A, pages, &eff);
	ct_ledger_fork(l, 1, 2, &eff);
	ct_ledger_write(l, 1, A, pages, &eff);
	assert_int_equal(eff.copy, pages);
	assert_true(ct_ledger_memory(l) < pages);
	assert_int_equal(ct_ledger_exit(l, 2), 0);
	assert_int_equal(ct_ledger_exec(l, 1), 0);
	ct_ledger_destroy(l);
}

static void test_batches(void **state)
{
	struct ct_ledger *l = make(COWTRACE_MODEL_G3, true);
	struct ct_effect eff = { 0 };

	ct_ledger_map(l, 1, A, 4, CT_BACK_SMALL);
	ct_ledger_map(l, 1, B, 512, CT_BACK_SMALL);
	ct_ledger_write(l, 1, A, 4, &eff);
	ct_ledger_write(l, 1, B, 512, &eff);
	ct_ledger_fork(l, 1, 2, &eff);
	ct_ledger_exit(l, 2);
	ct_ledger_write(l, 1, A, 2, &eff);
	ct_ledger_write(l, 1, B, 512, &eff);
	assert_int_equal(eff.uncertain, 514);
	assert_int_equal(ct_ledger_drain(l), 0);
	memset(&eff, 0, sizeof(eff));
	ct_ledger_write(l, 1, A, 4, &eff);
	assert_int_equal(eff.uncertain, 0);
	assert_int_equal(eff.reuse, 4);
	ct_ledger_destroy(l);
}

/* Something of everything; stops at the first error. */
static int something(struct ct_ledger *l)
{
	struct ct_effect e = { 0 };
	int rc = ct_ledger_spawn(l, 1);

#define DO(call) rc = rc ? rc : (call)
	DO(ct_ledger_map(l, 1, A, 1024, CT_BACK_THP));
	DO(ct_ledger_map(l, 1, B, 600, CT_BACK_SMALL));
	DO(ct_ledger_map(l, 1, 2 * B, 1024, CT_BACK_MTHP64));
	DO(ct_ledger_map(l, 1, 3 * B, 64, CT_BACK_FILE));
	DO(ct_ledger_map(l, 1, 4 * B, 64, CT_BACK_SHARED));
	DO(ct_ledger_map(l, 1, 5 * B, 512, CT_BACK_HUGETLB));
	DO(ct_ledger_map(l, 1, 6 * B, 512, CT_BACK_THP));
	DO(ct_ledger_write(l, 1, A, 1024, &e));
	DO(ct_ledger_write(l, 1, B, 600, &e));
	DO(ct_ledger_write(l, 1, 2 * B, 530, &e));
	DO(ct_ledger_read(l, 1, 3 * B, 64, &e));
	DO(ct_ledger_write(l, 1, 3 * B, 9, &e));
	DO(ct_ledger_write(l, 1, 4 * B, 9, &e));
	DO(ct_ledger_read(l, 1, 5 * B, 1, &e));
	DO(ct_ledger_read(l, 1, 6 * B, 1, &e));
	DO(ct_ledger_pin(l, 1, A + 512, CT_PIN_LONGTERM, &e));
	DO(ct_ledger_fork(l, 1, 2, &e));
	DO(ct_ledger_fork(l, 2, 3, &e));
	DO(ct_ledger_write(l, 2, A, 3, &e));
	DO(ct_ledger_write(l, 2, B, 600, &e));
	DO(ct_ledger_write(l, 1, 2 * B, 512, &e));
	DO(ct_ledger_write(l, 1, 5 * B, 1, &e));
	DO(ct_ledger_write(l, 1, 6 * B, 1, &e));
	DO(ct_ledger_protect(l, 2, A, 30, false, &e));
	DO(ct_ledger_protect(l, 1, B + 4, 30, false, &e));
	DO(ct_ledger_advise(l, 1, A + 600, 30, CT_ADVISE_DONTFORK, &e));
	DO(ct_ledger_advise(l, 1, B, 600, CT_ADVISE_HUGEPAGE, &e));
	DO(ct_ledger_advise(l, 1, B, 600, CT_ADVISE_NOHUGEPAGE, &e));
	DO(ct_ledger_advise(l, 1, B, 600, CT_ADVISE_WIPEONFORK, &e));
	DO(ct_ledger_advise(l, 1, B, 600, CT_ADVISE_KEEPONFORK, &e));
	DO(ct_ledger_advise(l, 1, A, 1024, CT_ADVISE_DOFORK, &e));
	DO(ct_ledger_merge(l, 3, A, 3, B, &e));
	DO(ct_ledger_merge(l, 2, B + 1, 3, B, &e));
	DO(ct_ledger_merge(l, 2, B + 1, 3, B, &e));
	DO(ct_ledger_unmerge(l, 3, B, 600, &e));
	DO(ct_ledger_pageout(l, 2, B, 600, &e));
	DO(ct_ledger_pageout(l, 1, 2 * B, 40, &e));
	DO(ct_ledger_fork(l, 2, 4, &e));
	DO(ct_ledger_write(l, 2, B, 600, &e));
	DO(ct_ledger_read(l, 4, B, 600, &e));
	DO(ct_ledger_dontneed(l, 4, B + 1, 100, &e));
	DO(ct_ledger_remap(l, 1, A, 512, 7 * B, &e));
	DO(ct_ledger_remap(l, 3, 2 * B, 1024, 8 * B + 1, &e));
	DO(ct_ledger_free(l, 3, 8 * B + 2, 5, &e));
	DO(ct_ledger_free(l, 1, 7 * B, 5, &e));
	DO(ct_ledger_collapse(l, 1, 7 * B, 512));
	DO(ct_ledger_unmap(l, 1, 7 * B, 5, &e));
	DO(ct_ledger_unpin(l, 1, A + 512));
	DO(ct_ledger_drain(l));
	DO(ct_ledger_exec(l, 2));
	DO(ct_ledger_exit(l, 1));
	DO(ct_ledger_exit(l, 3));
	DO(ct_ledger_exit(l, 4));
#undef DO
	return rc;
}

static void test_no_memory(void **state)
{
	for (int m = 0; m < COWTRACE_NR_MODELS; m += 2) {
		struct ct_ledger_options opts = { .sz = sizeof(opts), .model = m };
		int rc = -ENOMEM;

		for (long n = 0; rc == -ENOMEM && n < 3000; n++) {
			struct ct_ledger *l = NULL;

			fail_after = n;
			rc = ct_ledger_create(&opts, &l);
			if (!rc)
				rc = something(l);
			/* Broken once, it says so for ever. */
			if (l && rc)
				assert_int_equal(ct_ledger_drain(l), -ENOMEM);
			fail_after = -1;
			ct_ledger_destroy(l);
		}
		assert_int_equal(rc, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused), cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_large),	cmocka_unit_test(test_held),
		cmocka_unit_test(test_runs),	cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_corners), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_batches), cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
