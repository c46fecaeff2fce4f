/* SPDX-License-Identifier: MIT */
/*
 * The inside of the engine, for its own files.  All but the queue and the
 * commands belongs to the engine's thread.
 */
#ifndef CT_RECORDER_ENGINE_INT_H
#define CT_RECORDER_ENGINE_INT_H

#include <linux/userfaultfd.h>
#include <pthread.h>

#include "recorder/engine.h"

/* Threads of a process whose state files are kept open. */
#define CT_ENGINE_THREADS 32

struct ct_engine_thread {
	s32 tid;
	int syscall_fd; /* /proc/TGID/task/TID/syscall; -1: not a thread of this process */
	u64 ticket;	/* of the newest stack that it was asked for */
	u64 used;	/* for the choice of whom to forget */
	u32 vain;	/* times in turn that it was woken before its fault was served */
};

/* A fault that could not be resolved yet: a fork or an mremap is under way. */
struct ct_deferred {
	u64 addr;
	s32 tid;
};

/* One userfaultfd: one address space. */
struct ct_engine_ctx {
	struct ct_engine_ctx *next, **at; /* of all */
	struct ct_engine_ctx *next_like;  /* of those with like ids */
	u32 id, epoch;
	int fd;
	int info_fd;	/* /proc/self/fdinfo of it; -1: not opened yet */
	s32 pid;	/* 0: a child that has not faulted yet */
	int pagemap_fd; /* -1 with pid 0 */
	int mem_fd;	/* -1: not opened yet */
	s32 slot;	/* -1: not known */
	bool gone;	/* its memory is: to be freed */
	u64 born_ns;
	struct ct_armed *ranges;
	struct ct_fork_window *window; /* of a fork whose parent has not gone on; or NULL */
	struct ct_fork_window *birth;  /* of the fork that made it, until it says who it is */
	struct ct_deferred *deferred;
	u32 nr_deferred, cap_deferred;
	u32 nr_threads;
	u64 uses;
	struct ct_engine_thread threads[CT_ENGINE_THREADS];
};

/* Frames remembered for races; a power of two. */
#define CT_ENGINE_RECENT 256u

#define CT_ENGINE_BUCKETS 1024u

#define CT_ENGINE_QUEUE 32768u /* items; a power of two */

enum ct_engine_cmd_type { CT_CMD_ADD, CT_CMD_REMOVE, CT_CMD_RANGES };

struct ct_engine_cmd {
	struct ct_engine_cmd *next;
	enum ct_engine_cmd_type type;
	u32 ctx;
	int fd;
	s32 pid;
	struct ct_armed *ranges;
};

struct ct_engine {
	struct ct_engine_opts o;
	struct ct_kcaps caps;
	int epoll_fd, wake_fd, tick_fd;
	u64 tick_ns;  /* what tick_fd's period is */
	s32 pid, uid; /* our own, for the signals */
	pthread_t thread;
	_Atomic bool stop;
	_Atomic u64 round_ns; /* when its loop came round last */
	struct ct_engine_ctx *ctxs, *by_id[CT_ENGINE_BUCKETS];
	bool waits; /* some have faults or a window that could not be dealt with yet */
	_Atomic u32 next_id;
	u64 next_ticket;
	u64 next_sweep_ns;
	/* Frames that were just made writable, by their number; see is_racing(). */
	struct {
		u64 pfn, t_ns;
		u32 ctx;
	} recent[CT_ENGINE_RECENT];
	/* slot + 1 of the process that a signal is being sent to */
	_Atomic u32 signalling;

	pthread_mutex_t lock; /* of the commands and the losses; held for moments */
	struct ct_engine_cmd *cmds, **cmds_tail;
	struct ct_loss losses[CT_ENGINE_LOSSES];
	u32 nr_losses; /* ever */

