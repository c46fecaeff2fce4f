/* SPDX-License-Identifier: MIT */
/*
 * Counts cut into files: whatever a side looks like from one look to the next, no file
 * has a negative count, its regions sum up to its side, and what is told of the pages
 * that the side still had is neither more nor less than these.
 */
#include "ctx_util.h"
#include "recorder/portion.h"

#define NR 5 /* regions */
#define PAGES 1000

static struct ct_portion *create(void)
{
	struct ct_rec row = { .type = CT_REC_FORK };
	struct ct_portion *p;

	row.fork.phase = "a phase";
	row.fork.pages_shared = PAGES;
	p = ct_portion_create(&row, NULL, NULL);
	assert_non_null(p);
	assert_string_equal(p->row.fork.phase, "a phase");
	return p;
}

static struct ct_tally sum_of(const struct ct_tally *t, u64 kept)
{
	struct ct_tally sum = { .kept = kept };
	u32 i;

	for (i = 0; i <= NR; i++) {
		sum.copied += t[i].copied;
		sum.dropped += t[i].dropped;
		sum.unknown += t[i].unknown;
		sum.fresh += t[i].fresh;
	}
	return sum;
}

static void test_one_file(void **state)
{
	struct ct_portion *p = create();
	struct ct_tally t[NR + 1] = { { .copied = 3 }, { .dropped = 4, .fresh = 2 } };
	struct ct_tally sum = sum_of(t, PAGES - 7);

	ct_portion_cut(p, CT_SIDE_CHILD, NR, &sum, t, NULL);
	assert_int_equal(sum.copied, 3);
	assert_int_equal(sum.dropped, 4);
	assert_int_equal(sum.fresh, 2);
	assert_int_equal(ct_portion_gone(p, CT_SIDE_CHILD, 0), 0);
	ct_portion_destroy(p);
}

static void test_two_files(void **state)
{
	struct ct_portion *p = create();
	struct ct_tally t[NR + 1] = { { .copied = 3 }, { .dropped = 4 } };
	struct ct_tally u[NR + 1] = { { .copied = 5 }, { .dropped = 4, .unknown = 1 } };
	struct ct_tally sum = sum_of(t, PAGES - 7), later = sum_of(u, PAGES - 10);

	ct_portion_cut(p, CT_SIDE_PARENT, NR, &sum, t, NULL);
	ct_portion_next(p, NR);
	assert_int_equal(p->told[CT_SIDE_PARENT].kept, PAGES - 7);
	assert_int_equal(p->told[CT_SIDE_CHILD].kept, PAGES);
	assert_int_equal(ct_portion_gone(p, CT_SIDE_PARENT, 0), 3);
	assert_int_equal(ct_portion_gone(p, CT_SIDE_PARENT, 1), 4);
	ct_portion_cut(p, CT_SIDE_PARENT, NR, &later, u, NULL);
	assert_int_equal(later.copied, 2);
	assert_int_equal(later.dropped, 0);
	assert_int_equal(later.unknown, 1);
	assert_int_equal(u[0].copied, 2);
	ct_portion_destroy(p);
}

static void test_copied_then_dropped(void **state)
{
	struct ct_portion *p = create();
	struct ct_tally t[NR + 1] = { { .copied = 40 } };
	struct ct_tally u[NR + 1] = { { .copied = 32, .dropped = 10 } };
	struct ct_tally sum = sum_of(t, PAGES - 40), later = sum_of(u, PAGES - 42);

	ct_portion_cut(p, CT_SIDE_PARENT, NR, &sum, t, NULL);
	ct_portion_next(p, NR);
	ct_portion_cut(p, CT_SIDE_PARENT, NR, &later, u, NULL);
	/* 10 copies and 2 pages that were still shared have been dropped, or 8 and 2. */
	assert_int_equal(later.copied, 0);
	assert_int_equal(later.dropped, 2);
	ct_portion_destroy(p);
}

/* Pages of a region, each in some state, that changes as it likes (but is kept no more). */
static void change(u8 *pages, struct ct_tally *t, u64 *ret_kept)
{
	u32 i;

	memset(t, 0, (NR + 1) * sizeof(*t));
	*ret_kept = 0;
	for (i = 0; i < PAGES; i++) {
		struct ct_tally *r = &t[i % (NR + 1)];

		if (rand() % 4 == 0)
			pages[i] = (u8)(1 + rand() % 3);
		r->copied += pages[i] == 1;
		r->dropped += pages[i] == 2;
		r->unknown += pages[i] == 3;
		*ret_kept += !pages[i];
	}
	t[rand() % NR].fresh = (u64)(rand() % 100);
}

static void test_any_course(void **state)
{
	u64 kept = 0, before, who[CT_NO_SITE_NR];
	struct ct_tally t[NR + 1], sum, again;
	int file, look, run;
	u32 i;

	srand(7);
	for (run = 0; run < 50; run++) {
		struct ct_portion *p = create();
		u8 pages[PAGES] = { 0 };

		before = PAGES;
		for (file = 0; file < 6; file++) {
			for (look = rand() % 3; look >= 0; look--) {
				change(pages, t, &kept);
				sum = sum_of(t, kept);
				memset(who, 0, sizeof(who));
				for (i = 0; i < sum.copied; i++)
					who[rand() % CT_NO_SITE_NR]++;
				ct_portion_cut(p, CT_SIDE_PARENT, NR, &sum, t, who);
				again = sum_of(t, sum.kept);
				assert_memory_equal(&again, &sum, sizeof(sum));
				assert_int_equal(sum.copied + sum.dropped + sum.unknown + sum.kept,
						 before);
				for (i = 0; i < CT_NO_SITE_NR; i++)
					sum.copied -= who[i];
				assert_int_equal(sum.copied, 0);
			}
			ct_portion_next(p, NR);
			before = kept;
		}
		ct_portion_destroy(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_file),
		cmocka_unit_test(test_two_files),
		cmocka_unit_test(test_copied_then_dropped),
		cmocka_unit_test(test_any_course),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
