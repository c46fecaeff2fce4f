/* SPDX-License-Identifier: MIT */
/*
 * Huge mappings that were lost: by first writes after a fork, which an engine saw; by
 * calls, which the program's own side saw; and those that a reading found to be gone,
 * where nothing else explains it.
 *
 * Invariant: every call's row of thp_losses and every first write that split a huge
 * mapping is in exactly one entry, so that the entries of a cause sum up to its events.
 */
#include <errno.h>
#include <string.h>

#include <cowtrace/policy.h>

#include "report/gather.h"
#include "store/schema.h"

#define UNIT_BITS 36 /* addresses of 57 bits, in units of 2 MiB */
/* Mappings of one process that lie over each other in time: so many are looked at. */
#define MAX_OVER 32

static int unit_of(struct ct_gather *g, const struct ct_trace_write *w, u32 *ret)
{
	u32 owner;
	u64 unit = w->page / CT_HUGE_PAGES & ((1ULL << UNIT_BITS) - 1);

	if (ct_u64map_get(&g->owners, (u64)w->process << 32 | w->fork, &owner) ||
	    ct_u64map_get(&g->units, (u64)owner << UNIT_BITS | unit, ret))
		return -ENOMEM;
	return ct_gather_room((void **)&g->unit, &g->cap_units, *ret, sizeof(*g->unit));
}

static int add_lost(struct ct_gather *g, const struct ct_trace_write *w, u32 unit)
{
	const struct ct_span *span = ct_gather_span(g, w);

	if (ct_gather_room((void **)&g->lost, &g->cap_lost, g->nr_lost, sizeof(*g->lost)))
		return -ENOMEM;
	g->lost[g->nr_lost++] = (struct ct_gather_lost){
		.unit = unit,
		.process = w->process,
		.site = w->site,
		.region = span ? span->region : 0,
		.addr = ct_addr_of(w->page),
		.syscall = w->syscall,
		.needless = ct_verdict_plain(w->kind->observed) == COWTRACE_REUSE,
	};
	g->unit[unit].lost_last = g->nr_lost;
	return 0;
}

int ct_gather_huge(struct ct_gather *g, const struct ct_trace_write *w)
{
	const int observed = ct_verdict_plain(w->kind->observed);
	int word = ct_verdict_plain(w->kind->predicted);
	struct ct_gather_unit *to;
	u32 unit;

	/* Made writable as a whole, and it stayed so. */
	if (w->pages > 1 && observed != COWTRACE_COPY)
		return 0;
	if (unit_of(g, w, &unit))
		return -ENOMEM;
	to = &g->unit[unit];
	if (word == COWTRACE_UNCERTAIN)
		word = ct_verdict_plain(w->kind->likely);
	to->copies += observed == COWTRACE_COPY;
	to->reuses += observed == COWTRACE_REUSE;
	to->reusable += observed == COWTRACE_COPY && word == COWTRACE_REUSE;
	return w->kind->huge ? add_lost(g, w, unit) : 0;
}

