/* SPDX-License-Identifier: MIT */
/*
 * Bounds on copies, without page frames, against a small machine that counts the
 * copies it makes: two or three processes that share pages, write, drop and move
 * them at random.
 */
#include "census/bounds.h"
#include "census_util.h"

#define PAGES 700 /* more than a chunk */
#define SPACE (2 * PAGES)
#define NONE UINT32_MAX

struct machine {
	u32 frame[3][SPACE];   /* by process and page; NONE */
	u32 mapped[4 * SPACE]; /* by frame: how often */
	u32 nr_frames;
	bool copied[2][PAGES]; /* the side made a copy of this page of the fork */
	u64 src[2][SPACE];     /* which page of the fork lies here */
	struct ct_extents extents[2];
	int nr_processes;
	bool dropped; /* anything was */
};

static void machine_init(struct machine *m, u64 *seed, int nr_processes)
{
	u64 i;
	int p;

	memset(m, 0, sizeof(*m));
	memset(m->frame, 0xff, sizeof(m->frame));
	m->nr_processes = nr_processes;
	for (i = 0; i < PAGES; i++) {
		m->src[0][i] = m->src[1][i] = i;
		if (below(seed, 10) == 0)
			continue; /* a hole */
		for (p = 0; p < nr_processes; p++) {
			/* A third process may have left some of it before the fork. */
			if (p == 2 && below(seed, 3) == 0)
				continue;
			m->frame[p][i] = m->nr_frames;
			m->mapped[m->nr_frames]++;
		}
		m->nr_frames++;
	}
	for (p = 0; p < 2; p++)
		assert_int_equal(ct_extents_init(&m->extents[p]), 0);
}

static void machine_fini(struct machine *m)
{
	ct_extents_fini(&m->extents[0]);
	ct_extents_fini(&m->extents[1]);
}

static void write_page(struct machine *m, int p, u64 page)
{
	u32 f = m->frame[p][page];

	if (f == NONE || m->mapped[f] == 1)
		return; /* new pages are made elsewhere; an own page is reused */
	m->mapped[f]--;
	m->frame[p][page] = m->nr_frames;
	m->mapped[m->nr_frames++] = 1;
	if (p < 2)
		m->copied[p][m->src[p][page]] = true;
}

static void drop_page(struct machine *m, int p, u64 page, bool seen)
{
	u32 f = m->frame[p][page];

	if (f != NONE) {
		m->mapped[f]--;
		/* What was dropped counts as that, whatever was done with it before. */
		if (p < 2)
			m->copied[p][m->src[p][page]] = false;
		m->dropped = true;
	}
	m->frame[p][page] = NONE;
	if (p < 2 && seen)
		assert_int_equal(ct_extents_cut(&m->extents[p], page, 1), 0);
}

static void move_page(struct machine *m, int p, u64 page, u64 to)
{
	if (p == 2 || page == to || m->frame[p][page] == NONE)
		return;
	drop_page(m, p, to, true);
	m->frame[p][to] = m->frame[p][page];
	m->src[p][to] = m->src[p][page];
	m->frame[p][page] = NONE;
	assert_int_equal(ct_extents_move(&m->extents[p], page, 1, to), 0);
}

static void random_life(struct machine *m, u64 *seed, bool drops)
{
	u64 steps = below(seed, 3000);

	while (steps--) {
		int p = (int)below(seed, (u64)m->nr_processes);
		u64 page = below(seed, SPACE);

		if (drops && below(seed, 8) == 0)
			drop_page(m, p, page, below(seed, 2));
		else if (drops && below(seed, 16) == 0)
			move_page(m, p, page, below(seed, SPACE));
		else
			write_page(m, p, page);
	}
}

static struct ct_image *reading(const struct machine *m, int p, u64 *seed, bool swap)
{
	static ct_ent e[SPACE];
	u64 i;

	for (i = 0; i < SPACE; i++) {
		u32 f = m->frame[p][i];

		e[i] = f == NONE	   ? CT_ENT_NONE
		       : m->mapped[f] == 1 ? CT_ENT_EXCLUSIVE
					   : CT_ENT_SHARED;
		if (swap && f != NONE && below(seed, 50) == 0)
			e[i] = CT_ENT_TAG_SWAP;
	}
	return image_of(e, SPACE, NULL, NULL);
}

static u64 truth(const struct machine *m)
{
	u64 i, nr = 0;

	for (i = 0; i < PAGES; i++)
		nr += m->copied[0][i] + m->copied[1][i];
	return nr;
}

