/* SPDX-License-Identifier: MIT */
/*
 * Names and sentences of what policy.h numbers: the words of the command line, of
 * JSON, and of reports.  No rule.
 *
 * Invariant: a name is lower case and never changes once released.
 */
#include "base/base.h"

#include <cowtrace/policy.h>

struct name {
	const char *name;
	const char *text;
};

static const char *const actions[COWTRACE_NR_ACTIONS] = {
	[COWTRACE_REUSE] = "reuse",
	[COWTRACE_COPY] = "copy",
	[COWTRACE_SPLIT] = "split",
	[COWTRACE_COPY_HUGE] = "copy_huge",
	[COWTRACE_ALLOC_ZEROED] = "alloc_zeroed",
	[COWTRACE_RETRY] = "retry",
	[COWTRACE_UNCERTAIN] = "uncertain",
};

/* clang-format off */
static const struct name reasons[COWTRACE_NR_REASONS] = {
	[COWTRACE_REASON_NONE] = {
		"none",
		"nothing was decided",
	},
	[COWTRACE_REASON_UFFD_WP_SYNC] = {
		"uffd_wp_sync",
		"userfaultfd protects the page: its monitor is told, and decides when to go on",
	},
	[COWTRACE_REASON_UFFD_WP_ASYNC] = {
		"uffd_wp_async",
		"userfaultfd protects the page asynchronously: the mark is cleared; a huge "
		"mapping is split for it",
	},
	[COWTRACE_REASON_SHARED_MAPPING] = {
		"shared_mapping",
		"the mapping is MAP_SHARED: it is never copied on write",
	},
	[COWTRACE_REASON_ZERO_PAGE] = {
		"zero_page",
		"the page was only read so far, and is the shared zero page: a zeroed page "
		"replaces it",
	},
	[COWTRACE_REASON_ZERO_SPLIT] = {
		"zero_split",
		"the huge zero page is split, and one small zeroed page made",
	},
	[COWTRACE_REASON_ZERO_HUGE] = {
		"zero_huge",
		"the huge zero page is replaced by a zeroed huge page",
	},
	[COWTRACE_REASON_SPECIAL_PFN] = {
		"special_pfn",
		"there is no struct page behind the entry",
	},
	[COWTRACE_REASON_PRIVATE_FILE] = {
		"private_file",
		"the page belongs to a file: the first write to a private mapping copies it",
	},
	[COWTRACE_REASON_FILE_HUGE] = {
		"file_huge",
		"a huge page of a file: the mapping is dropped and refilled in small pages",
	},
	[COWTRACE_REASON_HUGETLB_EXCLUSIVE] = {
		"hugetlb_exclusive",
		"one process maps this hugetlb page",
	},
	[COWTRACE_REASON_HUGETLB_SHARED] = {
		"hugetlb_shared",
		"another process maps this hugetlb page",
	},
	[COWTRACE_REASON_KSM] = {
		"ksm",
		"KSM merged the page; it is never written in place",
	},
	[COWTRACE_REASON_KSM_SWAPCACHE] = {
		"ksm_swapcache",
		"KSM merged the page, and it is in the swap cache",
	},
	[COWTRACE_REASON_KSM_SHARED] = {
		"ksm_shared",
		"KSM merged the page, and something else refers to it",
	},
	[COWTRACE_REASON_KSM_FREEZE_FAILED] = {
		"ksm_freeze_failed",
		"KSM merged the page, and its only reference could not be frozen",
	},
	[COWTRACE_REASON_KSM_REUSED] = {
		"ksm_reused",
		"the KSM page has one user left: it is taken out of KSM and written in place",
	},
	[COWTRACE_REASON_PTE_CHANGED] = {
		"pte_changed",
		"the entry changed while the page lock was waited for",
	},
	[COWTRACE_REASON_MAPCOUNT_SHARED] = {
		"mapcount_shared",
		"another entry maps the page",
	},
	[COWTRACE_REASON_SWAPCOUNT_SHARED] = {
		"swapcount_shared",
		"another process still has the page as a swap entry",
	},
	[COWTRACE_REASON_SWAP_STABLE_WRITEBACK] = {
		"swap_stable_writeback",
		"the page is being written to a swap device that wants it unchanged",
	},
	[COWTRACE_REASON_MAPCOUNT_EXCLUSIVE] = {
		"mapcount_exclusive",
		"nothing else maps the page",
	},
	[COWTRACE_REASON_SWAPCACHE_REF] = {
		"swapcache_ref",
		"the swap cache still holds a reference, which counts as somebody else's",
	},
	[COWTRACE_REASON_LRU_CACHE_REF] = {
		"lru_cache_ref",
		"a CPU's LRU batch still holds a reference, which counts as somebody else's",
	},
	[COWTRACE_REASON_PIN_OR_TRANSIENT_REF] = {
		"pin_or_transient_ref",
		"something that is not a mapping refers to the page: get_user_pages, vmsplice, "
		"migration, reclaim",
	},
	[COWTRACE_REASON_EARLY_REFCOUNT] = {
		"early_refcount",
		"more references than the kernel itself could hold",
	},
	[COWTRACE_REASON_LRU_CACHE_REF_REMOTE] = {
		"lru_cache_ref_remote",
		"the page is not on the LRU, and draining this CPU's batch did not help: "
		"another CPU's holds it, or something else refers to it",
	},
	[COWTRACE_REASON_TRYLOCK_FAILED] = {
		"trylock_failed",
		"somebody holds the page lock, and it is only tried",
	},
	[COWTRACE_REASON_SWAP_WRITEBACK] = {
		"swap_writeback",
		"the page cannot leave the swap cache while it is written",
	},
	[COWTRACE_REASON_SWAP_SHARED] = {
		"swap_shared",
		"the page cannot leave the swap cache: another process still has the swap entry",
	},
	[COWTRACE_REASON_LOCKED_RECHECK] = {
		"locked_recheck",
		"with the lock held, the page was found shared after all",
	},
	[COWTRACE_REASON_REFCOUNT_ONE] = {
		"refcount_one",
		"nothing else refers to the page",
	},
	[COWTRACE_REASON_ANON_EXCLUSIVE] = {
		"anon_exclusive",
		"the page is marked exclusive to this process",
	},
	[COWTRACE_REASON_LARGE_FOLIO] = {
		"large_folio",
		"the page is part of a large folio, whose references are those of all its pages",
	},
	[COWTRACE_REASON_LARGE_LAST_PAGE] = {
		"large_last_page",
		"the last mapped page of a large folio is copied on purpose, to free the folio",
	},
	[COWTRACE_REASON_LARGE_SHARED_MM] = {
		"large_shared_mm",
		"the owner slots say that more than one process maps the large folio",
	},
	[COWTRACE_REASON_LARGE_SWAPCACHE_TRYLOCK] = {
		"large_swapcache_trylock",
		"the large folio is in the swap cache, and its lock is taken",
	},
	[COWTRACE_REASON_LARGE_EXTRA_REF] = {
		"large_extra_ref",
		"the large folio has references that are not mappings",
	},
	[COWTRACE_REASON_LARGE_RACE] = {
		"large_race",
		"the large folio's mappings changed during the test",
	},
	[COWTRACE_REASON_LARGE_EXCLUSIVE] = {
		"large_exclusive",
		"all references of the large folio are mappings of this process",
	},
	[COWTRACE_REASON_RMAPID_BUSY] = {
		"rmapid_busy",
		"somebody is mapping or unmapping the large folio",
	},
	[COWTRACE_REASON_RMAPID_MAPCOUNT] = {
		"rmapid_mapcount",
		"more mappings than the large folio has pages, or one by a PMD",
	},
	[COWTRACE_REASON_RMAPID_EXTRA_REF] = {
		"rmapid_extra_ref",
		"the large folio has references that are not mappings",
	},
	[COWTRACE_REASON_RMAPID_OTHER_MM] = {
		"rmapid_other_mm",
		"not all mappings of the large folio are this process's",
	},
	[COWTRACE_REASON_RMAPID_RETRY] = {
		"rmapid_retry",
		"the large folio's mappings changed during the test",
	},
	[COWTRACE_REASON_RMAPID_EXCLUSIVE] = {
		"rmapid_exclusive",
		"all references of the large folio are mappings of this process",
	},
	[COWTRACE_REASON_EAGER_REMAINDER] = {
		"eager_remainder",
		"the huge page was split once; what is left of it is copied",
	},
	[COWTRACE_REASON_THP_MAPCOUNT_EXCLUSIVE] = {
		"thp_mapcount_exclusive",
		"one process maps the huge page",
	},
	[COWTRACE_REASON_THP_REFCOUNT_ONE] = {
		"thp_refcount_one",
		"nothing else refers to the huge page",
	},
	[COWTRACE_REASON_THP_ANON_EXCLUSIVE] = {
		"thp_anon_exclusive",
		"the huge page is marked exclusive to this process",
	},
	[COWTRACE_REASON_THP_COPY] = {
		"thp_copy",
		"another process maps the huge page: 2 MiB are copied",
	},
	[COWTRACE_REASON_THP_COPY_SMALL] = {
		"thp_copy_small",
		"another process maps the huge page, and no other can be had: it is copied in "
		"512 small pages",
	},
	[COWTRACE_REASON_THP_SHARED_SPLIT] = {
		"thp_shared_split",
		"another process maps the huge page: the mapping is split",
	},
	[COWTRACE_REASON_THP_EXTRA_REF_SPLIT] = {
		"thp_extra_ref_split",
		"something that is not a mapping refers to the huge page: the mapping is split",
	},
	[COWTRACE_REASON_WRITABLE] = {
		"writable",
		"the entry is writable: nothing faults",
	},
	[COWTRACE_REASON_NOT_PRESENT] = {
		"not_present",
		"nothing was there: the page is new, or comes from swap",
	},
};

