/* SPDX-License-Identifier: MIT */
/*
 * The serving thread's place in the scheduler's queue.
 *
 * A held child waits for the recorder, and on a busy machine the recorder waits
 * for a processor, for milliseconds where its work takes a fraction of one.  So
 * it serves with the lowest real-time priority, where it may, and steps back to
 * the ordinary class before anything long: a heap of gigabytes to read or to
 * compare, readings that nobody waits for.
 *
 * Measured with pgbench -C at a load of five on two processors: the hold of a
 * backend falls from 0.8-2.0 ms to 0.4 ms on average.
 */
#include <sched.h>

#include "recorder/state.h"

static bool set_class(int class, int priority)
{
	const struct sched_param param = { .sched_priority = priority };

	/* Of this thread only; what it starts begins in the ordinary class. */
	return !sched_setscheduler(0, class | SCHED_RESET_ON_FORK, &param);
}

void ct_urgency_on(struct ct_rec_ctx *c)
{
	if (c->urgent || c->never_urgent)
		return;
	c->urgent = set_class(SCHED_RR, 1);
	c->never_urgent = !c->urgent;
}

void ct_urgency_off(struct ct_rec_ctx *c)
{
	if (c->urgent)
		c->urgent = !set_class(SCHED_OTHER, 0);
}

void ct_urgency_for(struct ct_rec_ctx *c, const struct ct_image *img)
{
	if (img && img->pages > URGENT_PAGES)
		ct_urgency_off(c);
}
