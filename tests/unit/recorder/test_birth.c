/* SPDX-License-Identifier: MIT */
/*
 * Births of real children of this test, served as the recorder serves them; and
 * what a hostile program may write into its slot, or tell of its forks.
 */
#include <sqlite3.h>

#include "birth_util.h"
#include "channel/ring.h"
#include "recorder/asks.h"
#include "recorder/leave.h"

static void tell_returned(u32 slot, s32 pid, u64 t_ns)
{
	struct ct_event ev = {
		.type = CT_EV_FORK,
		.slot = p->slot,
		.t_ns = t_ns,
		.arg = slot,
		.arg2 = (u64)(s64)pid,
		.arg3 = 1234,
	};

	assert_true(ct_ring_put(c->seg, &ev));
	ct_events_drain(c, ct_now_ns());
}

static void test_birth(void **state)
{
	u32 slot = bear(), i;
	struct ct_proc *q;
	struct ct_fork *f;
	u64 e;

	assert_true(ct_birth_under_way(c, p));
	serve(slot);
	assert_false(ct_birth_under_way(c, p));
	q = c->by_slot[slot];
	assert_non_null(q);
	assert_int_equal(q->pid, child);
	assert_int_equal(q->parent_id, p->id);
	assert_int_equal(c->totals.forks, 1);
	assert_non_null(p->shares);
	assert_non_null(q->shares);
	f = p->shares->fork;
	assert_ptr_equal(f, q->shares->fork);
	assert_int_equal(p->shares->side, CT_SIDE_PARENT);
	assert_int_equal(q->shares->side, CT_SIDE_CHILD);
	assert_true(f->pair);
	assert_int_equal(q->birth_fork, f->id);
	/* Every page of it is the one that our own page map shows. */
	for (i = 0; i < PAGES; i++) {
		assert_int_equal(ct_pagemap_read(p->pagemap_fd, first_page() + i, 1, &e), 1);
		if (c->caps.pfns)
			assert_int_equal(ct_image_get(f->orig, first_page() + i),
					 ct_ent_page(e & CT_PM_PFN_MASK));
		else
			assert_int_equal(ct_image_get(f->orig, first_page() + i), CT_ENT_SHARED);
	}
	/* The parent's word comes after it, and changes nothing. */
	tell_returned(slot, child, ct_now_ns());
	assert_int_equal(c->nr_expected, 0);
	assert_int_equal(p->forks_seen, 1);
}

/* What one side writes then is found as its copy, page for page. */
static void test_copies(void **state)
{
	u32 slot, i;
	struct ct_tally *t;
	struct ct_image *img;
	struct ct_fork *f;

	if (ct_kcaps_probe(&c->caps), !c->caps.pfns)
		skip();
	/* A region of its own, whatever the kernel joins it with. */
	assert_int_equal(ct_tagmap_set(&p->tags,
				       &(struct ct_tag){ .start = (u64)memory,
							 .end = (u64)memory + PAGES * CT_PAGE_SIZE,
							 .mapped = true,
							 .kind = CT_KIND_ANON }),
			 0);
	slot = bear();
	serve(slot);
	assert_non_null(c->by_slot[slot]);
	f = p->shares->fork;
	f->refs++;
	for (i = 0; i < PAGES; i += 5)
		memory[i * CT_PAGE_SIZE] = 2;
	assert_int_equal(ct_proc_read(c, p, &img), 0);
	ct_close_look(c, p, img);
	ct_image_unref(img);
	t = NULL;
	for (i = 0; i < f->regions->nr; i++)
		if (f->regions->v[i].start <= (u64)memory && f->regions->v[i].end > (u64)memory)
			t = &c->tallies[i];
	assert_non_null(t);
	assert_int_equal(t->copied, PAGES / 5);
	assert_int_equal(t->unknown, 0);
	ct_fork_unref(f);
}

/* Nobody is born twice into one slot, nor by another's word. */
static void test_once(void **state)
{
	u32 slot = bear();

	serve(slot);
	atomic_store(&c->seg->slots[slot].ask, CT_ASK_BIRTH);
	serve(slot);
	atomic_store(&c->seg->slots[p->slot].ask, CT_ASK_BIRTH);
	serve(p->slot);
	assert_int_equal(c->nr_alive, nr_procs_before + 1);
	assert_ptr_equal(c->by_slot[p->slot], p);
	assert_int_equal(p->forks_seen, 1);
	assert_int_equal(atomic_load(&c->seg->slots[slot].ask), CT_ASK_DONE);
}

/* A program that says it is another process gets nothing read. */
static void test_not_ours(void **state)
{
	u32 slot = bear();

	atomic_store(&c->seg->slots[slot].pid, 1);
	serve(slot);
	assert_int_equal(c->nr_alive, nr_procs_before);
	assert_null(p->shares);
	assert_false(ct_birth_under_way(c, p));
	assert_int_equal(atomic_load(&c->seg->slots[slot].state), CT_SLOT_FREE);
}

