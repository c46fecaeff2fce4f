/* SPDX-License-Identifier: MIT */
/*
 * Images against plain arrays of entries: every form of a chunk, what is shared
 * with a base, patches.
 */
#include <malloc.h>

#include "census_util.h"

#define NR_CHUNKS 8
#define NR (NR_CHUNKS * CT_HUGE_PAGES)

static ct_ent swap_entry(u64 n)
{
	return n << 2 | CT_ENT_TAG_SWAP;
}

static void check_equal(const struct ct_image *img, const ct_ent *e, u64 nr)
{
	u64 i, pages = 0, swapped = 0;
	ct_ent buf[CT_HUGE_PAGES];
	u32 k;

	for (i = 0; i < nr; i++) {
		assert_int_equal(ct_image_get(img, i), e[i]);
		pages += e[i] != CT_ENT_NONE;
		swapped += ct_ent_is_swap(e[i]);
	}
	assert_int_equal(img->pages, pages);
	assert_int_equal(img->swapped, swapped);
	for (k = 0; k < img->nr; k++) {
		u64 first = img->keys[k] * CT_HUGE_PAGES;

		if (k)
			assert_true(img->keys[k - 1] < img->keys[k]);
		assert_true(first + CT_HUGE_PAGES <= nr);
		assert_int_equal(ct_chunk_expand(img->chunks[k], buf),
				 ct_chunk_pages(img->chunks[k]));
		assert_true(ct_chunk_pages(img->chunks[k]) > 0);
		assert_memory_equal(buf, e + first, sizeof(buf));
	}
}

static size_t chunk_bytes(const struct ct_image *img, u32 i)
{
	return malloc_usable_size(img->chunks[i]);
}

/* A run of frames takes 16 bytes, frames below 4 TiB two KiB, others four. */
static void test_forms(void **state)
{
	static ct_ent e[3 * CT_HUGE_PAGES];
	const bool huge[3] = { true, false, false };
	struct ct_image *img;
	u64 i;

	for (i = 0; i < CT_HUGE_PAGES; i++) {
		e[i] = ct_ent_page((1ULL << 40) + i);
		e[CT_HUGE_PAGES + i] = i % 3 ? ct_ent_page((i * 7919) % (1u << 30)) : CT_ENT_NONE;
		e[2 * CT_HUGE_PAGES + i] = ct_ent_page((1ULL << 30) + i * i);
	}
	img = image_of(e, ct_array_size(e), huge, NULL);
	check_equal(img, e, ct_array_size(e));
	assert_int_equal(img->nr, 3);
	assert_true(chunk_bytes(img, 0) < 64);
	assert_in_range(chunk_bytes(img, 1), 2048, 2200);
	assert_in_range(chunk_bytes(img, 2), 4096, 4300);
	assert_int_equal(img->huge_pages, CT_HUGE_PAGES);
	assert_true(ct_image_is_huge(img, 5));
	assert_false(ct_image_is_huge(img, CT_HUGE_PAGES));
	assert_false(ct_image_is_huge(img, 3 * CT_HUGE_PAGES));
	assert_int_equal(ct_image_get(img, 3 * CT_HUGE_PAGES), CT_ENT_NONE);
	assert_int_equal(ct_image_get(img, UINT64_MAX), CT_ENT_NONE);
	assert_int_equal(ct_image_seek(img, 0), 0);
	assert_int_equal(ct_image_seek(img, 3), 3);
	ct_image_unref(img);
	ct_image_unref(NULL);
}

static void test_empty(void **state)
{
	struct ct_image *img = image_of(NULL, 0, NULL, NULL), *same;

	assert_int_equal(img->nr, 0);
	assert_int_equal(img->pages, 0);
	assert_int_equal(ct_image_get(img, 0), CT_ENT_NONE);
	assert_int_equal(ct_image_patch(img, NULL, 0, &same), 0);
	assert_int_equal(same->nr, 0);
	ct_image_unref(same);
}

/* What did not change is held once, and outlives the image it came from. */
static void test_share_with_base(void **state)
{
	static ct_ent e[4 * CT_HUGE_PAGES];
	bool huge[4] = { false, false, false, true };
	struct ct_image *base, *img;
	u64 i;

	for (i = 0; i < ct_array_size(e); i++)
		e[i] = ct_ent_page(1000 + i * 3);
	base = image_of(e, ct_array_size(e), huge, NULL);
	e[CT_HUGE_PAGES + 17] = ct_ent_page(7);
	memset(e + 2 * CT_HUGE_PAGES, 0, CT_HUGE_PAGES * sizeof(*e));
	/* The same frames under page table entries now: not the same. */
	huge[3] = false;
	img = image_of(e, ct_array_size(e), huge, base);
	assert_int_equal(img->nr, 3);
	assert_ptr_equal(img->chunks[0], base->chunks[0]);
	assert_ptr_not_equal(img->chunks[1], base->chunks[1]);
	assert_int_equal(img->keys[2], 3);
	assert_ptr_not_equal(img->chunks[2], base->chunks[3]);
	ct_image_unref(base);
	check_equal(img, e, ct_array_size(e));
	assert_ptr_equal(ct_image_ref(img), img);
	ct_image_unref(img);
	check_equal(img, e, ct_array_size(e));
	ct_image_unref(img);
}

