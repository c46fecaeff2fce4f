/* SPDX-License-Identifier: MIT */
/*
 * forkload: a fork tree whose copy-on-write is known to the page.
 *
 * Everything that a process must remember across forks lies in one MAP_SHARED
 * mapping, so that the book-keeping itself is never copied on write.
 */
#ifndef FORKLOAD_H
#define FORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FL_PAGE 4096UL
#define FL_UNIT_PAGES 512U /* pages of a PMD-mapped unit */
#define FL_MAX_FORKS 8
#define FL_NAME 16

enum fl_region_id {
	FL_BRK,
	FL_MMAP,
	FL_STACK,
	FL_BSS,
	FL_DATA,
	FL_READ,     /* written through read(2) only */
	FL_ZERO,     /* read before the forks, never written: the zero page */
	FL_FILE,     /* private file mapping; half of it written before the forks */
	FL_REMAP,    /* moved by mremap while shared */
	FL_DONTFORK, /* shared by the first fork, MADV_DONTFORK after it */
	FL_DROP,     /* dropped in four ways */
	FL_THP,	     /* only with --huge */
	FL_NR_REGIONS,
};

enum fl_proc_id {
	FL_P, /* the parent of all */
	FL_A, /* child of P, parent of G; ends by exit() */
	FL_G, /* child of A, outlives it; ends by _exit() */
	FL_B, /* second child of P; ends by quick_exit() */
	FL_C, /* third child of P; ends by exec */
	FL_D, /* fourth child of P; killed, only with --kill */
	FL_NR_PROCS,
};

enum fl_role {
	FL_PARENT,
	FL_CHILD,
	FL_GRANDCHILD,
	FL_NR_ROLES,
};

enum fl_side {
	FL_SIDE_PARENT,
	FL_SIDE_CHILD,
	FL_NR_SIDES,
};

/* What a page is told by: the kernel's page frame, or the model's object. */
enum fl_judge {
	FL_BY_PFN,
	FL_BY_MODEL,
	FL_NR_JUDGES,
};

struct fl_count {
	uint32_t shared; /* pages at the fork */
	uint32_t huge;	 /* of these, mapped by PMDs */
	uint32_t copied;
	uint32_t dropped;
	uint32_t fresh;
	/*
	 * Model only: written while no other process maps this page but others map
	 * the same large folio.  Kernels differ on it, so the model does not say.
	 */
	uint32_t unsure;
};

/*
 * First writes, by the model: the first of each page that was there at the newest fork
 * of its process.  The writing function is that of region and role (work.c).
 */
struct fl_first {
	uint32_t copied;
	uint32_t reused; /* nobody else mapped it any more */
	uint32_t unsure; /* one or the other: see fl_count */
};

/* One page of one process. */
struct fl_page {
	uint64_t base[FL_NR_JUDGES]; /* when its epoch began; 0: not present */
	uint32_t obj;		     /* model: what it maps now; 0: nothing private */
	uint8_t fork;		     /* the fork that it belongs to, 0 none */
	uint8_t side;
	bool dropped; /* since the epoch began */
	bool unsure;
	bool untouched; /* there at its process's newest fork, and not written since */
};

struct fl_region {
	char name[FL_NAME];
	const char *kind;
	uint32_t first; /* index of its first page in fl_proc.pages */
	uint32_t pages; /* 0: not in this run */
};

struct fl_proc {
	pid_t pid;
	enum fl_role role;
	uint32_t newest; /* newest fork it took part in that still counts; 0 none */
	enum fl_side side;
	uint64_t start[FL_NR_REGIONS]; /* where the region is; 0: not mapped here */
	bool dontfork[FL_NR_REGIONS];
	struct fl_page *pages;
};

struct fl_fork {
	enum fl_proc_id parent, child;
	pid_t parent_pid, child_pid;
	uint64_t start[FL_NR_REGIONS]; /* at the fork */
	struct fl_count n[FL_NR_JUDGES][FL_NR_SIDES][FL_NR_REGIONS];
	struct fl_first first[FL_NR_SIDES][FL_NR_REGIONS];
};

struct fl_writer {
	_Atomic uint32_t pages;
	_Atomic uint32_t copied;
	_Atomic uint32_t reused;
	_Atomic uint32_t fresh;
};

struct fl {
	/* options */
	uint32_t nr_threads;
	uint32_t scale;
	bool huge, kill, tag, pair;

	bool pfn;		    /* this user sees page frames */
	bool drained;		    /* LRU batches were emptied before every fork */
	_Atomic uint32_t nr_errors; /* births or models that do not fit the kernel's word */
	uint64_t moved_pages;	    /* migrations and collapses meanwhile, system-wide */
	uint32_t nr_forks;	    /* ids count from 1 */
	struct fl_fork forks[FL_MAX_FORKS + 1];
	struct fl_region regions[FL_NR_REGIONS];
	uint32_t nr_pages; /* of all regions */
	struct fl_proc procs[FL_NR_PROCS];
	struct fl_writer writers[FL_NR_REGIONS][FL_NR_ROLES];
	/* First writes to pages that nobody shared any more, by the parent of all. */
	uint32_t late[FL_NR_REGIONS];

	_Atomic uint32_t steps[64]; /* futex words of the scenario */
	_Atomic uint32_t next_obj;
	_Atomic uint32_t *refs; /* by object: how many processes map it */
	uint32_t max_objs;
	int life[2]; /* pipe held by G: reads as ended once G has gone */
};

/* model.c: who maps what, by construction and by page frame */
struct fl *fl_create(uint32_t nr_threads, uint32_t scale, bool huge);
void fl_proc_begin(struct fl *fl, enum fl_proc_id p, enum fl_role role);
void fl_model_write(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr,
		    struct fl_writer *w);
void fl_model_drop(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr);
void fl_model_gone(struct fl *fl, enum fl_proc_id p);
pid_t fl_fork(struct fl *fl, enum fl_proc_id parent, enum fl_proc_id child);
void fl_settle(struct fl *fl, enum fl_proc_id p);
void fl_over(struct fl *fl, enum fl_proc_id p);

/* frames.c: what the kernel says of our pages */
bool fl_frames_probe(void);
void fl_frames_read(struct fl *fl, enum fl_proc_id p, uint64_t *ret_pfns);
uint32_t fl_frames_huge(uint64_t start, uint64_t end);
uint64_t fl_frames_moved(void);
bool fl_drain(void);

/* regions.c */
void fl_regions_map(struct fl *fl, void *stack);
void fl_regions_fill(struct fl *fl);
uint32_t fl_stack_pages(const struct fl *fl);

/* work.c: the named functions that write */
void fl_write(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr);
void fl_drop(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr);
void fl_unmap(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr);
void fl_map_over(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr);
void fl_move(struct fl *fl, enum fl_proc_id p, int region);
void fl_keep_from_forks(struct fl *fl, enum fl_proc_id p, int region);
void fl_touch(struct fl *fl, enum fl_proc_id p, int region, uint32_t first, uint32_t nr);

/* scenario.c */
int fl_scenario(struct fl *fl);

/* print.c */
void fl_print(const struct fl *fl);

/* main.c */
void fl_die(const char *what) __attribute__((noreturn));

#endif
