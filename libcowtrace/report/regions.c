/* SPDX-License-Identifier: MIT */
/*
 * Regions: what each shared and lost over the selected forks, and the table of
 * region by fork behind that.
 *
 * Invariant: the sum over a fork's regions and a side is that side's total,
 * because the recorder counts each page in one region (a test holds it).
 */
#include <errno.h>

#include "report/report.h"
#include "store/schema.h"

static void fill(struct cowtrace_report *r, const struct ct_trace_region *g,
		 struct cowtrace_region *to)
{
	const struct cowtrace_process *p = ct_report_process_of(r, g->process);
	const struct cowtrace_site *site = cowtrace_report_site_of(r, g->site);

	*to = (struct cowtrace_region){
		.id = g->id,
		.process = g->process,
		.pid = p ? p->pid : 0,
		.kind = ct_kind_name(g->kind),
		.start = g->start,
		.end = g->end,
		.name = g->name,
		.tagged = g->tagged,
		.site = g->site,
		.site_text = site ? site->text : "",
		.thp = ct_thp_advice_name(g->thp),
		.ksm = ct_ksm_advice_name(g->ksm),
		.fork_advice = ct_fork_advice_name(g->fork_advice),
		.t_ns = g->t_ns,
	};
}

static int by_id(const void *key, const void *elem)
{
	u32 id = *(const u32 *)key;
	const struct cowtrace_region *g = elem;

	return id < g->id ? -1 : id > g->id;
}

static struct cowtrace_region *find(struct cowtrace_report *r, u32 id)
{
	/* Counts come by fork and region: the next one is mostly the next region. */
	return bsearch(&id, r->regions, r->nr_regions, sizeof(*r->regions), by_id);
}

/*
 * Was region c's part in its fork told before, by the other side's row?  Both
 * sides shared the same pages: they count once.
 */
static bool is_second_row(const struct ct_trace *t, const struct ct_trace_count *c)
{
	return c > t->counts && c[-1].fork == c->fork && c[-1].region == c->region;
}

static void sum(struct cowtrace_region *g, const struct ct_trace_count *c, bool first,
		bool second_row)
{
	/* From here on unknown until one side was read. */
	if (first)
		g->shared = g->copied = g->dropped = g->fresh = g->unknown = CT_UNKNOWN;
	if (!second_row)
		ct_report_add(&g->shared, c->shared);
	ct_report_add(&g->copied, c->copied);
	ct_report_add(&g->dropped, c->dropped);
	ct_report_add(&g->fresh, c->fresh);
	ct_report_add(&g->unknown, c->unknown);
}

/*
 * A row that the recorder wrote at the fork stays when its side is never read: then
 * it says what was shared, and its zeros mean nothing.
 */
static struct ct_trace_count as_known(const struct cowtrace_report *r,
				      const struct ct_trace_count *c)
{
	const struct ct_trace_side *s = ct_trace_side(r->trace, c->fork, c->side);
	struct ct_trace_count k = *c;

	if (!s || s->kept == CT_UNKNOWN)
		k.copied = k.dropped = k.fresh = k.unknown = CT_UNKNOWN;
	return k;
}

static void put_row(struct cowtrace_report *r, const struct ct_trace_count *c)
{
	r->fork_regions[r->nr_fork_regions++] = (struct cowtrace_fork_region){
		c->fork,    c->region, ct_side_name(c->side),
		c->shared,  c->huge,   c->copied,
		c->dropped, c->fresh,  c->unknown,
	};
}

static int sum_counts(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;
	ct_auto_free bool *counted = ct_report_array(r->nr_regions, sizeof(*counted));

	if (!counted)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_counts; i++) {
		const struct ct_trace_count *c = &t->counts[i], known = as_known(r, c);
		struct cowtrace_region *g;

		if (!ct_report_wants_fork(r, c->fork))
			continue;
		g = find(r, c->region);
		if (!g)
			continue;
		put_row(r, &known);
		sum(g, &known, !counted[g - r->regions], is_second_row(t, c));
		counted[g - r->regions] = true;
	}
	return 0;
}

static int by_copied(const void *a, const void *b)
{
	const struct cowtrace_region *x = a, *y = b;
	u64 cx = ct_report_copied(x->copied, x->unknown);
	u64 cy = ct_report_copied(y->copied, y->unknown);

	if (cx == cy) {
		cx = ct_report_known(x->shared);
		cy = ct_report_known(y->shared);
	}
	if (cx != cy)
		return cx < cy ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int ct_report_make_regions(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;

	r->regions = ct_report_array(t->nr_regions, sizeof(*r->regions));
	r->fork_regions = ct_report_array(t->nr_counts, sizeof(*r->fork_regions));
	if (!r->regions || !r->fork_regions)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_regions; i++)
		if (r->region_selected[i])
			fill(r, &t->regions[i], &r->regions[r->nr_regions++]);
	r->all_regions = r->nr_regions;
	return sum_counts(r);
}

void ct_report_cut_regions(struct cowtrace_report *r)
{
	if (!r->options.top)
		return;
	qsort(r->regions, r->nr_regions, sizeof(*r->regions), by_copied);
	r->nr_regions = ct_min(r->nr_regions, (size_t)r->options.top);
}
