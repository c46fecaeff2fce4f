/* SPDX-License-Identifier: MIT */
/*
 * Processes: their depth in the tree of forks, their lineage, and which of them
 * belong into a report.
 *
 * A process is an image: exec ends one and begins another with the same pid, one
 * fork deeper or not by its parent's pid.
 */
#include <errno.h>
#include <string.h>

#include "report/report.h"
#include "store/schema.h"

#define MAX_LINEAGE 6 /* names; the middle of a longer one is left out */

const struct cowtrace_process *ct_report_process_of(const struct cowtrace_report *r, u32 id)
{
	const struct ct_trace_process *p = ct_trace_process(r->trace, id);

	return p ? &r->all_processes[p - r->trace->processes] : NULL;
}

static const struct cowtrace_process *parent_of(const struct cowtrace_report *r,
						const struct cowtrace_process *p)
{
	/* Ids count up, so a parent's is smaller; else the trace is damaged. */
	return p->parent < p->id ? ct_report_process_of(r, p->parent) : NULL;
}

static u32 depth_of(const struct cowtrace_report *r, const struct cowtrace_process *p)
{
	const struct cowtrace_process *parent = parent_of(r, p);

	return parent ? parent->depth + (parent->pid != p->pid) : 0;
}

static void fill(struct cowtrace_process *to, const struct ct_trace_process *p)
{
	*to = (struct cowtrace_process){
		.id = p->id,
		.parent = p->parent,
		.pid = p->pid,
		.parent_pid = p->parent_pid,
		.comm = p->comm,
		.exe = p->exe,
		.start_ns = p->start_ns,
		.end_ns = p->ended == CT_ENDED_RUNNING ? CT_UNKNOWN : p->end_ns,
		.ended = ct_ended_name(p->ended),
		.wstatus = p->wstatus,
	};
}

static bool is_wanted(const struct cowtrace_report *r, const struct cowtrace_process *p)
{
	const struct cowtrace_report_options *o = &r->options;

	if (o->until_ns && p->start_ns != CT_UNKNOWN && p->start_ns >= o->until_ns)
		return false;
	if (p->end_ns < o->since_ns)
		return false;
	return !o->fork && (!o->process || p->pid == o->process);
}

/* Whoever takes part in a selected fork, and whoever is asked for. */
static int mark(struct cowtrace_report *r, bool *wanted)
{
	const struct ct_trace *t = r->trace;

	for (size_t i = 0; i < t->nr_processes; i++)
		wanted[i] = is_wanted(r, &r->all_processes[i]);
	for (size_t i = 0; i < t->nr_forks; i++) {
		const u32 ids[] = { t->forks[i].parent, t->forks[i].child };

		for (size_t n = 0; n < ct_array_size(ids) && r->fork_selected[i]; n++) {
			const struct ct_trace_process *p = ct_trace_process(t, ids[n]);

			if (p)
				wanted[p - t->processes] = true;
		}
	}
	return 0;
}

int ct_report_make_processes(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;
	ct_auto_free bool *wanted = ct_report_array(t->nr_processes, sizeof(*wanted));

	r->all_processes = ct_report_array(t->nr_processes, sizeof(*r->all_processes));
	r->processes = ct_report_array(t->nr_processes, sizeof(*r->processes));
	if (!wanted || !r->all_processes || !r->processes)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_processes; i++) {
		fill(&r->all_processes[i], &t->processes[i]);
		r->all_processes[i].depth = depth_of(r, &r->all_processes[i]);
	}
	mark(r, wanted);
	for (size_t i = 0; i < t->nr_processes; i++)
		if (wanted[i])
			r->processes[r->nr_processes++] = &r->all_processes[i];
	return 0;
}

static const char *name_of(const struct cowtrace_process *p)
{
	return *p->comm ? p->comm : "?";
}

const char *ct_report_lineage(struct cowtrace_report *r, u32 process)
{
	const struct cowtrace_process *chain[MAX_LINEAGE];
	const struct cowtrace_process *p = ct_report_process_of(r, process);
	const char *text;
	size_t n = 0;

	if (!p)
		return "";
	/* From the process up; the oldest place of the chain is kept for the root. */
	for (; p; p = parent_of(r, p)) {
		if (n < MAX_LINEAGE)
			n++;
		chain[n - 1] = p;
	}
	text = name_of(chain[n - 1]);
	if (n == MAX_LINEAGE && parent_of(r, chain[n - 2]) != chain[n - 1])
		text = ct_pool_format(&r->pool, "%s > ...", text);
	for (size_t i = n - 1; text && i-- > 0;)
		text = ct_pool_format(&r->pool, "%s > %s", text, name_of(chain[i]));
	return text;
}
