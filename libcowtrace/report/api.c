/* SPDX-License-Identifier: MIT */
/*
 * The public face: opens a trace, has every table made, hands out rows.  The
 * contract is in <cowtrace/report.h>.
 *
 * Invariant: after a successful open a report never changes, so that it may be
 * read by many threads.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report/gather.h"

/* The size of the options' first version: what `no_symbols` ends. */
#define OPTIONS_SIZE_1 offsetof(struct cowtrace_report_options, sort)

void *ct_report_array(size_t nr, size_t len)
{
	return calloc(nr + !nr, len);
}

static const char *meta_or_empty(const struct ct_trace *t, const char *key)
{
	const char *v = ct_trace_meta(t, key);

	return v ? v : "";
}

static u64 meta_number(const struct ct_trace *t, const char *key)
{
	return strtoull(meta_or_empty(t, key), NULL, 10);
}

static size_t count_going_on(const struct ct_trace *t)
{
	size_t nr = 0;
	u32 last = 0;

	/* By fork, and no fork has the id 0. */
	for (size_t i = 0; i < t->nr_sides; i++) {
		if (t->sides[i].ended != CT_SIDE_END_NEXT_FILE || t->sides[i].fork == last)
			continue;
		last = t->sides[i].fork;
		nr++;
	}
	return nr;
}

static u64 last_moment(const struct ct_trace *t)
{
	u64 last = 0;

	for (size_t i = 0; i < t->nr_processes; i++) {
		last = ct_max(last, ct_report_known(t->processes[i].start_ns));
		last = ct_max(last, ct_report_known(t->processes[i].end_ns));
	}
	for (size_t i = 0; i < t->nr_forks; i++) {
		last = ct_max(last, ct_report_known(t->forks[i].start_ns));
		last = ct_max(last, ct_report_known(t->forks[i].end_ns));
	}
	for (size_t i = 0; i < t->nr_sides; i++)
		last = ct_max(last, ct_report_known(t->sides[i].t_ns));
	return last;
}

int ct_report_make_recording(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;

	r->command = ct_report_array(t->nr_args + 1, sizeof(*r->command));
	if (!r->command)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_args; i++)
		r->command[i] = t->args[i].text;
	r->recording = (struct cowtrace_recording){
		.nr_args = t->nr_args,
		.command = r->command,
		.engine = meta_or_empty(t, "engine"),
		.engine_why = meta_or_empty(t, "engine_why"),
		.kernel = meta_or_empty(t, "kernel"),
		.host = meta_or_empty(t, "host"),
		.page_frames = !strcmp(meta_or_empty(t, "page_frames"), "1"),
		.complete = t->complete,
		.why_incomplete = t->why_incomplete,
		.writer_pid = t->writer_pid,
		.end_ns = last_moment(t),
		.file = (u32)meta_number(t, "file"),
		.nr_carried = t->nr_carried,
		.nr_going_on = count_going_on(t),
		.next_file = (u32)meta_number(t, "next_file"),
		.file_start_ns = meta_number(t, "file_start_ns"),
	};
	return 0;
}

int ct_report_make_notes(struct cowtrace_report *r)
{
	const struct ct_trace *t = r->trace;

	r->notes = ct_report_array(t->nr_notes, sizeof(*r->notes));
	if (!r->notes)
		return -ENOMEM;
	for (size_t i = 0; i < t->nr_notes; i++) {
		const struct ct_trace_note *n = &t->notes[i];
		const struct cowtrace_process *p = ct_report_process_of(r, n->process);

		r->notes[r->nr_notes++] =
			(struct cowtrace_note){ n->t_ns,     n->process, p ? p->pid : 0,
						n->severity, n->code,	 n->text };
	}
	return 0;
}

static int make_all(struct cowtrace_report *r)
{
	/* In the order in which one looks things up in another. */
	static int (*const make[])(struct cowtrace_report *) = {
		ct_report_make_recording,     ct_report_make_processes, ct_report_make_sites,
		ct_report_make_forks,	      ct_report_make_groups,	ct_report_make_regions,
		ct_report_make_region_groups, ct_report_make_buckets,	ct_report_make_write_sites,
		ct_report_make_reconcile,     ct_report_make_agreement, ct_report_make_notes,
		ct_report_make_thp_losses,
	};
	int rc = r->options.no_symbols ? 0 : ct_symbolizer_create(&r->symbolizer);

	for (size_t i = 0; i < ct_array_size(make) && !rc; i++)
		rc = make[i](r);
	if (rc)
		return rc;
	ct_report_cut_regions(r);
	return ct_report_make_site_regions(r);
}

static int open_report(const char *path, struct cowtrace_report *r, struct ct_err *err)
{
	int rc = ct_trace_load(path, &r->trace, err);

	if (!rc)
		rc = ct_report_select(r, path, err);
	if (!rc)
		rc = ct_report_gather(r, path, err);
	if (rc)
		return rc;
	ct_trace_close_file(r->trace);
	rc = make_all(r);
	ct_gather_destroy(ct_take_ptr(r->gather));
	return rc ? ct_err_set(err, rc, "not enough memory for a report on %s", path) : 0;
}

