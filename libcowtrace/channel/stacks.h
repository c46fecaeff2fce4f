/* SPDX-License-Identifier: MIT */
/*
 * Asking a faulting thread for its call stack, and answering.
 *
 * The recorder asks while the thread stands in the fault: it takes the next
 * place, writes there which instruction faulted, and sends a signal whose value
 * is the place's ticket.  The thread answers in its handler.  Nobody waits: the
 * recorder collects the answer later, or gives it up.
 *
 *   FREE    -> ASKED    recorder
 *   ASKED   -> RUNNING  handler, where ticket, pc and sp are the ones it came for
 *   ASKED   -> LATE     handler, where the thread has moved on (a blocked signal)
 *   RUNNING -> DONE     handler
 *   any     -> FREE     recorder, when it collects or gives up
 *
 * A handler that dies in RUNNING leaves the place to the recorder's patience; one
 * that was merely slow finds another ticket there, and does not publish.
 */
#ifndef CT_CHANNEL_STACKS_H
#define CT_CHANNEL_STACKS_H

#include "channel/segment.h"

/*
 * The signal's si_code: below zero like SI_QUEUE, so that any process may send it,
 * and none that sigqueue() or the kernel uses; si_value is the ticket.
 */
#define CT_STACK_SI_CODE (-99)

enum {
	CT_STACK_FREE = 0,
	CT_STACK_ASKED,
	CT_STACK_RUNNING,
	CT_STACK_DONE,
	CT_STACK_LATE,
};

/* What has become of a stack that was asked for. */
enum ct_stack_answer {
	CT_STACK_PENDING, /* not yet */
	CT_STACK_ANSWERED,
	CT_STACK_MOVED_ON, /* the handler ran too late */
};

/*
 * Recorder.  Takes the next place for the instruction at pc with stack pointer sp.
 * Tickets count up from *next, which is the recorder's own and begins at 1.
 * Returns 0 and the ticket; -ENOSPC where the place is still in use: then it is
 * passed over, and the next ask may find room.
 */
int ct_stack_ask(struct ct_segment *seg, u64 *next, u64 pc, u64 sp, u64 *ret_ticket);

/* Recorder.  Nobody was told of the place: as if the thread had moved on. */
void ct_stack_refuse(struct ct_segment *seg, u64 ticket);

/*
 * Handler.  Async-signal-safe, no system call.  NULL: not ours, not any more, or
 * too late; else to be filled and given back by ct_stack_done().
 */
struct ct_stack *ct_stack_take(struct ct_segment *seg, u64 ticket, u64 pc, u64 sp);
void ct_stack_done(struct ct_stack *stack, u64 ticket, u32 nr_pcs);

/*
 * Recorder.  Copies what was answered to ret_pcs (CT_STACK_PCS of them), and frees
 * the place unless it is still PENDING; then ct_stack_drop() does.
 */
enum ct_stack_answer ct_stack_collect(struct ct_segment *seg, u64 ticket, u64 *ret_pcs,
				      u32 *ret_nr);
void ct_stack_drop(struct ct_segment *seg, u64 ticket);

#endif
