/* SPDX-License-Identifier: MIT */
/*
 * One PAGEMAP_SCAN over the whole address space lists exactly the anonymous pages
 * that a reading of the page map of every private VMA finds, and HUGE exactly
 * where a PMD maps them.  Looked at from outside, in a child that stands still,
 * so that looking changes nothing.
 *
 * walk_end is no guide: after a pause to flush the kernel's own 512 regions, a walk
 * that came to its end still tells the place of the pause.  Going on there would
 * list pages twice.  What holds, for room of any size: fewer regions than there
 * was room for means that all was seen; else go on after the last region.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lab.h"
#include "scan.h"

#define NR_REGIONS 65536
#define NR_PAGES (1 << 20)

static uint64_t *by_map, *by_scan; /* addresses, ascending */
static size_t nr_map, nr_scan;

static char bss[300 * PAGE];
static char data[20 * PAGE] = { 1 };

/* Every kind of memory, with holes. */
static void populate(int n)
{
	char *small = lab_map(5000), *huge = lab_map_huge(6);
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *file = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	char *shared =
		mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *stack = __builtin_alloca(100 * PAGE);

	(void)n;
	for (size_t i = 0; i < 5000; i += 1 + i % 3)
		small[i * PAGE] = 1;
	for (size_t i = 1; i < 5000; i += 7)
		(void)*(volatile char *)(small + i * PAGE); /* zero pages */
	madvise(small + 1000 * PAGE, 100 * PAGE, MADV_DONTNEED);
	mprotect(small + 2000 * PAGE, 300 * PAGE, PROT_NONE);
	for (size_t i = 0; i < 4; i++)
		huge[i * HUGE] = 1;
	(void)*(volatile char *)(huge + 4 * HUGE); /* huge zero page */
	mprotect(huge + HUGE, HUGE / 2, PROT_READ);
	munmap(huge + 2 * HUGE + 37 * PAGE, 3 * PAGE);
	for (size_t i = 0; i < 300; i += 2)
		bss[i * PAGE] = 1;
	data[5 * PAGE] = 2;
	file[PAGE] = 1;
	(void)*(volatile char *)(file + 2 * PAGE);
	memset(shared, 1, 64 * PAGE);
	for (size_t i = 0; i < 100; i++)
		((volatile char *)stack)[i * PAGE] = 1;
	memset(malloc(300000), 1, 300000);
}

static void vma_read(int pagemap, unsigned long start, unsigned long end)
{
	uint64_t e[512];

	for (unsigned long a = start; a < end; a += PAGE) {
		size_t i = (a - start) / PAGE % 512;

		if (i == 0)
			lab_entries(pagemap, (void *)a,
				    (end - a) / PAGE < 512 ? (end - a) / PAGE : 512, e);
		if (!(e[i] & (PM_PRESENT | PM_SWAPPED)) || (e[i] & PM_FILE))
			continue;
		if ((e[i] & PM_PRESENT) && (lab_kflags(e[i] & PM_PFN) & KPF_ZERO))
			continue;
		by_map[nr_map++] = a;
	}
}

/* Reads every private VMA; returns AnonHugePages of the whole, in pages. */
static size_t read_by_map(pid_t pid, int pagemap)
{
	char path[64], line[512];
	size_t huge_kib = 0, kib;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long start, end;
		char shared;

		if (sscanf(line, "AnonHugePages: %zu", &kib) == 1)
			huge_kib += kib;
		if (sscanf(line, "%lx-%lx %*3c%c", &start, &end, &shared) == 3 && shared == 'p' &&
		    end <= SCAN_END)
			vma_read(pagemap, start, end);
	}
	if (f)
		fclose(f);
	return huge_kib / 4;
}

static size_t nr_stale; /* walks that came to their end and say that they did not */

/* Scans with room for nr regions at a time; returns the pages that are HUGE. */
static size_t read_by_scan(int pagemap, struct scan_region *r, int nr)
{
	uint64_t at = 0, walk_end;
	size_t nr_huge = 0;
	int n;

	nr_scan = 0;
	do {
		n = scan(pagemap, at, SCAN_END, SCAN_FILE | SCAN_PFNZERO,
			 SCAN_PRESENT | SCAN_SWAPPED, r, nr, &walk_end);
		if (n == -ENOTTY)
			lab_skip("no PAGEMAP_SCAN in this kernel (before 6.7)");
		if (n < 0)
			lab_die("scan: %d", n);
		for (int i = 0; i < n; i++) {
			for (uint64_t a = r[i].start; a < r[i].end && nr_scan < NR_PAGES; a += PAGE)
				by_scan[nr_scan++] = a;
			if (r[i].categories & SCAN_HUGE)
				nr_huge += (r[i].end - r[i].start) / PAGE;
		}
		if (n)
			at = r[n - 1].end;
		nr_stale += n < nr && walk_end < SCAN_END;
	} while (n == nr);
	return nr_huge;
}

static void compare(int pagemap, size_t smaps_huge, int room)
{
	struct scan_region *r = malloc((size_t)room * sizeof(*r));
	size_t scan_huge = read_by_scan(pagemap, r, room);

	check(nr_map == nr_scan && memcmp(by_map, by_scan, nr_map * sizeof(*by_map)) == 0,
	      "room for %d: the two lists differ, %zu and %zu pages", room, nr_map, nr_scan);
	check(smaps_huge == scan_huge, "HUGE %zu pages, AnonHugePages %zu", scan_huge, smaps_huge);
	free(r);
}

int main(void)
{
	static const int rooms[] = { NR_REGIONS, 1, 2, 7, 511, 512, 513, 1000 };
	struct lab_child c;
	size_t smaps_huge;

	lab_need_pfns();
	by_map = calloc(NR_PAGES, sizeof(*by_map));
	by_scan = calloc(NR_PAGES, sizeof(*by_scan));
	c = lab_child_start(populate);
	lab_child_step(&c);
	smaps_huge = read_by_map(c.pid, c.pagemap);
	check(nr_map > 3000, "too few pages for this to say anything");
	/* THP may be switched off here; then nothing must be HUGE. */
	if (smaps_huge == 0)
		printf("no huge page was to be had\n");
	for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++)
		compare(c.pagemap, smaps_huge, rooms[i]);
	printf("%zu anonymous pages by page map and by scan, %zu of them huge; walk_end stale in "
	       "%zu whole walks\n",
	       nr_map, smaps_huge, nr_stale);
	lab_child_end(&c);
	return lab_result();
}
