/* SPDX-License-Identifier: MIT */
/*
 * Regions: which memory was copied, whose, and who mapped it with which advice.
 * Alike ones of all processes are one row: a server has as many heaps as workers.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

/* "[thp=hugepage,ksm=mergeable]", or "". */
static void advice(const struct cowtrace_region_group *g, char *to, size_t len)
{
	const char *const words[][2] = { { "thp=", g->thp },
					 { "ksm=", g->ksm },
					 { "", g->fork_advice } };
	size_t n = 0;

	*to = 0;
	for (size_t i = 0; i < ct_array_size(words); i++)
		if (strcmp(words[i][1], "unset") && n < len)
			n += (size_t)snprintf(to + n, len - n, "%s%s%s", n ? "," : "[", words[i][0],
					      words[i][1]);
	if (n && n + 1 < len)
		strcpy(to + n, "]");
}

static void heads(const struct ct_text_report *t, struct ct_table *tab)
{
	*tab = (struct ct_table){ .cells = NULL };
	/* Without page frames: what a side has for itself may be copies. */
	ct_table_head(tab, t->bounds ? ">perhaps copied" : ">copied");
	if (t->unknown)
		ct_table_head(tab, ")unknown");
	ct_table_head(tab, ">shared");
	ct_table_head(tab, ")dropped");
	ct_table_head(tab, ")size");
	ct_table_head(tab, "<in");
	ct_table_head(tab, "<kind");
	ct_table_head(tab, "<name, advice, call site");
}

static void group_row(const struct ct_text_report *t, struct ct_table *tab,
		      const struct cowtrace_region_group *g)
{
	/* A file's name without its folder; JSON has the path. */
	const char *slash = *g->name == '/' ? strrchr(g->name, '/') : NULL;
	const char *name = slash ? slash + 1 : g->name;
	char words[80];
	u64 copied;

	advice(g, words, sizeof(words));
	copied = t->bounds ? g->unknown : g->copied;
	ct_table_cell(tab, "%s %5s", ct_format_pages(copied).s,
		      ct_format_share(copied, g->shared).s);
	if (t->unknown)
		ct_table_cell(tab, "%s", ct_format_pages(g->unknown).s);
	ct_table_cell(tab, "%s", ct_format_pages(g->shared).s);
	ct_table_cell(tab, "%s", ct_format_pages(g->dropped).s);
	ct_table_cell(tab, "%s", ct_format_bytes(g->len).s);
	if (g->nr_processes == 1)
		ct_table_cell(tab, "pid %d", g->pid);
	else
		ct_table_cell(tab, "%u processes", g->nr_processes);
	ct_table_cell(tab, "%s", g->kind);
	ct_table_cell(tab, "%s%s%s%s%s%s", name, *name && *words ? " " : "", words,
		      (*name || *words) && *g->site_text ? " " : "",
		      *g->site_text ? "mapped by " : "", g->site_text);
}

void ct_text_regions(const struct ct_text_report *t)
{
	size_t all = cowtrace_report_nr_region_groups(t->r), rows = 0;
	struct ct_table tab;

	heads(t, &tab);
	for (size_t i = 0; i < all && (!t->top || rows < t->top); i++) {
		const struct cowtrace_region_group *g = cowtrace_report_region_group(t->r, i);

		/* A list of nothing helps nobody, unless it was asked for. */
		if (t->top && (g->shared == COWTRACE_UNKNOWN || !g->shared))
			continue;
		group_row(t, &tab, g);
		rows++;
	}
	if (!rows)
		return;
	ct_text_heading(t, "MEMORY WITH MOST COPIES%s",
			t->bounds ? " (bounds, of both sides)" : "");
	ct_table_print(&tab, &t->term);
	ct_text_more(t, rows, all, "kinds of memory");
}
