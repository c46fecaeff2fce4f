/* SPDX-License-Identifier: MIT */
/*
 * One reading of a process: its page map, turned into an image.
 *
 * The process may run meanwhile; each page is read at some instant between the
 * call and its return.  Costs 8 ms per GiB of 4 KiB pages, 1 ms of huge ones.
 */
#ifndef CT_CENSUS_READING_H
#define CT_CENSUS_READING_H

#include "census/image.h"
#include "census/plan.h"
#include "sys/kcaps.h"
#include "sys/maps.h"
#include "sys/pagemap.h"

/* Memory that is ours, not the program's: addresses [start, end). */
struct ct_own_range {
	u64 start;
	u64 end;
};

struct ct_reading_opts {
	const struct ct_kcaps *caps;
	const struct ct_plan *plan; /* of its VMAs, now or a moment ago */
	bool plan_is_current;	    /* now: nothing need be looked for outside of it */
	bool newborn;		    /* a child before it has run */
	/* Its VMAs, parsed: needed where the kernel has no PAGEMAP_SCAN; else may be NULL. */
	const struct ct_maps *maps;
	const struct ct_own_range *own;
	size_t nr_own;
	/* Chunks are shared with this image where nothing changed; may be NULL. */
	const struct ct_image *base;
	/* Called after each 64 MiB, half a millisecond of reading; may be NULL. */
	void (*tick)(void *arg);
	void *tick_arg;
};

/* Scratch memory, kept between readings.  Zero-initialise. */
struct ct_reader {
	struct ct_scan_run *runs;
	struct ct_scan_run *left; /* of them, what is to be read */
	u64 *entries;
	/*
	 * Out: pages that were mapped once, up to the cap, ascending; at a fork's
	 * birth these are the ones that somebody may have written already.
	 */
	u64 *exclusive;
	size_t nr_exclusive, cap_exclusive;
	u64 nr_alone; /* how many there were in all */
	u64 nr_read;  /* internal: entries of the block just read that were not empty */
};

/*
 * A parent that writes while its child is read leaves the child alone with what it
 * writes: some 10,000 pages for each GiB that is read.  The few that the child
 * wrote itself lie behind those, at the end of the address space.
 */
#define CT_READER_EXCLUSIVE_MAX (1u << 17)

/*
 * Reads the memory behind pagemap_fd.  0 with an image (which may be empty), or
 * -errno: -ESRCH when the memory is gone, -ENOMEM.
 */
int ct_reading_take(struct ct_reader *r, int pagemap_fd, const struct ct_reading_opts *opts,
		    struct ct_image **ret_img);

/* The entries of a few pages (ascending or not), one by one. */
int ct_reading_pages(int pagemap_fd, const struct ct_kcaps *caps, const u64 *pages, size_t nr,
		     ct_ent *ret_ents);

void ct_reader_fini(struct ct_reader *r);

#endif
