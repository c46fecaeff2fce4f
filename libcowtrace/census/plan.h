/* SPDX-License-Identifier: MIT */
/*
 * How to read a process quickly: which parts of its address space are large
 * anonymous memory, and which hold nothing of its own.  Made of its VMAs, and
 * good for any process that has the same; what is in neither list is looked at.
 */
#ifndef CT_CENSUS_PLAN_H
#define CT_CENSUS_PLAN_H

#include "base/base.h"
#include "sys/kcaps.h"
#include "sys/maps.h"
#include "sys/pagemap.h"

struct ct_plan_range {
	u64 start, end; /* bytes */
};

/* Ascending and disjoint, each. */
struct ct_plan {
	struct ct_plan_range *large; /* private anonymous, a huge page or more */
	u32 nr_large;
	/*
	 * Shared mappings; and file mappings that are not written to and had no page
	 * of the process's own when the plan was made (code, read-only data).
	 */
	struct ct_plan_range *leave_out;
	u32 nr_leave_out;
	/* All other private memory: where nothing has been mapped since, nothing else is. */
	struct ct_plan_range *small;
	u32 nr_small;
};

/*
 * Makes a plan of the parsed maps of the process behind pagemap_fd; one scan of
 * its file mappings.  0, -ENOMEM, or -errno of the scan.  Without PAGEMAP_SCAN
 * (caps) nothing is left out.
 */
int ct_plan_make(const struct ct_maps *maps, int pagemap_fd, const struct ct_kcaps *caps,
		 struct ct_plan *ret);
void ct_plan_fini(struct ct_plan *p);

/* First range of v that ends after addr, or nr. */
u32 ct_plan_seek(const struct ct_plan_range *v, u32 nr, u64 addr);

#endif
