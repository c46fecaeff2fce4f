/* SPDX-License-Identifier: MIT */
/*
 * A forked child that has not run yet shows, in its page map, exactly the pages
 * that parent and child shared at the fork, whatever eight threads of the parent
 * write before, during and after it: a write gives the parent another page and
 * leaves the child's alone.
 *
 * The region's pages are the parent's alone before the fork, so no write moves
 * them: their PFNs then are the truth.  Besides, over the whole address space:
 * the pages that a child of glibc's fork() has copied itself when its first line
 * runs (it writes to its stack and to its thread's descriptor): these, too, were
 * shared, and a reading at the child's birth finds them copied already.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.h"

#define NR 4096
#define NR_THREADS 8
#define NR_ROUNDS 6

static char *region;
static atomic_bool stop;
static atomic_int *go; /* shared with the child */

static void *writer(void *arg)
{
	unsigned long x = (unsigned long)arg * 2654435761u + 1;

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		region[(x >> 33) % NR * PAGE]++;
	}
	return NULL;
}

static void child_waits(void)
{
	while (atomic_load(go) == 0)
		syscall(SYS_futex, go, FUTEX_WAIT, 0, NULL, NULL, 0);
	_exit(0);
}

struct area {
	unsigned long start;
	size_t nr;
	char name[64];
	uint64_t *entries; /* of the parent, before the fork */
};

static struct area areas[64];
static size_t nr_areas;

/* Notes what the parent maps, in memory that the fork shares. */
static void areas_read(int self)
{
	static uint64_t *room;
	size_t cap = 64 << 10, used = 0;
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	room = mmap(NULL, cap * sizeof(*room), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
	while (f && fgets(line, sizeof(line), f) && nr_areas < 64) {
		struct area *a = &areas[nr_areas];
		unsigned long end;
		char shared;
		int name = 0;

		if (sscanf(line, "%lx-%lx %*3c%c %*s %*s %*s %n", &a->start, &end, &shared, &name) <
			    3 ||
		    shared != 'p' || end > 1UL << 47)
			continue;
		a->nr = (end - a->start) / PAGE;
		if (used + a->nr > cap)
			continue;
		snprintf(a->name, sizeof(a->name), "%.*s", (int)strcspn(line + name, "\n"),
			 line + name);
		a->entries = room + used;
		used += a->nr;
		nr_areas++;
	}
	if (f)
		fclose(f);
	for (size_t i = 0; i < nr_areas; i++)
		lab_entries(self, (void *)areas[i].start, areas[i].nr, areas[i].entries);
}

/* A page of the child that is not the parent's of before the fork, while the parent's still is. */
static unsigned int area_touched(const struct area *a, int child_fd, int self)
{
	unsigned int touched = 0;

	for (size_t i = 0; i < a->nr; i++) {
		const void *addr = (void *)(a->start + i * PAGE);
		uint64_t was = a->entries[i], child = lab_entry(child_fd, addr);

		if ((was & PM_PRESENT) && (child & PM_PFN) != (was & PM_PFN) &&
		    (child & PM_PRESENT) && lab_pfn(self, addr) == (was & PM_PFN))
			touched++;
	}
	return touched;
}

static void round_run(int n, int self, uint64_t *before, uint64_t *born, uint64_t *later)
{
	size_t moved = 0, differ = 0, parent_copied = 0;
	int child_fd;
	pid_t pid;

	/* The last child shared them: take each for ourselves again. */
	lab_fill(region, NR, (char)n);
	lab_entries(self, region, NR, before);
	atomic_store(go, 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child_waits();
	child_fd = lab_pagemap(pid);
	lab_entries(child_fd, region, NR, born);
	usleep(20000);
	lab_entries(child_fd, region, NR, later);
	for (size_t i = 0; i < NR; i++) {
		uint64_t now = lab_entry(self, region + i * PAGE);

		differ += (born[i] & PM_PFN) != (before[i] & PM_PFN);
		moved += (later[i] & PM_PFN) != (before[i] & PM_PFN);
		parent_copied += (now & PM_PFN) != (before[i] & PM_PFN);
	}
	printf("round %d: child's map differs from the fork's truth in %zu pages of %d, later in "
	       "%zu; parent has copied %zu\n",
	       n, differ, NR, moved, parent_copied);
	check(differ == 0 && moved == 0, "the child's untouched page map is not what was shared");
	check(parent_copied > NR / 2, "the parent wrote too little for this to say anything");
	atomic_store(go, 1);
	syscall(SYS_futex, go, FUTEX_WAKE, 1, NULL, NULL, 0);
	waitpid(pid, NULL, 0);
	close(child_fd);
}

static void touched_by_the_child(int self)
{
	unsigned int sum = 0;
	int child_fd;
	pid_t pid;

	lab_drain();
	atomic_store(go, 0);
	areas_read(self);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child_waits();
	child_fd = lab_pagemap(pid);
	usleep(20000);
	for (size_t i = 0; i < nr_areas; i++) {
		unsigned int n = area_touched(&areas[i], child_fd, self);

		sum += n;
		if (n)
			printf("a child of glibc's fork has copied %u pages of %s before its first "
			       "line\n",
			       n, *areas[i].name ? areas[i].name : "(anonymous memory)");
	}
	check(sum < 16, "a child that has done nothing has copied %u pages", sum);
	atomic_store(go, 1);
	syscall(SYS_futex, go, FUTEX_WAKE, 1, NULL, NULL, 0);
	waitpid(pid, NULL, 0);
	close(child_fd);
}

int main(void)
{
	static uint64_t before[NR], born[NR], later[NR];
	pthread_t threads[NR_THREADS];
	int self;

	lab_need_pfns();
	self = lab_pagemap(0);
	go = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	lab_drain();
	for (long i = 0; i < NR_THREADS; i++)
		pthread_create(&threads[i], NULL, writer, (void *)i);
	for (int n = 0; n < NR_ROUNDS; n++)
		round_run(n, self, before, born, later);
	atomic_store(&stop, true);
	for (int i = 0; i < NR_THREADS; i++)
		pthread_join(threads[i], NULL);
	touched_by_the_child(self);
	return lab_result();
}
