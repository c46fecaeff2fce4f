/* SPDX-License-Identifier: MIT */
/*
 * Asking and answering, with either side killed, stopped or late.
 */
#include "segment_util.h"

#include <errno.h>
#include <pthread.h>

#include "channel/ask.h"
#include "channel/slot.h"

#define MS CT_NSEC_PER_MSEC

static u32 own_slot(struct ct_segment *seg)
{
	int idx = ct_slot_claim(seg, CT_HOW_FORK, CT_SEG_SLOTS);

	assert_true(idx >= 0);
	assert_int_equal(ct_slot_bind_pid(seg, (u32)idx, getpid()), 0);
	atomic_store(&seg->slots[idx].state, CT_SLOT_LIVE);
	return (u32)idx;
}

static void test_nobody_there(void **state)
{
	struct ct_segment *seg = segment_new();
	u32 idx = own_slot(seg);

	atomic_store(&seg->state, CT_SEG_OFF);
	assert_int_equal(ct_ask(seg, idx, CT_ASK_BIRTH), -ENOTCONN);
	atomic_store(&seg->state, CT_SEG_ON);
	atomic_store(&seg->heartbeat_ns, ct_now_ns() - CT_ASK_STALE_NS);
	assert_int_equal(ct_ask(seg, idx, CT_ASK_BIRTH), -ENOTCONN);
	assert_int_equal(atomic_load(&seg->slots[idx].ask), CT_ASK_NONE);
	assert_int_equal(ct_ask_next(seg), -1);
	segment_free(seg);
}

static void test_bound(void **state)
{
	struct ct_segment *seg = segment_new();
	u32 idx = own_slot(seg);
	u64 t;

	seg->hold_ns = 50 * MS;
	t = ct_now_ns();
	assert_int_equal(ct_ask(seg, idx, CT_ASK_EXIT), -ETIMEDOUT);
	assert_in_range(ct_now_ns() - t, 50 * MS, 250 * MS);
	assert_true(atomic_load(&seg->slots[idx].flags) & CT_SLOT_HOLD_EXPIRED);
	/* It was withdrawn, and the recorder sees that. */
	assert_int_equal(ct_ask_next(seg), (int)idx);
	assert_int_equal(ct_ask_take(seg, idx), CT_ASK_NONE);
	segment_free(seg);
}

static void test_quiet(void **state)
{
	struct ct_segment *seg = segment_new();
	u32 idx = own_slot(seg), kind;

	atomic_store(&seg->slots[idx].flags, CT_SLOT_QUIET);
	atomic_store(&seg->sleeping, 1);
	/* Twice: the answer to the first is never looked at. */
	for (kind = CT_ASK_BIRTH; kind <= CT_ASK_EXIT; kind++) {
		assert_int_equal(ct_ask(seg, idx, kind), 0);
		assert_int_equal(ct_ask_next(seg), (int)idx);
		assert_int_equal(ct_ask_take(seg, idx), kind);
		assert_true(ct_ask_done(seg, idx));
	}
	assert_int_equal(atomic_load(&seg->doorbell), 0);
	segment_free(seg);
}

struct asker {
	struct ct_segment *seg;
	u32 idx;
	int ret;
};

static void *ask_thread(void *arg)
{
	struct asker *a = arg;

	a->ret = ct_ask(a->seg, a->idx, CT_ASK_EXEC);
	return NULL;
}

static int next_blocking(struct ct_segment *seg)
{
	u64 until = ct_now_ns() + 2 * CT_NSEC_PER_SEC;
	int idx;

	while ((idx = ct_ask_next(seg)) < 0 && ct_now_ns() < until) {
		atomic_store(&seg->heartbeat_ns, ct_now_ns());
		ct_bell_wait(seg, 10 * MS);
	}
	return idx;
}

