/* SPDX-License-Identifier: MIT */
/*
 * The limit of saved pages: writers that wait until a snapshot is released, snapshots
 * that are given up, in both ways of serving; what was read is right or an error.
 * And that released memory goes back at once.
 */
#include "snap_util.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define NR 2048ul
#define LEN (NR * PAGE)

static void fill(char *p, unsigned char v)
{
	for (size_t i = 0; i < NR; i++)
		memset(p + i * PAGE, v, PAGE);
}

/* Pages written once each, none a neighbour's: no batches. */
static void write_apart(char *p, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		p[(i * 1021 % NR) * PAGE]++;
}

struct writer {
	char *p;
	_Atomic int done;
};

static void *write_all(void *arg)
{
	struct writer *w = arg;

	write_apart(w->p, NR);
	w->done = 1;
	return NULL;
}

static void sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static void test_block(void **state)
{
	struct cowtrace_heap_opts o = { .saved_max = 100 * PAGE };
	struct cowtrace_heap *h = snap_heap_opts(*state, LEN, o);
	struct writer w = { .p = cowtrace_heap_base(h) };
	struct cowtrace_heap_stats st;
	struct cowtrace_snapshot *s;
	char *all = malloc(LEN);
	pthread_t thread;

	fill(w.p, 7);
	s = snap_take(h);
	assert_int_equal(pthread_create(&thread, NULL, write_all, &w), 0);
	while (!snap_stats(h).stalls)
		sleep_ms(1);
	sleep_ms(30);
	assert_false(w.done);
	st = snap_stats(h);
	assert_int_equal(st.saved, 100 * PAGE);
	/* Nothing is lost, and nobody who reads is held. */
	ok(cowtrace_snapshot_read(s, 0, all, LEN));
	for (size_t i = 0; i < LEN; i++)
		assert_int_equal(all[i], 7);
	cowtrace_snapshot_release(s);
	assert_int_equal(pthread_join(thread, NULL), 0);
	st = snap_stats(h);
	assert_int_equal(st.saved, 0);
	assert_int_equal(st.peak_saved, 100 * PAGE);
	assert_true(st.stall_ns > 20 * 1000000);
	assert_int_equal(st.invalidated, 0);
	free(all);
	cowtrace_heap_destroy(h);
}

static void check_given_up(struct cowtrace_snapshot *s)
{
	struct cowtrace_run run;
	const void *view;
	size_t nr, next;
	uint32_t crc;
	char c;

	assert_int_equal(cowtrace_snapshot_read(s, 0, &c, 1), -ESTALE);
	assert_int_equal(cowtrace_snapshot_crc(s, &crc), -ESTALE);
	assert_int_equal(cowtrace_snapshot_write_fd(s, 1, NULL), -ESTALE);
	assert_int_equal(cowtrace_snapshot_view(s, &view), -ESTALE);
	assert_int_equal(cowtrace_snapshot_diff(s, NULL, 0, &run, 1, &nr, &next), -ESTALE);
}

static void test_give_up(void **state)
{
	struct cowtrace_heap_opts o = { .saved_max = 100 * PAGE,
					.at_limit = COWTRACE_LIMIT_INVALIDATE };
	struct cowtrace_heap *h = snap_heap_opts(*state, LEN, o);
	struct cowtrace_snapshot *old, *young;
	char *p = cowtrace_heap_base(h), c;

	fill(p, 7);
	old = snap_take(h);
	write_apart(p, 60);
	young = snap_take(h);
	/* 60 saved for the old one; 90 for both: 150. */
	for (size_t i = 60; i < 150; i++)
		p[(i * 1021 % NR) * PAGE]++;
	check_given_up(old);
	/* The young one has kept its own. */
	for (size_t i = 0; i < NR; i++) {
		ok(cowtrace_snapshot_read(young, (i * 1021 % NR) * PAGE, &c, 1));
		assert_int_equal(c, i < 60 ? 8 : 7);
	}
	assert_int_equal(snap_stats(h).saved, 90 * PAGE);
	assert_int_equal(snap_stats(h).invalidated, 1);
	assert_int_equal(snap_stats(h).snapshots, 1);
	/* And is given up in its turn. */
	write_apart(p, NR);
	check_given_up(young);
	assert_int_equal(snap_stats(h).saved, 0);
	cowtrace_snapshot_release(old);
	cowtrace_snapshot_release(young);
	assert_int_equal(cowtrace_snapshot_read(old, 0, &c, 1), -EBADF);
	cowtrace_heap_destroy(h);
}

