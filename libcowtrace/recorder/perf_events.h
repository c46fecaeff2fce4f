/* SPDX-License-Identifier: MIT */
/* The socket on which programs send their page-fault events, and those on their way. */
#ifndef CT_RECORDER_PERF_EVENTS_H
#define CT_RECORDER_PERF_EVENTS_H

#include "channel/faults.h"

/* One that has been sent. */
struct ct_perf_sent {
	struct ct_perf_msg msg;
	int fd; /* -1: there is none, msg.status says why */
	u64 t_ns;
};

#define CT_PERF_CONNECTIONS 64u

/* fd -1: not open. */
struct ct_perf_events {
	int fd;
	u8 token[16];
	struct {
		int fd;
		u64 t_ns;
	} v[CT_PERF_CONNECTIONS]; /* accepted, and no word yet */
	u32 nr;
};

/* Makes it, and writes its address and token into the segment.  0 or -errno. */
int ct_perf_events_open(struct ct_perf_events *e, struct ct_segment *seg);
void ct_perf_events_close(struct ct_perf_events *e);

/* The next that has come: true; the descriptor is the caller's.  Never waits. */
bool ct_perf_events_next(struct ct_perf_events *e, u64 now, struct ct_perf_sent *ret);

#endif
