/* SPDX-License-Identifier: MIT */
/*
 * The difference of two images of one process.
 *
 * Walks the extents; in each, the chunks that either image has.  A chunk that
 * both images share cannot differ and is not looked into: that is what makes
 * closing a fork of a large, mostly idle heap cheap.
 *
 * Invariant: kept + copied + dropped + unknown is the number of pages of the
 * image at the fork, whatever the extents say.
 */
#include <errno.h>
#include <string.h>

#include "census/compare.h"

#define NO_KEY UINT64_MAX

/* An expanded chunk, kept while the walk stays in it. */
struct window {
	const struct ct_image *img;
	u64 key;
	const struct ct_chunk *chunk; /* NULL: the image has none here */
	struct ct_window win;	      /* of the chunk; nothing is in [512, 0) */
	bool expanded;
	ct_ent e[CT_HUGE_PAGES];
};

struct walk {
	const struct ct_compare *c;
	struct window orig, now;
	size_t region; /* cursor */
	struct ct_tally sum;
};

static void window_init(struct window *w, const struct ct_image *img)
{
	w->img = img;
	w->key = NO_KEY;
	w->chunk = NULL;
	w->expanded = false;
}

static void window_move(struct window *w, u64 key)
{
	u32 i;

	if (w->key == key)
		return;
	i = ct_image_seek(w->img, key);
	w->key = key;
	w->chunk = i < w->img->nr && w->img->keys[i] == key ? w->img->chunks[i] : NULL;
	w->win = w->chunk ? ct_chunk_window(w->chunk) : (struct ct_window){ CT_HUGE_PAGES, 0 };
	w->expanded = false;
}

static const ct_ent *window_entries(struct window *w)
{
	if (!w->expanded) {
		if (w->chunk)
			ct_chunk_expand(w->chunk, w->e);
		else
			memset(w->e, 0, sizeof(w->e));
		w->expanded = true;
	}
	return w->e;
}

/* Index of the region that holds page, or nr for none; *at is a cursor. */
static size_t region_of(const struct ct_page_run *r, size_t nr, size_t *at, u64 page)
{
	size_t lo = 0, hi = nr;

	if (*at < nr && page >= r[*at].page && page < r[*at].page + r[*at].pages)
		return *at;
	/* Pages ascend: mostly it is the next one then. */
	lo = *at + 1;
	if (lo < nr && page >= r[lo].page && page < r[lo].page + r[lo].pages)
		return *at = lo;
	lo = 0;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r[mid].page + r[mid].pages <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == nr || page < r[lo].page)
		return nr;
	*at = lo;
	return lo;
}

static struct ct_tally *tally_of(struct walk *w, u64 page)
{
	return &w->c->tallies[region_of(w->c->regions, w->c->nr_regions, &w->region, page)];
}

static enum ct_outcome judge(struct walk *w, const struct ct_extent *e, u64 src, ct_ent o, ct_ent n)
{
	/* In swap, or written by both before it could be read: no frame to compare. */
	if (!ct_ent_is_page(o) || !ct_ent_is_page(n) || e->doubtful)
		return CT_OUT_UNKNOWN;
	return w->c->judge ? w->c->judge(w->c->judge_arg, src, o, n) : CT_OUT_COPIED;
}

/* One page that is not simply kept. */
static void one_page(struct walk *w, const struct ct_extent *e, u64 src, u64 page, ct_ent o,
		     ct_ent n)
{
	struct ct_tally *tally;

	if (o == CT_ENT_NONE) {
		w->sum.fresh++;
		tally_of(w, page)->fresh++;
		return;
	}
	if (n == CT_ENT_NONE) {
		w->sum.dropped++;
		tally_of(w, src)->dropped++;
		return;
	}
	switch (judge(w, e, src, o, n)) {
	case CT_OUT_KEPT:
		w->sum.kept++;
		break;
	case CT_OUT_COPIED:
		w->sum.copied++;
		tally = tally_of(w, src);
		tally->copied++;
		if (w->c->copied)
			w->c->copied(w->c->copied_arg, src, page, (size_t)(tally - w->c->tallies));
		break;
	case CT_OUT_UNKNOWN:
		w->sum.unknown++;
		tally_of(w, src)->unknown++;
		break;
	}
}

/* An index of a chunk, counted from where a piece of it begins. */
static u64 in_piece(u64 index, u64 at)
{
	return index > at ? index - at : 0;
}

/* [page, page + pages) of now against [src, ...) of orig, each within one chunk. */
static void compare_piece(struct walk *w, const struct ct_extent *e, u64 page, u64 src, u64 pages)
{
	const u64 o_at = src % CT_HUGE_PAGES, n_at = page % CT_HUGE_PAGES;
	const ct_ent *o, *n;
	u64 i, end;

	if (!w->orig.chunk && !w->now.chunk)
		return;
	if (w->orig.chunk == w->now.chunk && pages == CT_HUGE_PAGES && page == src) {
		w->sum.kept += ct_chunk_pages(w->now.chunk);
		return;
	}
	o = window_entries(&w->orig) + o_at;
	n = window_entries(&w->now) + n_at;
	/* Before and behind these both are empty. */
	end = ct_max(in_piece(w->orig.win.to, o_at), in_piece(w->now.win.to, n_at));
	end = ct_min(end, pages);
	i = ct_min(in_piece(w->orig.win.from, o_at), in_piece(w->now.win.from, n_at));
	for (; i < end; i++) {
		if (o[i] == n[i] && o[i] != CT_ENT_AMBIGUOUS)
			w->sum.kept += o[i] != CT_ENT_NONE;
		else
			one_page(w, e, src + i, page + i, o[i], n[i]);
	}
}