static void test_stall_max(void **state)
{
	struct cowtrace_heap_opts o = { .saved_max = 10 * PAGE, .stall_max_ns = 20000000 };
	struct cowtrace_heap *h = snap_heap_opts(*state, LEN, o);
	struct cowtrace_snapshot *s;
	char *p = cowtrace_heap_base(h);

	fill(p, 7);
	s = snap_take(h);
	write_apart(p, NR);
	check_given_up(s);
	assert_int_equal(snap_stats(h).invalidated, 1);
	assert_true(snap_stats(h).stall_ns >= 20000000);
	cowtrace_heap_destroy(h);
}

/* prepare and discard meet the limit as well. */
static void test_prepare(void **state)
{
	struct cowtrace_heap_opts o = { .saved_max = 10 * PAGE,
					.at_limit = COWTRACE_LIMIT_INVALIDATE };
	struct cowtrace_heap *h = snap_heap_opts(*state, LEN, o);
	struct cowtrace_snapshot *s;
	char *p = cowtrace_heap_base(h), c;

	fill(p, 7);
	s = snap_take(h);
	ok(cowtrace_heap_prepare(h, p, 8 * PAGE));
	ok(cowtrace_snapshot_read(s, 0, &c, 1));
	ok(cowtrace_heap_prepare(h, p + 8 * PAGE, 8 * PAGE));
	check_given_up(s);
	s = snap_take(h);
	ok(cowtrace_heap_discard(h, p, LEN));
	check_given_up(s);
	s = snap_take(h);
	p[0] = 1;
	ok(cowtrace_snapshot_read(s, 0, &c, 1));
	assert_int_equal(c, 0);
	cowtrace_heap_destroy(h);
}

static sigjmp_buf jump;

static void on_bus(int sig)
{
	siglongjmp(jump, 1);
}

/* A view keeps what it has, and what it has not raises SIGBUS. */
static void test_view(void **state)
{
	struct cowtrace_heap_opts o = { .saved_max = 10 * PAGE,
					.at_limit = COWTRACE_LIMIT_INVALIDATE };
	struct sigaction sa = { .sa_handler = on_bus };
	struct cowtrace_heap *h;
	struct cowtrace_snapshot *s;
	const volatile char *view;
	const void *v;
	char *p;

	sigaction(SIGBUS, &sa, NULL);
	h = snap_heap_opts(*state, LEN, o);
	p = cowtrace_heap_base(h);
	fill(p, 7);
	s = snap_take(h);
	ok(cowtrace_snapshot_view(s, &v));
	view = v;
	assert_int_equal(view[100 * PAGE], 7);
	write_apart(p, 200);
	assert_int_equal(view[100 * PAGE], 7);
	if (!sigsetjmp(jump, 1)) {
		(void)view[500 * PAGE];
		fail_msg("a page of a snapshot that was given up");
	}
	cowtrace_heap_destroy(h);
	signal(SIGBUS, SIG_DFL);
}

static void test_gives_back(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, LEN);
	char *p = cowtrace_heap_base(h);
	struct cowtrace_snapshot *a, *b;
	long before, during, one_less, after;

	fill(p, 7);
	before = snap_resident();
	a = snap_take(h);
	write_apart(p, NR);
	b = snap_take(h);
	write_apart(p, NR / 2);
	during = snap_resident();
	cowtrace_snapshot_release(a);
	one_less = snap_resident();
	cowtrace_snapshot_release(b);
	after = snap_resident();
	assert_in_range(during - before, NR * 3 / 2, NR * 3 / 2 + 140);
	assert_in_range(one_less - before, NR / 2, NR / 2 + 140);
	/* Tables that are kept for the next snapshot: some tens of pages, of thousands. */
	assert_in_range(after - before, 0, 80);
	cowtrace_heap_destroy(h);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} kinds[] = {
		{ "block", test_block },     { "give up", test_give_up },
		{ "stall", test_stall_max }, { "prepare", test_prepare },
		{ "view", test_view },	     { "gives back", test_gives_back },
	};
	static const size_t ways[] = { 0, 2 };
	struct CMUnitTest tests[12];
	size_t nr = 0;

	for (size_t k = 0; k < 6; k++)
		for (size_t w = 0; w < 2; w++)
			tests[nr++] = (struct CMUnitTest){ kinds[k].name, kinds[k].run, NULL, NULL,
							   (void *)&snap_ways[ways[w]] };
	return _cmocka_run_group_tests("snapshot limit", tests, nr, NULL, NULL);
}
