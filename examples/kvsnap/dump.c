/* SPDX-License-Identifier: MIT */
/*
 * The three ways of dumping, with the same image as a result.  A thread waits for
 * the child, or writes the snapshot, so that the caller goes on at once.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "dump.h"

static struct {
	atomic_bool running;
	struct cowtrace_heap *heap;
	struct cowtrace_snapshot *snap;
	pid_t child;
	int fd;
	double began_us, mib_per_s;
	struct dump_result last;
} d;

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* What write_fd does for a snapshot: pieces, not faster than they may be. */
static bool write_image(void)
{
	const char *p = cowtrace_heap_base(d.heap);
	size_t len = cowtrace_heap_len(d.heap), done = 0;

	while (done < len) {
		size_t n = len - done < 1 << 20 ? len - done : 1 << 20;
		ssize_t w = write(d.fd, p + done, n);
		double due;

		if (w <= 0)
			return false;
		done += (size_t)w;
		due = d.mib_per_s > 0 ? d.began_us + (double)done / d.mib_per_s / 1.048576 : 0;
		while (due > now_us())
			usleep((useconds_t)(due - now_us()) + 1);
	}
	return true;
}

static bool write_snapshot(void)
{
	struct cowtrace_write_opts o = { .sz = sizeof(o) };

	o.bytes_per_s = (uint64_t)(d.mib_per_s * 1048576);
	return !cowtrace_snapshot_write_fd(d.snap, d.fd, &o);
}

static void *finish(void *arg)
{
	int status = 0;

	if (d.child > 0)
		d.last.ok = waitpid(d.child, &status, 0) == d.child && !status;
	else
		d.last.ok = write_snapshot();
	cowtrace_snapshot_release(d.snap);
	d.last.took_ms = (now_us() - d.began_us) / 1e3;
	close(d.fd);
	atomic_store(&d.running, false);
	return NULL;
}

static bool start(enum dump_how how)
{
	pthread_t thread;

	d.child = 0;
	d.snap = NULL;
	if (how == DUMP_STOP) {
		d.last.ok = write_image();
		close(d.fd);
		atomic_store(&d.running, false);
		return d.last.ok;
	}
	if (how == DUMP_FORK)
		d.child = fork();
	else if (cowtrace_snapshot_take(d.heap, &d.snap))
		return false;
	if (how == DUMP_FORK && !d.child)
		_exit(!write_image());
	d.last.pause_us = now_us() - d.began_us;
	if (pthread_create(&thread, NULL, finish, NULL))
		return false;
	return !pthread_detach(thread);
}

bool dump_begin(struct cowtrace_heap *heap, const char *path, enum dump_how how, double mib_per_s)
{
	if (atomic_exchange(&d.running, true))
		return false;
	d.heap = heap;
	d.mib_per_s = mib_per_s;
	d.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	d.began_us = now_us();
	if (d.fd >= 0 && start(how))
		return true;
	atomic_store(&d.running, false);
	return false;
}

bool dump_running(void)
{
	return atomic_load(&d.running);
}

struct dump_result dump_last(void)
{
	return d.last;
}
