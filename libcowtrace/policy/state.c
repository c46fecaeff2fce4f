/* SPDX-License-Identifier: MIT */
/*
 * The page state as a value: the ordinary page, access by field, and what no
 * kernel can be in.  No rule.
 *
 * Invariant: a check holds known fields against known fields only, so that
 * knowing less never makes a state impossible.
 */
#include <errno.h>

#include "base/base.h"

#include <cowtrace/policy.h>

#define F(name) COWTRACE_BIT(COWTRACE_FIELD_##name)
#define ALL_KNOWN ((uint32_t)((1ULL << COWTRACE_NR_FIELDS) - 1))

ct_public void cowtrace_page_state_init(struct cowtrace_page_state *st)
{
	*st = (struct cowtrace_page_state){
		.known = ALL_KNOWN,
		.flags = F(LRU) | F(KSM_STABLE) | F(HUGE_ALLOC),
		.mapcount = 1,
		.refcount = 1,
		.max_mapcount = 1,
		.large_mapcount = 1,
		.own_mapcount = 1,
	};
}

static uint32_t *number(struct cowtrace_page_state *st, enum cowtrace_field field)
{
	switch (field) {
	case COWTRACE_FIELD_MAPCOUNT:
		return &st->mapcount;
	case COWTRACE_FIELD_REFCOUNT:
		return &st->refcount;
	case COWTRACE_FIELD_SWAPCOUNT:
		return &st->swapcount;
	case COWTRACE_FIELD_MAX_MAPCOUNT:
		return &st->max_mapcount;
	case COWTRACE_FIELD_ENTIRE_MAPCOUNT:
		return &st->entire_mapcount;
	case COWTRACE_FIELD_LARGE_MAPCOUNT:
		return &st->large_mapcount;
	case COWTRACE_FIELD_OWN_MAPCOUNT:
		return &st->own_mapcount;
	default:
		return &st->order;
	}
}

ct_public void cowtrace_page_state_set(struct cowtrace_page_state *st, enum cowtrace_field field,
				       uint32_t value)
{
	if ((unsigned int)field >= COWTRACE_NR_FIELDS)
		return;
	st->known |= COWTRACE_BIT(field);
	if (!cowtrace_field_is_flag(field))
		*number(st, field) = value;
	else if (value)
		st->flags |= COWTRACE_BIT(field);
	else
		st->flags &= ~COWTRACE_BIT(field);
}

ct_public uint32_t cowtrace_page_state_get(const struct cowtrace_page_state *st,
					   enum cowtrace_field field)
{
	if ((unsigned int)field >= COWTRACE_NR_FIELDS || !(st->known & COWTRACE_BIT(field)))
		return 0;
	if (cowtrace_field_is_flag(field))
		return !!(st->flags & COWTRACE_BIT(field));
	return *number((struct cowtrace_page_state *)st, field);
}

/* Pairs of yes that exclude each other, and yes that need another yes. */
static const struct {
	uint32_t yes, other;
	bool needs; /* false: @other must not be yes; true: it must */
	const char *why;
} flag_rules[] = {
	{ F(EXCLUSIVE), F(KSM), false, "a page that KSM merged is never exclusive" },
	{ F(EXCLUSIVE), F(ZERO), false, "the zero page is never exclusive" },
	{ F(EXCLUSIVE), F(FILE), false, "a page of a file is never marked exclusive" },
	{ F(KSM), F(ZERO), false, "the zero page is not a KSM page" },
	{ F(KSM), F(FILE), false, "KSM merges anonymous pages only, not a file's" },
	{ F(KSM), F(PMD), false, "KSM merges small pages only: no PMD maps one" },
	{ F(KSM), F(HUGETLB), false, "KSM does not merge hugetlb pages" },
	{ F(KSM), F(SHARED), false, "KSM merges pages of private mappings only" },
	{ F(ZERO), F(FILE), false, "the zero page belongs to no file" },
	{ F(SWAPCACHE), F(FILE), false, "a private file page is not in the swap cache" },
	{ F(SWAPCACHE), F(ZERO), false, "the zero page is not in the swap cache" },
	{ F(SWAPCACHE), F(HUGETLB), false, "hugetlb pages are never swapped" },
	{ F(LRU_LOCAL), F(LRU), false, "on the LRU and in a CPU's batch at once" },
	{ F(UFFD_ASYNC), F(UFFD_WP), true, "uffd_async says how uffd_wp works: it needs uffd_wp" },
};

/* Everything that stands in a rule of two flags; these two pairs are apart. */
#define PAIRED_FLAGS \
	(F(EXCLUSIVE) | F(KSM) | F(ZERO) | F(SWAPCACHE) | F(FILE) | F(PMD) | F(HUGETLB) | F(SHARED))
#define PAIRED_APART (F(LRU_LOCAL) | F(UFFD_ASYNC))

static const char *check_flags(const struct cowtrace_page_state *st)
{
	uint32_t yes = st->flags & st->known;
	uint32_t no = ~st->flags & st->known;
	uint32_t paired = yes & PAIRED_FLAGS;

	/* One flag alone contradicts nothing: most pages end here. */
	if (ct_likely(!(paired & (paired - 1)) && !(yes & PAIRED_APART)))
		return NULL;
	for (size_t i = 0; i < ct_array_size(flag_rules); i++) {
		if (!(yes & flag_rules[i].yes))
			continue;
		if ((flag_rules[i].needs ? no : yes) & flag_rules[i].other)
			return flag_rules[i].why;
	}
	return NULL;
}

