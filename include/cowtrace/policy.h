/* SPDX-License-Identifier: MIT */
/*
 * The kernel's reuse-or-copy rule for private memory, one pure function for
 * each generation of Linux: from the state of a page that a write faults on, to
 * what the kernel does with it and why.
 *
 * Nothing here does I/O, allocates, or keeps state: every function may be
 * called from any thread, from a signal handler and from a forked child.
 *
 * The rules, and the kernel commit or version each was read in, are told in
 * docs/cow-generations.md; what real kernels did is in docs/conformance.md.
 */
#ifndef COWTRACE_POLICY_H
#define COWTRACE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Pages of one PMD-mapped huge page (x86-64, 4 KiB pages). */
#define COWTRACE_HUGE_ORDER 9
#define COWTRACE_HUGE_PAGES (1U << COWTRACE_HUGE_ORDER)

/* A generation of the rule.  The last three were posted and never merged. */
enum cowtrace_model_id {
	COWTRACE_MODEL_G1,	 /* to 5.0 */
	COWTRACE_MODEL_G2,	 /* 5.1 to 5.7 */
	COWTRACE_MODEL_G2_SPLIT, /* 5.8 */
	COWTRACE_MODEL_G3,	 /* 5.9 to 5.17 */
	COWTRACE_MODEL_G4,	 /* 5.18 */
	COWTRACE_MODEL_G5,	 /* 5.19 to 6.9 */
	COWTRACE_MODEL_G5_LATE,	 /* 6.10 to 6.12 */
	COWTRACE_MODEL_G5_ZERO,	 /* 6.13 and 6.14 */
	COWTRACE_MODEL_G6,	 /* 6.15 on */
	COWTRACE_MODEL_G6B,	 /* as G6, cheaper tests; mainline of mid-2026 */
	COWTRACE_MODEL_RMAPID,	 /* the rmap-ID series of November 2023 */
	COWTRACE_MODEL_DRAFT,	 /* the draft of January 2022 that became G4 */
	COWTRACE_MODEL_EAGER,	 /* copy all of a huge page once it was split */
	COWTRACE_NR_MODELS
};

/*
 * The inputs of the rules.  The number is the bit in cowtrace_page_state.known
 * and, for the ones that are yes or no, in cowtrace_page_state.flags.
 */
enum cowtrace_field {
	/* yes or no */
	COWTRACE_FIELD_SWAPCACHE,  /* the folio is in the swap cache */
	COWTRACE_FIELD_LRU,	   /* on an LRU list; no: in a per-CPU batch */
	COWTRACE_FIELD_LRU_LOCAL,  /* that batch is the faulting CPU's */
	COWTRACE_FIELD_LOCKED,	   /* somebody else holds the folio lock */
	COWTRACE_FIELD_WRITEBACK,  /* being written to swap */
	COWTRACE_FIELD_STABLE,	   /* swap device wants stable pages in writeback */
	COWTRACE_FIELD_KSM,	   /* merged by KSM */
	COWTRACE_FIELD_KSM_STABLE, /* has its KSM stable node */
	COWTRACE_FIELD_EXCLUSIVE,  /* PG_anon_exclusive of this page (5.19) */
	COWTRACE_FIELD_PINNED,	   /* pinned for DMA (FOLL_PIN); fork looks at it */
	COWTRACE_FIELD_ZERO,	   /* the shared zero page, small or huge */
	COWTRACE_FIELD_FILE,	   /* a page of the page cache, mapped privately */
	COWTRACE_FIELD_SHARED,	   /* the mapping is MAP_SHARED */
	COWTRACE_FIELD_SPECIAL,	   /* no struct page behind it */
	COWTRACE_FIELD_HUGETLB,	   /* a page of hugetlbfs */
	COWTRACE_FIELD_PMD,	   /* the faulting entry maps a whole huge page */
	COWTRACE_FIELD_MM_SHARED,  /* "mapped shared" bit of the owner slots (6.15) */
	COWTRACE_FIELD_UFFD_WP,	   /* the entry is write-protected by userfaultfd */
	COWTRACE_FIELD_UFFD_ASYNC, /* ... in asynchronous mode */
	COWTRACE_FIELD_HUGE_ALLOC, /* a new huge page can be had for this mapping */
	COWTRACE_FIELD_CHANGED,	   /* the entry changed while the lock was awaited */
	COWTRACE_FIELD_RACED,	   /* mapped or referenced between look and lock */
	COWTRACE_FIELD_RMAP_BUSY,  /* another CPU is (un)mapping the folio now */
	/* numbers */
	COWTRACE_FIELD_MAPCOUNT,	/* entries that map this page, of any process */
	COWTRACE_FIELD_REFCOUNT,	/* references of the whole folio */
	COWTRACE_FIELD_SWAPCOUNT,	/* swap entries that still want the folio */
	COWTRACE_FIELD_MAX_MAPCOUNT,	/* the largest map + swap count in the folio */
	COWTRACE_FIELD_ENTIRE_MAPCOUNT, /* PMD entries that map the folio */
	COWTRACE_FIELD_LARGE_MAPCOUNT,	/* all entries that map any page of the folio */
	COWTRACE_FIELD_OWN_MAPCOUNT,	/* those of the faulting process */
	COWTRACE_FIELD_ORDER,		/* log2 of the folio's pages */
	COWTRACE_NR_FIELDS
};

