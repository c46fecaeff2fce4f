/* SPDX-License-Identifier: MIT */
/*
 * The event ring.  Lock-free on the producing side, so that a signal handler,
 * a dying thread or a stopped process can stand in the middle of it.
 *
 * It is not lossless: a full ring drops the new event and counts it.
 *
 * Invariant: a record whose seq and seq_end are both ticket + 1 was filled by
 * the one producer that holds this ticket.  (A fork inside ct_ring_put() makes
 * two of it; both then write the same bytes.)
 */
#include <string.h>

#include "channel/ask.h"
#include "channel/ring.h"

/* The producer rings when the ring is a multiple of this full. */
#define RING_NOTICE (CT_SEG_EVENTS / 4)

static struct ct_event *record_of(struct ct_segment *seg, u64 ticket)
{
	return &seg->ring[ticket & (CT_SEG_EVENTS - 1)];
}

/* The part of a record between the two sequence words. */
static void copy_body(struct ct_event *to, const struct ct_event *from)
{
	const size_t first = offsetof(struct ct_event, type);

	memcpy((char *)to + first, (const char *)from + first,
	       offsetof(struct ct_event, seq_end) - first);
}

static bool reserve(struct ct_segment *seg, u64 *ret_ticket)
{
	u64 head = atomic_load_explicit(&seg->head, memory_order_relaxed);
	u64 tail;

	do {
		tail = atomic_load_explicit(&seg->tail, memory_order_acquire);
		/* As a signed number: head may be older than tail here. */
		if ((s64)(head - tail) >= (s64)CT_SEG_EVENTS)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(
		&seg->head, &head, head + 1, memory_order_acq_rel, memory_order_relaxed));
	*ret_ticket = head;
	return true;
}

/*
 * True where the record is ours to publish, or published already (by our
 * double, when a signal handler forked in here).  Otherwise the consumer has
 * passed over it, and the record may belong to a later ticket: what we have
 * written there makes that one torn.
 */
static bool publish(struct ct_segment *seg, struct ct_event *rec, u64 ticket, u64 old_seq)
{
	u64 seq = old_seq;

	if (atomic_load_explicit(&seg->tail, memory_order_acquire) <= ticket &&
	    atomic_compare_exchange_strong_explicit(&rec->seq, &seq, ticket + 1,
						    memory_order_release, memory_order_acquire))
		return true;
	seq = atomic_load_explicit(&rec->seq, memory_order_acquire);
	if (seq == ticket + 1)
		return true;
	atomic_store_explicit(&rec->seq_end, 0, memory_order_release);
	return false;
}

static bool slot_quiet(struct ct_segment *seg, u32 slot)
{
	return slot >= CT_SEG_SLOTS ||
	       (atomic_load_explicit(&seg->slots[slot].flags, memory_order_relaxed) &
		CT_SLOT_QUIET);
}

bool ct_ring_put(struct ct_segment *seg, const struct ct_event *ev)
{
	struct ct_event *rec;
	u64 ticket, old_seq, fill;

	if (!reserve(seg, &ticket))
		goto drop;
	rec = record_of(seg, ticket);
	old_seq = atomic_load_explicit(&rec->seq, memory_order_relaxed);
	atomic_store_explicit(&rec->seq_end, ticket + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	copy_body(rec, ev);
	if (!publish(seg, rec, ticket, old_seq))
		goto drop;
	fill = ticket + 1 - atomic_load_explicit(&seg->tail, memory_order_relaxed);
	if (ct_unlikely(fill % RING_NOTICE == 0) && !slot_quiet(seg, ev->slot))
		ct_bell_ring(seg);
	return true;
drop:
	atomic_fetch_add_explicit(&seg->dropped, 1, memory_order_relaxed);
	return false;
}

static bool event_valid(struct ct_event *ev)
{
	if (ev->type == CT_EV_NONE || ev->type >= CT_EV_NR || ev->slot >= CT_SEG_SLOTS ||
	    ev->nr_pcs > ct_event_max_pcs(ev->type))
		return false;
	if (ct_event_has_name(ev->type))
		ev->name[CT_TAG_NAME - 1] = '\0';
	return true;
}

/* The record of `tail` is reserved and not published: is the patience over? */
static bool stuck_too_long(struct ct_ring_reader *reader, u64 tail, u64 head, u64 now_ns)
{
	if (reader->stuck_since_ns && tail < reader->stuck_head) {
		/* Reserved no later than the one that was waited for first. */
		reader->stuck_ticket = tail;
		return now_ns >= reader->stuck_since_ns + CT_RING_STUCK_NS;
	}
	reader->stuck_ticket = tail;
	reader->stuck_head = head;
	reader->stuck_since_ns = now_ns ? now_ns : 1;
	return false;
}

static void step(struct ct_segment *seg, u64 tail)
{
	atomic_store_explicit(&seg->tail, tail + 1, memory_order_release);
}

int ct_ring_next(struct ct_segment *seg, struct ct_ring_reader *reader, u64 now_ns,
		 struct ct_event *ret_copy)
{
	u32 budget;

	/* A lap of spoiled records at most: somebody may spoil them as fast as we pass over. */
	for (budget = CT_SEG_EVENTS; budget; budget--) {
		u64 tail = atomic_load_explicit(&seg->tail, memory_order_relaxed);
		u64 head = atomic_load_explicit(&seg->head, memory_order_acquire);
		struct ct_event *rec = record_of(seg, tail);
		bool whole;

		if (head == tail)
			return 0;
		if (head - tail > CT_SEG_EVENTS) {
			/* Somebody has scribbled over it: begin anew, with tickets unused so far.
			 */
			tail += 2 * CT_SEG_EVENTS;
			atomic_store_explicit(&seg->tail, tail, memory_order_release);
			atomic_store_explicit(&seg->head, tail, memory_order_release);
			reader->torn++;
			return 0;
		}
		if (atomic_load_explicit(&rec->seq, memory_order_acquire) != tail + 1) {
			if (!stuck_too_long(reader, tail, head, now_ns))
				return 0;
			reader->skipped++;
			step(seg, tail);
			continue;
		}
		copy_body(ret_copy, rec);
		atomic_thread_fence(memory_order_acquire);
		whole = atomic_load_explicit(&rec->seq_end, memory_order_relaxed) == tail + 1 &&
			atomic_load_explicit(&rec->seq, memory_order_relaxed) == tail + 1;
		step(seg, tail);
		if (whole && event_valid(ret_copy)) {
			atomic_store_explicit(&ret_copy->seq, tail + 1, memory_order_relaxed);
			atomic_store_explicit(&ret_copy->seq_end, tail + 1, memory_order_relaxed);
			return 1;
		}
		reader->torn++;
	}
	return 0;
}

bool ct_ring_ready(struct ct_segment *seg)
{
	u64 tail = atomic_load_explicit(&seg->tail, memory_order_relaxed);

	return atomic_load_explicit(&record_of(seg, tail)->seq, memory_order_acquire) == tail + 1;
}