static bool is_choice(const struct cowtrace_report_options *o)
{
	return (unsigned)o->sort <= COWTRACE_SORT_STALL &&
	       (unsigned)o->sides <= COWTRACE_SIDES_CHILD;
}

ct_public int cowtrace_report_open(const char *path, const struct cowtrace_report_options *options,
				   struct cowtrace_report **ret_report, char *why)
{
	struct cowtrace_report *r = calloc(1, sizeof(*r));
	struct ct_err err = { "" };
	int rc = r ? 0 : ct_err_set(&err, -ENOMEM, "not enough memory to read %s", path);

	if (!rc && options) {
		if ((options->sz != OPTIONS_SIZE_1 && options->sz != sizeof(*options)) ||
		    (options->sz == sizeof(*options) && !is_choice(options)))
			rc = ct_err_set(&err, -EINVAL, "options of an unknown size (%zu) or value",
					options->sz);
		else
			memcpy(&r->options, options, options->sz);
	}
	if (!rc)
		rc = open_report(path, r, &err);
	if (rc) {
		if (why)
			snprintf(why, COWTRACE_REPORT_WHY_LEN, "%s", err.text);
		cowtrace_report_close(r);
		return rc;
	}
	*ret_report = r;
	return 0;
}

ct_public void cowtrace_report_close(struct cowtrace_report *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->nr_sites; i++)
		free((void *)r->sites[i].frames);
	for (size_t i = 0; i < r->nr_write_sites; i++)
		if (r->write_sites[i].syscall && *r->write_sites[i].syscall)
			free((void *)r->write_sites[i].frames);
	ct_gather_destroy(r->gather);
	free(r->write_sites);
	free(r->site_regions);
	free(r->site_forks);
	free(r->site_steps);
	free(r->thp_losses);
	free(r->undecided);
	free(r->disagreements);
	free(r->fork_selected);
	free(r->region_selected);
	free(r->command);
	free(r->all_processes);
	free(r->processes);
	free(r->sites);
	free(r->forks);
	free(r->groups);
	free(r->regions);
	free(r->region_groups);
	free(r->fork_regions);
	free(r->buckets);
	free(r->reconcile);
	free(r->notes);
	ct_pool_fini(&r->pool);
	ct_symbolizer_destroy(r->symbolizer);
	ct_trace_destroy(r->trace);
	free(r);
}

ct_public const struct cowtrace_recording *
cowtrace_report_recording(const struct cowtrace_report *r)
{
	return &r->recording;
}

ct_public const struct cowtrace_group *cowtrace_report_total(const struct cowtrace_report *r)
{
	return &r->total;
}

ct_public size_t cowtrace_report_all_regions(const struct cowtrace_report *r)
{
	return r->all_regions;
}

ct_public const struct cowtrace_writes *cowtrace_report_writes(const struct cowtrace_report *r)
{
	return &r->writes;
}

ct_public const struct cowtrace_agreement *
cowtrace_report_agreement(const struct cowtrace_report *r)
{
	return &r->agreement;
}

ct_public size_t cowtrace_report_nr_processes(const struct cowtrace_report *r)
{
	return r->nr_processes;
}

ct_public const struct cowtrace_process *cowtrace_report_process(const struct cowtrace_report *r,
								 size_t i)
{
	return i < r->nr_processes ? r->processes[i] : NULL;
}

ct_public const struct cowtrace_site *cowtrace_report_site_of(const struct cowtrace_report *r,
							      uint32_t id)
{
	size_t lo = 0, hi = r->nr_sites;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->sites[mid].id == id)
			return &r->sites[mid];
		if (r->sites[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The number of rows of a table, and a row of it: NULL past the end. */
#define CT_ROWS(type, one, many)                                                            \
	ct_public size_t cowtrace_report_nr_##many(const struct cowtrace_report *r)         \
	{                                                                                   \
		return r->nr_##many;                                                        \
	}                                                                                   \
	ct_public const struct type *cowtrace_report_##one(const struct cowtrace_report *r, \
							   size_t i)                        \
	{                                                                                   \
		return i < r->nr_##many ? &r->many[i] : NULL;                               \
	}

CT_ROWS(cowtrace_site, site, sites)
CT_ROWS(cowtrace_fork, fork, forks)
CT_ROWS(cowtrace_group, group, groups)
CT_ROWS(cowtrace_region, region, regions)
CT_ROWS(cowtrace_region_group, region_group, region_groups)
CT_ROWS(cowtrace_fork_region, fork_region, fork_regions)
CT_ROWS(cowtrace_bucket, bucket, buckets)
CT_ROWS(cowtrace_reconcile, reconcile, reconcile)
CT_ROWS(cowtrace_write_site, write_site, write_sites)
CT_ROWS(cowtrace_site_region, site_region, site_regions)
CT_ROWS(cowtrace_thp_loss, thp_loss, thp_losses)
CT_ROWS(cowtrace_note, note, notes)
