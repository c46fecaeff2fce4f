/* SPDX-License-Identifier: MIT */
/*
 * First writes from the engine's queue to the trace.  There is no engine here:
 * the queue is this test's own, and so is the clock of what it holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

#include "channel/stacks.h"
#include "channel/threads.h"
#include "ctx_util.h"
#include "recorder/watches.h"
#include "recorder/writes.h"

/* The engine's half of engine.h. */
static struct ct_seen queue[1 << 17];
static u32 nr_queued, nr_taken, nr_added, nr_removed;
static u64 nr_lost;
static struct ct_loss losses[4];

bool ct_engine_take(struct ct_engine *e, struct ct_seen *ret)
{
	if (nr_taken == nr_queued)
		return false;
	*ret = queue[nr_taken++];
	return true;
}

u64 ct_engine_lost(const struct ct_engine *e)
{
	return nr_lost;
}

u32 ct_engine_losses(struct ct_engine *e, u32 of, struct ct_loss ret[CT_ENGINE_LOSSES])
{
	u32 i, nr = 0;

	for (i = 0; i < ct_array_size(losses); i++)
		if (losses[i].writes && losses[i].ctx == of)
			ret[nr++] = losses[i];
	return nr;
}

u32 ct_engine_add(struct ct_engine *e, int uffd, s32 pid)
{
	close(uffd);
	return 1 + nr_added++;
}

void ct_engine_remove(struct ct_engine *e, u32 ctx)
{
	nr_removed++;
}

void ct_engine_set_ranges(struct ct_engine *e, u32 ctx, struct ct_armed *ranges)
{
	free(ranges);
}

struct ct_armed *ct_armed_copy(const struct ct_armed *a)
{
	return NULL;
}

bool ct_engine_is_alive(const struct ct_engine *e)
{
	return true;
}

void ct_engine_hush(struct ct_engine *e, u32 slot)
{
}

int ct_engine_create(const struct ct_engine_opts *opts, struct ct_engine **ret)
{
	return -ENOTSUP;
}

void ct_engine_destroy(struct ct_engine *e)
{
}

#define CHILD_PID 2000000000

static struct ct_rec_ctx *c;
static struct ct_proc *p;
static u32 ctx; /* of p */
static u64 next_ticket, now;

static int setup(void **state)
{
	nr_queued = nr_taken = nr_added = nr_removed = 0;
	nr_lost = 0;
	memset(losses, 0, sizeof(losses));
	next_ticket = 1;
	/* All is long past: nothing has to be waited for but what a test says. */
	now = ct_now_ns() - 60 * CT_NSEC_PER_SEC;
	c = ctx_open();
	c->start_ns = now;
	assert_int_equal(ct_writes_create(NULL, &c->writes), 0);
	p = proc_open(c, NULL);
	p->pid = CHILD_PID - 1;
	ct_writes_watch(c, p, open("/dev/null", O_RDONLY | O_CLOEXEC));
	assert_non_null(p->watch);
	ctx = p->watch->ctx;
	return 0;
}

static void finish(void)
{
	while (c->procs)
		proc_close(c, c->procs);
	ct_writes_destroy(c->writes);
	c->writes = NULL;
	ctx_close(c);
	c = NULL;
}

static int teardown(void **state)
{
	if (c)
		finish();
	return 0;
}

static void put_fork(u32 of, u32 child, u32 epoch, u64 t_ns)
{
	queue[nr_queued++] =
		(struct ct_seen){ .type = CT_SEEN_FORK,
				  .ctx = of,
				  .epoch = epoch,
				  .child = child,
				  .fd = child ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1,
				  .t_ns = t_ns };
}

static void put_pid(u32 of, s32 pid)
{
	queue[nr_queued++] = (struct ct_seen){ .type = CT_SEEN_PID, .ctx = of, .tid = pid };
}

static struct ct_seen *put_write(u32 of, u32 epoch, u64 page, u64 t_ns)
{
	struct ct_seen *s = &queue[nr_queued++];

