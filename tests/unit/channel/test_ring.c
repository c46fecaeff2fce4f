/* SPDX-License-Identifier: MIT */
/*
 * The event ring: threads, processes that are killed or stopped in the middle
 * of an append, forks inside of it, and records that make no sense.
 */
#include "segment_util.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/time.h>

#include "channel/ring.h"

/* An event whose every field follows from who and n: mixed ones are found out. */
static void fill(struct ct_event *ev, u32 who, u64 n)
{
	u32 i;

	memset(ev, 0, sizeof(*ev));
	ev->type = CT_EV_MAP;
	ev->slot = who;
	ev->nr_pcs = CT_SITE_PCS - 2;
	ev->addr = n;
	ev->len = n * 3 + who;
	ev->arg = ~n;
	ev->arg3 = n ^ 0x5555555555555555u;
	for (i = 0; i < CT_SITE_PCS - 2; i++)
		ev->pcs[i] = n + i * 1000003u + who;
}

static bool intact(const struct ct_event *ev)
{
	struct ct_event want;

	fill(&want, ev->slot, ev->addr);
	return !memcmp(&want.type, &ev->type,
		       offsetof(struct ct_event, seq_end) - offsetof(struct ct_event, type));
}

static void test_order_and_full(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	struct ct_event ev, got;
	u64 lap, n = 0, next = 0;
	u32 i;

	assert_int_equal(ct_ring_next(seg, &reader, 1, &got), 0);
	for (lap = 0; lap < 3; lap++) {
		for (i = 0; i < CT_SEG_EVENTS; i++, n++) {
			fill(&ev, 7, n);
			assert_true(ct_ring_put(seg, &ev));
		}
		assert_false(ct_ring_put(seg, &ev));
		assert_int_equal(atomic_load(&seg->dropped), lap + 1);
		while (ct_ring_next(seg, &reader, 1, &got)) {
			assert_true(intact(&got));
			assert_int_equal(got.addr, next++);
		}
		assert_int_equal(next, n);
	}
	assert_int_equal(reader.torn + reader.skipped, 0);
	segment_free(seg);
}

static void test_nonsense_is_dropped(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	struct ct_event bad[5], got;
	u32 i;

	for (i = 0; i < ct_array_size(bad); i++)
		fill(&bad[i], 1, i);
	bad[0].type = CT_EV_NR;
	bad[1].type = CT_EV_NONE;
	bad[2].slot = CT_SEG_SLOTS;
	bad[3].nr_pcs = CT_SITE_PCS - 1;
	bad[4].type = CT_EV_TAG; /* fewer addresses fit */
	for (i = 0; i < ct_array_size(bad); i++)
		ct_ring_put(seg, &bad[i]);
	bad[4].nr_pcs = 3;
	memset(bad[4].name, 'x', CT_TAG_NAME);
	ct_ring_put(seg, &bad[4]);
	assert_int_equal(ct_ring_next(seg, &reader, 1, &got), 1);
	assert_int_equal(got.type, CT_EV_TAG);
	assert_int_equal(strlen(got.name), CT_TAG_NAME - 1);
	assert_int_equal(reader.torn, ct_array_size(bad));
	assert_int_equal(ct_ring_next(seg, &reader, 1, &got), 0);
	segment_free(seg);
}

static void test_dead_writer_is_passed_over(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	const u64 t = 1000000;
	struct ct_event ev, got;

	/* Two that died after reserving, and one that lives. */
	atomic_fetch_add(&seg->head, 2);
	fill(&ev, 1, 42);
	assert_true(ct_ring_put(seg, &ev));
	assert_int_equal(ct_ring_next(seg, &reader, t, &got), 0);
	assert_int_equal(ct_ring_next(seg, &reader, t + CT_RING_STUCK_NS - 1, &got), 0);
	assert_int_equal(reader.skipped, 0);
	/* Both are as old: one patience for both. */
	assert_int_equal(ct_ring_next(seg, &reader, t + CT_RING_STUCK_NS, &got), 1);
	assert_int_equal(got.addr, 42);
	assert_int_equal(reader.skipped, 2);
	/* A newer one has its own. */
	atomic_fetch_add(&seg->head, 1);
	assert_int_equal(ct_ring_next(seg, &reader, t + CT_RING_STUCK_NS, &got), 0);
	assert_int_equal(reader.skipped, 2);
	segment_free(seg);
}

