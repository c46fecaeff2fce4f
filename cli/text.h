/* SPDX-License-Identifier: MIT */
/* The text report, one section a function; each prints nothing when it has nothing. */
#ifndef CT_CLI_TEXT_H
#define CT_CLI_TEXT_H

#include <cowtrace/report.h>

#include "site_groups.h"
#include "term.h"

struct ct_text_report {
	struct ct_term term;
	const struct cowtrace_report *r;
	const char *path;
	size_t top;	  /* rows of a list */
	const char *side; /* of call sites; NULL both */
	enum cowtrace_report_sort sort;
	struct ct_site_groups sites;
	bool filtered; /* some forks were left out on request */
	bool bounds;   /* no page frames: copies are known in bounds, and not by side */
	bool unknown;  /* some pages are: a column of their own */
	bool huge;     /* some pages are huge: the same */
};

/* -ENOMEM, or 0. */
int ct_text_print(struct ct_text_report *t);

/* "FORKS", an empty line before it. */
ct_printf(2, 3) void ct_text_heading(const struct ct_text_report *t, const char *fmt, ...);
/* "  ... 12 more", when rows were left out. */
void ct_text_more(const struct ct_text_report *t, size_t shown, size_t all, const char *what);

void ct_text_summary(const struct ct_text_report *t);
void ct_text_sites(const struct ct_text_report *t);
void ct_text_sites_time(const struct ct_text_report *t);
void ct_text_thp(const struct ct_text_report *t);
void ct_text_verdicts(const struct ct_text_report *t);
void ct_text_groups(const struct ct_text_report *t);
void ct_text_forks(const struct ct_text_report *t);
void ct_text_regions(const struct ct_text_report *t);
void ct_text_growth(const struct ct_text_report *t);
void ct_text_reconcile(const struct ct_text_report *t);
void ct_text_processes(const struct ct_text_report *t);
void ct_text_notes(const struct ct_text_report *t);

#endif
