/* SPDX-License-Identifier: MIT */
/*
 * The ring of faults: its order, a full one, and records that were reserved and never
 * written, or late.
 */
#include "segment_util.h"

#include <string.h>

#include "channel/faults.h"

static bool put(struct ct_segment *seg, u64 n)
{
	const struct ct_fault f = {
		.addr = n, .slot = (u32)(n % CT_SEG_SLOTS), .nr_pcs = 1, .pcs = { ~n }
	};

	return ct_fault_put(seg, &f);
}

static bool next_is(struct ct_segment *seg, struct ct_fault_reader *r, u64 now, u64 n)
{
	struct ct_fault f;

	return ct_fault_next(seg, r, now, &f) == 1 && f.addr == n && f.pcs[0] == ~n;
}

static void test_order_and_full(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_fault_reader r = { 0 };
	struct ct_fault f;
	u64 i, lap;

	(void)state;
	for (lap = 0; lap < 2; lap++) {
		for (i = 0; i < CT_SEG_FAULTS; i++)
			assert_true(put(seg, i + 1));
		assert_false(put(seg, 7));
		assert_int_equal(atomic_load(&seg->slots[7].faults_lost), lap + 1);
		for (i = 0; i < CT_SEG_FAULTS; i++)
			assert_true(next_is(seg, &r, 1, i + 1));
		assert_int_equal(ct_fault_next(seg, &r, 1, &f), 0);
	}
	assert_int_equal(r.skipped, 0);
	segment_free(seg);
}

/* One that is interrupted in the middle must not hide what others tell after it. */
static void test_hole(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_fault_reader r = { 0 };
	struct ct_fault *late = &seg->faults[1], f;

	(void)state;
	assert_true(put(seg, 10));
	atomic_fetch_add(&seg->faults_head, 1);
	assert_true(put(seg, 12));
	assert_true(next_is(seg, &r, 1, 10));
	assert_true(next_is(seg, &r, 1, 12));
	assert_int_equal(ct_fault_next(seg, &r, 1, &f), 0);
	assert_int_equal(atomic_load(&seg->faults_tail), 1);
	/* It goes on. */
	late->addr = 11;
	late->nr_pcs = 1;
	late->pcs[0] = ~11ULL;
	atomic_store(&late->seq_end, 2);
	atomic_store(&late->seq, 2);
	assert_true(next_is(seg, &r, 2, 11));
	assert_int_equal(atomic_load(&seg->faults_tail), 3);
	assert_int_equal(r.skipped, 0);
	segment_free(seg);
}

static void test_never_written(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_fault_reader r = { 0 };
	struct ct_fault f;

	(void)state;
	atomic_fetch_add(&seg->faults_head, 1);
	assert_true(put(seg, 5));
	assert_true(next_is(seg, &r, 1, 5));
	assert_int_equal(ct_fault_next(seg, &r, CT_FAULT_STUCK_NS, &f), 0);
	assert_int_equal(r.skipped, 0);
	assert_int_equal(ct_fault_next(seg, &r, CT_FAULT_STUCK_NS + 1, &f), 0);
	assert_int_equal(r.skipped, 1);
	assert_int_equal(atomic_load(&seg->faults_tail), 2);
	segment_free(seg);
}

/* What a program has scribbled over leads nowhere out of bounds, and ends. */
static void test_nonsense(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_fault_reader r = { 0 };
	struct ct_fault f = { .slot = 3, .nr_pcs = CT_SITE_PCS + 1 };

	(void)state;
	assert_true(ct_fault_put(seg, &f));
	assert_int_equal(ct_fault_next(seg, &r, 1, &f), 0);
	assert_int_equal(r.skipped, 1);
	atomic_store(&seg->faults_head, 1ULL << 60);
	assert_int_equal(ct_fault_next(seg, &r, 1, &f), 0);
	assert_true(put(seg, 9));
	assert_true(next_is(seg, &r, 1, 9));
	segment_free(seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_full),
		cmocka_unit_test(test_hole),
		cmocka_unit_test(test_never_written),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