static bool has(const struct cowtrace_page_state *st, uint32_t mask)
{
	return (st->known & mask) == mask;
}

static bool yes(const struct cowtrace_page_state *st, uint32_t mask)
{
	return (st->known & st->flags & mask) == mask;
}

static bool no(const struct cowtrace_page_state *st, uint32_t mask)
{
	return (st->known & ~st->flags & mask) == mask;
}

static const char *check_small(const struct cowtrace_page_state *st)
{
	uint32_t held = st->mapcount;

	if (yes(st, F(PMD)) && no(st, F(HUGETLB)))
		return "a small page (order 0) is not mapped by a PMD";
	if (yes(st, F(MM_SHARED)))
		return "only large folios have owner slots";
	if (!has(st, F(MAPCOUNT) | F(REFCOUNT)))
		return NULL;
	if (st->mapcount > st->refcount)
		return "mapcount above refcount: each mapping holds a reference";
	held += yes(st, F(SWAPCACHE));
	if (held > st->refcount)
		return "mapcount and swap cache above refcount: each holds a reference";
	if (yes(st, F(PINNED)) && held == st->refcount)
		return "pinned, but no reference is left for the pin";
	return NULL;
}

static const char *check_large(const struct cowtrace_page_state *st)
{
	uint32_t held = st->large_mapcount + (yes(st, F(SWAPCACHE)) ? 1U << st->order : 0);

	if (st->order > COWTRACE_HUGE_ORDER)
		return "no anonymous folio is larger than order 9";
	if (st->order == 1)
		return "no anonymous folio has order 1";
	if (yes(st, F(KSM)))
		return "KSM merges small pages only: order must be 0";
	if (yes(st, F(PMD)) && st->order != COWTRACE_HUGE_ORDER)
		return "a PMD maps folios of order 9 only";
	if (has(st, F(MAPCOUNT) | F(LARGE_MAPCOUNT)) && st->mapcount > st->large_mapcount)
		return "mapcount of one page above large_mapcount of them all";
	if (has(st, F(MAPCOUNT) | F(ENTIRE_MAPCOUNT)) && st->entire_mapcount > st->mapcount)
		return "entire_mapcount above mapcount: a PMD entry maps each page";
	if (has(st, F(ENTIRE_MAPCOUNT)) && yes(st, F(PMD)) && !st->entire_mapcount)
		return "mapped by a PMD, but entire_mapcount is 0";
	if (has(st, F(MAPCOUNT) | F(MAX_MAPCOUNT)) && st->max_mapcount < st->mapcount)
		return "max_mapcount below mapcount: it is the largest of the folio";
	if (has(st, F(OWN_MAPCOUNT) | F(LARGE_MAPCOUNT)) && st->own_mapcount > st->large_mapcount)
		return "own_mapcount above large_mapcount";
	if (has(st, F(MAPCOUNT)) && st->mapcount > 1 && no(st, F(MM_SHARED)))
		return "mapped more than once, which takes two processes, but not mm_shared";
	if (has(st, F(MAPCOUNT) | F(OWN_MAPCOUNT) | F(LARGE_MAPCOUNT)) && st->mapcount > 1 &&
	    st->own_mapcount == st->large_mapcount)
		return "mapped more than once, which takes two processes, but all mappings are own";
	if (has(st, F(LARGE_MAPCOUNT) | F(REFCOUNT)) && held > st->refcount)
		return "large_mapcount and swap cache above refcount: each holds references";
	return NULL;
}

static const char *check_counts(const struct cowtrace_page_state *st)
{
	if (has(st, F(MAPCOUNT)) && !st->mapcount && no(st, F(FILE)))
		return "mapcount 0: the faulting entry itself maps the page";
	if (has(st, F(MAPCOUNT)) && st->mapcount > 1 && yes(st, F(EXCLUSIVE)))
		return "exclusive, but mapped more than once";
	if (no(st, F(SWAPCACHE))) {
		if (has(st, F(SWAPCOUNT)) && st->swapcount)
			return "swap entries want the page, but it is not in the swap cache";
		if (yes(st, F(WRITEBACK)) && no(st, F(FILE)))
			return "writeback of an anonymous page that is not in the swap cache";
	}
	if (!has(st, F(ORDER)))
		return NULL;
	if (!st->order)
		return check_small(st);
	return no(st, F(HUGETLB)) ? check_large(st) : NULL;
}

static const char *check_place(const struct cowtrace_page_state *st)
{
	uint64_t base = st->addr & ~(uint64_t)(CT_HUGE_SIZE - 1);

	if (!st->vma_end)
		return NULL;
	if (st->vma_start >= st->vma_end || st->addr < st->vma_start || st->addr >= st->vma_end)
		return "the address lies outside of its mapping";
	if (!yes(st, F(PMD)) || (base >= st->vma_start && base + CT_HUGE_SIZE <= st->vma_end))
		return NULL;
	return "a huge page does not fit: the aligned 2 MiB around the address leave the mapping";
}

ct_public int cowtrace_page_state_check(const struct cowtrace_page_state *st, const char **ret_why)
{
	const char *why = check_flags(st);

	/* The zero page and pages without a struct page count nothing. */
	if (!why && no(st, F(ZERO) | F(SPECIAL)))
		why = check_counts(st);
	if (!why)
		why = check_place(st);
	if (!why)
		return 0;
	if (ret_why)
		*ret_why = why;
	return -EINVAL;
}
