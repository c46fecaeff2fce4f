/* SPDX-License-Identifier: MIT */
/*
 * Pages of one side of a fork that have been written for the first time, and what
 * is known of who wrote each: one byte a page, in blocks of 2 MiB.  A million
 * scattered writes in 16 GiB take 4 MiB.
 */
#ifndef CT_RECORDER_FIRSTS_H
#define CT_RECORDER_FIRSTS_H

#include "base/base.h"

/* Zero-initialise. */
struct ct_firsts {
	struct ct_firsts_block **v; /* open addressing by key; NULL: empty */
	u32 nr, cap;
};

void ct_firsts_fini(struct ct_firsts *f);

/* The value (not 0) of a page; 0: not written, as far as anybody saw. */
u8 ct_firsts_get(const struct ct_firsts *f, u64 page);

/* Has any page of its 2 MiB a value? */
bool ct_firsts_any(const struct ct_firsts *f, u64 page);

/* Sets what has no value yet.  False: page had one (then nothing changes), or no memory. */
bool ct_firsts_add(struct ct_firsts *f, u64 page, u8 value);

#endif
