/* SPDX-License-Identifier: MIT */
/*
 * Call sites of first writes: the code that made the kernel copy, hottest first,
 * each with who called it and into what memory it wrote.
 *
 * Without an engine there are none: one line says how to get them.
 */
#include <stdarg.h>
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

#define MAX_NAME 40    /* columns of a caller's name */
#define MAX_CALLERS 5  /* behind the function that is named */
#define MAX_MEMORIES 3 /* kinds of memory named for a site */

static void not_watched(const struct ct_text_report *t)
{
	char text[200];

	snprintf(text, sizeof(text),
		 "Who wrote was not watched: `cowtrace record --engine uffd -- COMMAND` names the "
		 "call sites of these copies.");
	fputc('\n', t->term.out);
	ct_style_on(&t->term, CT_DIM);
	ct_print_wrapped(&t->term, 2, text);
	ct_style_off(&t->term, CT_DIM);
}

struct line {
	char text[600];
	size_t len;
};

static ct_printf(2, 3) void append(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len = ct_min(l->len + (size_t)n, sizeof(l->text) - 1);
}

static void append_name(struct line *l, const char *before, const char *name)
{
	if (strlen(name) > MAX_NAME)
		append(l, "%s%.*s...", before, MAX_NAME - 3, name);
	else
		append(l, "%s%s", before, name);
}

/* "memcpy < sdsnewlen < createObject": from the leaf to a few callers of the one named. */
static struct line callers(const struct cowtrace_write_site *s)
{
	struct line l = { .len = 0 };
	u32 from = s->deciding ? 0 : 1;
	u32 end = ct_min(s->nr_frames, s->deciding + 1 + MAX_CALLERS);

	for (u32 i = from; i < end; i++) {
		/* Of an allocator's inside only where it ends. */
		if (i >= 2 && i + 1 < s->deciding) {
			if (i == 2)
				append(&l, " < ...");
			continue;
		}
		append_name(&l, i == from && s->deciding ? "" : i == from ? "< " : " < ",
			    s->frames[i].function);
	}
	if (end < s->nr_frames)
		append(&l, " < ...");
	return l;
}

static const char *short_name(const char *name)
{
	const char *slash = *name == '/' ? strrchr(name, '/') : NULL;

	return slash ? slash + 1 : name;
}

static size_t first_region_of(const struct cowtrace_report *r, u32 id)
{
	size_t i = 0;

	while (i < cowtrace_report_nr_site_regions(r) &&
	       cowtrace_report_site_region(r, i)->write_site != id)
		i++;
	return i;
}

/* "in heap 62.1%, anon dict.ht 37.9%" */
static struct line memory(const struct ct_text_report *t, const struct cowtrace_write_site *s)
{
	const struct cowtrace_site_region *g;
	size_t first = first_region_of(t->r, s->id), i = first;
	struct line l = { .len = 0 };

	for (; (g = cowtrace_report_site_region(t->r, i)) && g->write_site == s->id; i++) {
		const char *name = short_name(g->name);

		if (i - first == MAX_MEMORIES && !t->top) {
			/* --top 0: all of them. */
		} else if (i - first >= MAX_MEMORIES && t->top) {
			append(&l, ", ...");
			break;
		}
		append(&l, "%s%s", i == first ? "in " : ", ", *g->kind ? g->kind : "elsewhere");
		if (*name && strcmp(name, "[heap]") && strcmp(name, "[stack]"))
			append_name(&l, " ", name);
		append(&l, " %s", ct_format_share(g->first_writes, s->first_writes).s);
	}
	return l;
}

static void heads(const struct ct_text_report *t, struct ct_table *tab)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);

	*tab = (struct ct_table){ .cells = NULL };
	ct_table_head(tab, ">copied");
	ct_table_head(tab, ">pages");
	ct_table_head(tab, ">reused");
	if (w->zero_filled)
		ct_table_head(tab, ")zero-filled");
	if (w->unknown)
		ct_table_head(tab, ")unknown");
	if (w->stall_ns != COWTRACE_UNKNOWN)
		ct_table_head(tab, ">stall");
	ct_table_head(tab, "<side");
	ct_table_head(tab, "<written by");
}

static void row(const struct ct_text_report *t, struct ct_table *tab,
		const struct cowtrace_write_site *s)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	struct line line;

	ct_table_cell(tab, "%s %5s", ct_format_pages(s->copies).s,
		      ct_format_share(s->copies, w->copies).s);
	ct_table_cell(tab, "%s", ct_format_count(s->copies).s);
	ct_table_cell(tab, "%s", ct_format_count(s->reuses).s);
	if (w->zero_filled)
		ct_table_cell(tab, "%s", ct_format_count(s->zero_filled).s);
	if (w->unknown)
		ct_table_cell(tab, "%s", ct_format_count(s->unknown).s);
	if (w->stall_ns != COWTRACE_UNKNOWN)
		ct_table_cell(tab, "%s", ct_format_ns(s->stall_ns).s);
	ct_table_cell(tab, "%s", s->side);
	ct_table_cell(tab, "%s", *s->text ? s->text : "unknown");
	line = callers(s);
	if (line.len)
		ct_table_note(tab, "%s", line.text);
	line = memory(t, s);
	if (line.len)
		ct_table_note(tab, "%s", line.text);
}

static void without_site(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	struct line l = { .len = 0 };
	u64 pages = 0;

	for (size_t i = 0; i < w->nr_reasons; i++)
		pages += w->without_site[i].pages;
	if (!pages)
		return;
	append(&l, "%s first writes (%s of all) have no call site:", ct_format_count(pages).s,
	       ct_format_share(pages, w->first_writes).s);
	for (size_t i = 0; i < w->nr_reasons; i++)
		append(&l, "%s %s %s", i ? "," : "", ct_format_count(w->without_site[i].pages).s,
		       w->without_site[i].reason);
	ct_style_on(&t->term, CT_DIM);
	ct_print_wrapped(&t->term, 2, l.text);
	ct_style_off(&t->term, CT_DIM);
}

static const char *what(const struct ct_text_report *t)
{
	if (!strcmp(t->sort, "reuses"))
		return "MOST PAGES REUSED";
	return strcmp(t->sort, "stall") ? "MOST COPIES" : "THE LONGEST STALL";
}

void ct_text_sites(const struct ct_text_report *t)
{
	const struct cowtrace_writes *w = cowtrace_report_writes(t->r);
	size_t all = cowtrace_report_all_write_sites(t->r);
	size_t shown = cowtrace_report_nr_write_sites(t->r);
	struct ct_table tab;

	if (!w->watched && cowtrace_report_total(t->r)->nr_forks)
		not_watched(t);
	if (!w->first_writes)
		return;
	ct_text_heading(t, "CALL SITES WITH %s%s%s", what(t), t->side ? ", OF THE " : "",
			!t->side		     ? ""
			: !strcmp(t->side, "parent") ? "PARENT"
						     : "CHILD");
	heads(t, &tab);
	for (size_t i = 0; i < shown; i++)
		row(t, &tab, cowtrace_report_write_site(t->r, i));
	if (shown)
		ct_table_print(&tab, &t->term);
	else
		fputs("  none\n", t->term.out);
	ct_text_more(t, shown, all, "call sites");
	without_site(t);
}
