/* SPDX-License-Identifier: MIT */
/*
 * Forks of a program with snapshots: the child has the memory and not the snapshots,
 * the parent goes on as if nothing had been; also in the midst of a dump, from many
 * threads, and when the child makes heaps of its own.
 */
#include "snap_util.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>

#define LEN (4 * MIB)

#define child_check(cond)                       \
	do {                                    \
		if (!(cond))                    \
			_exit(__LINE__ & 0xff); \
	} while (0)

/* A child ends with its parent, also where that fails. */
static pid_t fork_child(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static int wait_for(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void child(struct cowtrace_heap *h, struct cowtrace_snapshot *s, const struct way *way)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o), .serve = way->serve, .pages = way->pages };
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };
	char *p = cowtrace_heap_base(h), c = 0;
	struct cowtrace_snapshot *t;
	struct cowtrace_heap *mine;
	struct cowtrace_run run;
	const void *view;
	size_t nr, next;
	uint32_t crc;

	child_check(cowtrace_heap_len(h) == LEN && p[0] == 2 && p[PAGE] == 1);
	child_check(cowtrace_snapshot_take(h, &t) == -ECHILD);
	child_check(cowtrace_snapshot_read(s, 0, &c, 1) == -ECHILD);
	child_check(cowtrace_snapshot_view(s, &view) == -ECHILD);
	child_check(cowtrace_snapshot_write_fd(s, 1, NULL) == -ECHILD);
	child_check(cowtrace_snapshot_crc(s, &crc) == -ECHILD);
	child_check(cowtrace_snapshot_diff(s, NULL, 0, &run, 1, &nr, &next) == -ECHILD);
	child_check(cowtrace_heap_prepare(h, p, 1) == -ECHILD);
	child_check(cowtrace_heap_discard(h, p, PAGE) == -ECHILD);
	child_check(cowtrace_heap_stats(h, &st) == -ECHILD);
	cowtrace_snapshot_release(s);
	/* Ordinary memory. */
	memset(p, 9, LEN);
	child_check(p[LEN - 1] == 9);
	cowtrace_heap_destroy(h);
	child_check(!cowtrace_heap_create(LEN, &o, &mine));
	child_check(!cowtrace_snapshot_take(mine, &t));
	*(char *)cowtrace_heap_base(mine) = 1;
	child_check(!cowtrace_snapshot_read(t, 0, &c, 1) && c == 0);
	cowtrace_heap_destroy(mine);
	_exit(0);
}

static void test_child(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, LEN);
	char *p = cowtrace_heap_base(h), c;
	struct cowtrace_snapshot *s;
	const void *view;
	pid_t pid;

	memset(p, 1, LEN);
	s = snap_take(h);
	ok(cowtrace_snapshot_view(s, &view));
	p[0] = 2;
	pid = fork_child();
	if (!pid)
		child(h, s, *state);
	p[PAGE] = 3;
	assert_int_equal(wait_for(pid), 0);
	p[2 * PAGE] = 4;
	for (size_t i = 0; i < 4; i++) {
		ok(cowtrace_snapshot_read(s, i * PAGE, &c, 1));
		assert_int_equal(c, 1);
		assert_int_equal(((const char *)view)[i * PAGE], 1);
	}
	assert_int_equal(p[0], 2);
	assert_int_equal(p[1], 1);
	cowtrace_heap_destroy(h);
}

struct dump {
	struct cowtrace_snapshot *s;
	int fd, err;
	_Atomic bool done;
};

static void *dump(void *arg)
{
	struct dump *d = arg;
	struct cowtrace_write_opts o = { .sz = sizeof(o), .bytes_per_s = 40 * MIB };

	d->err = cowtrace_snapshot_write_fd(d->s, d->fd, &o);
	d->done = true;
	return NULL;
}

/* Forks and writes while a snapshot is being written out. */
static void test_during_dump(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, LEN);
	struct dump d = { .fd = memfd_create("out", 0) };
	char *p = cowtrace_heap_base(h), *out;
	unsigned int forks = 0;
	uint64_t rnd = 5;
	pthread_t thread;

	memset(p, 1, LEN);
	d.s = snap_take(h);
	assert_int_equal(pthread_create(&thread, NULL, dump, &d), 0);
	while (!d.done || forks < 5) {
		pid_t pid = fork_child();

		if (!pid) {
			memset(p, 8, LEN);
			_exit(0);
		}
		for (int i = 0; i < 100; i++)
			p[snap_rnd(&rnd) % LEN] = 2;
		assert_int_equal(wait_for(pid), 0);
		forks++;
	}
	pthread_join(thread, NULL);
	ok(d.err);
	out = mmap(NULL, LEN, PROT_READ, MAP_SHARED, d.fd, 0);
	for (size_t i = 0; i < LEN; i++)
		assert_int_equal(out[i], 1);
	munmap(out, LEN);
	close(d.fd);
	cowtrace_heap_destroy(h);
}

/* A child that lives on, and shares pages with the parent by the kernel's own COW. */
static void test_shared(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, LEN);
	char *p = cowtrace_heap_base(h), c, *copy = malloc(LEN);
	struct cowtrace_snapshot *s;
	int go[2];
	pid_t pid;

	memset(p, 1, LEN);
	assert_int_equal(pipe(go), 0);
	pid = fork_child();
	if (!pid) {
		child_check(read(go[0], &c, 1) == 1);
		for (size_t i = 0; i < LEN; i++)
			child_check(p[i] == 1);
		_exit(0);
	}
	s = snap_take(h);
	memset(p, 2, LEN / 2);
	cowtrace_snapshot_release(snap_take(h));
	memset(p, 3, LEN);
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(wait_for(pid), 0);
	ok(cowtrace_snapshot_read(s, 0, copy, LEN));
	for (size_t i = 0; i < LEN; i++)
		assert_int_equal(copy[i], 1);
	free(copy);
	close(go[0]);
	close(go[1]);
	cowtrace_heap_destroy(h);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} kinds[] = { { "child", test_child },
		      { "during a dump", test_during_dump },
		      { "shared", test_shared } };
	struct CMUnitTest tests[3 * NR_WAYS];
	size_t nr = 0;

	for (size_t k = 0; k < 3; k++)
		for (size_t w = 0; w < NR_WAYS; w++)
			tests[nr++] = (struct CMUnitTest){ kinds[k].name, kinds[k].run, NULL, NULL,
							   (void *)&snap_ways[w] };
	return _cmocka_run_group_tests("snapshot fork", tests, nr, NULL, NULL);
}
