/* SPDX-License-Identifier: MIT */
/*
 * For the census's tests: numbers that are the same in every run, and images
 * made from plain arrays.
 */
#ifndef CENSUS_UTIL_H
#define CENSUS_UTIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "census/image.h"

/* xorshift64*: a test that fails fails again. */
static inline u64 rnd(u64 *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dULL;
}

static inline u64 below(u64 *state, u64 n)
{
	return rnd(state) % n;
}

/* The image of e[0..nr), page 0 first; chunk i is huge where huge[i] says so (may be NULL). */
static inline struct ct_image *image_of(const ct_ent *e, u64 nr, const bool *huge,
					const struct ct_image *base)
{
	struct ct_image_builder b;
	struct ct_image *img;
	u64 i;

	assert_int_equal(ct_image_begin(&b, base), 0);
	for (i = 0; i < nr; i++)
		if (e[i] != CT_ENT_NONE)
			ct_image_add(&b, i, e[i], huge && huge[i / CT_HUGE_PAGES]);
	assert_int_equal(ct_image_finish(&b, &img), 0);
	return img;
}

#endif
