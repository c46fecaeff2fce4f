/* SPDX-License-Identifier: MIT */
/*
 * Taking a snapshot: protect what is writable, and call that an instant.
 *
 * Whoever meets protection while the gate is closed waits until it opens.  So the
 * writes that were made are those made before their page was protected, and none
 * that was made knows of one that waits: the instant is when the last range is
 * protected.
 *
 * Before the gate closes, most is protected already, unit by unit; then only what was
 * written meanwhile is left.  That is as right as having done it a while ago: to be
 * protected and to belong to a snapshot are two things.
 *
 * What holds always: a page is in the dirty set, or it is protected.  (Both, for a
 * moment, when protecting failed: it is then protected again.)
 */
#include <errno.h>

#include "snapshot/heap.h"
#include "snapshot/map.h"
#include "sys/pagemap.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/*
 * A run of protected pages so short costs less to protect again than a call of its
 * own: 0.13 us a page, 0.7 us a call.
 */
#define GAP_PAGES 4
/* So much is worth protecting ahead. */
#define AHEAD 64

/* The run of dirty pages at or after *from, short gaps included.  False: none. */
static bool next_run(struct cowtrace_heap *h, u64 *from, u64 to, u64 *ret_end)
{
	u64 start = ct_snap_bits_next(&h->dirty, *from, to), end, next, near;

	if (start >= to)
		return false;
	for (next = start;;) {
		end = ct_snap_bits_next_clear(&h->dirty, next, to);
		near = ct_min(end + GAP_PAGES + 1, to);
		next = ct_snap_bits_next(&h->dirty, end, near);
		if (next >= near)
			break;
	}
	*from = start;
	*ret_end = end;
	return true;
}

/* Nobody else may touch the set in [from, to) meanwhile. */
static int protect(struct cowtrace_heap *h, u64 from, u64 to)
{
	u64 end;

	for (; next_run(h, &from, to, &end); from = end) {
		int err = ct_snap_uffd_protect(h->uffd.fd, ct_snap_page_addr(h, from),
					       (end - from) << CT_PAGE_SHIFT);

		if (err)
			return err == -ENOENT ? -EFAULT : err;
		ct_snap_bits_clear(&h->dirty, from, end);
		ct_snap_count(&h->count.protected_pages, end - from);
	}
	return 0;
}

/* With the gate open: unit by unit, faults go on elsewhere. */
static int protect_ahead(struct cowtrace_heap *h)
{
	u64 page = ct_snap_bits_next(&h->dirty, 0, h->nr_pages);

	while (page < h->nr_pages) {
		u64 unit = page / CT_HUGE_PAGES;
		u64 end = ct_min((unit + 1) * CT_HUGE_PAGES, h->nr_pages);
		int err;

		ct_snap_lock(&h->units[unit].lock);
		err = protect(h, page, end);
		ct_snap_unlock(&h->units[unit].lock);
		if (err)
			return err;
		page = ct_snap_bits_next(&h->dirty, end, h->nr_pages);
	}
	return 0;
}

/*
 * In a huge heap a run is one short call, however long it is (0.06 ms a GiB): there
 * it is the number of runs that counts, elsewhere that of pages.
 */
static bool worth_ahead(struct cowtrace_heap *h)
{
	u64 nr = 0, page = 0, end;

	for (; nr < AHEAD && next_run(h, &page, h->nr_pages, &end); page = end)
		nr += h->huge ? 1 : end - page;
	return nr >= AHEAD;
}

static bool has_markers(const struct cowtrace_heap *h)
{
	return h->uffd.features & UFFD_FEATURE_WP_UNPOPULATED;
}

/* Nothing is there in [from, to), bytes of memory. */
static void populate_hole(struct cowtrace_heap *h, u64 from, u64 to)
{
	if (has_markers(h)) {
		/* What is less than a huge page needs none. */
		from = (from + CT_HUGE_SIZE - 1) & ~(CT_HUGE_SIZE - 1);
		to &= ~(CT_HUGE_SIZE - 1);
	}
	if (from >= to || !ct_sys3(SYS_madvise, from, to - from, MADV_POPULATE_READ))
		return;
	for (; from < to; from += CT_PAGE_SIZE)
		(void)*(volatile char *)from;
}

