/* SPDX-License-Identifier: MIT */
/*
 * AnonExclusive (kpageflags bit 34 of an anonymous page, Linux 5.19) on order-0
 * pages tells a page that was written since the last fork from one that was only
 * left alone: a copy has it, a page reused after the other side went has it, a
 * page that became the only one because the other side copied has not.
 *
 * And the same PFN after a write means reused, another one copied.
 */
#include <stdio.h>

#include "lab.h"

#define NR 96

static char *region;

static bool exclusive(int fd, size_t i)
{
	return lab_kflags(lab_pfn(fd, region + i * PAGE)) & KPF_ANON_EXCLUSIVE;
}

/* The child writes [32, 64): after the parent has written [0, 48). */
static void step(int n)
{
	(void)n;
	lab_fill(region + 32 * PAGE, 32, 3);
}

int main(void)
{
	uint64_t before[NR], old_child[NR];
	size_t reused = 0, copied = 0;
	struct lab_child c;
	int self;

	lab_need_pfns();
	self = lab_pagemap(0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	lab_drain();
	if (!exclusive(self, 0))
		lab_skip("this kernel does not show AnonExclusive (before 5.19)");
	for (size_t i = 0; i < NR; i++)
		check(exclusive(self, i), "a fresh page %zu is not exclusive", i);
	for (size_t i = 0; i < NR; i++)
		before[i] = lab_pfn(self, region + i * PAGE);

	c = lab_child_start(step);
	for (size_t i = 0; i < NR; i++)
		check(!exclusive(self, i), "the shared page %zu is exclusive", i);
	lab_fill(region, 48, 2);
	for (size_t i = 0; i < 48; i++) {
		check(lab_pfn(self, region + i * PAGE) != before[i], "page %zu not copied", i);
		check(exclusive(self, i), "the parent's copy %zu is not exclusive", i);
		check(!exclusive(c.pagemap, i),
		      "page %zu, that the child has not written, is exclusive", i);
	}
	lab_drain();
	for (size_t i = 0; i < NR; i++)
		old_child[i] = lab_pfn(c.pagemap, region + i * PAGE);
	lab_child_step(&c);
	/* [32, 48): alone since the parent's copy: reused.  [48, 64): shared: copied. */
	for (size_t i = 32; i < 64; i++) {
		bool same = lab_pfn(c.pagemap, region + i * PAGE) == old_child[i];

		check(exclusive(c.pagemap, i), "the child's written page %zu is not exclusive", i);
		reused += i < 48 && same;
		copied += i >= 48 && !same;
	}
	printf("written when alone: %zu of 16 reused; written when shared: %zu of 16 copied\n",
	       reused, copied);
	check(reused == 16 && copied == 16, "reuse is not what the same PFN tells");
	for (size_t i = 64; i < NR; i++)
		check(!exclusive(self, i), "page %zu, never written again, is exclusive", i);
	lab_child_end(&c);
	for (size_t i = 48; i < NR; i++)
		check(!exclusive(self, i), "page %zu became exclusive by the child's exit", i);
	lab_drain();
	lab_fill(region + 64 * PAGE, 32, 4);
	for (size_t i = 64; i < NR; i++) {
		check(lab_pfn(self, region + i * PAGE) == before[i], "page %zu was copied", i);
		check(exclusive(self, i), "the reused page %zu is not exclusive", i);
	}
	return lab_result();
}
