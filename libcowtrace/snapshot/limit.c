/* SPDX-License-Identifier: MIT */
/*
 * No room for a saved page: wait until some is given back, or give up the oldest
 * snapshot, as the heap's creator chose.
 *
 * The one that waits holds no lock, so that takes, releases and other first writes
 * go on.  What holds always: the live side gets its page in the end, or waits as the
 * contract says; it never writes over a page that a snapshot still counts on.
 */
#include "snapshot/heap.h"

/* Frees what only the oldest snapshot holds; its readers get -ESTALE. */
static void give_up_oldest(struct cowtrace_heap *h, u32 freed)
{
	struct cowtrace_snapshot *s = NULL;

	ct_snap_lock(&h->take);
	/* Somebody else may have made room meanwhile. */
	if (h->nr_alive && atomic_load(&h->store.freed) == freed) {
		s = h->alive[0];
		atomic_fetch_or(&s->users, CT_SNAP_GIVEN_UP);
		ct_snap_unlink(s);
		ct_snap_slots_put(s);
		ct_snap_count(&h->count.invalidated, 1);
	}
	ct_snap_unlock(&h->take);
}

void ct_snap_limit_wait(struct cowtrace_heap *h, u32 freed, u64 *since)
{
	u64 now = ct_now_ns(), waited;
	struct timespec ts = { .tv_sec = 1 };

	if (!*since) {
		*since = now;
		ct_snap_count(&h->count.stalls, 1);
	}
	waited = now - *since;
	if (h->at_limit == COWTRACE_LIMIT_INVALIDATE ||
	    (h->stall_max_ns && waited >= h->stall_max_ns)) {
		give_up_oldest(h, freed);
	} else {
		if (h->stall_max_ns && h->stall_max_ns - waited < CT_NSEC_PER_SEC)
			ts = (struct timespec){ .tv_nsec = (long)(h->stall_max_ns - waited) };
		ct_snap_wait(&h->store.freed, freed, &ts);
	}
	ct_snap_count(&h->count.stall_ns, ct_now_ns() - now);
}
