/* SPDX-License-Identifier: MIT */
/*
 * Pages that the program keeps from its later children: they go on belonging to
 * the fork that shared them, and the newer fork takes the others over.
 */
#include "birth_util.h"
#include "channel/ring.h"

/* The second half is kept from children after the first fork. */
#define KEPT (PAGES / 2)

static pid_t elder;
static struct ct_fork *first, *second;

static struct ct_share *share_of(const struct ct_fork *f)
{
	struct ct_share *s = p->shares;

	while (s && s->fork != f)
		s = s->next;
	return s;
}

static void two_forks(int advice)
{
	const struct ct_tag t = { .start = (u64)memory,
				  .end = (u64)memory + PAGES * CT_PAGE_SIZE,
				  .mapped = true };

	assert_int_equal(ct_tagmap_set(&p->tags, &t), 0);
	serve(bear());
	first = p->shares->fork;
	elder = child;
	assert_int_equal(
		madvise(memory + KEPT * CT_PAGE_SIZE, (PAGES - KEPT) * CT_PAGE_SIZE, advice), 0);
	serve(bear());
	second = p->shares->fork;
	assert_ptr_not_equal(first, second);
}

static void end_elder(void)
{
	kill(elder, SIGKILL);
	waitpid(elder, NULL, 0);
}

/* The parent's numbers for a fork, of our memory only. */
static struct ct_tally look(struct ct_fork *f)
{
	struct ct_tally t = { 0 };
	struct ct_image *img;
	u32 i;

	assert_int_equal(ct_proc_read(c, p, &img), 0);
	ct_drops_apply(c, p, UINT64_MAX);
	ct_close_share(c, p, share_of(f), img, CT_SIDE_END_OPEN, CT_CLOSE_LOOK);
	ct_image_unref(img);
	for (i = 0; i < f->regions->nr; i++) {
		u64 start = f->regions->v[i].start;

		if (start >= (u64)memory && start < (u64)memory + PAGES * CT_PAGE_SIZE) {
			t.copied += c->tallies[i].copied;
			t.dropped += c->tallies[i].dropped;
			t.unknown += c->tallies[i].unknown;
		}
	}
	return t;
}

static void drop(u32 page, u32 nr)
{
	struct ct_event ev = {
		.type = CT_EV_ADVISE,
		.slot = p->slot,
		.t_ns = ct_now_ns(),
		.addr = (u64)memory + page * CT_PAGE_SIZE,
		.len = nr * CT_PAGE_SIZE,
		.arg = MADV_DONTNEED,
	};

	assert_int_equal(madvise(memory + page * CT_PAGE_SIZE, nr * CT_PAGE_SIZE, MADV_DONTNEED),
			 0);
	assert_true(ct_ring_put(c->seg, &ev));
	ct_events_drain(c, ct_now_ns());
}

static void kept_from_children(int advice)
{
	struct ct_tally t;

	if (ct_kcaps_probe(&c->caps), !c->caps.pfns)
		skip();
	two_forks(advice);
	assert_non_null(share_of(first));
	assert_non_null(share_of(first)->frozen);
	assert_int_equal(ct_image_get(second->orig, first_page() + KEPT), CT_ENT_NONE);
	assert_int_not_equal(ct_image_get(second->orig, first_page()), CT_ENT_NONE);
	/* Three of those kept, two of the others. */
	memory[KEPT * CT_PAGE_SIZE] = 2;
	memory[(KEPT + 1) * CT_PAGE_SIZE] = 2;
	memory[(PAGES - 1) * CT_PAGE_SIZE] = 2;
	memory[0] = 2;
	memory[CT_PAGE_SIZE] = 2;
	t = look(first);
	assert_int_equal(t.copied, 3);
	assert_int_equal(t.dropped, 0);
	t = look(second);
	assert_int_equal(t.copied, 2);
	assert_int_equal(t.dropped, 0);
	/* What is dropped is dropped from the fork that it belongs to, filled again or not. */
	drop(KEPT - 5, 10);
	memory[(KEPT - 5) * CT_PAGE_SIZE] = 3;
	memory[(KEPT + 4) * CT_PAGE_SIZE] = 3;
	t = look(first);
	assert_int_equal(t.copied, 1);
	assert_int_equal(t.dropped, 5);
	t = look(second);
	assert_int_equal(t.copied, 2);
	assert_int_equal(t.dropped, 5);
	assert_int_equal(t.unknown, 0);
	end_elder();
}

static void test_dontfork(void **state)
{
	kept_from_children(MADV_DONTFORK);
}

static void test_wipeonfork(void **state)
{
	kept_from_children(MADV_WIPEONFORK);
}

/* Nothing is kept: the newer fork has it all, and the older one is closed. */
static void test_ordinary(void **state)
{
	if (ct_kcaps_probe(&c->caps), !c->caps.pfns)
		skip();
	two_forks(MADV_DOFORK);
	assert_null(share_of(first));
	assert_non_null(share_of(second));
	end_elder();
}

static int cleanup(void **state)
{
	remove_trace();
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_dontfork),
		TEST(test_wipeonfork),
		TEST(test_ordinary),
	};

	return cmocka_run_group_tests(tests, hold_still, cleanup);
}
