/* SPDX-License-Identifier: MIT */
/*
 * Call sites of first writes: the code that made the kernel copy, hottest first,
 * each with who called it and into what memory it wrote.
 *
 * Without an engine there are none: one line says how to get them.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

#define MAX_MEMORIES 3 /* kinds of memory named for a site */

static void not_watched(const struct ct_text_report *t)
{
	const char *why = cowtrace_report_recording(t->r)->engine_why;
	char text[700];

	snprintf(text, sizeof(text), "Who wrote was not watched%s%s%s", *why ? " (" : ": ", why,
		 *why ? "; `cowtrace doctor` has the commands)."
		      : "`cowtrace record --engine uffd -- COMMAND` names the call sites of these "
			"copies.");
	fputc('\n', t->term.out);
	ct_style_on(&t->term, CT_DIM);
	ct_print_wrapped(&t->term, 2, text);
	ct_style_off(&t->term, CT_DIM);
}

/* "in heap 62.1%, anon dict.ht 37.9%" */
static struct ct_line memory(const struct ct_text_report *t, const struct ct_site_group *g)
{
	size_t nr = t->top ? MAX_MEMORIES : SIZE_MAX;
	struct ct_line l = { .len = 0 };

	for (size_t i = 0; i < g->nr_memories; i++) {
		const struct ct_site_memory *m = &g->memories[i];

		if (i == nr) {
			ct_line_add(&l, ", ...");
			break;
		}
		ct_line_add(&l, "%s%s", i ? ", " : "in ", *m->kind ? m->kind : "elsewhere");
		if (*m->name && *m->name != '[')
			ct_line_add_name(&l, " ", m->name);
		ct_line_add(&l, " %s", ct_format_share(m->first_writes, g->first_writes).s);
	}
	return l;
}

/* "arena", "heap dict.ht": of where it wrote most. */
static struct ct_line first_memory(const struct ct_site_group *g)
{
	struct ct_line l = { .len = 0 };

	if (!g->nr_memories || !*g->memories[0].kind)
		return l;
	ct_line_add(&l, "%s", g->memories[0].kind);
	if (*g->memories[0].name && *g->memories[0].name != '[')
		ct_line_add(&l, " %.16s", g->memories[0].name);
	return l;
}

/* Columns that most recordings need not have. */
struct columns {
	bool zero_filled, unknown, stall;
};

static struct columns columns(const struct ct_text_report *t)
{
	struct columns c = { .stall = cowtrace_report_writes(t->r)->stall_ns != COWTRACE_UNKNOWN };

	for (size_t i = 0; i < t->sites.nr; i++) {
		c.zero_filled |= t->sites.v[i].zero_filled > 0;
		c.unknown |= t->sites.v[i].unknown > 0;
	}
	return c;
}

static void heads(struct columns c, struct ct_table *tab)
{
	*tab = (struct ct_table){ .cells = NULL };
	ct_table_head(tab, ">copied");
	ct_table_head(tab, ">pages");
	ct_table_head(tab, ">reused");
	if (c.zero_filled)
		ct_table_head(tab, ")zero-filled");
	if (c.unknown)
		ct_table_head(tab, ")unknown");
	if (c.stall)
		ct_table_head(tab, ">stall");
	ct_table_head(tab, "<side");
	ct_table_head(tab, "<memory");
	ct_table_head(tab, "<written by");
}

static void row(const struct ct_text_report *t, struct columns c, struct ct_table *tab,
		const struct ct_site_group *s)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	struct ct_line line;

	ct_table_cell(tab, "%s %5s", ct_format_pages(s->copies).s,
		      ct_format_share(s->copies, w->copies).s);
	ct_table_cell(tab, "%s", ct_format_count(s->copies).s);
	ct_table_cell(tab, "%s", ct_format_count(s->reuses).s);
	if (c.zero_filled)
		ct_table_cell(tab, "%s", ct_format_count(s->zero_filled).s);
	if (c.unknown)
		ct_table_cell(tab, "%s", ct_format_count(s->unknown).s);
	if (c.stall)
		ct_table_cell(tab, "%s", ct_format_ns(s->stall_ns).s);
	ct_table_cell(tab, "%s", s->site->side);
	ct_table_cell(tab, "%s", first_memory(s).text);
	ct_table_cell(tab, "%s", *s->site->text ? s->site->text : "unknown");
	if (*s->callers)
		ct_table_note(tab, "%s", s->callers);
	/* Where one kind of memory has nearly all, the column says so. */
	if (s->nr_memories < 2 || s->memories[0].first_writes * 10 >= s->first_writes * 9)
		return;
	line = memory(t, s);
	ct_table_note(tab, "%s", line.text);
}

static void without_stack(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	struct ct_line l = { .len = 0 };
	u64 pages = 0;

	for (size_t i = 0; i < w->nr_reasons; i++)
		pages += w->without_stack[i].pages;
	if (!pages)
		return;
	ct_line_add(&l, "%s first writes (%s of all) have no callers:", ct_format_count(pages).s,
		    ct_format_share(pages, w->first_writes).s);
	for (size_t i = 0; i < w->nr_reasons; i++)
		ct_line_add(&l, "%s %s %s", i ? "," : "",
			    ct_format_count(w->without_stack[i].pages).s,
			    w->without_stack[i].reason);
	ct_style_on(&t->term, CT_DIM);
	ct_print_wrapped(&t->term, 2, l.text);
	ct_style_off(&t->term, CT_DIM);
}

static const char *what(const struct ct_text_report *t)
{
	if (t->sort == COWTRACE_SORT_REUSES)
		return "MOST PAGES REUSED";
	return t->sort == COWTRACE_SORT_STALL ? "THE LONGEST STALL" : "MOST COPIES";
}

void ct_text_sites(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	const struct columns c = columns(t);
	size_t all = t->sites.nr, shown = t->top ? ct_min(all, t->top) : all;
	struct ct_table tab;

	if (!w->watched && cowtrace_report_total(t->r)->nr_forks)
		not_watched(t);
	if (!w->first_writes)
		return;
	ct_text_heading(t, "CALL SITES WITH %s%s%s", what(t), t->side ? ", OF THE " : "",
			!t->side		     ? ""
			: !strcmp(t->side, "parent") ? "PARENT"
						     : "CHILD");
	heads(c, &tab);
	for (size_t i = 0; i < shown; i++)
		row(t, c, &tab, &t->sites.v[i]);
	if (shown)
		ct_table_print(&tab, &t->term);
	else
		fputs("  none\n", t->term.out);
	ct_text_more(t, shown, all, "call sites");
	without_stack(t);
}
