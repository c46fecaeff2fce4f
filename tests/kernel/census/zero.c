/* SPDX-License-Identifier: MIT */
/*
 * The zero pages are nobody's: they have one PFN for the whole system, are never
 * counted, and the first write after a read gives a new page, not a copy of a
 * shared one, whether or not a fork lies between.  The write after a read of the
 * huge zero page gives a whole huge page on newer kernels, a small one before.
 *
 * A page of a private file mapping is the file's until it is written, and an
 * anonymous one of the process from then on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#include "lab.h"

static int self;
static char *small, *huge, *file;

static void step(int n)
{
	(void)n;
	small[PAGE] = 2;
}

static void zero_page(void)
{
	struct lab_child c;
	uint64_t zero;

	(void)*(volatile char *)small;
	(void)*(volatile char *)(small + PAGE);
	zero = lab_pfn(self, small);
	check(zero && lab_pfn(self, small + PAGE) == zero, "two zero pages have two PFNs");
	check(lab_kflags(zero) & KPF_ZERO, "the zero page is not called so");
	check(!(lab_entry(self, small) & PM_FILE), "the zero page is a file page in pagemap");
	c = lab_child_start(step);
	check(lab_pfn(c.pagemap, small) == zero, "the child has no zero page");
	small[0] = 1;
	lab_child_step(&c);
	check(lab_pfn(self, small) != zero && lab_pfn(self, small + PAGE) == zero,
	      "the parent's write");
	check(lab_pfn(c.pagemap, small) == zero && lab_pfn(c.pagemap, small + PAGE) != zero,
	      "the child's write");
	lab_child_end(&c);
}

static void huge_zero_page(void)
{
	uint64_t e, zero;
	unsigned int small_pages = 0, zeros = 0;

	(void)*(volatile char *)huge;
	e = lab_entry(self, huge);
	zero = e & PM_PFN;
	if (!(lab_kflags(zero) & KPF_THP) || !(lab_kflags(zero) & KPF_ZERO)) {
		printf("no huge zero page is to be had now\n");
		return;
	}
	huge[0] = 1;
	for (size_t i = 0; i < 512; i++) {
		uint64_t flags = lab_kflags(lab_pfn(self, huge + i * PAGE));

		zeros += !!(flags & KPF_ZERO);
		small_pages += !(flags & (KPF_ZERO | KPF_THP));
	}
	printf("a write after a read of the huge zero page: %s\n",
	       small_pages ? "one small page, the rest zero" : "a whole huge page");
	check((small_pages == 1 && zeros == 511) || (small_pages == 0 && zeros == 0),
	      "%u small pages, %u zero pages", small_pages, zeros);
}

static void file_page(void)
{
	uint64_t e, pfn;

	(void)*(volatile char *)file;
	e = lab_entry(self, file);
	pfn = e & PM_PFN;
	check(e & PM_FILE, "a page read of a private file mapping is no file page");
	check(!(lab_kflags(pfn) & KPF_ANON), "the file's page is anonymous");
	file[0]++;
	e = lab_entry(self, file);
	check(!(e & PM_FILE) && (e & PM_PFN) != pfn, "the written page is still the file's");
	check(lab_kflags(e & PM_PFN) & KPF_ANON, "the written page is not anonymous");
}

int main(void)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	lab_need_pfns();
	self = lab_pagemap(0);
	small = lab_map(2);
	huge = lab_map_huge(1);
	file = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		lab_die("mmap of a file");
	zero_page();
	huge_zero_page();
	file_page();
	return lab_result();
}
