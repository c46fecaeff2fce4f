/* SPDX-License-Identifier: MIT */
/*
 * The comparison of two images against one that looks at every page, for random
 * images, extents and regions.
 */
#include "census/compare.h"
#include "census_util.h"

#define NR_CHUNKS 6
#define NR (NR_CHUNKS * CT_HUGE_PAGES)
#define MAX_REGIONS 24
#define GONE UINT64_MAX

struct scene {
	ct_ent orig[NR], now[NR];
	u64 src[NR]; /* which page of orig lies here now; GONE */
	bool doubtful[NR];
	bool mapped[NR]; /* by src: some page has it */
	struct ct_page_run regions[MAX_REGIONS];
	size_t nr_regions;
	struct ct_image *orig_img, *now_img;
	struct ct_extents extents;
	bool judged;
};

static enum ct_outcome opinion(void *arg, u64 page, ct_ent orig, ct_ent now)
{
	assert_true(ct_ent_is_page(orig) && ct_ent_is_page(now));
	assert_int_not_equal(orig, now);
	return (enum ct_outcome)((page + (orig >> 2) + (now >> 2)) % 3);
}

static ct_ent random_entry(u64 *seed, bool ambiguous)
{
	switch (below(seed, 12)) {
	case 0:
		return below(seed, 4) << 2 | CT_ENT_TAG_SWAP;
	case 1:
		return ambiguous ? CT_ENT_AMBIGUOUS : ct_ent_page(3);
	case 2 ... 3:
		return CT_ENT_NONE;
	default:
		return ct_ent_page(1 + below(seed, 1 << 14));
	}
}

static void random_images(u64 *seed, struct scene *s, bool ambiguous)
{
	u64 c, i;

	for (c = 0; c < NR_CHUNKS; c++) {
		u64 how = below(seed, 5), changes = below(seed, 3) ? below(seed, 40) : 0;
		ct_ent *o = s->orig + c * CT_HUGE_PAGES, *n = s->now + c * CT_HUGE_PAGES;

		for (i = 0; i < CT_HUGE_PAGES; i++)
			o[i] = how == 0	  ? CT_ENT_NONE
			       : how == 1 ? ct_ent_page((1ULL << 33) + c * CT_HUGE_PAGES + i)
					  : random_entry(seed, ambiguous);
		memcpy(n, o, CT_HUGE_PAGES * sizeof(*o));
		while (changes--)
			n[below(seed, CT_HUGE_PAGES)] = random_entry(seed, ambiguous);
		if (below(seed, 8) == 0)
			for (i = 0; i < CT_HUGE_PAGES; i++)
				n[i] = random_entry(seed, ambiguous);
	}
}

static void unmap(struct scene *s, u64 page)
{
	if (s->src[page] != GONE)
		s->mapped[s->src[page]] = false;
	s->src[page] = GONE;
	s->doubtful[page] = false;
}

static void random_extents(u64 *seed, struct scene *s)
{
	u64 i, page, pages, to;
	int step = (int)below(seed, 12);

	for (i = 0; i < NR; i++) {
		s->src[i] = i;
		s->doubtful[i] = false;
		s->mapped[i] = true;
	}
	assert_int_equal(ct_extents_init(&s->extents), 0);
	for (; step; step--) {
		pages = 1 + below(seed, below(seed, 2) ? 30 : 900);
		page = below(seed, NR - 2 * pages);
		switch (below(seed, 3)) {
		case 0:
			ct_extents_cut(&s->extents, page, pages);
			for (i = page; i < page + pages; i++)
				unmap(s, i);
			break;
		case 1:
			ct_extents_doubt(&s->extents, page, pages);
			for (i = page; i < page + pages; i++)
				s->doubtful[i] = s->src[i] != GONE;
			break;
		default:
			to = page + pages + below(seed, NR - page - 2 * pages + 1);
			ct_extents_move(&s->extents, page, pages, to);
			for (i = 0; i < pages; i++) {
				u64 src = s->src[page + i];
				bool doubtful = s->doubtful[page + i];

				unmap(s, page + i);
				unmap(s, to + i);
				s->src[to + i] = src;
				s->doubtful[to + i] = doubtful;
				if (src != GONE)
					s->mapped[src] = true;
			}
			break;
		}
	}
}

