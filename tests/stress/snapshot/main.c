/* SPDX-License-Identifier: MIT */
/*
 * Threads that write, snapshots of what they write, and a judge.
 *
 * usage: snapshot-stress [-t THREADS] [-w WRITES] [-a ALIVE] [-s] [-H] [-u] [-m MIB] [-o] [-k]
 *   -w writes of all threads together     -a snapshots alive at once
 *   -s served by signal, not by thread    -H huge pages
 *   -d dense writes
 *   -u user faults only                   -o page the heap out to swap meanwhile
 *   -k readers that end at random: a process at the other end of a socket that is
 *      killed, and a thread whose snapshot is released under it
 *   -v read by view
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prefix.h"
#include "swap.h"

#define MAX_ALIVE 16

struct test {
	struct run run;
	struct judge judge;
	uint32_t alive;
	bool kill, view;
	struct cowtrace_snapshot *snap[MAX_ALIVE];
	uint32_t crc[MAX_ALIVE];
	uint32_t nr;
	char *image;
	uint64_t nr_takes, nr_killed, nr_cut, bad;
	uint64_t rnd;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "snapshot-stress: %s: %d (%s)\n", what, err, cowtrace_strerror(err));
	exit(2);
}

static uint64_t rnd(struct test *t)
{
	t->rnd ^= t->rnd << 13;
	t->rnd ^= t->rnd >> 7;
	t->rnd ^= t->rnd << 17;
	return t->rnd;
}

/* A snapshot that is old must be what it was when it was young. */
static void check_again(struct test *t, uint32_t i)
{
	uint32_t crc;
	int err = cowtrace_snapshot_crc(t->snap[i], &crc);

	if (err)
		die("crc", err);
	if (crc != t->crc[i]) {
		printf("a snapshot has changed: %x, was %x\n", crc, t->crc[i]);
		t->bad++;
	}
}

/* A process reads the snapshot from a socket and is killed in the midst of it. */
static void killed_reader(struct test *t, struct cowtrace_snapshot *s)
{
	int sv[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv))
		die("socketpair", -errno);
	pid = fork();
	if (pid == 0) {
		char buf[10000];
		size_t left = rnd(t) % cowtrace_heap_len(t->run.heap);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(sv[0]);
		while (left > sizeof(buf) && read(sv[1], buf, sizeof(buf)) > 0)
			left -= sizeof(buf);
		kill(getpid(), SIGKILL);
	}
	close(sv[1]);
	err = cowtrace_snapshot_write_fd(s, sv[0], NULL);
	close(sv[0]);
	waitpid(pid, NULL, 0);
	if (err != -EPIPE && err != -ECONNRESET && err)
		die("write to a socket", err);
	t->nr_killed++;
}

struct cut {
	struct cowtrace_snapshot *snap;
	char *image;
	size_t len;
	int err;
};

static void *cut_reader(void *arg)
{
	struct cut *c = arg;

	c->err = cowtrace_snapshot_read(c->snap, 0, c->image, c->len);
	return NULL;
}

/* A thread reads, and the snapshot is released under it: all of it or an error. */
static void released_reader(struct test *t)
{
	struct cut c = { .len = cowtrace_heap_len(t->run.heap), .image = t->image };
	pthread_t thread;
	int err = cowtrace_snapshot_take(t->run.heap, &c.snap);

	if (err)
		die("take", err);
	pthread_create(&thread, NULL, cut_reader, &c);
	usleep((useconds_t)(rnd(t) % 2000));
	cowtrace_snapshot_release(c.snap);
	pthread_join(thread, NULL);
	if (c.err && c.err != -EBADF)
		die("read of a released snapshot", c.err);
	if (c.err)
		t->nr_cut++;
	else
		t->bad += (uint64_t)judge_image(&t->judge, t->image);
}

static void release_one(struct test *t)
{
	uint32_t i = (uint32_t)(rnd(t) % t->nr);

	check_again(t, i);
	cowtrace_snapshot_release(t->snap[i]);
	t->nr--;
	t->snap[i] = t->snap[t->nr];
	t->crc[i] = t->crc[t->nr];
}

static void take_one(struct test *t)
{
	size_t len = cowtrace_heap_len(t->run.heap);
	uint32_t i = t->nr;
	const void *view;
	int err = cowtrace_snapshot_take(t->run.heap, &t->snap[i]);

	if (err)
		die("take", err);
	if (t->view) {
		err = cowtrace_snapshot_view(t->snap[i], &view);
		if (!err)
			memcpy(t->image, view, len);
	} else {
		err = cowtrace_snapshot_read(t->snap[i], 0, t->image, len);
	}
	if (err)
		die("read", err);
	t->bad += (uint64_t)judge_image(&t->judge, t->image);
	t->crc[i] = cowtrace_crc32c(0, t->image, len);
	t->nr++;
	t->nr_takes++;
}

static bool writing(struct run *r)
{
	for (uint32_t i = 0; i < r->nr_threads; i++)
		if (r->done[i] < r->nr_writes)
			return true;
	return false;
}

