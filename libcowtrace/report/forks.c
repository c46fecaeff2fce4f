/* SPDX-License-Identifier: MIT */
/*
 * Forks, and the groups they come in: one call site, in processes of one name
 * and one lineage.  300 backends of a server are one line for its operator.
 *
 * Invariant: groups are made of every selected fork, whatever `top` says.
 */
#include <errno.h>
#include <string.h>

#include "report/report.h"
#include "store/schema.h"

static void fill_side(const struct ct_trace *t, u32 fork, enum ct_side side,
		      struct cowtrace_side *to)
{
	const struct ct_trace_side *s = ct_trace_side(t, fork, side);

	if (!s) {
		/* Nothing was read of it yet. */
		*to = (struct cowtrace_side){ ct_side_end_name(CT_SIDE_END_OPEN),
					      CT_UNKNOWN,
					      CT_UNKNOWN,
					      CT_UNKNOWN,
					      CT_UNKNOWN,
					      CT_UNKNOWN,
					      CT_UNKNOWN,
					      CT_UNKNOWN };
		return;
	}
	*to = (struct cowtrace_side){ ct_side_end_name(s->ended),
				      s->t_ns,
				      s->copied,
				      s->dropped,
				      s->fresh,
				      s->unknown,
				      s->kept,
				      s->attributed };
}

static int by_fork(const void *key, const void *member)
{
	const u32 fork = *(const u32 *)key;
	const struct ct_trace_carried *c = member;

	return fork < c->fork ? -1 : fork > c->fork;
}

/* What an older file had of it. */
static void fill_carried(const struct ct_trace *t, struct cowtrace_fork *to)
{
	const struct ct_trace_carried *c = NULL;

	if (t->nr_carried)
		c = bsearch(&to->id, t->carried, t->nr_carried, sizeof(*c), by_fork);
	to->carried = c != NULL;
	to->pages_at_fork = c ? c->pages_shared : to->pages_shared;
}

static s32 pid_or_zero(const struct cowtrace_process *p)
{
	return p ? p->pid : 0;
}

static void fill(struct cowtrace_report *r, const struct ct_trace_fork *f, struct cowtrace_fork *to)
{
	const struct cowtrace_process *parent = ct_report_process_of(r, f->parent);
	const struct cowtrace_process *child = ct_report_process_of(r, f->child);
	const struct cowtrace_site *site = cowtrace_report_site_of(r, f->site);

	*to = (struct cowtrace_fork){
		.id = f->id,
		.parent = f->parent,
		.child = f->child,
		.parent_pid = pid_or_zero(parent),
		.child_pid = f->child_pid ? f->child_pid : pid_or_zero(child),
		.depth = parent ? parent->depth : 0,
		.site = f->site,
		.site_text = site ? site->text : "",
		.phase = f->phase,
		.how = f->how,
		.start_ns = f->start_ns,
		.end_ns = f->end_ns,
		.fork_ns = f->fork_ns,
		.arm_ns = f->arm_ns,
		.event_ns = f->event_ns,
		.hold_ns = f->hold_ns,
		.pages_shared = f->pages_shared,
		.huge_pages_shared = f->huge_pages_shared,
		.swapped = f->swapped,
		.copied_min = f->copied_min,
		.copied_max = f->copied_max,
		.late = f->late,
	};
	fill_side(r->trace, f->id, CT_SIDE_PARENT, &to->parent_side);
	fill_side(r->trace, f->id, CT_SIDE_CHILD, &to->child_side);
	fill_carried(r->trace, to);
}

/* Where it cannot be told by side: of both together, at least. */
static u64 copied_of(const struct cowtrace_fork *f)
{
	if (f->parent_side.copied == CT_UNKNOWN && f->child_side.copied == CT_UNKNOWN)
		return ct_report_known(f->copied_min);
	return ct_report_known(f->parent_side.copied) + ct_report_known(f->child_side.copied);
}

static int by_copied(const void *a, const void *b)
{
	const struct cowtrace_fork *x = a, *y = b;
	u64 cx = copied_of(x), cy = copied_of(y);

	if (cx != cy)
		return cx < cy ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int ct_report_make_forks(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;

	r->forks = ct_report_array(t->nr_forks, sizeof(*r->forks));
	if (!r->forks)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_forks; i++)
		if (r->fork_selected[i])
			fill(r, &t->forks[i], &r->forks[r->nr_forks++]);
	return 0;
}

/* A fork on its way into a group. */
struct member {
	const struct cowtrace_fork *fork;
	const char *caller, *lineage;
};

static int by_group(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int rc = strcmp(x->fork->site_text, y->fork->site_text);

	if (!rc)
		rc = strcmp(x->caller, y->caller);
	if (!rc)
		rc = strcmp(x->lineage, y->lineage);
	if (!rc)
		rc = x->fork->depth < y->fork->depth ? -1 : x->fork->depth > y->fork->depth;
	return rc;
}