#define COWTRACE_BIT(field) (1U << (field))

/*
 * What is known of a page at the moment of the write, read as the kernel would
 * read it: the entry is present and not writable.  A field whose bit in @known
 * is clear is not looked at, whatever it holds.
 */
struct cowtrace_page_state {
	uint32_t known; /* COWTRACE_BIT() of each field that is known */
	uint32_t flags; /* COWTRACE_BIT() of each yes-or-no field that is yes */
	uint32_t mapcount;
	uint32_t refcount;
	uint32_t swapcount;
	uint32_t max_mapcount;
	uint32_t entire_mapcount;
	uint32_t large_mapcount;
	uint32_t own_mapcount;
	uint32_t order;
	/*
	 * Where the write goes and the bounds of its mapping, in bytes; all zero
	 * when not given.  Only cowtrace_page_state_check() looks at them.
	 */
	uint64_t addr;
	uint64_t vma_start;
	uint64_t vma_end;
};

/* What the kernel does. */
enum cowtrace_action {
	COWTRACE_REUSE,	       /* the page is made writable where it is */
	COWTRACE_COPY,	       /* a new small page takes the content */
	COWTRACE_SPLIT,	       /* the huge mapping becomes 512 small ones; then `then` */
	COWTRACE_COPY_HUGE,    /* 2 MiB (or a hugetlb page) are copied at once */
	COWTRACE_ALLOC_ZEROED, /* the zero page is replaced; nothing is copied */
	COWTRACE_RETRY,	       /* nothing is decided: the access faults again */
	COWTRACE_UNCERTAIN,    /* depends on an input that is not known */
	COWTRACE_NR_ACTIONS
};

/* Why.  cowtrace_reason_text() has a sentence for each. */
enum cowtrace_reason {
	COWTRACE_REASON_NONE,
	/* before the rule proper */
	COWTRACE_REASON_UFFD_WP_SYNC,
	COWTRACE_REASON_UFFD_WP_ASYNC,
	COWTRACE_REASON_SHARED_MAPPING,
	COWTRACE_REASON_ZERO_PAGE,
	COWTRACE_REASON_ZERO_SPLIT,
	COWTRACE_REASON_ZERO_HUGE,
	COWTRACE_REASON_SPECIAL_PFN,
	COWTRACE_REASON_PRIVATE_FILE,
	COWTRACE_REASON_FILE_HUGE,
	COWTRACE_REASON_HUGETLB_EXCLUSIVE,
	COWTRACE_REASON_HUGETLB_SHARED,
	/* KSM */
	COWTRACE_REASON_KSM,
	COWTRACE_REASON_KSM_SWAPCACHE,
	COWTRACE_REASON_KSM_SHARED,
	COWTRACE_REASON_KSM_FREEZE_FAILED,
	COWTRACE_REASON_KSM_REUSED,
	/* by mapping count: to 5.8, huge pages to 5.17 */
	COWTRACE_REASON_PTE_CHANGED,
	COWTRACE_REASON_MAPCOUNT_SHARED,
	COWTRACE_REASON_SWAPCOUNT_SHARED,
	COWTRACE_REASON_SWAP_STABLE_WRITEBACK,
	COWTRACE_REASON_MAPCOUNT_EXCLUSIVE,
	/* by reference count: 5.9 on */
	COWTRACE_REASON_SWAPCACHE_REF,
	COWTRACE_REASON_LRU_CACHE_REF,
	COWTRACE_REASON_PIN_OR_TRANSIENT_REF,
	COWTRACE_REASON_EARLY_REFCOUNT,
	COWTRACE_REASON_LRU_CACHE_REF_REMOTE,
	COWTRACE_REASON_TRYLOCK_FAILED,
	COWTRACE_REASON_SWAP_WRITEBACK,
	COWTRACE_REASON_SWAP_SHARED,
	COWTRACE_REASON_LOCKED_RECHECK,
	COWTRACE_REASON_REFCOUNT_ONE,
	/* by the exclusive mark: 5.19 on */
	COWTRACE_REASON_ANON_EXCLUSIVE,
	/* large folios mapped by PTEs */
	COWTRACE_REASON_LARGE_FOLIO,
	COWTRACE_REASON_LARGE_LAST_PAGE,
	COWTRACE_REASON_LARGE_SHARED_MM,
	COWTRACE_REASON_LARGE_SWAPCACHE_TRYLOCK,
	COWTRACE_REASON_LARGE_EXTRA_REF,
	COWTRACE_REASON_LARGE_RACE,
	COWTRACE_REASON_LARGE_EXCLUSIVE,
	COWTRACE_REASON_RMAPID_BUSY,
	COWTRACE_REASON_RMAPID_MAPCOUNT,
	COWTRACE_REASON_RMAPID_EXTRA_REF,
	COWTRACE_REASON_RMAPID_OTHER_MM,
	COWTRACE_REASON_RMAPID_RETRY,
	COWTRACE_REASON_RMAPID_EXCLUSIVE,
	COWTRACE_REASON_EAGER_REMAINDER,
	/* huge pages mapped by a PMD */
	COWTRACE_REASON_THP_MAPCOUNT_EXCLUSIVE,
	COWTRACE_REASON_THP_REFCOUNT_ONE,
	COWTRACE_REASON_THP_ANON_EXCLUSIVE,
	COWTRACE_REASON_THP_COPY,
	COWTRACE_REASON_THP_COPY_SMALL,
	COWTRACE_REASON_THP_SHARED_SPLIT,
	COWTRACE_REASON_THP_EXTRA_REF_SPLIT,
	/* given by the ledger, where no fault happens */
	COWTRACE_REASON_WRITABLE,
	COWTRACE_REASON_NOT_PRESENT,
	COWTRACE_NR_REASONS
};