/* What changed a little takes little, however often, and never a chain of chunks. */
static void test_differences(void **state)
{
	static ct_ent e[2 * CT_HUGE_PAGES];
	struct ct_image *img, *next;
	u64 i, round;

	for (i = 0; i < ct_array_size(e); i++)
		e[i] = ct_ent_page(1000 + i * 3);
	img = image_of(e, ct_array_size(e), NULL, NULL);
	for (round = 0; round < 40; round++) {
		/* Every eighth: first the same ones again and again, then others too. */
		for (i = round / 10; i < CT_HUGE_PAGES; i += 8)
			e[i] = ct_ent_page(1000000 + round * 1000 + i);
		if (round == 5)
			e[100] = swap_entry(77);
		if (round == 6)
			e[101] = CT_ENT_NONE;
		/* Another window, and entries beyond 4 TiB: whole chunks both. */
		if (round == 25)
			e[0] = CT_ENT_NONE;
		if (round == 30)
			e[200] = ct_ent_page(1ULL << 40);
		if (round == 31)
			e[200] = ct_ent_page(5);
		next = image_of(e, ct_array_size(e), NULL, img);
		if (round < 10)
			assert_in_range(chunk_bytes(next, 0), 64, 500);
		if (round == 24)
			/* Against what was there at first too much has changed. */
			assert_in_range(chunk_bytes(next, 0), 64, 2200);
		assert_ptr_equal(next->chunks[1], img->chunks[1]);
		/* The older one goes first: what it was is still there. */
		ct_image_unref(img);
		img = next;
		check_equal(img, e, ct_array_size(e));
		next = image_of(e, ct_array_size(e), NULL, img);
		assert_ptr_equal(next->chunks[0], img->chunks[0]);
		ct_image_unref(next);
	}
	ct_image_unref(img);
}

/* Random changes over a tree of images, against the plain arrays. */
static void test_differences_at_random(void **state)
{
	static ct_ent e[16][CT_HUGE_PAGES * 2];
	struct ct_image *img[16] = { NULL };
	const bool huge[2][2] = { { false, false }, { true, false } };
	u32 seed = 1, round, k, i, from;

	for (round = 0; round < 2000; round++) {
		k = (u32)rand_r(&seed) % 16;
		from = (u32)rand_r(&seed) % 16;
		ct_image_unref(img[k]);
		img[k] = NULL;
		memcpy(e[k], e[from], sizeof(e[k]));
		for (i = (u32)rand_r(&seed) % 200; i; i--)
			e[k][(u32)rand_r(&seed) % ct_array_size(e[k])] =
				i % 17 ? ct_ent_page((u64)rand_r(&seed) >> 2) : CT_ENT_NONE;
		img[k] = image_of(e[k], ct_array_size(e[k]), huge[round % 2], img[from]);
		check_equal(img[k], e[k], ct_array_size(e[k]));
		if (img[from])
			check_equal(img[from], e[from], ct_array_size(e[from]));
	}
	for (k = 0; k < 16; k++)
		ct_image_unref(img[k]);
}

/* A page may come twice while its chunk is under construction: the last word counts. */
static void test_replace_while_building(void **state)
{
	struct ct_image_builder b;
	struct ct_image *img;

	assert_int_equal(ct_image_begin(&b, NULL), 0);
	ct_image_add(&b, 3, ct_ent_page(30), false);
	ct_image_add(&b, 1, ct_ent_page(10), false);
	ct_image_add(&b, 3, ct_ent_page(31), false);
	/* All of a chunk taken back: no chunk. */
	ct_image_add(&b, 600, ct_ent_page(60), false);
	ct_image_add(&b, 600, CT_ENT_NONE, false);
	assert_int_equal(ct_image_finish(&b, &img), 0);
	assert_int_equal(img->nr, 1);
	assert_int_equal(img->pages, 2);
	assert_int_equal(ct_image_get(img, 3), ct_ent_page(31));
	ct_image_unref(img);
}

static struct ct_image *patched(struct ct_image *img, ct_ent *e, const struct ct_patch *p, size_t n)
{
	struct ct_image *out;
	size_t i;

	for (i = 0; i < n; i++)
		e[p[i].page] = p[i].ent;
	assert_int_equal(ct_image_patch(img, p, n, &out), 0);
	return out;
}

static void test_patch_outside_and_none(void **state)
{
	static ct_ent e[6 * CT_HUGE_PAGES];
	const struct ct_patch p[] = {
		{ 5, ct_ent_page(55) }, /* before the first chunk */
		{ CT_HUGE_PAGES, ct_ent_page(1) },
		{ CT_HUGE_PAGES + 1, CT_ENT_NONE },
		{ 2 * CT_HUGE_PAGES + 9, ct_ent_page(99) },    /* between two chunks */
		{ 3 * CT_HUGE_PAGES, CT_ENT_NONE },	       /* the only page of its chunk */
		{ 4 * CT_HUGE_PAGES, CT_ENT_NONE },	       /* nothing was there */
		{ 5 * CT_HUGE_PAGES + 511, CT_ENT_AMBIGUOUS }, /* behind the last one */
	};
	struct ct_image *img;

	e[CT_HUGE_PAGES] = ct_ent_page(11);
	e[CT_HUGE_PAGES + 1] = ct_ent_page(12);
	e[3 * CT_HUGE_PAGES] = ct_ent_page(33);
	img = image_of(e, ct_array_size(e), NULL, NULL);
	img = patched(img, e, p, ct_array_size(p));
	check_equal(img, e, ct_array_size(e));
	assert_int_equal(img->nr, 4);
	ct_image_unref(img);
}

