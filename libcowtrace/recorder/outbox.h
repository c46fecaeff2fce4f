/* SPDX-License-Identifier: MIT */
/*
 * The way from the serving thread to the disk: a queue of records, emptied by a
 * thread of its own that alone touches the store.  The serving thread never
 * waits for it: a disk that cannot keep up costs records, which are counted.
 */
#ifndef CT_RECORDER_OUTBOX_H
#define CT_RECORDER_OUTBOX_H

#include "store/series.h"
#include "store/store.h"

struct ct_outbox;

/* Starts the disk thread; the store belongs to it from now on.  0, -ENOMEM or -EAGAIN. */
int ct_outbox_create(struct ct_store *store, struct ct_outbox **ret);

/* What is needed to go on in another file; both stay the caller's, and as they are. */
struct ct_outbox_files {
	struct ct_series *series;
	char *const *argv; /* the command, for each file's meta */
	u64 max_len;	   /* bytes of all files; 0: any number */
	u64 wal_len;	   /* bytes that the WAL may have, about */
};

/*
 * Before the first record.  From now on the disk thread looks at the files' sizes at
 * each commit and removes old ones.  A running file that alone is near the bound gets no
 * details any more (events, writes, runs, the timeline), and one that is at it nothing.
 */
void ct_outbox_set_files(struct ct_outbox *o, const struct ct_outbox_files *files);

/*
 * What is put from here on goes into the next file; the running one is finished, for
 * itself complete, and becomes an older one.  Only with ct_outbox_set_files().
 * False: no memory, and the running file goes on.
 */
bool ct_outbox_next_file(struct ct_outbox *o);

/* Files that the disk thread has begun beside the first. */
u32 ct_outbox_file(const struct ct_outbox *o);
/* Bytes of the running file, at its last commit; records put since the recording began. */
u64 ct_outbox_file_len(const struct ct_outbox *o);
u64 ct_outbox_nr_put(const struct ct_outbox *o);

/* Queues a deep copy of rec.  Never blocks on the disk. */
void ct_outbox_put(struct ct_outbox *o, const struct ct_rec *rec);

/*
 * Records that were given up because the disk was behind, or memory was short;
 * those of single calls (CT_REC_EVENT), without which all totals are whole, apart.
 */
u64 ct_outbox_lost(struct ct_outbox *o, u64 *ret_events);

/* Bytes that are on their way to the disk.  Any thread. */
size_t ct_outbox_queued(const struct ct_outbox *o);

/*
 * The first error of the running file's store, or NULL; the text stays until the next
 * file, or as long as the outbox.
 */
const char *ct_outbox_error(struct ct_outbox *o);

/*
 * Writes out all that is queued, ends the thread and finishes the store
 * (why_incomplete: see ct_store_finish).  o is gone afterwards.
 */
int ct_outbox_finish(struct ct_outbox *o, const char *why_incomplete, struct ct_err *err);

#endif
