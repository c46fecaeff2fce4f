/* SPDX-License-Identifier: MIT */
/*
 * Pagemap bit 56 ("mapped exclusively") and /proc/kpagecount over the life of a
 * shared page: both say how many map it now, nothing about who may reuse it.
 *
 *            before fork   shared   copied by the parent   child gone
 * bit 56     1             0        1 on both sides        1
 * count      1             2        1 and 1                1
 *
 * So to a reader without PFNs a page whose bit came back was copied by one of the
 * two, or dropped by the other: a bound, not an answer.
 */
#include "lab.h"

#define NR 64

static char *region;

static void expect(int fd, size_t i, bool exclusive, uint64_t count, const char *when)
{
	uint64_t e = lab_entry(fd, region + i * PAGE);

	check(!!(e & PM_EXCLUSIVE) == exclusive, "%s: page %zu bit 56 is %d", when, i, !exclusive);
	check(lab_kcount(e & PM_PFN) == count, "%s: page %zu count is not %d", when, i, (int)count);
}

static void step(int n)
{
	/* The child writes pages [32, 40). */
	if (n == 0)
		lab_fill(region + 32 * PAGE, 8, 3);
}

int main(void)
{
	struct lab_child c;
	int self;

	lab_need_pfns();
	self = lab_pagemap(0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	lab_drain();
	for (size_t i = 0; i < NR; i++)
		expect(self, i, true, 1, "before the fork");
	c = lab_child_start(step);
	for (size_t i = 0; i < NR; i++) {
		expect(self, i, false, 2, "shared, parent's view");
		expect(c.pagemap, i, false, 2, "shared, child's view");
	}
	lab_fill(region, 32, 2);
	lab_child_step(&c);
	for (size_t i = 0; i < 40; i++) {
		expect(self, i, true, 1, "written, parent's view");
		expect(c.pagemap, i, true, 1, "written, child's view");
		check(lab_pfn(self, region + i * PAGE) != lab_pfn(c.pagemap, region + i * PAGE),
		      "page %zu was written and is still one page", i);
	}
	for (size_t i = 40; i < NR; i++)
		expect(self, i, false, 2, "left alone");
	lab_child_end(&c);
	for (size_t i = 0; i < NR; i++)
		expect(self, i, true, 1, "child gone");
	return lab_result();
}
