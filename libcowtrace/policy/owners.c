/* SPDX-License-Identifier: MIT */
/*
 * The two owner slots of a large folio, as Linux 6.15 keeps them ("mm/rmap: basic
 * MM owner tracking for large folios", 6af8cb80d3a9).  Not a count of the
 * processes that map a folio: the third is not remembered.
 *
 * Invariant: a slot with an id has at least one entry, and no slot's count
 * exceeds the total.
 * Read in: 7.1.5 include/linux/rmap.h, 64-bit (counts never overflow).
 */
#include <cowtrace/policy.h>

#include "base/base.h"

static int slot_of(const struct cowtrace_owners *own, u32 id)
{
	if (own->id[0] == id)
		return 0;
	return own->id[1] == id ? 1 : -1;
}

ct_public void cowtrace_owners_map(struct cowtrace_owners *own, u32 id, u32 nr)
{
	int slot = slot_of(own, id);

	if (slot < 0)
		slot = slot_of(own, 0);
	if (slot >= 0 && !own->id[slot]) {
		/* The first slot is claimed unshared only while nobody maps the folio. */
		if (slot == 1 || own->total)
			own->shared = true;
		own->id[slot] = id;
		own->count[slot] = 0;
	}
	own->total += nr;
	if (slot >= 0)
		own->count[slot] += nr;
}

ct_public void cowtrace_owners_unmap(struct cowtrace_owners *own, u32 id, u32 nr)
{
	int slot = slot_of(own, id);

	own->total -= ct_min(nr, own->total);
	if (slot >= 0) {
		own->count[slot] -= ct_min(nr, own->count[slot]);
		if (own->count[slot])
			return;
		own->id[slot] = 0;
	}
	/* A free slot counts nothing, so it equals the total only when that is nothing. */
	if (own->count[0] == own->total || own->count[1] == own->total)
		own->shared = false;
}