static void test_scribbled_head(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	struct ct_event ev, got;
	const u64 heads[] = { 1ULL << 60, UINT64_MAX - 5 };
	u32 i;

	for (i = 0; i < ct_array_size(heads); i++) {
		atomic_store(&seg->head, heads[i]);
		assert_int_equal(ct_ring_next(seg, &reader, 1, &got), 0);
		fill(&ev, 1, i);
		assert_true(ct_ring_put(seg, &ev));
		assert_int_equal(ct_ring_next(seg, &reader, 1, &got), 1);
		assert_true(intact(&got) && got.addr == i);
	}
	segment_free(seg);
}

struct producer {
	struct ct_segment *seg;
	u32 who;
	u64 nr; /* 0: for ever */
	u64 put;
};

static void *produce(void *arg)
{
	struct producer *p = arg;
	struct ct_event ev;
	u64 n;

	for (n = 0; !p->nr || n < p->nr; n++) {
		fill(&ev, p->who, n);
		p->put += ct_ring_put(p->seg, &ev);
	}
	return NULL;
}

static void produce_in_child(void *arg)
{
	produce(arg);
}

#define THREADS 4

static void test_threads_lose_nothing_uncounted(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	struct producer p[THREADS];
	pthread_t thread[THREADS];
	u64 got_nr[THREADS] = { 0 }, last[THREADS] = { 0 }, put = 0, got = 0;
	const u64 nr = 30000;
	struct ct_event ev;
	u32 i, idle = 0;

	for (i = 0; i < THREADS; i++) {
		p[i] = (struct producer){ .seg = seg, .who = i, .nr = nr };
		assert_int_equal(pthread_create(&thread[i], NULL, produce, &p[i]), 0);
	}
	while (idle < 50) {
		if (!ct_ring_next(seg, &reader, ct_now_ns(), &ev)) {
			sleep_us(1000);
			idle++;
			continue;
		}
		idle = 0;
		assert_true(intact(&ev));
		assert_true(ev.slot < THREADS);
		/* Of one producer, in order. */
		assert_true(!got_nr[ev.slot] || ev.addr > last[ev.slot]);
		last[ev.slot] = ev.addr;
		got_nr[ev.slot]++;
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		put += p[i].put;
		got += got_nr[i];
	}
	while (ct_ring_next(seg, &reader, ct_now_ns(), &ev))
		got++;
	assert_int_equal(got, put);
	assert_int_equal(put + atomic_load(&seg->dropped), THREADS * nr);
	assert_int_equal(reader.torn + reader.skipped, 0);
	segment_free(seg);
}

/* Reads until nothing comes; every event must be whole. */
static u64 drain(struct ct_segment *seg, struct ct_ring_reader *reader, u64 now_ns)
{
	struct ct_event ev;
	u64 nr = 0;

	while (ct_ring_next(seg, reader, now_ns, &ev)) {
		assert_true(intact(&ev));
		nr++;
	}
	return nr;
}

static void test_killed_writers(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	u32 rnd = random_seed(), i, j, kills = 0;

	for (i = 0; i < 40; i++) {
		struct producer p[2] = { { .seg = seg, .who = 1 }, { .seg = seg, .who = 2 } };
		pid_t pid[2];
		u64 until;

		for (j = 0; j < 2; j++)
			pid[j] = child_run(produce_in_child, &p[j]);
		until = ct_now_ns() + random_next(&rnd) % 3000 * 1000;
		while (ct_now_ns() < until)
			drain(seg, &reader, ct_now_ns());
		for (j = 0; j < 2; j++, kills++)
			child_kill(pid[j]);
	}
	/* Once the patience is over, with the older holes and with the newer, all is read. */
	for (i = 0; i < 4; i++)
		drain(seg, &reader, ct_now_ns() + 2 * i * CT_RING_STUCK_NS);
	assert_int_equal(atomic_load(&seg->head), atomic_load(&seg->tail));
	assert_true(reader.skipped <= kills);
	assert_int_equal(reader.torn, 0);
	printf("%u killed, %ju left a hole\n", kills, (uintmax_t)reader.skipped);
	segment_free(seg);
}

