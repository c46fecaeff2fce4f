/* SPDX-License-Identifier: MIT */
/*
 * Does it add up?  For each side of each fork: what the census counted, how much
 * of it has a call site, and under which reasons the rest stands; beside the
 * kernel's own word on how much memory the process has for itself.
 *
 * Invariant: copied = attributed + sum of unattributed, wherever copied is known
 * and the recorder has not claimed more than that: then the sum shows it.
 */
#include <errno.h>

#include "report/report.h"
#include "store/schema.h"

/* Counted, but written while no engine watched: all of it is without a site. */
#define REASON_NO_ENGINE "no_engine"
/* The recorder saw no page frames: copies are known in bounds, and not by side. */
#define REASON_NO_FRAMES "no_page_frames"
/* What an engine's recorder should have explained, and did not. */
#define REASON_UNEXPLAINED "unexplained"

static const char *reason_unread(const struct ct_trace_side *s)
{
	if (s && s->kept != CT_UNKNOWN)
		return REASON_NO_FRAMES;
	switch (s ? s->ended : CT_SIDE_END_OPEN) {
	case CT_SIDE_END_KILLED:
		return "killed";
	case CT_SIDE_END_TIMEOUT:
		return "recorder_late";
	default:
		return "not_read";
	}
}

/* The first reason of a side, or NULL. */
static const struct ct_trace_unattributed *reasons_of(const struct ct_trace *t, u32 fork,
						      enum ct_side side)
{
	const struct ct_trace_unattributed *u = t->unattributed;
	size_t lo = 0, hi = t->nr_unattributed;

	/* Rows come by fork; the word "child" before "parent". */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (u[mid].fork < fork || (u[mid].fork == fork && u[mid].side > side))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nr_unattributed && u[lo].fork == fork && u[lo].side == side ? &u[lo] : NULL;
}

static void add_reason(struct cowtrace_reconcile *to, const char *reason, u64 pages)
{
	/* The last place takes what later recorders have more reasons for. */
	if (to->nr_reasons == ct_array_size(to->unattributed))
		to->unattributed[to->nr_reasons - 1].pages += pages;
	else
		to->unattributed[to->nr_reasons++] =
			(struct cowtrace_reason_pages){ reason, pages };
}

/* What the recorder says of the copies without a site; the sum of it. */
static u64 explain(const struct ct_trace *t, const struct ct_trace_side *s,
		   struct cowtrace_reconcile *to)
{
	const struct ct_trace_unattributed *u = reasons_of(t, s->fork, s->side);
	const struct ct_trace_unattributed *end = t->unattributed + t->nr_unattributed;
	u64 sum = 0;

	for (; u && u < end && u->fork == s->fork && u->side == s->side; u++) {
		if (!ct_report_known(u->pages))
			continue;
		add_reason(to, u->reason, u->pages);
		sum += u->pages;
	}
	return sum;
}

static void attribute(const struct cowtrace_report *r, const struct ct_trace_side *s,
		      struct cowtrace_reconcile *to)
{
	bool watched = r->writes.watched;
	u64 explained;

	to->copied = s ? s->copied : CT_UNKNOWN;
	to->attributed = s ? ct_report_known(s->attributed) : 0;
	if (to->copied == CT_UNKNOWN) {
		to->coverage = -1;
		to->unattributed[to->nr_reasons++] =
			(struct cowtrace_reason_pages){ reason_unread(s), CT_UNKNOWN };
		return;
	}
	explained = explain(r->trace, s, to);
	to->coverage = to->copied ? (double)to->attributed / (double)to->copied : 1;
	if (to->copied > to->attributed + explained)
		add_reason(to, watched ? REASON_UNEXPLAINED : REASON_NO_ENGINE,
			   to->copied - to->attributed - explained);
}

static u64 to_bytes(u64 pages)
{
	return pages == CT_UNKNOWN ? CT_UNKNOWN : pages * CT_PAGE_SIZE;
}

static void testify(const struct ct_trace_witness *w, struct cowtrace_reconcile *to)
{
	to->private_dirty_len = w ? w->private_dirty : CT_UNKNOWN;
	to->census_private_len = w ? to_bytes(w->census_private) : CT_UNKNOWN;
	to->witness_ns = w ? w->t_ns : CT_UNKNOWN;
	to->why = w ? w->why : "";
}

/* The last word on a process in a fork; rows come by process, fork, time. */
static const struct ct_trace_witness *witness_of(const struct ct_trace *t, u32 process, u32 fork)
{
	size_t lo = 0, hi = t->nr_witnesses;

	/* The first row behind (process, fork). */
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct ct_trace_witness *w = &t->witnesses[mid];

		if (w->process < process || (w->process == process && w->fork <= fork))
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return NULL;
	return t->witnesses[lo - 1].process == process && t->witnesses[lo - 1].fork == fork
		       ? &t->witnesses[lo - 1]
		       : NULL;
}

static void add_side(struct cowtrace_report *r, const struct ct_trace_fork *f, enum ct_side side)
{
	const struct cowtrace_report_options *o = &r->options;
	u32 process = side == CT_SIDE_PARENT ? f->parent : f->child;
	const struct cowtrace_process *p = ct_report_process_of(r, process);
	struct cowtrace_reconcile *to = &r->reconcile[r->nr_reconcile];

	*to = (struct cowtrace_reconcile){
		.pid = p		       ? p->pid
		       : side == CT_SIDE_CHILD ? f->child_pid
					       : 0,
		.process = process,
		.fork = f->id,
		.side = ct_side_name(side),
	};
	if (o->process && to->pid != o->process)
		return;
	attribute(r, ct_trace_side(r->trace, f->id, side), to);
	testify(process ? witness_of(r->trace, process, f->id) : NULL, to);
	r->nr_reconcile++;
}

/* Witnesses of processes that shared with nobody: nothing copied, still a check. */
static void add_alone(struct cowtrace_report *r, const struct ct_trace_witness *w)
{
	const struct cowtrace_process *p = ct_report_process_of(r, w->process);
	struct cowtrace_reconcile *to = &r->reconcile[r->nr_reconcile];

	if (r->options.fork || !p || (r->options.process && p->pid != r->options.process))
		return;
	*to = (struct cowtrace_reconcile){
		.pid = p->pid, .process = w->process, .side = "", .coverage = 1
	};
	testify(w, to);
	r->nr_reconcile++;
}

int ct_report_make_reconcile(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;

	r->reconcile = ct_report_array(2 * t->nr_forks + t->nr_witnesses, sizeof(*r->reconcile));
	if (!r->reconcile)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_forks; i++) {
		if (!r->fork_selected[i])
			continue;
		add_side(r, &t->forks[i], CT_SIDE_PARENT);
		add_side(r, &t->forks[i], CT_SIDE_CHILD);
	}
	for (size_t i = 0; i < t->nr_witnesses; i++) {
		const struct ct_trace_witness *w = &t->witnesses[i];

		if (!w->fork && witness_of(t, w->process, 0) == w)
			add_alone(r, w);
	}
	return 0;
}
