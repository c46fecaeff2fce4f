/* SPDX-License-Identifier: MIT */
/*
 * MADV_COLLAPSE (and khugepaged) of pages shared by fork gives the one who asks a
 * huge page of its own: other PFNs, without a write of the program.  The other
 * side keeps the small pages, now alone.  A reader of PFNs sees what looks like
 * 512 copies; thp_collapse_alloc and HUGE tell that it was none.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "lab.h"
#include "scan.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static void step(int n)
{
	(void)n;
}

static void collapse_now(char *p)
{
	/* Not earlier: khugepaged would be free to do it before we look. */
	madvise(p, HUGE, MADV_HUGEPAGE);
	if (madvise(p, HUGE, MADV_COLLAPSE) < 0)
		lab_skip("MADV_COLLAPSE: %s", strerror(errno));
}

int main(void)
{
	uint64_t was[512], collapses;
	unsigned int parent_moved = 0, child_moved = 0;
	struct lab_child c;
	int self;
	char *p;

	lab_need_pfns();
	self = lab_pagemap(0);
	p = lab_map_huge(1);
	madvise(p, HUGE, MADV_NOHUGEPAGE);
	lab_fill(p, 512, 1);
	lab_drain();
	for (size_t i = 0; i < 512; i++)
		was[i] = lab_pfn(self, p + i * PAGE);
	c = lab_child_start(step);
	collapses = lab_vmstat("thp_collapse_alloc");
	collapse_now(p);
	collapses = lab_vmstat("thp_collapse_alloc") - collapses;
	for (size_t i = 0; i < 512; i++) {
		uint64_t child = lab_pfn(c.pagemap, p + i * PAGE);

		parent_moved += lab_pfn(self, p + i * PAGE) != was[i];
		child_moved += child != was[i];
		check(lab_kcount(child) == 1, "the child's page %zu is not alone", i);
	}
	printf("collapsed: %u PFNs of the parent changed, %u of the child; thp_collapse_alloc "
	       "+%lu\n",
	       parent_moved, child_moved, (unsigned long)collapses);
	check(parent_moved == 512 && child_moved == 0, "who moved?");
	check(collapses > 0, "thp_collapse_alloc did not move");
	check(scan_page(self, p) & SCAN_HUGE, "the parent's page is not mapped huge");
	lab_child_end(&c);
	return lab_result();
}
