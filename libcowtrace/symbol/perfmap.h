/* SPDX-License-Identifier: MIT */
/* /tmp/perf-PID.map: the names that a JIT compiler gives to its code. */
#ifndef CT_SYMBOL_PERFMAP_H
#define CT_SYMBOL_PERFMAP_H

#include "base/base.h"

struct ct_perfmap_entry {
	u64 start;
	u64 end;
	u32 order;	  /* line number: a later entry replaces an earlier one */
	const char *name; /* in text */
};

struct ct_perfmap {
	char *text;
	struct ct_perfmap_entry *entries; /* by start, then by order */
	size_t nr;
	u64 longest; /* of an entry, bytes */
};

/*
 * Reads a map.  Lines that are no "START SIZE NAME" (hex) are passed over: a
 * map is often torn at its end.  0; -errno of open and read; -ENOMEM; -EFBIG past 1 GiB.
 */
int ct_perfmap_load(const char *path, struct ct_perfmap *ret);

/* The newest entry that holds addr, or NULL. */
const struct ct_perfmap_entry *ct_perfmap_find(const struct ct_perfmap *m, u64 addr);

void ct_perfmap_fini(struct ct_perfmap *m);

#endif
