/* SPDX-License-Identifier: MIT */
/*
 * Where saved pages are kept: slots of 4 KiB, counted references, in chunks of
 * 2 MiB of one reserved range of addresses.  Addresses of slots stay valid for the
 * store's life: reading one that was given back yields zeros or another page,
 * never a crash, so that readers need no lock (they ask afterwards whether what they
 * read was still theirs).
 *
 * Everything but _init and _fini may run in a signal handler, signals blocked.
 */
#ifndef CT_SNAPSHOT_STORE_H
#define CT_SNAPSHOT_STORE_H

#include "snapshot/lock.h"

#define CT_SNAP_SLOT_NONE 0u
/* A page of zeros, of which there is only this one, not counted. */
#define CT_SNAP_SLOT_ZERO 1u

#define CT_SNAP_CHUNK_NONE UINT32_MAX

struct ct_snap_chunk {
	u64 free[CT_HUGE_PAGES / 64]; /* slots that may be given out */
	u64 dead[CT_HUGE_PAGES / 64]; /* no reference left; memory not given back yet */
	u32 next_free, next_dead;     /* lists of chunks */
	u16 nr_free;
	u16 populated; /* the first slots that have memory, of a chunk never used */
	bool on_free, on_dead, huge;
	_Atomic u16 refs[CT_HUGE_PAGES];
};

struct ct_snap_store {
	_Atomic u32 lock;
	char *base; /* of slot 0 */
	size_t base_len;
	struct ct_snap_chunk *chunks;
	size_t chunks_len; /* bytes */
	u64 nr_chunks;	   /* so many have been opened */
	u64 max_chunks;
	u64 max_pages;
	u32 current, free_head, dead_head;
	_Atomic u64 used_pages;
	_Atomic u64 peak_pages;
	_Atomic u32 freed; /* changes with every giving back: a futex */
};

/*
 * @heap_pages: of the heap; its store can hold it COWTRACE_MAX_SNAPSHOTS times
 * where addresses permit, and at most @max_pages.  0 or -ENOMEM.
 */
int ct_snap_store_init(struct ct_snap_store *st, u64 heap_pages, u64 max_pages);
void ct_snap_store_fini(struct ct_snap_store *st);

static inline char *ct_snap_store_at(const struct ct_snap_store *st, u32 slot)
{
	return st->base + ((size_t)slot << CT_PAGE_SHIFT);
}

/*
 * Gives out up to nr slots, each with refs references; returns how many.
 * @many: as many again will be wanted soon.
 */
u32 ct_snap_store_get(struct ct_snap_store *st, u32 nr, u16 refs, bool many, u32 *slots);

/* Takes one reference away.  The memory goes back at the next _give_back(). */
void ct_snap_store_put(struct ct_snap_store *st, u32 slot);

/* Returns to the system what has no reference, and wakes who waits for room. */
void ct_snap_store_give_back(struct ct_snap_store *st);

#endif
