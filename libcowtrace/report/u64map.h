/* SPDX-License-Identifier: MIT */
/* Numbers for keys, in the order in which the keys come: 0, 1, 2, ... */
#ifndef CT_REPORT_U64MAP_H
#define CT_REPORT_U64MAP_H

#include "base/base.h"

/* Zero-initialise. */
struct ct_u64map {
	u64 *keys;
	u32 *numbers; /* plus one; 0: the place is free */
	u32 nr, cap;  /* cap: a power of two */
};

/* The number of key, a new one where there was none.  0, -ENOMEM. */
int ct_u64map_get(struct ct_u64map *m, u64 key, u32 *ret_number);

/* All keys, each at its number.  The caller frees.  NULL: no memory. */
u64 *ct_u64map_keys(const struct ct_u64map *m);

void ct_u64map_fini(struct ct_u64map *m);

#endif