static void random_regions(u64 *seed, struct scene *s)
{
	u64 at = 0;

	for (s->nr_regions = 0; s->nr_regions < MAX_REGIONS; s->nr_regions++) {
		at += below(seed, 3) ? 0 : below(seed, 300);
		s->regions[s->nr_regions].page = at;
		/* Some end inside a chunk, some hold several, some nothing at all. */
		at += s->regions[s->nr_regions].pages = below(seed, below(seed, 3) ? 60 : 1500);
	}
}

static void scene_init(struct scene *s, u64 *seed)
{
	/* A reading has no ambiguous pages: no chunk that has is ever shared with one. */
	bool huge[NR_CHUNKS], share = below(seed, 2);
	int i;

	random_images(seed, s, !share);
	random_extents(seed, s);
	random_regions(seed, s);
	for (i = 0; i < NR_CHUNKS; i++)
		huge[i] = below(seed, 4) == 0;
	s->orig_img = image_of(s->orig, NR, huge, NULL);
	s->now_img = image_of(s->now, NR, huge, share ? s->orig_img : NULL);
	s->judged = below(seed, 2);
}

static void scene_fini(struct scene *s)
{
	ct_image_unref(s->orig_img);
	ct_image_unref(s->now_img);
	ct_extents_fini(&s->extents);
}

static size_t region_of(const struct scene *s, u64 page)
{
	size_t i;

	for (i = 0; i < s->nr_regions; i++)
		if (page >= s->regions[i].page && page < s->regions[i].page + s->regions[i].pages)
			break;
	return i;
}

static enum ct_outcome plain_outcome(const struct scene *s, u64 page)
{
	u64 src = s->src[page];
	ct_ent o = s->orig[src], n = s->now[page];

	if (o == n && o != CT_ENT_AMBIGUOUS)
		return CT_OUT_KEPT;
	/* Only two page frames can be told to be a page and its copy. */
	if (!ct_ent_is_page(o) || !ct_ent_is_page(n) || s->doubtful[page])
		return CT_OUT_UNKNOWN;
	return s->judged ? opinion(NULL, src, o, n) : CT_OUT_COPIED;
}

static void plain_compare(const struct scene *s, struct ct_tally *t, struct ct_tally *sum)
{
	u64 i;

	for (i = 0; i < NR; i++) {
		u64 src = s->src[i];

		if (!s->mapped[i] && s->orig[i] != CT_ENT_NONE)
			t[region_of(s, i)].dropped++;
		if (src == GONE || s->orig[src] == CT_ENT_NONE) {
			t[region_of(s, i)].fresh += s->now[i] != CT_ENT_NONE;
			continue;
		}
		if (s->now[i] == CT_ENT_NONE) {
			t[region_of(s, src)].dropped++;
			continue;
		}
		switch (plain_outcome(s, i)) {
		case CT_OUT_KEPT:
			sum->kept++;
			break;
		case CT_OUT_COPIED:
			t[region_of(s, src)].copied++;
			break;
		case CT_OUT_UNKNOWN:
			t[region_of(s, src)].unknown++;
			break;
		}
	}
	for (i = 0; i <= s->nr_regions; i++) {
		sum->copied += t[i].copied;
		sum->dropped += t[i].dropped;
		sum->fresh += t[i].fresh;
		sum->unknown += t[i].unknown;
	}
}

static void check_tally(const struct ct_tally *a, const struct ct_tally *b)
{
	assert_int_equal(a->copied, b->copied);
	assert_int_equal(a->dropped, b->dropped);
	assert_int_equal(a->fresh, b->fresh);
	assert_int_equal(a->unknown, b->unknown);
	assert_int_equal(a->kept, b->kept);
}

/* Which pages were told copied, and where each lies now. */
struct told {
	const struct scene *s;
	u64 nr, nr_region[MAX_REGIONS + 1];
	bool seen[NR]; /* by src */
};

static void note_copied(void *arg, u64 src, u64 page, size_t region)
{
	struct told *t = arg;

	assert_true(src < NR && page < NR);
	assert_false(t->seen[src]);
	t->seen[src] = true;
	assert_int_equal(t->s->src[page], src);
	assert_int_equal(plain_outcome(t->s, page), CT_OUT_COPIED);
	assert_int_equal(region, region_of(t->s, src));
	t->nr_region[region]++;
	t->nr++;
}

