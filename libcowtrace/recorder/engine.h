/* SPDX-License-Identifier: MIT */
/*
 * The uffd engine: a thread of the recorder that serves the first writes of all
 * traced processes, and nothing else.  It reads a page's state before the kernel
 * decides, asks the policy, asks the faulting thread for its stack, and lets the
 * write go on.  It never waits for the disk, for a census or for an answer.
 *
 * What it sees goes to the serving thread through one queue (ct_engine_take()),
 * in order: a write belongs to the fork that the FORK items before it tell.
 *
 * Functions may be called by the serving thread only, unless they say otherwise.
 */
#ifndef CT_RECORDER_ENGINE_H
#define CT_RECORDER_ENGINE_H

#include <cowtrace/policy.h>

#include "census/reading.h"
#include "channel/segment.h"
#include "store/record.h"
#include "sys/kcaps.h"
#include "sys/kpage.h"

struct ct_engine;

struct ct_engine_opts {
	struct ct_segment *seg;
	const struct ct_kcaps *caps;
	const struct ct_kpage *kpage;
	enum cowtrace_model_id model; /* of the running kernel */
};

enum ct_seen_type {
	CT_SEEN_WRITE,
	CT_SEEN_FORK, /* ctx forked: `child` is the new context, `fd` another descriptor of it */
	CT_SEEN_PID,  /* ctx is the process `tid` */
};

/* ct_seen.flags */
enum {
	CT_SEEN_HUGE = 1u << 0,	     /* mapped by a PMD before the write */
	CT_SEEN_WHOLE = 1u << 1,     /* 2 MiB were made writable at once */
	CT_SEEN_ZERO = 1u << 2,	     /* the zero page lay there */
	CT_SEEN_WINDOW = 1u << 5,    /* copied unseen while the clone came to its end */
	CT_SEEN_WORDS = 1u << 4,     /* the ticket's stack is words of memory, not frames */
	CT_SEEN_PREDICTED = 1u << 3, /* the state could be read: the verdict's fields are valid */
};

/* One thing that the engine saw. */
struct ct_seen {
	u8 type;
	u8 flags;
	u8 access;    /* enum ct_access */
	u8 no_site;   /* enum ct_no_site; with a ticket: as long as nothing has come back */
	u8 predicted; /* enum cowtrace_action: of the small-page rule where a split comes first */
	u8 decides;   /* enum cowtrace_field */
	u8 likely;    /* enum cowtrace_action */
	u16 reason;   /* enum cowtrace_reason */
	s32 syscall;  /* -1: none */
	u32 ctx;
	u32 epoch; /* forks of this context before this, the one of a FORK item included */
	s32 tid;
	union {
		struct {
			u64 page; /* number */
			u64 pfn;  /* before the write; 0 unknown */
			u64 pc;
			u64 ticket; /* of the stack; 0: none was asked for */
		};
		struct {
			u32 child;
			int fd;
		};
	};
	u64 t_ns; /* CLOCK_MONOTONIC */
};

/* What an arming covered: [start, end) addresses, ascending.  Freed by the engine. */
struct ct_armed {
	u32 nr;
	struct {
		u64 start, end;
	} v[];
};

/* NULL: of NULL, or no memory. */
struct ct_armed *ct_armed_copy(const struct ct_armed *a);

/* 0, -ENOMEM, -errno of a thread or an epoll. */
int ct_engine_create(const struct ct_engine_opts *opts, struct ct_engine **ret);
/* Closes every userfaultfd: all that waits goes on, nothing is protected any more. */
void ct_engine_destroy(struct ct_engine *e);

/*
 * A userfaultfd that has its API: the engine's from now on.  pid: its process.
 * Returns the context's id; 0: no memory (the fd is closed).
 */
u32 ct_engine_add(struct ct_engine *e, int uffd, s32 pid);

/* Its process has gone, or is let alone for good. */
void ct_engine_remove(struct ct_engine *e, u32 ctx);

/* What is armed now; ranges becomes the engine's (free()). */
void ct_engine_set_ranges(struct ct_engine *e, u32 ctx, struct ct_armed *ranges);

/* The next item; false: none.  Any one thread. */
bool ct_engine_take(struct ct_engine *e, struct ct_seen *ret);

/* Its thread has gone round within the last half second.  Any thread. */
bool ct_engine_is_alive(const struct ct_engine *e);

/* Writes that the queue had no room for, so far. */
u64 ct_engine_lost(const struct ct_engine *e);

/* The newest of them, by whose they were. */
struct ct_loss {
	u32 ctx, epoch;
	u64 writes;
};
#define CT_ENGINE_LOSSES 64u
/* Those of one context; returns how many entries. */
u32 ct_engine_losses(struct ct_engine *e, u32 ctx, struct ct_loss ret[CT_ENGINE_LOSSES]);

/*
 * Comes back when no signal is on its way to a thread of the process in this
 * slot.  With ct_slot.no_stacks set before, none will be sent afterwards.
 */
void ct_engine_hush(struct ct_engine *e, u32 slot);

#endif
