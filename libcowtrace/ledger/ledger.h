/* SPDX-License-Identifier: MIT */
/*
 * The userspace account of who maps what: processes, their mappings, and the
 * folios behind them, driven by events; a write asks a generation's rule and
 * applies its verdict.  `cowtrace policy play` and what-if replay traces with it,
 * the recorder asks it for what the kernel does not export.
 *
 * Kept in units of 2 MiB: a unit whose 512 pages are alike costs one entry in each
 * process that maps it and one descriptor for them all.
 *
 * No I/O.  Not thread-safe: one caller at a time for one ledger.  Addresses are
 * page numbers (4 KiB).  Functions return 0 or -errno: -ESRCH no such process,
 * -EEXIST it exists, -ENOMEM (the ledger then answers -ENOMEM to everything but
 * destroy; so it does when one page has more than 65535 mappings), -EINVAL an empty
 * or overflowing range, and what each one names.
 */
#ifndef CT_LEDGER_LEDGER_H
#define CT_LEDGER_LEDGER_H

#include <cowtrace/policy.h>

#include "base/base.h"

struct ct_ledger;

/* The most processes alive at once; one more is -EAGAIN. */
#define CT_LEDGER_MAX_PROCS 16384

struct ct_ledger_options {
	size_t sz;
	enum cowtrace_model_id model;
	/* Swap that reads at once (zram): a page with one user skips the swap cache. */
	bool sync_swap;
	/*
	 * New small pages wait in a CPU's LRU batch until ct_ledger_drain(); which
	 * CPU's, the ledger does not know.  False: they are on the LRU at once.
	 */
	bool batches;
};

/* What a mapping is made of. */
enum ct_backing {
	CT_BACK_SMALL,	/* private anonymous, small pages */
	CT_BACK_MTHP64, /* ... folios of 16 pages where a whole one fits */
	CT_BACK_THP,	/* ... huge pages where an aligned one fits */
	/* the ones above may be watched by userfaultfd */
	CT_BACK_FILE,	 /* a private mapping of a cached file */
	CT_BACK_SHARED,	 /* MAP_SHARED */
	CT_BACK_HUGETLB, /* private, hugetlbfs, 2 MiB */
	CT_NR_BACKINGS
};

enum ct_advice {
	CT_ADVISE_DONTFORK,
	CT_ADVISE_DOFORK,
	CT_ADVISE_WIPEONFORK,
	CT_ADVISE_KEEPONFORK,
	CT_ADVISE_HUGEPAGE,
	CT_ADVISE_NOHUGEPAGE,
	CT_NR_ADVICES
};

/* Who hears of writes to pages that ct_ledger_uffd_protect() marks. */
enum ct_uffd {
	CT_UFFD_NONE,
	CT_UFFD_SYNC,  /* a monitor, which lets each page go by itself */
	CT_UFFD_ASYNC, /* nobody: the kernel clears the mark (6.7) */
	CT_NR_UFFDS
};

enum ct_pin {
	CT_PIN_GET,	 /* a plain reference: vmsplice, get_user_pages */
	CT_PIN_LONGTERM, /* FOLL_PIN for writing: io_uring buffers, RDMA */
};

/* What an event did, in pages; added to by each call. */
struct ct_effect {
	u64 reuse;	 /* written where they were */
	u64 copy;	 /* written to a new place (a huge copy counts the page written) */
	u64 zeroed;	 /* the zero page replaced */
	u64 fresh;	 /* nothing was there, or a swap entry */
	u64 copied_huge; /* 2 MiB copies */
	u64 split;	 /* PMD mappings that became PTEs */
	u64 uncertain;	 /* judged by what is likely: an input was not known */
	u64 reasons[COWTRACE_NR_REASONS]; /* pages by reason */
};

/* Creates an empty ledger.  -EINVAL: an unknown model. */
int ct_ledger_create(const struct ct_ledger_options *opts, struct ct_ledger **ret_ledger);
void ct_ledger_destroy(struct ct_ledger *l);

/* Bytes of memory that the ledger holds. */
size_t ct_ledger_memory(const struct ct_ledger *l);

/* A process that is nobody's child.  @pid is any number but 0. */
int ct_ledger_spawn(struct ct_ledger *l, u32 pid);
int ct_ledger_fork(struct ct_ledger *l, u32 parent, u32 child, struct ct_effect *eff);
int ct_ledger_exit(struct ct_ledger *l, u32 pid);
/* The memory goes, the process stays. */
int ct_ledger_exec(struct ct_ledger *l, u32 pid);

