/* SPDX-License-Identifier: MIT */
/*
 * The inside of a heap and of its snapshots.
 *
 * Each snapshot has a table: NONE says that the page is the live one, not written
 * since, and otherwise in which slot it was saved.  A write to a protected page has to
 * save it for those snapshots that have NONE there.  A page that one snapshot has, all
 * older ones have too: it is the youngest few that need it.
 *
 * Order of a first write, under the unit's lock: copy the page, enter the slot into
 * the tables, set the dirty bit, lift the kernel's protection.  A reader copies the live
 * page and looks at its table afterwards: still NONE means that what it copied was the
 * content it wanted (as long as the snapshot had not been released or given up by
 * then: nothing is entered for those).
 *
 * Locks (lock.h): `take` for the list of snapshots and their handles; the gate, inside
 * which are all that serve first writes, closed for the instant of a take; one lock
 * for each unit of 2 MiB.
 */
#ifndef CT_SNAPSHOT_HEAP_H
#define CT_SNAPSHOT_HEAP_H

#include <pthread.h>

#include <cowtrace/snapshot.h>

#include "snapshot/bits.h"
#include "snapshot/store.h"
#include "snapshot/uffd.h"

/* 2 MiB of the heap, and where a run of neighbouring first writes in it stands. */
struct ct_snap_unit {
	_Atomic u32 lock;
	u16 next;	   /* the page of the unit that would continue the run; 0: none */
	u16 run;	   /* pages of its last batch */
	_Atomic u32 fresh; /* may have pages that were never touched */
	u32 pad;
};

/* cowtrace_snapshot.users: calls under way and the owner, with two marks. */
#define CT_SNAP_RELEASED (1u << 31)
#define CT_SNAP_GIVEN_UP (1u << 30)
#define CT_SNAP_USERS (CT_SNAP_GIVEN_UP - 1)

/* Entries of a snapshot's table that one bit of its index stands for: a page of it. */
#define CT_SNAP_LEAF_PAGES 1024

struct cowtrace_snapshot {
	struct cowtrace_heap *heap;
	_Atomic u32 users;
	u64 id;		     /* the number of its take */
	_Atomic u32 *slots;  /* by page; NONE: not saved */
	_Atomic u64 *leaves; /* which parts of slots hold any */
	char *_Atomic view;  /* NULL: none */
};

#define CT_SNAP_NR_HANDLES 1024

struct ct_snap_counters {
	_Atomic u64 takes, take_ns, last_take_ns, last_pause_ns, max_pause_ns, protected_pages;
	_Atomic u64 faults, batches, reused_pages, saved_pages, saved_zero_pages, prepared_pages;
	_Atomic u64 view_pages, reread_pages, stalls, stall_ns, invalidated;
};

/* The thread that fills views, and what it needs; view.c. */
struct ct_snap_views {
	_Atomic u32 lock;
	struct ct_snap_uffd uffd;
	pthread_t thread;
	int stop_fd;
	bool running;
	struct cowtrace_snapshot *of[COWTRACE_MAX_SNAPSHOTS]; /* that have a view; NULL: free */
};

struct cowtrace_heap {
	char *base;
	size_t len;
	u64 nr_pages, nr_units;
	bool owns_memory, huge, dense;
	enum cowtrace_serve serve;
	enum cowtrace_at_limit at_limit;
	u64 stall_max_ns;
	struct ct_snap_uffd uffd;

	_Atomic u32 *alive_mark; /* 1; 0 in a forked child */
	_Atomic u32 take;	 /* lock */
	_Atomic u32 gate;
	u64 epoch; /* takes so far; under `take` */

	/* One mapping: the tables by page and by unit. */
	void *tables;
	size_t tables_len;
	struct ct_snap_bits dirty; /* writable: released since the last take */
	struct ct_snap_unit *units;
	_Atomic u32 any_fresh;
	int pagemap_fd; /* of a huge heap; -1 */

	struct ct_snap_store store;

	/* Alive, by id; changed with the gate closed. */
	struct cowtrace_snapshot *alive[COWTRACE_MAX_SNAPSHOTS];
	_Atomic u32 nr_alive;

	/* Handles; under `take`.  The longest released is used next. */
	struct cowtrace_snapshot *handles;
	void *spare_table; /* empty, for the next take; NULL: none */
	u16 idle[CT_SNAP_NR_HANDLES];
	u32 idle_head, nr_idle;

	pthread_t thread; /* of COWTRACE_SERVE_THREAD */
	int stop_fd;
	bool thread_runs;
	int signal_slot; /* of COWTRACE_SERVE_SIGNAL; -1 */

	struct ct_snap_views views;
	struct ct_snap_counters count;
};

static inline void ct_snap_count(_Atomic u64 *counter, u64 n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline char *ct_snap_page_addr(const struct cowtrace_heap *h, u64 page)
{
	return h->base + (page << CT_PAGE_SHIFT);
}

/* Its slot of a page, or NONE. */
static inline u32 ct_snap_slot(const struct cowtrace_snapshot *s, u64 page)
{
	return atomic_load_explicit(&s->slots[page], memory_order_acquire);
}

/* 0, -EINVAL (NULL), -ECHILD. */
int ct_snap_heap_check(const struct cowtrace_heap *h);

/* handle.c: snapshots as things with users. */

/* Begins a call on a snapshot; 0, -EINVAL, -ECHILD, -ESTALE, -EBADF. */
int ct_snap_get(struct cowtrace_snapshot *s);
/* Ends it; the last one out frees what a release left. */
void ct_snap_put(struct cowtrace_snapshot *s);
/* 0, or what became of it since: -EBADF, -ESTALE. */
int ct_snap_state(const struct cowtrace_snapshot *s);
/* Under `take`: a handle with its table, one user; NULL and *ret_err. */
struct cowtrace_snapshot *ct_snap_handle_new(struct cowtrace_heap *h, int *ret_err);
/* What it has goes back: its view, its slots.  Nobody uses it any more. */
void ct_snap_handle_empty(struct cowtrace_snapshot *s);
/* Under `take`: an empty one, and its table, may be used again. */
void ct_snap_handle_free(struct cowtrace_snapshot *s);
/* At the heap's end. */
void ct_snap_spare_free(struct cowtrace_heap *h);
/* Under `take`: first writes save nothing more for it. */
void ct_snap_unlink(struct cowtrace_snapshot *s);
/* Takes the snapshot's references away from its slots. */
void ct_snap_slots_put(struct cowtrace_snapshot *s);

/* fault.c */

/* A write to this page met its protection.  0, or -errno: it cannot be served. */
int ct_snap_first_write(struct cowtrace_heap *h, u64 page);

/* limit.c */

/*
 * There was no room for a saved page.  @freed: store.freed before the attempt;
 * @since: when the first attempt was, ns, 0 at first.  Returns when it makes sense
 * to try again.
 */
void ct_snap_limit_wait(struct cowtrace_heap *h, u32 freed, u64 *since);

/* thread.c, signal.c: the two ways. */
int ct_snap_thread_start(struct cowtrace_heap *h);
void ct_snap_thread_stop(struct cowtrace_heap *h);
int ct_snap_signal_start(struct cowtrace_heap *h);
void ct_snap_signal_stop(struct cowtrace_heap *h);

/* view.c */
void ct_snap_view_end(struct cowtrace_snapshot *s);
void ct_snap_views_stop(struct cowtrace_heap *h);

/* attach.c: is [addr, addr + len) memory that a heap can be made of? */
int ct_snap_attach_check(const void *addr, size_t len);

#endif
