/* SPDX-License-Identifier: MIT */
/* The engine's queue: order, its end, what is kept for forks, and whose the losses are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctx_util.h"
#include "recorder/engine_int.h"

static struct ct_rec_ctx *c;
static struct ct_engine *e;

static int setup(void **state)
{
	c = ctx_open();
	e = aligned_alloc(64, (sizeof(*e) + 63) & ~63UL);
	memset(e, 0, sizeof(*e));
	e->o.seg = c->seg;
	pthread_mutex_init(&e->lock, NULL);
	return 0;
}

static int teardown(void **state)
{
	pthread_mutex_destroy(&e->lock);
	free(e);
	ctx_close(c);
	return 0;
}

static bool put(u32 ctx, u32 epoch, u64 page)
{
	const struct ct_seen s = {
		.type = CT_SEEN_WRITE, .ctx = ctx, .epoch = epoch, .page = page
	};

	return ct_engine_put(e, &s);
}

static u64 fill(u32 ctx, u32 epoch)
{
	u64 n = 0;

	while (put(ctx, epoch, n))
		n++;
	return n;
}

static void test_order(void **state)
{
	struct ct_seen s;
	u64 in, out = 0;

	assert_false(ct_engine_take(e, &s));
	for (in = 0; in < 3 * CT_ENGINE_QUEUE; in++) {
		assert_true(put(1, 0, in));
		if (in % 3 == 0)
			continue;
		assert_true(ct_engine_take(e, &s));
		assert_int_equal(s.page, out++);
		if (in % 6 == 5)
			while (ct_engine_take(e, &s))
				assert_int_equal(s.page, out++);
	}
	while (ct_engine_take(e, &s))
		assert_int_equal(s.page, out++);
	assert_int_equal(out, in);
	assert_int_equal(ct_engine_lost(e), 0);
}

/* Writes leave places for forks; a fork that finds none has its descriptor closed. */
static void test_full(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct ct_seen fork = { .type = CT_SEEN_FORK, .ctx = 1, .fd = -1 };
	struct ct_seen s;
	u64 n = fill(1, 0), forks = 0;

	assert_true(n < CT_ENGINE_QUEUE);
	while (ct_engine_put(e, &fork))
		forks++;
	assert_true(forks >= 1000);
	assert_int_equal(n + forks, CT_ENGINE_QUEUE);
	fork.fd = fd;
	assert_false(ct_engine_put(e, &fork));
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	/* It goes on as soon as there is room. */
	for (; forks; forks--)
		assert_true(ct_engine_take(e, &s));
	assert_false(put(1, 0, 1));
	assert_true(ct_engine_take(e, &s));
	assert_true(put(1, 0, 1));
}

static u64 lost_of(u32 ctx, u32 epoch)
{
	struct ct_loss v[CT_ENGINE_LOSSES];
	u32 i, nr = ct_engine_losses(e, ctx, v);
	u64 sum = 0;

	for (i = 0; i < nr; i++) {
		assert_int_equal(v[i].ctx, ctx);
		sum += v[i].epoch == epoch ? v[i].writes : 0;
	}
	return sum;
}

static void test_losses(void **state)
{
	u64 i, sum;

	fill(1, 0); /* and one is lost */
	assert_int_equal(ct_engine_lost(e), 1);
	for (i = 0; i < 10; i++)
		assert_false(put(2, 3, i));
	for (i = 0; i < 7; i++)
		assert_false(put(2, 4, i));
	assert_int_equal(lost_of(1, 0), 1);
	assert_int_equal(lost_of(2, 3), 10);
	assert_int_equal(lost_of(2, 4), 7);
	assert_int_equal(lost_of(2, 0), 0);
	assert_int_equal(lost_of(3, 3), 0);
	assert_int_equal(ct_engine_lost(e), 18);
	/* The newest are remembered, the sum holds all. */
	for (i = 0; i < 1000; i++)
		assert_false(put(5, (u32)i, 0));
	for (i = sum = 0; i < 1000; i++)
		sum += lost_of(5, (u32)i);
	assert_int_equal(sum, CT_ENGINE_LOSSES);
	assert_int_equal(lost_of(5, 999), 1);
	assert_int_equal(lost_of(2, 3), 0);
	assert_int_equal(ct_engine_lost(e), 1018);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_order),
		TEST(test_full),
		TEST(test_losses),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	remove_trace();
	return failed;
}
