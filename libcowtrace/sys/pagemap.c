/* SPDX-License-Identifier: MIT */
/*
 * Readers of /proc/PID/pagemap and its PAGEMAP_SCAN.  They hand on what the
 * kernel says; what a page's state means is the census's business.
 *
 * Invariant: the entries returned are those of the pages asked for, in order; a
 * run list is ascending, disjoint, and neighbours differ.
 */
#include "sys/pagemap.h"

#include <errno.h>

#include "sys/procfile.h"
#include "sys/uapi.h"

_Static_assert(sizeof(struct ct_scan_run) == sizeof(struct page_region), "the kernel's layout");
_Static_assert(offsetof(struct ct_scan_run, end) == offsetof(struct page_region, end), "same");
_Static_assert(CT_SCAN_HUGE == PAGE_IS_HUGE && CT_SCAN_FILE == PAGE_IS_FILE, "same bits");

int ct_pagemap_open(pid_t pid, int *ret_fd)
{
	return ct_proc_open(pid, "pagemap", ret_fd);
}

ssize_t ct_pagemap_read(int fd, u64 page, size_t nr, u64 *buf)
{
	size_t done = 0;

	while (done < nr) {
		ssize_t n = pread(fd, buf + done, (nr - done) * sizeof(*buf),
				  (off_t)((page + done) * sizeof(*buf)));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (ssize_t)done : -errno;
		/* The kernel gives whole entries; fewer bytes than one is the end. */
		if ((size_t)n < sizeof(*buf))
			break;
		done += (size_t)n / sizeof(*buf);
	}
	return (ssize_t)done;
}

/*
 * The walk flushes its output every 2 MiB and when its own buffer is full, and a
 * run that goes on after a flush comes as two.
 */
static size_t runs_join(struct ct_scan_run *vec, size_t nr)
{
	size_t out = 0;

	for (size_t i = 1; i < nr; i++) {
		if (vec[i].start == vec[out].end && vec[i].categories == vec[out].categories)
			vec[out].end = vec[i].end;
		else
			vec[++out] = vec[i];
	}
	return nr ? out + 1 : 0;
}

static int scan_call(int fd, struct pm_scan_arg *arg)
{
	int n;

	do
		n = ioctl(fd, PAGEMAP_SCAN, arg);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * One call of the scan.  without: categories that must be clear; with: all of
 * which must be set; any of PRESENT and SWAPPED.  max_pages 0: no limit.
 */
static ssize_t scan_runs(int fd, u64 start, u64 end, u64 without, u64 with, u64 max_pages,
			 struct ct_scan_run *vec, size_t nr, u64 *ret_next)
{
	u64 last = ct_min(end, (u64)CT_USER_END);
	struct pm_scan_arg arg;
	int n;

	if (nr == 0)
		return -EINVAL;
	if (start >= last) {
		*ret_next = end;
		return 0;
	}
again:
	arg = (struct pm_scan_arg){
		.size = sizeof(arg),
		.start = ct_page_down(start),
		.end = ct_page_up(last),
		.vec = (u64)(uintptr_t)vec,
		.vec_len = nr,
		.max_pages = max_pages,
		.category_inverted = without,
		.category_mask = without | with,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_HUGE,
	};
	n = scan_call(fd, &arg);
	/* 6.7 to 6.14 know no guard markers and refuse the category. */
	if (n == -EINVAL && (without & PAGE_IS_GUARD)) {
		without &= ~(u64)PAGE_IS_GUARD;
		goto again;
	}
	if (n == -ENOTTY)
		return -ENOTSUP;
	if (n < 0)
		return n;
	/*
	 * walk_end is not to be trusted: after a pause to flush the kernel's own buffer
	 * (512 runs) a walk that came to its end leaves the place of the pause there
	 * (seen on 6.18).  A vector that is not full means all was seen; a full one, go
	 * on after its last run.
	 */
	*ret_next = (size_t)n == nr && vec[n - 1].end < last ? vec[n - 1].end : end;
	return (ssize_t)runs_join(vec, (size_t)n);
}

/* The zero page is PRESENT|PFNZERO, the huge one too; a guard marker is SWAPPED. */
#define NOTHING_THERE (PAGE_IS_PFNZERO | PAGE_IS_GUARD)

ssize_t ct_pagemap_scan_anon(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
			     u64 *ret_next)
{
	return scan_runs(fd, start, end, NOTHING_THERE | PAGE_IS_FILE, 0, 0, vec, nr, ret_next);
}

ssize_t ct_pagemap_scan_mapped(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
			       u64 *ret_next)
{
	return scan_runs(fd, start, end, NOTHING_THERE, 0, 0, vec, nr, ret_next);
}

ssize_t ct_pagemap_scan_huge(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
			     u64 *ret_next)
{
	return scan_runs(fd, start, end, NOTHING_THERE, PAGE_IS_HUGE, 0, vec, nr, ret_next);
}

ssize_t ct_pagemap_scan_unprotected(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
				    u64 *ret_next)
{
	/* "Written" means no uffd-wp bit, whoever's userfaultfd it is, synchronous or not. */
	return scan_runs(fd, start, end, NOTHING_THERE, PAGE_IS_WRITTEN, 0, vec, nr, ret_next);
}

int ct_pagemap_next(int fd, u64 start, u64 end, u64 *ret_addr)
{
	struct ct_scan_run run;
	u64 next;
	ssize_t n = scan_runs(fd, start, end, NOTHING_THERE, 0, 1, &run, 1, &next);

	if (n < 0)
		return (int)n;
	*ret_addr = n ? run.start : end;
	return 0;
}
