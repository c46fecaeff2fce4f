/* SPDX-License-Identifier: MIT */
/*
 * Where a call site wrote.  A write has an address; the region it lies in is one
 * of those that were counted for its fork and side, which are disjoint.  For
 * people regions of one kind and name are one: 300 backends have 300 heaps.
 *
 * Invariant: the sum over a site's memory is the site's sum: what no region tells
 * of has an entry of its own, with no kind.
 */
#include <errno.h>
#include <string.h>

#include "report/gather.h"
#include "store/schema.h"

static int by_class(const void *a, const void *b)
{
	const struct ct_trace_region *x = *(void *const *)a, *y = *(void *const *)b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int make_classes(struct ct_gather *g, const struct ct_trace *t)
{
	size_t out = 0;

	g->classes = ct_report_array(t->nr_regions, sizeof(*g->classes));
	g->class_of = ct_report_array(t->nr_regions, sizeof(*g->class_of));
	if (!g->classes || !g->class_of)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_regions; i++)
		g->classes[i] = &t->regions[i];
	qsort(g->classes, t->nr_regions, sizeof(*g->classes), by_class);
	for (size_t i = 0; i < t->nr_regions; i++) {
		const struct ct_trace_region *region = g->classes[i];

		if (!out || by_class(&g->classes[out - 1], &g->classes[i]))
			g->classes[out++] = region;
		g->class_of[region - t->regions] = (u32)(out - 1);
	}
	g->nr_classes = out;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct ct_span *x = a, *y = b;

	if (x->fork != y->fork)
		return x->fork < y->fork ? -1 : 1;
	if (x->side != y->side)
		return x->side < y->side ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

int ct_gather_index_regions(struct ct_gather *g, const struct ct_trace *t)
{
	g->spans = ct_report_array(t->nr_counts, sizeof(*g->spans));
	if (!g->spans || make_classes(g, t))
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_counts; i++) {
		const struct ct_trace_count *c = &t->counts[i];
		const struct ct_trace_region *region = ct_trace_region(t, c->region);

		if (region)
			g->spans[g->nr_spans++] =
				(struct ct_span){ c->fork,
						  c->side,
						  region->start,
						  region->end,
						  g->class_of[region - t->regions],
						  region->id };
	}
	qsort(g->spans, g->nr_spans, sizeof(*g->spans), by_place);
	return 0;
}

static bool holds(const struct ct_span *s, const struct ct_trace_write *w, u64 addr)
{
	return s->fork == w->fork && s->side == w->kind->side && addr >= s->start && addr < s->end;
}

const struct ct_span *ct_gather_span(struct ct_gather *g, const struct ct_trace_write *w)
{
	u64 addr = ct_addr_of(w->page);
	struct ct_span key = { w->fork, w->kind->side, addr };
	size_t lo = 0, hi = g->nr_spans;

	/* Neighbouring pages are written one after the other. */
	if (g->last_span && holds(g->last_span, w, addr))
		return g->last_span;
	/* The first one behind the page. */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (by_place(&g->spans[mid], &key) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || !holds(&g->spans[lo - 1], w, addr))
		return NULL;
	g->last_span = &g->spans[lo - 1];
	return g->last_span;
}

u32 ct_gather_class(struct ct_gather *g, const struct ct_trace_write *w)
{
	const struct ct_span *s = ct_gather_span(g, w);

	return s ? s->class : (u32)g->nr_classes;
}

/* A row on its way into the table. */
struct entry {
	size_t rank; /* of its write site */
	struct cowtrace_site_region row;
};

static int by_rank(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int rc;

	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	if (x->row.first_writes != y->row.first_writes)
		return x->row.first_writes < y->row.first_writes ? 1 : -1;
	rc = strcmp(x->row.kind, y->row.kind);
	return rc ? rc : strcmp(x->row.name, y->row.name);
}

/* The place of each gathered site in the table of write sites; nr_write_sites: not in it. */
static size_t *ranks(const struct cowtrace_report *r)
{
	size_t *rank = ct_report_array(r->gather->sites.nr, sizeof(*rank));

	for (u32 n = 0; rank && n < r->gather->sites.nr; n++)
		rank[n] = r->nr_write_sites;
	for (size_t i = 0; rank && i < r->nr_write_sites; i++)
		rank[(r->write_sites[i].steps - r->site_steps) / CT_STEPS] = i;
	return rank;
}

static void fill(const struct cowtrace_report *r, u64 key, u32 number, size_t rank,
		 struct entry *to)
{
	const struct ct_gather *g = r->gather;
	const struct ct_gather_region *sum = &g->region[number];
	u32 class = (u32)key;
	const struct ct_trace_region *region = class < g->nr_classes ? g->classes[class] : NULL;

	*to = (struct entry){
		rank,
		{ r->write_sites[rank].id, region ? ct_kind_name(region->kind) : "",
		  region ? region->name : "", sum->first_writes, sum->copies, sum->reuses },
	};
}

int ct_report_make_site_regions(struct cowtrace_report *r)
{
	const struct ct_gather *g = r->gather;
	ct_auto_free u64 *keys = ct_u64map_keys(&g->regions);
	ct_auto_free size_t *rank = ranks(r);
	ct_auto_free struct entry *rows = ct_report_array(g->regions.nr, sizeof(*rows));
	size_t nr = 0;

	r->site_regions = ct_report_array(g->regions.nr, sizeof(*r->site_regions));
	if (!keys || !rank || !rows || !r->site_regions)
		return -ENOMEM;
	for (u32 n = 0; n < g->regions.nr; n++)
		if (rank[keys[n] >> 32] < r->nr_write_sites)
			fill(r, keys[n], n, rank[keys[n] >> 32], &rows[nr++]);
	qsort(rows, nr, sizeof(*rows), by_rank);
	for (size_t i = 0; i < nr; i++)
		r->site_regions[r->nr_site_regions++] = rows[i].row;
	return 0;
}
