/* SPDX-License-Identifier: MIT */
/*
 * Extents: a short sorted array.  A process that drops memory ten thousand
 * times between two forks has ten thousand extents at most; neighbours that
 * continue each other are joined again, and beyond CT_EXTENTS_MAX others too.
 *
 * Invariant: ascending, disjoint (by src too), none empty, no two neighbours that
 * join.
 */
#include <errno.h>
#include <string.h>

#include "census/extents.h"

/* The user half of any address space cowtrace runs on, in pages. */
#define ALL_PAGES (1ULL << 45)

int ct_extents_init(struct ct_extents *x)
{
	x->v = malloc(4 * sizeof(*x->v));
	if (!x->v)
		return -ENOMEM;
	x->cap = 4;
	x->nr = 1;
	x->v[0] = (struct ct_extent){ .page = 0, .pages = ALL_PAGES, .src = 0 };
	return 0;
}

void ct_extents_fini(struct ct_extents *x)
{
	free(x->v);
	memset(x, 0, sizeof(*x));
}

/* Room for `more` beyond what is there. */
static int reserve(struct ct_extents *x, u32 more)
{
	struct ct_extent *v;
	u32 cap = x->cap ? x->cap : 4;

	if (x->nr + more <= x->cap)
		return 0;
	while (cap < x->nr + more)
		cap *= 2;
	v = realloc(x->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	x->v = v;
	x->cap = cap;
	return 0;
}

/* Index of the first extent that ends after page. */
static u32 seek(const struct ct_extents *x, u64 page)
{
	u32 lo = 0, hi = x->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (x->v[mid].page + x->v[mid].pages <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void insert_at(struct ct_extents *x, u32 i, struct ct_extent e)
{
	memmove(&x->v[i + 1], &x->v[i], (x->nr - i) * sizeof(e));
	x->v[i] = e;
	x->nr++;
}

/* Makes an extent border at page; one more extent at most. */
static void split_at(struct ct_extents *x, u64 page)
{
	u32 i = seek(x, page);
	struct ct_extent tail;
	u64 off;

	if (i == x->nr || x->v[i].page >= page)
		return;
	off = page - x->v[i].page;
	tail = x->v[i];
	tail.page += off;
	tail.src += off;
	tail.pages -= off;
	x->v[i].pages = off;
	insert_at(x, i + 1, tail);
}

static bool joins(const struct ct_extent *a, const struct ct_extent *b)
{
	return a->page + a->pages == b->page && a->src + a->pages == b->src &&
	       a->doubtful == b->doubtful;
}

/* Joins what joins around index i. */
static void join_around(struct ct_extents *x, u32 i)
{
	u32 k;

	for (k = i + 1; k-- > (i ? i - 1 : 0);) {
		if (k + 1 >= x->nr || !joins(&x->v[k], &x->v[k + 1]))
			continue;
		x->v[k].pages += x->v[k + 1].pages;
		memmove(&x->v[k + 1], &x->v[k + 2], (x->nr - k - 2) * sizeof(x->v[0]));
		x->nr--;
	}
}

/* Removes [page, page + pages), whose borders exist already. */
static void remove_range(struct ct_extents *x, u64 page, u64 pages)
{
	u32 from = seek(x, page), to = from;

	while (to < x->nr && x->v[to].page < page + pages)
		to++;
	memmove(&x->v[from], &x->v[to], (x->nr - to) * sizeof(x->v[0]));
	x->nr -= to - from;
}

/* Two neighbours that may be made one, and how many pages would be in doubt then. */
struct seam {
	u32 at; /* v[at] and v[at + 1] */
	u64 cost;
};

static int by_cost(const void *a, const void *b)
{
	const struct seam *x = a, *y = b;

	return x->cost < y->cost ? -1 : x->cost > y->cost;
}

static int by_src(const void *a, const void *b)
{
	const struct ct_extent *x = a, *y = b;

	return x->src < y->src ? -1 : x->src > y->src;
}

/* True where no extent maps [src, end); sorted: the extents by src. */
static bool src_is_free(const struct ct_extent *sorted, u32 nr, u64 src, u64 end)
{
	u32 lo = 0, hi = nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (sorted[mid].src + sorted[mid].pages <= src)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == nr || sorted[lo].src >= end;
}

/* Neighbours that lie as they lay in the image, and whose gap went nowhere else. */
static u32 find_seams(const struct ct_extents *x, const struct ct_extent *sorted, struct seam *s)
{
	u32 i, nr = 0;

	for (i = 0; i + 1 < x->nr; i++) {
		const struct ct_extent *a = &x->v[i], *b = a + 1;

		if (a->page - a->src == b->page - b->src &&
		    src_is_free(sorted, x->nr, a->src + a->pages, b->src))
			s[nr++] = (struct seam){ i, b->page + b->pages - a->page };
	}
	qsort(s, nr, sizeof(*s), by_cost);
	return nr;
}

static void close_seams(struct ct_extents *x, const bool *joined)
{
	u32 i, out = 0;

	for (i = 1; i < x->nr; i++) {
		struct ct_extent *last = &x->v[out];

		if (!joined[i - 1]) {
			x->v[++out] = x->v[i];
			continue;
		}
		last->pages = x->v[i].page + x->v[i].pages - last->page;
		last->doubtful = true;
	}
	x->nr = out + 1;
}

/* Joins the neighbours that cost least, until half of the room is free.  0 or -ENOMEM. */
static int coarsen(struct ct_extents *x)
{
	ct_auto_free struct ct_extent *sorted = malloc(x->nr * sizeof(*sorted));
	ct_auto_free struct seam *seams = malloc(x->nr * sizeof(*seams));
	ct_auto_free bool *joined = calloc(x->nr, sizeof(*joined));
	u32 i, nr, want = x->nr - CT_EXTENTS_MAX / 2;

	if (!sorted || !seams || !joined)
		return -ENOMEM;
	memcpy(sorted, x->v, x->nr * sizeof(*sorted));
	qsort(sorted, x->nr, sizeof(*sorted), by_src);
	nr = find_seams(x, sorted, seams);
	for (i = 0; i < nr && i < want; i++)
		joined[seams[i].at] = true;
	close_seams(x, joined);
	/* Those that are in doubt now may continue each other. */
	for (i = x->nr; i-- > 1;)
		join_around(x, i);
	return 0;
}

/*
 * Room to split `more` extents.  0, -ENOMEM, or -ENOSPC: too many, and none that
 * can be joined.
 */
static int make_room(struct ct_extents *x, u32 more)
{
	if (x->nr + more > CT_EXTENTS_MAX) {
		if (coarsen(x))
			return -ENOMEM;
		if (x->nr + more > CT_EXTENTS_MAX)
			return -ENOSPC;
	}
	return reserve(x, more);
}

/* Instead of a split: whatever overlaps [page, page + pages) is in doubt as a whole. */
static int doubt_whole(struct ct_extents *x, u64 page, u64 pages)
{
	u32 i, from = seek(x, page);

	for (i = from; i < x->nr && x->v[i].page < page + pages; i++)
		x->v[i].doubtful = true;
	while (i-- > from)
		join_around(x, i);
	return 0;
}

int ct_extents_cut(struct ct_extents *x, u64 page, u64 pages)
{
	int err;

	if (!pages)
		return 0;
	err = make_room(x, 2);
	if (err)
		return err == -ENOSPC ? doubt_whole(x, page, pages) : err;
	split_at(x, page);
	split_at(x, page + pages);
	remove_range(x, page, pages);
	return 0;
}

int ct_extents_doubt(struct ct_extents *x, u64 page, u64 pages)
{
	int err;

	if (!pages)
		return 0;
	err = make_room(x, 2);
	if (err && err != -ENOSPC)
		return err;
	if (!err) {
		split_at(x, page);
		split_at(x, page + pages);
	}
	return doubt_whole(x, page, pages);
}

int ct_extents_move(struct ct_extents *x, u64 from, u64 pages, u64 to)
{
	ct_auto_free struct ct_extent *moved = NULL;
	u32 first, nr, i, at;
	int err;

	if (!pages || from == to)
		return 0;
	err = make_room(x, 4);
	if (err == -ENOSPC) {
		doubt_whole(x, from, pages);
		return doubt_whole(x, to, pages);
	}
	if (err)
		return err;
	split_at(x, from);
	split_at(x, from + pages);
	first = seek(x, from);
	for (nr = 0; first + nr < x->nr && x->v[first + nr].page < from + pages;)
		nr++;
	if (nr) {
		moved = malloc(nr * sizeof(*moved));
		if (!moved)
			return -ENOMEM;
		memcpy(moved, &x->v[first], nr * sizeof(*moved));
	}
	remove_range(x, from, pages);
	split_at(x, to);
	split_at(x, to + pages);
	remove_range(x, to, pages);
	if (reserve(x, nr))
		return -ENOMEM;
	at = seek(x, to);
	for (i = 0; i < nr; i++) {
		moved[i].page = moved[i].page - from + to;
		insert_at(x, at + i, moved[i]);
	}
	if (nr) {
		join_around(x, at + nr - 1);
		join_around(x, at);
	}
	return 0;
}

bool ct_page_runs_hold(const struct ct_page_run *runs, size_t nr, u64 page)
{
	size_t lo = 0, hi = nr;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (runs[mid].page + runs[mid].pages <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < nr && page >= runs[lo].page;
}

/* The extent that page lies in, or NULL. */
static const struct ct_extent *extent_of(const struct ct_extents *x, u64 page)
{
	u32 i = seek(x, page);

	return i < x->nr && x->v[i].page <= page ? &x->v[i] : NULL;
}

u64 ct_extents_source(const struct ct_extents *x, u64 page)
{
	const struct ct_extent *e = extent_of(x, page);

	return e ? page - e->page + e->src : page;
}

u64 ct_extents_place(const struct ct_extents *x, u64 src)
{
	u32 i;

	for (i = 0; i < x->nr; i++)
		if (x->v[i].src <= src && src - x->v[i].src < x->v[i].pages)
			return src - x->v[i].src + x->v[i].page;
	return 0;
}

bool ct_extents_hold(const struct ct_extents *x, u64 page)
{
	return extent_of(x, page) != NULL;
}
