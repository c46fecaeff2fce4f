/* SPDX-License-Identifier: MIT */
/*
 * Which forks a user wants: by id, by process, by time.  Everything else in a
 * report follows from the forks that are left: their regions, sides, buckets.
 * `top` shortens lists later and changes no sum.
 */
#include <errno.h>

#include "report/report.h"

static s32 pid_of(const struct ct_trace *t, u32 process)
{
	const struct ct_trace_process *p = ct_trace_process(t, process);

	return p ? p->pid : 0;
}

static bool takes_part(const struct ct_trace *t, const struct ct_trace_fork *f, s32 pid)
{
	return f->child_pid == pid || pid_of(t, f->parent) == pid || pid_of(t, f->child) == pid;
}

static bool is_open_in(const struct ct_trace_fork *f, u64 since, u64 until)
{
	if (until && f->start_ns != CT_UNKNOWN && f->start_ns >= until)
		return false;
	return f->end_ns == CT_UNKNOWN || f->end_ns >= since;
}

static bool has_process(const struct ct_trace *t, s32 pid)
{
	for (size_t i = 0; i < t->nr_processes; i++)
		if (t->processes[i].pid == pid)
			return true;
	for (size_t i = 0; i < t->nr_forks; i++)
		if (t->forks[i].child_pid == pid)
			return true;
	return false;
}

static int no_fork(const struct ct_trace *t, u32 id, const char *path, struct ct_err *err)
{
	if (!t->nr_forks)
		return ct_err_set(err, -ESRCH, "%s has no fork %u: it has no forks at all", path,
				  id);
	return ct_err_set(err, -ESRCH, "%s has no fork %u: its forks are %u to %u", path, id,
			  t->forks[0].id, t->forks[t->nr_forks - 1].id);
}

static int check(const struct cowtrace_report *r, const char *path, struct ct_err *err)
{
	const struct cowtrace_report_options *o = &r->options;

	if (o->fork && !ct_trace_fork(r->trace, o->fork))
		return no_fork(r->trace, o->fork, path, err);
	if (o->process && !has_process(r->trace, o->process))
		return ct_err_set(err, -ESRCH,
				  "%s has no process %d: `cowtrace report %s` lists those it has",
				  path, o->process, path);
	return 0;
}

static void select_forks(struct cowtrace_report *r)
{
	const struct cowtrace_report_options *o = &r->options;
	const struct ct_trace *t = r->trace;

	for (size_t i = 0; i < t->nr_forks; i++) {
		const struct ct_trace_fork *f = &t->forks[i];

		r->fork_selected[i] = (!o->fork || f->id == o->fork) &&
				      (!o->process || takes_part(t, f, o->process)) &&
				      is_open_in(f, o->since_ns, o->until_ns);
	}
}

/* Those of a wanted fork; of a wanted process; all, where nothing is left out. */
static void select_regions(struct cowtrace_report *r)
{
	const struct cowtrace_report_options *o = &r->options;
	const struct ct_trace *t = r->trace;
	bool all = !ct_report_is_filtered(r);

	for (size_t i = 0; i < t->nr_regions; i++)
		r->region_selected[i] =
			t->regions[i].kind != CT_KIND_COWTRACE &&
			(all || (o->process && pid_of(t, t->regions[i].process) == o->process));
	for (size_t i = 0; i < t->nr_counts && !o->process; i++) {
		const struct ct_trace_region *g = ct_trace_region(t, t->counts[i].region);

		if (g && g->kind != CT_KIND_COWTRACE && ct_report_wants_fork(r, t->counts[i].fork))
			r->region_selected[g - t->regions] = true;
	}
}

int ct_report_select(struct cowtrace_report *r, const char *path, struct ct_err *err)
{
	int rc = check(r, path, err);

	if (rc)
		return rc;
	r->fork_selected = ct_report_array(r->trace->nr_forks, sizeof(*r->fork_selected));
	r->region_selected = ct_report_array(r->trace->nr_regions, sizeof(*r->region_selected));
	if (!r->fork_selected || !r->region_selected)
		return ct_err_set(err, -ENOMEM, "not enough memory to read %s", path);
	select_forks(r);
	select_regions(r);
	return 0;
}

bool ct_report_wants_fork(const struct cowtrace_report *r, u32 id)
{
	const struct ct_trace_fork *f = ct_trace_fork(r->trace, id);

	return f && r->fork_selected[f - r->trace->forks];
}

bool ct_report_is_filtered(const struct cowtrace_report *r)
{
	const struct cowtrace_report_options *o = &r->options;

	return o->fork || o->process || o->since_ns || o->until_ns;
}

bool ct_report_wants_call(const struct cowtrace_report *r, u32 process, u64 t_ns)
{
	const struct cowtrace_report_options *o = &r->options;

	return !o->fork && (!o->process || pid_of(r->trace, process) == o->process) &&
	       t_ns >= o->since_ns && (!o->until_ns || t_ns < o->until_ns);
}
