/* SPDX-License-Identifier: MIT */
/*
 * Does it add up?  Copies with and without a call site, and the kernel's own
 * Private_Dirty beside the census, worst difference first.
 */
#include <string.h>

#include "format.h"
#include "table.h"
#include "text.h"

/* A witness agrees within 1 % or 64 pages: what moves between two readings. */
#define TOLERANCE_LEN (64 * CT_PAGE_SIZE)

static u64 difference(const struct cowtrace_reconcile *c)
{
	return c->private_dirty_len > c->census_private_len
		       ? c->private_dirty_len - c->census_private_len
		       : c->census_private_len - c->private_dirty_len;
}

static bool has_witness(const struct cowtrace_reconcile *c)
{
	return c->private_dirty_len != COWTRACE_UNKNOWN &&
	       c->census_private_len != COWTRACE_UNKNOWN;
}

static bool agrees(const struct cowtrace_reconcile *c)
{
	return difference(c) <= ct_max(TOLERANCE_LEN, c->private_dirty_len / 100);
}

static int by_difference(const void *a, const void *b)
{
	const struct cowtrace_reconcile *x = *(void *const *)a, *y = *(void *const *)b;
	u64 dx = difference(x), dy = difference(y);

	return dx < dy ? 1 : dx > dy ? -1 : 0;
}

struct reasons {
	struct cowtrace_reason_pages v[16];
	size_t nr, sides_unread;
	u64 copied, attributed;
};

static void add_reason(struct reasons *s, const struct cowtrace_reason_pages *more)
{
	size_t i = 0;

	if (more->pages == COWTRACE_UNKNOWN) {
		s->sides_unread++;
		return;
	}
	while (i < s->nr && strcmp(s->v[i].reason, more->reason))
		i++;
	if (i == ct_array_size(s->v))
		return;
	if (i == s->nr)
		s->v[s->nr++] = (struct cowtrace_reason_pages){ more->reason, 0 };
	s->v[i].pages += more->pages;
}

static void attribution(const struct ct_text_report *t)
{
	struct reasons s = { .nr = 0 };
	char text[1200]; /* 16 reasons of up to 60 letters */
	int at;

	if (t->bounds) {
		ct_print_wrapped(&t->term, 2,
				 "copies are known in bounds only (no page frames): there is no "
				 "count to compare call sites and regions with");
		return;
	}
	for (size_t i = 0; i < cowtrace_report_nr_reconcile(t->r); i++) {
		const struct cowtrace_reconcile *c = cowtrace_report_reconcile(t->r, i);

		s.copied += c->copied == COWTRACE_UNKNOWN ? 0 : c->copied;
		s.attributed += c->attributed;
		for (size_t n = 0; n < c->nr_reasons; n++)
			add_reason(&s, &c->unattributed[n]);
	}
	at = snprintf(text, sizeof(text), "%s pages copied by the census = %s with a call site",
		      ct_format_count(s.copied).s, ct_format_count(s.attributed).s);
	for (size_t i = 0; i < s.nr; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, " + %s %s",
			       ct_format_count(s.v[i].pages).s, s.v[i].reason);
	ct_print_wrapped(&t->term, 2, text);
}

/* Sum of a side's copies over its regions; *at is where the fork's rows begin. */
static u64 sum_of_regions(const struct cowtrace_report *r, const struct cowtrace_reconcile *c,
			  size_t *at)
{
	const struct cowtrace_fork_region *g;
	u64 sum = 0;

	/* Both tables ascend by fork. */
	while ((g = cowtrace_report_fork_region(r, *at)) && g->fork < c->fork)
		(*at)++;
	for (size_t i = *at; (g = cowtrace_report_fork_region(r, i)) && g->fork == c->fork; i++)
		if (g->copied != COWTRACE_UNKNOWN && !strcmp(g->side, c->side))
			sum += g->copied;
	return sum;
}

/* The totals and the regions come from one comparison, by two ways of counting. */
static void regions_add_up(const struct ct_text_report *t)
{
	size_t sides = 0, good = 0, at = 0;
	u32 wrong = 0;
	char text[200];

	for (size_t i = 0; i < cowtrace_report_nr_reconcile(t->r); i++) {
		const struct cowtrace_reconcile *c = cowtrace_report_reconcile(t->r, i);

		if (!c->fork || c->copied == COWTRACE_UNKNOWN)
			continue;
		sides++;
		if (sum_of_regions(t->r, c, &at) == c->copied)
			good++;
		else if (!wrong)
			wrong = c->fork;
	}
	if (!sides)
		return;
	snprintf(text, sizeof(text),
		 "the copies of all regions sum up to the total in %s of %s sides",
		 ct_format_count(good).s, ct_format_count(sides).s);
	if (wrong)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ": NOT in fork %u",
			 wrong);
	ct_style_on(&t->term, wrong ? CT_BAD : CT_PLAIN);
	ct_print_wrapped(&t->term, 2, text);
	ct_style_off(&t->term, wrong ? CT_BAD : CT_PLAIN);
}

static void witness_row(struct ct_table *tab, const struct cowtrace_reconcile *c)
{
	ct_table_cell(tab, "%d", c->pid);
	if (c->fork)
		ct_table_cell(tab, "%u", c->fork);
	else
		ct_table_cell(tab, "-");
	ct_table_cell(tab, "%s", c->side);
	ct_table_cell(tab, "%s", ct_format_bytes(c->private_dirty_len).s);
	ct_table_cell(tab, "%s", ct_format_bytes(c->census_private_len).s);
	ct_table_cell(tab, "%s", ct_format_count(difference(c) / CT_PAGE_SIZE).s);
	ct_table_cell(tab, "%s%s%s", agrees(c) ? "agrees" : "DIFFERS", *c->why ? ": " : "", c->why);
}

static void witnesses(const struct ct_text_report *t)
{
	static const char *const heads[] = { ">pid",	">fork",      "<side",	  ">Private_Dirty",
					     ">census", ">pages off", "<verdict", NULL };
	size_t nr = cowtrace_report_nr_reconcile(t->r), n = 0, good = 0;
	ct_auto_free const struct cowtrace_reconcile **rows = calloc(nr + 1, sizeof(*rows));
	struct ct_table tab;
	char text[200];

	for (size_t i = 0; rows && i < nr; i++) {
		rows[n] = cowtrace_report_reconcile(t->r, i);
		if (!has_witness(rows[n]))
			continue;
		good += agrees(rows[n]);
		n++;
	}
	if (!n) {
		fputs("  the kernel was not asked for Private_Dirty of any process\n", t->term.out);
		return;
	}
	snprintf(text, sizeof(text),
		 "%s of %s processes have the Private_Dirty (smaps) that the census says, "
		 "to 1 %% or 64 pages",
		 ct_format_count(good).s, ct_format_count(n).s);
	ct_print_wrapped(&t->term, 2, text);
	qsort(rows, n, sizeof(*rows), by_difference);
	ct_table_init(&tab, heads);
	for (size_t i = 0; i < n && (!t->top || i < t->top); i++)
		witness_row(&tab, rows[i]);
	ct_table_print(&tab, &t->term);
	ct_text_more(t, t->top ? ct_min(n, t->top) : n, n, "processes");
}

void ct_text_reconcile(const struct ct_text_report *t)
{
	if (!cowtrace_report_nr_reconcile(t->r))
		return;
	ct_text_heading(t, "DOES IT ADD UP");
	attribution(t);
	regions_add_up(t);
	witnesses(t);
}
