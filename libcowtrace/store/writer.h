/* SPDX-License-Identifier: MIT */
/* The inside of the store's writer, shared by writer.c, put.c and put_write.c only. */
#ifndef CT_STORE_WRITER_H
#define CT_STORE_WRITER_H

#include <sqlite3.h>

#include "store/place.h"
#include "store/store.h"

enum ct_stmt {
	CT_STMT_META,
	CT_STMT_PROCESS,
	CT_STMT_PROCESS_COMM,
	CT_STMT_PROCESS_END,
	CT_STMT_MODULE,
	CT_STMT_FRAME,
	CT_STMT_FORK,
	CT_STMT_FORK_TIMES,
	CT_STMT_FORK_END,
	CT_STMT_SIDE,
	CT_STMT_REGION,
	CT_STMT_REGION_COUNT,
	CT_STMT_TIMELINE,
	CT_STMT_WITNESS,
	CT_STMT_EVENT,
	CT_STMT_RUN,
	CT_STMT_WRITE,
	CT_STMT_WRITE_KIND,
	CT_STMT_UNATTRIBUTED,
	CT_STMT_NOTE,
	CT_STMT_BEGIN,
	CT_STMT_COMMIT,
	CT_STMT_NR,
};

extern const char *const ct_stmt_sql[CT_STMT_NR];

/* Kinds of writes that have their row already: open addressing, 0 is free. */
#define CT_KINDS 1024 /* a power of two; a recording has some dozens */

struct ct_kinds {
	u64 packed[CT_KINDS];
	u32 id[CT_KINDS];
	u32 nr;	     /* of rows, and the newest one's id */
	u32 nr_kept; /* of these, in the table above */
};

struct ct_store {
	sqlite3 *db;
	sqlite3_stmt *stmt[CT_STMT_NR];
	struct ct_place place;
	struct ct_kinds kinds;
	bool in_batch;
	int failed; /* the first failure, -errno; nothing is written after it */
	struct ct_err why;
};

/* Binds rec's values and runs its statements.  An SQLite result code. */
int ct_put_rec(struct ct_store *s, const struct ct_rec *rec);

/* The same of a CT_REC_WRITE (put_write.c). */
int ct_put_write(struct ct_store *s, const struct ct_rec *rec);

/* Runs a statement that returns no rows, and makes it ready for the next time. */
int ct_put_step(sqlite3_stmt *st);

#endif
