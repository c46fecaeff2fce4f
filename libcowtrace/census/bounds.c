/* SPDX-License-Identifier: MIT */
/*
 * Bounds on copies from readings that show only "mapped once" or "mapped more
 * often".  Pure.
 *
 * Invariant: copied_min <= what happened <= copied_max, for every history of the
 * two processes in which a page is not dropped and filled anew unseen.  Two
 * simultaneous first writes that both copy count as one where the pair was alone
 * (the kernel frees the original: nothing tells it from one copy).
 */
#include <errno.h>

#include "census/bounds.h"

enum seen {
	GONE,
	ALONE, /* mapped once */
	SHARED,
	UNREAD,
};

/* Extents by source page, to ask where a page of the fork's image is now. */
struct by_source {
	struct ct_extent *v;
	u32 nr;
};

static int by_src(const void *a, const void *b)
{
	const struct ct_extent *x = a, *y = b;

	return x->src < y->src ? -1 : x->src > y->src;
}

static int by_source_init(struct by_source *s, const struct ct_extents *x)
{
	u32 i;

	s->v = malloc((x->nr ? x->nr : 1) * sizeof(*s->v));
	if (!s->v)
		return -ENOMEM;
	for (i = 0; i < x->nr; i++)
		s->v[i] = x->v[i];
	s->nr = x->nr;
	qsort(s->v, s->nr, sizeof(*s->v), by_src);
	return 0;
}

/* Where image page src is now; false when it was dropped. */
static bool locate(const struct by_source *s, u64 src, u64 *ret_page)
{
	u32 lo = 0, hi = s->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (s->v[mid].src + s->v[mid].pages <= src)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == s->nr || s->v[lo].src > src)
		return false;
	*ret_page = src - s->v[lo].src + s->v[lo].page;
	return true;
}

static enum seen look(const struct ct_bounds_side *side, const struct by_source *s, u64 src)
{
	ct_ent e;
	u64 page;

	if (!side->now)
		return UNREAD;
	if (!locate(s, src, &page))
		return GONE;
	e = ct_image_get(side->now, page);
	if (e == CT_ENT_NONE)
		return GONE;
	/* Swapped out says nothing of who else has it: not more than UNREAD does. */
	if (!ct_ent_is_page(e))
		return UNREAD;
	return e == CT_ENT_EXCLUSIVE ? ALONE : SHARED;
}

/*
 * What a side may have copied: a page that it shares with anybody is the one of
 * the fork (it has not forked since, or it would count as unread), and a page
 * that it dropped counts as dropped, whatever it did with it before.
 */
static u64 may_have_copied(enum seen s)
{
	return s == ALONE || s == UNREAD;
}

/* The copies of one page that both shared at the fork. */
static void count_copies(struct ct_bounds_result *r, enum seen a, enum seen b, bool pair)
{
	u64 max = may_have_copied(a) + may_have_copied(b);

	r->may[0] += may_have_copied(a);
	r->may[1] += may_have_copied(b);
	/* One has a page of its own, and the other has not dropped its one: they parted. */
	if ((a == ALONE && (b == ALONE || b == SHARED)) || (a == SHARED && b == ALONE))
		r->copied_min += 1;
	if (pair)
		/* Each of two still shares with the other, or the first copy was the last. */
		max = (a == SHARED && b == UNREAD) || (a == UNREAD && b == SHARED)
			      ? 0
			      : ct_min(max, (u64)1);
	r->copied_max += max;
}

static void tally(const struct ct_bounds *b, struct ct_bounds_result *r, int side, enum seen seen,
		  size_t region)
{
	struct ct_tally *t = b->side[side].tallies;

	if (seen == GONE) {
		r->sum[side].dropped++;
		if (t)
			t[region].dropped++;
	} else if (seen == ALONE) {
		r->sum[side].unknown++;
		if (t)
			t[region].unknown++;
	} else {
		r->sum[side].kept++;
	}
}

static size_t find_region(const struct ct_bounds *b, size_t from, u64 page)
{
	while (from < b->nr_regions && b->regions[from].page + b->regions[from].pages <= page)
		from++;
	return from;
}

static void one_chunk(const struct ct_bounds *b, const struct by_source *src, u32 i, size_t *region,
		      struct ct_bounds_result *r)
{
	const struct ct_window win = ct_chunk_window(b->orig->chunks[i]);
	u64 first = b->orig->keys[i] * CT_HUGE_PAGES, page;
	ct_ent e[CT_HUGE_PAGES];
	size_t at;
	u32 k;

	ct_chunk_expand(b->orig->chunks[i], e);
	for (k = win.from; k < win.to; k++) {
		enum seen seen[2];

		if (e[k] == CT_ENT_NONE)
			continue;
		page = first + k;
		*region = find_region(b, *region, page);
		at = *region < b->nr_regions && page >= b->regions[*region].page ? *region
										 : b->nr_regions;
		seen[0] = look(&b->side[0], &src[0], page);
		seen[1] = look(&b->side[1], &src[1], page);
		count_copies(r, seen[0], seen[1], b->pair);
		tally(b, r, 0, seen[0], at);
		tally(b, r, 1, seen[1], at);
	}
}

/* Pages of a side that are not where any page of the fork's image would be. */
static u64 count_fresh(const struct ct_bounds *b, const struct ct_bounds_result *r, int side)
{
	u64 still = r->sum[side].kept + r->sum[side].unknown;

	if (!b->side[side].now || b->side[side].now->pages < still)
		return 0;
	return b->side[side].now->pages - still;
}

int ct_bounds_run(const struct ct_bounds *b, struct ct_bounds_result *ret)
{
	struct ct_bounds_result r = { 0 };
	struct by_source src[2] = { { 0 }, { 0 } };
	size_t region = 0;
	int err = 0, i;
	u32 k;

	for (i = 0; i < 2 && !err; i++)
		if (b->side[i].now)
			err = by_source_init(&src[i], b->side[i].extents);
	for (k = 0; !err && k < b->orig->nr; k++)
		one_chunk(b, src, k, &region, &r);
	for (i = 0; i < 2; i++) {
		r.sum[i].fresh = count_fresh(b, &r, i);
		free(src[i].v);
	}
	if (!err)
		*ret = r;
	return err;
}
