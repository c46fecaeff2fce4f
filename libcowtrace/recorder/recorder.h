/* SPDX-License-Identifier: MIT */
/*
 * The recorder process: opens the trace, serves the traced programs, finishes
 * the trace.  It is a child of the supervisor (`cowtrace record`) and shares with
 * it the segment and the control socket, nothing else.
 */
#ifndef CT_RECORDER_RECORDER_H
#define CT_RECORDER_RECORDER_H

#include "base/err.h"
#include "channel/hello.h"
#include "channel/segment.h"

struct ct_recorder_opts {
	size_t sz;
	const char *output;
	const char *engine;
	const char *engine_why; /* for people, where nobody asked for it by name; else "" */
	char *const *argv;	/* the command, for the trace */
	struct ct_segment *seg;
	int seg_fd;
	int listen_fd;	/* SOCK_SEQPACKET, listening, for HELLO */
	int control_fd; /* SOCK_SEQPACKET, to the supervisor */
	/* CT_TOKEN_LEN characters; NULL: listens at a path, for many programs (hello.h). */
	const char *token;
	/* The trace in many files; any of these 0: not so. */
	u64 rotate_len; /* bytes of a file */
	u64 rotate_ns;	/* age of a file */
	u32 keep;	/* files beside the running one */
	u64 max_len;	/* bytes of all of them */
	u64 linger_ns;	/* uffd engine: protection outlives the last relative by this */
};

/* What the recorder tells the supervisor, one packet each. */
enum ct_ctl_type {
	CT_CTL_READY = 1, /* the trace is open: start the command */
	CT_CTL_FAILED,	  /* it could not be: text, status */
	CT_CTL_NO_ENGINE, /* the engine cannot run here; there is no trace: text, status */
	CT_CTL_DONE,	  /* finished: totals; text: why the trace is incomplete, or "" */
};

struct ct_ctl_msg {
	enum ct_ctl_type type;
	s32 status; /* FAILED: -errno */
	u64 processes, forks, shared, copied, warnings;
	bool no_pfns;
	char text[512];
};

/* Prepares a segment that was just created (all zero): 0 or -errno. */
int ct_segment_init(struct ct_segment *seg, u64 size, u64 hold_ns);

/* The whole life of the recorder process; returns its exit status. */
int ct_recorder_run(const struct ct_recorder_opts *opts);

#endif
