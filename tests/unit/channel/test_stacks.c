/* SPDX-License-Identifier: MIT */
/*
 * Who may be asked for a stack, and the places that stacks are answered in.
 */
#include "segment_util.h"

#include <errno.h>

#include "channel/slot.h"
#include "channel/stacks.h"
#include "channel/threads.h"

static void test_threads(void **state)
{
	struct ct_segment *seg = segment_new();

	assert_false(ct_thread_ready(seg, 3, 100));
	assert_int_equal(ct_thread_enter(seg, 3, 100), 0);
	assert_true(ct_thread_ready(seg, 3, 100));
	assert_false(ct_thread_ready(seg, 4, 100));
	assert_false(ct_thread_ready(seg, 3, 101));
	/* A thread id belongs to one process at a time. */
	assert_int_equal(ct_thread_enter(seg, 4, 100), 0);
	assert_false(ct_thread_ready(seg, 3, 100));
	assert_true(ct_thread_ready(seg, 4, 100));
	ct_thread_leave(seg, 3, 100);
	assert_true(ct_thread_ready(seg, 4, 100));
	ct_thread_leave(seg, 4, 100);
	assert_false(ct_thread_ready(seg, 4, 100));
	segment_free(seg);
}

static void test_avoid(void **state)
{
	const u64 start = 0x7f1234567800, len = 8192;
	struct ct_segment *seg = segment_new();

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
	segment_free(seg);
}

/* A window's worth of threads that hash alike, and those of processes that have gone. */
static void test_full(void **state)
{
	struct ct_segment *seg = segment_new();
	int slot = ct_slot_claim(seg, CT_HOW_FORK, CT_SEG_SLOTS), gone;
	s32 tid, nr = 0;
	u32 i;

	assert_true(slot >= 0);
	for (i = 0; i < CT_SEG_THREADS; i++)
		atomic_store(&seg->threads[i], (u64)(slot + 1) << 32 | 4000000);
	assert_int_equal(ct_thread_enter(seg, (u32)slot, 77), -ENOSPC);
	assert_false(ct_thread_ready(seg, (u32)slot, 77));
	gone = ct_slot_claim(seg, CT_HOW_FORK, CT_SEG_SLOTS);
	assert_true(gone >= 0);
	for (i = 0; i < CT_SEG_THREADS; i++)
		atomic_store(&seg->threads[i], (u64)(gone + 1) << 32 | 4000000);
	ct_slot_free(seg, (u32)gone);
	for (tid = 1; tid < 1000; tid++)
		nr += !ct_thread_enter(seg, (u32)slot, tid);
	assert_int_equal(nr, 999);
	segment_free(seg);
}

static void test_place(void **state)
{
	struct ct_segment *seg = segment_new();
	u64 next = 1, ticket, pcs[CT_STACK_PCS];
	struct ct_stack *stack;
	u32 nr = 9;

	assert_int_equal(ct_stack_ask(seg, &next, 0x400000, 0x7ff0, &ticket), 0);
	assert_int_equal(ticket, 1);
	assert_int_equal(ct_stack_collect(seg, ticket, pcs, &nr), CT_STACK_PENDING);
	assert_null(ct_stack_take(seg, ticket + 1, 0x400000, 0x7ff0));
	stack = ct_stack_take(seg, ticket, 0x400000, 0x7ff0);
	assert_non_null(stack);
	assert_null(ct_stack_take(seg, ticket, 0x400000, 0x7ff0));
	stack->pcs[0] = 0x400000;
	ct_stack_done(stack, ticket, 1);
	assert_int_equal(ct_stack_collect(seg, ticket, pcs, &nr), CT_STACK_ANSWERED);
	assert_int_equal(nr, 1);
	assert_int_equal(pcs[0], 0x400000);
	/* The thread has moved on: no answer, and nothing to wait for. */
	assert_int_equal(ct_stack_ask(seg, &next, 0x400000, 0x7ff0, &ticket), 0);
	assert_null(ct_stack_take(seg, ticket, 0x400004, 0x7ff0));
	assert_int_equal(ct_stack_collect(seg, ticket, pcs, &nr), CT_STACK_MOVED_ON);
	/* Given up while it was being answered, and asked again: the old answer is void. */
	assert_int_equal(ct_stack_ask(seg, &next, 0x400000, 0x7ff0, &ticket), 0);
	stack = ct_stack_take(seg, ticket, 0x400000, 0x7ff0);
	ct_stack_drop(seg, ticket);
	next += CT_SEG_STACKS - 1;
	assert_int_equal(ct_stack_ask(seg, &next, 0x500000, 0x7ff0, &ticket), 0);
	assert_ptr_equal(&seg->stacks[ticket % CT_SEG_STACKS], stack);
	ct_stack_done(stack, ticket - CT_SEG_STACKS, 5);
	assert_int_equal(ct_stack_collect(seg, ticket, pcs, &nr), CT_STACK_PENDING);
	segment_free(seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_avoid),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
