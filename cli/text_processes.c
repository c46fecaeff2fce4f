/* SPDX-License-Identifier: MIT */
/*
 * Processes, in the order in which they were born, indented by depth: who came
 * from whom, how long each lived and how it ended.
 */
#include <string.h>
#include <sys/wait.h>

#include "format.h"
#include "table.h"
#include "text.h"

#define MAX_INDENT 16

/* "exit 1", "killed by 9 (Killed)", "exec", "running". */
static void cell_end(struct ct_table *tab, const struct cowtrace_process *p)
{
	bool known = p->wstatus >= 0;

	if (known && WIFSIGNALED(p->wstatus))
		ct_table_cell(tab, "killed by %d (%s)", WTERMSIG(p->wstatus),
			      strsignal(WTERMSIG(p->wstatus)));
	else if (known && !strcmp(p->ended, "exit"))
		ct_table_cell(tab, "exit %d", WEXITSTATUS(p->wstatus));
	else
		ct_table_cell(tab, "%s", p->ended);
}

static void process_row(struct ct_table *tab, const struct cowtrace_process *p)
{
	ct_table_cell(tab, "%d", p->pid);
	ct_table_cell(tab, "%d", p->parent_pid);
	ct_table_cell(tab, "%s", ct_format_ns(p->start_ns).s);
	if (p->end_ns == COWTRACE_UNKNOWN || p->end_ns < p->start_ns)
		ct_table_cell(tab, "-");
	else
		ct_table_cell(tab, "%s", ct_format_ns(p->end_ns - p->start_ns).s);
	ct_table_cell(tab, "%*s%s", 2 * (int)ct_min(p->depth, (u32)MAX_INDENT), "",
		      *p->comm ? p->comm : "?");
	cell_end(tab, p);
}

void ct_text_processes(const struct ct_text_report *t)
{
	static const char *const heads[] = { ">pid",  ">parent", ")at", ")lived",
					     "<name", "<ended",	 NULL };
	size_t all = cowtrace_report_nr_processes(t->r);
	size_t shown = t->top && t->top < all ? t->top : all;
	struct ct_table tab;

	if (!all)
		return;
	ct_text_heading(t, "PROCESSES");
	ct_table_init(&tab, heads);
	for (size_t i = 0; i < shown; i++)
		process_row(&tab, cowtrace_report_process(t->r, i));
	ct_table_print(&tab, &t->term);
	ct_text_more(t, shown, all, "processes");
}
