/* SPDX-License-Identifier: MIT */
/*
 * Call sites that would look alike in a list: one function and line, called by the
 * same few functions, on one side.  They differ in a caller's line, or further up.
 */
#ifndef CT_CLI_SITE_GROUPS_H
#define CT_CLI_SITE_GROUPS_H

#include <cowtrace/report.h>

#include "base/base.h"

struct ct_site_memory {
	const char *kind, *name; /* as in struct cowtrace_site_region; no folders */
	u64 first_writes;
};

struct ct_site_group {
	const struct cowtrace_write_site *site; /* one of them, for its words */
	char *callers; /* "memcpy < sdsnewlen < createObject": from the leaf to some callers */
	size_t nr_sites;
	u64 first_writes, copies, reuses, zero_filled, unknown, stall_ns; /* of all */
	struct ct_site_memory *memories;				  /* most first */
	size_t nr_memories;
	u32 *steps;
};

struct ct_site_groups {
	struct ct_site_group *v;
	size_t nr;
};

/* Groups all write sites of r, in the order of sort.  0, -ENOMEM (nothing to free then). */
int ct_site_groups_make(const struct cowtrace_report *r, enum cowtrace_report_sort sort,
			struct ct_site_groups *ret);
void ct_site_groups_fini(struct ct_site_groups *g);

/* A line that is put together; what does not fit is cut off. */
struct ct_line {
	char text[600];
	size_t len;
};

void ct_line_add(struct ct_line *l, const char *fmt, ...) ct_printf(2, 3);
/* A name of the traced program's: any length, cut to a width that leaves room for others. */
void ct_line_add_name(struct ct_line *l, const char *before, const char *name);

#endif
