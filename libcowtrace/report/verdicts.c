/* SPDX-License-Identifier: MIT */
/*
 * Predicted against observed.  Only certain verdicts are held against what
 * happened; an uncertain one says on which input it hangs, and is told by that.
 *
 * Invariant: equal + disagreements = total, and total + unobserved + uncertain =
 * all faults.
 */
#include <errno.h>
#include <string.h>

#include <cowtrace/policy.h>

#include "report/gather.h"
#include "store/schema.h"

#define MAX_LISTED 10000

int ct_verdict_plain(u8 action)
{
	switch (action) {
	case COWTRACE_REUSE:
	case COWTRACE_ALLOC_ZEROED:
		return action;
	/*
	 * A huge page that is split has a small page copied right behind; the recorder
	 * tells what follows where it is something else.
	 */
	case COWTRACE_COPY:
	case COWTRACE_SPLIT:
	case COWTRACE_COPY_HUGE:
		return COWTRACE_COPY;
	default:
		return COWTRACE_UNCERTAIN;
	}
}

bool ct_verdict_disagrees(const struct ct_trace_kind *k)
{
	int predicted = ct_verdict_plain(k->predicted), observed = ct_verdict_plain(k->observed);

	return predicted != COWTRACE_UNCERTAIN && observed != COWTRACE_UNCERTAIN &&
	       predicted != observed;
}

int ct_verdict_keep(struct cowtrace_report *r, const struct ct_trace_write *w)
{
	struct cowtrace_agreement *a = &r->agreement;
	u32 cap = (u32)a->nr_listed;

	if (a->nr_listed == MAX_LISTED)
		return 0;
	/* A power of two, or nothing yet: full. */
	if (!(cap & (cap - 1))) {
		struct cowtrace_disagreement *grown =
			reallocarray(r->disagreements, cap ? 2 * cap : 1, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		r->disagreements = grown;
	}
	r->disagreements[a->nr_listed++] = (struct cowtrace_disagreement){
		.process = w->process,
		.fork = w->fork,
		.site = w->site,
		.side = ct_side_name(w->kind->side),
		.t_ns = w->t_ns,
		.page = w->page,
		.huge = w->kind->huge,
		.predicted = cowtrace_action_name(w->kind->predicted),
		.observed = cowtrace_action_name(w->kind->observed),
		.reason = w->kind->reason,
	};
	return 0;
}

static void add_undecided(struct cowtrace_report *r, const struct ct_trace_kind *k, u64 writes)
{
	struct cowtrace_agreement *a = &r->agreement;
	int likely = ct_verdict_plain(k->likely), observed = ct_verdict_plain(k->observed);
	struct cowtrace_undecided *u = r->undecided;

	while (u < r->undecided + a->nr_undecided && strcmp(u->decides, k->decides))
		u++;
	if (u == r->undecided + a->nr_undecided) {
		u->decides = k->decides;
		a->nr_undecided++;
	}
	u->writes += writes;
	if (likely == COWTRACE_UNCERTAIN || observed == COWTRACE_UNCERTAIN)
		return;
	u->likely_total += writes;
	u->likely_equal += likely == observed ? writes : 0;
}

static int by_writes(const void *a, const void *b)
{
	const struct cowtrace_undecided *x = a, *y = b;

	if (x->writes != y->writes)
		return x->writes < y->writes ? 1 : -1;
	return strcmp(x->decides, y->decides);
}

int ct_report_make_agreement(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;
	struct cowtrace_agreement *a = &r->agreement;

	r->undecided = ct_report_array(t->nr_kinds, sizeof(*r->undecided));
	if (!r->undecided)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_kinds; i++) {
		const struct ct_trace_kind *k = &t->kinds[i];
		u64 writes = r->gather->kinds[i];

		if (!writes)
			continue;
		if (ct_verdict_plain(k->predicted) == COWTRACE_UNCERTAIN) {
			a->uncertain += writes;
			add_undecided(r, k, writes);
		} else if (ct_verdict_plain(k->observed) == COWTRACE_UNCERTAIN) {
			a->unobserved += writes;
		} else {
			a->predicted_total += writes;
			a->predicted_equal += ct_verdict_disagrees(k) ? 0 : writes;
		}
	}
	/* The pass came before the processes. */
	for (size_t i = 0; i < a->nr_listed; i++) {
		struct cowtrace_disagreement *d = &r->disagreements[i];
		const struct cowtrace_process *p = ct_report_process_of(r, d->process);

		d->pid = p ? p->pid : 0;
	}
	qsort(r->undecided, a->nr_undecided, sizeof(*r->undecided), by_writes);
	a->nr_disagreements = a->predicted_total - a->predicted_equal;
	a->undecided = r->undecided;
	a->disagreements = r->disagreements;
	return 0;
}
