/* SPDX-License-Identifier: MIT */
/*
 * PAGEMAP_SCAN under a synchronous userfaultfd: PAGE_IS_WRITTEN is "has no uffd-wp
 * bit".  So it lists what was lifted, filled or dropped and
 * filled again since, not what is protected.  A hole is WRITTEN too (one asks for PRESENT
 * or SWAPPED as well), and a zero page that was read in.  PAGE_IS_WPALLOWED is not set, and
 * PM_SCAN_WP_MATCHING protects nothing: it is for asynchronous ones.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../census/scan.h"
#include "subject.h"

#define NR 10
#define WPALLOWED 1
#define ALL (WPALLOWED | SCAN_WRITTEN | SCAN_PRESENT | SCAN_PFNZERO)

struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

static char *p;

static void step(int n)
{
	if (n == 0) {
		lab_fill(p, 6, 1);
	} else if (n == 1) {
		madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED);
		madvise(p + 3 * PAGE, PAGE, MADV_DONTNEED);
		p[3 * PAGE] = 2;
		p[7 * PAGE] = 2;
		(void)*(volatile char *)(p + 8 * PAGE);
		(void)*(volatile char *)(p + 4 * PAGE);
	}
}

static int scan_with(int pagemap, const void *at, uint64_t flags, uint64_t *ret)
{
	struct scan_region r = { 0 };
	struct scan_arg arg = {
		.size = sizeof(arg),
		.flags = flags,
		.start = (uintptr_t)at,
		.end = (uintptr_t)at + PAGE,
		.vec = (uintptr_t)&r,
		.vec_len = 1,
		.category_anyof_mask = ALL,
		.return_mask = ALL,
	};
	int n = ioctl(pagemap, _IOWR('f', 16, struct scan_arg), &arg);

	*ret = n == 1 ? r.categories : 0;
	return n < 0 ? -errno : n;
}

int main(void)
{
	static const struct {
		uint64_t want;
		const char *what;
	} page[NR] = {
		{ SCAN_PRESENT, "protected" },
		{ SCAN_PRESENT | SCAN_WRITTEN, "lifted, not yet written" },
		{ SCAN_WRITTEN, "dropped" },
		{ SCAN_PRESENT | SCAN_WRITTEN, "dropped and filled" },
		{ SCAN_PRESENT, "protected and read" },
		{ SCAN_PRESENT, "protected" },
		{ SCAN_WRITTEN, "never touched" },
		{ SCAN_PRESENT | SCAN_WRITTEN, "filled after the protection" },
		{ SCAN_PRESENT | SCAN_WRITTEN | SCAN_PFNZERO, "zero page" },
		{ SCAN_WRITTEN, "never touched" },
	};
	struct subject s;
	uint64_t have;
	int r;

	p = lab_map(NR);
	s = subject_serve(step);
	subject_step(&s, 0);
	if (scan_with(s.pagemap, p, 0, &have) == -ENOTTY)
		lab_skip("no PAGEMAP_SCAN in this kernel (before 6.7)");
	check(have == (SCAN_PRESENT | SCAN_WRITTEN), "before registering: %#x", (unsigned int)have);
	uffd_arm(s.uffd, p, NR);
	uffd_lift(s.uffd, p + PAGE, 1, true);
	subject_step(&s, 1);
	for (size_t i = 0; i < NR; i++) {
		scan_with(s.pagemap, p + i * PAGE, 0, &have);
		check(have == page[i].want, "%s: %#x, not %#x", page[i].what, (unsigned int)have,
		      (unsigned int)page[i].want);
	}
	r = scan_with(s.pagemap, p + PAGE, 1 /* PM_SCAN_WP_MATCHING */, &have);
	check(!page_protected(s.pagemap, p + PAGE), "PM_SCAN_WP_MATCHING protects (%d)", r);
	r = scan_with(s.pagemap, p + PAGE, 3 /* and CHECK_WPASYNC */, &have);
	check(r == -EPERM, "PM_SCAN_CHECK_WPASYNC: %d", r);
	check(uffd_unregister(s.uffd, p, NR) == 0, "unregister");
	scan_with(s.pagemap, p, 0, &have);
	check(have == (SCAN_PRESENT | SCAN_WRITTEN), "unregistered: %#x", (unsigned int)have);
	subject_end(&s);
	return lab_result();
}
