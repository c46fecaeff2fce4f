/* SPDX-License-Identifier: MIT */
/*
 * Which traced process am I, and the event of a call that has been made.
 *
 * The answer is asked of the kernel each time (gettid, getpid): a vfork child
 * shares all our memory and yet is somebody else, and so is the child of a raw
 * clone; neither is in the table of pids, and neither touches a thing of ours.
 */
#ifndef CT_TRACED_SELF_H
#define CT_TRACED_SELF_H

#include "channel/segment.h"

struct ct_self {
	struct ct_segment *seg;
	u32 slot;
	s32 tid;
};

/* False: not traced (no recorder, quiet, a vfork child).  Then *ret is not written. */
bool ct_self_get(struct ct_self *ret);

/* The recorder has shown a sign of life within the last second. */
bool ct_self_recorded(const struct ct_self *self, u64 now_ns);

/* A call that is being watched: begin, call, end.  None of it touches errno. */
struct ct_call {
	struct ct_self self;
	u64 t_ns; /* 0: not traced, and ct_call_end() does nothing */
};

void ct_call_begin(struct ct_call *call);

/*
 * How much of the stack an event keeps.  What only gives memory back or changes
 * its protection is called often and needs no more than the caller.
 */
enum ct_site {
	CT_SITE_NONE,
	CT_SITE_FULL,
};

/*
 * The call has succeeded: leaves its event.  *ev is the caller's, with what
 * belongs to the type filled in, zero elsewhere.
 */
void ct_call_end(struct ct_call *call, struct ct_event *ev, enum ct_site site);

/* The same, with one return address: __builtin_return_address(0) of the wrapper. */
void ct_call_end_at(struct ct_call *call, struct ct_event *ev, void *caller);

/* An event that is no call (TAG, PHASE, LOSS), or that brings its t_ns along. */
void ct_event_now(const struct ct_self *self, struct ct_event *ev, enum ct_site site);

#endif
