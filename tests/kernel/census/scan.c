/* SPDX-License-Identifier: MIT */
/* PAGEMAP_SCAN by its ABI.  Invariant: what the kernel answers is handed on unchanged. */
#include "scan.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "lab.h"

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define LAB_PAGEMAP_SCAN _IOWR('f', 16, struct scan_arg)
#define ALL (SCAN_FILE | SCAN_PRESENT | SCAN_SWAPPED | SCAN_PFNZERO | SCAN_HUGE)

int scan(int pagemap, uint64_t start, uint64_t end, uint64_t without, uint64_t any,
	 struct scan_region *ret, int nr, uint64_t *ret_walk_end)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = start,
		.end = end,
		.vec = (uintptr_t)ret,
		.vec_len = (uint64_t)nr,
		.category_inverted = without,
		.category_mask = without,
		.category_anyof_mask = any,
		.return_mask = ALL,
	};
	int n = ioctl(pagemap, LAB_PAGEMAP_SCAN, &arg);

	if (n < 0)
		return -errno;
	if (ret_walk_end)
		*ret_walk_end = arg.walk_end;
	return n;
}

uint64_t scan_page(int pagemap, const volatile void *addr)
{
	struct scan_region r[2];
	uint64_t guard;
	int n = scan(pagemap, (uintptr_t)addr, (uintptr_t)addr + PAGE, 0, ALL, r, 2, NULL);

	if (n == -ENOTTY)
		lab_skip("no PAGEMAP_SCAN in this kernel (before 6.7)");
	if (n < 0)
		lab_die("scan of a page");
	if (n == 0)
		return 0;
	guard = r[0].categories;
	/* Guard markers are told apart since 6.15 only; before, -EINVAL. */
	if (scan(pagemap, (uintptr_t)addr, (uintptr_t)addr + PAGE, 0, SCAN_GUARD, r, 2, NULL) == 1)
		guard |= SCAN_GUARD;
	return guard;
}