static void one_scene(struct scene *s)
{
	struct told told = { .s = s };
	struct ct_tally got[MAX_REGIONS + 1] = { { 0 } }, want[MAX_REGIONS + 1] = { { 0 } };
	struct ct_tally got_sum, want_sum = { 0 };
	const struct ct_compare c = {
		.orig = s->orig_img,
		.extents = &s->extents,
		.now = s->now_img,
		.judge = s->judged ? opinion : NULL,
		.copied = note_copied,
		.copied_arg = &told,
		.regions = s->regions,
		.nr_regions = s->nr_regions,
		.tallies = got,
	};
	size_t i;

	plain_compare(s, want, &want_sum);
	assert_int_equal(ct_compare_run(&c, &got_sum), 0);
	check_tally(&got_sum, &want_sum);
	for (i = 0; i <= s->nr_regions; i++) {
		check_tally(&got[i], &want[i]);
		assert_int_equal(told.nr_region[i], want[i].copied);
	}
	assert_int_equal(told.nr, want_sum.copied);
	assert_int_equal(got_sum.kept + got_sum.copied + got_sum.dropped + got_sum.unknown,
			 s->orig_img->pages);
}

static void test_random(void **state)
{
	static struct scene s;
	u64 seed = 7;
	int round;

	for (round = 0; round < 400; round++) {
		scene_init(&s, &seed);
		one_scene(&s);
		scene_fini(&s);
	}
}

static void test_count(void **state)
{
	static struct scene s;
	u64 seed = 11, i;
	int round;

	for (round = 0; round < 100; round++) {
		u64 pages[MAX_REGIONS + 1] = { 0 }, huge[MAX_REGIONS + 1] = { 0 };

		scene_init(&s, &seed);
		ct_compare_count(s.orig_img, s.regions, s.nr_regions, pages, huge);
		for (i = 0; i < NR; i++) {
			size_t r = region_of(&s, i);

			pages[r] -= s.orig[i] != CT_ENT_NONE;
			huge[r] -= s.orig[i] != CT_ENT_NONE && ct_image_is_huge(s.orig_img, i);
		}
		for (i = 0; i <= s.nr_regions; i++) {
			assert_int_equal(pages[i], 0);
			assert_int_equal(huge[i], 0);
		}
		scene_fini(&s);
	}
}

/*
 * A process that forks again is closed with an image of its birth, where a page
 * that both had written before it could be read is ambiguous: no copy is known.
 */
static void test_ambiguous_now(void **state)
{
	ct_ent o[2] = { ct_ent_page(1), ct_ent_page(2) };
	ct_ent n[2] = { CT_ENT_AMBIGUOUS, ct_ent_page(3) };
	struct ct_tally tally = { 0 }, sum;
	struct ct_extents x = { 0 };
	struct ct_compare c = {
		.orig = image_of(o, 2, NULL, NULL),
		.now = image_of(n, 2, NULL, NULL),
		.extents = &x,
		.tallies = &tally,
	};

	assert_int_equal(ct_extents_init(&x), 0);
	assert_int_equal(ct_compare_run(&c, &sum), 0);
	assert_int_equal(sum.unknown, 1);
	assert_int_equal(sum.copied, 1);
	ct_image_unref((struct ct_image *)c.orig);
	ct_image_unref((struct ct_image *)c.now);
	ct_extents_fini(&x);
}

/* Costs nothing where nothing changed: 64 GiB of address space, one chunk differs. */
static void test_sparse(void **state)
{
	struct ct_image_builder b;
	struct ct_image *orig, *now;
	struct ct_extents x = { 0 };
	struct ct_tally tally = { 0 }, sum;
	u64 i;

	assert_int_equal(ct_image_begin(&b, NULL), 0);
	for (i = 0; i < 1 << 15; i++)
		ct_image_add(&b, i * CT_HUGE_PAGES + i % 512, ct_ent_page(i + 1), false);
	assert_int_equal(ct_image_finish(&b, &orig), 0);
	assert_int_equal(ct_image_patch(ct_image_ref(orig),
					&(struct ct_patch){ 512, ct_ent_page(1 << 20) }, 1, &now),
			 0);
	assert_int_equal(ct_extents_init(&x), 0);
	assert_int_equal(ct_compare_run(&(struct ct_compare){ .orig = orig,
							      .now = now,
							      .extents = &x,
							      .tallies = &tally },
					&sum),
			 0);
	assert_int_equal(sum.kept, 1 << 15);
	assert_int_equal(sum.fresh, 1);
	assert_int_equal(sum.copied + sum.dropped + sum.unknown, 0);
	ct_image_unref(orig);
	ct_image_unref(now);
	ct_extents_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_count),
		cmocka_unit_test(test_ambiguous_now),
		cmocka_unit_test(test_sparse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