/* Killed while it waited: the fork is settled once, whatever the parent tells later. */
static void test_dead_child(void **state)
{
	u32 slot = bear();
	s32 pid = child;

	end_child();
	serve(slot);
	assert_int_equal(p->forks_seen, 1);
	tell_returned(slot, pid, ct_now_ns());
	assert_int_equal(c->nr_expected, 0);
	ct_birth_expire(c, ct_now_ns() + 3600 * CT_NSEC_PER_SEC);
	assert_int_equal(p->forks_seen, 1);
}

/* A daemon's parent does not know the pid: the time of the clone tells the birth. */
static void test_daemon(void **state)
{
	u32 slot = bear();
	u64 clone_ns = c->seg->slots[slot].clone_ns;

	serve(slot);
	end_child();
	proc_close(c, c->by_slot[slot]);
	tell_returned(slot, 0, clone_ns);
	assert_int_equal(c->nr_expected, 0);
	/* Another fork into the same slot, whose child has not spoken. */
	atomic_fetch_add(&c->seg->slots[p->slot].forks_begun, 1);
	tell_returned(slot, 0, clone_ns + 1);
	assert_int_equal(c->nr_expected, 1);
	assert_true(ct_birth_under_way(c, p));
	ct_birth_expire(c, ct_now_ns() + 3600 * CT_NSEC_PER_SEC);
	assert_false(ct_birth_under_way(c, p));
	assert_int_equal(c->nr_expected, 0);
}

static void post(u32 slot)
{
	atomic_fetch_or(&c->seg->asking[slot / 64], 1ULL << (slot % 64));
}

/* The child that was cloned first is read first, whoever asks first. */
static void test_in_order(void **state)
{
	struct ct_asks asks = { 0 };
	u32 first = bear(), second;
	pid_t elder = child;

	second = bear();
	atomic_store(&c->seg->slots[first].state, CT_SLOT_CLAIMED);
	atomic_store(&c->seg->slots[first].ask, CT_ASK_NONE);
	assert_true(ct_birth_in_order(c, first));
	assert_false(ct_birth_in_order(c, second));
	post(second);
	ct_asks_serve(c, &asks);
	assert_null(c->by_slot[second]);
	assert_true(ct_asks_waiting(&asks));
	/* Now the first one has come to run. */
	atomic_store(&c->seg->slots[first].state, CT_SLOT_LIVE);
	atomic_store(&c->seg->slots[first].ask, CT_ASK_BIRTH);
	post(first);
	ct_asks_serve(c, &asks);
	assert_false(ct_asks_waiting(&asks));
	assert_non_null(c->by_slot[first]);
	assert_non_null(c->by_slot[second]);
	assert_true(c->by_slot[first]->birth_fork < c->by_slot[second]->birth_fork);
	kill(elder, SIGKILL);
	waitpid(elder, NULL, 0);
}

/* It never comes to run, or did not wait: the others wait no longer than they can. */
static void test_order_is_bounded(void **state)
{
	struct ct_asks asks = { 0 };
	u32 first = bear(), second;
	pid_t elder = child;

	second = bear();
	atomic_store(&c->seg->slots[first].state, CT_SLOT_CLAIMED);
	atomic_store(&c->seg->slots[first].ask, CT_ASK_NONE);
	post(second);
	ct_asks_serve(c, &asks);
	assert_null(c->by_slot[second]);
	usleep((useconds_t)(c->hold_ns / 2 / 1000) + 1000);
	ct_asks_serve(c, &asks);
	assert_non_null(c->by_slot[second]);
	/* Gave up waiting: nobody waits for it. */
	atomic_store(&c->seg->slots[first].state, CT_SLOT_LIVE);
	atomic_store(&c->seg->slots[first].flags, CT_SLOT_HOLD_EXPIRED);
	assert_true(ct_birth_in_order(c, second));
	/* Killed before it spoke: its parent's word settles it at the next look. */
	atomic_store(&c->seg->slots[first].state, CT_SLOT_CLAIMED);
	assert_true(ct_birth_under_way(c, p));
	kill(elder, SIGKILL);
	waitpid(elder, NULL, 0);
	tell_returned(first, elder, ct_now_ns());
	ct_birth_expire(c, ct_now_ns());
	assert_false(ct_birth_under_way(c, p));
	assert_int_equal(atomic_load(&c->seg->slots[first].state), CT_SLOT_FREE);
}

/* An exec failed, the word of it was lost, and the process exits: that is no exec. */
static void test_exit_after_failed_exec(void **state)
{
	u32 slot = bear();
	struct ct_proc *q;

	serve(slot);
	q = c->by_slot[slot];
	q->exec_read = true;
	atomic_store(&c->seg->slots[slot].ask, CT_ASK_EXIT);
	assert_int_equal(ct_ask_take(c->seg, slot), CT_ASK_EXIT);
	ct_leave_exit(c, q);
	assert_false(q->exec_read);
	assert_true(q->exit_read);
	assert_null(q->shares);
	assert_int_equal(atomic_load(&c->seg->slots[slot].ask), CT_ASK_DONE);
}

