/* SPDX-License-Identifier: MIT */
/*
 * /proc/PID/pagemap: what is mapped at each page of a process.
 *
 * An open pagemap is bound to the memory of the image that ran at the open: it
 * stays readable when the process changes its user or dumpability, reads
 * nothing after an exec or the process's end, and must be opened anew for the
 * new image.  PFNs read as 0 unless the opener had CAP_SYS_ADMIN in the first
 * user namespace (Linux 4.2); the other bits are right for everybody.
 */
#ifndef CT_SYS_PAGEMAP_H
#define CT_SYS_PAGEMAP_H

#include <sys/types.h>

#include "base/base.h"

/* Bits of an entry (Documentation/admin-guide/mm/pagemap.rst). */
#define CT_PM_PFN_MASK ((1ULL << 55) - 1)
#define CT_PM_SOFT_DIRTY (1ULL << 55)
#define CT_PM_EXCLUSIVE (1ULL << 56) /* mapped once; not AnonExclusive */
#define CT_PM_UFFD_WP (1ULL << 57)
#define CT_PM_FILE (1ULL << 61)	   /* file or shmem page: not anonymous */
#define CT_PM_SWAPPED (1ULL << 62) /* swap, migration entry, or a marker */
#define CT_PM_PRESENT (1ULL << 63)

/*
 * A SWAPPED entry that stands for no page: a guard, poison or uffd-wp marker.  The
 * low five bits are the swap type; the highest is the markers' (since Linux 5.19).
 * Without PFNs the kernel shows no type, and the answer is false.
 */
static inline bool ct_pm_is_marker(u64 entry)
{
	return (entry & CT_PM_SWAPPED) && (entry & 0x1f) == 0x1f;
}

/* Opens pid's pagemap.  0, or -errno (-ESRCH gone, -EACCES/-EPERM refused). */
int ct_pagemap_open(pid_t pid, int *ret_fd);

/*
 * Reads the entries of pages [page, page + nr) into buf.
 * Returns how many were read (short at the end of the address space; 0 when
 * the memory is gone), or -errno.
 */
ssize_t ct_pagemap_read(int fd, u64 page, size_t nr, u64 *buf);

/*
 * The end of what a program can map: the kernel refuses a scan past it.  (Five
 * level page tables give more to a program that asks for it by address hints;
 * arm64 has 48 bits.)
 */
#if defined(__x86_64__)
#define CT_USER_END ((1ULL << 47) - CT_PAGE_SIZE)
#else
#define CT_USER_END (1ULL << 48)
#endif

/*
 * What a GiB costs, ms, one processor, 6.18: each page's descriptor is a cache
 * miss, and whatever asks for it pays.
 *
 *                            4 KiB pages   PMD-mapped   empty
 * ct_pagemap_read            8..11         0.6          0.3
 * ct_pagemap_scan_anon       13            0.1          0
 * ct_pagemap_scan_mapped     3             0.03         0
 * ct_pagemap_scan_huge       0.6           0.04         0
 * ct_pagemap_scan_unprotected: 0.6 where all is protected, 3.2 where nothing is; 0.04; 0
 */

/* Categories of PAGEMAP_SCAN (Linux 6.7). */
enum {
	CT_SCAN_WPALLOWED = 1u << 0,
	CT_SCAN_WRITTEN = 1u << 1,
	CT_SCAN_FILE = 1u << 2,
	CT_SCAN_PRESENT = 1u << 3,
	CT_SCAN_SWAPPED = 1u << 4,
	CT_SCAN_PFNZERO = 1u << 5,
	CT_SCAN_HUGE = 1u << 6, /* mapped by a PMD */
};

/* Pages [start, end), as addresses, all of the same categories. */
struct ct_scan_run {
	u64 start;
	u64 end;
	u64 categories;
};

/*
 * Lists the anonymous pages (present or swapped; not file, not the zero page,
 * not a guard marker) of [start, end) as runs with CT_SCAN_PRESENT/SWAPPED/HUGE
 * set: one system call where vec is large enough, else go on at *ret_next until
 * it is >= end.  end may lie past CT_USER_END: nothing is there.
 *
 * A SWAPPED page may be no page: a poison marker, a uffd-wp marker (only where
 * somebody's userfaultfd protects what was dropped), and before Linux 6.15 a
 * guard marker.  ct_pm_is_marker() of its page map entry tells, for root.
 * Returns the number of runs, or -errno (-ENOTSUP: the kernel has no
 * PAGEMAP_SCAN, see ct_kcaps.pagemap_scan).
 */
ssize_t ct_pagemap_scan_anon(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
			     u64 *ret_next);

/*
 * The same without asking whose a page is: file and shared memory pages are
 * listed too.  In a private anonymous VMA there are none, and the kernel need not
 * look at each page's descriptor.
 */
ssize_t ct_pagemap_scan_mapped(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
			       u64 *ret_next);

/* Only what is mapped by PMDs (of files too). */
ssize_t ct_pagemap_scan_huge(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
			     u64 *ret_next);

/*
 * Only what no userfaultfd protects from writing: present or swapped, no uffd-wp
 * bit, not the zero page, not a guard marker.  In a VMA that no synchronous
 * userfaultfd has registered, that is everything.  A page that was copied or filled
 * since the last protection is listed; one that was only read is not.
 * A swapped page keeps its bit; one that KSM has merged has lost it.
 */
ssize_t ct_pagemap_scan_unprotected(int fd, u64 start, u64 end, struct ct_scan_run *vec, size_t nr,
				    u64 *ret_next);

/*
 * The first page at or after start where something is (of a file too), as an
 * address; end where there is none.  It passes over a terabyte of nothing in no
 * time, and stops at the first page.  0, or -errno as above.
 */
int ct_pagemap_next(int fd, u64 start, u64 end, u64 *ret_addr);

#endif
