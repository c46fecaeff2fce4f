/* SPDX-License-Identifier: MIT */
/* What the tests of snapshots share: the ways a heap can be, and small helpers. */
#ifndef SNAP_UTIL_H
#define SNAP_UTIL_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cowtrace/snapshot.h>

#define PAGE 4096ul
#define MIB (1ul << 20)

struct way {
	const char *name;
	enum cowtrace_serve serve;
	enum cowtrace_pages pages;
	uint32_t flags;
};

static const struct way snap_ways[] = {
	{ "thread, small", COWTRACE_SERVE_THREAD, COWTRACE_PAGES_SMALL, 0 },
	{ "thread, huge", COWTRACE_SERVE_THREAD, COWTRACE_PAGES_HUGE, 0 },
	{ "signal, small", COWTRACE_SERVE_SIGNAL, COWTRACE_PAGES_SMALL, 0 },
	{ "signal, huge", COWTRACE_SERVE_SIGNAL, COWTRACE_PAGES_HUGE, 0 },
	{ "thread, small, user faults", COWTRACE_SERVE_THREAD, COWTRACE_PAGES_SMALL,
	  COWTRACE_HEAP_USER_FAULTS },
	{ "signal, small, dense", COWTRACE_SERVE_SIGNAL, COWTRACE_PAGES_SMALL,
	  COWTRACE_HEAP_DENSE_WRITES },
};
#define NR_WAYS (sizeof(snap_ways) / sizeof(*snap_ways))

static inline void snap_ok(int err, const char *what, int line)
{
	if (err)
		fail_msg("line %d: %s: %d (%s)", line, what, err, cowtrace_strerror(err));
}
#define ok(call) snap_ok(call, #call, __LINE__)

static inline struct cowtrace_heap *snap_heap_opts(const struct way *way, size_t len,
						   struct cowtrace_heap_opts opts)
{
	struct cowtrace_heap *h = NULL;

	opts.sz = sizeof(opts);
	opts.serve = way->serve;
	opts.pages = way->pages;
	opts.flags = way->flags;
	ok(cowtrace_heap_create(len, &opts, &h));
	return h;
}

static inline struct cowtrace_heap *snap_heap(const struct way *way, size_t len)
{
	return snap_heap_opts(way, len, (struct cowtrace_heap_opts){ 0 });
}

static inline struct cowtrace_snapshot *snap_take(struct cowtrace_heap *h)
{
	struct cowtrace_snapshot *s = NULL;

	ok(cowtrace_snapshot_take(h, &s));
	return s;
}

static inline struct cowtrace_heap_stats snap_stats(struct cowtrace_heap *h)
{
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };

	ok(cowtrace_heap_stats(h, &st));
	return st;
}

/* Resident pages of this process; exact, unlike statm. */
static inline long snap_resident(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[200];
	long kib = -1;

	while (kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "Rss: %ld", &kib);
	fclose(f);
	assert_true(kib > 0);
	return kib / 4;
}

/* Reproducible: the same numbers on every machine. */
static inline uint64_t snap_rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

#endif