struct cowtrace_verdict {
	enum cowtrace_action action;
	enum cowtrace_reason reason;
	/* After COWTRACE_SPLIT: what the small-page rule then does here. */
	enum cowtrace_action then;
	enum cowtrace_reason then_reason;
	/*
	 * With COWTRACE_UNCERTAIN: the first unknown input that would decide,
	 * else COWTRACE_NR_FIELDS; and what happens if each unknown input has
	 * its ordinary value (no foreign reference, no contention, no race).
	 * Otherwise the same as action and reason.
	 */
	enum cowtrace_field decides;
	enum cowtrace_action likely;
	enum cowtrace_reason likely_reason;
};

/* One condition of a rule as it was evaluated. */
enum cowtrace_truth { COWTRACE_NO, COWTRACE_YES, COWTRACE_MAYBE };

struct cowtrace_step {
	enum cowtrace_reason reason; /* what a yes means */
	enum cowtrace_action action; /* what a yes leads to */
	enum cowtrace_truth truth;
	enum cowtrace_field field; /* the input it looks at first */
	uint32_t value;		   /* what it saw there, as of this step (0 when not known) */
};

/* Enough for every rule of every model. */
#define COWTRACE_MAX_STEPS 24

struct cowtrace_model {
	enum cowtrace_model_id id;
	const char *name;     /* "g5-late": what --model takes */
	const char *versions; /* "6.10 to 6.12" */
	const char *rule;     /* the small-page rule in one line */
	const char *huge_rule;
	const char *source; /* commit, or where it was posted */
	bool shipped;	    /* false: no kernel has it */
};

/*
 * cowtrace_model_get - a model's description; NULL for an id out of range.
 * Static storage.
 */
const struct cowtrace_model *cowtrace_model_get(enum cowtrace_model_id id);

/*
 * cowtrace_model_find - a model by its name, or by a kernel release
 * @name: "g3", or "5.10", "6.18.44", "5.10.0-32-cloud-amd64": the leading two
 *        numbers are matched to upstream's releases.  A distribution may have
 *        backported another rule: `cowtrace policy probe` finds out.
 *
 * Returns 0, or -ENOENT when nothing has this name.
 */
int cowtrace_model_find(const char *name, enum cowtrace_model_id *ret_id);

/*
 * cowtrace_page_state_init - an ordinary small anonymous page, all of it known:
 * mapped once, one reference, on the LRU, not exclusive.
 */
void cowtrace_page_state_init(struct cowtrace_page_state *st);

/*
 * cowtrace_page_state_check - may a kernel ever be in this state?
 * @ret_why: set with -EINVAL to a sentence in static storage; may be NULL
 *
 * Only known fields are held against each other.  Returns 0 or -EINVAL.
 */
int cowtrace_page_state_check(const struct cowtrace_page_state *st, const char **ret_why);

