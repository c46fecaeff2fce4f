/* SPDX-License-Identifier: MIT */
/* Settings of the kernel that decide what a fork costs.  Read as they are, no more. */
#ifndef CT_SYS_MEMCONF_H
#define CT_SYS_MEMCONF_H

#include "base/base.h"

#define CT_MEMCONF_SIZES 16

struct ct_memconf {
	char thp[16]; /* always, madvise, never; "" where there are no huge pages */
	char thp_defrag[20];
	struct {
		u32 kib;
		char enabled[16]; /* always, inherit, madvise, never */
	} mthp[CT_MEMCONF_SIZES]; /* by size; those of one huge page included */
	size_t nr_mthp;
	s64 khugepaged_sleep_ms; /* between two rounds; -1: unknown, as below */
	s64 ksm_run;		 /* 0 stopped, 1 merging, 2 unmerging */
	s64 ksm_pages_sharing;
	s64 overcommit; /* 0 guessed, 1 always, 2 never */
	s64 overcommit_ratio;
	s64 swappiness;
	s64 swap_total_kib, swap_free_kib, mem_total_kib;
};

/* Always succeeds; what cannot be read is "" or -1.  Below a ms. */
void ct_memconf_read(struct ct_memconf *ret);

#endif