static const struct name fields[COWTRACE_NR_FIELDS] = {
	[COWTRACE_FIELD_SWAPCACHE] = {
		"swapcache",
		"the folio is in the swap cache",
	},
	[COWTRACE_FIELD_LRU] = {
		"lru",
		"it is on an LRU list, not in a per-CPU batch",
	},
	[COWTRACE_FIELD_LRU_LOCAL] = {
		"lru_local",
		"the batch that holds it is this CPU's",
	},
	[COWTRACE_FIELD_LOCKED] = {
		"locked",
		"somebody else holds its lock",
	},
	[COWTRACE_FIELD_WRITEBACK] = {
		"writeback",
		"it is being written to swap",
	},
	[COWTRACE_FIELD_STABLE] = {
		"stable",
		"the swap device wants stable pages",
	},
	[COWTRACE_FIELD_KSM] = {
		"ksm",
		"KSM merged it",
	},
	[COWTRACE_FIELD_KSM_STABLE] = {
		"ksm_stable",
		"KSM's stable tree holds it",
	},
	[COWTRACE_FIELD_EXCLUSIVE] = {
		"exclusive",
		"it is marked exclusive",
	},
	[COWTRACE_FIELD_PINNED] = {
		"pinned",
		"it is pinned for DMA",
	},
	[COWTRACE_FIELD_ZERO] = {
		"zero",
		"it is the shared zero page",
	},
	[COWTRACE_FIELD_FILE] = {
		"file",
		"it belongs to a file",
	},
	[COWTRACE_FIELD_SHARED] = {
		"shared",
		"the mapping is MAP_SHARED",
	},
	[COWTRACE_FIELD_SPECIAL] = {
		"special",
		"it has no struct page",
	},
	[COWTRACE_FIELD_HUGETLB] = {
		"hugetlb",
		"it belongs to hugetlbfs",
	},
	[COWTRACE_FIELD_PMD] = {
		"pmd",
		"one entry maps the whole huge page",
	},
	[COWTRACE_FIELD_MM_SHARED] = {
		"mm_shared",
		"the owner slots say shared",
	},
	[COWTRACE_FIELD_UFFD_WP] = {
		"uffd_wp",
		"userfaultfd protects it",
	},
	[COWTRACE_FIELD_UFFD_ASYNC] = {
		"uffd_async",
		"asynchronously",
	},
	[COWTRACE_FIELD_HUGE_ALLOC] = {
		"huge_alloc",
		"a new huge page can be had",
	},
	[COWTRACE_FIELD_CHANGED] = {
		"changed",
		"the entry changed meanwhile",
	},
	[COWTRACE_FIELD_RACED] = {
		"raced",
		"it became shared between look and lock",
	},
	[COWTRACE_FIELD_RMAP_BUSY] = {
		"rmap_busy",
		"somebody is mapping or unmapping it now",
	},
	[COWTRACE_FIELD_MAPCOUNT] = {
		"mapcount",
		"entries that map it",
	},
	[COWTRACE_FIELD_REFCOUNT] = {
		"refcount",
		"references of the folio",
	},
	[COWTRACE_FIELD_SWAPCOUNT] = {
		"swapcount",
		"swap entries that still want it",
	},
	[COWTRACE_FIELD_MAX_MAPCOUNT] = {
		"max_mapcount",
		"entries of the folio's busiest page",
	},
	[COWTRACE_FIELD_ENTIRE_MAPCOUNT] = {
		"entire_mapcount",
		"PMD entries that map the folio",
	},
	[COWTRACE_FIELD_LARGE_MAPCOUNT] = {
		"large_mapcount",
		"entries that map any of the folio",
	},
	[COWTRACE_FIELD_OWN_MAPCOUNT] = {
		"own_mapcount",
		"those of the faulting process",
	},
	[COWTRACE_FIELD_ORDER] = {
		"order",
		"log2 of the folio's pages",
	},
};

/* clang-format on */

ct_public const char *cowtrace_action_name(enum cowtrace_action action)
{
	return (unsigned int)action < COWTRACE_NR_ACTIONS ? actions[action] : NULL;
}

ct_public const char *cowtrace_reason_name(enum cowtrace_reason reason)
{
	return (unsigned int)reason < COWTRACE_NR_REASONS ? reasons[reason].name : NULL;
}

ct_public const char *cowtrace_reason_text(enum cowtrace_reason reason)
{
	return (unsigned int)reason < COWTRACE_NR_REASONS ? reasons[reason].text : NULL;
}

ct_public const char *cowtrace_field_name(enum cowtrace_field field)
{
	return (unsigned int)field < COWTRACE_NR_FIELDS ? fields[field].name : NULL;
}

ct_public const char *cowtrace_field_text(enum cowtrace_field field)
{
	return (unsigned int)field < COWTRACE_NR_FIELDS ? fields[field].text : NULL;
}
