/* SPDX-License-Identifier: MIT */
/*
 * What one pass over the first writes leaves: sums by call site, by site and
 * memory, by kind.  Between writes.c, which makes the pass, and the tables.
 */
#ifndef CT_REPORT_GATHER_H
#define CT_REPORT_GATHER_H

#include "report/report.h"
#include "report/u64map.h"

#define CT_STEPS 64 /* of time; even */

/* Sums over writes; pages but for the last three, which are faults. */
struct ct_sums {
	u64 first_writes, copies, reuses, zero_filled, unknown;
	u64 small_copies, splits, reused;
};

struct ct_gather_site { /* number: its key's in `sites` */
	u32 site, process;
	enum ct_side side;
	s32 syscall;
	struct ct_sums sums;
	u32 steps[CT_STEPS];
};

struct ct_gather_region { /* number: its key's in `regions` */
	u64 first_writes, copies, reuses;
};

/* A region as one side of a fork had it. */
struct ct_span {
	u32 fork;
	enum ct_side side;
	u64 start, end; /* bytes */
	u32 class, region;
};

/* What was written in a unit of 2 MiB of one process, page by page, in one fork. */
struct ct_gather_unit { /* number: its key's in `units` */
	u32 copies, reuses, reusable;
	u32 lost_last; /* the newest of lost[] that is of it, plus one */
};

/* A unit that lost its huge mapping at a first write. */
struct ct_gather_lost {
	u32 unit;
	u32 process, site, region; /* region: id; 0 unknown */
	u64 addr;		   /* of the page */
	s32 syscall;
	bool needless; /* the kernel left the page where it was: it was split for us */
};

struct ct_gather {
	struct ct_u64map sites;	  /* site << 32 | (syscall + 1) << 1 | side */
	struct ct_u64map forks;	  /* number of a site << 32 | fork */
	struct ct_u64map regions; /* number of a site << 32 | class of regions */
	struct ct_gather_site *site;
	struct ct_gather_region *region;
	u32 cap_sites, cap_regions;

	struct ct_sums all;
	u64 faults;
	u64 *kinds; /* faults of each of the trace's kinds, by index */

	/* Units, only where a trace has writes to huge pages. */
	bool has_huge;
	struct ct_u64map owners; /* process << 32 | fork */
	struct ct_u64map units;	 /* number of an owner << 36 | address / 2 MiB */
	struct ct_gather_unit *unit;
	struct ct_gather_lost *lost;
	u32 cap_units, nr_lost, cap_lost;

	u64 steps_ns, step_ns;

	/* Regions: classes[] has one of each, spans ascend by fork, side, start. */
	u32 *class_of; /* by index in trace->regions */
	const struct ct_trace_region **classes;
	struct ct_span *spans;
	size_t nr_classes, nr_spans;
	const struct ct_span *last_span;

	/* The answer to the last question after a fork. */
	u32 last_fork;
	bool last_wanted;
};

/* The pass.  0, -ENOMEM, or as ct_trace_writes(). */
int ct_report_gather(struct cowtrace_report *r, const char *path, struct ct_err *err);
void ct_gather_destroy(struct ct_gather *g);

/* Before the pass: what ct_gather_class() needs.  0, -ENOMEM. */
int ct_gather_index_regions(struct ct_gather *g, const struct ct_trace *t);
/* The region behind a write, as its side had it; NULL: none tells of it. */
const struct ct_span *ct_gather_span(struct ct_gather *g, const struct ct_trace_write *w);
/* The class of that region; nr_classes: none. */
u32 ct_gather_class(struct ct_gather *g, const struct ct_trace_write *w);

/* Huge pages: keeps what thp_losses.c needs of a write.  0, -ENOMEM. */
int ct_gather_huge(struct ct_gather *g, const struct ct_trace_write *w);

/* A verdict as it is compared: COPY, REUSE, ALLOC_ZEROED, or UNCERTAIN. */
int ct_verdict_plain(u8 action);
/* Does what happened contradict a certain verdict? */
bool ct_verdict_disagrees(const struct ct_trace_kind *k);
/* Keeps a write that does, among the first ones.  0, -ENOMEM. */
int ct_verdict_keep(struct cowtrace_report *r, const struct ct_trace_write *w);

/* An array that may have grown: room for element `number`, zeroed.  0, -ENOMEM. */
int ct_gather_room(void **array, u32 *cap, u32 number, size_t len);

#endif
