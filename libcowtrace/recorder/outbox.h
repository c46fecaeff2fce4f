/* SPDX-License-Identifier: MIT */
/*
 * The way from the serving thread to the disk: a queue of records, emptied by a
 * thread of its own that alone touches the store.  The serving thread never
 * waits for it: a disk that cannot keep up costs records, which are counted.
 */
#ifndef CT_RECORDER_OUTBOX_H
#define CT_RECORDER_OUTBOX_H

#include "store/store.h"

struct ct_outbox;

/* Starts the disk thread; the store belongs to it from now on.  0, -ENOMEM or -EAGAIN. */
int ct_outbox_create(struct ct_store *store, struct ct_outbox **ret);

/* Queues a deep copy of rec.  Never blocks on the disk. */
void ct_outbox_put(struct ct_outbox *o, const struct ct_rec *rec);

/*
 * Records that were given up because the disk was behind, or memory was short;
 * those of single calls (CT_REC_EVENT), without which all totals are whole, apart.
 */
u64 ct_outbox_lost(struct ct_outbox *o, u64 *ret_events);

/* Bytes that are on their way to the disk.  Any thread. */
size_t ct_outbox_queued(const struct ct_outbox *o);

/* The store's first error, or NULL; the text lives as long as the outbox. */
const char *ct_outbox_error(struct ct_outbox *o);

/*
 * Writes out all that is queued, ends the thread and finishes the store
 * (why_incomplete: see ct_store_finish).  o is gone afterwards.
 */
int ct_outbox_finish(struct ct_outbox *o, const char *why_incomplete, struct ct_err *err);

#endif
