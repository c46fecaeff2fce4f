/* SPDX-License-Identifier: MIT */
/*
 * The ledger again, page by page and without any bookkeeping of counts: what it
 * says of a page is counted over all processes each time it is asked.  Slow, and
 * simple enough to be read as the specification of libcowtrace/ledger.
 */
#ifndef TEST_NAIVE_H
#define TEST_NAIVE_H

#include "ledger/ledger.h"

#define NV_UNITS 3
#define NV_PAGES (NV_UNITS * 512)
#define NV_PROCS 5
#define NV_BASE (64 * 512ULL) /* page number of the first */
#define NV_PINS 32

enum nv_kind { NV_NONE, NV_PRESENT, NV_SWAP, NV_ZERO, NV_FILE };

struct nv_folio {
	struct cowtrace_owners own; /* history matters: kept event by event */
	u32 extra, pins;
	bool cached, out;	/* in the swap cache; in swap only, in one piece */
	u32 entire, max, swaps; /* counted by nv_count() */
};

struct nv_frame {
	struct nv_folio *folio; /* NULL: a small page */
	u8 order;
	u16 index; /* in its folio */
	bool exclusive, cached, ksm, swapped;
	bool either; /* from swap it comes alone or with its folio: kernels differ */
	u32 extra;
	u32 ptes, swaps; /* counted by nv_count() */
};

struct nv_page {
	enum nv_kind kind;
	bool flag; /* present: writable; swap: marked exclusive */
	struct nv_frame *frame;
	/* of its mapping */
	bool mapped, writable;
	u8 backing;
	int vma, map;
};

struct nv_proc {
	u32 pid; /* 0: none */
	u32 mm;
	struct nv_page page[NV_PAGES];
	bool pmd[NV_UNITS], table[NV_UNITS];
	bool anon[256]; /* by vma */
};

struct nv {
	struct ct_ledger_options opts;
	bool has_mark;
	bool counted; /* nothing happens now: the counts of before still hold */
	u32 next_mm;
	int next_vma;
	struct nv_proc proc[NV_PROCS];
	struct {
		u32 pid;
		u32 page;
		struct nv_frame *frame;
		enum ct_pin kind;
	} pin[NV_PINS];
	int nr_pins;
	void *mem[400000]; /* everything allocated; freed at the end */
	u32 nr_mem;
};

/* Walks over everything; nv_state() does, unless nv->counted. */
void nv_count(struct nv *nv);
void nv_free(struct nv *nv);
struct nv_proc *nv_find(struct nv *nv, u32 pid);
void nv_spawn(struct nv *nv, u32 pid);
void nv_map(struct nv *nv, u32 pid, u32 unit, enum ct_backing backing);
int nv_touch(struct nv *nv, u32 pid, u32 page, u32 nr, bool write, struct ct_effect *eff);
void nv_fork(struct nv *nv, u32 parent, u32 child, struct ct_effect *eff);
void nv_exit(struct nv *nv, u32 pid);
void nv_dontneed(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff);
void nv_protect(struct nv *nv, u32 pid, u32 page, u32 nr, bool writable, struct ct_effect *eff);
void nv_split(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff);
int nv_pin(struct nv *nv, u32 pid, u32 page, enum ct_pin kind, struct ct_effect *eff);
int nv_unpin(struct nv *nv, u32 pid, u32 page);
int nv_merge(struct nv *nv, u32 pid_a, u32 a, u32 pid_b, u32 b, struct ct_effect *eff);
void nv_pageout(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff);
int nv_collapse(struct nv *nv, u32 pid, u32 unit);
/* -EFAULT: nothing is there, as ct_ledger_state(). */
int nv_state(struct nv *nv, u32 pid, u32 page, struct cowtrace_page_state *st);

#endif
