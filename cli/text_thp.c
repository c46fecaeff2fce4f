/* SPDX-License-Identifier: MIT */
/*
 * Huge pages lost: by what, at which code, how much, and what followed.  What many
 * processes lose alike is one row.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

static int by_look(const struct cowtrace_thp_loss *x, const struct cowtrace_thp_loss *y)
{
	int rc = strcmp(x->cause, y->cause);

	if (!rc)
		rc = strcmp(x->text, y->text);
	if (!rc)
		rc = strcmp(x->kind, y->kind);
	return rc ? rc : strcmp(x->name, y->name);
}

static int compare_look(const void *a, const void *b)
{
	return by_look(a, b);
}

static int compare_bytes(const void *a, const void *b)
{
	const struct cowtrace_thp_loss *x = a, *y = b;

	if (x->len != y->len)
		return x->len < y->len ? 1 : -1;
	return by_look(x, y);
}

static void add(u64 *to, u64 v)
{
	if (v != COWTRACE_UNKNOWN)
		*to = *to == COWTRACE_UNKNOWN ? v : *to + v;
}

/* How many rows are left of nr. */
static size_t merge(struct cowtrace_thp_loss *v, size_t nr)
{
	size_t out = 0;

	qsort(v, nr, sizeof(*v), compare_look);
	for (size_t i = 0; i < nr; i++) {
		if (!out || by_look(&v[out - 1], &v[i])) {
			v[out++] = v[i];
			continue;
		}
		v[out - 1].events += v[i].events;
		v[out - 1].len += v[i].len;
		add(&v[out - 1].copies, v[i].copies);
		add(&v[out - 1].reuses, v[i].reuses);
		add(&v[out - 1].reusable, v[i].reusable);
	}
	qsort(v, out, sizeof(*v), compare_bytes);
	return out;
}

static void row(struct ct_table *tab, const struct cowtrace_thp_loss *l)
{
	ct_table_cell(tab, "%s", ct_format_bytes(l->len).s);
	ct_table_cell(tab, "%s", ct_format_count(l->events).s);
	ct_table_cell(tab, "%s", l->copies == COWTRACE_UNKNOWN ? "" : ct_format_pages(l->copies).s);
	ct_table_cell(tab, "%s", l->cause);
	ct_table_cell(tab, "%s%s%.16s", l->kind, *l->name && *l->name != '[' ? " " : "",
		      *l->name != '[' ? l->name : "");
	ct_table_cell(tab, "%s", *l->text ? l->text : "unknown");
	if (l->copies == COWTRACE_UNKNOWN || !(l->reuses || l->reusable))
		return;
	ct_table_note(tab,
		      "of its 4 KiB pages %s were copied later, %s reused in place; %s of the "
		      "copies need not have been, by the model",
		      ct_format_count(l->copies).s, ct_format_count(l->reuses).s,
		      ct_format_count(l->reusable).s);
}

void ct_text_thp(const struct ct_text_report *t)
{
	static const char *const heads[] = { ">lost",  ">huge pages", ">copied of it",
					     "<cause", "<memory",     "<by",
					     NULL };
	size_t nr = cowtrace_report_nr_thp_losses(t->r), shown;
	ct_auto_free struct cowtrace_thp_loss *v = calloc(nr + !nr, sizeof(*v));
	struct ct_table tab;
	u64 len = 0;

	if (!nr || !v)
		return;
	for (size_t i = 0; i < nr; i++) {
		v[i] = *cowtrace_report_thp_loss(t->r, i);
		len += v[i].len;
	}
	nr = merge(v, nr);
	shown = t->top ? ct_min(nr, t->top) : nr;
	ct_text_heading(t, "HUGE PAGES LOST (%s)", ct_format_bytes(len).s);
	ct_table_init(&tab, heads);
	for (size_t i = 0; i < shown; i++)
		row(&tab, &v[i]);
	ct_table_print(&tab, &t->term);
	ct_text_more(t, shown, nr, "causes");
}
