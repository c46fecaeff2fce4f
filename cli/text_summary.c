/* SPDX-License-Identifier: MIT */
/*
 * The summary: how much the kernel copied, as a share of what was shared, on
 * which side, where most.  When nothing was recorded: why.
 *
 * Invariant: a number that misses something says so in the same line.
 */
#include <string.h>

#include "format.h"
#include "text.h"

static u64 known(u64 v)
{
	return v == COWTRACE_UNKNOWN ? 0 : v;
}

/* "  parent copied   187.2 MiB   13.3%   (47,923 pages)" */
static void line(const struct ct_text_report *t, const char *what, u64 pages, u64 shared,
		 const char *meaning)
{
	fprintf(t->term.out, "  %-15s ", what);
	ct_printf_styled(&t->term, CT_BOLD, "%9s", ct_format_pages(pages).s);
	fprintf(t->term.out, "  %6s  %11s pages", ct_format_share(pages, shared).s,
		ct_format_count(pages).s);
	ct_printf_styled(&t->term, CT_DIM, "%s%s\n", *meaning ? "  " : "", meaning);
}

static const char *first_error(const struct ct_text_report *t)
{
	const char *text = NULL;

	for (size_t i = 0; i < cowtrace_report_nr_notes(t->r); i++) {
		const struct cowtrace_note *n = cowtrace_report_note(t->r, i);

		if (!strcmp(n->severity, "error"))
			return n->text;
		if (!text && !strcmp(n->severity, "warning"))
			text = n->text;
	}
	return text;
}

static void nothing(const struct ct_text_report *t)
{
	const char *why = first_error(t);

	fputc('\n', t->term.out);
	if (t->filtered) {
		ct_print_wrapped(
			&t->term, 0,
			"No fork matches: widen or leave out --since, --until, --process.");
		return;
	}
	ct_printf_styled(&t->term, CT_WARN, "No fork was recorded.\n");
	if (why)
		ct_print_wrapped(&t->term, 2, why);
	else if (!cowtrace_report_nr_processes(t->r))
		ct_print_wrapped(
			&t->term, 2,
			"No process attached: the command is static, setuid, or was started "
			"through something that clears the environment (sudo, su, env -i).");
	else
		ct_print_wrapped(&t->term, 2,
				 "The command ran under cowtrace and did not fork. vfork and "
				 "posix_spawn share all memory until exec and copy none.");
}

static void fork_times(const struct ct_text_report *t, const struct cowtrace_group *all)
{
	if (!all->nr_timed)
		return;
	fprintf(t->term.out, "  %-15s ", "fork() took");
	ct_printf_styled(&t->term, CT_BOLD, "%9s", ct_format_ns(all->fork_ns_max).s);
	if (all->nr_timed > 1)
		fprintf(t->term.out, "  at worst, %s on average of %s",
			ct_format_ns(all->fork_ns_sum / all->nr_timed).s,
			ct_format_count(all->nr_timed).s);
	fputc('\n', t->term.out);
}

/* The memory that lost most, and what it is. */
static void worst_region(const struct ct_text_report *t, u64 copied)
{
	/* Most copies come first. */
	const struct cowtrace_region_group *worst = cowtrace_report_region_group(t->r, 0);
	int column;

	if (!worst || !known(worst->copied) || !copied)
		return;
	column = fprintf(t->term.out, "  %-15s %9s  %6s  of all copies: %s of ", "most of it",
			 ct_format_pages(worst->copied).s, ct_format_share(worst->copied, copied).s,
			 worst->kind);
	if (worst->nr_processes == 1)
		column += fprintf(t->term.out, "pid %d", worst->pid);
	else
		column += fprintf(t->term.out, "%u processes", worst->nr_processes);
	if (t->term.width - column < 24) {
		/* No room for a name that says something. */
	} else if (*worst->name && *worst->name != '[') {
		column += fprintf(t->term.out, ", ");
		ct_print_text(&t->term, worst->name, t->term.width - column);
	} else if (*worst->site_text) {
		column += fprintf(t->term.out, ", mapped by ");
		ct_print_text(&t->term, worst->site_text, t->term.width - column);
	}
	fputc('\n', t->term.out);
}

/* Who wrote most, by what an engine saw. */
static void worst_site(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	const struct ct_site_group *worst = NULL;
	int column;

	for (size_t i = 0; i < t->sites.nr; i++) {
		const struct ct_site_group *s = &t->sites.v[i];

		if (s->copies && (!worst || s->copies > worst->copies))
			worst = s;
	}
	if (!worst)
		return;
	column = fprintf(t->term.out, "  %-15s %9s  %6s  of all copies: by ", "hottest site",
			 ct_format_pages(worst->copies).s,
			 ct_format_share(worst->copies, w->copies).s);
	ct_print_text(&t->term, *worst->site->text ? worst->site->text : "unknown",
		      t->term.width - column);
	fputc('\n', t->term.out);
}

/* Copying and reusing, at the price of a fault here; the programs waited for that. */
static void stalled(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);

	if (!w->first_writes || w->stall_ns == COWTRACE_UNKNOWN)
		return;
	fprintf(t->term.out, "  %-15s ", "stalled");
	ct_printf_styled(&t->term, CT_BOLD, "%9s", ct_format_ns(w->stall_ns).s);
	ct_printf_styled(&t->term, CT_DIM, "  in page faults: some %s a copy, %s a reuse\n",
			 ct_format_ns(w->fault_copy_ns).s, ct_format_ns(w->fault_reuse_ns).s);
}