static void test_abandoned_while_served(void **state)
{
	struct ct_segment *seg = segment_new();
	struct asker a = { .seg = seg, .idx = own_slot(seg), .ret = 1 };
	pthread_t thread;

	seg->hold_ns = 60 * MS;
	pthread_create(&thread, NULL, ask_thread, &a);
	assert_int_equal(next_blocking(seg), (int)a.idx);
	assert_int_equal(ct_ask_take(seg, a.idx), CT_ASK_EXEC);
	assert_int_equal(ct_ask(seg, a.idx, CT_ASK_EXIT), -EBUSY);
	pthread_join(thread, NULL);
	assert_int_equal(a.ret, -ETIMEDOUT);
	assert_int_equal(atomic_load(&seg->slots[a.idx].ask), CT_ASK_ABANDONED);
	assert_int_equal(ct_ask(seg, a.idx, CT_ASK_EXIT), -EBUSY);
	assert_false(ct_ask_done(seg, a.idx));
	/* From here on all is as at the beginning. */
	pthread_create(&thread, NULL, ask_thread, &a);
	assert_int_equal(next_blocking(seg), (int)a.idx);
	assert_int_equal(ct_ask_take(seg, a.idx), CT_ASK_EXEC);
	assert_true(ct_ask_done(seg, a.idx));
	pthread_join(thread, NULL);
	assert_int_equal(a.ret, 0);
	segment_free(seg);
}

static void test_join_waits_for_the_other_thread(void **state)
{
	struct ct_segment *seg = segment_new();
	struct asker a = { .seg = seg, .idx = own_slot(seg), .ret = 1 };
	pthread_t thread;
	u64 t = ct_now_ns();

	ct_ask_join(seg, a.idx); /* nothing to wait for */
	assert_true(ct_now_ns() - t < 20 * MS);
	seg->hold_ns = 80 * MS;
	pthread_create(&thread, NULL, ask_thread, &a);
	assert_int_equal(next_blocking(seg), (int)a.idx);
	ct_ask_join(seg, a.idx);
	pthread_join(thread, NULL);
	assert_int_equal(a.ret, -ETIMEDOUT);
	assert_true(ct_now_ns() - t >= 60 * MS);
	segment_free(seg);
}

/* A process that asks again and again, and never waits beyond the bound. */
static void ask_for_ever(void *arg)
{
	struct ct_segment *seg = arg;
	u32 idx = own_slot(seg);

	for (;;) {
		u64 t = ct_now_ns();
		int ret = ct_ask(seg, idx, CT_ASK_BIRTH);

		if (ct_now_ns() - t > seg->hold_ns + 500 * MS)
			_exit(1);
		if (ret && ret != -ETIMEDOUT && ret != -ENOTCONN && ret != -EBUSY)
			_exit(2);
		/* The words of the test: how many were answered, how many not. */
		atomic_fetch_add(ret ? &seg->slots[idx].forks_done : &seg->slots[idx].forks_begun,
				 1);
		if (ret)
			sleep_us(1000);
	}
}

static void serve_for_ever(void *arg)
{
	struct ct_segment *seg = arg;

	for (;;) {
		int idx;

		atomic_store(&seg->heartbeat_ns, ct_now_ns());
		while ((idx = ct_ask_next(seg)) >= 0)
			if (ct_ask_take(seg, (u32)idx) != CT_ASK_NONE)
				ct_ask_done(seg, (u32)idx);
		ct_bell_wait(seg, 5 * MS);
	}
}

static void test_askers_killed(void **state)
{
	struct ct_segment *seg = segment_new();
	pid_t recorder = child_run(serve_for_ever, seg), stays = child_run(ask_for_ever, seg);
	u32 rnd = random_seed(), i;
	int idx;

	for (i = 0; i < 120; i++) {
		pid_t pid = child_run(ask_for_ever, seg);

		sleep_us(random_next(&rnd) % 1500);
		child_kill(pid);
		idx = ct_slot_of_pid(seg, pid);
		if (idx >= 0)
			ct_slot_free(seg, (u32)idx);
	}
	assert_int_equal(waitpid(stays, NULL, WNOHANG), 0);
	idx = ct_slot_of_pid(seg, stays);
	assert_true(idx >= 0);
	printf("%u answered, %u not\n", seg->slots[idx].forks_begun, seg->slots[idx].forks_done);
	assert_true(seg->slots[idx].forks_begun > 100);
	assert_int_equal(seg->slots[idx].forks_done, 0);
	child_kill(stays);
	child_kill(recorder);
	segment_free(seg);
}

