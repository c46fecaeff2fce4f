/* SPDX-License-Identifier: MIT */
/* What the measures of snapshots share: memory, times, medians, a table's line. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cowtrace/snapshot.h>

#define PAGE 4096ul
#define ROUNDS 7

struct bench {
	char *mem; /* the same for fork and for snapshots */
	size_t len, nr_pages;
	bool huge;
	uint64_t rnd;
};

/* CLOCK_MONOTONIC, or CLOCK_PROCESS_CPUTIME_ID: all threads', the helper's too. */
extern clockid_t bench_clock;

static inline double now_us(void)
{
	struct timespec t;

	clock_gettime(bench_clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline uint64_t rnd(struct bench *b)
{
	b->rnd ^= b->rnd << 13;
	b->rnd ^= b->rnd >> 7;
	b->rnd ^= b->rnd << 17;
	return b->rnd;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline double median(double *v, size_t nr)
{
	qsort(v, nr, sizeof(*v), compare_doubles);
	return v[nr / 2];
}

static inline void need(int err, const char *what)
{
	if (err) {
		fprintf(stderr, "%s: %s\n", what, cowtrace_strerror(err));
		exit(1);
	}
}

/* A measured value against what it is compared with, and the bar for the ratio. */
static inline void line(const char *what, double ours, double theirs, const char *unit, double bar,
			bool at_least)
{
	double ratio = ours / theirs;
	bool met = at_least ? ratio >= bar : ratio <= bar;

	printf("%-58s %9.3f %9.3f %-5s %7.3f  %s %.3f  %s\n", what, ours, theirs, unit, ratio,
	       at_least ? ">=" : "<=", bar, met ? "yes" : "NO");
	fflush(stdout);
}

/* Order of n pages, of the whole memory: in order, or anywhere, each once. */
void bench_order(struct bench *b, uint32_t *pages, size_t nr, bool random);

/* fork.c: what fork costs on this memory, and a write after it. */
double bench_fork_us(struct bench *b);
double bench_cow_us(struct bench *b, bool random);

/* bare.c: a userfaultfd handler that copies a page and lets it go, nothing else. */
double bench_bare_us(struct bench *b, bool random);

/* Each page written once more: whole, private, and huge where it can be. */
void bench_fill(struct bench *b);

/* Writes so many pages, one word each, and gives the time of one in us. */
double bench_writes_us(struct bench *b, const uint32_t *pages, size_t nr);

#endif
