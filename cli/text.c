/* SPDX-License-Identifier: MIT */
/*
 * The text report: its order, its head and what every section uses.  The first
 * ten lines answer the question; all below them is for those who must know more.
 */
#include <stdarg.h>
#include <string.h>

#include "format.h"
#include "text.h"

void ct_text_heading(const struct ct_text_report *t, const char *fmt, ...)
{
	va_list ap;

	fputc('\n', t->term.out);
	ct_style_on(&t->term, CT_BOLD);
	va_start(ap, fmt);
	vfprintf(t->term.out, fmt, ap);
	va_end(ap);
	ct_style_off(&t->term, CT_BOLD);
	fputc('\n', t->term.out);
}

void ct_text_more(const struct ct_text_report *t, size_t shown, size_t all, const char *what)
{
	if (all > shown)
		ct_printf_styled(&t->term, CT_DIM, "  ... %s more %s (--top 0 lists all)\n",
				 ct_format_count(all - shown).s, what);
}

static void print_command(const struct ct_text_report *t)
{
	const struct cowtrace_recording *rec = cowtrace_report_recording(t->r);
	int room = t->term.width;

	ct_style_on(&t->term, CT_BOLD);
	for (size_t i = 0; i < rec->nr_args && room > 1; i++) {
		if (i) {
			fputc(' ', t->term.out);
			room--;
		}
		room -= ct_print_text(&t->term, *rec->command[i] ? rec->command[i] : "''", room);
	}
	if (!rec->nr_args)
		fputs(t->path, t->term.out);
	ct_style_off(&t->term, CT_BOLD);
	fputc('\n', t->term.out);
}

static void print_origin(const struct ct_text_report *t)
{
	const struct cowtrace_recording *rec = cowtrace_report_recording(t->r);
	size_t processes = cowtrace_report_nr_processes(t->r);

	ct_style_on(&t->term, CT_DIM);
	fprintf(t->term.out, "%s recorded, %s process%s, engine %s",
		ct_format_ns(rec->end_ns - ct_min(rec->end_ns, rec->file_start_ns)).s,
		ct_format_count(processes).s, processes == 1 ? "" : "es",
		*rec->engine ? rec->engine : "unknown");
	if (*rec->kernel)
		fprintf(t->term.out, ", Linux %s", rec->kernel);
	if (*rec->host)
		fprintf(t->term.out, " on %s", rec->host);
	ct_style_off(&t->term, CT_DIM);
	fputc('\n', t->term.out);
}

static void print_state(const struct ct_text_report *t)
{
	const struct cowtrace_recording *rec = cowtrace_report_recording(t->r);
	char text[700];

	if (rec->complete)
		return;
	if (rec->writer_pid)
		snprintf(text, sizeof(text),
			 "STILL RECORDING: process %d has this trace open; this is what it held "
			 "a moment ago.",
			 rec->writer_pid);
	else
		snprintf(text, sizeof(text),
			 "INCOMPLETE: %s. What was recorded until then follows.",
			 rec->why_incomplete);
	fputc('\n', t->term.out);
	ct_style_on(&t->term, CT_BAD);
	ct_print_wrapped(&t->term, 0, text);
	ct_style_off(&t->term, CT_BAD);
}

/* One file of many: what of it is whole, and what is not. */
static void print_file(const struct ct_text_report *t)
{
	const struct cowtrace_recording *rec = cowtrace_report_recording(t->r);
	char text[400];

	if (rec->file <= 1 && !rec->next_file)
		return;
	snprintf(
		text, sizeof(text),
		"File %u of a recording in many, from %s on%s. %s of its forks began in an older "
		"file, and %s go on in the next: of those it counts what came in between, and over "
		"all files the counts sum up.",
		rec->file ? rec->file : 1, ct_format_ns(rec->file_start_ns).s,
		rec->next_file ? "" : ", the last one so far", ct_format_count(rec->nr_carried).s,
		ct_format_count(rec->nr_going_on).s);
	fputc('\n', t->term.out);
	ct_print_wrapped(&t->term, 0, text);
}

static bool is_some(u64 v)
{
	return v && v != COWTRACE_UNKNOWN;
}

int ct_text_print(struct ct_text_report *t)
{
	const struct cowtrace_group *all = cowtrace_report_total(t->r);
	int rc = ct_site_groups_make(t->r, t->sort, &t->sites);

	if (rc)
		return rc;

	t->bounds = !cowtrace_report_recording(t->r)->page_frames;
	t->unknown = !t->bounds && is_some(all->unknown);
	t->huge = is_some(all->huge_pages_shared);
	print_command(t);
	print_origin(t);
	print_state(t);
	print_file(t);
	ct_text_summary(t);
	ct_text_sites(t);
	ct_text_sites_time(t);
	ct_text_thp(t);
	ct_text_groups(t);
	ct_text_forks(t);
	ct_text_regions(t);
	ct_text_growth(t);
	ct_text_verdicts(t);
	ct_text_reconcile(t);
	ct_text_processes(t);
	ct_text_notes(t);
	ct_site_groups_fini(&t->sites);
	return 0;
}
