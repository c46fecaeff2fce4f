/* SPDX-License-Identifier: MIT */
/*
 * Tables: cells are gathered first, so that each column is as wide as its widest
 * cell, then printed.  The last column holds what may be long, and is cut.
 *
 * Invariant: no line is wider than the terminal because of its last column.
 */
#include <stdarg.h>

#include "table.h"

#define INDENT 2
#define GAP 2

void ct_table_init(struct ct_table *t, const char *const *heads)
{
	*t = (struct ct_table){ .cells = NULL };
	while (heads[t->nr_columns] && t->nr_columns < CT_TABLE_COLUMNS) {
		t->heads[t->nr_columns] = heads[t->nr_columns];
		t->nr_columns++;
	}
}

void ct_table_cell(struct ct_table *t, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	if (t->nr_cells == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		char **cells = reallocarray(t->cells, cap, sizeof(*cells));

		if (!cells)
			return;
		t->cells = cells;
		t->cap = cap;
	}
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	t->cells[t->nr_cells++] = text;
}

static const char *cell(const struct ct_table *t, size_t i)
{
	return t->cells[i] ? t->cells[i] : "";
}

static void measure(const struct ct_table *t, int widths[CT_TABLE_COLUMNS])
{
	for (size_t c = 0; c < t->nr_columns; c++)
		widths[c] = ct_text_width(t->heads[c] + 1);
	for (size_t i = 0; i < t->nr_cells; i++) {
		int *w = &widths[i % t->nr_columns];

		*w = ct_max(*w, ct_text_width(cell(t, i)));
	}
}

static void print_cell(const struct ct_table *t, const struct ct_term *term, size_t c,
		       const char *text, const int *widths, int *column)
{
	bool last = c + 1 == t->nr_columns, right = t->heads[c][0] == '>';
	int pad = widths[c] - ct_text_width(text);

	*column += fprintf(term->out, "%*s", c ? GAP : INDENT, "");
	if (right)
		*column += fprintf(term->out, "%*s", pad, "");
	*column += ct_print_text(term, text, last ? term->width - *column : widths[c]);
	if (!right && !last)
		*column += fprintf(term->out, "%*s", pad, "");
}

void ct_table_print(struct ct_table *t, const struct ct_term *term)
{
	int widths[CT_TABLE_COLUMNS], column = 0;

	measure(t, widths);
	ct_style_on(term, CT_DIM);
	for (size_t c = 0; c < t->nr_columns; c++)
		print_cell(t, term, c, t->heads[c] + 1, widths, &column);
	ct_style_off(term, CT_DIM);
	fputc('\n', term->out);
	for (size_t i = 0; i + t->nr_columns <= t->nr_cells; i += t->nr_columns) {
		column = 0;
		for (size_t c = 0; c < t->nr_columns; c++)
			print_cell(t, term, c, cell(t, i + c), widths, &column);
		fputc('\n', term->out);
	}
	for (size_t i = 0; i < t->nr_cells; i++)
		free(t->cells[i]);
	free(t->cells);
}
