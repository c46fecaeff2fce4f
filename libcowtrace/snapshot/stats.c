/* SPDX-License-Identifier: MIT */
/* What a heap has counted, for its owner; single values, not one instant's. */
#include <errno.h>
#include <string.h>

#include "snapshot/heap.h"

static void fill(struct cowtrace_heap *h, struct cowtrace_heap_stats *st)
{
	const struct ct_snap_counters *c = &h->count;

	*st = (struct cowtrace_heap_stats){
		.takes = c->takes,
		.take_ns = c->take_ns,
		.last_take_ns = c->last_take_ns,
		.last_pause_ns = c->last_pause_ns,
		.max_pause_ns = c->max_pause_ns,
		.protected_pages = c->protected_pages,
		.faults = c->faults,
		.batches = c->batches,
		.reused_pages = c->reused_pages,
		.saved_pages = c->saved_pages,
		.saved_zero_pages = c->saved_zero_pages,
		.prepared_pages = c->prepared_pages,
		.view_pages = c->view_pages,
		.reread_pages = c->reread_pages,
		.stalls = c->stalls,
		.stall_ns = c->stall_ns,
		.invalidated = c->invalidated,
		.peak_saved = h->store.peak_pages << CT_PAGE_SHIFT,
		.saved = h->store.used_pages << CT_PAGE_SHIFT,
		.metadata = h->tables_len + h->store.nr_chunks * sizeof(struct ct_snap_chunk) +
			    CT_SNAP_NR_HANDLES * sizeof(struct cowtrace_snapshot) +
			    h->nr_alive * h->nr_pages * sizeof(u32),
		.snapshots = h->nr_alive,
		.kernel_faults = h->uffd.kernel_faults,
		.dirty_pages = ct_snap_bits_count(&h->dirty),
	};
}

int cowtrace_heap_stats(struct cowtrace_heap *heap, struct cowtrace_heap_stats *ret)
{
	struct cowtrace_heap_stats st;
	int err = ct_snap_heap_check(heap);
	size_t sz;

	if (err)
		return err;
	if (!ret || ret->sz < sizeof(size_t))
		return -EINVAL;
	sz = ct_min(ret->sz, sizeof(st));
	fill(heap, &st);
	st.sz = ret->sz;
	memcpy(ret, &st, sz);
	return 0;
}