/* Looking for holes costs a tenth of having the kernel look at each page. */
static void populate(struct cowtrace_heap *h, u64 from, u64 to)
{
	u64 at = (uintptr_t)ct_snap_page_addr(h, from * CT_HUGE_PAGES), next;
	u64 end = (uintptr_t)ct_snap_page_addr(h, ct_min(to * CT_HUGE_PAGES, h->nr_pages));
	struct ct_scan_run runs[32];

	while (at < end) {
		ssize_t nr = ct_pagemap_scan_mapped(h->pagemap_fd, at, end, runs,
						    ct_array_size(runs), &next);

		if (nr < 0) {
			populate_hole(h, at, end);
			return;
		}
		for (ssize_t i = 0; i < nr; at = runs[i++].end)
			populate_hole(h, at, runs[i].start);
		next = ct_min(next, end);
		if (next > at)
			populate_hole(h, at, next);
		at = ct_max(at, next);
	}
}

/*
 * Pages that were never touched have nothing that could be protected.  Newer kernels
 * leave a marker in their place, which takes a page table, and forbids a huge page
 * there for good; so in huge heaps, and where there are no markers, map the zero page.
 */
static void populate_fresh(struct cowtrace_heap *h)
{
	u64 u = 0;

	if (!atomic_exchange(&h->any_fresh, 0))
		return;
	while (u < h->nr_units) {
		u64 end = u;

		while (end < h->nr_units && atomic_exchange(&h->units[end].fresh, 0))
			end++;
		if (end > u)
			populate(h, u, end);
		u = end + 1;
	}
}

static bool needs_populating(const struct cowtrace_heap *h)
{
	return h->huge || !has_markers(h);
}

/* With the gate closed. */
static int instant(struct cowtrace_heap *h, struct cowtrace_snapshot *s)
{
	int err;

	if (!has_markers(h))
		populate_fresh(h);
	err = protect(h, 0, h->nr_pages);
	if (err)
		return err;
	for (u64 i = 0; i < ct_snap_bits_words(ct_snap_bits_words(h->nr_pages)); i++)
		atomic_store_explicit(&h->dirty.summary[i], 0, memory_order_relaxed);
	s->id = ++h->epoch;
	atomic_store(&s->users, 1);
	h->alive[h->nr_alive] = s;
	h->nr_alive++;
	return 0;
}

static int prepare_take(struct cowtrace_heap *h)
{
	if (h->nr_alive == COWTRACE_MAX_SNAPSHOTS)
		return -EMFILE;
	if (needs_populating(h))
		populate_fresh(h);
	return worth_ahead(h) ? protect_ahead(h) : 0;
}

static void count_take(struct cowtrace_heap *h, u64 began, u64 closed, u64 opened)
{
	u64 took = ct_now_ns() - began, pause = opened - closed;

	ct_snap_count(&h->count.takes, 1);
	ct_snap_count(&h->count.take_ns, took);
	h->count.last_take_ns = took;
	h->count.last_pause_ns = pause;
	if (pause > h->count.max_pause_ns)
		h->count.max_pause_ns = pause;
}

static int take(struct cowtrace_heap *h, struct cowtrace_snapshot **ret_snap)
{
	u64 began = ct_now_ns(), closed, opened;
	struct cowtrace_snapshot *s;
	int err = prepare_take(h);

	if (err)
		return err;
	s = ct_snap_handle_new(h, &err);
	if (!s)
		return err;
	ct_snap_gate_close(&h->gate);
	closed = ct_now_ns();
	err = instant(h, s);
	ct_snap_gate_open(&h->gate);
	opened = ct_now_ns();
	if (err) {
		ct_snap_handle_free(s);
		return err;
	}
	count_take(h, began, closed, opened);
	*ret_snap = s;
	return 0;
}

int cowtrace_snapshot_take(struct cowtrace_heap *heap, struct cowtrace_snapshot **ret_snap)
{
	struct cowtrace_snapshot *s = NULL;
	int err = ret_snap ? ct_snap_heap_check(heap) : -EINVAL, saved = errno;
	u64 sig;

	if (err)
		return err;
	sig = ct_snap_signals_block();
	ct_snap_lock(&heap->take);
	err = take(heap, &s);
	ct_snap_unlock(&heap->take);
	ct_snap_signals_restore(sig);
	errno = saved;
	/* Not before: this store may be a first write itself. */
	if (!err)
		*ret_snap = s;
	return err;
}