/* Regions of all processes: by process, then address, then time. */
static int by_place(const void *a, const void *b)
{
	const struct ct_trace_region *x = *(void *const *)a, *y = *(void *const *)b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static const struct ct_trace_region **sort_regions(const struct ct_trace *t)
{
	const struct ct_trace_region **v = ct_report_array(t->nr_regions, sizeof(*v));

	for (size_t i = 0; v && i < t->nr_regions; i++)
		v[i] = &t->regions[i];
	if (v)
		qsort(v, t->nr_regions, sizeof(*v), by_place);
	return v;
}

/*
 * The newest region of the process that holds the address.  It may have been found in
 * the maps later only, so that its time says nothing.
 */
static u32 region_at(const struct ct_trace *t, const struct ct_trace_region *const *v, u32 process,
		     u64 addr)
{
	const struct ct_trace_region *best = NULL;
	size_t lo = 0, hi = t->nr_regions;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (v[mid]->process < process ||
		    (v[mid]->process == process && v[mid]->start <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	for (size_t n = 0; n < MAX_OVER && lo && v[lo - 1]->process == process; n++, lo--)
		if (v[lo - 1]->end > addr && (!best || v[lo - 1]->id > best->id))
			best = v[lo - 1];
	return best ? best->id : 0;
}

static void name_region(const struct cowtrace_report *r, struct cowtrace_thp_loss *to, u32 id)
{
	const struct ct_trace_region *g = ct_trace_region(r->trace, id);

	to->region = g ? id : 0;
	to->kind = g ? ct_kind_name(g->kind) : "";
	to->name = g ? g->name : "";
}

static int name_site(struct cowtrace_report *r, struct cowtrace_thp_loss *to)
{
	const struct cowtrace_site *site = cowtrace_report_site_of(r, to->site);

	to->text = site ? site->text : "";
	if (site && *to->syscall)
		to->text = ct_pool_format(&r->pool, "%s(2) by %s", to->syscall, site->text);
	return to->text ? 0 : -ENOMEM;
}

static void name_process(const struct cowtrace_report *r, struct cowtrace_thp_loss *to)
{
	const struct cowtrace_process *p = ct_report_process_of(r, to->process);

	to->pid = p ? p->pid : 0;
}

static int add_written(struct cowtrace_report *r, const struct ct_trace_region *const *v)
{
	struct ct_gather *g = r->gather;

	for (u32 i = 0; i < g->nr_lost; i++) {
		const struct ct_gather_lost *l = &g->lost[i];
		const struct ct_gather_unit *u = &g->unit[l->unit];
		/* Lost twice in one fork: what followed is told once. */
		const bool last = u->lost_last == i + 1;
		struct cowtrace_thp_loss *to = &r->thp_losses[r->nr_thp_losses++];

		*to = (struct cowtrace_thp_loss){
			.cause = l->needless ? "cowtrace" : "write_after_fork",
			.process = l->process,
			.site = l->site,
			.events = 1,
			.len = CT_HUGE_SIZE,
			.regained_len = CT_UNKNOWN,
			.copies = last ? u->copies : 0,
			.reuses = last ? u->reuses : 0,
			.reusable = last ? u->reusable : 0,
		};
		name_region(r, to,
			    l->region ? l->region : region_at(r->trace, v, l->process, l->addr));
		name_process(r, to);
		to->syscall = ct_report_syscall(r, l->syscall);
		if (!to->syscall)
			return -ENOMEM;
	}
	return 0;
}

/* Calls of all processes: by process, then address. */
static int by_address(const void *a, const void *b)
{
	const struct ct_trace_loss *x = *(void *const *)a, *y = *(void *const *)b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

struct calls {
	const struct ct_trace_loss **v;
	size_t nr;
	u64 longest; /* bytes */
};

static int collect_calls(const struct ct_trace *t, struct calls *ret)
{
	*ret = (struct calls){ .v = ct_report_array(t->nr_losses, sizeof(*ret->v)) };
	for (size_t i = 0; ret->v && i < t->nr_losses; i++) {
		if (t->losses[i].fork)
			continue;
		ret->v[ret->nr++] = &t->losses[i];
		ret->longest = ct_max(ret->longest, t->losses[i].len);
	}
	if (!ret->v)
		return -ENOMEM;
	qsort(ret->v, ret->nr, sizeof(*ret->v), by_address);
	return 0;
}

/* Did a call of the process lose it since that fork? */
static bool by_a_call(const struct ct_trace *t, const struct calls *c,
		      const struct ct_trace_loss *gone)
{
	const struct ct_trace_fork *f = ct_trace_fork(t, gone->fork);
	const struct ct_trace_loss key = { .process = gone->process,
					   .addr = gone->addr > c->longest ? gone->addr - c->longest
									   : 0 };
	size_t lo = 0, hi = c->nr;

	while (lo < hi) {
		const struct ct_trace_loss *mid = c->v[lo + (hi - lo) / 2], *k = &key;

		if (by_address(&mid, &k) < 0)
			lo = lo + (hi - lo) / 2 + 1;
		else
			hi = lo + (hi - lo) / 2;
	}
	for (; lo < c->nr && c->v[lo]->process == gone->process && c->v[lo]->addr <= gone->addr;
	     lo++)
		if (c->v[lo]->addr + c->v[lo]->len > gone->addr &&
		    (!f || ct_report_known(f->start_ns) <= c->v[lo]->t_ns))
			return true;
	return false;
}

/* Did a first write? */
static int by_a_write(struct ct_gather *g, const struct ct_trace_loss *gone, bool *ret)
{
	const struct ct_trace_write w = { .process = gone->process,
					  .fork = gone->fork,
					  .page = ct_page_of(gone->addr) };
	u32 unit;

	if (unit_of(g, &w, &unit))
		return -ENOMEM;
	*ret = g->unit[unit].lost_last;
	return 0;
}

/* Is it one for the table?  Of what was found to be gone, what nothing explains. */
static int is_told(struct cowtrace_report *r, const struct calls *c, const struct ct_trace_loss *l,
		   bool *ret)
{
	bool written;

	if (!l->fork) {
		*ret = ct_report_wants_call(r, l->process, l->t_ns);
		return 0;
	}
	*ret = false;
	if (!ct_report_wants_fork(r, l->fork) || by_a_call(r->trace, c, l))
		return 0;
	if (by_a_write(r->gather, l, &written))
		return -ENOMEM;
	*ret = !written;
	return 0;
}

static int add_rows(struct cowtrace_report *r, const struct ct_trace_region *const *v)
{
	const struct ct_trace *t = r->trace;
	struct calls calls;
	int rc = collect_calls(t, &calls);
	bool told;

	for (size_t i = 0; !rc && i < t->nr_losses; i++) {
		const struct ct_trace_loss *l = &t->losses[i];
		struct cowtrace_thp_loss *to = &r->thp_losses[r->nr_thp_losses];

		rc = is_told(r, &calls, l, &told);
		if (rc || !told)
			continue;
		r->nr_thp_losses++;
		*to = (struct cowtrace_thp_loss){
			.cause = l->cause,
			.process = l->process,
			.site = l->site,
			.syscall = "",
			.events = l->len / CT_HUGE_SIZE,
			.len = l->len,
			.regained_len = CT_UNKNOWN,
			.copies = CT_UNKNOWN,
			.reuses = CT_UNKNOWN,
			.reusable = CT_UNKNOWN,
		};
		name_region(r, to, region_at(t, v, l->process, l->addr));
		name_process(r, to);
	}
	free(calls.v);
	return rc;
}

static int by_identity(const void *a, const void *b)
{
	const struct cowtrace_thp_loss *x = a, *y = b;
	int rc = strcmp(x->cause, y->cause);

	if (rc)
		return rc;
	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	if (x->site != y->site)
		return x->site < y->site ? -1 : 1;
	if (x->region != y->region)
		return x->region < y->region ? -1 : 1;
	return strcmp(x->syscall, y->syscall);
}

static int by_bytes(const void *a, const void *b)
{
	const struct cowtrace_thp_loss *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? 1 : -1;
	return by_identity(a, b);
}

static int merge(struct cowtrace_report *r)
{
	size_t out = 0;
	int rc = 0;

	qsort(r->thp_losses, r->nr_thp_losses, sizeof(*r->thp_losses), by_identity);
	for (size_t i = 0; i < r->nr_thp_losses; i++) {
		const struct cowtrace_thp_loss *l = &r->thp_losses[i];
		struct cowtrace_thp_loss *to = out ? &r->thp_losses[out - 1] : NULL;

		if (!to || by_identity(to, l)) {
			r->thp_losses[out++] = *l;
			continue;
		}
		to->events += l->events;
		to->len += l->len;
		ct_report_add(&to->copies, l->copies);
		ct_report_add(&to->reuses, l->reuses);
		ct_report_add(&to->reusable, l->reusable);
	}
	r->nr_thp_losses = out;
	qsort(r->thp_losses, out, sizeof(*r->thp_losses), by_bytes);
	for (size_t i = 0; i < out && !rc; i++)
		rc = name_site(r, &r->thp_losses[i]);
	return rc;
}

int ct_report_make_thp_losses(struct cowtrace_report *r)
{
	ct_auto_free const struct ct_trace_region **regions = sort_regions(r->trace);

	r->thp_losses =
		ct_report_array(r->gather->nr_lost + r->trace->nr_losses, sizeof(*r->thp_losses));
	if (!regions || !r->thp_losses || add_written(r, regions) || add_rows(r, regions))
		return -ENOMEM;
	return merge(r);
}