/*
 * cowtrace_policy_judge - what does a write to this page do?
 *
 * Costs 5 to 20 ns.  Returns 0, or -EINVAL for an unknown model or a state that
 * cowtrace_page_state_check() refuses.
 */
int cowtrace_policy_judge(enum cowtrace_model_id model, const struct cowtrace_page_state *st,
			  struct cowtrace_verdict *ret_verdict);

/*
 * cowtrace_policy_explain - the same, with each condition in the order in which
 * the kernel tests it
 * @steps: the caller's array of COWTRACE_MAX_STEPS
 *
 * Errors as cowtrace_policy_judge().
 */
int cowtrace_policy_explain(enum cowtrace_model_id model, const struct cowtrace_page_state *st,
			    struct cowtrace_step *steps, size_t *ret_nr_steps,
			    struct cowtrace_verdict *ret_verdict);

/* What fork does with one present entry of the parent. */
enum cowtrace_fork_action {
	COWTRACE_FORK_SHARE,	  /* both map it, read-only; never exclusive after */
	COWTRACE_FORK_COPY,	  /* pinned: the child gets a copy, the parent keeps all */
	COWTRACE_FORK_SPLIT_COPY, /* pinned huge page: split in the parent, 512 copies */
	COWTRACE_FORK_REFAULT,	  /* nothing is copied: the child faults it in later */
};

/*
 * cowtrace_policy_fork - fork's effect on an entry; the mapping is neither
 * MADV_DONTFORK nor MADV_WIPEONFORK (those never reach the entries).
 * Needs FILE, SHARED, PINNED, EXCLUSIVE and PMD to be known.
 *
 * Returns 0, or -EINVAL (model, or one of these fields is not known).
 * Kernel: copy_one_pte (to 5.8), copy_present_pte (5.9), copy_huge_pmd.
 */
int cowtrace_policy_fork(enum cowtrace_model_id model, const struct cowtrace_page_state *st,
			 enum cowtrace_fork_action *ret_action);

/* How a page of swap is mapped when it comes back. */
struct cowtrace_swapin {
	bool writable;	/* mapped writable at once: no write fault follows */
	bool exclusive; /* marked exclusive (5.19 on) */
};

/*
 * cowtrace_policy_swapin - fault on a swap entry
 * @st: the page as it is when its entry is set: mapcount counts the new entry,
 *      swapcount the entries left over; with a large folio that comes back whole,
 *      one of its new entries is set
 * @write: the access is a write
 * @exclusive_entry: the swap entry carries the exclusive mark (5.19 on)
 *
 * Returns 0, or -EINVAL (model, impossible state).  Kernel: do_swap_page.
 */
int cowtrace_policy_swapin(enum cowtrace_model_id model, const struct cowtrace_page_state *st,
			   bool write, bool exclusive_entry, struct cowtrace_swapin *ret);

/*
 * Who maps a large folio, as Linux 6.15 and later remember it: two slots and one
 * bit (6af8cb80d3a9).  A third process is not remembered: when it is the one that
 * remains, the folio counts as shared for ever after.
 */
struct cowtrace_owners {
	uint32_t id[2];	   /* 0: the slot is free */
	uint32_t count[2]; /* entries of that process */
	uint32_t total;	   /* entries of all */
	bool shared;	   /* the "mapped shared" bit */
};

/* A process (@id, not 0) maps @nr more entries of the folio, or @nr fewer. */
void cowtrace_owners_map(struct cowtrace_owners *own, uint32_t id, uint32_t nr);
void cowtrace_owners_unmap(struct cowtrace_owners *own, uint32_t id, uint32_t nr);

/*
 * Names: what the command line and JSON use ("copy", "early_refcount",
 * "refcount"), and a sentence for each.  Static storage; NULL when out of range.
 */
const char *cowtrace_action_name(enum cowtrace_action action);
const char *cowtrace_reason_name(enum cowtrace_reason reason);
const char *cowtrace_reason_text(enum cowtrace_reason reason);
const char *cowtrace_field_name(enum cowtrace_field field);
const char *cowtrace_field_text(enum cowtrace_field field);

/* True when the field is yes-or-no and lives in cowtrace_page_state.flags. */
static inline bool cowtrace_field_is_flag(enum cowtrace_field field)
{
	return field < COWTRACE_FIELD_MAPCOUNT;
}

/* Sets a field of either kind and marks it known. */
void cowtrace_page_state_set(struct cowtrace_page_state *st, enum cowtrace_field field,
			     uint32_t value);

/* Its value; 0 when it is not known. */
uint32_t cowtrace_page_state_get(const struct cowtrace_page_state *st, enum cowtrace_field field);

#ifdef __cplusplus
}
#endif

#endif