static void gaps(const struct ct_text_report *t, const struct cowtrace_group *all)
{
	char text[300];

	if (all->nr_unread) {
		snprintf(text, sizeof(text),
			 "%s of %s sides could not be read (killed, or still open) and are in no "
			 "sum: "
			 "'?' below.",
			 ct_format_count(all->nr_unread).s,
			 ct_format_count(2ULL * all->nr_forks).s);
		ct_style_on(&t->term, CT_WARN);
		ct_print_wrapped(&t->term, 2, text);
		ct_style_off(&t->term, CT_WARN);
	}
	if (t->unknown) {
		snprintf(text, sizeof(text),
			 "%s pages (%s) changed for another cause than a write, or cannot be told: "
			 "unknown, not copied.",
			 ct_format_count(all->unknown).s, ct_format_pages(all->unknown).s);
		ct_style_on(&t->term, CT_WARN);
		ct_print_wrapped(&t->term, 2, text);
		ct_style_off(&t->term, CT_WARN);
	}
}

/* The sentence's object, where only bounds are known: "between 2 MiB and 24.1 MiB". */
static void bounds_sentence(const struct cowtrace_group *all, char *text, size_t len)
{
	char what[100];

	if (all->copied_max == COWTRACE_UNKNOWN)
		snprintf(what, sizeof(what), "at least %s", ct_format_pages(all->copied_min).s);
	else if (all->copied_max == all->copied_min)
		snprintf(what, sizeof(what), "%s", ct_format_pages(all->copied_min).s);
	else
		snprintf(what, sizeof(what), "between %s and %s",
			 ct_format_pages(all->copied_min).s, ct_format_pages(all->copied_max).s);
	snprintf(
		text, len,
		"%s fork%s shared %s; the kernel then copied %s of it, on both sides together. "
		"%s",
		ct_format_count(all->nr_forks).s, all->nr_forks == 1 ? "" : "s",
		ct_format_pages(all->pages_shared).s, what,
		all->copied_max == all->copied_min
			? "Which side copied how much is not known: page frames are hidden from an "
			  "ordinary user."
			: "More is not known: page frames are hidden from an ordinary user. "
			  "Recorded "
			  "as root, this would be exact, and by side.");
}

static void exact_sentence(const struct cowtrace_group *all, char *text, size_t len)
{
	u64 copied = known(all->parent_copied) + known(all->child_copied);
	bool one = all->nr_forks == 1;

	snprintf(text, len,
		 "%s fork%s shared %s with %s; the kernel then copied %s of it%s%s: %s for the "
		 "parent%s and %s for the %s.",
		 ct_format_count(all->nr_forks).s, one ? "" : "s",
		 ct_format_pages(all->pages_shared).s, one ? "its child" : "their children",
		 ct_format_pages(copied).s, copied ? ", " : "",
		 copied ? ct_format_share(copied, all->pages_shared).s : "",
		 ct_format_pages(known(all->parent_copied)).s, one ? "" : "s",
		 ct_format_pages(known(all->child_copied)).s, one ? "child" : "children");
}

/* The answer in one sentence. */
static void answer(const struct ct_text_report *t, const struct cowtrace_group *all)
{
	char text[400];

	if (all->pages_shared == COWTRACE_UNKNOWN)
		return;
	if (t->bounds)
		bounds_sentence(all, text, sizeof(text));
	else
		exact_sentence(all, text, sizeof(text));
	fputc('\n', t->term.out);
	ct_style_on(&t->term, CT_BOLD);
	ct_print_wrapped(&t->term, 0, text);
	ct_style_off(&t->term, CT_BOLD);
}

void ct_text_summary(const struct ct_text_report *t)
{
	const struct cowtrace_group *all = cowtrace_report_total(t->r);
	u64 shared = all->pages_shared;

	if (!all->nr_forks) {
		nothing(t);
		return;
	}
	answer(t, all);
	fprintf(t->term.out, "\n  %-15s ", all->nr_forks == 1 ? "a fork shared" : "forks shared");
	ct_printf_styled(&t->term, CT_BOLD, "%9s", ct_format_pages(shared).s);
	fprintf(t->term.out, "  %6s  %11s pages  ", "", ct_format_count(shared).s);
	ct_style_on(&t->term, CT_DIM);
	fprintf(t->term.out, "in %s fork%s", ct_format_count(all->nr_forks).s,
		all->nr_forks == 1 ? "" : "s");
	if (known(all->huge_pages_shared))
		fprintf(t->term.out, "; %s in huge pages",
			ct_format_pages(all->huge_pages_shared).s);
	ct_style_off(&t->term, CT_DIM);
	fputc('\n', t->term.out);
	if (t->bounds) {
		line(t, "copied at least", all->copied_min, shared, "by both sides together");
		line(t, "copied at most", all->copied_max, shared,
		     "the same page may be copied by both");
	} else {
		line(t, "parent copied", all->parent_copied, shared, "written there while shared");
		line(t, "child copied", all->child_copied, shared, "the same in the child");
	}
	/* Most programs drop nothing while they share: then it is no line. */
	if (known(all->parent_dropped))
		line(t, "parent dropped", all->parent_dropped, shared, "unmapped or thrown away");
	if (known(all->child_dropped))
		line(t, "child dropped", all->child_dropped, shared, "unmapped or thrown away");
	line(t, "child new", all->child_fresh, COWTRACE_UNKNOWN, "memory it touched for itself");
	fork_times(t, all);
	worst_region(t, known(all->parent_copied) + known(all->child_copied));
	worst_site(t);
	stalled(t);
	gaps(t, all);
}
