/* SPDX-License-Identifier: MIT */
/*
 * A hash of blocks.  It does not know what the values mean.
 *
 * Invariant: a value once set stays.
 */
#include <stdlib.h>
#include <string.h>

#include "recorder/firsts.h"

struct ct_firsts_block {
	u64 key;
	u8 v[CT_HUGE_PAGES];
};

void ct_firsts_fini(struct ct_firsts *f)
{
	u32 i;

	for (i = 0; i < f->cap; i++)
		free(f->v[i]);
	free(f->v);
	memset(f, 0, sizeof(*f));
}

static u32 place_of(struct ct_firsts_block *const *v, u32 cap, u64 key)
{
	u32 i = (u32)((key * 0x9e3779b97f4a7c15ULL) >> 40) & (cap - 1);

	while (v[i] && v[i]->key != key)
		i = (i + 1) & (cap - 1);
	return i;
}

u8 ct_firsts_get(const struct ct_firsts *f, u64 page)
{
	const struct ct_firsts_block *b;

	if (!f->cap)
		return 0;
	b = f->v[place_of(f->v, f->cap, page / CT_HUGE_PAGES)];
	return b ? b->v[page % CT_HUGE_PAGES] : 0;
}

bool ct_firsts_any(const struct ct_firsts *f, u64 page)
{
	return f->cap && f->v[place_of(f->v, f->cap, page / CT_HUGE_PAGES)];
}

static bool grow(struct ct_firsts *f)
{
	u32 i, cap = f->cap ? f->cap * 2 : 32;
	struct ct_firsts_block **v = calloc(cap, sizeof(struct ct_firsts_block *));

	if (!v)
		return false;
	for (i = 0; i < f->cap; i++)
		if (f->v[i])
			v[place_of(v, cap, f->v[i]->key)] = f->v[i];
	free(f->v);
	f->v = v;
	f->cap = cap;
	return true;
}

bool ct_firsts_add(struct ct_firsts *f, u64 page, u8 value)
{
	const u64 key = page / CT_HUGE_PAGES;
	struct ct_firsts_block **at;

	if (f->nr * 2 >= f->cap && !grow(f))
		return false;
	at = &f->v[place_of(f->v, f->cap, key)];
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return false;
		(*at)->key = key;
		f->nr++;
	}
	if ((*at)->v[page % CT_HUGE_PAGES])
		return false;
	(*at)->v[page % CT_HUGE_PAGES] = value;
	return true;
}
