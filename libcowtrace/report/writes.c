/* SPDX-License-Identifier: MIT */
/*
 * One pass over all first writes, which never stand in memory: each goes into
 * the sums of its call site, of the memory it wrote to, of its kind, of its step
 * of time.  The tables are made of these sums afterwards.
 *
 * Invariant: a write is in exactly one of copies, reuses, zero_filled and unknown,
 * by what the kernel was seen to do; a prediction moves no sum.
 */
#include <errno.h>
#include <string.h>

#include <cowtrace/policy.h>

#include "report/gather.h"

int ct_gather_room(void **array, u32 *cap, u32 number, size_t len)
{
	u32 want = *cap ? *cap * 2 : 256;
	char *p;

	if (number < *cap)
		return 0;
	p = reallocarray(*array, want, len);
	if (!p)
		return -ENOMEM;
	memset(p + *cap * len, 0, (want - *cap) * len);
	*array = p;
	*cap = want;
	return 0;
}

void ct_gather_destroy(struct ct_gather *g)
{
	if (!g)
		return;
	ct_u64map_fini(&g->sites);
	ct_u64map_fini(&g->forks);
	ct_u64map_fini(&g->regions);
	ct_u64map_fini(&g->owners);
	ct_u64map_fini(&g->units);
	free(g->site);
	free(g->region);
	free(g->unit);
	free(g->lost);
	free(g->kinds);
	free(g->class_of);
	free(g->classes);
	free(g->spans);
	free(g);
}

static bool is_wanted(struct cowtrace_report *r, const struct ct_trace_write *w)
{
	const struct cowtrace_report_options *o = &r->options;
	struct ct_gather *g = r->gather;

	if (w->t_ns < o->since_ns || (o->until_ns && w->t_ns >= o->until_ns))
		return false;
	/* Pages of no fork. */
	if (!w->fork)
		return !o->fork && !o->process;
	if (w->fork != g->last_fork) {
		g->last_fork = w->fork;
		g->last_wanted = ct_report_wants_fork(r, w->fork);
	}
	return g->last_wanted;
}

static void add(struct ct_sums *s, const struct ct_trace_write *w)
{
	s->first_writes += w->pages;
	switch (ct_verdict_plain(w->kind->observed)) {
	case COWTRACE_COPY:
		s->copies += w->pages;
		s->splits += w->kind->huge;
		s->small_copies += !w->kind->huge;
		break;
	case COWTRACE_REUSE:
		s->reuses += w->pages;
		s->reused++;
		break;
	case COWTRACE_ALLOC_ZEROED:
		s->zero_filled += w->pages;
		break;
	default:
		s->unknown += w->pages;
	}
}

/* Twice as long steps: two become one. */
static void fold(struct ct_gather *g)
{
	for (u32 n = 0; n < g->sites.nr; n++) {
		u32 *s = g->site[n].steps;

		for (u32 i = 0; i < CT_STEPS; i++)
			s[i] = i < CT_STEPS / 2 ? s[2 * i] + s[2 * i + 1] : 0;
	}
	g->step_ns *= 2;
}

static u32 step_of(struct ct_gather *g, u64 t_ns)
{
	u64 since = t_ns > g->steps_ns ? t_ns - g->steps_ns : 0;

	while (since / g->step_ns >= CT_STEPS)
		fold(g);
	return (u32)(since / g->step_ns);
}

static int add_region(struct ct_gather *g, u32 site, const struct ct_trace_write *w)
{
	u64 key = (u64)site << 32 | ct_gather_class(g, w);
	int observed = ct_verdict_plain(w->kind->observed);
	struct ct_gather_region *to;
	u32 n;

	if (ct_u64map_get(&g->regions, key, &n) ||
	    ct_gather_room((void **)&g->region, &g->cap_regions, n, sizeof(*g->region)))
		return -ENOMEM;
	to = &g->region[n];
	to->first_writes += w->pages;
	to->copies += observed == COWTRACE_COPY ? w->pages : 0;
	to->reuses += observed == COWTRACE_REUSE ? w->pages : 0;
	return 0;
}

