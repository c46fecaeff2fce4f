/* SPDX-License-Identifier: MIT */
/*
 * First writes over time, a line for each of the hottest call sites: when it
 * wrote, and beside which others.  One scale for all lines.
 */
#include "format.h"
#include "text.h"

#define MAX_ROWS 8

/* From nothing to the most; anything above nothing is seen. */
static const char shades[] = " .:-=+*#@";

/* The last step in which one of the sites wrote, plus one. */
static u32 steps_used(const struct ct_text_report *t, size_t rows, u32 *ret_most)
{
	u32 nr = cowtrace_report_writes(t->r)->nr_steps, used = 0;

	*ret_most = 1;
	for (size_t i = 0; i < rows; i++) {
		const struct ct_site_group *s = &t->sites.v[i];

		for (u32 n = 0; n < nr; n++) {
			if (s->steps[n])
				used = ct_max(used, n + 1);
			*ret_most = ct_max(*ret_most, s->steps[n]);
		}
	}
	return used;
}

static char shade(u32 v, u32 most)
{
	size_t levels = sizeof(shades) - 2;

	return v ? shades[1 + (size_t)((u64)v * (levels - 1) / most)] : shades[0];
}

static void row(const struct ct_text_report *t, const struct ct_site_group *s, u32 used, u32 most)
{
	struct ct_line l = { .len = 0 };
	int column = fprintf(t->term.out, "  |");

	for (u32 n = 0; n < used; n++)
		fputc(shade(s->steps[n], most), t->term.out);
	column += (int)used + fprintf(t->term.out, "| %-6s ", s->site->side);
	/* Callers tell apart what one function wrote for many. */
	ct_line_add(&l, "%s", *s->site->text ? s->site->text : "unknown");
	if (*s->callers == '<')
		ct_line_add(&l, " %s", s->callers);
	ct_print_text(&t->term, l.text, t->term.width - column);
	fputc('\n', t->term.out);
}

void ct_text_sites_time(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	size_t rows = ct_min(t->sites.nr, (size_t)MAX_ROWS);
	u32 most, used = steps_used(t, rows, &most);

	/* One moment is no course. */
	if (used < 2)
		return;
	ct_text_heading(t, "FIRST WRITES OVER TIME (a column is %s, from %s on; @ is %s pages)",
			ct_format_ns(w->step_ns).s, ct_format_ns(w->steps_ns).s,
			ct_format_count(most).s);
	for (size_t i = 0; i < rows; i++)
		row(t, &t->sites.v[i], used, most);
}
