/* SPDX-License-Identifier: MIT */
/*
 * Slots and the pid table, alone and under threads and processes that die.
 */
#include "segment_util.h"

#include <errno.h>
#include <pthread.h>

#include "channel/slot.h"

static void live(struct ct_segment *seg, int idx, s32 pid)
{
	assert_int_equal(ct_slot_bind_pid(seg, (u32)idx, pid), 0);
	atomic_store(&seg->slots[idx].state, CT_SLOT_LIVE);
}

static void test_claim_all(void **state)
{
	struct ct_segment *seg = segment_new();
	static bool seen[CT_SEG_SLOTS];
	u32 i, generation;
	int idx;

	for (i = 0; i < CT_SEG_SLOTS; i++) {
		idx = ct_slot_claim(seg, CT_HOW_FORK, 5);
		assert_in_range(idx, 0, CT_SEG_SLOTS - 1);
		assert_false(seen[idx]);
		seen[idx] = true;
		assert_int_equal(seg->slots[idx].how, CT_HOW_FORK);
		assert_int_equal(seg->slots[idx].parent_slot, 5);
	}
	assert_int_equal(ct_slot_claim(seg, CT_HOW_FORK, 5), -ENOSPC);
	generation = seg->slots[77].generation;
	assert_false(ct_slot_unclaim(seg, 77, generation + 1));
	assert_true(ct_slot_unclaim(seg, 77, generation));
	assert_false(ct_slot_unclaim(seg, 77, generation));
	assert_int_equal(ct_slot_claim(seg, CT_HOW_CLONE, 1), 77);
	assert_int_equal(seg->slots[77].generation, generation + 1);
	segment_free(seg);
}

static void test_a_freed_slot_rests(void **state)
{
	struct ct_segment *seg = segment_new();
	int first = ct_slot_claim(seg, CT_HOW_FORK, 0);
	u32 i;

	ct_slot_free(seg, (u32)first);
	for (i = 0; i < CT_SEG_SLOTS - 1; i++) {
		int idx = ct_slot_claim(seg, CT_HOW_FORK, 0);

		assert_int_not_equal(idx, first);
		ct_slot_free(seg, (u32)idx);
	}
	segment_free(seg);
}

static void test_pids(void **state)
{
	struct ct_segment *seg = segment_new();
	s32 pid = 100000;
	u32 i;

	assert_int_equal(ct_slot_of_pid(seg, 1), -ENOENT);
	/* All slots in use, pids in a row as the kernel gives them. */
	for (i = 0; i < CT_SEG_SLOTS; i++)
		live(seg, ct_slot_claim(seg, CT_HOW_FORK, 0), pid + (s32)i);
	for (i = 0; i < CT_SEG_SLOTS; i++) {
		int idx = ct_slot_of_pid(seg, pid + (s32)i);

		assert_true(idx >= 0 && seg->slots[idx].pid == pid + (s32)i);
	}
	assert_int_equal(ct_slot_of_pid(seg, pid - 1), -ENOENT);
	assert_int_equal(ct_slot_of_pid(seg, pid + (s32)CT_SEG_SLOTS), -ENOENT);
	for (i = 0; i < CT_SEG_SLOTS; i++)
		ct_slot_free(seg, (u32)ct_slot_of_pid(seg, pid + (s32)i));
	for (i = 0; i < CT_SEG_PIDS; i++)
		assert_int_equal(seg->pids[i], 0);
	segment_free(seg);
}

static void test_many_generations_leave_nothing(void **state)
{
	struct ct_segment *seg = segment_new();
	s32 pid;

	/* A busy day: a table with tombstones would be full of them. */
	for (pid = 1; pid < 300000; pid++) {
		int idx = ct_slot_claim(seg, CT_HOW_FORK, 0);

		assert_int_equal(ct_slot_bind_pid(seg, (u32)idx, pid % 32768), 0);
		atomic_store(&seg->slots[idx].state, CT_SLOT_LIVE);
		ct_slot_free(seg, (u32)idx);
	}
	for (pid = 0; pid < (s32)CT_SEG_PIDS; pid++)
		assert_int_equal(seg->pids[pid], 0);
	segment_free(seg);
}