static int add_to_site(struct ct_gather *g, const struct ct_trace_write *w)
{
	/* A number of a system call has 31 bits at most: the key is unique. */
	u64 key = (u64)w->site << 32 | (u64)((w->syscall + 1) & 0x7fffffff) << 1 | w->kind->side;
	struct ct_gather_site *to;
	u32 n, unused, step;

	if (ct_u64map_get(&g->sites, key, &n) ||
	    ct_gather_room((void **)&g->site, &g->cap_sites, n, sizeof(*g->site)) ||
	    ct_u64map_get(&g->forks, (u64)n << 32 | w->fork, &unused))
		return -ENOMEM;
	step = step_of(g, w->t_ns);
	to = &g->site[n];
	if (!to->site)
		*to = (struct ct_gather_site){ w->site, w->process, w->kind->side, w->syscall };
	add(&to->sums, w);
	to->steps[step] += w->pages;
	return add_region(g, n, w);
}

/* Room for all reasons that a recorder of today has; a later one's may share a place. */
static void add_without_stack(struct cowtrace_writes *to, const struct ct_trace_write *w)
{
	const char *reason = *w->kind->no_site ? w->kind->no_site : "unexplained";
	size_t i = 0;

	while (i < to->nr_reasons && strcmp(to->without_stack[i].reason, reason))
		i++;
	if (i == ct_array_size(to->without_stack))
		i--;
	else if (i == to->nr_reasons)
		to->without_stack[to->nr_reasons++] = (struct cowtrace_reason_pages){ reason, 0 };
	to->without_stack[i].pages += w->pages;
}

static int take(void *ctx, const struct ct_trace_write *w)
{
	struct cowtrace_report *r = ctx;
	struct ct_gather *g = r->gather;
	int rc = 0;

	if (!is_wanted(r, w))
		return 0;
	g->faults++;
	g->kinds[w->kind - r->trace->kinds]++;
	add(&g->all, w);
	if (ct_verdict_disagrees(w->kind))
		rc = ct_verdict_keep(r, w);
	if (!rc && g->has_huge)
		rc = ct_gather_huge(g, w);
	if (rc)
		return rc;
	if (!w->site || *w->kind->no_site)
		add_without_stack(&r->writes, w);
	return w->site ? add_to_site(g, w) : 0;
}

/* Time begins with the first fork that is wanted. */
static u64 first_moment(const struct cowtrace_report *r)
{
	u64 first = CT_UNKNOWN;

	for (size_t i = 0; i < r->trace->nr_forks; i++)
		if (r->fork_selected[i])
			first = ct_min(first, r->trace->forks[i].start_ns);
	return first == CT_UNKNOWN ? 0 : ct_max(first, r->options.since_ns);
}

int ct_report_gather(struct cowtrace_report *r, const char *path, struct ct_err *err)
{
	const struct ct_trace *t = r->trace;
	struct ct_gather *g = calloc(1, sizeof(*g));
	int rc = -ENOMEM;

	err->text[0] = 0;
	r->gather = g;
	if (g) {
		g->kinds = ct_report_array(t->nr_kinds, sizeof(*g->kinds));
		for (size_t i = 0; i < t->nr_kinds; i++)
			g->has_huge |= t->kinds[i].huge;
		g->steps_ns = first_moment(r);
		g->step_ns = CT_NSEC_PER_MSEC;
		rc = g->kinds ? ct_gather_index_regions(g, t) : -ENOMEM;
	}
	if (!rc)
		rc = ct_trace_writes(r->trace, path, take, r, err);
	if (rc && !err->text[0])
		ct_err_set(err, rc, "not enough memory for a report on %s", path);
	return rc;
}
