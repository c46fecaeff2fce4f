/* SPDX-License-Identifier: MIT */
/*
 * A jemalloc arena by extent hooks.
 *
 * jemalloc asks for extents in growing sizes and keeps what it has got (we refuse to
 * take any back), so handing out is moving one number forward.  Purging is the one
 * thing that must be right: the kernel would drop pages that a snapshot still needs.
 *
 * What holds always: a page of the arena goes back to the system only through
 * cowtrace_heap_discard().
 */
#include <errno.h>
#include <jemalloc/jemalloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include <cowtrace/jemalloc.h>

#include "base/base.h"

struct arena {
	extent_hooks_t hooks; /* first: jemalloc hands it back to us */
	struct cowtrace_heap *heap;
	_Atomic size_t used; /* bytes, from the heap's base on */
};

static void *extent_alloc(extent_hooks_t *hooks, void *want, size_t size, size_t alignment,
			  bool *zero, bool *commit, unsigned int ind)
{
	struct arena *a = (struct arena *)hooks;
	uintptr_t base = (uintptr_t)cowtrace_heap_base(a->heap);
	size_t len = cowtrace_heap_len(a->heap), used = atomic_load(&a->used), at;

	do {
		at = ((base + used + alignment - 1) & ~(alignment - 1)) - base;
		if (at > len || size > len - at || (want && (uintptr_t)want != base + at))
			return NULL;
	} while (!atomic_compare_exchange_weak(&a->used, &used, at + size));
	/* Never used before: it is zero, and it is memory. */
	*zero = true;
	*commit = true;
	return (void *)(base + at);
}

/* True: no, keep it. */
static bool extent_dalloc(extent_hooks_t *hooks, void *addr, size_t size, bool committed,
			  unsigned int ind)
{
	return true;
}

static void extent_destroy(extent_hooks_t *hooks, void *addr, size_t size, bool committed,
			   unsigned int ind)
{
}

static bool extent_refuse(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t len,
			  unsigned int ind)
{
	return true;
}

static bool extent_purge(extent_hooks_t *hooks, void *addr, size_t size, size_t offset, size_t len,
			 unsigned int ind)
{
	struct arena *a = (struct arena *)hooks;

	return cowtrace_heap_discard(a->heap, (char *)addr + offset, len) != 0;
}

static bool extent_split(extent_hooks_t *hooks, void *addr, size_t size, size_t size_a,
			 size_t size_b, bool committed, unsigned int ind)
{
	return false;
}

static bool extent_merge(extent_hooks_t *hooks, void *addr_a, size_t size_a, void *addr_b,
			 size_t size_b, bool committed, unsigned int ind)
{
	return false;
}

static const extent_hooks_t the_hooks = {
	.alloc = extent_alloc,
	.dalloc = extent_dalloc,
	.destroy = extent_destroy,
	/* What is committed stays so; purging lazily (MADV_FREE) cannot be told of. */
	.commit = NULL,
	.decommit = extent_refuse,
	.purge_lazy = extent_refuse,
	.purge_forced = extent_purge,
	.split = extent_split,
	.merge = extent_merge,
};

int cowtrace_arena_create(struct cowtrace_heap *heap, unsigned int *ret_arena)
{
	struct cowtrace_heap_stats st = { .sz = sizeof(st) };
	extent_hooks_t *hooks;
	struct arena *a;
	unsigned int ind;
	size_t sz = sizeof(ind);
	int err = ret_arena ? cowtrace_heap_stats(heap, &st) : -EINVAL;

	if (err)
		return err;
	/* jemalloc's own records come in huge pages' sizes, aligned so. */
	if (cowtrace_heap_len(heap) < 4UL << 20)
		return -ENOMEM;
	a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a == MAP_FAILED)
		return -ENOMEM;
	a->hooks = the_hooks;
	a->heap = heap;
	hooks = &a->hooks;
	err = mallctl("arenas.create", &ind, &sz, &hooks, sizeof(hooks));
	if (err) {
		munmap(a, sizeof(*a));
		return err == ENOMEM ? -ENOMEM : -EAGAIN;
	}
	*ret_arena = ind;
	return 0;
}

int cowtrace_arena_destroy(unsigned int arena)
{
	extent_hooks_t *hooks = NULL;
	size_t sz = sizeof(hooks);
	char name[40];
	int err;

	snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
	if (mallctl(name, &hooks, &sz, NULL, 0) || !hooks || hooks->alloc != extent_alloc)
		return -EINVAL;
	snprintf(name, sizeof(name), "arena.%u.destroy", arena);
	err = mallctl(name, NULL, NULL, NULL, 0);
	if (err)
		return err == EFAULT ? -EINVAL : -EBUSY;
	/* jemalloc has no more use for it. */
	munmap(hooks, sizeof(struct arena));
	return 0;
}
