/* SPDX-License-Identifier: MIT */
/* What the place that text goes to can show. */
#ifndef CT_CLI_TERM_H
#define CT_CLI_TERM_H

#include <stdio.h>

#include "base/base.h"

struct ct_term {
	FILE *out;
	int width; /* columns */
	bool color;
};

/*
 * Looks at out: width of the terminal ($COLUMNS, else 100, where it is none);
 * colour on a terminal unless NO_COLOR is set or TERM is dumb.
 */
void ct_term_init(struct ct_term *t, FILE *out);

enum ct_style { CT_PLAIN, CT_BOLD, CT_DIM, CT_WARN, CT_BAD };

void ct_style_on(const struct ct_term *t, enum ct_style s);
void ct_style_off(const struct ct_term *t, enum ct_style s);

/* Columns that text takes (UTF-8; every character counts one). */
int ct_text_width(const char *s);

/*
 * Prints at most `columns` of s, its end cut to "..." where it does not fit.
 * What a terminal would act on (control characters) becomes '?': names come from
 * the traced program.  Returns the columns taken.
 */
int ct_print_text(const struct ct_term *t, const char *s, int columns);

/* The same in a style, formatted and whole. */
void ct_printf_styled(const struct ct_term *t, enum ct_style style, const char *fmt, ...)
	ct_printf(3, 4);

/* A paragraph: words wrapped at the width, each line behind `indent` spaces. */
void ct_print_wrapped(const struct ct_term *t, int indent, const char *s);

#endif
