/* SPDX-License-Identifier: MIT */
/* Tables of text that are as wide as they must be, and no wider than the terminal. */
#ifndef CT_CLI_TABLE_H
#define CT_CLI_TABLE_H

#include "term.h"

#define CT_TABLE_COLUMNS 16

struct ct_table {
	/*
	 * "<name" is left, ">name" right aligned; ")name" too, and left out where the
	 * terminal is narrow.  The last column takes the rest of a line, or a line of
	 * its own where that is too little for it.
	 */
	const char *heads[CT_TABLE_COLUMNS];
	size_t nr_columns;
	char **cells; /* row by row; NULL: no memory, prints as "" */
	size_t nr_cells, cap;
	/* Lines below rows: ascending by row. */
	struct ct_table_note *notes;
	size_t nr_notes;
};

struct ct_table_note {
	size_t row;
	char *text;
};

/* Starts a table with these heads, NULL at the end. */
void ct_table_init(struct ct_table *t, const char *const *heads);

/* Starts an empty table; columns are added before the first cell. */
void ct_table_head(struct ct_table *t, const char *head);

/* The next cell; a row is nr_columns of them. */
void ct_table_cell(struct ct_table *t, const char *fmt, ...) ct_printf(2, 3);

/* A line of its own below the row that was filled last; any number of them. */
void ct_table_note(struct ct_table *t, const char *fmt, ...) ct_printf(2, 3);

/* Prints all rows and frees them. */
void ct_table_print(struct ct_table *t, const struct ct_term *term);

#endif
