/* SPDX-License-Identifier: MIT */
/* How the parts of a JSON report are written: between json.c, json_writes.c and sink.c. */
#ifndef CT_EXPORT_SINK_H
#define CT_EXPORT_SINK_H

#include <jansson.h>
#include <stdio.h>

#include <cowtrace/report.h>

#include "base/base.h"

/* Where rows go, and whether one of them failed. */
struct ct_sink {
	FILE *out;
	bool not_first; /* in the array that is open */
	bool no_memory;
};

/* Values.  NULL without memory, which whoever takes them over notes. */
json_t *ct_json_text(const char *s);
json_t *ct_json_text_or_null(const char *s);
json_t *ct_json_count(u64 v);	    /* null: unknown */
json_t *ct_json_id_or_null(u32 id); /* 0 is none */

/* A key of o.  v is taken over. */
void ct_json_set(struct ct_sink *k, json_t *o, const char *key, json_t *v);
void ct_json_set_count(struct ct_sink *k, json_t *o, const char *key, u64 v);
void ct_json_set_text(struct ct_sink *k, json_t *o, const char *key, const char *s);

/* A key of the report itself: an array, row by row, or one value. */
void ct_json_begin_array(struct ct_sink *k, const char *key);
void ct_json_put_row(struct ct_sink *k, json_t *row);
void ct_json_end_array(struct ct_sink *k);
void ct_json_put_pair(struct ct_sink *k, const char *key, json_t *v);

/* The keys writes, sites, site_regions, thp_losses and agreement (json_writes.c). */
void ct_json_put_writes(struct ct_sink *k, const struct cowtrace_report *r);

#endif
