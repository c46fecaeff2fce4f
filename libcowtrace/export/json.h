/* SPDX-License-Identifier: MIT */
/* A report as JSON: the keys are fixed, docs/report-json.md documents them. */
#ifndef CT_EXPORT_JSON_H
#define CT_EXPORT_JSON_H

#include <stdio.h>

#include <cowtrace/report.h>

/* Raised when a key goes or changes its meaning; not when one is added. */
#define CT_JSON_SCHEMA_VERSION 1

/*
 * Writes r to out as one JSON object and a newline.  Streams: memory does not
 * grow with the trace.  0, -ENOMEM, or -EIO when out took an error (errno says
 * which).
 */
int ct_export_json(const struct cowtrace_report *r, FILE *out);

#endif
