/* SPDX-License-Identifier: MIT */
/*
 * The ledger's insides.  Two sides of one book:
 *
 *   process -> unit (2 MiB of addresses) -> page-table entries
 *   block (2 MiB of memory, 512 frames)  -> frame, folio
 *
 * An entry names a frame by number: block << 9 | index.  Either side is "same"
 * (one descriptor for all 512) or "each" (an array), and turns from the first
 * into the second when one page becomes different; never back.
 */
#ifndef CT_LEDGER_INTERNAL_H
#define CT_LEDGER_INTERNAL_H

#include <errno.h>
#include <string.h>

#include "ledger/ledger.h"

#define UNIT_PAGES CT_HUGE_PAGES
#define UNIT_SHIFT (CT_HUGE_SHIFT - CT_PAGE_SHIFT)
#define UNIT_MASK (UNIT_PAGES - 1)
#define MTHP_ORDER 4

/* A page-table entry: kind, one flag, and a frame's number. */
typedef u32 ct_pte;
#define PTE_KIND_MASK 0xe0000000U
#define PTE_NONE 0U
#define PTE_PRESENT 0x20000000U
#define PTE_SWAP 0x40000000U
#define PTE_ZERO 0x60000000U
#define PTE_FILE 0x80000000U
/* Present: writable.  Swap: carries the exclusive mark. */
#define PTE_FLAG 0x10000000U
#define PTE_FRAME_MASK 0x0fffffffU

/* Frame flags. */
#define FR_EXCLUSIVE 1
#define FR_SWAPCACHE 2
#define FR_BATCHED 4 /* in an LRU batch */
#define FR_KSM 8
#define FR_SWAPPED 16 /* the content is in swap only */
#define FR_HUGETLB 32
#define FR_EITHER 64 /* from swap it comes alone, or with its folio: kernels differ */

/* FOLL_PIN adds this to a small page's count; a large folio counts pins apart. */
#define PIN_BIAS 1024

struct frame {
	u16 mapcount; /* PTEs; a PMD is counted by the folio */
	u16 swapcount;
	u16 extra; /* references that are neither mapping nor cache; small pages */
	u8 flags;
	u8 order;
};

/* What a large folio has beyond its frames. */
struct folio {
	struct cowtrace_owners own;
	u32 entire;
	u32 extra;
	u32 pins;
	u32 swaps; /* swap entries of all its pages */
	bool swapcache;
	bool out; /* the content is in swap only, in one piece */
};

struct block {
	bool used;
	bool pool; /* single frames are taken from and given back to it */
	bool is_each;
	u8 order;    /* of all its folios, when large */
	u16 nr_live; /* is_each: frames in use */
	union {
		struct frame same;
		struct frame *each;
	};
	union {
		struct folio folio; /* of all its folios, while same */
		struct folio *folios;
	};
};

struct unit {
	u64 nr; /* page number >> UNIT_SHIFT */
	bool pmd;
	bool wp; /* a PMD that userfaultfd write-protects */
	bool is_each;
	union {
		ct_pte same; /* of the first page; the others' frames follow it */
		ct_pte *each;
	};
};

struct vma {
	u64 start, end;
	u32 map; /* which ct_ledger_map() it is a piece of */
	u8 backing;
	bool writable;
	bool dontfork;
	bool wipeonfork;
	bool nohuge;
	u8 uffd;   /* enum ct_uffd */
	bool anon; /* an anonymous page was ever in it: fork copies its entries */
};

struct proc {
	u32 pid;
	u32 mm; /* owner id: new with each exec */
	struct vma *vmas;
	size_t nr_vmas, max_vmas;
	struct unit *units; /* by nr */
	size_t nr_units, max_units;
	size_t hint; /* the unit found last */
};

struct frame_stack {
	u32 *frames;
	size_t nr, max;
};

struct pin {
	u32 mm;
	u32 frame;
	u64 page;
	enum ct_pin kind;
};

struct ct_ledger {
	struct ct_ledger_options opts;
	bool has_mark;
	bool knows_pins; /* FOLL_PIN is told from other references (5.9) */
	bool has_slots;	 /* the kernel knows owners by the slots of 6.15 only */
	bool whole_swap; /* large folios come back from swap in one piece (6.11) */
	bool broken;	 /* an allocation failed, or a count is full: trust nothing */
	u32 next_mm, next_map;
	struct proc *procs;
	size_t nr_procs, max_procs;
	struct block *blocks;
	size_t nr_blocks, max_blocks;
	u32 *free_blocks;
	size_t nr_free_blocks, max_free_blocks;
	struct frame_stack free_frames, free_mthps; /* of pool blocks */
	struct pin *pins;
	size_t nr_pins, max_pins;
	size_t memory;
};

/* mem.c */
int ct_result(const struct ct_ledger *l, int rc); /* -ENOMEM if broken, else rc */
void *ct_mem_get(struct ct_ledger *l, size_t size);
void ct_mem_put(struct ct_ledger *l, void *p, size_t size);
/* Room for one more in an array; false: none (the ledger is then broken). */
bool ct_mem_room(struct ct_ledger *l, void **array, size_t nr, size_t *max, size_t size);

