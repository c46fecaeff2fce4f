/* SPDX-License-Identifier: MIT */
/* /proc/PID/smaps_rollup: the kernel's own account of a process's memory.  A witness, never an
 * input. */
#ifndef CT_SYS_SMAPS_H
#define CT_SYS_SMAPS_H

#include <sys/types.h>

#include "base/base.h"

/* Bytes. */
struct ct_smaps_sum {
	u64 rss;
	u64 pss;
	u64 shared_clean, shared_dirty;
	u64 private_clean, private_dirty;
	u64 anonymous;
	u64 ksm;
	u64 anon_huge;
	u64 swap;
};

/* The sum over all VMAs.  0, or -errno (-ESRCH: no memory any more). */
int ct_smaps_rollup(pid_t pid, struct ct_smaps_sum *ret);

/* The sum over the VMAs that overlap [start, end), from /proc/PID/smaps. */
int ct_smaps_range(pid_t pid, u64 start, u64 end, struct ct_smaps_sum *ret);

#endif
