/* SPDX-License-Identifier: MIT */
/*
 * Extents against a plain array that says, of each page, which page of the image
 * lies there now and whether that is sure.
 */
#include "census/extents.h"
#include "census_util.h"

#define NR 300
#define GONE UINT64_MAX

struct plain {
	u64 src[NR];
	bool doubtful[NR];
};

static void plain_init(struct plain *p)
{
	u64 i;

	for (i = 0; i < NR; i++) {
		p->src[i] = i;
		p->doubtful[i] = false;
	}
}

static void plain_cut(struct plain *p, u64 page, u64 pages)
{
	u64 i;

	for (i = page; i < page + pages; i++) {
		p->src[i] = GONE;
		p->doubtful[i] = false;
	}
}

static void plain_move(struct plain *p, u64 from, u64 pages, u64 to)
{
	struct plain old = *p;
	u64 i;

	if (from == to)
		return;
	plain_cut(p, from, pages);
	for (i = 0; i < pages; i++) {
		p->src[to + i] = old.src[from + i];
		p->doubtful[to + i] = old.doubtful[from + i];
	}
}

static void plain_doubt(struct plain *p, u64 page, u64 pages)
{
	u64 i;

	for (i = page; i < page + pages; i++)
		p->doubtful[i] = p->src[i] != GONE;
}

static bool joins(const struct ct_extent *a, const struct ct_extent *b)
{
	return a->page + a->pages == b->page && a->src + a->pages == b->src &&
	       a->doubtful == b->doubtful;
}

/* Ascending, disjoint both ways, none empty, none that could be one. */
static void check_shape(const struct ct_extents *x)
{
	u32 i, k;

	for (i = 0; i < x->nr; i++) {
		const struct ct_extent *e = &x->v[i];

		assert_true(e->pages > 0);
		if (i) {
			assert_true(e[-1].page + e[-1].pages <= e->page);
			assert_false(joins(&e[-1], e));
		}
		for (k = 0; k < i && x->nr < 100; k++)
			assert_true(x->v[k].src + x->v[k].pages <= e->src ||
				    e->src + e->pages <= x->v[k].src);
	}
	assert_true(x->nr <= x->cap);
}

static void check_equal(const struct ct_extents *x, const struct plain *p)
{
	u64 i;
	u32 k = 0;

	check_shape(x);
	for (i = 0; i < NR; i++) {
		while (k < x->nr && x->v[k].page + x->v[k].pages <= i)
			k++;
		if (k == x->nr || x->v[k].page > i) {
			assert_int_equal(p->src[i], GONE);
			continue;
		}
		assert_int_equal(p->src[i], i - x->v[k].page + x->v[k].src);
		assert_int_equal(p->doubtful[i], x->v[k].doubtful);
	}
}

/* The questions that are asked page by page, both ways. */
static void check_lookups(const struct ct_extents *x, const struct plain *p)
{
	u64 place[NR] = { 0 }, i;

	for (i = 0; i < NR; i++)
		if (p->src[i] != GONE)
			place[p->src[i]] = i;
	for (i = 0; i < NR; i++) {
		assert_int_equal(ct_extents_hold(x, i), p->src[i] != GONE);
		assert_int_equal(ct_extents_source(x, i), p->src[i] != GONE ? p->src[i] : i);
		assert_int_equal(ct_extents_place(x, i), place[i]);
	}
	/* Behind everything that was touched. */
	assert_true(ct_extents_hold(x, NR + 5));
	assert_int_equal(ct_extents_source(x, NR + 5), NR + 5);
	assert_int_equal(ct_extents_place(x, NR + 5), NR + 5);
	/* Behind all that there is. */
	assert_false(ct_extents_hold(x, 1ULL << 50));
	assert_int_equal(ct_extents_source(x, 1ULL << 50), 1ULL << 50);
	assert_int_equal(ct_extents_place(x, 1ULL << 50), 0);
}

static void random_range(u64 *seed, u64 *ret_page, u64 *ret_pages)
{
	*ret_pages = below(seed, below(seed, 3) ? 8 : 120);
	*ret_page = below(seed, NR - *ret_pages);
}

static void random_step(u64 *seed, struct ct_extents *x, struct plain *p)
{
	u64 page, pages, to;

	random_range(seed, &page, &pages);
	switch (below(seed, 16)) {
	case 0 ... 5:
		plain_cut(p, page, pages);
		assert_int_equal(ct_extents_cut(x, page, pages), 0);
		break;
	case 6 ... 8:
		plain_doubt(p, page, pages);
		assert_int_equal(ct_extents_doubt(x, page, pages), 0);
		break;
	default:
		/* The two may overlap: the kernel refuses that, a liar does not. */
		to = below(seed, NR - pages);
		plain_move(p, page, pages, to);
		assert_int_equal(ct_extents_move(x, page, pages, to), 0);
		break;
	}
}

