/* SPDX-License-Identifier: MIT */
/*
 * The queue from the engine's thread to the serving one, and the account of what it
 * had no room for.
 *
 * Invariant: one thread puts and one takes, and neither waits for the other.
 */
#include <errno.h>
#include <unistd.h>

#include "channel/ask.h"
#include "recorder/engine_int.h"

/* The serving thread is called for a full quarter of it. */
#define RING_ITEMS (CT_ENGINE_QUEUE / 4)
/* Places that only FORK and PID items take: without them nothing can be placed. */
#define RESERVED 1024

void ct_engine_ring(struct ct_engine *e, u64 now)
{
	e->rung_ns = now;
	e->unrung = false;
	ct_bell_ring(e->o.seg);
}

/* Whose it was: the oldest entry makes room where there are too many. */
static void note_lost(struct ct_engine *e, const struct ct_seen *seen)
{
	u32 i, nr;

	pthread_mutex_lock(&e->lock);
	nr = ct_min(e->nr_losses, CT_ENGINE_LOSSES);
	for (i = 0; i < nr; i++)
		if (e->losses[i].ctx == seen->ctx && e->losses[i].epoch == seen->epoch)
			break;
	if (i == nr) {
		i = e->nr_losses++ % CT_ENGINE_LOSSES;
		e->losses[i] = (struct ct_loss){ .ctx = seen->ctx, .epoch = seen->epoch };
	}
	e->losses[i].writes++;
	pthread_mutex_unlock(&e->lock);
	atomic_fetch_add_explicit(&e->lost, 1, memory_order_relaxed);
}

bool ct_engine_put(struct ct_engine *e, const struct ct_seen *seen)
{
	u64 head = atomic_load_explicit(&e->head, memory_order_relaxed);
	u64 used = head - atomic_load_explicit(&e->tail, memory_order_acquire);
	u32 keep = seen->type == CT_SEEN_WRITE ? RESERVED : 0;

	if (used >= CT_ENGINE_QUEUE - keep) {
		if (seen->type == CT_SEEN_WRITE)
			note_lost(e, seen);
		if (seen->type == CT_SEEN_FORK && seen->fd >= 0)
			close(seen->fd);
		return false;
	}
	e->queue[head & (CT_ENGINE_QUEUE - 1)] = *seen;
	atomic_store_explicit(&e->head, head + 1, memory_order_release);
	e->unrung = true;
	if (used == RING_ITEMS)
		ct_engine_ring(e, seen->t_ns);
	return true;
}

bool ct_engine_take(struct ct_engine *e, struct ct_seen *ret)
{
	u64 tail = atomic_load_explicit(&e->tail, memory_order_relaxed);

	if (tail == atomic_load_explicit(&e->head, memory_order_acquire))
		return false;
	*ret = e->queue[tail & (CT_ENGINE_QUEUE - 1)];
	atomic_store_explicit(&e->tail, tail + 1, memory_order_release);
	return true;
}

u64 ct_engine_lost(const struct ct_engine *e)
{
	return atomic_load_explicit(&e->lost, memory_order_relaxed);
}

u32 ct_engine_losses(struct ct_engine *e, u32 ctx, struct ct_loss ret[CT_ENGINE_LOSSES])
{
	u32 i, nr = 0;

	if (!ct_engine_lost(e))
		return 0;
	pthread_mutex_lock(&e->lock);
	for (i = 0; i < ct_min(e->nr_losses, CT_ENGINE_LOSSES); i++)
		if (e->losses[i].ctx == ctx)
			ret[nr++] = e->losses[i];
	pthread_mutex_unlock(&e->lock);
	return nr;
}
