/* SPDX-License-Identifier: MIT */
/*
 * A unit that is swapped out loses its huge mapping, and comes back in small pages:
 * reading all of it makes it no huge one again.  Uses a zram device of its own.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "../census/scan.h"
#include "../census/swapdev.h"
#include "unit.h"

static char *page_out(char *unit)
{
	if (madvise(unit, HUGE, MADV_PAGEOUT))
		return NULL;
	return unit;
}

int main(void)
{
	int self = lab_pagemap(0);
	char *unit = unit_new();
	size_t out = 0;

	swapdev_make(16384);
	/* thp_split_page moves where swap has no room for the unit in one piece. */
	unit_check("MADV_PAGEOUT of all", page_out, (struct want){ 1, 0, false });
	for (int i = 0; i < 10 && !out; i++) {
		madvise(unit, HUGE, MADV_PAGEOUT);
		for (size_t n = 0; n < 512; n++)
			out += scan_page(self, unit + n * PAGE) == SCAN_SWAPPED;
	}
	for (size_t n = 0; n < 512; n++)
		check(unit[n * PAGE] == 1, "page %zu is not what it was", n);
	printf("%zu pages were out; read again: %s, AnonHugePages %llu KiB\n", out,
	       unit_is_huge(unit) ? "huge" : "small", (unsigned long long)unit_smaps_kib(unit));
	check(out == 512 && !unit_is_huge(unit), "it came back huge, or was not out");
	return lab_result();
}