/* -EEXIST: something is mapped there; -EINVAL also: hugetlb that is not aligned. */
int ct_ledger_map(struct ct_ledger *l, u32 pid, u64 page, u64 nr, enum ct_backing backing);

/* -EFAULT: a page of the range is not mapped; write: or is read-only. */
int ct_ledger_write(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);
int ct_ledger_read(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);

int ct_ledger_unmap(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);
int ct_ledger_dontneed(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);
/* MADV_FREE without memory pressure: all it does is to split huge pages it cuts. */
int ct_ledger_free(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);
int ct_ledger_protect(struct ct_ledger *l, u32 pid, u64 page, u64 nr, bool writable,
		      struct ct_effect *eff);
int ct_ledger_advise(struct ct_ledger *l, u32 pid, u64 page, u64 nr, enum ct_advice advice,
		     struct ct_effect *eff);
/* mremap to an address where nothing is mapped (-EEXIST otherwise). */
int ct_ledger_remap(struct ct_ledger *l, u32 pid, u64 from, u64 nr, u64 to, struct ct_effect *eff);
/* Huge mappings that the range touches become small ones. */
int ct_ledger_split(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);
/* Large folios that the range touches become small pages, in every process; held ones stay. */
int ct_ledger_split_folio(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);
/* MADV_COLLAPSE of whole units.  -EBUSY: a page is pinned; -EINVAL: not whole. */
int ct_ledger_collapse(struct ct_ledger *l, u32 pid, u64 page, u64 nr);

/* KSM merges two pages of equal content.  -EINVAL: not both small and private. */
int ct_ledger_merge(struct ct_ledger *l, u32 pid_a, u64 page_a, u32 pid_b, u64 page_b,
		    struct ct_effect *eff);
/* MADV_UNMERGEABLE: KSM pages of the range are copied out. */
int ct_ledger_unmerge(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);

/*
 * Registers, or with CT_UFFD_NONE no more; the child of a fork is not watched, nor what
 * mremap moves.  -EFAULT: a page is not mapped; -EINVAL: not private anonymous, small
 * or THP.
 */
int ct_ledger_uffd(struct ct_ledger *l, u32 pid, u64 page, u64 nr, enum ct_uffd mode,
		   struct ct_effect *eff);
/* UFFDIO_WRITEPROTECT, PAGEMAP_SCAN.  -EFAULT: a page is not mapped, or not watched. */
int ct_ledger_uffd_protect(struct ct_ledger *l, u32 pid, u64 page, u64 nr, bool on,
			   struct ct_effect *eff);
/* Soft-dirty bits are cleared, as by /proc/PID/clear_refs. */
int ct_ledger_clear_dirty(struct ct_ledger *l, u32 pid);

/* MADV_PAGEOUT: what only this process maps goes to swap. */
int ct_ledger_pageout(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct ct_effect *eff);

/* -EFAULT: nothing is there.  A long-term pin takes a write fault first. */
int ct_ledger_pin(struct ct_ledger *l, u32 pid, u64 page, enum ct_pin kind, struct ct_effect *eff);
/* Drops the newest pin taken through this address.  -ENOENT: there is none. */
int ct_ledger_unpin(struct ct_ledger *l, u32 pid, u64 page);

/* Every CPU's LRU batches are emptied. */
int ct_ledger_drain(struct ct_ledger *l);

/* A stretch of pages of one process that are alike. */
struct ct_ledger_run {
	u64 page;
	u64 nr;
	bool present;
	bool swapped;
	bool writable; /* a write does not fault */
	bool zero;
	bool file;
	struct cowtrace_page_state st; /* of its first page, when present */
};

/*
 * Calls @fn for each run of the process, by address; the pages that are neither
 * present nor swapped are left out.  @fn's first answer other than 0 ends it.
 */
int ct_ledger_runs(struct ct_ledger *l, u32 pid,
		   int (*fn)(void *arg, const struct ct_ledger_run *run), void *arg);

/* One page's state as a write fault would see it.  -EFAULT: nothing is there. */
int ct_ledger_state(struct ct_ledger *l, u32 pid, u64 page, struct cowtrace_page_state *ret_st);

/* PMD mappings of anonymous huge pages, of one process or (pid 0) of all. */
u64 ct_ledger_nr_huge(struct ct_ledger *l, u32 pid);

#endif