/* A chunk that is not touched is not copied, and a huge one stays huge. */
static void test_patch_shares(void **state)
{
	static ct_ent e[2 * CT_HUGE_PAGES];
	const bool huge[2] = { true, true };
	const struct ct_patch p = { 3, ct_ent_page(1) };
	struct ct_image *img, *old;
	u64 i;

	for (i = 0; i < ct_array_size(e); i++)
		e[i] = ct_ent_page(4096 + i);
	old = image_of(e, ct_array_size(e), huge, NULL);
	img = patched(ct_image_ref(old), e, &p, 1);
	assert_ptr_equal(img->chunks[1], old->chunks[1]);
	assert_int_equal(img->huge_pages, 2 * CT_HUGE_PAGES);
	assert_int_equal(ct_image_get(old, 3), ct_ent_page(4099));
	check_equal(img, e, ct_array_size(e));
	ct_image_unref(old);
	ct_image_unref(img);
}

/* Pages may be in swap before a patch, and after it. */
static void test_patch_counts_swap(void **state)
{
	static ct_ent e[2 * CT_HUGE_PAGES];
	const struct ct_patch p[] = { { 1, ct_ent_page(8) },
				      { 2, CT_ENT_NONE },
				      { 4, swap_entry(5) } };
	struct ct_image *img;

	e[1] = swap_entry(1);
	e[2] = swap_entry(2);
	e[3] = swap_entry(3);
	e[4] = ct_ent_page(4);
	e[600] = swap_entry(9);
	img = image_of(e, ct_array_size(e), NULL, NULL);
	assert_int_equal(img->swapped, 4);
	img = patched(img, e, p, ct_array_size(p));
	check_equal(img, e, ct_array_size(e));
	assert_int_equal(img->swapped, 3);
	ct_image_unref(img);
}

static ct_ent random_entry(u64 *seed)
{
	switch (below(seed, 8)) {
	case 0:
		return swap_entry(below(seed, 1 << 20));
	case 1:
		return ct_ent_page(below(seed, 1ULL << 40));
	case 2:
		return CT_ENT_AMBIGUOUS;
	default:
		return ct_ent_page(below(seed, 1 << 20));
	}
}

static void random_fill(u64 *seed, ct_ent *e)
{
	u64 c, i;

	for (c = 0; c < NR_CHUNKS; c++) {
		ct_ent *at = e + c * CT_HUGE_PAGES;
		u64 how = below(seed, 4), base = below(seed, 1ULL << 40);

		for (i = 0; i < CT_HUGE_PAGES; i++) {
			if (how == 0)
				at[i] = CT_ENT_NONE;
			else if (how == 1)
				at[i] = ct_ent_page(base + i);
			else
				at[i] = below(seed, how * 2) ? CT_ENT_NONE : random_entry(seed);
		}
	}
}

static size_t random_patch(u64 *seed, struct ct_patch *p, size_t max)
{
	u64 page = below(seed, NR / 4);
	size_t nr = 0;

	while (page < NR && nr < max) {
		p[nr++] = (struct ct_patch){ page,
					     below(seed, 3) ? random_entry(seed) : CT_ENT_NONE };
		page += 1 + below(seed, below(seed, 4) ? 3 : 700);
	}
	return nr;
}

static void test_random(void **state)
{
	static ct_ent e[NR], old[NR];
	static struct ct_patch p[256];
	u64 seed = 20260101;
	int round, k;

	for (round = 0; round < 60; round++) {
		struct ct_image *img, *base;

		random_fill(&seed, e);
		img = image_of(e, NR, NULL, NULL);
		check_equal(img, e, NR);
		for (k = 0; k < 4; k++) {
			memcpy(old, e, sizeof(e));
			base = ct_image_ref(img);
			img = patched(img, e, p, random_patch(&seed, p, ct_array_size(p)));
			check_equal(img, e, NR);
			check_equal(base, old, NR);
			ct_image_unref(base);
		}
		base = img;
		e[below(&seed, NR)] = random_entry(&seed);
		img = image_of(e, NR, NULL, base);
		ct_image_unref(base);
		check_equal(img, e, NR);
		ct_image_unref(img);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_share_with_base),
		cmocka_unit_test(test_differences),
		cmocka_unit_test(test_differences_at_random),
		cmocka_unit_test(test_replace_while_building),
		cmocka_unit_test(test_patch_outside_and_none),
		cmocka_unit_test(test_patch_shares),
		cmocka_unit_test(test_patch_counts_swap),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
