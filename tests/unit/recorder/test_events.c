/* SPDX-License-Identifier: MIT */
/*
 * What the programs tell, as the ring brings it: which drops count for which
 * fork, and that no lie of a program's does harm.
 */
#include <errno.h>
#include <sqlite3.h>

#include "channel/ring.h"
#include "ctx_util.h"

static struct ct_rec_ctx *c;
static struct ct_proc *p;

static int setup(void **state)
{
	c = ctx_open();
	p = proc_open(c, NULL);
	return 0;
}

static int teardown(void **state)
{
	ctx_close(c);
	return 0;
}

static u64 page_addr(u64 page)
{
	return page * CT_PAGE_SIZE;
}

static void tell(struct ct_event ev)
{
	ev.slot = p->slot;
	assert_true(ct_ring_put(c->seg, &ev));
}

static void drain(void)
{
	ct_events_drain(c, ct_now_ns());
}

/* Drops take effect when what they change is looked at. */
static void drain_and_look(void)
{
	drain();
	ct_drops_apply(c, p, UINT64_MAX);
}

static void tell_unmap(u64 page, u64 pages, u64 begin_ns, u64 end_ns)
{
	tell((struct ct_event){ .type = CT_EV_UNMAP,
				.t_ns = begin_ns,
				.dur_ns = (u32)(end_ns - begin_ns),
				.addr = page_addr(page),
				.len = page_addr(pages) });
}

/* What lies at a page now: -1 nothing, -2 in doubt, else the page of the image. */
static s64 at(const struct ct_share *s, u64 page)
{
	u32 i;

	for (i = 0; i < s->extents.nr; i++) {
		const struct ct_extent *e = &s->extents.v[i];

		if (page >= e->page && page < e->page + e->pages)
			return e->doubtful ? -2 : (s64)(page - e->page + e->src);
	}
	return -1;
}

static struct ct_fork *fork_at(u64 clone_ns, u64 born_ns)
{
	const u64 pfns[] = { 1, 2, 3 };

	return fork_open(c, image_of_pages(pfns, 10, 3), clone_ns, born_ns);
}

/* Before, across and after a fork, for both sides. */
static void test_drops_around_a_fork(void **state)
{
	u64 now = ct_now_ns(), t = now - 1000000;
	struct ct_fork *f = fork_at(t, t + 1000);
	struct ct_share *s = share_open(f, CT_SIDE_PARENT, p);

	c->start_ns = t - 1000000;
	tell_unmap(10, 1, t - 200, t - 100);   /* over before the clone: not in the image */
	tell_unmap(20, 1, t - 100, t + 100);   /* across the clone */
	tell_unmap(30, 1, t + 500, t + 600);   /* while the child was being born */
	tell_unmap(40, 1, t + 1000, t + 1100); /* after it */
	drain_and_look();
	assert_int_equal(at(s, 10), 10);
	assert_int_equal(at(s, 20), -2);
	assert_int_equal(at(s, 30), -2);
	assert_int_equal(at(s, 40), -1);
	/* The child does nothing before it is born: there is no doubt on its side. */
	ct_share_free(s);
	p->shares = NULL;
	s = share_open(f, CT_SIDE_CHILD, p);
	tell_unmap(20, 1, t + 100, t + 200);
	drain_and_look();
	assert_int_equal(at(s, 20), -1);
	ct_fork_unref(f);
}

/* While a fork is under way nothing is decided; then all of it is, in its order. */
static void test_drops_wait_for_a_fork(void **state)
{
	u64 t = ct_now_ns();
	struct ct_fork *f = fork_at(t, t);
	struct ct_share *s = share_open(f, CT_SIDE_PARENT, p);

	ct_fork_unref(f);
	atomic_store(&c->seg->slots[p->slot].forks_begun, 1);
	tell_unmap(10, 1, t + 10, t + 20);
	tell((struct ct_event){ .type = CT_EV_REMAP,
				.t_ns = t + 30,
				.addr = page_addr(11),
				.len = page_addr(1),
				.arg = page_addr(10),
				.arg2 = page_addr(1) });
	drain();
	assert_int_equal(at(s, 10), 10);
	assert_int_not_equal(p->nr_drops, 0);
	ct_birth_settled(p);
	tell_unmap(12, 1, t + 40, t + 50);
	drain_and_look();
	assert_int_equal(p->nr_drops, 0);
	assert_int_equal(at(s, 10), 11);
	assert_int_equal(at(s, 11), -1);
	assert_int_equal(at(s, 12), -1);
}

