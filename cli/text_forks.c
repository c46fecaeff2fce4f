/* SPDX-License-Identifier: MIT */
/*
 * Forks in two tables: grouped by call site and lineage, which is what a server
 * with a fork for each request needs, and the ones with most copies singly.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

/* "187.2 MiB 13.3%" */
static void cell_share(struct ct_table *tab, u64 pages, u64 shared)
{
	ct_table_cell(tab, "%s %5s", ct_format_pages(pages).s, ct_format_share(pages, shared).s);
}

/* "47,923 13.3%" */
static void cell_copied(struct ct_table *tab, u64 pages, u64 shared)
{
	ct_table_cell(tab, "%s %5s", ct_format_count(pages).s, ct_format_share(pages, shared).s);
}

void ct_text_groups(const struct ct_text_report *t)
{
	static const char *const heads[] = { ">forks",	      ">shared",    ">parent copied",
					     ">child copied", ")child new", ")fork() avg",
					     "<call site",    NULL };
	size_t all = cowtrace_report_nr_groups(t->r);
	size_t shown = t->top && t->top < all ? t->top : all;
	struct ct_table tab;

	if (!all)
		return;
	ct_text_heading(t, "FORKS BY CALL SITE");
	ct_table_init(&tab, heads);
	for (size_t i = 0; i < shown; i++) {
		const struct cowtrace_group *g = cowtrace_report_group(t->r, i);

		ct_table_cell(&tab, "%s", ct_format_count(g->nr_forks).s);
		ct_table_cell(&tab, "%s", ct_format_pages(g->pages_shared).s);
		cell_share(&tab, g->parent_copied, g->pages_shared);
		cell_share(&tab, g->child_copied, g->pages_shared);
		ct_table_cell(&tab, "%s", ct_format_pages(g->child_fresh).s);
		ct_table_cell(&tab, "%s",
			      g->nr_timed ? ct_format_ns(g->fork_ns_sum / g->nr_timed).s : "?");
		ct_table_cell(&tab, "%s%s%s in %s", *g->site_text ? g->site_text : "unknown",
			      *g->caller ? " < " : "", g->caller, *g->lineage ? g->lineage : "?");
	}
	ct_table_print(&tab, &t->term);
	ct_text_more(t, shown, all, "call sites");
}

/* "3.1 s", and "open" while it is not over. */
static struct ct_text lasted(const struct cowtrace_fork *f)
{
	if (f->end_ns == COWTRACE_UNKNOWN || f->end_ns < f->start_ns)
		return (struct ct_text){ "open" };
	return ct_format_ns(f->end_ns - f->start_ns);
}

static void fork_row(struct ct_table *tab, const struct cowtrace_fork *f, bool huge)
{
	const struct cowtrace_side *sides[] = { &f->parent_side, &f->child_side };

	ct_table_cell(tab, "%u", f->id);
	ct_table_cell(tab, "%d", f->parent_pid);
	ct_table_cell(tab, "%d", f->child_pid);
	ct_table_cell(tab, "%s", ct_format_ns(f->start_ns).s);
	ct_table_cell(tab, "%s", lasted(f).s);
	ct_table_cell(tab, "%s", ct_format_ns(f->fork_ns).s);
	ct_table_cell(tab, "%s", ct_format_count(f->pages_shared).s);
	if (huge)
		ct_table_cell(tab, "%s", ct_format_count(f->huge_pages_shared).s);
	for (size_t i = 0; i < ct_array_size(sides); i++)
		cell_copied(tab, sides[i]->copied, f->pages_shared);
	ct_table_cell(tab, "%s", ct_format_count(f->child_side.fresh).s);
	ct_table_cell(tab, "%s",
		      strcmp(f->child_side.ended, "relative_gone") ? f->child_side.ended
								   : "outlived");
}

void ct_text_forks(const struct ct_text_report *t)
{
	static const char *const plain[] = { ">fork",	  ")parent", ">child",	     ")at",
					     ")lasted",	  ">fork()", ">shared",	     ">by parent",
					     ">by child", ")new",    "<child ended", NULL };
	static const char *const with_huge[] = {
		">fork", ")parent",    ">child",    ")at",  ")lasted",	    ">fork()", ">shared",
		">huge", ">by parent", ">by child", ")new", "<child ended", NULL
	};
	const struct cowtrace_group *total = cowtrace_report_total(t->r);
	bool huge = total->huge_pages_shared && total->huge_pages_shared != COWTRACE_UNKNOWN;
	size_t shown = cowtrace_report_nr_forks(t->r);
	struct ct_table tab;

	if (!total->nr_forks)
		return;
	ct_text_heading(t, "FORKS%s: pages of 4 KiB shared, then copied by parent and by child",
			total->nr_forks > shown ? " WITH MOST COPIES" : "");
	ct_table_init(&tab, huge ? with_huge : plain);
	for (size_t i = 0; i < shown; i++)
		fork_row(&tab, cowtrace_report_fork(t->r, i), huge);
	ct_table_print(&tab, &t->term);
	ct_text_more(t, shown, total->nr_forks, "forks");
}
