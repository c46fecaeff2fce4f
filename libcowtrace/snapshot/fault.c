/* SPDX-License-Identifier: MIT */
/*
 * A first write: the policy, for small pages, inlined.
 *
 * The kernel's rule asks whether anybody else holds the page.  Here those are the
 * snapshots that have no slot for it yet.  None: reuse in place, the page is
 * released and nothing is saved.  Some: the content is saved once, with so many
 * references, and then the page is theirs no more.  The page's own references (its
 * mapping, swap, pins) do not matter: the live page stays where it is.
 *
 * Where first writes follow each other, pages ahead are saved and released with them,
 * twice as many each time up to 16; in huge heaps a run that has gone through a whole
 * unit gets the next one in one piece, which keeps its huge page.
 *
 * What holds always: a page is released only when every snapshot that needs its
 * content has it in its table.
 */
#include <errno.h>
#include <sys/mman.h>

#include "snapshot/copy.h"
#include "snapshot/heap.h"

#define MAX_BATCH 16

/*
 * Pages [page, page + nr) of one unit, its lock held.  Dirty ones among them are no
 * harm: every snapshot has its slot of those.
 */
struct span {
	struct cowtrace_heap *h;
	u64 page;
	u32 nr;
};

/* How many snapshots need this page saved: so many youngest. */
static u32 nr_needing(const struct cowtrace_heap *h, u64 page)
{
	u32 nr = h->nr_alive, n = 0;

	while (n < nr && ct_snap_slot(h->alive[nr - 1 - n], page) == CT_SNAP_SLOT_NONE)
		n++;
	return n;
}

static void enter_slot(struct cowtrace_heap *h, u64 page, u32 slot, u32 nr_need)
{
	u64 leaf = page / CT_SNAP_LEAF_PAGES;

	for (u32 i = h->nr_alive - nr_need; i < h->nr_alive; i++) {
		struct cowtrace_snapshot *s = h->alive[i];
		u64 bit = 1ULL << (leaf % 64);

		atomic_store_explicit(&s->slots[page], slot, memory_order_release);
		if (!(atomic_load_explicit(&s->leaves[leaf / 64], memory_order_relaxed) & bit))
			atomic_fetch_or_explicit(&s->leaves[leaf / 64], bit, memory_order_release);
	}
}

/*
 * Saves up to MAX_BATCH pages that so many need.  Returns how many are done, from the
 * first on; fewer: no room for more.
 */
static u32 save_some(struct cowtrace_heap *h, u64 page, u32 nr, u32 nr_need)
{
	u32 slots[MAX_BATCH], zero = 0, want = 0, got, used = 0, i;

	for (i = 0; i < nr; i++) {
		if (ct_snap_is_zero(ct_snap_page_addr(h, page + i)))
			zero |= 1u << i;
		else
			want++;
	}
	got = want ? ct_snap_store_get(&h->store, want, (u16)nr_need, nr == MAX_BATCH, slots) : 0;
	for (i = 0; i < nr; i++) {
		u32 slot = CT_SNAP_SLOT_ZERO;

		if (!(zero >> i & 1)) {
			if (used == got)
				break;
			slot = slots[used++];
			ct_snap_copy(ct_snap_store_at(&h->store, slot),
				     ct_snap_page_addr(h, page + i), CT_PAGE_SIZE);
		}
		enter_slot(h, page + i, slot, nr_need);
	}
	ct_snap_count(&h->count.saved_pages, i);
	ct_snap_count(&h->count.saved_zero_pages, i - used);
	return i;
}

/* Saves what is needed of the span; how many pages of it are done. */
static u32 save(const struct span *sp)
{
	struct cowtrace_heap *h = sp->h;
	u32 done = 0;

	if (!h->nr_alive) {
		ct_snap_count(&h->count.reused_pages, sp->nr);
		return sp->nr;
	}
	while (done < sp->nr) {
		u64 page = sp->page + done;
		u32 nr_need = nr_needing(h, page), nr = 1, saved;

		while (nr < MAX_BATCH && done + nr < sp->nr && nr_needing(h, page + nr) == nr_need)
			nr++;
		saved = nr_need ? save_some(h, page, nr, nr_need) : nr;
		if (!nr_need)
			ct_snap_count(&h->count.reused_pages, nr);
		done += saved;
		if (saved < nr)
			break;
	}
	return done;
}

