/* SPDX-License-Identifier: MIT */
/*
 * The event ring: many producers in any number of processes, one consumer.
 *
 * A producer reserves a ticket by moving `head` (never past a full ring), fills
 * its record, and publishes it by storing ticket + 1 in `seq`.  The consumer
 * reads the tickets in order and alone moves `tail`.
 *
 * A producer can die or be stopped between the two: the consumer waits for a
 * reserved record for CT_RING_STUCK_NS and then passes over it.  A producer
 * that was merely slow finds `tail` beyond its ticket and does not publish;
 * what it may have spoiled in a record of the next lap it marks as torn.
 */
#ifndef CT_CHANNEL_RING_H
#define CT_CHANNEL_RING_H

#include "channel/segment.h"

#define CT_RING_STUCK_NS (200 * CT_NSEC_PER_MSEC)

/* True for the event types that carry a name, and therefore fewer pcs. */
static inline bool ct_event_has_name(u32 type)
{
	return type == CT_EV_TAG || type == CT_EV_PHASE || type == CT_EV_VMA_NAME;
}

/* How many return addresses an event of this type holds at most. */
static inline u32 ct_event_max_pcs(u32 type)
{
	return ct_event_has_name(type) ? CT_SITE_PCS - 2 - CT_TAG_NAME / 8 : CT_SITE_PCS - 2;
}

/*
 * Appends a copy of *ev; its seq and seq_end are ignored.
 *
 * Async-signal-safe, any thread, any process; errno untouched; no system call,
 * but for a futex wake when the ring fills up while the recorder sleeps, and
 * none at all where the event's slot is CT_SLOT_QUIET.
 *
 * Returns false where the ring is full, or where the caller was stopped for so
 * long that its record was passed over: the event is lost and counted in
 * seg->dropped.
 */
bool ct_ring_put(struct ct_segment *seg, const struct ct_event *ev);

/* The consumer's own memory.  All zero to begin with. */
struct ct_ring_reader {
	u64 stuck_ticket;   /* the ticket that is being waited for */
	u64 stuck_since_ns; /* since when; 0: none is */
	u64 stuck_head;	    /* head at that time: tickets below it are as old */
	u64 torn;	    /* records that were mixed up or made no sense */
	u64 skipped;	    /* records that were reserved and never published */
};

/*
 * Copies the next event to *ret_copy.  What comes out has a known type, a slot
 * below CT_SEG_SLOTS, nr_pcs within ct_event_max_pcs() and a terminated name;
 * addresses and numbers are the program's word.
 *
 * now_ns: CLOCK_MONOTONIC, for the patience with unpublished records.  When all
 * writers are known to be gone, read on with a clock that is set forward by
 * CT_RING_STUCK_NS a few times: what lies behind a hole is wanted too.
 *
 * Returns 1: an event; 0: nothing now (empty, or the next record is reserved
 * and not published yet).  One consumer at a time.
 */
int ct_ring_next(struct ct_segment *seg, struct ct_ring_reader *reader, u64 now_ns,
		 struct ct_event *ret_copy);

/* True where ct_ring_next() would return an event at once. */
bool ct_ring_ready(struct ct_segment *seg);

#endif
