/* SPDX-License-Identifier: MIT */
/*
 * Where the pages of an image are now: a process that unmaps or moves memory
 * after a fork changes what lies at an address without any copy.  Extents map
 * current pages to pages of the image; what no extent maps has been dropped.
 */
#ifndef CT_CENSUS_EXTENTS_H
#define CT_CENSUS_EXTENTS_H

#include "base/base.h"

struct ct_extent {
	u64 page; /* current: [page, page + pages) */
	u64 pages;
	u64 src; /* page in the image */
	/*
	 * A drop ran at the same time as the fork: whether it hit the memory before
	 * or after the clone is not known.
	 */
	bool doubtful;
};

/*
 * A program may drop memory a million times between two forks.  From here on the
 * smallest neighbours are joined over what was dropped between them, and all that
 * is in them becomes doubtful: less is known, nothing wrong is said.
 */
#define CT_EXTENTS_MAX 16384u

/* Zero-initialise, then _init; ascending and disjoint by page, disjoint by src. */
struct ct_extents {
	struct ct_extent *v;
	u32 nr;
	u32 cap;
};

/* Everything is where it was.  0 or -ENOMEM. */
int ct_extents_init(struct ct_extents *x);
void ct_extents_fini(struct ct_extents *x);

/* [page, page + pages) was dropped.  0 or -ENOMEM (then nothing changed). */
int ct_extents_cut(struct ct_extents *x, u64 page, u64 pages);

/* [from, from + pages) was moved to `to`; what lay there was dropped.  As above. */
int ct_extents_move(struct ct_extents *x, u64 from, u64 pages, u64 to);

/* [page, page + pages) may have been dropped.  As above. */
int ct_extents_doubt(struct ct_extents *x, u64 page, u64 pages);

/* Where a page of now was in the image; itself where no extent maps it.  O(log nr). */
u64 ct_extents_source(const struct ct_extents *x, u64 page);
/* Where a page of the image is now; 0: nowhere.  O(nr). */
u64 ct_extents_place(const struct ct_extents *x, u64 src);
/* Does an extent map it? */
bool ct_extents_hold(const struct ct_extents *x, u64 page);

struct ct_page_run {
	u64 page;
	u64 pages;
};

/* Is page in one of the runs?  They are ascending and disjoint. */
bool ct_page_runs_hold(const struct ct_page_run *runs, size_t nr, u64 page);

#endif
