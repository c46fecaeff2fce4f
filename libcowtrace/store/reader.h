/* SPDX-License-Identifier: MIT */
/*
 * A trace, read.  Takes what the writer has committed up to the moment of
 * opening: a finished file, one that is still being written, or what a killed
 * recorder left.  Never writes to the trace.
 *
 * Everything but events, runs and writes is in memory afterwards, in plain arrays
 * that ascend by their key.  Counts may be CT_UNKNOWN (NULL in the trace); so may
 * times that were never recorded.
 */
#ifndef CT_STORE_READER_H
#define CT_STORE_READER_H

#include "base/err.h"
#include "store/record.h"

struct ct_trace_meta {
	const char *key, *value;
};

struct ct_trace_arg { /* of the command, in order */
	const char *text;
};

struct ct_trace_process { /* by id */
	u32 id, parent;
	s32 pid, parent_pid;
	const char *comm, *exe; /* never NULL */
	u64 start_ns, end_ns;
	enum ct_ended ended;
	s32 wstatus; /* -1 unknown */
};

struct ct_trace_module { /* by id */
	u32 id;
	const char *path;
	u8 build_id[20];
	u32 build_id_len;
};

struct ct_trace_frame { /* by site, then depth (leaf first) */
	u32 site, depth;
	u32 module;
	u64 offset;
};

struct ct_trace_fork { /* by id */
	u32 id, parent, child;
	s32 child_pid;
	u32 site;
	const char *phase, *how; /* never NULL */
	u64 start_ns, end_ns, hold_ns, fork_ns, arm_ns, event_ns;
	u64 pages_shared, huge_pages_shared, swapped;
	u64 copied_min, copied_max;
	bool late;
};

struct ct_trace_side { /* by fork; the child's first */
	u32 fork;
	enum ct_side side;
	enum ct_side_end ended;
	u64 t_ns, copied, dropped, fresh, unknown, kept, attributed;
};

struct ct_trace_region { /* by id */
	u32 id, process;
	u64 start, end;
	enum ct_kind kind;
	const char *name; /* never NULL */
	bool tagged;
	u32 site;
	enum ct_thp_advice thp;
	enum ct_ksm_advice ksm;
	enum ct_fork_advice fork_advice;
	u64 t_ns;
};

struct ct_trace_count { /* by fork, region; the child's first */
	u32 fork, region;
	enum ct_side side;
	u64 shared, huge, copied, dropped, fresh, unknown;
};

struct ct_trace_bucket { /* in the order of time */
	u64 t_ns;
	u32 fork;
	enum ct_side side;
	u64 copied;
};

struct ct_trace_witness { /* by process, fork, time */
	u32 process, fork;
	u64 t_ns, private_dirty, census_private;
	const char *why; /* never NULL */
};

struct ct_trace_kind { /* of writes; by id */
	u32 id;
	enum ct_side side;
	enum ct_access access;
	const char *no_site; /* why the callers are not known; "" when they are */
	bool huge;
	u8 predicted, observed;	      /* enum cowtrace_action; a later writer's word: UNCERTAIN */
	const char *reason, *decides; /* never NULL */
	u8 likely;		      /* as predicted */
};

struct ct_trace_loss { /* of huge pages; in the order of time */
	u64 t_ns;
	u32 process, fork, site; /* fork 0: by a call; else found to be gone at its end */
	const char *cause;	 /* never NULL */
	u64 addr, len;
};

struct ct_trace_carried { /* by fork */
	u32 fork;
	u64 pages_shared; /* at the fork itself */
};

struct ct_trace_unattributed { /* by fork, side, reason */
	u32 fork;
	enum ct_side side;
	const char *reason; /* never NULL */
	u64 pages;
};

struct ct_trace_note { /* in the order of time */
	u64 t_ns;
	u32 process;
	const char *severity, *code, *text; /* never NULL */
};

struct ct_trace_strings;

