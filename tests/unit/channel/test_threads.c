/* SPDX-License-Identifier: MIT */
/* The table of threads that may be asked: who is in it, who was, who is gone. */
#include "segment_util.h"

#include <errno.h>

#include "channel/slot.h"
#include "channel/threads.h"

static struct ct_segment *seg;

static int setup(void **state)
{
	u32 i;

	seg = segment_new();
	for (i = 0; i < 4; i++)
		atomic_store(&seg->slots[i].state, CT_SLOT_LIVE);
	return 0;
}

static int teardown(void **state)
{
	segment_free(seg);
	return 0;
}

/* Entries in the whole table that are of this thread id; of any, with 0. */
static u32 entries(s32 tid)
{
	u32 i, nr = 0;

	for (i = 0; i < CT_SEG_THREADS; i++)
		if (seg->threads[i])
			nr += !tid || (u32)seg->threads[i] == (u32)tid;
	return nr;
}

static void test_enter_and_leave(void **state)
{
	assert_false(ct_thread_ready(seg, 0, 100));
	ct_thread_leave(seg, 0, 100);
	assert_int_equal(ct_thread_enter(seg, 0, 100), 0);
	assert_true(ct_thread_ready(seg, 0, 100));
	assert_false(ct_thread_ready(seg, 1, 100));
	assert_false(ct_thread_ready(seg, 0, 101));
	/* Twice is once. */
	assert_int_equal(ct_thread_enter(seg, 0, 100), 0);
	assert_int_equal(entries(0), 1);
	/* Not by another's word. */
	ct_thread_leave(seg, 1, 100);
	assert_true(ct_thread_ready(seg, 0, 100));
	ct_thread_leave(seg, 0, 100);
	assert_false(ct_thread_ready(seg, 0, 100));
	assert_int_equal(entries(0), 0);
}

/* At its end it may not be asked any more, and yet it is known that it could be. */
static void test_end(void **state)
{
	u32 tid;

	assert_false(ct_thread_known(seg, 0, 100));
	assert_int_equal(ct_thread_enter(seg, 0, 100), 0);
	assert_true(ct_thread_known(seg, 0, 100));
	ct_thread_end(seg, 0, 100);
	assert_false(ct_thread_ready(seg, 0, 100));
	assert_true(ct_thread_known(seg, 0, 100));
	assert_false(ct_thread_known(seg, 1, 100));
	/* Not by a late word, and not of who never was there. */
	ct_thread_leave(seg, 0, 100);
	ct_thread_end(seg, 0, 101);
	assert_true(ct_thread_known(seg, 0, 100));
	assert_false(ct_thread_known(seg, 0, 101));
	/* The id again. */
	assert_int_equal(ct_thread_enter(seg, 1, 100), 0);
	assert_false(ct_thread_known(seg, 0, 100));
	assert_int_equal(entries(0), 1);
	ct_thread_leave(seg, 1, 100);
	/* Threads that have ended take nobody's place. */
	for (tid = 1; tid < 4 * CT_SEG_THREADS; tid++) {
		assert_int_equal(ct_thread_enter(seg, 2, (s32)tid), 0);
		ct_thread_end(seg, 2, (s32)tid);
	}
}

/* The id has been given to a thread of another process. */
static void test_same_id_elsewhere(void **state)
{
	s32 tid;

	for (tid = 1; tid < 5000; tid++)
		assert_int_equal(ct_thread_enter(seg, 0, tid), 0);
	/* Room before it in the window: it comes to lie elsewhere than it lay. */
	for (tid = 1; tid < 5000; tid += 2)
		ct_thread_leave(seg, 0, tid);
	for (tid = 2; tid < 5000; tid += 2) {
		assert_int_equal(ct_thread_enter(seg, 1, tid), 0);
		assert_false(ct_thread_ready(seg, 0, tid));
		assert_true(ct_thread_ready(seg, 1, tid));
	}
	assert_int_equal(entries(0), 2499);
	assert_int_equal(entries(2), 1);
	/* The old owner's late word changes nothing. */
	ct_thread_leave(seg, 0, 2);
	assert_true(ct_thread_ready(seg, 1, 2));
}