static void test_random(void **state)
{
	u64 seed = 42;
	int round, step;

	for (round = 0; round < 400; round++) {
		struct ct_extents x = { 0 };
		struct plain p;

		assert_int_equal(ct_extents_init(&x), 0);
		plain_init(&p);
		for (step = 0; step < 25; step++) {
			random_step(&seed, &x, &p);
			check_equal(&x, &p);
		}
		check_lookups(&x, &p);
		ct_extents_fini(&x);
	}
}

static void test_nothing_is_nothing(void **state)
{
	struct ct_extents x = { 0 };

	assert_int_equal(ct_extents_init(&x), 0);
	assert_int_equal(ct_extents_cut(&x, 10, 0), 0);
	assert_int_equal(ct_extents_doubt(&x, 10, 0), 0);
	assert_int_equal(ct_extents_move(&x, 10, 0, 20), 0);
	assert_int_equal(ct_extents_move(&x, 10, 5, 10), 0);
	assert_int_equal(x.nr, 1);
	assert_int_equal(x.v[0].page, 0);
	/* Beyond everything: nothing is there to be dropped. */
	assert_int_equal(ct_extents_cut(&x, 1ULL << 50, 100), 0);
	assert_int_equal(x.nr, 1);
	ct_extents_fini(&x);
}

/* Doubts that continue each other are one. */
static void test_doubts_join(void **state)
{
	struct ct_extents x = { 0 };
	u64 i;

	assert_int_equal(ct_extents_init(&x), 0);
	for (i = 0; i < 1000; i++)
		assert_int_equal(ct_extents_doubt(&x, 100 + i, 1), 0);
	assert_int_equal(x.nr, 3);
	check_shape(&x);
	ct_extents_fini(&x);
}

static const struct ct_extent *find(const struct ct_extents *x, u64 page)
{
	u32 lo = 0, hi = x->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (x->v[mid].page + x->v[mid].pages <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < x->nr && x->v[lo].page <= page ? &x->v[lo] : NULL;
}

/*
 * A program that drops every second page of 256 MiB: what is kept of it stays
 * small, and is never wrong, only less sure.
 */
static void test_bounded(void **state)
{
	const u64 nr = 1 << 16;
	struct ct_extents x = { 0 };
	u64 i, doubtful = 0;

	assert_int_equal(ct_extents_init(&x), 0);
	for (i = 1; i < nr; i += 2)
		assert_int_equal(ct_extents_cut(&x, i * 7 % nr | 1, 1), 0);
	assert_true(x.nr <= CT_EXTENTS_MAX);
	assert_true(x.nr > CT_EXTENTS_MAX / 4);
	for (i = 0; i < nr; i++) {
		const struct ct_extent *e = find(&x, i);

		if (!e) {
			assert_true(i & 1);
			continue;
		}
		assert_int_equal(e->src, e->page);
		/* A page that was dropped may lie in an extent only where that one is in doubt. */
		assert_true(e->doubtful || !(i & 1));
		doubtful += e->doubtful;
	}
	assert_true(doubtful > 0);
	check_shape(&x);
	ct_extents_fini(&x);
}

/* Pages that were moved out of a hole are not in it as well. */
static void test_bounded_keeps_moves(void **state)
{
	const u64 away = 1 << 24;
	struct ct_extents x = { 0 };
	u64 i;

	assert_int_equal(ct_extents_init(&x), 0);
	for (i = 0; i < 64; i++)
		assert_int_equal(ct_extents_move(&x, i * 1000 + 1, 1, away + i * 2), 0);
	for (i = 0; i < 20000; i++)
		assert_int_equal(ct_extents_cut(&x, i * 2 + 100000, 1), 0);
	assert_true(x.nr <= CT_EXTENTS_MAX);
	for (i = 0; i < 64; i++) {
		const struct ct_extent *e = find(&x, away + i * 2);

		assert_non_null(e);
		assert_int_equal(away + i * 2 - e->page + e->src, i * 1000 + 1);
		assert_null(find(&x, i * 1000 + 1));
	}
	check_shape(&x);
	ct_extents_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_nothing_is_nothing),
		cmocka_unit_test(test_doubts_join),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_bounded_keeps_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