/* Saves and releases the span, or its first pages; -ENOSPC: not even one. */
static int release(const struct span *sp)
{
	struct cowtrace_heap *h = sp->h;
	u32 done = save(sp);

	if (!done)
		return -ENOSPC;
	ct_snap_bits_set(&h->dirty, sp->page, sp->page + done);
	return ct_snap_uffd_release(h->uffd.fd, ct_snap_page_addr(h, sp->page),
				    (size_t)done << CT_PAGE_SHIFT,
				    h->serve == COWTRACE_SERVE_THREAD);
}

static bool all_zero(const struct cowtrace_heap *h, u64 page, u64 end)
{
	for (; page < end; page++)
		if (!ct_snap_is_zero(ct_snap_page_addr(h, page)))
			return false;
	return true;
}

static bool anybody_needs(const struct cowtrace_heap *h, u64 page, u64 end)
{
	if (!h->nr_alive)
		return false;
	while (page < end && !nr_needing(h, page))
		page++;
	return page < end;
}

/*
 * Is this unit of a huge heap to go in one piece?  Yes where that saves nothing (no
 * snapshot needs it, or all of it is zero), or where a run has come through the whole
 * unit before: 2 MiB copied at once cost a third of 512 pages one by one, and the huge
 * page stays.  Otherwise one page would cost 2 MiB.
 */
static bool in_one_piece(struct cowtrace_heap *h, u64 unit, bool run_goes_on)
{
	u64 page = unit * CT_HUGE_PAGES, end = page + CT_HUGE_PAGES;

	if (end > h->nr_pages || ct_snap_bits_next(&h->dirty, page, end) < end)
		return false;
	if (run_goes_on)
		return true;
	return !anybody_needs(h, page, end) || all_zero(h, page, end);
}

/* Has an eighth of the unit been written since the last take? */
static bool is_dense(const struct cowtrace_heap *h, u64 first)
{
	u32 nr = 0;

	if (!h->dense || first + CT_HUGE_PAGES > h->nr_pages)
		return false;
	for (u64 w = first / 64; w < (first + CT_HUGE_PAGES) / 64; w++)
		nr += (u32)__builtin_popcountll(
			atomic_load_explicit(&h->dirty.word[w], memory_order_relaxed));
	return nr >= CT_HUGE_PAGES / 8;
}

/* What to release with this page: at least itself, at most the rest of its unit. */
static struct span choose(struct cowtrace_heap *h, u64 page)
{
	u64 unit = page / CT_HUGE_PAGES, first = unit * CT_HUGE_PAGES;
	struct ct_snap_unit *u = &h->units[unit];
	u32 at = (u32)(page - first), run = 0;
	u64 end, last;

	if (at && u->next == at)
		run = u->run;
	else if (!at && unit && h->units[unit - 1].next == CT_HUGE_PAGES)
		run = h->units[unit - 1].run;
	if (h->huge && in_one_piece(h, unit, !at && run >= MAX_BATCH)) {
		u->run = MAX_BATCH;
		u->next = CT_HUGE_PAGES;
		return (struct span){ h, first, CT_HUGE_PAGES };
	}
	if (!run && is_dense(h, first))
		return (struct span){ h, page & ~(u64)(MAX_BATCH - 1), MAX_BATCH };
	run = ct_min(run ? run * 2 : 1, (u32)MAX_BATCH);
	last = ct_min(first + CT_HUGE_PAGES, h->nr_pages);
	end = ct_min(page + run, last);
	end = ct_snap_bits_next(&h->dirty, page, end);
	u->run = (u16)run;
	u->next = (u16)(ct_snap_bits_next_clear(&h->dirty, end, last) - first);
	return (struct span){ h, page, (u32)(end - page) };
}

static int first_write(struct cowtrace_heap *h, u64 page)
{
	struct ct_snap_unit *u = &h->units[page / CT_HUGE_PAGES];
	struct span sp;
	int err;

	ct_snap_gate_enter(&h->gate);
	ct_snap_lock(&u->lock);
	if (ct_snap_bits_test(&h->dirty, page)) {
		/* It was released with another's batch, after this one had met it. */
		err = h->serve == COWTRACE_SERVE_THREAD
			      ? ct_snap_uffd_wake(h->uffd.fd, ct_snap_page_addr(h, page),
						  CT_PAGE_SIZE)
			      : 0;
	} else {
		sp = choose(h, page);
		err = release(&sp);
		ct_snap_count(&h->count.faults, 1);
		if (sp.nr > 1)
			ct_snap_count(&h->count.batches, 1);
	}
	ct_snap_unlock(&u->lock);
	ct_snap_gate_leave(&h->gate);
	return err;
}