static void test_full_of_stale_entries(void **state)
{
	s32 tid = 0, last, i;
	int err;

	do
		err = ct_thread_enter(seg, 2, ++tid);
	while (!err && (u32)tid < 2 * CT_SEG_THREADS);
	/* It fills well before one window is full. */
	assert_int_equal(err, -ENOSPC);
	assert_true((u32)tid > CT_SEG_THREADS / 2);
	last = tid;
	for (i = 1; i < last; i++)
		assert_true(ct_thread_ready(seg, 2, i));
	assert_false(ct_thread_ready(seg, 2, last));
	assert_int_equal(ct_thread_enter(seg, 3, last), -ENOSPC);
	/* What is alive stays; of a process that has gone all places are free. */
	atomic_store(&seg->slots[2].state, CT_SLOT_FREE);
	assert_int_equal(ct_thread_enter(seg, 3, last), 0);
	assert_true(ct_thread_ready(seg, 3, last));
	assert_int_equal(entries(last), 1);
	for (i = 1; i < last; i += 2)
		assert_int_equal(ct_thread_enter(seg, 3, i), 0);
}

/* The table is in memory that the program may scribble in. */
static void test_nonsense_is_stale(void **state)
{
	u32 i;

	for (i = 0; i < CT_SEG_THREADS; i++)
		seg->threads[i] = (u64)(CT_SEG_SLOTS + 1 + i) << 32 | 1u;
	assert_int_equal(ct_thread_enter(seg, 0, 5), 0);
	assert_true(ct_thread_ready(seg, 0, 5));
}

/* Not on a small alternate stack of the program's. */
static void test_avoid(void **state)
{
	const u64 start = 0x7f1234567800, len = 8192;

	/* Nobody is there: nothing happens. */
	ct_thread_avoid(seg, 3, 100, start, len);
	assert_false(ct_thread_ready_at(seg, 3, 100, 0x7ffc00000000));
	assert_int_equal(ct_thread_enter(seg, 3, 100), 0);
	assert_true(ct_thread_ready_at(seg, 3, 100, start));
	ct_thread_avoid(seg, 3, 100, start, len);
	assert_true(ct_thread_ready(seg, 3, 100));
	assert_false(ct_thread_ready_at(seg, 3, 100, start));
	assert_false(ct_thread_ready_at(seg, 3, 100, start + len - 1));
	assert_true(ct_thread_ready_at(seg, 3, 100, ct_page_down(start) - 1));
	assert_true(ct_thread_ready_at(seg, 3, 100, ct_page_up(start + len)));
	assert_true(ct_thread_ready_at(seg, 3, 100, 0x7ffc00000000));
	/* Another stack, or another thread in its place: forgotten. */
	assert_int_equal(ct_thread_enter(seg, 3, 100), 0);
	assert_true(ct_thread_ready_at(seg, 3, 100, start));
	ct_thread_avoid(seg, 3, 100, start, len);
	ct_thread_leave(seg, 3, 100);
	assert_int_equal(ct_thread_enter(seg, 5, 100), 0);
	assert_true(ct_thread_ready_at(seg, 5, 100, start));
}

/* Processes come and go in one table: each always finds itself. */
static void come_and_go(void *arg)
{
	const u32 slot = *(u32 *)arg;
	const s32 base = (s32)slot * 1000 + 1;
	u32 seed = slot + 1;
	bool in[200] = { false };
	s32 k;
	int i;

	for (i = 0; i < 40000; i++) {
		k = (s32)(random_next(&seed) % 200);
		if (ct_thread_ready(seg, slot, base + k) != in[k])
			_exit(1);
		if (in[k])
			ct_thread_leave(seg, slot, base + k);
		else if (ct_thread_enter(seg, slot, base + k))
			_exit(2);
		in[k] = !in[k];
	}
	for (k = 0; k < 200; k++)
		ct_thread_leave(seg, slot, base + k);
}

static void test_processes(void **state)
{
	u32 slots[4];
	pid_t pids[4];
	u32 i;

	for (i = 0; i < 4; i++) {
		slots[i] = i;
		pids[i] = child_run(come_and_go, &slots[i]);
	}
	for (i = 0; i < 4; i++)
		assert_int_equal(child_wait(pids[i]), 0);
	assert_int_equal(entries(0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_enter_and_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_id_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_of_stale_entries, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense_is_stale, setup, teardown),
		cmocka_unit_test_setup_teardown(test_avoid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