static void test_kinds_of_drops(void **state)
{
	u64 t = ct_now_ns();
	struct ct_fork *f = fork_at(t, t);
	struct ct_share *s = share_open(f, CT_SIDE_PARENT, p);
	const u64 advice[] = { 4 /* MADV_DONTNEED */, 24 /* _LOCKED */, 102 /* GUARD_INSTALL */,
			       10 /* DONTFORK: nothing is dropped */ };
	u32 i;

	ct_fork_unref(f);
	for (i = 0; i < ct_array_size(advice); i++)
		tell((struct ct_event){ .type = CT_EV_ADVISE,
					.t_ns = t,
					.addr = page_addr(10 * i),
					.len = page_addr(2),
					.arg = advice[i] });
	tell((struct ct_event){ .type = CT_EV_MAP,
				.t_ns = t,
				.addr = page_addr(100),
				.len = 5000, /* two pages */
				.arg = 3ULL << 32 | 0x22 });
	tell((struct ct_event){ .type = CT_EV_BRK,
				.t_ns = t,
				.addr = page_addr(210),
				.arg = page_addr(205) - 100 });
	/* Shrunk where it lies; and moved, larger. */
	tell((struct ct_event){ .type = CT_EV_REMAP,
				.t_ns = t,
				.addr = page_addr(300),
				.len = page_addr(10),
				.arg = page_addr(300),
				.arg2 = page_addr(4) });
	tell((struct ct_event){ .type = CT_EV_REMAP,
				.t_ns = t,
				.addr = page_addr(400),
				.len = page_addr(10),
				.arg = page_addr(500),
				.arg2 = page_addr(20) });
	drain_and_look();
	for (i = 0; i < 3; i++) {
		assert_int_equal(at(s, 10 * i), -1);
		assert_int_equal(at(s, 10 * i + 1), -1);
		assert_int_equal(at(s, 10 * i + 2), 10 * i + 2);
	}
	assert_int_equal(at(s, 30), 30);
	assert_int_equal(at(s, 100), -1);
	assert_int_equal(at(s, 101), -1);
	assert_int_equal(at(s, 102), 102);
	assert_int_equal(at(s, 204), 204);
	assert_int_equal(at(s, 205), -1);
	assert_int_equal(at(s, 209), -1);
	assert_int_equal(at(s, 210), 210);
	assert_int_equal(at(s, 303), 303);
	assert_int_equal(at(s, 304), -1);
	assert_int_equal(at(s, 400), -1);
	assert_int_equal(at(s, 505), 405);
	assert_int_equal(at(s, 515), -1);
	assert_int_equal(at(s, 520), 520);
}

/* Ranges and times that cannot be: the memory of honest calls is as it was. */
static void test_lies(void **state)
{
	const u64 ends[] = { 0,
			     1,
			     CT_PAGE_SIZE - 1,
			     1ULL << 47,
			     1ULL << 56,
			     1ULL << 63,
			     UINT64_MAX - CT_PAGE_SIZE + 1,
			     UINT64_MAX };
	const size_t n = ct_array_size(ends);
	struct ct_fork *f = fork_at(ct_now_ns(), ct_now_ns());
	struct ct_share *s = share_open(f, CT_SIDE_PARENT, p);
	u64 torn = c->ring.torn;
	size_t i, k;
	u32 type, nr;

	ct_fork_unref(f);
	for (type = 1; type < CT_EV_NR; type++)
		for (i = 0; i < n; i++)
			for (k = 0; k < n * n; k++)
				tell((struct ct_event){ .type = (u16)type,
							.t_ns = ends[(i + k) % n],
							.dur_ns = (u32)ends[k % n],
							.addr = ends[i] + (type % 2) * 0x10000000,
							.len = ends[k % n],
							.arg = ends[k / n],
							.arg2 = ends[(i * k) % n] });
	drain_and_look();
	assert_true(c->ring.torn > torn);
	for (i = 1; i < s->extents.nr; i++)
		assert_true(s->extents.v[i - 1].page + s->extents.v[i - 1].pages <=
			    s->extents.v[i].page);
	for (i = 0; i < s->extents.nr; i++)
		assert_true(s->extents.v[i].page + s->extents.v[i].pages <= 1ULL << 46);
	ct_tagmap_find(p->tags, 0, UINT64_MAX, &nr);
	assert_true(nr < 100);
}

