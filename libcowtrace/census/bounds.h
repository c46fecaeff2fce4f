/* SPDX-License-Identifier: MIT */
/*
 * What can be said of a fork's copies without page frame numbers.
 *
 * An ordinary user sees only whether a page is mapped once or more often
 * (pagemap bit 56).  It flips on both sides of a copy, and also when a side
 * drops the page: so each page gives bounds, which meet where only two
 * processes shared it and both still have something there.
 */
#ifndef CT_CENSUS_BOUNDS_H
#define CT_CENSUS_BOUNDS_H

#include "census/compare.h"

struct ct_bounds_side {
	const struct ct_extents *extents;
	const struct ct_image *now; /* NULL: could not be read */
	struct ct_tally *tallies;   /* by region, as in compare.h; NULL: not wanted */
};

struct ct_bounds {
	const struct ct_image *orig;
	/* Nobody but the two has shared these pages since the fork. */
	bool pair;
	struct ct_bounds_side side[2]; /* enum ct_side */
	const struct ct_page_run *regions;
	size_t nr_regions;
};

struct ct_bounds_result {
	u64 copied_min, copied_max; /* both sides together */
	u64 may[2];		    /* pages that this side may have copied */
	/*
	 * copied is always 0: whose copy it was cannot be seen.  unknown: pages that
	 * this side has for itself now.
	 */
	struct ct_tally sum[2];
};

/*
 * Adds to the tallies and sets *ret.  0 or -ENOMEM.  The two readings need not
 * be of the same instant, but both before either process went.
 */
int ct_bounds_run(const struct ct_bounds *b, struct ct_bounds_result *ret);

#endif
