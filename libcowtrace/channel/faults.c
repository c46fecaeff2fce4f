/* SPDX-License-Identifier: MIT */
/*
 * The ring of faults, both sides.  Lock-free on the producing side: it is a signal
 * handler, in any thread of any process.
 *
 * It does not know what a fault means, and is not lossless.
 *
 * Invariant: what the consumer gets was filled by the one producer that held the
 * ticket, or is dropped.
 */
#include <string.h>

#include "channel/ask.h"
#include "channel/faults.h"

#define NOTICE (CT_SEG_FAULTS / 4)

static struct ct_fault *record_of(struct ct_segment *seg, u64 ticket)
{
	return &seg->faults[ticket & (CT_SEG_FAULTS - 1)];
}

static void copy_body(struct ct_fault *to, const struct ct_fault *from)
{
	const size_t first = offsetof(struct ct_fault, addr);

	memcpy((char *)to + first, (const char *)from + first,
	       offsetof(struct ct_fault, seq_end) - first);
}

static bool reserve(struct ct_segment *seg, u64 *ret_ticket)
{
	u64 head = atomic_load_explicit(&seg->faults_head, memory_order_relaxed);
	u64 tail;

	do {
		tail = atomic_load_explicit(&seg->faults_tail, memory_order_acquire);
		/* As a signed number: head may be older than tail here. */
		if ((s64)(head - tail) >= (s64)CT_SEG_FAULTS)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&seg->faults_head, &head, head + 1, memory_order_acq_rel, memory_order_relaxed));
	*ret_ticket = head;
	return true;
}

/* Passed over meanwhile, the record may be a later ticket's: that one is torn now. */
static bool publish(struct ct_segment *seg, struct ct_fault *rec, u64 ticket, u64 old_seq)
{
	if (atomic_load_explicit(&seg->faults_tail, memory_order_acquire) <= ticket &&
	    atomic_compare_exchange_strong_explicit(&rec->seq, &old_seq, ticket + 1,
						    memory_order_release, memory_order_acquire))
		return true;
	atomic_store_explicit(&rec->seq_end, 0, memory_order_release);
	return false;
}

bool ct_fault_put(struct ct_segment *seg, const struct ct_fault *fault)
{
	struct ct_fault *rec;
	u64 ticket, old_seq, fill;

	if (!reserve(seg, &ticket))
		goto lost;
	rec = record_of(seg, ticket);
	old_seq = atomic_load_explicit(&rec->seq, memory_order_relaxed);
	atomic_store_explicit(&rec->seq_end, ticket + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	copy_body(rec, fault);
	if (!publish(seg, rec, ticket, old_seq))
		goto lost;
	fill = ticket + 1 - atomic_load_explicit(&seg->faults_tail, memory_order_relaxed);
	if (ct_unlikely(fill % NOTICE == 0))
		ct_bell_ring(seg);
	return true;
lost:
	atomic_fetch_add_explicit(&seg->slots[fault->slot].faults_lost, 1, memory_order_relaxed);
	return false;
}

static bool is_published(struct ct_segment *seg, u64 ticket)
{
	return atomic_load_explicit(&record_of(seg, ticket)->seq, memory_order_acquire) ==
	       ticket + 1;
}

/* Copies a published record; false: it is torn, or nonsense. */
static bool take(struct ct_segment *seg, u64 ticket, struct ct_fault *ret)
{
	struct ct_fault *rec = record_of(seg, ticket);

	copy_body(ret, rec);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&rec->seq_end, memory_order_relaxed) == ticket + 1 &&
	       atomic_load_explicit(&rec->seq, memory_order_relaxed) == ticket + 1 &&
	       ret->slot < CT_SEG_SLOTS && ret->nr_pcs <= CT_SITE_PCS;
}

/* What lies below is free for the producers. */
static void move_tail(struct ct_segment *seg, const struct ct_fault_reader *r)
{
	atomic_store_explicit(&seg->faults_tail, r->nr_holes ? r->holes[0].ticket : r->next,
			      memory_order_release);
}

static void fill_hole(struct ct_segment *seg, struct ct_fault_reader *r, u32 i)
{
	r->nr_holes--;
	memmove(&r->holes[i], &r->holes[i + 1], (r->nr_holes - i) * sizeof(r->holes[0]));
	move_tail(seg, r);
}

/* One that was passed over, and has been published since. */
static bool from_holes(struct ct_segment *seg, struct ct_fault_reader *r, u64 now_ns,
		       struct ct_fault *ret)
{
	u32 i = 0;

	while (i < r->nr_holes) {
		bool published = is_published(seg, r->holes[i].ticket);

		if (!published && now_ns < r->holes[i].since_ns + CT_FAULT_STUCK_NS) {
			i++;
			continue;
		}
		if (published && take(seg, r->holes[i].ticket, ret)) {
			fill_hole(seg, r, i);
			return true;
		}
		r->skipped++;
		fill_hole(seg, r, i);
	}
	return false;
}

/* Somebody has scribbled over it: begin anew, with unused tickets. */
static void begin_anew(struct ct_segment *seg, struct ct_fault_reader *r)
{
	r->nr_holes = 0;
	r->next += 2 * CT_SEG_FAULTS;
	r->skipped++;
	atomic_store_explicit(&seg->faults_tail, r->next, memory_order_release);
	atomic_store_explicit(&seg->faults_head, r->next, memory_order_release);
}

int ct_fault_next(struct ct_segment *seg, struct ct_fault_reader *r, u64 now_ns,
		  struct ct_fault *ret)
{
	u32 budget;

	if (r->nr_holes && from_holes(seg, r, now_ns, ret))
		return 1;
	/* A lap at most: somebody may spoil them as fast as we pass over. */
	for (budget = CT_SEG_FAULTS; budget; budget--) {
		u64 head = atomic_load_explicit(&seg->faults_head, memory_order_acquire);
		bool whole;

		if (head == r->next)
			return 0;
		if (head - r->next > CT_SEG_FAULTS) {
			begin_anew(seg, r);
			return 0;
		}
		if (!is_published(seg, r->next)) {
			if (r->nr_holes == CT_FAULT_HOLES)
				return 0;
			r->holes[r->nr_holes].ticket = r->next++;
			r->holes[r->nr_holes++].since_ns = now_ns;
			continue;
		}
		whole = take(seg, r->next, ret);
		r->next++;
		move_tail(seg, r);
		if (whole)
			return 1;
		r->skipped++;
	}
	return 0;
}
