/* SPDX-License-Identifier: MIT */
/*
 * Migration (compaction, NUMA balancing, memory offline) gives a page another PFN
 * for every process that maps it alike: shared pages stay shared, the parent's
 * and the child's PFN change together; pgmigrate_success moves.  So a PFN that
 * differs from the one at the fork, but is the same on both sides, is no copy.
 *
 * One page in four of a large region is kept, so that there is something to
 * compact.  It touches the whole system: not in the fast suite.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lab.h"

#define NR (96 << 10) /* pages: 384 MiB, of which a quarter stays */
#define NR_KEPT (NR / 4)

static char *region;

static void step(int n)
{
	(void)n;
}

static void pfns(int fd, uint64_t *ret)
{
	for (size_t i = 0; i < NR_KEPT; i++)
		ret[i] = lab_pfn(fd, region + i * 4 * PAGE);
}

int main(void)
{
	static uint64_t was[NR_KEPT], parent[NR_KEPT], child[NR_KEPT];
	uint64_t migrated;
	unsigned int moved = 0, apart = 0;
	struct lab_child c;
	int self;

	lab_need_pfns();
	if (access("/proc/sys/vm/compact_memory", W_OK) < 0)
		lab_skip("/proc/sys/vm/compact_memory cannot be written");
	lab_sysfs_lock();
	self = lab_pagemap(0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	/* Of each four pages three go. */
	for (size_t i = 0; i < NR; i += 4)
		madvise(region + (i + 1) * PAGE, 3 * PAGE, MADV_DONTNEED);
	lab_drain();
	c = lab_child_start(step);
	pfns(self, was);
	migrated = lab_vmstat("pgmigrate_success");
	for (int i = 0; i < 5 && moved == 0; i++) {
		if (!lab_write_text("/proc/sys/vm/compact_memory", "1"))
			lab_die("compact_memory");
		pfns(self, parent);
		pfns(c.pagemap, child);
		for (size_t p = 0; p < NR_KEPT; p++) {
			moved += parent[p] != was[p];
			apart += parent[p] != child[p];
		}
	}
	migrated = lab_vmstat("pgmigrate_success") - migrated;
	lab_child_end(&c);
	printf("compaction moved %u of %d shared pages; %u differ between the two; "
	       "pgmigrate_success +%lu\n",
	       moved, NR_KEPT, apart, (unsigned long)migrated);
	if (moved == 0)
		lab_skip("compaction moved none of our pages");
	check(apart == 0, "%u pages are not shared any more", apart);
	check(migrated >= moved, "pgmigrate_success moved less than the pages");
	return lab_result();
}
