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
#define LAST_ROOM 12 /* columns that the last column should have at least */
#define OWN_LINE_INDENT 8

void ct_table_head(struct ct_table *t, const char *head)
{
	if (t->nr_columns < CT_TABLE_COLUMNS)
		t->heads[t->nr_columns++] = head;
}

void ct_table_init(struct ct_table *t, const char *const *heads)
{
	*t = (struct ct_table){ .cells = NULL };
	for (; *heads; heads++)
		ct_table_head(t, *heads);
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

void ct_table_note(struct ct_table *t, const char *fmt, ...)
{
	struct ct_table_note *grown = reallocarray(t->notes, t->nr_notes + 1, sizeof(*t->notes));
	struct ct_table_note note = { (t->nr_cells - 1) / t->nr_columns, NULL };
	va_list ap;

	if (!grown)
		return;
	t->notes = grown;
	va_start(ap, fmt);
	if (vasprintf(&note.text, fmt, ap) < 0)
		note.text = NULL;
	va_end(ap);
	if (note.text)
		t->notes[t->nr_notes++] = note;
}

static const char *cell(const struct ct_table *t, size_t i)
{
	return t->cells[i] ? t->cells[i] : "";
}

/* How the columns of a table stand on this terminal. */
struct layout {
	int widths[CT_TABLE_COLUMNS];
	bool left_out[CT_TABLE_COLUMNS];
	int last_at; /* where the last column begins */
};

static void measure(const struct ct_table *t, struct layout *l)
{
	for (size_t c = 0; c < t->nr_columns; c++)
		l->widths[c] = ct_text_width(t->heads[c] + 1);
	for (size_t i = 0; i < t->nr_cells; i++) {
		int *w = &l->widths[i % t->nr_columns];

		*w = ct_max(*w, ct_text_width(cell(t, i)));
	}
}

static int begin_of_last(const struct ct_table *t, const struct layout *l)
{
	int at = INDENT;

	for (size_t c = 0; c + 1 < t->nr_columns; c++)
		at += l->left_out[c] ? 0 : l->widths[c] + GAP;
	return at;
}

/* Leaves out columns that may be, from the right, until the last one has some room. */
static void lay_out(const struct ct_table *t, const struct ct_term *term, struct layout *l)
{
	*l = (struct layout){ .last_at = 0 };
	measure(t, l);
	l->last_at = begin_of_last(t, l);
	for (size_t c = t->nr_columns - 1; c-- > 0 && l->last_at + LAST_ROOM > term->width;) {
		l->left_out[c] = t->heads[c][0] == ')';
		l->last_at = begin_of_last(t, l);
	}
}

/* The last column: here, on a line of its own, or (a head) cut. */
static void print_last(const struct ct_term *term, const struct layout *l, const char *text,
		       int column, bool is_head)
{
	int room = term->width - l->last_at;

	if (!*text)
		return;
	if (ct_text_width(text) > room && !is_head) {
		fprintf(term->out, "\n%*s", OWN_LINE_INDENT, "");
		ct_print_text(term, text, term->width - OWN_LINE_INDENT);
	} else {
		fprintf(term->out, "%*s", l->last_at - column, "");
		ct_print_text(term, text, room);
	}
}

/* Blanks go before a cell, never behind one: no line ends in them. */
static void print_row(const struct ct_table *t, const struct ct_term *term, const struct layout *l,
		      const char *const *cells, bool is_head)
{
	int column = 0, at = INDENT;

	for (size_t c = 0; c + 1 < t->nr_columns; c++) {
		int pad = l->widths[c] - ct_text_width(cells[c]);

		if (l->left_out[c])
			continue;
		if (t->heads[c][0] == '<')
			pad = 0;
		column += fprintf(term->out, "%*s", at + pad - column, "");
		column += ct_print_text(term, cells[c], l->widths[c]);
		at += l->widths[c] + GAP;
	}
	print_last(term, l, cells[t->nr_columns - 1], column, is_head);
	fputc('\n', term->out);
}

/* Those of one row, from *at on. */
static void print_notes(const struct ct_table *t, const struct ct_term *term, size_t row,
			size_t *at)
{
	for (; *at < t->nr_notes && t->notes[*at].row == row; (*at)++) {
		ct_style_on(term, CT_DIM);
		fprintf(term->out, "%*s", OWN_LINE_INDENT, "");
		ct_print_text(term, t->notes[*at].text, term->width - OWN_LINE_INDENT);
		ct_style_off(term, CT_DIM);
		fputc('\n', term->out);
	}
}

static void free_all(struct ct_table *t)
{
	for (size_t i = 0; i < t->nr_cells; i++)
		free(t->cells[i]);
	for (size_t i = 0; i < t->nr_notes; i++)
		free(t->notes[i].text);
	free(t->cells);
	free(t->notes);
}

void ct_table_print(struct ct_table *t, const struct ct_term *term)
{
	const char *row[CT_TABLE_COLUMNS];
	struct layout l;
	size_t note = 0;

	lay_out(t, term, &l);
	for (size_t c = 0; c < t->nr_columns; c++)
		row[c] = t->heads[c] + 1;
	ct_style_on(term, CT_DIM);
	print_row(t, term, &l, row, true);
	ct_style_off(term, CT_DIM);
	for (size_t i = 0; i + t->nr_columns <= t->nr_cells; i += t->nr_columns) {
		for (size_t c = 0; c < t->nr_columns; c++)
			row[c] = cell(t, i + c);
		print_row(t, term, &l, row, false);
		print_notes(t, term, i / t->nr_columns, &note);
	}
	free_all(t);
}
