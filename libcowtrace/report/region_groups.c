/* SPDX-License-Identifier: MIT */
/*
 * Regions that are alike, over all processes: 300 backends have 300 heaps, and
 * an operator wants to know of heaps.
 *
 * Invariant: each region of the report is in one group, so that the groups' sums
 * are the regions' sums.
 */
#include <errno.h>
#include <string.h>

#include "report/report.h"

/* What makes regions alike; advice words are constants, but compare as words. */
static int compare(const struct cowtrace_region *x, const struct cowtrace_region *y)
{
	const char *const words[][2] = {
		{ x->kind, y->kind }, { x->name, y->name }, { x->site_text, y->site_text },
		{ x->thp, y->thp },   { x->ksm, y->ksm },   { x->fork_advice, y->fork_advice },
	};

	for (size_t i = 0; i < ct_array_size(words); i++) {
		int rc = words[i][0] == words[i][1] ? 0 : strcmp(words[i][0], words[i][1]);

		if (rc)
			return rc;
	}
	return (int)x->tagged - (int)y->tagged;
}

static int by_group(const void *a, const void *b)
{
	const struct cowtrace_region *x = *(void *const *)a, *y = *(void *const *)b;
	int rc = compare(x, y);

	/* Those of a process together, so that processes can be counted. */
	if (!rc)
		rc = x->process < y->process ? -1 : x->process > y->process;
	return rc;
}

static void begin(struct cowtrace_region_group *to, const struct cowtrace_region *g)
{
	*to = (struct cowtrace_region_group){
		.kind = g->kind,
		.name = g->name,
		.site_text = g->site_text,
		.thp = g->thp,
		.ksm = g->ksm,
		.fork_advice = g->fork_advice,
		.tagged = g->tagged,
		.pid = g->pid,
		.shared = CT_UNKNOWN,
		.copied = CT_UNKNOWN,
		.dropped = CT_UNKNOWN,
		.fresh = CT_UNKNOWN,
		.unknown = CT_UNKNOWN,
	};
}

static void add(struct cowtrace_region_group *to, const struct cowtrace_region *g,
		bool same_process, bool frames)
{
	to->nr_regions++;
	to->nr_processes += !same_process;
	to->len += g->end - g->start;
	ct_report_add(&to->shared, g->shared);
	/* Without page frames no sum is known: a region in which nothing happened is 0. */
	if (frames) {
		ct_report_add(&to->copied, g->copied);
		ct_report_add(&to->fresh, g->fresh);
	}
	ct_report_add(&to->dropped, g->dropped);
	ct_report_add(&to->unknown, g->unknown);
}

static int by_copied(const void *a, const void *b)
{
	const struct cowtrace_region_group *x = a, *y = b;
	u64 cx = ct_report_copied(x->copied, x->unknown);
	u64 cy = ct_report_copied(y->copied, y->unknown);
	int rc;

	if (cx == cy) {
		cx = ct_report_known(x->shared);
		cy = ct_report_known(y->shared);
	}
	if (cx != cy)
		return cx < cy ? 1 : -1;
	rc = strcmp(x->kind, y->kind);
	return rc ? rc : strcmp(x->name, y->name);
}

int ct_report_make_region_groups(struct cowtrace_report *r)
{
	ct_auto_free const struct cowtrace_region **rows =
		ct_report_array(r->nr_regions, sizeof(*rows));

	r->region_groups = ct_report_array(r->nr_regions, sizeof(*r->region_groups));
	if (!rows || !r->region_groups)
		return -ENOMEM;
	for (size_t i = 0; i < r->nr_regions; i++)
		rows[i] = &r->regions[i];
	qsort(rows, r->nr_regions, sizeof(*rows), by_group);
	for (size_t i = 0; i < r->nr_regions; i++) {
		bool first = !i || compare(rows[i - 1], rows[i]);

		if (first)
			begin(&r->region_groups[r->nr_region_groups++], rows[i]);
		add(&r->region_groups[r->nr_region_groups - 1], rows[i],
		    !first && rows[i - 1]->process == rows[i]->process, r->recording.page_frames);
	}
	qsort(r->region_groups, r->nr_region_groups, sizeof(*r->region_groups), by_copied);
	return 0;
}
