/* SPDX-License-Identifier: MIT */
/* One chunk of an image: 2 MiB of entries, for image.c alone. */
#ifndef CT_CENSUS_CHUNK_H
#define CT_CENSUS_CHUNK_H

#include "census/image.h"

/* What one pass over the entries of a chunk tells. */
struct ct_survey {
	u32 pages, swapped;
	struct ct_window win;
	bool run;  /* 512 frames in a row */
	bool wide; /* some entry has more than 32 bits */
};

/* e[from..to) of a whole chunk; what lies outside is NONE. */
struct ct_survey ct_chunk_survey(const ct_ent *e, u32 from, u32 to);

/*
 * One reference to a chunk of these 512 entries (s: the survey of them, with at least one
 * page).  base (NULL: none) is what lay there before: returned itself where nothing has
 * changed, kept and referred to where little has.  NULL: no memory.
 */
struct ct_chunk *ct_chunk_create(const ct_ent *e, const struct ct_survey *s, bool huge,
				 struct ct_chunk *base);
struct ct_chunk *ct_chunk_ref(struct ct_chunk *c);
void ct_chunk_unref(struct ct_chunk *c);

ct_ent ct_chunk_get(const struct ct_chunk *c, u32 i);

#endif
