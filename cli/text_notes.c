/* SPDX-License-Identifier: MIT */
/*
 * The notes that the recorder left: what it could not see, and why.  The same
 * for three hundred processes is one line.
 */
#include <string.h>

#include "format.h"
#include "text.h"

#define MAX_KINDS 100

/* Notes of one code and severity: the same for many processes is one line. */
struct kind {
	const struct cowtrace_note *first;
	size_t nr;
};

static struct kind *find_kind(struct kind *kinds, size_t *nr, const struct cowtrace_note *n)
{
	for (size_t i = 0; i < *nr; i++)
		if (!strcmp(kinds[i].first->code, n->code) &&
		    !strcmp(kinds[i].first->severity, n->severity))
			return &kinds[i];
	if (*nr == MAX_KINDS)
		return NULL;
	kinds[*nr] = (struct kind){ .first = n };
	return &kinds[(*nr)++];
}

static void print_kind(const struct ct_text_report *t, const struct kind *k)
{
	enum ct_style style = strcmp(k->first->severity, "info") ? CT_WARN : CT_PLAIN;
	char text[1024];
	int at = snprintf(text, sizeof(text), "%.20s: ", k->first->severity);

	if (k->first->pid)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "pid %d: ", k->first->pid);
	at += snprintf(text + at, sizeof(text) - (size_t)at, "%.800s", k->first->text);
	if (k->nr > 1)
		snprintf(text + at, sizeof(text) - (size_t)at, " (and %s more of this kind)",
			 ct_format_count(k->nr - 1).s);
	ct_style_on(&t->term, style);
	ct_print_wrapped(&t->term, 2, text);
	ct_style_off(&t->term, style);
}

void ct_text_notes(const struct ct_text_report *t)
{
	struct kind kinds[MAX_KINDS];
	size_t nr = 0;

	for (size_t i = 0; i < cowtrace_report_nr_notes(t->r); i++) {
		struct kind *k = find_kind(kinds, &nr, cowtrace_report_note(t->r, i));

		if (k)
			k->nr++;
	}
	if (nr)
		ct_text_heading(t, "NOTES");
	for (size_t i = 0; i < nr; i++)
		print_kind(t, &kinds[i]);
}