static void test_only_live_and_only_the_newest(void **state)
{
	struct ct_segment *seg = segment_new();
	int a = ct_slot_claim(seg, CT_HOW_FORK, 0), b = ct_slot_claim(seg, CT_HOW_FORK, 0);

	assert_int_equal(ct_slot_bind_pid(seg, (u32)a, 4711), 0);
	assert_int_equal(ct_slot_of_pid(seg, 4711), -ENOENT); /* CLAIMED */
	atomic_store(&seg->slots[a].state, CT_SLOT_LIVE);
	assert_int_equal(ct_slot_of_pid(seg, 4711), a);
	/* The pid comes again while the dead one's slot is still there. */
	live(seg, b, 4711);
	assert_int_equal(ct_slot_of_pid(seg, 4711), b);
	/* Freeing the old one must not take the new one out. */
	ct_slot_free(seg, (u32)a);
	assert_int_equal(ct_slot_of_pid(seg, 4711), b);
	ct_slot_unbind_pid(seg, (u32)b);
	assert_int_equal(ct_slot_of_pid(seg, 4711), -ENOENT);
	segment_free(seg);
}

struct churn {
	struct ct_segment *seg;
	s32 first_pid;
	u32 rounds; /* 0: for ever */
	bool bad;
};

/* Claims, enters, looks itself and others up, and goes, with its own pids. */
static void *churn(void *arg)
{
	struct churn *c = arg;
	u32 i, j;

	for (i = 0; !c->rounds || i < c->rounds; i++) {
		int idx[8];

		for (j = 0; j < ct_array_size(idx); j++) {
			s32 pid = c->first_pid + (s32)j;

			idx[j] = ct_slot_claim(c->seg, CT_HOW_FORK, (u32)c->first_pid);
			if (idx[j] < 0 || ct_slot_bind_pid(c->seg, (u32)idx[j], pid))
				c->bad = true;
			else
				atomic_store(&c->seg->slots[idx[j]].state, CT_SLOT_LIVE);
		}
		for (j = 0; j < ct_array_size(idx); j++) {
			if (ct_slot_of_pid(c->seg, c->first_pid + (s32)j) != idx[j] ||
			    c->seg->slots[idx[j]].parent_slot != (u32)c->first_pid)
				c->bad = true;
			ct_slot_free(c->seg, (u32)idx[j]);
			if (ct_slot_of_pid(c->seg, c->first_pid + (s32)j) != -ENOENT)
				c->bad = true;
		}
	}
	return NULL;
}

static void churn_in_child(void *arg)
{
	churn(arg);
}

static void test_threads(void **state)
{
	struct ct_segment *seg = segment_new();
	struct churn c[6];
	pthread_t thread[6];
	u32 i;

	for (i = 0; i < 6; i++) {
		c[i] = (struct churn){ .seg = seg, .first_pid = 1000 + 8 * (s32)i, .rounds = 5000 };
		assert_int_equal(pthread_create(&thread[i], NULL, churn, &c[i]), 0);
	}
	for (i = 0; i < 6; i++) {
		pthread_join(thread[i], NULL);
		assert_false(c[i].bad);
	}
	for (i = 0; i < CT_SEG_PIDS; i++)
		assert_int_equal(seg->pids[i], 0);
	segment_free(seg);
}

/* Killed anywhere, a process leaves slots behind, and harms nobody else's. */
static void test_killed(void **state)
{
	struct ct_segment *seg = segment_new();
	struct churn own = { .seg = seg, .first_pid = 90000, .rounds = 50 };
	u32 rnd = random_seed(), i, used = 0;

	for (i = 0; i < 80; i++) {
		struct churn c = { .seg = seg, .first_pid = 2000 + 8 * (s32)i };
		pid_t pid = child_run(churn_in_child, &c);

		sleep_us(random_next(&rnd) % 2000);
		churn(&own);
		child_kill(pid);
	}
	assert_false(own.bad);
	for (i = 0; i < CT_SEG_SLOTS; i++)
		if (atomic_load(&seg->slots[i].state) != CT_SLOT_FREE) {
			used++;
			ct_slot_free(seg, i);
		}
	printf("%u slots left by 80 killed\n", used);
	assert_true(used <= 80 * 8);
	for (i = 0; i < CT_SEG_SLOTS; i++)
		assert_true(ct_slot_claim(seg, CT_HOW_FORK, 0) >= 0);
	segment_free(seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claim_all),
		cmocka_unit_test(test_a_freed_slot_rests),
		cmocka_unit_test(test_pids),
		cmocka_unit_test(test_many_generations_leave_nothing),
		cmocka_unit_test(test_only_live_and_only_the_newest),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