struct ct_trace {
	bool complete;
	const char *why_incomplete; /* "" when complete */
	int writer_pid;		    /* of the process that has it open now; 0: nobody */

	struct ct_trace_meta *metas;
	struct ct_trace_arg *args;
	struct ct_trace_process *processes;
	struct ct_trace_module *modules;
	struct ct_trace_frame *frames;
	struct ct_trace_fork *forks;
	struct ct_trace_side *sides;
	struct ct_trace_region *regions;
	struct ct_trace_count *counts;
	struct ct_trace_bucket *timeline;
	struct ct_trace_witness *witnesses;
	struct ct_trace_kind *kinds;
	struct ct_trace_loss *losses;
	struct ct_trace_unattributed *unattributed;
	struct ct_trace_carried *carried;
	struct ct_trace_note *notes;
	size_t nr_metas, nr_args, nr_processes, nr_modules, nr_frames, nr_forks, nr_sides,
		nr_regions, nr_counts, nr_buckets, nr_witnesses, nr_kinds, nr_unattributed,
		nr_losses, nr_carried, nr_notes;

	struct ct_trace_strings *strings; /* behind every const char * above */
	struct sqlite3 *db;		  /* for ct_trace_writes(); NULL: given back */
};

/* One first write, on its way through ct_trace_writes(). */
struct ct_trace_write {
	u32 process, fork;
	u64 t_ns, page;
	u32 pages; /* 1 at least */
	u32 site;
	const struct ct_trace_kind *kind;
	s32 syscall; /* -1: the program itself */
	u64 pc;	     /* 0 unknown */
};

/*
 * Reads the trace at path.  0, or with the sentence in *err:
 *   -ENOENT           there is no such file
 *   -EACCES, -EPERM   it may not be read; -EISDIR, -EIO and others likewise cannot
 *   -ENODATA          the file is empty
 *   -EMEDIUMTYPE      it is no cowtrace trace
 *   -EBADMSG          it is one, but truncated or damaged
 *   -EPROTO           it was written by a later version
 *   -ENOMEM
 * Cost: some 0.3 us for each row.
 */
int ct_trace_load(const char *path, struct ct_trace **ret_trace, struct ct_err *err);

/*
 * Calls fn for every first write of the trace, in the order in which they were
 * told: as of the moment when the trace was loaded.  A result of fn other than 0
 * ends it and is returned.
 *
 * 0, -EBADMSG, -ENOMEM, or what SQLite met, with *err set; -EBADF after
 * ct_trace_close_file().  Cost: some 0.3 us for each, no memory.
 */
int ct_trace_writes(struct ct_trace *t, const char *path,
		    int (*fn)(void *ctx, const struct ct_trace_write *w), void *ctx,
		    struct ct_err *err);

/* Gives the file back: the writer's WAL grows as long as somebody reads. */
void ct_trace_close_file(struct ct_trace *t);

/* Frees it and everything in it.  NULL is fine. */
void ct_trace_destroy(struct ct_trace *t);

/* Looked up by key: NULL when there is none.  Binary search. */
const char *ct_trace_meta(const struct ct_trace *t, const char *key);
const struct ct_trace_process *ct_trace_process(const struct ct_trace *t, u32 id);
const struct ct_trace_module *ct_trace_module(const struct ct_trace *t, u32 id);
const struct ct_trace_fork *ct_trace_fork(const struct ct_trace *t, u32 id);
const struct ct_trace_region *ct_trace_region(const struct ct_trace *t, u32 id);
const struct ct_trace_kind *ct_trace_kind(const struct ct_trace *t, u32 id);
const struct ct_trace_side *ct_trace_side(const struct ct_trace *t, u32 fork, enum ct_side side);
/* The frames of a site, leaf first; *ret_nr 0 when it has none. */
const struct ct_trace_frame *ct_trace_frames(const struct ct_trace *t, u32 site, size_t *ret_nr);

#endif
