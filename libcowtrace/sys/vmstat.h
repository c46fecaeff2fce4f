/* SPDX-License-Identifier: MIT */
/*
 * /proc/vmstat counters that tell whether anything but copy-on-write moved
 * pages.  System-wide and monotonic; a counter the kernel lacks reads 0 and its
 * bit in `have` is clear.
 */
#ifndef CT_SYS_VMSTAT_H
#define CT_SYS_VMSTAT_H

#include <sys/types.h>

#include "base/base.h"

enum ct_vmstat_item {
	CT_VMSTAT_PGMIGRATE_SUCCESS,
	CT_VMSTAT_PSWPIN,
	CT_VMSTAT_PSWPOUT,
	CT_VMSTAT_THP_COLLAPSE_ALLOC,
	CT_VMSTAT_THP_SPLIT_PMD,
	CT_VMSTAT_THP_SPLIT_PAGE,
	CT_VMSTAT_COW_KSM,
	CT_VMSTAT_KSM_SWPIN_COPY,
	CT_VMSTAT_PGREUSE,
	CT_VMSTAT_THP_FAULT_ALLOC,
	CT_VMSTAT_NR,
};

struct ct_vmstat {
	u32 have; /* bit n: item n exists on this kernel */
	u64 v[CT_VMSTAT_NR];
};

/* Keeps /proc/vmstat open and re-reads it with one pread (20 us). */
int ct_vmstat_open(int *ret_fd);
int ct_vmstat_read(int fd, struct ct_vmstat *ret);
/* Only what moves pages: up to THP_COLLAPSE_ALLOC of the enum.  Some less. */
int ct_vmstat_read_moves(int fd, struct ct_vmstat *ret);

/*
 * What is in /sys/kernel/mm/ksm; all 0 without KSM.  While ksmd does not run nobody
 * corrects `merged`: it goes on counting pages of processes that have gone (seen on
 * 6.18).
 */
struct ct_ksm {
	u64 run;    /* 0 ksmd stands still, 1 it runs, 2 all was taken apart */
	u64 merged; /* pages_sharing + pages_shared */
	u64 full_scans;
};
/* 0, or -errno. */
int ct_ksm_read(struct ct_ksm *ret);

/*
 * How many of pid's pages ksmd keeps an eye on (/proc/PID/ksm_stat): 0 means that
 * it can have merged none of them.  0, or -errno (-ENOENT: the kernel does not say,
 * or the process has gone).
 */
int ct_ksm_of_process(pid_t pid, u64 *ret_items);

#endif
