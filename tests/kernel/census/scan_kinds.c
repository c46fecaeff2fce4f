/* SPDX-License-Identifier: MIT */
/*
 * What PAGEMAP_SCAN and pagemap say of each kind of page.  The census takes "not
 * FILE, not PFNZERO, not GUARD, and PRESENT or SWAPPED" for the anonymous pages.
 *
 *   zero page        PRESENT|PFNZERO, and pagemap does not call it a file page
 *   huge zero page   PRESENT|PFNZERO|HUGE in the scan, a file page in pagemap (6.1 on)
 *   guard marker     SWAPPED, though nothing is swapped; GUARD since 6.15
 *   file, shmem      FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lab.h"
#include "scan.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static int self;

static void expect(const char *what, const volatile void *addr, uint64_t want, uint64_t want_file)
{
	uint64_t have = scan_page(self, addr);
	uint64_t e = lab_entry(self, addr);

	printf("%-34s scan %#5lx   pagemap%s%s%s%s\n", what, (unsigned long)have,
	       e & PM_PRESENT ? " present" : "", e & PM_SWAPPED ? " swapped" : "",
	       e & PM_FILE ? " file" : "", e & PM_EXCLUSIVE ? " exclusive" : "");
	check(have == want, "%s: categories %#lx, not %#lx", what, (unsigned long)have,
	      (unsigned long)want);
	check((e & PM_FILE) == want_file, "%s: bit 61 is %d", what, !want_file);
}

static void file_pages(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *file = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	int memfd = (int)syscall(SYS_memfd_create, "lab", 0);
	char *shmem, *private_shmem;

	if (fd < 0 || file == MAP_FAILED || memfd < 0 || ftruncate(memfd, PAGE) < 0)
		lab_die("file mappings");
	shmem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	private_shmem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, memfd, 0);
	*shmem = 1;
	(void)*(volatile char *)file;
	(void)*(volatile char *)private_shmem;
	expect("private file page, read", file, SCAN_PRESENT | SCAN_FILE, PM_FILE);
	*file = 1;
	expect("private file page, written", file, SCAN_PRESENT, 0);
	expect("shared memory, written", shmem, SCAN_PRESENT | SCAN_FILE, PM_FILE);
	expect("private mapping of it, read", private_shmem, SCAN_PRESENT | SCAN_FILE, PM_FILE);
	*private_shmem = 2;
	expect("private mapping of it, written", private_shmem, SCAN_PRESENT, 0);
}

static void small_pages(void)
{
	char *p = lab_map(4);

	expect("never touched", p, 0, 0);
	(void)*(volatile char *)p;
	expect("zero page", p, SCAN_PRESENT | SCAN_PFNZERO, 0);
	p[PAGE] = 1;
	expect("anonymous", p + PAGE, SCAN_PRESENT, 0);
	mprotect(p + PAGE, PAGE, PROT_NONE);
	expect("anonymous, PROT_NONE", p + PAGE, SCAN_PRESENT, 0);
	if (madvise(p + 2 * PAGE, PAGE, MADV_GUARD_INSTALL) < 0) {
		printf("no guard markers in this kernel (before 6.13)\n");
		return;
	}
	/* Between 6.13 and 6.14 a marker is SWAPPED and nothing else tells it. */
	expect("guard marker", p + 2 * PAGE, SCAN_SWAPPED | SCAN_GUARD, 0);
}

static void huge_pages(void)
{
	char *p = lab_map_huge(2);
	uint64_t e;

	(void)*(volatile char *)p;
	e = lab_entry(self, p);
	if (!(lab_kflags(e & PM_PFN) & KPF_THP) && !(e & PM_FILE)) {
		printf("no huge zero page is to be had now\n");
	} else {
		expect("huge zero page", p, SCAN_PRESENT | SCAN_PFNZERO | SCAN_HUGE, PM_FILE);
		expect("huge zero page, inside", p + 7 * PAGE,
		       SCAN_PRESENT | SCAN_PFNZERO | SCAN_HUGE, PM_FILE);
	}
	p[HUGE] = 1;
	/* The kernel may give a smaller folio, or none. */
	if (!(scan_page(self, p + HUGE) & SCAN_HUGE)) {
		printf("no huge page is to be had now\n");
		return;
	}
	expect("huge page", p + HUGE + 5 * PAGE, SCAN_PRESENT | SCAN_HUGE, 0);
	/* A change of half of it: the PMD is split, the folio stays. */
	mprotect(p + HUGE, HUGE / 2, PROT_READ);
	expect("huge page mapped by PTEs", p + HUGE + 5 * PAGE, SCAN_PRESENT, 0);
}

int main(void)
{
	lab_need_pfns();
	self = lab_pagemap(0);
	small_pages();
	file_pages();
	huge_pages();
	return lab_result();
}
