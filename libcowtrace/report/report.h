/* SPDX-License-Identifier: MIT */
/*
 * The inside of a report: the trace, what a user wants of it, and the tables
 * that are made of both.  One file here makes each table; api.c hands them out.
 */
#ifndef CT_REPORT_REPORT_H
#define CT_REPORT_REPORT_H

#include <cowtrace/report.h>

#include "base/err.h"
#include "store/reader.h"
#include "symbol/pool.h"
#include "symbol/symbol.h"

struct cowtrace_report {
	struct ct_trace *trace;
	struct ct_symbolizer *symbolizer; /* NULL: no symbols wanted */
	struct ct_pool pool;		  /* strings made here */
	struct cowtrace_report_options options;

	bool *fork_selected;   /* by index in trace->forks */
	bool *region_selected; /* by index in trace->regions */

	struct cowtrace_recording recording;
	const char **command;
	struct cowtrace_process *all_processes;	   /* by index in trace->processes */
	const struct cowtrace_process **processes; /* the selected ones */
	struct cowtrace_site *sites;		   /* by id */
	struct cowtrace_fork *forks;
	struct cowtrace_group *groups;
	struct cowtrace_group total;
	struct cowtrace_region *regions;
	struct cowtrace_region_group *region_groups;
	struct cowtrace_fork_region *fork_regions;
	struct cowtrace_bucket *buckets;
	struct cowtrace_reconcile *reconcile;
	struct cowtrace_note *notes;
	struct ct_gather *gather; /* only while the tables are made */
	struct cowtrace_writes writes;
	struct cowtrace_write_site *write_sites;
	struct cowtrace_site_region *site_regions;
	struct cowtrace_thp_loss *thp_losses;
	size_t nr_thp_losses;
	struct cowtrace_agreement agreement;
	struct cowtrace_undecided *undecided;
	struct cowtrace_disagreement *disagreements;
	u32 *site_forks; /* behind the write sites */
	u32 *site_steps;
	size_t nr_write_sites, nr_site_regions;
	size_t nr_processes, nr_sites, nr_forks, nr_groups, nr_regions, nr_region_groups,
		nr_fork_regions, nr_buckets, nr_reconcile, nr_notes, all_regions;
};

/* Each makes its table of what select.c left.  0 or -ENOMEM. */
int ct_report_make_processes(struct cowtrace_report *r);
int ct_report_make_sites(struct cowtrace_report *r);
int ct_report_make_forks(struct cowtrace_report *r);
int ct_report_make_groups(struct cowtrace_report *r);
int ct_report_make_regions(struct cowtrace_report *r);
int ct_report_make_region_groups(struct cowtrace_report *r);
int ct_report_make_buckets(struct cowtrace_report *r);
int ct_report_make_reconcile(struct cowtrace_report *r);
int ct_report_make_write_sites(struct cowtrace_report *r);
int ct_report_make_site_regions(struct cowtrace_report *r);
int ct_report_make_thp_losses(struct cowtrace_report *r);
int ct_report_make_agreement(struct cowtrace_report *r);
int ct_report_make_notes(struct cowtrace_report *r);
int ct_report_make_recording(struct cowtrace_report *r);

/* Are calls of that process at that time wanted?  They are of no fork. */
bool ct_report_wants_call(const struct cowtrace_report *r, u32 process, u64 t_ns);

/* Marks the forks and regions that the options ask for.  -ESRCH: they name what is not there. */
int ct_report_select(struct cowtrace_report *r, const char *path, struct ct_err *err);
/* Is the fork of that id wanted?  False for one that is not in the trace. */
bool ct_report_wants_fork(const struct cowtrace_report *r, u32 id);
/* Are there options that leave forks out? */
bool ct_report_is_filtered(const struct cowtrace_report *r);

/* Applies `top` to the regions: last of all, for others are made of them. */
void ct_report_cut_regions(struct cowtrace_report *r);

/* By id; NULL when there is none. */
const struct cowtrace_process *ct_report_process_of(const struct cowtrace_report *r, u32 id);
/* "sh > redis-server"; of the report's pool. */
const char *ct_report_lineage(struct cowtrace_report *r, u32 process);

/* "read"; "system call 451" where the number says nothing here; "" for -1.  NULL: no memory. */
const char *ct_report_syscall(struct cowtrace_report *r, s32 number);

/* Adds where v is known; a sum of nothing known stays unknown. */
static inline void ct_report_add(u64 *sum, u64 v)
{
	if (v == CT_UNKNOWN)
		return;
	*sum = *sum == CT_UNKNOWN ? v : *sum + v;
}

/* For comparing: what is unknown counts nothing. */
static inline u64 ct_report_known(u64 v)
{
	return v == CT_UNKNOWN ? 0 : v;
}

/* What to order regions by: copies, or what may be some where page frames are hidden. */
static inline u64 ct_report_copied(u64 copied, u64 unknown)
{
	return ct_report_known(copied == CT_UNKNOWN ? unknown : copied);
}

/* An array of nr elements, zeroed; never NULL with memory, also for none. */
void *ct_report_array(size_t nr, size_t len);

#endif
