/* SPDX-License-Identifier: MIT */
/*
 * A program that only computes, over memory of its own, with a thread beside it
 * that sleeps and wakes: prints how long the fixed work took, ns.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NR_WORDS (4u << 20)
#define NR_PASSES 40

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void *ticker(void *arg)
{
	for (;;)
		usleep(1000);
	return arg;
}

int main(void)
{
	uint64_t *words = calloc(NR_WORDS, sizeof(*words)), sum = 0, t;
	pthread_t thread;

	if (!words || pthread_create(&thread, NULL, ticker, NULL) != 0)
		return 1;
	for (uint32_t i = 0; i < NR_WORDS; i++)
		words[i] = i;
	t = now_ns();
	for (int pass = 0; pass < NR_PASSES; pass++) {
		for (uint32_t i = 0; i < NR_WORDS; i++) {
			words[i] = words[i] * 6364136223846793005u + 1442695040888963407u;
			sum += words[i] >> 60;
		}
	}
	t = now_ns() - t;
	printf("%lu\n", (unsigned long)t);
	return sum == 0;
}
