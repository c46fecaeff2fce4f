/* SPDX-License-Identifier: MIT */
/*
 * The ring of faults: what the perf engine's handlers leave, and how an event's
 * descriptor comes to the recorder.
 *
 * Like the ring of events (ring.h): many producers, one consumer, and a producer that
 * dies in the middle is passed over.  A full ring loses the fault and counts it for its
 * process: nobody waits.
 */
#ifndef CT_CHANNEL_FAULTS_H
#define CT_CHANNEL_FAULTS_H

#include "channel/segment.h"

/* Unpublished records are waited for as long, then given up. */
#define CT_FAULT_STUCK_NS (200 * CT_NSEC_PER_MSEC)
#define CT_FAULT_HOLES 64u

/*
 * Handler.  Appends a copy of *fault (its seq and seq_end are ignored).  No system
 * call, but for a futex wake each time that a quarter of the ring has filled.  False: lost.
 */
bool ct_fault_put(struct ct_segment *seg, const struct ct_fault *fault);

/*
 * The consumer's own memory.  All zero to begin with.  It reads past what is reserved
 * and not published yet, for a process that goes must not take its faults with it
 * because another one was interrupted while it wrote.
 */
struct ct_fault_reader {
	u64 next; /* ticket to be read; the tail stays at the oldest hole */
	u32 nr_holes;
	struct {
		u64 ticket, since_ns;
	} holes[CT_FAULT_HOLES]; /* ascending */
	u64 skipped;		 /* records that were reserved and never published, or mixed up */
};

/*
 * The next fault, nearly in order; its slot is below CT_SEG_SLOTS and nr_pcs within bounds, all
 * else is the program's word.  now_ns: CLOCK_MONOTONIC.  1: one; 0: nothing now.
 */
int ct_fault_next(struct ct_segment *seg, struct ct_fault_reader *reader, u64 now_ns,
		  struct ct_fault *ret);

/*
 * A process has opened its event, or has failed to, and says so on a socket of
 * SOCK_SEQPACKET at the abstract address seg->perf.name: one message, with the
 * descriptor beside it.  It keeps none.
 */
#define CT_PERF_MAGIC 0x66726570u

struct ct_perf_msg {
	u32 magic;	/* CT_PERF_MAGIC */
	s32 status;	/* 0: the descriptor is beside it; or -errno */
	u32 slot;	/* the sender's */
	u32 generation; /* of the slot */
	u8 token[16];	/* of the segment */
	u64 own[2];	/* the handler's stacks, [start, end) */
};

#endif