static void init(struct cowtrace_group *g)
{
	*g = (struct cowtrace_group){
		.site_text = "",
		.caller = "",
		.lineage = "",
		.pages_shared = CT_UNKNOWN,
		.huge_pages_shared = CT_UNKNOWN,
		.parent_copied = CT_UNKNOWN,
		.child_copied = CT_UNKNOWN,
		.parent_dropped = CT_UNKNOWN,
		.child_dropped = CT_UNKNOWN,
		.child_fresh = CT_UNKNOWN,
		.unknown = CT_UNKNOWN,
		.fork_ns_sum = CT_UNKNOWN,
	};
}

static void add(struct cowtrace_group *g, const struct cowtrace_fork *f)
{
	g->nr_forks++;
	g->nr_unread += (f->parent_side.kept == CT_UNKNOWN) + (f->child_side.kept == CT_UNKNOWN);
	ct_report_add(&g->pages_shared, f->pages_shared);
	ct_report_add(&g->huge_pages_shared, f->huge_pages_shared);
	ct_report_add(&g->parent_copied, f->parent_side.copied);
	ct_report_add(&g->child_copied, f->child_side.copied);
	ct_report_add(&g->parent_dropped, f->parent_side.dropped);
	ct_report_add(&g->child_dropped, f->child_side.dropped);
	ct_report_add(&g->child_fresh, f->child_side.fresh);
	ct_report_add(&g->unknown, f->parent_side.unknown);
	ct_report_add(&g->unknown, f->child_side.unknown);
	g->copied_min += ct_report_known(f->copied_min);
	if (f->copied_max == CT_UNKNOWN)
		g->copied_max = CT_UNKNOWN;
	else if (g->copied_max != CT_UNKNOWN)
		g->copied_max += f->copied_max;
	g->nr_timed += f->fork_ns != CT_UNKNOWN;
	ct_report_add(&g->fork_ns_sum, f->fork_ns);
	g->fork_ns_max = ct_max(g->fork_ns_max, ct_report_known(f->fork_ns));
	if (!g->max_fork || copied_of(f) > g->max_copied) {
		g->max_copied = copied_of(f);
		g->max_fork = f->id;
	}
}

static u64 copied_of_group(const struct cowtrace_group *g)
{
	if (g->parent_copied == CT_UNKNOWN && g->child_copied == CT_UNKNOWN)
		return g->copied_min;
	return ct_report_known(g->parent_copied) + ct_report_known(g->child_copied);
}

static int group_by_copied(const void *a, const void *b)
{
	const struct cowtrace_group *x = a, *y = b;
	u64 cx = copied_of_group(x), cy = copied_of_group(y);

	if (cx != cy)
		return cx < cy ? 1 : -1;
	return x->max_fork < y->max_fork ? -1 : x->max_fork > y->max_fork;
}

static int list_members(struct cowtrace_report *r, struct member *members)
{
	u32 process = 0;
	const char *lineage = "";

	for (size_t i = 0; i < r->nr_forks; i++) {
		const struct cowtrace_site *site;

		/* Servers fork many times in a row. */
		if (!i || r->forks[i].parent != process) {
			process = r->forks[i].parent;
			lineage = ct_report_lineage(r, process);
			if (!lineage)
				return -ENOMEM;
		}
		site = cowtrace_report_site_of(r, r->forks[i].site);
		members[i] = (struct member){ &r->forks[i], site ? site->caller : "", lineage };
	}
	qsort(members, r->nr_forks, sizeof(*members), by_group);
	return 0;
}

static void sort_forks(struct cowtrace_report *r)
{
	if (!r->options.top)
		return;
	qsort(r->forks, r->nr_forks, sizeof(*r->forks), by_copied);
	r->nr_forks = ct_min(r->nr_forks, (size_t)r->options.top);
}

int ct_report_make_groups(struct cowtrace_report *r)
{
	ct_auto_free struct member *members = ct_report_array(r->nr_forks, sizeof(*members));

	r->groups = ct_report_array(r->nr_forks, sizeof(*r->groups));
	if (!members || !r->groups || list_members(r, members))
		return -ENOMEM;
	init(&r->total);
	for (size_t i = 0; i < r->nr_forks; i++) {
		if (!i || by_group(&members[i - 1], &members[i])) {
			struct cowtrace_group *g = &r->groups[r->nr_groups++];

			init(g);
			g->site_text = members[i].fork->site_text;
			g->caller = members[i].caller;
			g->lineage = members[i].lineage;
			g->depth = members[i].fork->depth;
		}
		add(&r->groups[r->nr_groups - 1], members[i].fork);
		add(&r->total, members[i].fork);
	}
	qsort(r->groups, r->nr_groups, sizeof(*r->groups), group_by_copied);
	/* Only now: the members point into the forks. */
	sort_forks(r);
	return 0;
}