int ct_snap_first_write(struct cowtrace_heap *h, u64 page)
{
	u64 since = 0;

	for (;;) {
		u32 freed = atomic_load_explicit(&h->store.freed, memory_order_acquire);
		int err = first_write(h, page);

		if (err != -ENOSPC)
			return err;
		ct_snap_limit_wait(h, freed, &since);
	}
}

/* The pages of one unit that are protected in [page, end), each run of them. */
static int for_protected(struct cowtrace_heap *h, u64 page, u64 end, bool drop)
{
	u64 from = page, to;
	int err = 0;

	while (!err && (from = ct_snap_bits_next_clear(&h->dirty, from, end)) < end) {
		struct span sp;

		to = ct_snap_bits_next(&h->dirty, from, end);
		sp = (struct span){ h, from, (u32)(to - from) };
		if (!drop) {
			err = release(&sp);
		} else if (save(&sp) < sp.nr) {
			/* What was saved is saved; the rest when there is room. */
			err = -ENOSPC;
		}
		ct_snap_count(&h->count.prepared_pages, to - from);
		/* Short of room: release() took the first pages, come again. */
		if (drop || err)
			from = to;
	}
	return err;
}

static int drop_pages(struct cowtrace_heap *h, u64 page, u64 end)
{
	char *addr = ct_snap_page_addr(h, page);
	size_t len = (end - page) << CT_PAGE_SHIFT;
	int err;

	/* Dirty first: the pages come back without protection. */
	ct_snap_bits_set(&h->dirty, page, end);
	atomic_store(&h->units[page / CT_HUGE_PAGES].fresh, 1);
	atomic_store(&h->any_fresh, 1);
	err = (int)ct_sys3(SYS_madvise, addr, len, MADV_DONTNEED);
	if (h->serve == COWTRACE_SERVE_THREAD)
		ct_snap_uffd_wake(h->uffd.fd, addr, len);
	return err == -ENOMEM ? -EFAULT : err;
}

static int one_unit(struct cowtrace_heap *h, u64 page, u64 end, bool drop)
{
	struct ct_snap_unit *u = &h->units[page / CT_HUGE_PAGES];
	u64 since = 0;
	int err = ct_snap_check_mapped(ct_snap_page_addr(h, page), (end - page) << CT_PAGE_SHIFT);

	while (!err) {
		u32 freed = atomic_load_explicit(&h->store.freed, memory_order_acquire);

		ct_snap_gate_enter(&h->gate);
		ct_snap_lock(&u->lock);
		err = for_protected(h, page, end, drop);
		if (!err && drop)
			err = drop_pages(h, page, end);
		ct_snap_unlock(&u->lock);
		ct_snap_gate_leave(&h->gate);
		if (err != -ENOSPC)
			return err;
		ct_snap_limit_wait(h, freed, &since);
		err = 0;
	}
	return err;
}

static int each_unit(struct cowtrace_heap *h, u64 page, u64 end, bool drop)
{
	u64 sig = ct_snap_signals_block();
	int err = 0;

	while (!err && page < end) {
		u64 next = ct_min((page / CT_HUGE_PAGES + 1) * CT_HUGE_PAGES, end);

		err = one_unit(h, page, next, drop);
		page = next;
	}
	ct_snap_signals_restore(sig);
	return err == -ENOENT ? -EFAULT : err;
}

/* Where [ptr, ptr + len) is in the heap, in bytes; -EINVAL: not within. */
static int within(const struct cowtrace_heap *h, const void *ptr, size_t len, u64 *ret_offset)
{
	u64 offset = (uintptr_t)ptr - (uintptr_t)h->base;

	if ((uintptr_t)ptr < (uintptr_t)h->base || offset > h->len || len > h->len - offset)
		return -EINVAL;
	*ret_offset = offset;
	return 0;
}

int cowtrace_heap_prepare(struct cowtrace_heap *heap, void *ptr, size_t len)
{
	u64 offset;
	int err = ct_snap_heap_check(heap);

	if (!err)
		err = within(heap, ptr, len, &offset);
	if (err || !len)
		return err;
	return each_unit(heap, ct_page_of(offset), ct_page_of(ct_page_up(offset + len)), false);
}

int cowtrace_heap_discard(struct cowtrace_heap *heap, void *ptr, size_t len)
{
	u64 offset;
	int err = ct_snap_heap_check(heap);

	if (!err)
		err = within(heap, ptr, len, &offset);
	if (!err && (offset | len) & (CT_PAGE_SIZE - 1))
		err = -EINVAL;
	if (err || !len)
		return err;
	return each_unit(heap, ct_page_of(offset), ct_page_of(offset + len), true);
}
