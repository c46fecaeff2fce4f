/* SPDX-License-Identifier: MIT */
/*
 * What a process drops after its last relative took its leave is no drop of the
 * fork's: not when it was told, not when the word is still on its way, and not
 * when the page was touched again; what it dropped before is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "recorder/state.h"

#define FIRST 1000u
#define NR 16u

/* Pages FIRST.. of frame base + i; without: those that are not there. */
static struct ct_image *image(u64 base, u32 without_from, u32 without_to)
{
	struct ct_image_builder b;
	struct ct_image *img;
	u32 i;

	assert_int_equal(ct_image_begin(&b, NULL), 0);
	for (i = 0; i < NR; i++)
		if (i < without_from || i >= without_to)
			ct_image_add(&b, FIRST + i, ct_ent_page(base + i), false);
	assert_int_equal(ct_image_finish(&b, &img), 0);
	return img;
}

static void test_dropped_later(void **state)
{
	const struct ct_drop before = { .begin_ns = 90, .end_ns = 95, .page = FIRST, .pages = 2 };
	const struct ct_drop after = {
		.begin_ns = 110, .end_ns = 112, .page = FIRST + 4, .pages = 2
	};
	/* At the parting pages 0 and 1 had gone; now 4 to 7, and all others are refilled. */
	struct ct_image *orig = image(50, NR, NR), *now = image(500, 4, 8), *whole = NULL;
	struct ct_proc q = { .parting = image(50, 0, 2), .parted_ns = 100 };
	u32 i;

	assert_false(ct_parting_drop(&q, &before));
	assert_true(ct_parting_drop(&q, &after));
	assert_int_equal(ct_parting_compose(&q, orig, now, &whole), 0);
	/* 4, 5 were told, 6, 7 are missing only: all as they were. */
	for (i = 4; i < 8; i++)
		assert_int_equal(ct_image_get(whole, FIRST + i), ct_ent_page(50 + i));
	/* The rest is as it is now. */
	for (i = 8; i < NR; i++)
		assert_int_equal(ct_image_get(whole, FIRST + i), ct_ent_page(500 + i));
	ct_image_unref(whole);
	ct_image_unref(orig);
	ct_image_unref(now);
	ct_parting_forget(&q);
	assert_int_equal(q.parted_ns, 0);
	assert_false(ct_parting_drop(&q, &after));
	free(q.late);
}

/* Told, and touched again since: another frame lies there, and it is no copy. */
static void test_dropped_and_touched(void **state)
{
	const struct ct_drop after = { .begin_ns = 110, .end_ns = 112, .page = FIRST, .pages = NR };
	struct ct_image *orig = image(50, NR, NR), *now = image(500, NR, NR), *whole = NULL;
	struct ct_proc q = { .parting = image(50, NR, NR), .parted_ns = 100 };
	u32 i;

	assert_true(ct_parting_drop(&q, &after));
	assert_int_equal(ct_parting_compose(&q, orig, now, &whole), 0);
	for (i = 0; i < NR; i++)
		assert_int_equal(ct_image_get(whole, FIRST + i), ct_ent_page(50 + i));
	ct_image_unref(whole);
	ct_image_unref(orig);
	ct_image_unref(now);
	ct_parting_forget(&q);
	free(q.late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dropped_later),
		cmocka_unit_test(test_dropped_and_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
