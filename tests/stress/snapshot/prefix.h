/* SPDX-License-Identifier: MIT */
/*
 * Writers whose every write follows from (thread, number), so that a snapshot can be
 * judged by itself.
 *
 * A thread owns cells of the heap.  Its k-th write goes to cell_of(thread, k) and says
 * k, what the writer had seen of the others by then, and a pattern.  The number is
 * stored last: a cell with number k is complete.  In a snapshot the largest number of
 * a thread's cells, K, must explain all of them: each cell holds the last write with a
 * number <= K that went there, and only the cell of K + 1 may be in the making.  And
 * if it has seen number j of another thread, that thread's K is at least j.
 */
#ifndef PREFIX_H
#define PREFIX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cowtrace/snapshot.h>

#define PAGE 4096ul
#define MAX_THREADS 8

/* Lengths of a cell in bytes; not of the page's kind, so that some lie across two. */
#define CELL_LEN 1000ul
#define PATTERN_LEN (CELL_LEN - (MAX_THREADS + 1) * sizeof(uint64_t))

struct cell {
	uint64_t seen[MAX_THREADS];
	unsigned char pattern[PATTERN_LEN];
	_Atomic uint64_t number; /* 0: never written */
};
_Static_assert(sizeof(struct cell) == CELL_LEN, "a cell is what CELL_LEN says");

struct run {
	struct cowtrace_heap *heap;
	char *base;
	uint32_t nr_threads;
	uint32_t nr_cells;  /* of each thread */
	uint64_t nr_writes; /* of each thread */
	bool prepare;	    /* system calls into the heap need it */
	bool page_out;
	_Atomic bool stop;
	_Atomic uint64_t done[MAX_THREADS]; /* numbers that a thread has completed */
	_Atomic uint64_t efaults;
};

static inline struct cell *cell_at(const struct run *r, void *base, uint32_t thread, uint32_t cell)
{
	return (struct cell *)((char *)base + ((size_t)thread * r->nr_cells + cell) * CELL_LEN);
}

/* Half of the time in order, half of it anywhere. */
static inline uint32_t cell_of(const struct run *r, uint32_t thread, uint64_t k)
{
	uint64_t x;

	if (k / 512 % 2)
		return (uint32_t)(k % r->nr_cells);
	x = (k + thread) * 0x9e3779b97f4a7c15u;
	return (uint32_t)((x ^ x >> 29) % r->nr_cells);
}

static inline unsigned char pattern_of(uint32_t thread, uint64_t k)
{
	return (unsigned char)(k * 31 + thread);
}

/* writers.c */
void *prefix_writer(void *arg);
struct writer {
	struct run *run;
	uint32_t thread;
};

/* What the checker knows of each thread's writes up to some number. */
struct judge {
	struct run *run;
	uint64_t upto[MAX_THREADS];
	uint64_t *last[MAX_THREADS]; /* by cell */
};

/* judge.c: 0, or how many violations are in this image of the heap (and prints them). */
int judge_init(struct judge *j, struct run *r);
void judge_fini(struct judge *j);
int judge_image(struct judge *j, void *image);

#endif
