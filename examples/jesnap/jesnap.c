/* SPDX-License-Identifier: MIT */
/* A snapshot of a jemalloc arena, written to a file while the program goes on writing. */
#include <cowtrace/jemalloc.h>
#include <jemalloc/jemalloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static char *item[1000];

static void *mutate(void *arg)
{
	for (int i = 0; i < 200000; i++)
		memset(item[i % 1000], 'b' + i % 20, 1 + i % 5000);
	return arg;
}

int main(int argc, char **argv)
{
	uint32_t before = 0, crc = 0;
	struct cowtrace_write_opts opts = { .sz = sizeof(opts), .ret_crc = &crc };
	FILE *out = argc > 1 ? fopen(argv[1], "w") : tmpfile();
	struct cowtrace_heap *heap;
	struct cowtrace_snapshot *snap;
	pthread_t thread;
	unsigned int arena;

	if (!out || cowtrace_heap_create(64 << 20, NULL, &heap) ||
	    cowtrace_arena_create(heap, &arena))
		return 1;
	for (int i = 0; i < 1000; i++)
		item[i] = memset(mallocx(5000, MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE), 'a',
				 5000);
	before = cowtrace_crc32c(0, cowtrace_heap_base(heap), cowtrace_heap_len(heap));
	if (cowtrace_snapshot_take(heap, &snap) || pthread_create(&thread, NULL, mutate, NULL) ||
	    cowtrace_snapshot_write_fd(snap, fileno(out), &opts))
		return 1;
	pthread_join(thread, NULL);
	printf("the file is %08x, the heap was %08x, and is %08x now\n", crc, before,
	       cowtrace_crc32c(0, cowtrace_heap_base(heap), cowtrace_heap_len(heap)));
	return crc != before;
}
