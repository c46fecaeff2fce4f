/* SPDX-License-Identifier: MIT */
/* Tag maps against a plain array with one tag a page. */
#include <errno.h>

#include "recorder/tagmap.h"
#include "recorder_util.h"

#define NR 200

struct plain {
	struct ct_tag v[NR]; /* start and end unused; nothing set: no tag */
};

static bool is_blank(const struct ct_tag *t)
{
	return !t->mapped && !t->name && !t->thp && !t->ksm && !t->fork_advice;
}

static void check_page(const struct ct_tag *a, const struct ct_tag *b)
{
	assert_int_equal(a->site, b->site);
	assert_int_equal(a->name, b->name);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->thp, b->thp);
	assert_int_equal(a->ksm, b->ksm);
	assert_int_equal(a->fork_advice, b->fork_advice);
	assert_int_equal(a->mapped, b->mapped);
	/* Neighbours that are joined have the time of the older one. */
	assert_true(a->t_ns <= b->t_ns);
}

static bool same_but_time(const struct ct_tag *a, const struct ct_tag *b)
{
	return a->site == b->site && a->name == b->name && a->kind == b->kind && a->thp == b->thp &&
	       a->ksm == b->ksm && a->fork_advice == b->fork_advice && a->mapped == b->mapped;
}

static void check_equal(const struct ct_tagmap *m, const struct plain *p)
{
	const struct ct_tag *t, *all;
	u32 i, nr;
	u64 page;

	all = ct_tagmap_find(m, 0, UINT64_MAX, &nr);
	for (i = 0; i < nr; i++) {
		assert_true(all[i].start < all[i].end);
		assert_false(is_blank(&all[i]));
		if (i)
			assert_true(all[i - 1].end <= all[i].start);
		if (i && all[i - 1].end == all[i].start)
			assert_false(same_but_time(&all[i - 1], &all[i]));
	}
	for (page = 0; page < NR; page++) {
		t = ct_tagmap_find(m, ct_addr_of(page), ct_addr_of(page + 1), &nr);
		if (is_blank(&p->v[page])) {
			assert_int_equal(nr, 0);
			assert_null(t);
			continue;
		}
		assert_int_equal(nr, 1);
		check_page(t, &p->v[page]);
	}
}

static void set_thp(struct ct_tag *t, const void *arg)
{
	t->thp = *(const u8 *)arg;
}

static void set_name(struct ct_tag *t, const void *arg)
{
	t->name = *(const u8 *)arg;
}

static void plain_set(struct plain *p, u64 page, u64 pages, const struct ct_tag *t)
{
	while (pages--)
		p->v[page++] = *t;
}

static void plain_move(struct plain *p, u64 from, u64 pages, u64 to)
{
	struct plain old = *p;
	const struct ct_tag none = { 0 };
	u64 i;

	if (from == to)
		return;
	plain_set(p, from, pages, &none);
	for (i = 0; i < pages; i++)
		p->v[to + i] = old.v[from + i];
}

static void plain_grow(struct plain *p, u64 page, u64 pages)
{
	if (!page || is_blank(&p->v[page - 1]) || !pages)
		return;
	/* The tag must end there. */
	if (!is_blank(&p->v[page]) && same_but_time(&p->v[page - 1], &p->v[page]))
		return;
	plain_set(p, page, pages, &p->v[page - 1]);
}

static void plain_change(struct plain *p, u64 page, u64 pages,
			 void (*fn)(struct ct_tag *, const void *), u8 value)
{
	for (; pages--; page++) {
		fn(&p->v[page], &value);
		if (is_blank(&p->v[page]))
			p->v[page] = (struct ct_tag){ 0 };
	}
}

static void random_step(u64 *seed, struct ct_tagmap **m, struct plain *p)
{
	static u64 clock = 1;
	u64 pages = below(seed, 40), page = below(seed, NR - pages), to = below(seed, NR - pages);
	u8 value = (u8)below(seed, 2);
	struct ct_tag t = {
		.start = ct_addr_of(page),
		.end = ct_addr_of(page + pages),
		.t_ns = clock++,
		.site = (u32)below(seed, 3),
		.kind = (u8)below(seed, 2),
		.mapped = true,
	};

	switch (below(seed, 6)) {
	case 0:
	case 1:
		plain_set(p, page, pages, &t);
		assert_int_equal(ct_tagmap_set(m, &t), 0);
		break;
	case 2:
		plain_set(p, page, pages, &(struct ct_tag){ 0 });
		assert_int_equal(ct_tagmap_clear(m, t.start, t.end), 0);
		break;
	case 3:
		/* The kernel lets no memory move onto itself. */
		if (to < page + pages && page < to + pages)
			break;
		plain_move(p, page, pages, to);
		assert_int_equal(ct_tagmap_move(m, t.start, t.end, ct_addr_of(to)), 0);
		break;
	case 4:
		plain_grow(p, page, pages);
		assert_int_equal(ct_tagmap_grow(m, t.start, t.end - t.start), 0);
		break;
	default:
		plain_change(p, page, pages, value ? set_thp : set_name, value);
		assert_int_equal(
			ct_tagmap_change(m, t.start, t.end, value ? set_thp : set_name, &value), 0);
		break;
	}
}

