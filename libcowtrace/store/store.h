/* SPDX-License-Identifier: MIT */
/*
 * The trace file: SQLite, WAL, one file.  The writer is used by one thread (the
 * recorder's disk thread) and nothing else of the recorder; docs/trace-schema.md
 * documents every table.
 *
 * From creation on the file says that it is incomplete; only ct_store_finish()
 * takes that back.  Committed data survive kill -9 of the writer.
 */
#ifndef CT_STORE_STORE_H
#define CT_STORE_STORE_H

#include "base/err.h"
#include "store/record.h"

struct ct_store;

/*
 * Creates path anew.  An existing trace is replaced, an existing file that is
 * not a trace is refused.  0, -EEXIST (not ours), -EBUSY (a trace that is being
 * written or read), -ENOSPC, -EACCES, -EROFS, -ENOENT, ..., with the sentence in
 * *err; then nothing is left behind.  The caller ignores SIGXFSZ.
 */
int ct_store_create(const char *path, struct ct_store **ret_store, struct ct_err *err);

/* Keeps the WAL beside the file to about so many bytes; without this it is some 16 MiB. */
void ct_store_keep_wal(struct ct_store *s, u64 len);

/* Commits, and writes nothing more but why: ct_store_error() from now on. */
void ct_store_stop(struct ct_store *s, const char *why);

/* Adds one record to the open batch.  0, -ENOSPC, -EIO: see ct_store_error(). */
int ct_store_put(struct ct_store *s, const struct ct_rec *rec);

/* The command line, NULL-terminated, as meta's `command` (a JSON array).  As ct_store_put(). */
int ct_store_put_command(struct ct_store *s, char *const argv[]);

/* Makes all that was put durable against a crash of this process, and visible to readers. */
int ct_store_commit(struct ct_store *s);

/*
 * Commits, sets complete and why (NULL: complete; else why not), leaves WAL mode
 * so that one file remains, and closes.  s is gone afterwards, also on error.
 */
int ct_store_finish(struct ct_store *s, const char *why_incomplete, struct ct_err *err);

/* Closes without finishing: the file goes on saying that it is incomplete.  NULL is fine. */
void ct_store_destroy(struct ct_store *s);

/* The sentence of the first failure, or NULL. */
const char *ct_store_error(const struct ct_store *s);

#endif
