/* SPDX-License-Identifier: MIT */
/*
 * What is known of written pages: the map against a plain array, and whose the
 * copies are that the census has found.
 */
#include "ctx_util.h"
#include "recorder/firsts.h"
#include "recorder/writes.h"

#define BLOCKS 300
#define NR (BLOCKS * CT_HUGE_PAGES)

/* Blocks far apart, as stacks, heaps and mappings are. */
static u64 page_at(u64 i)
{
	return (i / CT_HUGE_PAGES) * 0x7fff3000 * CT_HUGE_PAGES / 5 + i % CT_HUGE_PAGES;
}

static void test_against_an_array(void **state)
{
	static u8 plain[NR];
	struct ct_firsts f = { 0 };
	u64 seed = 11, i, n;

	assert_int_equal(ct_firsts_get(&f, 0), 0);
	for (n = 0; n < 200000; n++) {
		u8 value = (u8)(1 + below(&seed, 255));

		i = below(&seed, n < 1000 ? 1000 : NR);
		assert_int_equal(ct_firsts_get(&f, page_at(i)), plain[i]);
		/* The first value stays. */
		assert_int_equal(ct_firsts_add(&f, page_at(i), value), !plain[i]);
		plain[i] = plain[i] ? plain[i] : value;
	}
	for (i = 0; i < NR; i++)
		assert_int_equal(ct_firsts_get(&f, page_at(i)), plain[i]);
	assert_true(f.nr <= f.cap / 2 + 1);
	ct_firsts_fini(&f);
	assert_int_equal(ct_firsts_get(&f, page_at(1)), 0);
	ct_firsts_fini(&f);
}

/* The last page numbers that there are. */
static void test_edges(void **state)
{
	struct ct_firsts f = { 0 };

	assert_true(ct_firsts_add(&f, UINT64_MAX, 1));
	assert_true(ct_firsts_add(&f, 0, 255));
	assert_int_equal(ct_firsts_get(&f, UINT64_MAX), 1);
	assert_int_equal(ct_firsts_get(&f, UINT64_MAX - 1), 0);
	assert_int_equal(ct_firsts_get(&f, 0), 255);
	assert_false(ct_firsts_add(&f, 0, 1));
	ct_firsts_fini(&f);
}

/* Two regions: anonymous from page 0, a file's private one from page 1000. */
static struct ct_fork *two_regions(struct ct_rec_ctx *c)
{
	struct ct_fork *f = fork_open(c, image_of_pages((u64[]){ 1 }, 0, 1), 1, 2);

	f->regions->nr = 2;
	f->regions->v = calloc(2, sizeof(*f->regions->v));
	f->regions->runs = calloc(2, sizeof(*f->regions->runs));
	f->regions->v[0].kind = CT_KIND_HEAP;
	f->regions->v[1].kind = CT_KIND_FILE_PRIVATE;
	return f;
}

static void test_whose_copies(void **state)
{
	struct ct_rec_ctx *c = ctx_open();
	struct ct_proc *p = proc_open(c, NULL);
	struct ct_fork *f = two_regions(c);
	struct ct_share *s = share_open(f, CT_SIDE_PARENT, p);
	struct ct_attribution a = { .c = c, .share = s };
	u64 page, sum = 0;
	u32 i;

	/* By the address at the fork; and one that was told before its move was heard of. */
	for (page = 0; page < 10; page++)
		ct_firsts_add(&s->firsts, page, 1 + CT_SITE_KNOWN);
	for (page = 10; page < 15; page++)
		ct_firsts_add(&s->firsts, page, 1 + CT_NO_KERNEL_WRITE);
	ct_firsts_add(&s->firsts, 5000, 1 + CT_NO_STACK);
	for (page = 0; page < 20; page++)
		ct_attribution_add(&a, page, page, 0);
	ct_attribution_add(&a, 20, 5000, 0); /* moved; told where it lies now */
	ct_attribution_add(&a, 3, 6000, 0);  /* moved; told by where it lay */
	for (page = 1000; page < 1007; page++)
		ct_attribution_add(&a, page, page, 1);
	ct_attribution_add(&a, 3000, 3000, 2); /* in no region */
	assert_int_equal(a.pages[CT_SITE_KNOWN], 11);
	assert_int_equal(a.pages[CT_NO_KERNEL_WRITE], 5);
	assert_int_equal(a.pages[CT_NO_STACK], 1);
	assert_int_equal(a.pages[CT_NO_FILE_PRIVATE], 7);
	assert_int_equal(a.pages[CT_NO_FORK_WINDOW], 5 + 1);
	for (i = 0; i < CT_NO_SITE_NR; i++)
		sum += a.pages[i];
	assert_int_equal(sum, 20 + 1 + 1 + 7 + 1);
	ct_fork_unref(f);
	ctx_close(c);
}

/* NULL: it is not there. */
static const u64 *told(const struct ct_trace *t, const char *reason)
{
	size_t i;

	for (i = 0; i < t->nr_unattributed; i++)
		if (!strcmp(t->unattributed[i].reason, reason))
			return &t->unattributed[i].pages;
	return NULL;
}

/* What was told once is told again when it has become nothing. */
static void test_taken_back(void **state)
{
	struct ct_rec_ctx *c = ctx_open();
	struct ct_proc *p = proc_open(c, NULL);
	struct ct_fork *f = two_regions(c);
	struct ct_share *s = share_open(f, CT_SIDE_CHILD, p);
	struct ct_attribution first = { .share = s }, second = { .share = s };
	struct ct_trace *t;
	struct ct_err err;

	first.pages[CT_SITE_KNOWN] = 1000;
	first.pages[CT_NO_FORK_WINDOW] = 9;
	first.pages[CT_NO_STACK] = 4;
	ct_attribution_blame(c, p, &first);
	ct_attribution_tell(c, &first);
	second.pages[CT_NO_STACK] = 3;
	ct_attribution_blame(c, p, &second);
	ct_attribution_tell(c, &second);
	ct_fork_unref(f);
	ctx_close(c);
	assert_int_equal(ct_trace_load(trace_path(), &t, &err), 0);
	assert_int_equal(*told(t, "no_stack"), 3);
	assert_int_equal(*told(t, "fork_window"), 0);
	/* Nothing that never was; and the known ones are no reason. */
	assert_int_equal(t->nr_unattributed, 2);
	ct_trace_destroy(t);
	remove_trace();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_an_array),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_whose_copies),
		cmocka_unit_test(test_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