/* A fork that is for ever under way: what waits for it does not grow without end. */
static void test_endless_wait(void **state)
{
	u64 t = ct_now_ns();
	u32 i, k;

	atomic_store(&c->seg->slots[p->slot].forks_begun, 17);
	for (i = 0; i < 8; i++) {
		for (k = 0; k < CT_SEG_EVENTS / 2; k++)
			tell_unmap(10 + i * k, 1, t, t);
		drain();
	}
	assert_in_range(p->nr_drops, 1, 70000);
}

/* The heart beats while a full ring is drained. */
static void test_beats(void **state)
{
	u64 before = atomic_load(&c->seg->heartbeat_ns);
	u32 i;

	for (i = 0; i < 1000; i++)
		tell_unmap(10, 1, before, before);
	usleep(100);
	drain();
	assert_true(atomic_load(&c->seg->heartbeat_ns) > before);
}

static int nr_notes(void)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int n;

	assert_int_equal(sqlite3_open(trace_path(), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM notes", -1, &st, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

static void test_tags(void **state)
{
	const struct ct_tag *t;
	u64 now = ct_now_ns();
	u32 nr;

	tell((struct ct_event){ .type = CT_EV_MAP,
				.t_ns = now,
				.addr = page_addr(100),
				.len = page_addr(10),
				.arg = 3ULL << 32 | 0x22,
				.nr_pcs = 1,
				.pcs = { 0x1234 } });
	tell((struct ct_event){ .type = CT_EV_ADVISE,
				.t_ns = now,
				.addr = page_addr(102),
				.len = page_addr(2),
				.arg = 14 /* MADV_HUGEPAGE */ });
	tell((struct ct_event){ .type = CT_EV_TAG,
				.t_ns = now,
				.addr = page_addr(106),
				.len = 100,
				.name = "cache" });
	drain();
	t = ct_tagmap_find(p->tags, page_addr(100), page_addr(110), &nr);
	assert_int_equal(nr, 5);
	assert_int_equal(t[0].site, t[4].site);
	assert_int_not_equal(t[0].site, 0);
	assert_true(t[0].mapped);
	assert_int_equal(t[1].thp, CT_THP_HUGEPAGE);
	assert_int_equal(t[3].start, page_addr(106));
	assert_int_equal(t[3].end, page_addr(107));
	assert_string_equal(ct_names_get(c->names, t[3].name), "cache");
	/* Taken back: it is one again. */
	tell((struct ct_event){
		.type = CT_EV_UNTAG, .t_ns = now, .addr = page_addr(106), .len = 100 });
	tell((struct ct_event){
		.type = CT_EV_UNMAP, .t_ns = now, .addr = page_addr(101), .len = page_addr(4) });
	drain();
	t = ct_tagmap_find(p->tags, 0, UINT64_MAX, &nr);
	assert_int_equal(nr, 2);
	assert_int_equal(t[1].start, page_addr(105));
	/* What was moved keeps its site. */
	tell((struct ct_event){ .type = CT_EV_REMAP,
				.t_ns = now,
				.addr = page_addr(105),
				.len = page_addr(5),
				.arg = page_addr(900),
				.arg2 = page_addr(8) });
	drain();
	t = ct_tagmap_find(p->tags, 0, UINT64_MAX, &nr);
	assert_int_equal(nr, 2);
	assert_int_equal(t[1].start, page_addr(900));
	assert_int_equal(t[1].end, page_addr(908));
	assert_int_equal(t[1].site, t[0].site);
}

/* A program that loses its children for ever does not fill the trace with it. */
static void test_notes_are_bounded(void **state)
{
	u64 before = c->totals.notes;
	u32 i, k;

	for (i = 0; i < 50; i++) {
		for (k = 0; k < 100; k++)
			tell((struct ct_event){
				.type = CT_EV_LOSS, .t_ns = ct_now_ns(), .arg = CT_LOSS_NO_SLOT });
		drain();
	}
	assert_int_equal(c->totals.notes, before + 5000);
	while (c->procs)
		proc_close(c, c->procs);
	outbox_close(c->out);
	assert_in_range(nr_notes(), 900, 1100);
	c->out = outbox_open();
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
		TEST(test_drops_around_a_fork),
		TEST(test_drops_wait_for_a_fork),
		TEST(test_kinds_of_drops),
		TEST(test_lies),
		TEST(test_endless_wait),
		TEST(test_beats),
		TEST(test_tags),
		TEST(test_notes_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, cleanup);
}
