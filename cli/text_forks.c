/* SPDX-License-Identifier: MIT */
/*
 * Forks in two tables: grouped by call site and lineage, which is what a server
 * with a fork for each request needs, and the ones with most copies singly.
 *
 * Invariant: where copies are known in bounds only, no column says otherwise.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

/* "187.2 MiB 13.3%" */
static void cell_size(struct ct_table *tab, u64 pages, u64 shared)
{
	ct_table_cell(tab, "%s %5s", ct_format_pages(pages).s, ct_format_share(pages, shared).s);
}

/* "47,923 13.3%" */
static void cell_count(struct ct_table *tab, u64 pages, u64 shared)
{
	ct_table_cell(tab, "%s %5s", ct_format_count(pages).s, ct_format_share(pages, shared).s);
}

static void group_heads(const struct ct_text_report *t, struct ct_table *tab)
{
	*tab = (struct ct_table){ .cells = NULL };
	ct_table_head(tab, ">forks");
	ct_table_head(tab, ">shared");
	ct_table_head(tab, t->bounds ? ">copied at least" : ">parent copied");
	ct_table_head(tab, t->bounds ? ">at most" : ">child copied");
	if (t->unknown)
		ct_table_head(tab, ")unknown");
	ct_table_head(tab, ")child new");
	ct_table_head(tab, ")fork() avg");
	ct_table_head(tab, "<call site");
}

static void group_row(const struct ct_text_report *t, struct ct_table *tab,
		      const struct cowtrace_group *g)
{
	ct_table_cell(tab, "%s", ct_format_count(g->nr_forks).s);
	ct_table_cell(tab, "%s", ct_format_pages(g->pages_shared).s);
	cell_size(tab, t->bounds ? g->copied_min : g->parent_copied, g->pages_shared);
	cell_size(tab, t->bounds ? g->copied_max : g->child_copied, g->pages_shared);
	if (t->unknown)
		ct_table_cell(tab, "%s", ct_format_pages(g->unknown).s);
	ct_table_cell(tab, "%s", ct_format_pages(g->child_fresh).s);
	ct_table_cell(tab, "%s", g->nr_timed ? ct_format_ns(g->fork_ns_sum / g->nr_timed).s : "?");
	ct_table_cell(tab, "%s%s%s in %s", *g->site_text ? g->site_text : "unknown",
		      *g->caller ? " < " : "", g->caller, *g->lineage ? g->lineage : "?");
}

void ct_text_groups(const struct ct_text_report *t)
{
	size_t all = cowtrace_report_nr_groups(t->r);
	size_t shown = t->top && t->top < all ? t->top : all;
	struct ct_table tab;

	if (!all)
		return;
	ct_text_heading(t, "FORKS BY CALL SITE");
	group_heads(t, &tab);
	for (size_t i = 0; i < shown; i++)
		group_row(t, &tab, cowtrace_report_group(t->r, i));
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

static u64 unknown_of(const struct cowtrace_fork *f)
{
	u64 parent = f->parent_side.unknown, child = f->child_side.unknown;

	if (parent == COWTRACE_UNKNOWN)
		return child;
	return child == COWTRACE_UNKNOWN ? parent : parent + child;
}

static void fork_heads(const struct ct_text_report *t, struct ct_table *tab)
{
	static const char *const heads[] = { ">fork",	")parent", ">child",  ")at",
					     ")lasted", ">fork()", ">shared", NULL };

	ct_table_init(tab, heads);
	if (t->huge)
		ct_table_head(tab, ")huge");
	ct_table_head(tab, t->bounds ? ">at least" : ">by parent");
	ct_table_head(tab, t->bounds ? ">at most" : ">by child");
	if (t->unknown)
		ct_table_head(tab, ")unknown");
	ct_table_head(tab, ")new");
	ct_table_head(tab, "<child ended");
}

static void fork_row(const struct ct_text_report *t, struct ct_table *tab,
		     const struct cowtrace_fork *f)
{
	ct_table_cell(tab, "%u", f->id);
	ct_table_cell(tab, "%d", f->parent_pid);
	ct_table_cell(tab, "%d", f->child_pid);
	ct_table_cell(tab, "%s", ct_format_ns(f->start_ns).s);
	ct_table_cell(tab, "%s", lasted(f).s);
	ct_table_cell(tab, "%s", ct_format_ns(f->fork_ns).s);
	ct_table_cell(tab, "%s", ct_format_count(f->pages_shared).s);
	if (t->huge)
		ct_table_cell(tab, "%s", ct_format_count(f->huge_pages_shared).s);
	cell_count(tab, t->bounds ? f->copied_min : f->parent_side.copied, f->pages_shared);
	cell_count(tab, t->bounds ? f->copied_max : f->child_side.copied, f->pages_shared);
	if (t->unknown)
		ct_table_cell(tab, "%s", ct_format_count(unknown_of(f)).s);
	ct_table_cell(tab, "%s", ct_format_count(f->child_side.fresh).s);
	ct_table_cell(tab, "%s",
		      strcmp(f->child_side.ended, "relative_gone") ? f->child_side.ended
								   : "outlived");
}

void ct_text_forks(const struct ct_text_report *t)
{
	size_t all = cowtrace_report_total(t->r)->nr_forks;
	size_t shown = cowtrace_report_nr_forks(t->r);
	struct ct_table tab;

	if (!all)
		return;
	ct_text_heading(t, "FORKS%s: pages of 4 KiB shared, then copied%s",
			all > shown ? " WITH MOST COPIES" : "",
			t->bounds ? " (bounds)" : " by parent and by child");
	fork_heads(t, &tab);
	for (size_t i = 0; i < shown; i++)
		fork_row(t, &tab, cowtrace_report_fork(t->r, i));
	ct_table_print(&tab, &t->term);
	ct_text_more(t, shown, all, "forks");
}