/* First page >= page that lies in a chunk of img. */
static u64 next_page(const struct ct_image *img, u64 page)
{
	u32 i = ct_image_seek(img, page / CT_HUGE_PAGES);

	if (i == img->nr)
		return NO_KEY;
	return ct_max(page, img->keys[i] * CT_HUGE_PAGES);
}

static u64 left_in_chunk(u64 page)
{
	return CT_HUGE_PAGES - page % CT_HUGE_PAGES;
}

static void walk_extent(struct walk *w, const struct ct_extent *e)
{
	u64 page = e->page, end = e->page + e->pages;

	while (page < end) {
		u64 src = page - e->page + e->src;
		u64 skip_src = next_page(w->c->orig, src), skip = next_page(w->c->now, page), n;

		if (skip_src != NO_KEY)
			skip = ct_min(skip, page + (skip_src - src));
		if (skip == NO_KEY || skip >= end)
			return;
		src += skip - page;
		page = skip;
		n = ct_min(left_in_chunk(page), left_in_chunk(src));
		n = ct_min(n, end - page);
		window_move(&w->orig, src / CT_HUGE_PAGES);
		window_move(&w->now, page / CT_HUGE_PAGES);
		compare_piece(w, e, page, src, n);
		page += n;
	}
}

enum gap { GAP_FRESH, GAP_DROPPED };

/* Every page of win's image in [page, end) is fresh, or dropped. */
static void walk_gap(struct walk *w, struct window *win, u64 page, u64 end, enum gap what)
{
	u64 i, n, to;

	while (page < end && (page = next_page(win->img, page)) < end) {
		const u64 at = page % CT_HUGE_PAGES;
		const ct_ent *e;

		n = ct_min(end - page, left_in_chunk(page));
		window_move(win, page / CT_HUGE_PAGES);
		e = window_entries(win) + at;
		to = ct_min(n, in_piece(win->win.to, at));
		for (i = in_piece(win->win.from, at); i < to; i++) {
			if (e[i] == CT_ENT_NONE)
				continue;
			if (what == GAP_FRESH) {
				w->sum.fresh++;
				tally_of(w, page + i)->fresh++;
			} else {
				w->sum.dropped++;
				tally_of(w, page + i)->dropped++;
			}
		}
		page += n;
	}
}

static int by_src(const void *a, const void *b)
{
	const struct ct_extent *x = a, *y = b;

	return x->src < y->src ? -1 : x->src > y->src;
}

/* Pages of the fork's image that no extent maps any more. */
static int walk_dropped(struct walk *w)
{
	const struct ct_extents *x = w->c->extents;
	ct_auto_free struct ct_extent *s = NULL;
	u64 at = 0;
	u32 i;

	s = malloc((x->nr ? x->nr : 1) * sizeof(*s));
	if (!s)
		return -ENOMEM;
	memcpy(s, x->v, x->nr * sizeof(*s));
	qsort(s, x->nr, sizeof(*s), by_src);
	for (i = 0; i < x->nr; i++) {
		walk_gap(w, &w->orig, at, s[i].src, GAP_DROPPED);
		at = ct_max(at, s[i].src + s[i].pages);
	}
	walk_gap(w, &w->orig, at, NO_KEY - 1, GAP_DROPPED);
	return 0;
}

int ct_compare_run(const struct ct_compare *c, struct ct_tally *ret_sum)
{
	ct_auto_free struct walk *w = calloc(1, sizeof(*w));
	u64 at = 0;
	u32 i;

	if (!w)
		return -ENOMEM;
	w->c = c;
	window_init(&w->orig, c->orig);
	window_init(&w->now, c->now);
	for (i = 0; i < c->extents->nr; i++) {
		const struct ct_extent *e = &c->extents->v[i];

		walk_gap(w, &w->now, at, e->page, GAP_FRESH);
		walk_extent(w, e);
		at = e->page + e->pages;
	}
	walk_gap(w, &w->now, at, NO_KEY - 1, GAP_FRESH);
	if (walk_dropped(w))
		return -ENOMEM;
	*ret_sum = w->sum;
	return 0;
}

void ct_compare_count(const struct ct_image *img, const struct ct_page_run *regions,
		      size_t nr_regions, u64 *ret_pages, u64 *ret_huge)
{
	ct_ent e[CT_HUGE_PAGES];
	size_t at = 0;
	u32 i, k;

	for (i = 0; i < img->nr; i++) {
		const struct ct_chunk *c = img->chunks[i];
		u64 first = img->keys[i] * CT_HUGE_PAGES;
		struct ct_window win = ct_chunk_window(c);
		size_t r = region_of(regions, nr_regions, &at, first);

		/* Mostly a chunk lies in one region: no need to look into it. */
		if (r < nr_regions && first + CT_HUGE_PAGES <= regions[r].page + regions[r].pages) {
			ret_pages[r] += ct_chunk_pages(c);
			ret_huge[r] += ct_chunk_is_huge(c) ? ct_chunk_pages(c) : 0;
			continue;
		}
		ct_chunk_expand(c, e);
		for (k = win.from; k < win.to; k++) {
			if (e[k] == CT_ENT_NONE)
				continue;
			r = region_of(regions, nr_regions, &at, first + k);
			ret_pages[r]++;
			ret_huge[r] += ct_chunk_is_huge(c);
		}
	}
}