static void reader(struct test *t)
{
	while (writing(&t->run) && t->bad < 10) {
		take_one(t);
		if (t->nr == t->alive)
			release_one(t);
		if (t->kill && t->nr && rnd(t) % 2)
			killed_reader(t, t->snap[rnd(t) % t->nr]);
		if (t->kill && rnd(t) % 2)
			released_reader(t);
	}
	t->run.stop = true;
	while (t->nr)
		release_one(t);
}

static void run_threads(struct test *t)
{
	struct writer w[MAX_THREADS];
	pthread_t thread[MAX_THREADS];

	for (uint32_t i = 0; i < t->run.nr_threads; i++) {
		w[i] = (struct writer){ &t->run, i };
		if (pthread_create(&thread[i], NULL, prefix_writer, &w[i]))
			die("thread", -EAGAIN);
	}
	reader(t);
	for (uint32_t i = 0; i < t->run.nr_threads; i++)
		pthread_join(thread[i], NULL);
	/* What is there at the end is all of it. */
	take_one(t);
	release_one(t);
}

/* Whoever changes a setting of the system holds this lock meanwhile. */
static int swap_here(struct swap *swap)
{
	int lock = open("/tmp/cowtrace-sysfs.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	char file[64];

	if (lock < 0 || flock(lock, LOCK_EX))
		return -EPERM;
	snprintf(file, sizeof(file), "/var/tmp/snapshot-stress-%d", getpid());
	return swap_begin(swap, "zram") ? swap_begin(swap, file) : 0;
}

static int report(struct test *t)
{
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };
	uint64_t writes = 0;

	cowtrace_heap_stats(t->run.heap, &st);
	for (uint32_t i = 0; i < t->run.nr_threads; i++)
		writes += t->run.done[i];
	printf("%lu writes, %lu snapshots judged, %lu violations; faults %lu (batches %lu), "
	       "saved %lu, reused %lu, reread %lu, prepared %lu, EFAULT %lu, killed %lu, cut %lu\n",
	       writes, t->nr_takes, t->bad, st.faults, st.batches, st.saved_pages, st.reused_pages,
	       st.reread_pages, st.prepared_pages, t->run.efaults, t->nr_killed, t->nr_cut);
	if (st.saved) {
		printf("%lu bytes of saved pages are left\n", st.saved);
		return 1;
	}
	return t->bad ? 1 : 0;
}

static int test(struct test *t, const struct cowtrace_heap_opts *o, size_t len)
{
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };
	int err = cowtrace_heap_create(len, o, &t->run.heap);

	if (err)
		die("create", err);
	cowtrace_heap_stats(t->run.heap, &st);
	t->run.prepare = !st.kernel_faults;
	t->run.base = cowtrace_heap_base(t->run.heap);
	t->run.nr_cells = (uint32_t)(len / CELL_LEN / t->run.nr_threads);
	t->image = mmap(NULL, cowtrace_heap_len(t->run.heap), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->image == MAP_FAILED || judge_init(&t->judge, &t->run))
		die("memory", -ENOMEM);
	run_threads(t);
	err = report(t);
	judge_fini(&t->judge);
	cowtrace_heap_destroy(t->run.heap);
	return err;
}

int main(int argc, char **argv)
{
	struct cowtrace_heap_opts o = { .sz = sizeof(o) };
	struct test t = { .run.nr_threads = 4, .alive = 1, .rnd = 88172645463325252u };
	uint64_t writes = 100000;
	struct swap swap;
	size_t mib = 4;
	int opt, err;

	while ((opt = getopt(argc, argv, "t:w:a:sHudm:okv")) != -1) {
		switch (opt) {
		case 't':
			t.run.nr_threads = (uint32_t)atoi(optarg);
			break;
		case 'w':
			writes = strtoull(optarg, NULL, 10);
			break;
		case 'a':
			t.alive = (uint32_t)atoi(optarg);
			break;
		case 's':
			o.serve = COWTRACE_SERVE_SIGNAL;
			break;
		case 'H':
			o.pages = COWTRACE_PAGES_HUGE;
			break;
		case 'u':
			o.flags = COWTRACE_HEAP_USER_FAULTS;
			break;
		case 'd':
			o.flags |= COWTRACE_HEAP_DENSE_WRITES;
			break;
		case 'm':
			mib = strtoull(optarg, NULL, 10);
			break;
		case 'o':
			t.run.page_out = true;
			break;
		case 'k':
			t.kill = true;
			break;
		case 'v':
			t.view = true;
			break;
		default:
			return 2;
		}
	}
	if (!t.run.nr_threads || t.run.nr_threads > MAX_THREADS || !t.alive || t.alive > MAX_ALIVE)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	t.run.nr_writes = writes / t.run.nr_threads;
	if (t.run.page_out && swap_here(&swap)) {
		printf("SKIP: no swap can be made here\n");
		return 77;
	}
	err = test(&t, &o, mib << 20);
	if (t.run.page_out)
		swap_end(&swap);
	return err;
}
