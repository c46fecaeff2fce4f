/* SPDX-License-Identifier: MIT */
/*
 * Growth over time: the recorder's increments, gathered into whole seconds.
 *
 * Invariant: the sum over a side's buckets is what its increments summed to.  It
 * may be less than the side's total, for the recorder looks now and then and the
 * last reading of all comes with the side's end.
 */
#include <errno.h>

#include "report/report.h"
#include "store/schema.h"

static u64 second_of(u64 t_ns)
{
	return t_ns / CT_NSEC_PER_SEC * CT_NSEC_PER_SEC;
}

static bool is_wanted(const struct cowtrace_report *r, const struct ct_trace_bucket *b)
{
	const struct cowtrace_report_options *o = &r->options;

	if (b->t_ns < o->since_ns || (o->until_ns && b->t_ns >= o->until_ns))
		return false;
	return b->t_ns != CT_UNKNOWN && b->copied != CT_UNKNOWN && ct_report_wants_fork(r, b->fork);
}

static int by_time(const void *a, const void *b)
{
	const struct ct_trace_bucket *x = a, *y = b;
	u64 tx = second_of(x->t_ns), ty = second_of(y->t_ns);

	if (tx != ty)
		return tx < ty ? -1 : 1;
	if (x->fork != y->fork)
		return x->fork < y->fork ? -1 : 1;
	return (int)x->side - (int)y->side;
}

int ct_report_make_buckets(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;
	ct_auto_free struct ct_trace_bucket *rows = ct_report_array(t->nr_buckets, sizeof(*rows));
	size_t nr = 0;

	r->buckets = ct_report_array(t->nr_buckets, sizeof(*r->buckets));
	if (!rows || !r->buckets)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_buckets; i++)
		if (is_wanted(r, &t->timeline[i]))
			rows[nr++] = t->timeline[i];
	qsort(rows, nr, sizeof(*rows), by_time);
	for (size_t i = 0; i < nr; i++) {
		if (!i || by_time(&rows[i - 1], &rows[i]))
			r->buckets[r->nr_buckets++] =
				(struct cowtrace_bucket){ second_of(rows[i].t_ns), rows[i].fork,
							  ct_side_name(rows[i].side), 0 };
		r->buckets[r->nr_buckets - 1].copied += rows[i].copied;
	}
	return 0;
}
