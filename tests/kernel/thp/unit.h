/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this folder share.  Each states one way in which this kernel
 * loses the huge mapping of 2 MiB, the unit, and what of it can be seen: the counters
 * thp_split_pmd (a mapping became 512 small ones) and thp_split_page (the huge page
 * itself came apart), AnonHugePages of smaps, PAGE_IS_HUGE of PAGEMAP_SCAN.  Nothing
 * of cowtrace is in them; results and statuses are as in ../census/lab.h.
 */
#ifndef UNIT_H
#define UNIT_H

#include "../census/lab.h"

#define SMALL (8 * PAGE) /* a part of a unit */

struct want {
	uint64_t split_pmd, split_page;
	bool huge; /* still mapped by a PMD afterwards, and in AnonHugePages */
};

/*
 * Makes a unit that one PMD maps, has act() do something to it, and compares; act()
 * returns where to look afterwards, or NULL where the kernel refused the call.  The
 * counters are the machine's: what does not fit is done again with another unit, and
 * only what never fits is a failure.
 */
void unit_check(const char *what, char *(*act)(char *unit), struct want want);

/* A fresh one, filled; skips where there are no huge pages to be had. */
char *unit_new(void);
/* Is [at, at + HUGE) mapped by one PMD? */
bool unit_is_huge(const char *at);
/* KiB of AnonHugePages in the VMAs of ours that touch [at, at + HUGE). */
uint64_t unit_smaps_kib(const char *at);

#endif
