/* SPDX-License-Identifier: MIT */
/*
 * What was predicted of each first write, and what the kernel did.  A
 * disagreement means that the rule, or what was read of the page, is not this
 * kernel's: each is listed.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

static void summary(const struct ct_text_report *t, const struct cowtrace_agreement *a)
{
	enum ct_style style = a->nr_disagreements ? CT_WARN : CT_PLAIN;
	char text[400];
	int at;

	at = snprintf(text, sizeof(text), "%s of %s certain verdicts were what the kernel did (%s)",
		      ct_format_count(a->predicted_equal).s, ct_format_count(a->predicted_total).s,
		      a->nr_disagreements
			      ? ct_format_share(a->nr_disagreements, a->predicted_total).s
			      : "none was wrong");
	if (a->nr_disagreements)
		at = snprintf(
			text, sizeof(text),
			"%s of %s certain verdicts were what the kernel did, %s (%s) were not",
			ct_format_count(a->predicted_equal).s,
			ct_format_count(a->predicted_total).s,
			ct_format_count(a->nr_disagreements).s,
			ct_format_share(a->nr_disagreements, a->predicted_total).s);
	if (a->unobserved)
		snprintf(text + at, sizeof(text) - (size_t)at,
			 "; of %s more it cannot be told what the kernel did",
			 ct_format_count(a->unobserved).s);
	ct_style_on(&t->term, style);
	ct_print_wrapped(&t->term, 2, text);
	ct_style_off(&t->term, style);
}

static bool after_the_fact(const struct ct_text_report *t)
{
	return !strcmp(cowtrace_report_recording(t->r)->engine, "perf");
}

static void undecided(const struct ct_text_report *t, const struct cowtrace_agreement *a)
{
	for (size_t i = 0; i < a->nr_undecided; i++) {
		const struct cowtrace_undecided *u = &a->undecided[i];
		char text[300];

		/* Found copied when the clone was over: there was nothing to look at before. */
		if (!*u->decides && after_the_fact(t)) {
			snprintf(text, sizeof(text),
				 "%s were seen when the kernel had decided: what it did is told by "
				 "%s, and nothing was predicted",
				 ct_format_count(u->writes).s,
				 cowtrace_report_recording(t->r)->page_frames
					 ? "page frames, at the fork and since"
					 : "the order in which two processes wrote");
			ct_print_wrapped(&t->term, 2, text);
			continue;
		}
		if (!*u->decides) {
			snprintf(text, sizeof(text),
				 "%s were seen only afterwards, while a fork came to its end: "
				 "nothing was predicted",
				 ct_format_count(u->writes).s);
			ct_print_wrapped(&t->term, 2, text);
			continue;
		}
		snprintf(text, sizeof(text),
			 "%s uncertain: they hung on %.60s, which is not known; its ordinary value "
			 "would have been right for %s of %s",
			 ct_format_count(u->writes).s, u->decides,
			 ct_format_count(u->likely_equal).s, ct_format_count(u->likely_total).s);
		ct_print_wrapped(&t->term, 2, text);
	}
}

static void disagreements(const struct ct_text_report *t, const struct cowtrace_agreement *a)
{
	static const char *const heads[] = { ">pid",	   "<side",	")at",	   ">page",
					     "<predicted", "<observed", "<reason", NULL };
	size_t shown = t->top ? ct_min(a->nr_listed, t->top) : a->nr_listed;
	struct ct_table tab;

	if (!shown)
		return;
	ct_table_init(&tab, heads);
	for (size_t i = 0; i < shown; i++) {
		const struct cowtrace_disagreement *d = &a->disagreements[i];

		ct_table_cell(&tab, "%d", d->pid);
		ct_table_cell(&tab, "%s", d->side);
		ct_table_cell(&tab, "%s", ct_format_ns(d->t_ns).s);
		ct_table_cell(&tab, "0x%llx", (unsigned long long)d->page);
		ct_table_cell(&tab, "%s%s", d->predicted, d->huge ? " (huge)" : "");
		ct_table_cell(&tab, "%s", d->observed);
		ct_table_cell(&tab, "%s", d->reason);
	}
	ct_table_print(&tab, &t->term);
	ct_text_more(t, shown, (size_t)a->nr_disagreements, "disagreements");
}

void ct_text_verdicts(const struct ct_text_report *t)
{
	const struct cowtrace_agreement *a = cowtrace_report_agreement(t->r);

	if (!a->predicted_total && !a->uncertain && !a->unobserved)
		return;
	ct_text_heading(t, "VERDICTS: what was predicted, and what the kernel did");
	if (!after_the_fact(t))
		summary(t, a);
	undecided(t, a);
	disagreements(t, a);
}
