/* SPDX-License-Identifier: MIT */
/*
 * Growth over time: copies in each second, over all forks, as numbers and a bar.
 * Long recordings are drawn in wider steps, so that the table stays on a screen.
 */
#include <string.h>

#include "format.h"
#include "text.h"

#define MAX_ROWS 24

struct step {
	u64 parent, child;
};

static u64 last_second(const struct cowtrace_report *r, u64 *ret_first)
{
	size_t nr = cowtrace_report_nr_buckets(r);

	/* Buckets come in the order of time. */
	*ret_first = cowtrace_report_bucket(r, 0)->t_ns / CT_NSEC_PER_SEC;
	return cowtrace_report_bucket(r, nr - 1)->t_ns / CT_NSEC_PER_SEC;
}

static void gather(const struct cowtrace_report *r, u64 first, u64 width, struct step *steps)
{
	for (size_t i = 0; i < cowtrace_report_nr_buckets(r); i++) {
		const struct cowtrace_bucket *b = cowtrace_report_bucket(r, i);
		struct step *s = &steps[(b->t_ns / CT_NSEC_PER_SEC - first) / width];

		if (!strcmp(b->side, "parent"))
			s->parent += b->copied;
		else
			s->child += b->copied;
	}
}

static void bar(const struct ct_text_report *t, const struct step *s, u64 most)
{
	int room = t->term.width - 44;
	int parent = (int)(s->parent * (u64)room / most),
	    child = (int)(s->child * (u64)room / most);

	if (parent || child)
		fputs("  ", t->term.out);
	for (int i = 0; i < parent; i++)
		fputc('#', t->term.out);
	ct_style_on(&t->term, CT_WARN);
	for (int i = 0; i < child && parent + i < room; i++)
		fputc('+', t->term.out);
	ct_style_off(&t->term, CT_WARN);
	fputc('\n', t->term.out);
}

/* What the buckets of a side sum up to beyond its total in the end. */
static u64 lost_later(const struct cowtrace_report *r, const char *side, u64 total)
{
	u64 sum = 0;

	for (size_t i = 0; i < cowtrace_report_nr_buckets(r); i++)
		if (!strcmp(cowtrace_report_bucket(r, i)->side, side))
			sum += cowtrace_report_bucket(r, i)->copied;
	return total == COWTRACE_UNKNOWN || sum < total ? 0 : sum - total;
}

/*
 * The totals are of each side's last reading: a page that was copied and then
 * unmapped is dropped there, and yet somebody saw it copied.
 */
static void explain(const struct ct_text_report *t)
{
	const struct cowtrace_group *all = cowtrace_report_total(t->r);
	u64 more = lost_later(t->r, "parent", all->parent_copied) +
		   lost_later(t->r, "child", all->child_copied);
	char text[200];

	if (!more)
		return;
	snprintf(
		text, sizeof(text),
		"%s pages (%s) that were seen copied here had gone, or could not be told any more, "
		"at the last reading: they are in no total of copies.",
		ct_format_count(more).s, ct_format_pages(more).s);
	ct_print_wrapped(&t->term, 2, text);
}

void ct_text_growth(const struct ct_text_report *t)
{
	struct step steps[MAX_ROWS] = { { 0 } };
	u64 first, last, width, most = 1;
	size_t rows;

	if (!cowtrace_report_nr_buckets(t->r))
		return;
	last = last_second(t->r, &first);
	width = (last - first) / MAX_ROWS + 1;
	rows = (size_t)((last - first) / width + 1);
	gather(t->r, first, width, steps);
	for (size_t i = 0; i < rows; i++)
		most = ct_max(most, steps[i].parent + steps[i].child);
	ct_text_heading(t, "GROWTH (copied in each %s)",
			width == 1 ? "second" : ct_format_ns(width * CT_NSEC_PER_SEC).s);
	ct_printf_styled(&t->term, CT_DIM, "  %8s  %12s  %12s  # parent, + child\n", "at", "parent",
			 "child");
	for (size_t i = 0; i < rows; i++) {
		fprintf(t->term.out, "  %7llus  %12s  %12s",
			(unsigned long long)(first + i * width), ct_format_pages(steps[i].parent).s,
			ct_format_pages(steps[i].child).s);
		bar(t, &steps[i], most);
	}
	explain(t);
}
