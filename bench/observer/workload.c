/* SPDX-License-Identifier: MIT */
/*
 * The same forks, writes, partial frees and moves each time, on small pages, huge pages
 * and folios between the two (mTHP): what the kernel made of it, as JSON.  Traced and
 * untraced it should make the same; what it does not is the tracer's own doing.
 *
 *   workload [refill | collapse]
 *
 * Three processes, one at a time: P forks C, C forks G.  refill: what was dropped in
 * large folios is filled again, by folios of the size that the kernel then thinks right.
 * collapse: instead, a unit of small pages that P shares with C is to be made one huge
 * page, before and after all of it was written.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (512 * PAGE)
#define FOLIO 16UL /* pages of 64 KiB */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { SMALL, THP, MTHP, NR_REGIONS };
enum { P, C, G, NR_PROCS };

static const char *const region_name[] = { "small", "thp", "mthp" };
static const char *const proc_name[] = { "parent", "child", "grandchild" };
static const size_t region_pages[] = { 1024, 6 * 512, 24 * FOLIO };

struct seen {
	unsigned long copied; /* other frame than at the last fork */
	unsigned long private_dirty_kb, huge_kb;
};

/* Shared by all, so that the book-keeping is never copied on write. */
static struct board {
	uint64_t frames[NR_PROCS][1024 + 6 * 512 + 24 * FOLIO];
	char *at[NR_PROCS][NR_REGIONS];
	struct seen seen[NR_PROCS][NR_REGIONS];
	unsigned int vmas[NR_PROCS];
	int turn; /* which process may go on */
} * board;

static bool refill;

static size_t first_of(int region)
{
	size_t at = 0;

	for (int r = 0; r < region; r++)
		at += region_pages[r];
	return at;
}

static void drain(void)
{
	static char probe[PAGE] __attribute__((aligned(4096)));
	void *page = probe;
	int status, node = 0;

	/* lru_add_drain_all(): a page in a CPU's batch has one reference more. */
	syscall(SYS_move_pages, 0, 1UL, &page, &node, &status, 2);
}

static void read_frames(int p, uint64_t *ret)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (int r = 0; r < NR_REGIONS; r++) {
		size_t len = region_pages[r] * sizeof(*ret);
		off_t at = (off_t)((uintptr_t)board->at[p][r] / PAGE * sizeof(*ret));

		if (pread(fd, ret + first_of(r), len, at) != (ssize_t)len)
			err(1, "pagemap");
	}
	close(fd);
	for (size_t i = 0; i < first_of(NR_REGIONS); i++)
		ret[i] = ret[i] >> 63 ? ret[i] & ((1ULL << 55) - 1) : 0;
}

