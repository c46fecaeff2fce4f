/* SPDX-License-Identifier: MIT */
/*
 * What a fork copies in a program that writes nothing: the pages of the parent,
 * and of its child, whose frame is another one afterwards.  Prints, for each, a
 * median; a traced run is compared with an untraced one.
 *
 * All that the measuring itself writes to is shared memory or the stack.
 */
#include <fcntl.h>

#include "host.h"

#define MAX_PAGES 8192
#define PFN_MASK ((1ULL << 55) - 1)
#define ROUNDS 15

struct shot {
	int nr;
	uint64_t addr[MAX_PAGES], pfn[MAX_PAGES];
};

static struct shared {
	struct shot before, after;
	char text[1 << 17];
	int changed[ROUNDS], child_changed[ROUNDS];
} * shared;

static int maps_fd, pagemap_fd;

/* What both write to, in one of the cases; not counted. */
#define AREA_PAGES 50
static volatile char *area;
static bool child_first;

static __attribute__((noinline)) void write_area(void)
{
	int i;

	for (i = 0; area && i < AREA_PAGES; i++)
		area[i * 4096] = 2;
}

/* Frames of all private writable memory. */
static void shoot(struct shot *shot, int maps, int pagemap)
{
	ssize_t len = 0, n;
	char *at;

	lseek(maps, 0, SEEK_SET);
	while ((n = read(maps, shared->text + len, sizeof(shared->text) - 1 - (size_t)len)) > 0)
		len += n;
	shared->text[len] = '\0';
	shot->nr = 0;
	for (at = shared->text; *at; at = strchr(at, '\n') + 1) {
		uint64_t start = strtoull(at, &at, 16), end = strtoull(at + 1, &at, 16);

		/* " rw-p" */
		if (at[2] != 'w' || at[4] != 'p' || (area && start == (uintptr_t)area))
			continue;
		for (; start < end && shot->nr < MAX_PAGES; start += 4096) {
			uint64_t entry = 0;

			check(pread(pagemap, &entry, 8, (off_t)(start / 4096 * 8)) == 8);
			if (!(entry >> 63))
				continue;
			check(entry & PFN_MASK);
			shot->addr[shot->nr] = start;
			shot->pfn[shot->nr++] = entry & PFN_MASK;
		}
	}
}

static int count_changed(const struct shot *a, const struct shot *b)
{
	int i, j = 0, nr = 0;

	for (i = 0; i < a->nr; i++) {
		while (j < b->nr && b->addr[j] < a->addr[i])
			j++;
		if (j < b->nr && b->addr[j] == a->addr[i] && b->pfn[j] != a->pfn[i]) {
			nr++;
			if (getenv("PAGES_VERBOSE"))
				dprintf(2, "%d %#lx\n", getpid(), (long)a->addr[i]);
		}
	}
	return nr;
}

static int compare_int(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int median(int *v)
{
	qsort(v, ROUNDS, sizeof(*v), compare_int);
	return v[ROUNDS / 2];
}

static void open_both(void)
{
	maps_fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	check(maps_fd >= 0 && pagemap_fd >= 0);
}

static __attribute__((noinline)) void measure(void)
{
	int i;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	check(shared != MAP_FAILED);
	open_both();
	for (i = 0; i < ROUNDS; i++) {
		int born[2], go[2];
		pid_t pid;
		char c;

		check(!pipe(born) && !pipe(go));
		shoot(&shared->before, maps_fd, pagemap_fd);
		pid = fork();
		if (!pid) {
			if (child_first)
				write_area();
			check(write(born[1], "x", 1) == 1 && read(go[0], &c, 1) == 1);
			if (!child_first)
				write_area();
			open_both();
			shoot(&shared->after, maps_fd, pagemap_fd);
			shared->child_changed[i] = count_changed(&shared->before, &shared->after);
			_exit(0);
		}
		check(pid > 0 && read(born[0], &c, 1) == 1);
		write_area();
		shoot(&shared->after, maps_fd, pagemap_fd);
		shared->changed[i] = count_changed(&shared->before, &shared->after);
		check(write(go[1], "x", 1) == 1);
		check(wait_for(pid) == 0);
		close(born[0]), close(born[1]), close(go[0]), close(go[1]);
	}
	printf("private=%d parent=%d child=%d\n", shared->before.nr, median(shared->changed),
	       median(shared->child_changed));
}

/* Begins at the top of a page of stack, so that frames meet no page's end by luck. */
static void run_fork(void)
{
	size_t down = ((uintptr_t)__builtin_frame_address(0) & 4095) + 64;
	volatile char *pad = __builtin_alloca(down);

	pad[0] = 0;
	measure();
}

/* The same, and 50 first writes on each side. */
static void run_write(void)
{
	char *map =
		mmap(NULL, (AREA_PAGES + 2) * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(map != MAP_FAILED);
	check(!mprotect(map + 4096, AREA_PAGES * 4096, PROT_READ | PROT_WRITE));
	area = map + 4096;
	write_area();
	run_fork();
}

/* Who writes first to a page of both is the one who copies it. */
static void run_first(void)
{
	child_first = true;
	run_write();
}

int main(int argc, char **argv)
{
	static const struct host_case cases[] = {
		{ "fork", run_fork }, { "write", run_write }, { "first", run_first }, { NULL, NULL }
	};

	return host_main(cases, argc, argv);
}
