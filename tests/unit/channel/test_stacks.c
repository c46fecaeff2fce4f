/* SPDX-License-Identifier: MIT */
/*
 * Places for stacks: every step of the protocol, handlers that are late, and
 * several processes that answer at once.
 */
#include "segment_util.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "channel/stacks.h"

static struct ct_segment *seg;
static u64 next;

static int setup(void **state)
{
	seg = segment_new();
	next = 1;
	return 0;
}

static int teardown(void **state)
{
	segment_free(seg);
	return 0;
}

static u64 ask(u64 pc, u64 sp)
{
	u64 ticket = 0;

	assert_int_equal(ct_stack_ask(seg, &next, pc, sp, &ticket), 0);
	return ticket;
}

static enum ct_stack_answer collect(u64 ticket, u64 *pcs, u32 *nr)
{
	*nr = 77;
	return ct_stack_collect(seg, ticket, pcs, nr);
}

static void test_answered(void **state)
{
	u64 pcs[CT_STACK_PCS], ticket = ask(0x1000, 0x2000);
	struct ct_stack *s;
	u32 nr;

	assert_int_equal(ticket, 1);
	assert_int_equal(next, 2);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_PENDING);
	s = ct_stack_take(seg, ticket, 0x1000, 0x2000);
	assert_non_null(s);
	/* One signal, one answer. */
	assert_null(ct_stack_take(seg, ticket, 0x1000, 0x2000));
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_PENDING);
	s->pcs[0] = 11;
	s->pcs[1] = 22;
	ct_stack_done(s, ticket, 2);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_ANSWERED);
	assert_int_equal(nr, 2);
	assert_int_equal(pcs[0], 11);
	assert_int_equal(pcs[1], 22);
	/* The place is free; its ticket leads nowhere any more. */
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_MOVED_ON);
	assert_int_equal(nr, 0);
	assert_null(ct_stack_take(seg, ticket, 0x1000, 0x2000));
}

static void test_moved_on(void **state)
{
	u64 pcs[CT_STACK_PCS], ticket;
	u32 nr;
	int i;

	/* Another instruction, another stack: the thread is not where it was. */
	for (i = 0; i < 2; i++) {
		ticket = ask(0x1000, 0x2000);
		assert_null(ct_stack_take(seg, ticket, 0x1000 + (u64)i, 0x2000 + (u64)!i));
		assert_null(ct_stack_take(seg, ticket, 0x1000, 0x2000));
		assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_MOVED_ON);
		assert_int_equal(nr, 0);
	}
	/* Nobody could be told of it. */
	ticket = ask(0x1000, 0x2000);
	ct_stack_refuse(seg, ticket);
	assert_null(ct_stack_take(seg, ticket, 0x1000, 0x2000));
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_MOVED_ON);
	/* An answer that is there already is not taken back. */
	ticket = ask(0x1000, 0x2000);
	ct_stack_done(ct_stack_take(seg, ticket, 0x1000, 0x2000), ticket, 1);
	ct_stack_refuse(seg, ticket);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_ANSWERED);
}

static void test_tickets(void **state)
{
	u64 ticket = ask(1, 1);
	struct ct_stack *s;

	/* The same place, but another lap's. */
	assert_null(ct_stack_take(seg, ticket + CT_SEG_STACKS, 1, 1));
	assert_null(ct_stack_take(seg, ticket + 1, 1, 1));
	s = ct_stack_take(seg, ticket, 1, 1);
	assert_non_null(s);
	ct_stack_done(s, ticket + CT_SEG_STACKS, 1);
	assert_int_equal(atomic_load(&s->state), CT_STACK_RUNNING);
	ct_stack_drop(seg, ticket + CT_SEG_STACKS);
	assert_int_equal(atomic_load(&s->state), CT_STACK_RUNNING);
	ct_stack_drop(seg, ticket);
	assert_int_equal(atomic_load(&s->state), CT_STACK_FREE);
}

static void test_answers_too_long(void **state)
{
	u64 pcs[CT_STACK_PCS], ticket = ask(1, 1);
	u32 nr;

	/* The segment is the program's to scribble in. */
	ct_stack_done(ct_stack_take(seg, ticket, 1, 1), ticket, UINT32_MAX);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_ANSWERED);
	assert_int_equal(nr, CT_STACK_PCS);
}

static void test_full(void **state)
{
	u64 first = next, ticket;
	u32 i;

	for (i = 0; i < CT_SEG_STACKS; i++)
		ask(i, i);
	assert_int_equal(ct_stack_ask(seg, &next, 1, 1, &ticket), -ENOSPC);
	/* Whichever comes free is found within a lap; the others are whole. */
	ct_stack_drop(seg, first + 4711);
	for (i = 0; ct_stack_ask(seg, &next, 7, 8, &ticket); i++)
		assert_true(i < CT_SEG_STACKS);
	assert_int_equal(ticket & (CT_SEG_STACKS - 1), (first + 4711) & (CT_SEG_STACKS - 1));
	assert_non_null(ct_stack_take(seg, ticket, 7, 8));
	assert_null(ct_stack_take(seg, first + 4711, 4711, 4711));
	assert_non_null(ct_stack_take(seg, first + 4712, 4712, 4712));
}

