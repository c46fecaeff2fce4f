/* SPDX-License-Identifier: MIT */
/*
 * Snapshots as things with an owner and users: handles, their tables, their end.
 *
 * A release in the midst of other threads' calls takes effect for the writers at
 * once (nothing more is saved for it) and frees when the last call ends.  Handles are
 * used again in the order in which they were released, so that a use after release
 * meets a handle that says so for as long as possible.
 *
 * What holds always: a handle's slots are freed once, whoever comes first: each entry
 * is exchanged for NONE by the one that takes its reference away.
 */
#include <errno.h>
#include <string.h>

#include "snapshot/heap.h"
#include "snapshot/map.h"

/* A table of no more pages than this is kept as it is for the next snapshot. */
#define SPARE_LEAVES 16

static size_t slots_len(const struct cowtrace_heap *h)
{
	return ct_page_up(h->nr_pages * sizeof(u32));
}

static u64 nr_leaves(const struct cowtrace_heap *h)
{
	return (h->nr_pages + CT_SNAP_LEAF_PAGES - 1) / CT_SNAP_LEAF_PAGES;
}

static size_t table_len(const struct cowtrace_heap *h)
{
	return slots_len(h) + ct_page_up(ct_snap_bits_words(nr_leaves(h)) * sizeof(u64));
}

struct cowtrace_snapshot *ct_snap_handle_new(struct cowtrace_heap *h, int *ret_err)
{
	struct cowtrace_snapshot *s;
	char *table;

	*ret_err = -EAGAIN;
	if (!h->nr_idle)
		return NULL;
	*ret_err = -ENOMEM;
	table = h->spare_table ? h->spare_table : ct_snap_map_table(table_len(h));
	h->spare_table = NULL;
	if (!table)
		return NULL;
	s = &h->handles[h->idle[h->idle_head]];
	h->idle_head = (h->idle_head + 1) % CT_SNAP_NR_HANDLES;
	h->nr_idle--;
	s->slots = (_Atomic u32 *)table;
	s->leaves = (_Atomic u64 *)(table + slots_len(h));
	return s;
}

static bool leaf_is_used(const struct cowtrace_snapshot *s, u64 leaf)
{
	return atomic_load_explicit(&s->leaves[leaf / 64], memory_order_acquire) >> (leaf % 64) & 1;
}

/* Puts all slots; how many leaves of the table have been written. */
static u64 put_all(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;
	u64 nr = 0;

	for (u64 leaf = 0; leaf < nr_leaves(h); leaf++) {
		u64 page = leaf * CT_SNAP_LEAF_PAGES;
		u64 end = ct_min(page + CT_SNAP_LEAF_PAGES, h->nr_pages);

		if (!leaf_is_used(s, leaf))
			continue;
		nr++;
		for (; page < end; page++)
			if (atomic_load_explicit(&s->slots[page], memory_order_relaxed))
				ct_snap_store_put(&h->store, atomic_exchange(&s->slots[page],
									     CT_SNAP_SLOT_NONE));
	}
	ct_snap_store_give_back(&h->store);
	return nr;
}

void ct_snap_slots_put(struct cowtrace_snapshot *s)
{
	put_all(s);
}

void ct_snap_handle_empty(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;

	ct_snap_view_end(s);
	/* It is all NONE now.  What has grown goes back to the system. */
	if (put_all(s) > SPARE_LEAVES)
		ct_sys3(SYS_madvise, s->slots, table_len(h), MADV_DONTNEED);
	else
		memset((void *)s->leaves, 0, ct_snap_bits_words(nr_leaves(h)) * sizeof(u64));
}

void ct_snap_handle_free(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;

	if (h->spare_table)
		ct_snap_unmap((void *)s->slots, table_len(h));
	else
		h->spare_table = (void *)s->slots;
	s->slots = NULL;
	h->idle[(h->idle_head + h->nr_idle) % CT_SNAP_NR_HANDLES] = (u16)(s - h->handles);
	h->nr_idle++;
}

void ct_snap_spare_free(struct cowtrace_heap *h)
{
	ct_snap_unmap(h->spare_table, table_len(h));
	h->spare_table = NULL;
}

int ct_snap_state(const struct cowtrace_snapshot *s)
{
	u32 v = atomic_load_explicit(&s->users, memory_order_acquire);

	if (v & CT_SNAP_RELEASED)
		return -EBADF;
	return v & CT_SNAP_GIVEN_UP ? -ESTALE : 0;
}

int ct_snap_get(struct cowtrace_snapshot *s)
{
	u32 v;
	int err;

	if (!s)
		return -EINVAL;
	err = ct_snap_heap_check(s->heap);
	if (err)
		return err;
	v = atomic_load_explicit(&s->users, memory_order_relaxed);
	do {
		if (v & CT_SNAP_RELEASED)
			return -EBADF;
		if (v & CT_SNAP_GIVEN_UP)
			return -ESTALE;
	} while (!atomic_compare_exchange_weak_explicit(&s->users, &v, v + 1, memory_order_acquire,
							memory_order_relaxed));
	return 0;
}

void ct_snap_put(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;
	u32 v = atomic_fetch_sub_explicit(&s->users, 1, memory_order_acq_rel) - 1;
	u64 sig;

	if (v & CT_SNAP_USERS)
		return;
	sig = ct_snap_signals_block();
	ct_snap_handle_empty(s);
	ct_snap_lock(&h->take);
	ct_snap_handle_free(s);
	ct_snap_unlock(&h->take);
	ct_snap_signals_restore(sig);
}

void ct_snap_unlink(struct cowtrace_snapshot *s)
{
	struct cowtrace_heap *h = s->heap;
	u32 nr = h->nr_alive, i = 0;

	while (i < nr && h->alive[i] != s)
		i++;
	if (i == nr)
		return;
	ct_snap_gate_close(&h->gate);
	for (; i + 1 < nr; i++)
		h->alive[i] = h->alive[i + 1];
	h->nr_alive = nr - 1;
	ct_snap_gate_open(&h->gate);
}

void cowtrace_snapshot_release(struct cowtrace_snapshot *snap)
{
	struct cowtrace_heap *h;
	u64 sig;

	if (!snap || ct_snap_heap_check(snap->heap))
		return;
	if (atomic_fetch_or(&snap->users, CT_SNAP_RELEASED) & CT_SNAP_RELEASED)
		return;
	h = snap->heap;
	sig = ct_snap_signals_block();
	ct_snap_lock(&h->take);
	ct_snap_unlink(snap);
	ct_snap_unlock(&h->take);
	ct_snap_signals_restore(sig);
	ct_snap_put(snap);
}

size_t cowtrace_snapshot_len(const struct cowtrace_snapshot *snap)
{
	return snap->heap->len;
}
