/* SPDX-License-Identifier: MIT */
/*
 * Swap gives a page another PFN without a write, so a PFN that changed over a
 * swap-out proves nothing.  While it is out, pagemap says SWAPPED with the same
 * swap entry on both sides of a fork, and the scan SWAPPED, not FILE; pswpout and
 * pswpin move.  A page that is mapped twice is not taken by MADV_PAGEOUT.
 */
#include <stdio.h>
#include <sys/mman.h>

#include "lab.h"
#include "scan.h"
#include "swapdev.h"

#define NR 64
#define SWAP_PAGES 4096
#define SWAP_TYPE(e) ((e)&0x1f)

static char *region;

static void step(int n)
{
	/* Reads: no write, and the page comes in again. */
	(void)n;
	(void)*(volatile char *)region;
}

static unsigned int count_out(int fd, const char *p)
{
	unsigned int out = 0;

	for (size_t i = 0; i < NR; i++) {
		uint64_t e = lab_entry(fd, p + i * PAGE);

		out += (e & PM_SWAPPED) && !(e & PM_PRESENT);
	}
	return out;
}

static void out_and_in(int self)
{
	uint64_t was = lab_pfn(self, region), out_before = lab_vmstat("pswpout"), parent, child;
	uint64_t in_before = lab_vmstat("pswpin");
	struct lab_child c;
	unsigned int out;

	madvise(region, NR * PAGE, MADV_PAGEOUT);
	out = count_out(self, region);
	if (out < NR) {
		swapdev_remove();
		lab_skip("MADV_PAGEOUT took only %u of %d pages", out, NR);
	}
	check(SWAP_TYPE(lab_entry(self, region)) < 23, "a swap entry of no swap device");
	check(scan_page(self, region) == SCAN_SWAPPED, "the scan says %#lx",
	      (unsigned long)scan_page(self, region));
	check(lab_vmstat("pswpout") - out_before >= NR, "pswpout did not move");
	c = lab_child_start(step);
	check(lab_entry(self, region) >> 57 == lab_entry(c.pagemap, region) >> 57 &&
		      (lab_entry(self, region) & PM_PFN) == (lab_entry(c.pagemap, region) & PM_PFN),
	      "the two sides have different swap entries");
	(void)*(volatile char *)region;
	parent = lab_pfn(self, region);
	check(parent, "the parent's page is not in after a read");
	check(count_out(c.pagemap, region) == NR, "the child's entry came in with the parent's");
	lab_child_step(&c);
	child = lab_pfn(c.pagemap, region);
	printf("PFN before %#lx, in again at the parent %#lx, at the child %#lx: %s\n",
	       (unsigned long)was, (unsigned long)parent, (unsigned long)child,
	       parent == child ? "one page" : "two pages, though nobody wrote");
	check(lab_vmstat("pswpin") > in_before, "pswpin did not move");
	lab_child_end(&c);
}

static void shared_stays(int self)
{
	char *p = lab_map(NR);
	struct lab_child c;

	lab_fill(p, NR, 1);
	lab_drain();
	c = lab_child_start(step);
	madvise(p, NR * PAGE, MADV_PAGEOUT);
	check(count_out(self, p) == 0, "MADV_PAGEOUT took %u shared pages", count_out(self, p));
	lab_child_end(&c);
}

int main(void)
{
	int self;

	lab_need_pfns();
	swapdev_make(SWAP_PAGES);
	self = lab_pagemap(0);
	region = lab_map(NR);
	lab_fill(region, NR, 1);
	lab_drain();
	out_and_in(self);
	shared_stays(self);
	return lab_result();
}