/* A place that nobody ever answers or collects does not stop the others. */
static void test_one_is_stuck(void **state)
{
	u64 pcs[CT_STACK_PCS], stuck = ask(1, 1), ticket;
	u32 nr, i, refused = 0;

	assert_non_null(ct_stack_take(seg, stuck, 1, 1));
	for (i = 0; i < 3 * CT_SEG_STACKS; i++) {
		if (ct_stack_ask(seg, &next, i, i, &ticket)) {
			refused++;
			continue;
		}
		ct_stack_done(ct_stack_take(seg, ticket, i, i), ticket, 1);
		assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_ANSWERED);
	}
	assert_int_equal(refused, 3);
}

/* Given up, its place somebody else's: what it then says is not heard. */
static void test_late_handler(void **state)
{
	u64 pcs[CT_STACK_PCS], late = ask(1, 1), ticket;
	struct ct_stack *s = ct_stack_take(seg, late, 1, 1), *t;
	u32 nr;

	assert_non_null(s);
	ct_stack_drop(seg, late);
	ct_stack_done(s, late, 5);
	assert_int_equal(atomic_load(&s->state), CT_STACK_FREE);

	next = late + CT_SEG_STACKS;
	ticket = ask(2, 2);
	ct_stack_done(s, late, 5);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_PENDING);
	t = ct_stack_take(seg, ticket, 2, 2);
	assert_ptr_equal(s, t);
	ct_stack_done(s, late, 5);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_PENDING);
	ct_stack_done(t, ticket, 1);
	assert_int_equal(collect(ticket, pcs, &nr), CT_STACK_ANSWERED);
	assert_int_equal(nr, 1);
}

/*
 * Processes that answer, as handlers do, what they find in a shared list.  The
 * first ones of it are slept over until the recorder has given the place to
 * somebody else: those must neither be heard nor spoil another's answer.
 */
#define ANSWERERS 3
#define SLEEPERS 4u
#define ASKS (CT_SEG_STACKS + 4000u)
#define AHEAD 64u

struct list {
	_Atomic u64 ticket[ASKS]; /* 0: not asked yet */
	_Atomic u32 taken;
	_Atomic u32 nr_running; /* of the sleepers */
	_Atomic u32 nr_late;	/* of these, have said their word */
};

static u64 word_of(u64 ticket, u32 i)
{
	return ticket * 1000003 + i;
}

static void answer_one(struct list *list, u32 n)
{
	u64 ticket, pcs[CT_STACK_PCS];
	struct ct_stack *s;
	u32 i;

	while (!(ticket = atomic_load(&list->ticket[n])))
		sched_yield();
	s = ct_stack_take(seg, ticket, ticket + 1, ticket + 2);
	if (!s)
		_exit(1);
	for (i = 0; i < CT_STACK_PCS; i++)
		pcs[i] = word_of(ticket, i);
	if (n < SLEEPERS) {
		atomic_fetch_add(&list->nr_running, 1);
		/* Until it is another's. */
		while (!atomic_load(&list->ticket[n + CT_SEG_STACKS]))
			sched_yield();
	}
	/* As the handler does it. */
	if (atomic_load(&s->ticket) == ticket)
		memcpy(s->pcs, pcs, sizeof(pcs));
	ct_stack_done(s, ticket, 1 + n % CT_STACK_PCS);
	if (n < SLEEPERS)
		atomic_fetch_add(&list->nr_late, 1);
}

static void answerer(void *arg)
{
	struct list *list = arg;
	u32 n;

	while ((n = atomic_fetch_add(&list->taken, 1)) < ASKS)
		answer_one(list, n);
}

/* Collects the n-th as soon as it is there. */
static void collect_one(struct list *list, u32 n)
{
	u64 pcs[CT_STACK_PCS], ticket = atomic_load(&list->ticket[n]);
	enum ct_stack_answer answer;
	u32 nr = 0, i;

	if (n < SLEEPERS) {
		while (atomic_load(&list->nr_running) < SLEEPERS)
			sched_yield();
		ct_stack_drop(seg, ticket);
		return;
	}
	/* The late word comes in the middle of this one's time. */
	while (n >= CT_SEG_STACKS && atomic_load(&list->nr_late) < SLEEPERS &&
	       n < CT_SEG_STACKS + SLEEPERS && list->ticket[CT_SEG_STACKS + SLEEPERS - 1])
		sched_yield();
	while ((answer = ct_stack_collect(seg, ticket, pcs, &nr)) == CT_STACK_PENDING)
		sched_yield();
	assert_int_equal(answer, CT_STACK_ANSWERED);
	assert_int_equal(nr, 1 + n % CT_STACK_PCS);
	for (i = 0; i < nr; i++)
		assert_int_equal(pcs[i], word_of(ticket, i));
}

static void test_processes(void **state)
{
	struct list *list = mmap(NULL, sizeof(*list), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[ANSWERERS + SLEEPERS];
	u32 n, i, done = 0;
	u64 ticket;

	assert_ptr_not_equal(list, MAP_FAILED);
	for (i = 0; i < ct_array_size(pids); i++)
		pids[i] = child_run(answerer, list);
	for (n = 0; n < ASKS; n++) {
		assert_int_equal(ct_stack_ask(seg, &next, next + 1, next + 2, &ticket), 0);
		atomic_store(&list->ticket[n], ticket);
		if (n - done >= AHEAD)
			collect_one(list, done++);
	}
	while (done < ASKS)
		collect_one(list, done++);
	for (i = 0; i < ct_array_size(pids); i++)
		assert_int_equal(child_wait(pids[i]), 0);
	assert_int_equal(atomic_load(&list->nr_late), SLEEPERS);
	munmap(list, sizeof(*list));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moved_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tickets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answers_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_is_stuck, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_handler, setup, teardown),
		cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
