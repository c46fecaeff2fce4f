/* SPDX-License-Identifier: MIT */
/*
 * CLOCK_MONOTONIC read through the vDSO agrees between processors: a time taken on
 * one is never before a time taken earlier on another.  The windows of a fork are
 * made of times that parent, child and recorder take, each where it runs.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "lab.h"

#define NR_TURNS 200000

static atomic_long turn;
static _Atomic uint64_t last;
static uint64_t backwards[2], least[2] = { UINT64_MAX, UINT64_MAX };

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *player(void *arg)
{
	long me = (long)arg;

	lab_pin((int)me);
	for (long n = me; n < NR_TURNS; n += 2) {
		uint64_t t, before;

		while (atomic_load_explicit(&turn, memory_order_acquire) != n)
			;
		before = atomic_load_explicit(&last, memory_order_relaxed);
		t = now_ns();
		if (t < before)
			backwards[me]++;
		else if (before && t - before < least[me])
			least[me] = t - before;
		atomic_store_explicit(&last, t, memory_order_relaxed);
		atomic_store_explicit(&turn, n + 1, memory_order_release);
	}
	return NULL;
}

int main(void)
{
	pthread_t other;

	if (lab_nr_cpus() < 2)
		lab_skip("only one processor");
	pthread_create(&other, NULL, player, (void *)1L);
	player((void *)0L);
	pthread_join(other, NULL);
	printf("%d hand-overs between two processors: %lu went backwards; the fastest took %lu "
	       "ns\n",
	       NR_TURNS, (unsigned long)(backwards[0] + backwards[1]),
	       (unsigned long)(least[0] < least[1] ? least[0] : least[1]));
	check(backwards[0] + backwards[1] == 0, "the processors' clocks disagree");
	return lab_result();
}
