/* SPDX-License-Identifier: MIT */
/*
 * What the calls cost that the shim wraps: mmap, munmap, madvise, mprotect, and, for
 * comparison, one that it does not (getppid).  Prints a JSON object, ns a call: the
 * median of many batches.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define NR_BATCHES 200
#define NR_CALLS 100

static char *regions[NR_CALLS];

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static void do_mmap(int i)
{
	regions[i] =
		mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (regions[i] == MAP_FAILED)
		err(1, "mmap");
}

static void do_touch(int i)
{
	for (int p = 0; p < 16; p++)
		regions[i][(size_t)p * PAGE] = 1;
}

static void do_mprotect(int i)
{
	mprotect(regions[i], PAGE, i % 2 ? PROT_READ : PROT_NONE);
}

static void do_madvise(int i)
{
	madvise(regions[i] + PAGE, 15 * PAGE, MADV_DONTNEED);
}

static void do_munmap(int i)
{
	munmap(regions[i], 16 * PAGE);
}

static void do_getppid(int i)
{
	(void)i;
	getppid();
}

/* In the order in which one batch goes through them; touch is not reported. */
static const struct {
	const char *name;
	void (*call)(int);
} steps[] = {
	{ "mmap", do_mmap },	   { "touch", do_touch },   { "mprotect", do_mprotect },
	{ "madvise", do_madvise }, { "munmap", do_munmap }, { "getppid", do_getppid },
};
#define NR_STEPS (sizeof(steps) / sizeof(steps[0]))

static uint64_t times[NR_STEPS][NR_BATCHES];

static int cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int main(void)
{
	for (int batch = 0; batch < NR_BATCHES; batch++) {
		for (size_t s = 0; s < NR_STEPS; s++) {
			uint64_t t = now_ns();

			for (int i = 0; i < NR_CALLS; i++)
				steps[s].call(i);
			times[s][batch] = now_ns() - t;
		}
		/* A program does other things too: let the recorder drain. */
		usleep(2000);
	}
	printf("{");
	for (size_t s = 0; s < NR_STEPS; s++) {
		qsort(times[s], NR_BATCHES, sizeof(times[s][0]), cmp);
		printf("%s\"%s\":%.1f", s ? "," : "", steps[s].name,
		       (double)times[s][NR_BATCHES / 2] / NR_CALLS);
	}
	printf("}\n");
	return 0;
}
