/* SPDX-License-Identifier: MIT */
/*
 * An arena in a heap: allocations land there, purging keeps what a snapshot needs and
 * gives the rest back, a full heap says so, and arenas come and go.
 */
#include "snap_util.h"

#include <jemalloc/jemalloc.h>

#include <cowtrace/jemalloc.h>

#define LEN (64 * MIB)
#define ITEMS 2000
#define ITEM_LEN 9000ul

static int flags_of(unsigned int arena)
{
	return MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE;
}

static void purge(unsigned int arena)
{
	char name[40];

	snprintf(name, sizeof(name), "arena.%u.purge", arena);
	assert_int_equal(mallctl(name, NULL, NULL, NULL, 0), 0);
}

static void test_purge(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, LEN);
	char *base = cowtrace_heap_base(h), *item[ITEMS], *was = malloc(LEN), *now = malloc(LEN);
	struct cowtrace_snapshot *s;
	long before, after;
	unsigned int arena;

	ok(cowtrace_arena_create(h, &arena));
	for (size_t i = 0; i < ITEMS; i++) {
		item[i] = mallocx(ITEM_LEN, flags_of(arena));
		assert_true(item[i] >= base && item[i] + ITEM_LEN <= base + LEN);
		memset(item[i], (int)i, ITEM_LEN);
	}
	s = snap_take(h);
	memcpy(was, base, LEN);
	for (size_t i = 0; i < ITEMS; i++)
		dallocx(item[i], flags_of(arena));
	before = snap_resident();
	purge(arena);
	after = snap_resident();
	/* What the snapshot needs was saved, and as much went back: no more than before. */
	assert_true(snap_stats(h).saved >= ITEMS * ITEM_LEN);
	assert_true(after < before + 200);
	ok(cowtrace_snapshot_read(s, 0, now, LEN));
	assert_memory_equal(now, was, LEN);
	/* And the arena goes on. */
	for (size_t i = 0; i < ITEMS; i++) {
		item[i] = mallocx(ITEM_LEN, flags_of(arena) | MALLOCX_ZERO);
		for (size_t k = 0; k < ITEM_LEN; k++)
			assert_int_equal(item[i][k], 0);
	}
	ok(cowtrace_snapshot_read(s, 0, now, LEN));
	assert_memory_equal(now, was, LEN);
	ok(cowtrace_arena_destroy(arena));
	/* The heap and its snapshot outlive the arena. */
	ok(cowtrace_snapshot_read(s, 0, now, LEN));
	assert_memory_equal(now, was, LEN);
	cowtrace_heap_destroy(h);
	free(was);
	free(now);
}

static void test_full(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, 16 * MIB);
	unsigned int arena;
	size_t nr = 0;

	ok(cowtrace_arena_create(h, &arena));
	while (mallocx(100000, flags_of(arena)))
		nr++;
	assert_true(nr > 50 && nr < 168);
	ok(cowtrace_arena_destroy(arena));
	cowtrace_heap_destroy(h);
}

static void test_errors(void **state)
{
	struct cowtrace_heap *h = snap_heap(*state, MIB);
	unsigned int arena;

	assert_int_equal(cowtrace_arena_create(NULL, &arena), -EINVAL);
	assert_int_equal(cowtrace_arena_create(h, NULL), -EINVAL);
	assert_int_equal(cowtrace_arena_create(h, &arena), -ENOMEM);
	assert_int_equal(cowtrace_arena_destroy(0), -EINVAL);
	assert_int_equal(cowtrace_arena_destroy(100000), -EINVAL);
	cowtrace_heap_destroy(h);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*run)(void **state);
	} kinds[] = { { "purge", test_purge }, { "full", test_full }, { "errors", test_errors } };
	struct CMUnitTest tests[6];
	size_t nr = 0;

	for (size_t k = 0; k < 3; k++)
		for (size_t w = 0; w < 3; w += 2)
			tests[nr++] = (struct CMUnitTest){ kinds[k].name, kinds[k].run, NULL, NULL,
							   (void *)&snap_ways[w] };
	return _cmocka_run_group_tests("snapshot jemalloc", tests, nr, NULL, NULL);
}