/* A writer is stopped wherever it is, passed over, lapped, and goes on. */
static void test_stopped_writers(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	struct producer p = { .seg = seg, .who = 1 }, own = { .seg = seg, .who = 2 };
	u32 rnd = random_seed(), i, k;
	u64 now = ct_now_ns();
	pid_t pid = child_run(produce_in_child, &p);

	for (i = 0; i < 100; i++) {
		sleep_us(random_next(&rnd) % 300);
		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
		/* The clock is the caller's: no need to sit the patience out. */
		drain(seg, &reader, now);
		now += 2 * CT_RING_STUCK_NS;
		drain(seg, &reader, now);
		for (k = 0; k < 2; k++) {
			own.nr = CT_SEG_EVENTS;
			produce(&own);
			drain(seg, &reader, now);
		}
		assert_int_equal(atomic_load(&seg->head), atomic_load(&seg->tail));
		kill(pid, SIGCONT);
		now = ct_max(now, ct_now_ns());
		for (k = 0; k < 20; k++)
			drain(seg, &reader, now);
	}
	child_kill(pid);
	printf("%ju passed over, %ju torn\n", (uintmax_t)reader.skipped, (uintmax_t)reader.torn);
	assert_true(reader.skipped + reader.torn <= 2 * i);
	segment_free(seg);
}

static volatile pid_t fork_host;
static volatile sig_atomic_t forks;

static void fork_in_handler(int sig)
{
	if (getpid() == fork_host && fork() > 0)
		forks++;
}

/* One of the handler's children has come to its end, and to a good one. */
static void wait_for_one(void)
{
	int status;

	assert_true(wait(&status) > 0);
	/* A crash in the child, or an assertion that failed there, is a failure here. */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/*
 * A handler forks in the middle of an append: both finish the same record.  A
 * child that was made just before the reservation appends the event once more.
 */
static void test_fork_inside(void **state)
{
	struct ct_segment *seg = segment_new();
	struct ct_ring_reader reader = { 0 };
	struct sigaction sa = { .sa_handler = fork_in_handler, .sa_flags = SA_RESTART };
	struct itimerval timer = { { 0, 700 }, { 0, 700 } }, off = { { 0, 0 }, { 0, 0 } };
	struct ct_event ev, got;
	u64 n = 0, next = 0, twice = 0;
	sigset_t alarm;
	int waited = 0;

	fork_host = getpid();
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (waited < 300) {
		fill(&ev, 3, n++);
		ct_ring_put(seg, &ev);
		sigprocmask(SIG_BLOCK, &alarm, NULL);
		if (getpid() != fork_host)
			_exit(0);
		/* A child that comes back a lap later is another test's. */
		for (; waited < forks; waited++)
			wait_for_one();
		while (n % 64 == 0 && ct_ring_next(seg, &reader, 1, &got)) {
			assert_true(intact(&got) && got.addr <= next);
			twice += got.addr < next;
			next += got.addr == next;
		}
		sigprocmask(SIG_UNBLOCK, &alarm, NULL);
	}
	setitimer(ITIMER_REAL, &off, NULL);
	if (getpid() != fork_host)
		_exit(0);
	for (; waited < forks; waited++)
		wait_for_one();
	while (ct_ring_next(seg, &reader, 1, &got))
		next += got.addr == next;
	assert_int_equal(next, n);
	assert_true(twice <= (u64)forks);
	assert_int_equal(reader.torn + reader.skipped, 0);
	signal(SIGALRM, SIG_DFL);
	segment_free(seg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_and_full),
		cmocka_unit_test(test_nonsense_is_dropped),
		cmocka_unit_test(test_dead_writer_is_passed_over),
		cmocka_unit_test(test_scribbled_head),
		cmocka_unit_test(test_threads_lose_nothing_uncounted),
		cmocka_unit_test(test_killed_writers),
		cmocka_unit_test(test_stopped_writers),
		cmocka_unit_test(test_fork_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
