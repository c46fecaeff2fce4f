/* SPDX-License-Identifier: MIT */
/*
 * The VMAs of a process as they were last read, shared by all who have the same:
 * a server's children have their parent's, and reading two hundred VMAs costs
 * more than reading the pages of a small process.
 */
#ifndef CT_RECORDER_MAPSET_H
#define CT_RECORDER_MAPSET_H

#include "census/plan.h"
#include "sys/maps.h"
#include "sys/pidfd.h"

struct ct_mapset {
	u32 refs;
	struct ct_maps maps; /* parsed */
	struct ct_plan plan; /* how to read whoever has them */
	u64 hash;	     /* of the text */
	struct ct_proc_sizes sizes;
	u64 read_ns; /* CLOCK_MONOTONIC */
};

/*
 * The VMAs of pid now: `known` again (another reference) where its sizes are
 * still the same and it is not too old, else read anew.  known may be NULL.
 * for_reading: only the plan is wanted; private memory may have grown or shrunk.
 * statm_fd: as in ct_proc_sizes_read().  0, -ESRCH, -ENOMEM, ...
 *
 * Memory that was mapped in the place of as much other memory within the last
 * second goes unnoticed: its pages are read all the same, and count for no
 * region.
 */
int ct_mapset_get(pid_t pid, int *statm_fd, int pagemap_fd, const struct ct_kcaps *caps,
		  struct ct_mapset *known, bool for_reading, struct ct_mapset **ret);

struct ct_mapset *ct_mapset_ref(struct ct_mapset *m);
void ct_mapset_unref(struct ct_mapset *m); /* NULL is fine */

#endif
