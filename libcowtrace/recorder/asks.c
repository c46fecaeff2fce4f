/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is.
 *
 * Births come first, and the children of one parent in the order of their
 * clones: the reading of the second closes what the first one shared, and taken
 * the other way round the same pages would be copied twice, and dropped between.
 * (A child that was cloned later often asks earlier.)  An exit waits for the
 * birth of the child that its process forked last.  Each waits within a bound.
 *
 * Invariant: nobody is passed over; what is not served stays in the list.
 */
#include "base/futex.h"
#include "channel/ask.h"
#include "recorder/arm.h"
#include "recorder/asks.h"
#include "recorder/faults.h"
#include "recorder/leave.h"

/* An exit waits this long for the birth of a child that its process forked last. */
#define BIRTH_FIRST_NS (100 * CT_NSEC_PER_MSEC)
/*
 * A birth waits this long for one that was cloned before it, and no longer than
 * half of what it waits at all: on a busy machine a child may first run tens of
 * milliseconds after its clone.
 */
#define IN_ORDER_NS (100 * CT_NSEC_PER_MSEC)

static void arm(struct ct_rec_ctx *c, struct ct_proc *p)
{
	if (c->engine)
		ct_arm(c, p);
	else
		ct_faults_arm(c, p);
	ct_ask_done(c->seg, p->slot);
}

static void disarm(struct ct_rec_ctx *c, struct ct_proc *p)
{
	ct_faults_disarm(c, p);
	ct_ask_done(c->seg, p->slot);
}

static void serve_one(struct ct_rec_ctx *c, u32 slot)
{
	struct ct_proc *p = c->by_slot[slot];
	u32 ask = ct_ask_take(c->seg, slot);

	if (ask == CT_ASK_BIRTH)
		ct_birth_serve(c, slot);
	else if (ask == CT_ASK_EXIT && p)
		ct_leave_exit(c, p);
	else if (ask == CT_ASK_EXEC && p)
		ct_leave_exec(c, p);
	else if (ask == CT_ASK_ARM && p)
		arm(c, p);
	else if (ask == CT_ASK_DISARM && p)
		disarm(c, p);
	else if (ask != CT_ASK_NONE)
		ct_ask_done(c->seg, slot);
	ct_rec_beat(c);
}

/* Puts all new asks into the lists; no more than there are slots, whoever rings. */
static void collect(struct ct_rec_ctx *c, struct ct_asks *a)
{
	u64 now = ct_now_ns();
	int slot;
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS && (slot = ct_ask_next(c->seg)) >= 0; i++) {
		const struct ct_slot *s = &c->seg->slots[slot];
		struct ct_ask_waiting w = { (u32)slot, now, s->clone_ns, atomic_load(&s->ask) };

		if (w.ask == CT_ASK_BIRTH && a->nr_births < ct_array_size(a->births))
			a->births[a->nr_births++] = w;
		else if (a->nr_others < ct_array_size(a->others))
			a->others[a->nr_others++] = w;
		else
			serve_one(c, (u32)slot);
	}
}

static int by_clone(const void *a, const void *b)
{
	const struct ct_ask_waiting *x = a, *y = b;

	return x->clone_ns < y->clone_ns ? -1 : x->clone_ns > y->clone_ns;
}

static void serve_births(struct ct_rec_ctx *c, struct ct_asks *a)
{
	u64 bound = ct_min(IN_ORDER_NS, c->hold_ns / 2);
	u32 i, kept = 0;

	qsort(a->births, a->nr_births, sizeof(a->births[0]), by_clone);
	for (i = 0; i < a->nr_births; i++) {
		const struct ct_ask_waiting w = a->births[i];

		if (ct_now_ns() - w.since_ns < bound && !ct_birth_in_order(c, w.slot))
			a->births[kept++] = w;
		else
			serve_one(c, w.slot);
	}
	a->nr_births = kept;
}

/* Not yet: something that will come in a moment has to be known before. */
static bool must_wait(struct ct_rec_ctx *c, const struct ct_ask_waiting *w)
{
	const struct ct_proc *p = c->by_slot[w->slot];
	u64 now = ct_now_ns();

	if (!p)
		return false;
	/* Its userfaultfd was sent before it asked, by another way. */
	if (w->ask == CT_ASK_DISARM)
		return false;
	if (w->ask == CT_ASK_ARM)
		return c->engine && !p->watch && now < p->watch_due_ns;
	/*
	 * A daemon's parent exits at once after the fork: what it shared is known
	 * only when the child has been read.
	 */
	return ct_birth_under_way(c, p) && now - w->since_ns < BIRTH_FIRST_NS;
}

static void serve_others(struct ct_rec_ctx *c, struct ct_asks *a)
{
	u32 i, kept = 0;

	for (i = 0; i < a->nr_others; i++) {
		const struct ct_ask_waiting w = a->others[i];

		if (must_wait(c, &w))
			a->others[kept++] = w;
		else
			serve_one(c, w.slot);
	}
	a->nr_others = kept;
}

void ct_asks_serve(struct ct_rec_ctx *c, struct ct_asks *a)
{
	collect(c, a);
	serve_births(c, a);
	serve_others(c, a);
}
