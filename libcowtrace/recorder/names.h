/* SPDX-License-Identifier: MIT */
/* Interned strings: names of tags and VMAs, each kept once for the whole recording. */
#ifndef CT_RECORDER_NAMES_H
#define CT_RECORDER_NAMES_H

#include "base/base.h"

/* A program that names its memory anew for ever does not fill ours. */
#define CT_NAMES_MAX (1u << 16)

struct ct_names;

struct ct_names *ct_names_create(void);
void ct_names_destroy(struct ct_names *n);

/* Id of a string, from 1; 0 for "", when memory is short, and beyond CT_NAMES_MAX. */
u32 ct_names_id(struct ct_names *n, const char *s);
/* The string; "" for 0.  Lives as long as n. */
const char *ct_names_get(const struct ct_names *n, u32 id);

#endif