	/* From the engine's thread to the serving one. */
	_Atomic u64 head __attribute__((aligned(64)));
	u64 rung_ns; /* when the serving thread was last called */
	bool unrung; /* something was put since */
	_Atomic u64 lost;
	_Atomic u64 tail __attribute__((aligned(64)));
	struct ct_seen queue[CT_ENGINE_QUEUE];
};

/* engine_queue.c */
/* False: no room; then nobody has seen it (a FORK's fd is closed). */
bool ct_engine_put(struct ct_engine *e, const struct ct_seen *seen);
/* Calls the serving thread. */
void ct_engine_ring(struct ct_engine *e, u64 now);

/* engine.c */
/* It is at work on something long: the heart beats on. */
void ct_engine_is_here(struct ct_engine *e);
struct ct_engine_ctx *ct_engine_ctx_create(struct ct_engine *e, u32 id, int fd);
/* A child's first words tell who it is. */
void ct_engine_identify(struct ct_engine *e, struct ct_engine_ctx *x, s32 pid);

/* engine_threads.c */
/* Who a thread of x is; NULL: no memory to remember it in, or it has gone. */
struct ct_engine_thread *ct_engine_thread_get(struct ct_engine_ctx *x, s32 tid);
/* It does not stand where t says: true where the id is another thread's by now. */
bool ct_engine_thread_again(struct ct_engine_ctx *x, struct ct_engine_thread *t);
void ct_engine_threads_close(struct ct_engine_ctx *x);
/* Where a thread stands that waits in a fault. */
struct ct_where {
	bool kernel; /* a system call made the access */
	s32 syscall;
	u64 pc, sp;
};
/* 0; -EAGAIN: it runs just now; -ESRCH and others: it has gone. */
int ct_engine_where(const struct ct_engine_thread *t, struct ct_where *ret);

/* engine_fault.c */
/* One fault; deferred where it cannot be resolved now.  -ESRCH: the memory has gone. */
int ct_engine_fault(struct ct_engine *e, struct ct_engine_ctx *x, u64 addr, s32 tid);
/* x writes this frame now, or has just done so: its relatives cannot know who is first. */
void ct_engine_remember(struct ct_engine *e, const struct ct_engine_ctx *x, u64 pfn, u64 now);
/* Those that had to wait, as they are now. */
void ct_engine_retry(struct ct_engine *e, struct ct_engine_ctx *x);
/* A fork of this process has begun and not returned, by its own word. */
bool ct_engine_forking(struct ct_engine *e, struct ct_engine_ctx *x);
/* True while the kernel refuses to change protections: events wait to be read. */
bool ct_engine_is_changing(const struct ct_engine_ctx *x);

/* engine_fork.c */
struct ct_fork_window;
/* What a read would bring now. */
enum ct_engine_next {
	CT_NEXT_ANY,	 /* no fork is under way: it does not matter */
	CT_NEXT_NOTHING, /* and a fork is: an event that comes in now must not be read unseen */
	CT_NEXT_FAULTS,	 /* so many at least, before any event */
	CT_NEXT_EVENT,
};
/*
 * Called before each read.  With an event next: lists what was written since the
 * arming, while parent and child both stand still (NULL: no memory).
 */
enum ct_engine_next ct_engine_look(struct ct_engine *e, struct ct_engine_ctx *x, u32 *ret_faults,
				   struct ct_fork_window **ret_window);
void ct_fork_window_free(struct ct_fork_window *w); /* NULL is fine */
/* With x->window: once more, and no longer than a fifth of a millisecond. */
void ct_engine_close_window(struct ct_engine *e, struct ct_engine_ctx *x);
/* x has said who it is: what it copied before it was protected. */
void ct_engine_tell_birth(struct ct_engine *e, struct ct_engine_ctx *x);
/* Takes child_fd and w. */
void ct_engine_forked(struct ct_engine *e, struct ct_engine_ctx *x, int child_fd,
		      struct ct_fork_window *w);

#endif
