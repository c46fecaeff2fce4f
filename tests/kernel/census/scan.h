/* SPDX-License-Identifier: MIT */
/* PAGEMAP_SCAN (Linux 6.7), for systems whose headers are older. */
#ifndef LAB_SCAN_H
#define LAB_SCAN_H

#include <stdint.h>

enum {
	SCAN_WRITTEN = 1 << 1,
	SCAN_FILE = 1 << 2,
	SCAN_PRESENT = 1 << 3,
	SCAN_SWAPPED = 1 << 4,
	SCAN_PFNZERO = 1 << 5,
	SCAN_HUGE = 1 << 6,
	SCAN_GUARD = 1 << 8, /* Linux 6.15 */
};

struct scan_region {
	uint64_t start, end, categories;
};

/*
 * Regions of [start, end) whose pages have none of the categories `without` and
 * any of `any`, at most nr; returns how many, or -errno, -ENOTTY where there is no
 * such call.  ret_walk_end, where the kernel says that it stopped, may be NULL.
 */
int scan(int pagemap, uint64_t start, uint64_t end, uint64_t without, uint64_t any,
	 struct scan_region *ret, int nr, uint64_t *ret_walk_end);

/* All categories of one page; 0: nothing is there. */
uint64_t scan_page(int pagemap, const volatile void *addr);

/*
 * The end of the address space of a program: on x86-64 one page short of 2^47.
 * A scan that reaches past it is -EFAULT.
 */
#define SCAN_END ((1ULL << 47) - 4096)

#endif