/* The copies since the last fork; what was dropped or is new is no copy. */
static void settle(int p)
{
	static uint64_t *now;

	if (!now)
		now = mmap(NULL, sizeof(board->frames[0]), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	read_frames(p, now);
	for (int r = 0; r < NR_REGIONS; r++) {
		uint64_t *was = board->frames[p] + first_of(r);

		for (size_t i = 0; i < region_pages[r]; i++) {
			uint64_t pfn = now[first_of(r) + i];

			board->seen[p][r].copied += was[i] && pfn && pfn != was[i];
			was[i] = pfn;
		}
	}
}

/* A page that is dropped is nobody's copy later. */
static void drop(int p, int r, size_t first, size_t nr)
{
	settle(p);
	if (madvise(board->at[p][r] + first * PAGE, nr * PAGE, MADV_DONTNEED) < 0)
		err(1, "MADV_DONTNEED");
	memset(board->frames[p] + first_of(r) + first, 0, nr * sizeof(uint64_t));
}

static void fill(int p, int r, size_t first, size_t nr, size_t step)
{
	for (size_t i = first; i < first + nr; i += step)
		board->at[p][r][i * PAGE]++;
}

static char *reserve(size_t pages)
{
	char *p = mmap(NULL, pages * PAGE + 2 * HUGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		err(1, "mmap");
	return (char *)(((uintptr_t)p + HUGE) & ~(HUGE - 1));
}

static void move(int p, int r, size_t off_pages)
{
	char *to = reserve(region_pages[r] + off_pages) + off_pages * PAGE;

	settle(p);
	if (mremap(board->at[p][r], region_pages[r] * PAGE, region_pages[r] * PAGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		err(1, "mremap");
	board->at[p][r] = to;
}

static void look(int p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long lo, hi, kb;
	struct seen *in = NULL;
	char line[512];

	settle(p);
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2) {
			in = NULL;
			for (int r = 0; r < NR_REGIONS; r++) {
				unsigned long at = (unsigned long)board->at[p][r];

				if (lo < at + region_pages[r] * PAGE && hi > at)
					in = &board->seen[p][r];
			}
			board->vmas[p]++;
		} else if (in && sscanf(line, "Private_Dirty: %lu", &kb) == 1) {
			in->private_dirty_kb += kb;
		} else if (in && sscanf(line, "AnonHugePages: %lu", &kb) == 1) {
			in->huge_kb += kb;
		}
	}
	if (f)
		fclose(f);
}

/* The mTHP region is too short for a huge page. */
static void map_all(bool collapsing)
{
	for (int r = 0; r < NR_REGIONS; r++) {
		char *p = reserve(region_pages[r]);

		if (mmap(p, region_pages[r] * PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != p)
			err(1, "mmap");
		/* What is to be collapsed is left to the system's setting ("madvise": small). */
		if (r != SMALL || !collapsing)
			madvise(p, region_pages[r] * PAGE,
				r == SMALL ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
		board->at[P][r] = p;
	}
}

static pid_t fork_as(int p, int child)
{
	pid_t pid;

	drain();
	settle(p);
	memcpy(board->frames[child], board->frames[p], sizeof(board->frames[p]));
	memcpy(board->at[child], board->at[p], sizeof(board->at[p]));
	fflush(stdout);
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	return pid;
}

static void reap(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		errx(1, "a child failed");
}

static void pass(int *fd)
{
	if (write(fd[1], "", 1) != 1)
		err(1, "write");
}

static void wait_for(int *fd)
{
	char b;

	if (read(fd[0], &b, 1) != 1)
		err(1, "read");
}

static void grandchild(void)
{
	fill(G, SMALL, 0, 1024, 7);
	fill(G, THP, 4 * 512, 512, 16);
	fill(G, MTHP, 0, 24 * FOLIO, 5);
	drop(G, THP, 5 * 512, 256);
	look(G);
	_exit(0);
}

static void child(int *to_parent, int *to_child)
{
	pid_t pid;

	fill(C, SMALL, 0, 512, 5);
	fill(C, THP, 512 + 10, 1, 1); /* unit 1 is split here, not in P */
	fill(C, MTHP, 0, 8 * FOLIO, 1);
	drop(C, SMALL, 600, 100);
	drop(C, THP, 2 * 512 + 100, 100);
	if (refill)
		fill(C, THP, 2 * 512 + 100, 50, 1);
	drop(C, MTHP, 20 * FOLIO + 3, 5);
	drain();
	pass(to_parent);
	wait_for(to_child);
	pid = fork_as(C, G);
	if (!pid)
		grandchild();
	reap(pid);
	fill(C, SMALL, 0, 1024, 9);
	fill(C, THP, 4 * 512, 512, 32);
	look(C);
	_exit(0);
}

static void parent(void)
{
	int to_parent[2], to_child[2];
	pid_t pid;

	if (pipe(to_parent) < 0 || pipe(to_child) < 0)
		err(1, "pipe");
	/* Alone: huge pages are written, and none is split by it. */
	fill(P, THP, 0, 6 * 512, 64);
	pid = fork_as(P, C);
	if (!pid)
		child(to_parent, to_child);
	wait_for(to_parent);
	fill(P, SMALL, 0, 1024, 3);
	fill(P, THP, 0, 512, 1);     /* unit 0: all of it, shared */
	fill(P, THP, 3 * 512, 3, 1); /* unit 3: three pages */
	fill(P, MTHP, 10 * FOLIO, 8 * FOLIO, 2);
	drop(P, SMALL, 900, 50);
	drop(P, THP, 3 * 512 + 256, 256); /* half of a unit that is split */
	drop(P, MTHP, 18 * FOLIO + 1, 3);
	drop(P, MTHP, 22 * FOLIO, 2 * FOLIO);
	move(P, SMALL, 3);
	move(P, THP, 0); /* by PMDs */
	move(P, MTHP, 1);
	fill(P, SMALL, 0, 1024, 11);
	drain();
	pass(to_child);
	reap(pid);
	drain();
	/* Alone again: what is huge stays so. */
	fill(P, SMALL, 0, 1024, 1);
	fill(P, THP, 0, 3 * 512 + 256, 32);
	fill(P, THP, 4 * 512, 2 * 512, 32);
	fill(P, MTHP, 0, 18 * FOLIO, 1);
	if (refill) {
		fill(P, THP, 3 * 512 + 256, 256, 32);
		fill(P, MTHP, 18 * FOLIO, 6 * FOLIO, 1);
	}
	/* Advice for a part of an exclusive one splits the page itself. */
	madvise(board->at[P][THP] + 5 * HUGE, 64 * PAGE, MADV_COLD);
	look(P);
}

static void print(void)
{
	printf("{");
	for (int p = 0; p < NR_PROCS; p++) {
		for (int r = 0; r < NR_REGIONS; r++) {
			const struct seen *s = &board->seen[p][r];

			printf("\"%s %s copied\": %lu, \"%s %s Private_Dirty kB\": %lu, "
			       "\"%s %s AnonHugePages kB\": %lu, ",
			       proc_name[p], region_name[r], s->copied, proc_name[p],
			       region_name[r], s->private_dirty_kb, proc_name[p], region_name[r],
			       s->huge_kb);
		}
	}
	for (int p = 0; p < NR_PROCS; p++)
		printf("%s\"%s VMAs\": %u", p ? ", " : "", proc_name[p], board->vmas[p]);
	printf("}\n");
}

/* 0: it is one huge page now. */
static int collapse_unit(char *p)
{
	drain();
	return madvise(p, HUGE, MADV_COLLAPSE) < 0 ? errno : 0;
}

static void collapse(void)
{
	int shared, written, end[2];
	pid_t pid;
	char b;
	char *p = board->at[P][SMALL];

	if (pipe(end) < 0)
		err(1, "pipe");
	pid = fork_as(P, C);
	if (!pid) {
		close(end[1]);
		_exit(read(end[0], &b, 1) != 0);
	}
	shared = collapse_unit(p);
	fill(P, SMALL, 512, 512, 1);
	written = collapse_unit(p + HUGE);
	close(end[1]);
	reap(pid);
	printf("{\"collapse of shared pages\": %d, \"collapse of written pages\": %d}\n", shared,
	       written);
}

int main(int argc, char **argv)
{
	bool collapsing = argc > 1 && !strcmp(argv[1], "collapse");

	alarm(60);
	refill = argc > 1 && !strcmp(argv[1], "refill");
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (board == MAP_FAILED)
		err(1, "mmap");
	map_all(collapsing);
	for (int r = 0; r < NR_REGIONS; r++)
		fill(P, r, 0, region_pages[r], 1);
	if (collapsing) {
		collapse();
	} else {
		parent();
		print();
	}
	fflush(stdout);
	_exit(0);
}
