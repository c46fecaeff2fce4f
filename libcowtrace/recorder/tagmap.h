/* SPDX-License-Identifier: MIT */
/*
 * The tags of one process: who mapped which memory, from where, with which
 * advice.  A map of disjoint ranges, shared by a parent and its children until
 * one of them changes it.
 */
#ifndef CT_RECORDER_TAGMAP_H
#define CT_RECORDER_TAGMAP_H

#include "store/record.h"

struct ct_tag {
	u64 start, end; /* bytes */
	u64 t_ns;	/* since the recording began */
	u32 site;
	u32 name; /* interned (names.h); 0 none */
	u8 kind;  /* enum ct_kind, where the call tells it */
	u8 thp, ksm, fork_advice;
	/* False: nobody saw it mapped; it is here for its advice or its name only. */
	bool mapped;
	bool named; /* by cowtrace_region_tag() */
};

/* More ranges than a process can have VMAs, by default; what comes then has no tag. */
#define CT_TAGS_MAX (1u << 16)

struct ct_tagmap;

struct ct_tagmap *ct_tagmap_create(void);
struct ct_tagmap *ct_tagmap_ref(struct ct_tagmap *m);
void ct_tagmap_unref(struct ct_tagmap *m); /* NULL is fine */

/*
 * Each takes the caller's reference of *m and leaves another map there where the
 * old one was shared.  0, or -ENOMEM (then *m is as it was), or -ENOSPC: beyond
 * CT_TAGS_MAX, what the range overlaps has lost its tag.
 */
int ct_tagmap_set(struct ct_tagmap **m, const struct ct_tag *tag);
int ct_tagmap_clear(struct ct_tagmap **m, u64 start, u64 end);
int ct_tagmap_move(struct ct_tagmap **m, u64 from, u64 from_end, u64 to);
/* The tag that ends at addr, if there is one, goes on for len bytes. */
int ct_tagmap_grow(struct ct_tagmap **m, u64 addr, u64 len);

/*
 * Lets fn change every tag of [start, end), cut to that range; memory without a
 * tag gets one first, with mapped false.  -ENOSPC: nothing changed.
 */
int ct_tagmap_change(struct ct_tagmap **m, u64 start, u64 end,
		     void (*fn)(struct ct_tag *tag, const void *arg), const void *arg);

/* Tags that overlap [start, end): a slice of the array, ascending. */
const struct ct_tag *ct_tagmap_find(const struct ct_tagmap *m, u64 start, u64 end, u32 *ret_nr);

/* Changes whenever the map does. */
u64 ct_tagmap_version(const struct ct_tagmap *m);

#endif
