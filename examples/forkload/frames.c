/* SPDX-License-Identifier: MIT */
/*
 * What the kernel says of forkload's own pages: page frames from
 * /proc/self/pagemap, PMD mappings from /proc/self/smaps, and whether anything
 * but copy-on-write moved pages meanwhile.
 *
 * Only anonymous pages count: a page of the file behind a private mapping and
 * the zero page are nobody's private memory, and read as 0 here.
 */
#include "forkload.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PM_PFN ((1ULL << 55) - 1)
#define PM_FILE (1ULL << 61)
#define PM_SWAP (1ULL << 62) /* also a page that is being migrated at this instant */
#define PM_PRESENT (1ULL << 63)

static uint64_t entry_of(int fd, const void *addr)
{
	uint64_t e = 0;

	if (pread(fd, &e, sizeof(e), (off_t)((uintptr_t)addr / FL_PAGE * sizeof(e))) != sizeof(e))
		fl_die("pagemap");
	return e;
}

/* A page that was only read maps the zero page: its frame, or 0 when frames are hidden. */
static uint64_t zero_frame(int fd)
{
	volatile char *p = mmap(NULL, FL_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t e;

	if (p == MAP_FAILED)
		fl_die("mmap");
	(void)*p;
	e = entry_of(fd, (const void *)p);
	munmap((void *)p, FL_PAGE);
	return e & PM_PFN;
}

/* The descriptor is bound to the memory of the process that opened it: one for each reading. */
static int open_pagemap(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fl_die("/proc/self/pagemap");
	return fd;
}

bool fl_frames_probe(void)
{
	int fd = open_pagemap();
	bool seen = zero_frame(fd) != 0;

	close(fd);
	return seen;
}

/* A page that is on its way has no frame for some microseconds: it is waited for. */
static uint64_t settled_entry(int fd, uint64_t entry, const void *addr)
{
	for (int i = 0; i < 1000 && (entry & PM_SWAP); i++) {
		usleep(100);
		entry = entry_of(fd, addr);
	}
	return entry;
}

static void read_region(int fd, uint64_t start, uint32_t pages, uint64_t zero, uint64_t *e)
{
	size_t len = pages * sizeof(*e);

	if (pread(fd, e, len, (off_t)(start / FL_PAGE * sizeof(*e))) != (ssize_t)len)
		fl_die("pagemap");
	for (uint32_t i = 0; i < pages; i++) {
		uint64_t entry = settled_entry(fd, e[i], (void *)(start + i * FL_PAGE));
		bool anon = (entry & PM_PRESENT) && !(entry & PM_FILE);

		e[i] = entry & PM_PFN;
		if (!anon || e[i] == zero)
			e[i] = 0;
	}
}

void fl_frames_read(struct fl *fl, enum fl_proc_id p, uint64_t *ret_pfns)
{
	const struct fl_proc *proc = &fl->procs[p];
	int fd = open_pagemap();
	uint64_t zero = zero_frame(fd);

	for (int r = 0; r < FL_NR_REGIONS; r++) {
		const struct fl_region *reg = &fl->regions[r];

		if (reg->pages && proc->start[r])
			read_region(fd, proc->start[r], reg->pages, zero, ret_pfns + reg->first);
	}
	close(fd);
}

/* Pages of [start, end) that are mapped by PMDs; whole VMAs lie in the range. */
uint32_t fl_frames_huge(uint64_t start, uint64_t end)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long lo, hi, kb, total_kb = 0;
	bool inside = false;
	char line[512];

	if (!f)
		fl_die("/proc/self/smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			inside = lo >= start && hi <= end;
		else if (inside && sscanf(line, "AnonHugePages: %lu kB", &kb) == 1)
			total_kb += kb;
	}
	fclose(f);
	return (uint32_t)(total_kb / 4);
}

/* Pages that were migrated or collapsed since boot: when this grows, frames lie. */
uint64_t fl_frames_moved(void)
{
	FILE *f = fopen("/proc/vmstat", "re");
	unsigned long long v, total = 0;
	char name[64];

	if (!f)
		return 0;
	while (fscanf(f, "%63s %llu", name, &v) == 2) {
		if (!strcmp(name, "pgmigrate_success") || !strcmp(name, "thp_collapse_alloc"))
			total += v;
	}
	fclose(f);
	return total;
}

/*
 * Empties the LRU batches of all CPUs: a page in another CPU's batch has a
 * reference that makes the kernel copy where it would have reused.  move_pages(2)
 * does it (lru_cache_disable) even when the page is where it was asked to be.
 */
bool fl_drain(void)
{
	static char probe[FL_PAGE] __attribute__((aligned(FL_PAGE)));
	void *page = probe;
	int status = -1, node;

	if (syscall(SYS_move_pages, 0, 1UL, &page, NULL, &status, 0))
		return false;
	node = status < 0 ? 0 : status;
	return syscall(SYS_move_pages, 0, 1UL, &page, &node, &status, 0) >= 0;
}
