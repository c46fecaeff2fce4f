/* SPDX-License-Identifier: MIT */
/*
 * What became of the pages that a fork shared, in one of the processes: the
 * difference of two images.  Pure; needs page frame numbers (see bounds.h for
 * readings without).
 */
#ifndef CT_CENSUS_COMPARE_H
#define CT_CENSUS_COMPARE_H

#include "census/extents.h"
#include "census/image.h"

/* Pages. */
struct ct_tally {
	u64 kept;    /* still the shared page: never written, or reused */
	u64 copied;  /* another page frame lies there now */
	u64 dropped; /* unmapped, or given back */
	u64 fresh;   /* lies where nothing was shared */
	u64 unknown; /* changed, and not (or not surely) by copy-on-write */
};

enum ct_outcome {
	CT_OUT_KEPT,
	CT_OUT_COPIED,
	CT_OUT_UNKNOWN,
};

struct ct_compare {
	const struct ct_image *orig;	  /* at the fork */
	const struct ct_extents *extents; /* where those pages are now */
	const struct ct_image *now;
	/*
	 * Asked about each page whose frame changed, unless NULL: then nothing but
	 * copy-on-write has moved pages, and a changed frame is a copy.  src: where the
	 * page was at the fork, and is in a relative that has not moved it.
	 */
	enum ct_outcome (*judge)(void *arg, u64 src, ct_ent orig, ct_ent now);
	void *judge_arg;
	/*
	 * Told of each copied page, unless NULL.  src: as above; page: where it is now;
	 * region: its index, nr_regions for none.
	 */
	void (*copied)(void *arg, u64 src, u64 page, size_t region);
	void *copied_arg;
	/*
	 * Regions to tally by, as [start, end) page numbers, ascending and disjoint;
	 * tallies[nr_regions] takes what lies in none.  A page counts for the region
	 * where it was shared, a fresh one where it is.
	 */
	const struct ct_page_run *regions;
	size_t nr_regions;
	struct ct_tally *tallies;
};

/*
 * Adds to the tallies (`kept` only in the sum) and sets *ret_sum.  0 or -ENOMEM.
 * Costs nothing for chunks that both images share, 2 ns a page for the others.
 */
int ct_compare_run(const struct ct_compare *c, struct ct_tally *ret_sum);

/* Counts the pages of an image by region: ret_pages[nr_regions + 1], and of these the huge ones. */
void ct_compare_count(const struct ct_image *img, const struct ct_page_run *regions,
		      size_t nr_regions, u64 *ret_pages, u64 *ret_huge);

#endif