/* However many forks a program makes up, what is kept of them is bounded. */
static void test_flood(void **state)
{
	u32 round, slot;

	for (round = 0; round < 3; round++)
		for (slot = 0; slot < CT_SEG_SLOTS; slot++)
			tell_returned(slot + 1000, 100 + (s32)slot, ct_now_ns());
	assert_true(c->nr_expected <= CT_SEG_SLOTS);
	ct_birth_expire(c, ct_now_ns() + 3600 * CT_NSEC_PER_SEC);
	assert_int_equal(c->nr_expected, 0);
}

/* The parent's word was lost, or it lies: no fork is under way for ever. */
static void test_resync(void **state)
{
	u64 now = ct_now_ns();

	atomic_store(&c->seg->slots[p->slot].forks_begun, 3);
	ct_birth_resync(c, p, now);
	assert_true(ct_birth_under_way(c, p));
	ct_birth_resync(c, p, now + CT_NSEC_PER_MSEC);
	assert_true(ct_birth_under_way(c, p));
	/* One more has begun since: only that one has time left. */
	atomic_store(&c->seg->slots[p->slot].forks_begun, 4);
	now += 10 * CT_NSEC_PER_SEC;
	ct_birth_resync(c, p, now);
	assert_int_equal(p->forks_seen, 3);
	assert_true(ct_birth_under_way(c, p));
	ct_birth_resync(c, p, now + 10 * CT_NSEC_PER_SEC);
	assert_false(ct_birth_under_way(c, p));
	p->forks_seen = 9;
	ct_birth_resync(c, p, now + 10 * CT_NSEC_PER_SEC);
	assert_int_equal(p->forks_seen, 4);
}

/* A child that did not wait to be read leaves its slot when it has gone. */
static void test_orphans(void **state)
{
	u32 slot = bear();

	atomic_store(&c->seg->slots[slot].ask, CT_ASK_NONE);
	ct_birth_free_orphans(c);
	assert_int_equal(atomic_load(&c->seg->slots[slot].state), CT_SLOT_LIVE);
	end_child();
	ct_birth_free_orphans(c);
	assert_int_equal(atomic_load(&c->seg->slots[slot].state), CT_SLOT_FREE);
	assert_int_not_equal(atomic_load(&c->seg->slots[p->slot].state), CT_SLOT_FREE);
}

static int one_number(const char *sql)
{
	sqlite3_stmt *st;
	sqlite3 *db;
	int n;

	assert_int_equal(sqlite3_open(trace_path(), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return n;
}

/* A slot full of lies: the fork is recorded, within what can be. */
static void test_lies(void **state)
{
	u32 slot = bear();
	struct ct_slot *s = &c->seg->slots[slot];
	struct ct_fork *f;

	/* A phase's name without an end, and what follows it is not empty either. */
	memset(c->seg->phases, 'x', sizeof(c->seg->phases));
	memset(c->seg->pids, 'y', sizeof(c->seg->pids));
	s->phase = 63;
	s->how = 99;
	s->nr_pcs = UINT32_MAX;
	memset(s->pcs, 0xff, sizeof(s->pcs));
	s->clone_ns = UINT64_MAX;
	s->born_ns = 1;
	atomic_store(&s->parent_ns, 5);
	s->sp = s->tp = UINT64_MAX;
	serve(slot);
	assert_non_null(p->shares);
	f = p->shares->fork;
	assert_true(f->clone_ns <= ct_now_ns());
	assert_true(f->born_ns >= f->clone_ns);
	end_child();
	while (c->procs)
		proc_close(c, c->procs);
	outbox_close(c->out);
	assert_int_equal(one_number("SELECT length(phase) FROM forks"), CT_TAG_NAME - 1);
	assert_int_equal(one_number("SELECT count(*) FROM forks WHERE start_ns >= 0 AND "
				    "hold_ns >= 0 AND fork_ns >= 0 AND fork_ns < 60000000000"),
			 1);
	c->out = outbox_open();
	p = proc_open(c, NULL);
	/* Nobody's child, or a number that is no slot's. */
	slot = bear();
	c->seg->slots[slot].parent_slot = UINT32_MAX;
	serve(slot);
	assert_null(c->by_slot[slot]);
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
		TEST(test_birth),
		TEST(test_copies),
		TEST(test_once),
		TEST(test_not_ours),
		TEST(test_dead_child),
		TEST(test_daemon),
		TEST(test_flood),
		TEST(test_in_order),
		TEST(test_order_is_bounded),
		TEST(test_resync),
		TEST(test_exit_after_failed_exec),
		TEST(test_orphans),
		TEST(test_lies),
	};

	return cmocka_run_group_tests(tests, hold_still, cleanup);
}
