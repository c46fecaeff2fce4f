/* SPDX-License-Identifier: MIT */
/*
 * Where a snapshot's content lies, and getting at it while writers go on: without a
 * lock, by looking afterwards whether it was still there.  All calls are made between
 * ct_snap_get() and ct_snap_put().
 */
#ifndef CT_SNAPSHOT_CONTENT_H
#define CT_SNAPSHOT_CONTENT_H

#include "snapshot/heap.h"

/* The live page is the snapshot's. */
static inline bool ct_snap_is_live(const struct cowtrace_snapshot *s, u64 page)
{
	return ct_snap_slot(s, page) == CT_SNAP_SLOT_NONE;
}

/* After reading live pages: what is not live any more was, perhaps, read too late. */
static inline void ct_snap_reading_done(void)
{
	atomic_thread_fence(memory_order_acquire);
}

/*
 * Everything that was read before was the snapshot's: 0; or it was released or given
 * up meanwhile: -EBADF, -ESTALE.  To be asked before anything is handed out.
 */
int ct_snap_still_held(const struct cowtrace_snapshot *s);

/*
 * Copies [offset, offset + len), within the heap, to buf.
 * 0, -EFAULT (unmapped under us), -EBADF, -ESTALE.
 */
int ct_snap_read(struct cowtrace_snapshot *s, u64 offset, void *buf, size_t len);

#endif