/* A parent and a child that share a map until one of them changes it. */
static void test_random(void **state)
{
	u64 seed = 99;
	int round, step;

	for (round = 0; round < 300; round++) {
		struct ct_tagmap *m = ct_tagmap_create(), *twin = NULL;
		struct plain p = { 0 }, twin_p = { 0 };

		for (step = 0; step < 30; step++) {
			u64 version = ct_tagmap_version(m);

			random_step(&seed, &m, &p);
			check_equal(m, &p);
			assert_true(ct_tagmap_version(m) >= version);
			if (step == 10) {
				twin = ct_tagmap_ref(m);
				twin_p = p;
			}
			if (step > 10 && below(&seed, 3) == 0)
				random_step(&seed, &twin, &twin_p);
			if (twin)
				check_equal(twin, &twin_p);
		}
		ct_tagmap_unref(m);
		ct_tagmap_unref(twin);
	}
	ct_tagmap_unref(NULL);
}

/* Whoever keeps something by the version learns of every change. */
static void test_version(void **state)
{
	struct ct_tagmap *m = ct_tagmap_create(), *old;
	const struct ct_tag t = { .start = 0x1000, .end = 0x9000, .site = 1, .mapped = true };
	u64 v = ct_tagmap_version(m);
	const u8 on = 1;

	assert_int_equal(ct_tagmap_set(&m, &t), 0);
	assert_true(ct_tagmap_version(m) > v);
	v = ct_tagmap_version(m);
	old = ct_tagmap_ref(m);
	assert_int_equal(ct_tagmap_change(&m, 0x2000, 0x3000, set_thp, &on), 0);
	assert_ptr_not_equal(m, old);
	assert_true(ct_tagmap_version(m) > v);
	assert_int_equal(ct_tagmap_version(old), v);
	v = ct_tagmap_version(m);
	assert_int_equal(ct_tagmap_clear(&m, 0x100000, 0x200000), 0);
	assert_int_equal(ct_tagmap_version(m), v);
	assert_int_equal(ct_tagmap_clear(&m, 0, 0x2000), 0);
	assert_true(ct_tagmap_version(m) > v);
	ct_tagmap_unref(m);
	ct_tagmap_unref(old);
}

/* An allocator that maps page after page from one place makes one tag. */
static void test_loop_makes_one(void **state)
{
	struct ct_tagmap *m = ct_tagmap_create();
	u32 i, nr;

	for (i = 0; i < 1000; i++) {
		const struct ct_tag t = { .start = 0x100000 + i * 0x1000,
					  .end = 0x101000 + i * 0x1000,
					  .site = 7,
					  .t_ns = 100 + i,
					  .mapped = true };

		assert_int_equal(ct_tagmap_set(&m, &t), 0);
	}
	assert_int_equal(ct_tagmap_find(m, 0, UINT64_MAX, &nr)->t_ns, 100);
	assert_int_equal(nr, 1);
	ct_tagmap_unref(m);
}

/* Whatever a program does, the map stays small, and what it says stays true. */
static void test_bounded(void **state)
{
	struct ct_tagmap *m = ct_tagmap_create();
	const u8 on = 1;
	int err = 0;
	u64 i;
	u32 nr;

	for (i = 0; i < 2 * CT_TAGS_MAX; i++) {
		const struct ct_tag t = {
			.start = i * 0x2000, .end = i * 0x2000 + 0x1000, .site = 1, .mapped = true
		};

		err = ct_tagmap_set(&m, &t);
	}
	assert_int_equal(err, -ENOSPC);
	ct_tagmap_find(m, 0, UINT64_MAX, &nr);
	assert_in_range(nr, CT_TAGS_MAX - 8, CT_TAGS_MAX);
	assert_int_equal(ct_tagmap_change(&m, 0, 1 << 30, set_thp, &on), -ENOSPC);
	assert_int_equal(ct_tagmap_clear(&m, 0x800, 0x900), 0);
	/* A tag that cannot be cut goes: what is left of it would be a lie in part. */
	assert_int_equal(ct_tagmap_clear(&m, 0x2800, 0x2900), -ENOSPC);
	ct_tagmap_find(m, 0x2000, 0x3000, &nr);
	assert_int_equal(nr, 0);
	ct_tagmap_unref(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_loop_makes_one),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
