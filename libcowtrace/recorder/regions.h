/* SPDX-License-Identifier: MIT */
/*
 * The private memory of a process at a fork, cut into regions: what its maps
 * show, refined by the tags.  A set is shared by everybody who was there.
 */
#ifndef CT_RECORDER_REGIONS_H
#define CT_RECORDER_REGIONS_H

#include "census/compare.h"
#include "census/reading.h"
#include "recorder/names.h"
#include "recorder/sites.h"
#include "recorder/tagmap.h"
#include "sys/maps.h"

struct ct_region {
	u64 start, end; /* bytes */
	u64 t_ns;
	u32 name; /* interned */
	u32 site;
	u8 kind, thp, ksm, fork_advice;
	bool tagged;
};

struct ct_regionset {
	u32 refs;
	u32 nr;
	struct ct_region *v;
	struct ct_page_run *runs; /* the same ranges in pages, for ct_compare */
};

struct ct_region_inputs {
	const struct ct_maps *maps;
	const struct ct_tagmap *tags;
	const struct ct_own_range *own; /* memory of ours: no region */
	size_t nr_own;
	const struct ct_modules *modules;
	const struct ct_sites *sites;
	struct ct_names *names;
	u8 process_thp, process_ksm; /* what prctl set for the whole process */
	u64 t_ns;		     /* now, for what is found */
};

/* One reference, or NULL without memory. */
struct ct_regionset *ct_regionset_create(const struct ct_region_inputs *in);
struct ct_regionset *ct_regionset_ref(struct ct_regionset *s);
void ct_regionset_unref(struct ct_regionset *s); /* NULL is fine */

#endif