/* A recorder is killed wherever it stands; a slot it was serving is given up. */
static void test_recorder_killed(void **state)
{
	struct ct_segment *seg = segment_new();
	u32 rnd = random_seed(), i, k, answered = 0;
	pid_t asker[3];

	seg->hold_ns = 30 * MS;
	for (k = 0; k < 3; k++)
		asker[k] = child_run(ask_for_ever, seg);
	for (i = 0; i < 40; i++) {
		pid_t recorder = child_run(serve_for_ever, seg);

		sleep_us(1000 + random_next(&rnd) % 3000);
		child_kill(recorder);
		sleep_us(random_next(&rnd) % 2000);
	}
	for (k = 0; k < 3; k++) {
		int idx = ct_slot_of_pid(seg, asker[k]);

		assert_int_equal(waitpid(asker[k], NULL, WNOHANG), 0);
		assert_true(idx >= 0);
		answered += seg->slots[idx].forks_begun;
		/* What a dead recorder was serving stays given up, and costs no wait. */
		printf("%u answered, %u not, word %u\n", seg->slots[idx].forks_begun,
		       seg->slots[idx].forks_done, seg->slots[idx].ask);
		child_kill(asker[k]);
	}
	assert_true(answered > 0);
	segment_free(seg);
}

static void test_recorder_stopped(void **state)
{
	struct ct_segment *seg = segment_new();
	pid_t recorder, asker;
	u32 i, before, rnd = random_seed();
	int idx;

	seg->hold_ns = 20 * MS;
	recorder = child_run(serve_for_ever, seg);
	asker = child_run(ask_for_ever, seg);
	for (i = 0; i < 25; i++) {
		sleep_us(random_next(&rnd) % 3000);
		kill(recorder, SIGSTOP);
		assert_int_equal(waitpid(recorder, NULL, WUNTRACED), recorder);
		sleep_us(25000 + random_next(&rnd) % 5000);
		kill(recorder, SIGCONT);
	}
	assert_int_equal(waitpid(asker, NULL, WNOHANG), 0);
	idx = ct_slot_of_pid(seg, asker);
	assert_true(idx >= 0);
	/* It goes on being answered afterwards: no state is stuck. */
	before = atomic_load(&seg->slots[idx].forks_begun);
	sleep_us(100000);
	assert_true(atomic_load(&seg->slots[idx].forks_begun) > before);
	printf("%u answered, %u not\n", seg->slots[idx].forks_begun, seg->slots[idx].forks_done);
	assert_true(seg->slots[idx].forks_done > 0);
	child_kill(asker);
	child_kill(recorder);
	segment_free(seg);
}

static void ring_later(void *arg)
{
	sleep_us(20000);
	ct_bell_ring(arg);
}

static void test_bell(void **state)
{
	struct ct_segment *seg = segment_new();
	u64 t = ct_now_ns();
	pid_t pid;

	ct_bell_wait(seg, 10 * MS);
	assert_true(ct_now_ns() - t >= 10 * MS);
	pid = child_run(ring_later, seg);
	t = ct_now_ns();
	ct_bell_wait(seg, 5 * CT_NSEC_PER_SEC);
	assert_true(ct_now_ns() - t < CT_NSEC_PER_SEC);
	child_wait(pid);
	/* Work that is there already is not slept over. */
	atomic_store(&seg->asking[3], 1);
	t = ct_now_ns();
	ct_bell_wait(seg, 5 * CT_NSEC_PER_SEC);
	assert_true(ct_now_ns() - t < CT_NSEC_PER_SEC);
	segment_free(seg);
}

static void test_every_slot_gets_its_turn(void **state)
{
	struct ct_segment *seg = segment_new();
	u32 i, seen = 0;
	int idx;

	for (i = 0; i < CT_SEG_SLOTS; i += 7)
		atomic_fetch_or(&seg->asking[i / 64], 1ULL << (i % 64));
	while ((idx = ct_ask_next(seg)) >= 0) {
		assert_int_equal(idx % 7, 0);
		seen++;
	}
	assert_int_equal(seen, (CT_SEG_SLOTS + 6) / 7);
	segment_free(seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_quiet),
		cmocka_unit_test(test_abandoned_while_served),
		cmocka_unit_test(test_join_waits_for_the_other_thread),
		cmocka_unit_test(test_askers_killed),
		cmocka_unit_test(test_recorder_killed),
		cmocka_unit_test(test_recorder_stopped),
		cmocka_unit_test(test_bell),
		cmocka_unit_test(test_every_slot_gets_its_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
