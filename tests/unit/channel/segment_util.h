/* SPDX-License-Identifier: MIT */
/*
 * What the channel's tests share: a segment, children, and a random number that
 * each run prints, so that a failure can be had again.
 */
#ifndef TEST_SEGMENT_UTIL_H
#define TEST_SEGMENT_UTIL_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

#include "base/futex.h"
#include "channel/segment.h"

static inline struct ct_segment *segment_new(void)
{
	struct ct_segment *seg =
		mmap(NULL, sizeof(*seg), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(seg != MAP_FAILED);
	seg->magic = CT_SEG_MAGIC;
	seg->version = CT_SEG_VERSION;
	seg->size = sizeof(*seg);
	seg->hold_ns = CT_NSEC_PER_SEC / 2;
	atomic_store(&seg->heartbeat_ns, ct_now_ns());
	atomic_store(&seg->state, CT_SEG_ON);
	return seg;
}

static inline void segment_free(struct ct_segment *seg)
{
	munmap(seg, sizeof(*seg));
}

static inline pid_t child_run(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

static inline int child_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static inline void child_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	child_wait(pid);
}

static inline void sleep_us(u32 us)
{
	struct timespec ts = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L };

	nanosleep(&ts, NULL);
}

static inline u32 random_next(u32 *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static inline u32 random_seed(void)
{
	const char *given = getenv("SEED");
	u32 seed = given ? (u32)strtoul(given, NULL, 0) : (u32)ct_now_ns();

	printf("SEED=%u\n", seed);
	return seed;
}

#endif