/* frame.c */
struct frame *ct_frame_at(struct ct_ledger *l, u32 frame); /* to change: makes it `each` */
const struct frame *ct_frame_see(const struct ct_ledger *l, u32 frame);
struct folio *ct_folio_at(struct ct_ledger *l, u32 frame);
const struct folio *ct_folio_see(const struct ct_ledger *l, u32 frame);
u32 ct_frame_new(struct ct_ledger *l);		 /* a small page; UINT32_MAX: no memory */
u32 ct_mthp_new(struct ct_ledger *l);		 /* the first of 16 */
u32 ct_block_new(struct ct_ledger *l, u8 order); /* its first frame */
void ct_block_flags(struct ct_ledger *l, u32 frame, u8 set, u8 clear);
void ct_frame_put(struct ct_ledger *l, u32 frame);
bool ct_block_each(struct ct_ledger *l, struct block *b);
void ct_frame_map(struct ct_ledger *l, u32 frame, u32 mm);
void ct_frame_unmap(struct ct_ledger *l, u32 frame, u32 mm);
void ct_frame_unswap(struct ct_ledger *l, u32 frame);
void ct_frame_count_swap(struct ct_ledger *l, u32 frame, int by);
void ct_frame_release(struct ct_ledger *l, u32 frame);
void ct_block_map_pmd(struct ct_ledger *l, u32 frame, u32 mm);
void ct_block_unmap_pmd(struct ct_ledger *l, u32 frame, u32 mm);
void ct_block_split_pmd(struct ct_ledger *l, u32 frame, u32 mm);
void ct_block_map_all(struct ct_ledger *l, u32 frame, u32 mm);
void ct_block_unmap_all(struct ct_ledger *l, u32 frame, u32 mm);
void ct_block_split_folio(struct ct_ledger *l, u32 frame);

/* Pages of the frame's folio. */
#define ct_folio_pages(l, frame) (1U << ct_frame_see(l, frame)->order)

static inline struct block *ct_block_of(const struct ct_ledger *l, u32 frame)
{
	return &l->blocks[(frame & PTE_FRAME_MASK) >> UNIT_SHIFT];
}

/* proc.c */
struct proc *ct_proc_find(struct ct_ledger *l, u32 pid);
struct vma *ct_vma_at(struct proc *p, u64 page);
struct vma *ct_vma_after(struct proc *p, u64 page); /* the first that ends after it */
int ct_vma_cut(struct ct_ledger *l, struct proc *p, u64 page);
int ct_vma_add(struct ct_ledger *l, struct proc *p, const struct vma *vma);
void ct_vma_merge(struct proc *p, u64 start, u64 end);
void ct_vma_drop(struct proc *p, u64 start, u64 end);
struct unit *ct_unit_find(struct proc *p, u64 page);
struct unit *ct_unit_get(struct ct_ledger *l, struct proc *p, u64 page); /* made if absent */
struct unit *ct_unit_after(struct proc *p, u64 nr); /* the first with this number or above */
void ct_unit_drop(struct ct_ledger *l, struct proc *p, struct unit *u);
bool ct_unit_each(struct ct_ledger *l, struct unit *u);
void ct_unit_split(struct ct_ledger *l, struct proc *p, struct unit *u, struct ct_effect *eff);
int ct_range_check(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct proc **ret_proc);

static inline ct_pte ct_pte_kind(ct_pte pte)
{
	return pte & PTE_KIND_MASK;
}

static inline ct_pte ct_pte_get(const struct unit *u, u32 i)
{
	if (u->is_each)
		return u->each[i];
	return ct_pte_kind(u->same) == PTE_PRESENT ? u->same + i : u->same;
}

/* The unit must be `each`. */
static inline void ct_pte_set(struct unit *u, u32 i, ct_pte pte)
{
	u->each[i] = pte;
}

/* fault.c: an entry and what it refers to, together */
void ct_entry_clear(struct ct_ledger *l, struct proc *p, struct unit *u, u32 i);
void ct_unit_clear(struct ct_ledger *l, struct proc *p, struct unit *u);
int ct_entry_fault(struct ct_ledger *l, struct proc *p, u64 page, bool write,
		   struct ct_effect *eff);

/* populate.c */
int ct_populate(struct ct_ledger *l, struct proc *p, struct vma *v, u64 page, bool write);
bool ct_populate_unit(struct ct_ledger *l, struct proc *p, struct vma *v, u64 page, bool write);

/* swap.c */
void ct_swap_in(struct ct_ledger *l, struct proc *p, struct vma *v, struct unit *u, u32 i,
		bool write, struct ct_effect *eff);

/* range.c */
bool ct_range_mapped(struct proc *p, u64 start, u64 end);
int ct_range_cut(struct ct_ledger *l, struct proc *p, u64 start, u64 end, struct ct_effect *eff);

/* state.c */
/* Maps it alone, as far as the kernel can tell, and nothing holds it; large folios only. */
bool ct_folio_mine(const struct ct_ledger *l, const struct proc *p, u32 frame);
void ct_state_of(struct ct_ledger *l, const struct proc *p, const struct unit *u, u32 i,
		 struct cowtrace_page_state *st);

/* pin.c */
void ct_pin_drop_mm(struct ct_ledger *l, u32 mm);

#endif
