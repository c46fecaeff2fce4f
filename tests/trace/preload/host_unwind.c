/* SPDX-License-Identifier: MIT */
/*
 * A program with an unwinder of its own, at work while it is asked for its
 * stack: its own answers are the same each time, traced and untraced.
 */
#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "../hostile/host.h"

#define PAGES 600

static char *area;
static volatile int sink;

/* Walks up and writes a page at each step: asked for in the middle of its own walk. */
static __attribute__((noinline)) int walk(int page)
{
	unw_context_t context;
	unw_cursor_t cursor;
	int nr = 0;

	check(!unw_getcontext(&context) && !unw_init_local(&cursor, &context));
	do {
		((volatile char *)area)[(page + nr) * 4096L] = 2;
		nr++;
	} while (unw_step(&cursor) > 0 && nr < 12);
	return nr;
}

static __attribute__((noinline)) int deeper(int depth, int page)
{
	int nr = depth ? deeper(depth - 1, page) : walk(page);

	sink++;
	return nr;
}

int main(void)
{
	void *pcs[64];
	int i, nr, first = 0;
	pid_t pid;

	area = mmap(NULL, PAGES * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	check(area != MAP_FAILED);
	memset(area, 1, PAGES * 4096L);
	printf("area %p %p\n", (void *)area, (void *)(area + PAGES * 4096L));
	fflush(stdout);
	pid = fork();
	if (!pid) {
		pause();
		_exit(0);
	}
	for (i = 0; i < 40; i++) {
		nr = deeper(i % 4, i * 12);
		check(nr >= 5);
		if (i % 4 == 0) {
			check(!first || nr == first);
			first = nr;
		}
		check(unw_backtrace(pcs, 64) >= 3);
	}
	check(!kill(pid, SIGKILL));
	wait_for(pid);
	return 0;
}