	*s = (struct ct_seen){ .type = CT_SEEN_WRITE,
			       .ctx = of,
			       .epoch = epoch,
			       .no_site = CT_NO_STACK,
			       .syscall = -1,
			       .tid = CHILD_PID - 7,
			       .page = page,
			       .pc = 0x1000 + page,
			       .t_ns = t_ns };
	return s;
}

/* The recorder has read the child; NULL: the fork could not be counted. */
static struct ct_proc *bear(struct ct_fork **ret_fork, u64 t_ns)
{
	static const u64 pcs[] = { 0xf0, 0xf1 };
	struct ct_proc *child = proc_open(c, p);
	struct ct_birth_word word = { .born_ns = t_ns, .pcs = pcs, .nr_pcs = 2 };

	child->pid = CHILD_PID;
	if (ret_fork) {
		*ret_fork = fork_open(c, image_of_pages((u64[]){ 1 }, 0, 1), t_ns, t_ns);
		share_open(*ret_fork, CT_SIDE_PARENT, p);
		share_open(*ret_fork, CT_SIDE_CHILD, child);
		word.fork = (*ret_fork)->id;
		ct_fork_unref(*ret_fork);
	}
	ct_writes_born(c, p, child, &word);
	return child;
}

/* Ends the recording; what "SELECT ..." gives: one number. */
static s64 ask(const char *sql)
{
	sqlite3_stmt *q;
	sqlite3 *db;
	s64 v;

	if (c)
		finish();
	assert_int_equal(sqlite3_open(trace_path(), &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return v;
}

static s64 writes_of(u32 fork, const char *side, u64 page)
{
	char sql[160];

	snprintf(sql, sizeof(sql),
		 "SELECT count(*) FROM first_writes WHERE fork=%u AND side='%s' AND page=%llu",
		 fork, side, (unsigned long long)page);
	return ask(sql);
}

static void test_placed_by_epoch(void **state)
{
	struct ct_fork *a, *b;
	u32 fa, fb;

	put_write(ctx, 0, 10, now);
	put_fork(ctx, 100, 1, now + 10);
	put_pid(100, CHILD_PID);
	put_write(ctx, 1, 11, now + 20);
	put_write(100, 0, 12, now + 30);
	proc_close(c, bear(&a, now + 25));
	fa = a->id;
	put_fork(ctx, 101, 2, now + 40);
	put_pid(101, CHILD_PID);
	put_write(ctx, 1, 13, now + 35); /* read late: it came before */
	put_write(ctx, 2, 11, now + 50);
	bear(&b, now + 60);
	fb = b->id;
	put_write(101, 0, 14, now + 70);
	ct_writes_run(c, ct_now_ns());
	assert_int_equal(writes_of(fa, "parent", 11), 1);
	assert_int_equal(writes_of(fa, "child", 12), 1);
	assert_int_equal(writes_of(fa, "parent", 13), 1);
	assert_int_equal(writes_of(fb, "parent", 11), 1);
	assert_int_equal(writes_of(fb, "child", 14), 1);
	/* Nobody shared it yet. */
	assert_int_equal(writes_of(0, "child", 10), 1);
	assert_int_equal(ask("SELECT count(*) FROM first_writes"), 6);
}

static void test_told_once(void **state)
{
	struct ct_fork *f;
	u32 id, i;

	put_fork(ctx, 100, 1, now);
	put_pid(100, CHILD_PID);
	bear(&f, now + 5);
	id = f->id;
	for (i = 0; i < 5; i++)
		put_write(ctx, 1, 10, now + 10 + i);
	put_write(100, 0, 10, now + 20);
	/* Moved, and written there again: the same page. */
	put_write(ctx, 1, 3000, now + 30);
	assert_int_equal(ct_extents_move(&p->shares->extents, 10, 1, 3000), 0);
	/* Two MiB at once; then one of its pages. */
	put_write(ctx, 1, 1024 + 7, now + 40)->flags = CT_SEEN_WHOLE;
	put_write(ctx, 1, 1024 + 9, now + 50);
	ct_writes_run(c, ct_now_ns());
	/* Before the move was heard of it would have been told by its old place. */
	assert_int_equal(writes_of(id, "parent", 10) + writes_of(id, "parent", 3000), 1);
	assert_int_equal(writes_of(id, "child", 10), 1);
	assert_int_equal(writes_of(id, "parent", 1024), 1);
	assert_int_equal(writes_of(id, "parent", 1024 + 9), 0);
}

/* The child's writes wait for its birth; a fork that nobody counts is the older one's. */
static void test_unborn(void **state)
{
	struct ct_fork *f;
	u32 id;
	u64 t = ct_now_ns();

	put_fork(ctx, 100, 1, t);
	put_pid(100, CHILD_PID);
	put_write(100, 0, 10, t);
	put_write(ctx, 1, 11, t);
	ct_writes_run(c, t + 100 * CT_NSEC_PER_MSEC);
	assert_int_equal(ct_writes_due(c) != UINT64_MAX, 1);
	bear(&f, t + 1);
	id = f->id;
	put_fork(ctx, 101, 2, t + 2);
	put_pid(101, CHILD_PID);
	proc_close(c, c->procs);
	bear(NULL, t + 3);
	put_write(ctx, 2, 12, t + 4);
	ct_writes_run(c, t + 10 * CT_NSEC_PER_SEC);
	assert_int_equal(ct_writes_due(c) == UINT64_MAX, 1);
	assert_int_equal(writes_of(id, "child", 10), 1);
	assert_int_equal(writes_of(id, "parent", 11), 1);
	assert_int_equal(writes_of(id, "parent", 12), 1);
	assert_int_equal(ask("SELECT count(*) FROM first_writes"), 3);
}

/* Nobody will ever know whose they are: not told, and no place is left behind. */
static void test_never_born(void **state)
{
	u64 t = ct_now_ns(), ticket;
	struct ct_seen *s;

	put_fork(ctx, 100, 1, t);
	put_pid(100, CHILD_PID);
	s = put_write(100, 0, 10, t);
	assert_int_equal(ct_stack_ask(c->seg, &next_ticket, s->pc, 1, &ticket), 0);
	s->ticket = ticket;
	ct_writes_run(c, t + CT_NSEC_PER_SEC);
	assert_int_equal(atomic_load(&c->seg->stacks[ticket].state), CT_STACK_ASKED);
	ct_writes_run(c, t + 3 * CT_NSEC_PER_SEC);
	assert_int_equal(atomic_load(&c->seg->stacks[ticket].state), CT_STACK_FREE);
	assert_int_equal(ask("SELECT count(*) FROM first_writes"), 0);
}

/* The child could not be watched, or word of the fork was lost: the parent's are its own. */
static void test_unwatched_child(void **state)
{
	struct ct_fork *a, *b;
	u32 fa, fb;

	put_fork(ctx, 0, 1, now);
	put_write(ctx, 1, 10, now + 1);
	proc_close(c, bear(&a, now + 2));
	fa = a->id;
	/* Nothing of the second fork but its number. */
	put_write(ctx, 2, 10, now + 3);
	bear(&b, now + 4);
	fb = b->id;
	ct_writes_run(c, ct_now_ns());
	assert_int_equal(writes_of(fa, "parent", 10), 1);
	assert_int_equal(writes_of(fb, "parent", 10), 1);
}

/* What a newer fork did not get stays with the older one. */
static void test_carried(void **state)
{
	struct ct_fork *a, *b;
	struct ct_share *old;
	u32 fa, fb;

	put_fork(ctx, 100, 1, now);
	put_pid(100, CHILD_PID);
	proc_close(c, bear(&a, now + 1));
	fa = a->id;
	old = p->shares;
	put_fork(ctx, 101, 2, now + 2);
	put_pid(101, CHILD_PID);
	bear(&b, now + 3);
	fb = b->id;
	old->frozen = ct_image_ref(a->orig);
	old->carried = malloc(sizeof(*old->carried));
	old->carried[0] = (struct ct_page_run){ 50, 10 };
	old->nr_carried = 1;
	put_write(ctx, 2, 49, now + 4);
	put_write(ctx, 2, 50, now + 5);
	put_write(ctx, 2, 59, now + 6);
	put_write(ctx, 2, 60, now + 7);
	ct_writes_run(c, ct_now_ns());
	assert_int_equal(writes_of(fa, "parent", 50), 1);
	assert_int_equal(writes_of(fa, "parent", 59), 1);
	assert_int_equal(writes_of(fb, "parent", 49), 1);
	assert_int_equal(writes_of(fb, "parent", 60), 1);
}

static struct ct_seen *put_asked(u32 of, u32 epoch, u64 page, u64 t_ns, u64 *ret_ticket)
{
	struct ct_seen *s = put_write(of, epoch, page, t_ns);

	s->no_site = CT_NO_BLOCKED_SIGNAL;
	s->pfn = 1000 + page;
	assert_int_equal(ct_stack_ask(c->seg, &next_ticket, s->pc, 1, ret_ticket), 0);
	s->ticket = *ret_ticket;
	return s;
}

static void answer(u64 ticket, u64 pc)
{
	struct ct_stack *s = ct_stack_take(c->seg, ticket, pc, 1);

	assert_non_null(s);
	s->pcs[0] = pc;
	s->pcs[1] = 0x4242;
	ct_stack_done(s, ticket, 2);
}

/*
 * A reading at the clone settles what came before it, and is told what lay there
 * then; one that began before a write says nothing of it.
 */
static void test_settled_by_a_reading(void **state)
{
	struct ct_image *img = image_of_pages((u64[]){ 7, 0, 1012 }, 10, 3);
	u64 first, second, third;
	struct ct_fork *f;
	u32 id;

	put_fork(ctx, 100, 1, now);
	put_pid(100, CHILD_PID);
	bear(&f, now + 1);
	id = f->id;
	/* Copied; gone by then; still the page that it was. */
	put_asked(ctx, 1, 10, now + 2, &first);
	put_asked(ctx, 1, 11, now + 3, &second);
	put_asked(ctx, 1, 12, now + 4, &third);
	answer(first, 0x1000 + 10);
	answer(third, 0x1000 + 12);
	put_asked(ctx, 2, 13, now + 5, &second); /* of the next fork: not yet */
	ct_writes_settle(c, p, img, 2);
	assert_int_equal(atomic_load(&c->seg->stacks[second].state), CT_STACK_ASKED);
	ct_image_unref(img);
	assert_int_equal(writes_of(id, "parent", 10), 1);
	assert_int_equal(ask("SELECT count(*) FROM first_writes WHERE page=10 AND "
			     "observed='copy' AND no_site IS NULL"),
			 1);
	assert_int_equal(ask("SELECT count(*) FROM first_writes WHERE page=11 AND "
			     "observed='uncertain' AND no_site='blocked_signal'"),
			 1);
	assert_int_equal(ask("SELECT count(*) FROM first_writes WHERE page=12 AND "
			     "observed='reuse' AND no_site IS NULL"),
			 1);
}

static u32 nr_fds(void)
{
	u32 fd, nr = 0;

	for (fd = 0; fd < 1000; fd++)
		nr += fcntl((int)fd, F_GETFD) >= 0;
	return nr;
}

/* A server that forks for days: neither descriptors nor memory grow. */
static void test_many_forks(void **state)
{
	const u32 before = nr_fds();
	struct ct_watch *w;
	struct ct_proc *child;
	u32 i;

	for (i = 1; i <= 5000; i++) {
		nr_queued = nr_taken = 0;
		put_fork(ctx, 100 + i, i, now + i * CT_NSEC_PER_SEC);
		put_pid(100 + i, CHILD_PID);
		put_write(100 + i, 0, 5, now + i * CT_NSEC_PER_SEC);
		child = bear(NULL, now + i * CT_NSEC_PER_SEC);
		assert_non_null(child->watch);
		/* Its slot is free again. */
		ct_proc_end(c, child, CT_ENDED_EXIT, ct_now_ns());
	}
	assert_int_equal(nr_removed, 5000);
	assert_int_equal(nr_fds(), before);
	assert_true(p->watch->cap_epochs <= 512);
	w = p->watch;
	assert_int_equal(w->old_epochs + w->nr_epochs, 5000);
	assert_null(ct_watch_epoch(w, w->old_epochs));
	assert_non_null(ct_watch_epoch(w, w->old_epochs + 1));
	assert_non_null(ct_watch_epoch(w, 5000));
	assert_null(ct_watch_epoch(w, 5001));
}

/* Watches that stand for nothing any more, in any order. */
static u32 nr_gone;

static void count_gone(void *arg, struct ct_watch *w)
{
	nr_gone++;
	ct_watch_free(arg, w);
}

static void test_watches(void **state)
{
	struct ct_watches ws = { 0 };
	struct ct_watch *w;
	u32 i;

	for (i = 1; i <= 3000; i++)
		ct_watch_forked(&ws,
				&(struct ct_seen){ .ctx = 0, .child = i, .fd = -1, .epoch = 1 });
	for (i = 1; i <= 3000; i++) {
		w = ct_watch_of(&ws, i);
		assert_int_equal(w->ctx, i);
		w->pid = (s32)i;
	}
	assert_null(ct_watch_of(&ws, 3001));
	for (i = 1; i <= 3000; i += 3)
		ct_watch_is_born(ct_watch_unborn(&ws, (s32)i));
	for (i = 1; i <= 3000; i++)
		assert_int_equal(ct_watch_unborn(&ws, (s32)i) != NULL, i % 3 != 1);
	for (i = 2; i <= 3000; i += 3)
		ct_watch_free(&ws, ct_watch_of(&ws, i));
	for (i = 1; i <= 3000; i++)
		assert_int_equal(ct_watch_of(&ws, i) != NULL, i % 3 != 2);
	/* No userfaultfd there: nobody can tell that their memory has gone. */
	ct_watches_sweep(&ws, ct_now_ns(), count_gone, &ws);
	assert_int_equal(nr_gone, 0);
	ct_watches_fini(&ws);
	assert_null(ct_watch_of(&ws, 1));
	assert_null(ws.unborn);
}

/* The first write of a thread, which has yet to say that it may be asked for stacks. */
static void test_thread_that_has_just_begun(void **state)
{
	const s32 known = CHILD_PID - 7, unknown = CHILD_PID - 8, ended = CHILD_PID - 9;
	struct ct_fork *f;
	u64 t = ct_now_ns();
	u32 i;

	put_fork(ctx, 100, 1, t);
	put_pid(100, CHILD_PID);
	bear(&f, t + 1);
	put_write(ctx, 1, 10, t + 2)->tid = known;
	put_write(ctx, 1, 11, t + 2)->tid = unknown;
	put_write(ctx, 1, 12, t + 2)->tid = ended;
	ct_writes_run(c, t + 90 * CT_NSEC_PER_MSEC);
	assert_int_equal(p->watch->nr_pending, 3);
	/* Ready and gone before anybody looked. */
	assert_int_equal(ct_thread_enter(c->seg, p->slot, ended), 0);
	ct_thread_end(c->seg, p->slot, ended);
	ct_writes_run(c, t + 100 * CT_NSEC_PER_MSEC);
	assert_int_equal(p->watch->nr_pending, 2);
	assert_int_equal(ct_thread_enter(c->seg, p->slot, known), 0);
	ct_writes_run(c, t + 110 * CT_NSEC_PER_MSEC);
	assert_int_equal(p->watch->nr_pending, 1);
	/* Nobody waits for ever. */
	ct_writes_run(c, t + 300 * CT_NSEC_PER_MSEC);
	assert_int_equal(p->watch->nr_pending, 0);
	/* Nor for one that was to be heard of long ago. */
	for (i = 0; i < 5; i++)
		put_write(ctx, 1, 20 + i, t + 300 * CT_NSEC_PER_MSEC)->tid = unknown;
	ct_writes_run(c, t + 310 * CT_NSEC_PER_MSEC);
	assert_int_equal(p->watch->nr_pending, 0);
	assert_int_equal(
		ask("SELECT count(*) FROM first_writes WHERE page IN (10, 12) AND no_site IS "
		    "NULL"),
		2);
	assert_int_equal(ask("SELECT count(*) FROM first_writes WHERE no_site='no_stack'"), 6);
}

/* A side with so many pages that nobody saw written. */
static void attribute(const struct ct_proc *q, u64 pages)
{
	struct ct_attribution a = { .share = q->shares };

	a.pages[CT_NO_FORK_WINDOW] = pages;
	ct_attribution_blame(c, q, &a);
	ct_attribution_tell(c, &a);
}

static s64 told(u32 fork, const char *side, const char *reason)
{
	char sql[192];

	snprintf(sql, sizeof(sql),
		 "SELECT coalesce(sum(pages), 0) FROM unattributed WHERE fork=%u AND side='%s' AND "
		 "reason='%s'",
		 fork, side, reason);
	return ask(sql);
}

/* Of the pages that nobody saw written, as many as were lost are the recorder's fault. */
static void test_lost_by_fork(void **state)
{
	struct ct_proc *child;
	struct ct_fork *f;
	u32 id;

	put_fork(ctx, 100, 1, now);
	put_pid(100, CHILD_PID);
	child = bear(&f, now + 5);
	id = f->id;
	/* A fork that nobody counts: the pages are the one's before it. */
	put_fork(ctx, 0, 2, now + 10);
	losses[0] = (struct ct_loss){ .ctx = ctx, .epoch = 0, .writes = 1000 };
	losses[1] = (struct ct_loss){ .ctx = ctx, .epoch = 1, .writes = 3 };
	losses[2] = (struct ct_loss){ .ctx = ctx, .epoch = 2, .writes = 4 };
	losses[3] = (struct ct_loss){ .ctx = 100, .epoch = 0, .writes = 50 };
	ct_writes_run(c, ct_now_ns());
	assert_int_equal(ct_writes_lost(c, p, id, CT_SIDE_PARENT), 7);
	assert_int_equal(ct_writes_lost(c, p, id, CT_SIDE_CHILD), 0);
	assert_int_equal(ct_writes_lost(c, child, id, CT_SIDE_CHILD), 50);
	assert_int_equal(ct_writes_lost(c, child, id, CT_SIDE_PARENT), 0);
	attribute(p, 20);
	attribute(child, 20);
	assert_int_equal(told(id, "parent", "recorder_late"), 7);
	assert_int_equal(told(id, "parent", "fork_window"), 13);
	/* Never more than there are. */
	assert_int_equal(told(id, "child", "recorder_late"), 20);
	assert_int_equal(told(id, "child", "fork_window"), 0);
}

static void test_lost(void **state)
{
	nr_lost = 17;
	ct_writes_run(c, ct_now_ns());
	ct_writes_run(c, ct_now_ns());
	assert_int_equal(ask("SELECT count(*) FROM notes WHERE code='writes_lost'"), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_placed_by_epoch),
		TEST(test_told_once),
		TEST(test_unborn),
		TEST(test_never_born),
		TEST(test_unwatched_child),
		TEST(test_carried),
		TEST(test_many_forks),
		TEST(test_settled_by_a_reading),
		TEST(test_thread_that_has_just_begun),
		TEST(test_lost_by_fork),
		TEST(test_lost),
		cmocka_unit_test(test_watches),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	remove_trace();
	return failed;
}