static void check_sums(const struct ct_bounds *b, const struct ct_bounds_result *r,
		       const struct ct_tally tallies[2][3])
{
	int p, k;

	for (p = 0; p < 2; p++) {
		const struct ct_tally *s = &r->sum[p];
		u64 dropped = 0, unknown = 0;

		assert_int_equal(s->kept + s->dropped + s->unknown + s->copied, b->orig->pages);
		assert_int_equal(s->copied, 0);
		for (k = 0; k < 3; k++) {
			dropped += tallies[p][k].dropped;
			unknown += tallies[p][k].unknown;
		}
		assert_int_equal(dropped, s->dropped);
		assert_int_equal(unknown, s->unknown);
	}
}

/* One history; `drops`: with drops, moves, swap and sides that cannot be read. */
static void one_history(u64 *seed, int nr_processes, bool drops)
{
	const struct ct_page_run regions[2] = { { 10, 300 }, { 310, 250 } };
	struct ct_tally tallies[2][3] = { { { 0 } } };
	static struct machine m;
	struct ct_bounds_result r;
	struct ct_bounds b = {
		.pair = nr_processes == 2,
		.regions = regions,
		.nr_regions = 2,
	};
	bool unread = false;
	int p;

	machine_init(&m, seed, nr_processes);
	b.orig = reading(&m, 0, seed, false);
	random_life(&m, seed, drops);
	for (p = 0; p < 2; p++) {
		b.side[p].extents = &m.extents[p];
		b.side[p].tallies = tallies[p];
		if (drops && !unread && below(seed, 6) == 0)
			unread = true;
		else
			b.side[p].now = reading(&m, p, seed, drops);
	}
	assert_int_equal(ct_bounds_run(&b, &r), 0);
	assert_true(r.copied_min <= truth(&m));
	assert_true(truth(&m) <= r.copied_max);
	/* Of a third one's doing nothing is known: else they meet. */
	if (!drops && nr_processes == 2)
		assert_int_equal(r.copied_min, r.copied_max);
	check_sums(&b, &r, (const struct ct_tally(*)[3])tallies);
	ct_image_unref((struct ct_image *)b.orig);
	ct_image_unref((struct ct_image *)b.side[0].now);
	ct_image_unref((struct ct_image *)b.side[1].now);
	machine_fini(&m);
}

static void test_pair_is_exact(void **state)
{
	u64 seed = 1;
	int round;

	for (round = 0; round < 300; round++)
		one_history(&seed, 2, false);
}

static void test_pair_with_drops(void **state)
{
	u64 seed = 2;
	int round;

	for (round = 0; round < 600; round++)
		one_history(&seed, 2, true);
}

static void test_three(void **state)
{
	u64 seed = 3;
	int round;

	for (round = 0; round < 600; round++)
		one_history(&seed, 3, round & 1);
}

/* What lies where nothing of the fork is. */
static void test_fresh(void **state)
{
	ct_ent o[4] = { CT_ENT_SHARED, CT_ENT_SHARED, CT_ENT_NONE, CT_ENT_NONE };
	ct_ent n[4] = { CT_ENT_SHARED, CT_ENT_NONE, CT_ENT_EXCLUSIVE, CT_ENT_EXCLUSIVE };
	struct ct_extents x = { 0 };
	struct ct_bounds_result r;
	struct ct_bounds b = { .pair = true };

	assert_int_equal(ct_extents_init(&x), 0);
	b.orig = image_of(o, 4, NULL, NULL);
	b.side[0] = (struct ct_bounds_side){ &x, image_of(n, 4, NULL, NULL), NULL };
	b.side[1] = (struct ct_bounds_side){ &x, image_of(o, 4, NULL, NULL), NULL };
	assert_int_equal(ct_bounds_run(&b, &r), 0);
	assert_int_equal(r.sum[0].fresh, 2);
	assert_int_equal(r.sum[0].dropped, 1);
	assert_int_equal(r.sum[0].kept, 1);
	assert_int_equal(r.sum[1].fresh, 0);
	assert_int_equal(r.copied_max, 0);
	ct_image_unref((struct ct_image *)b.orig);
	ct_image_unref((struct ct_image *)b.side[0].now);
	ct_image_unref((struct ct_image *)b.side[1].now);
	ct_extents_fini(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pair_is_exact),
		cmocka_unit_test(test_pair_with_drops),
		cmocka_unit_test(test_three),
		cmocka_unit_test(test_fresh),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
