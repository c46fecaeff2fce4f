/* SPDX-License-Identifier: MIT */
/* The inside of the store's writer, shared by writer.c and the put*.c only. */
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
	/* The same for CT_MANY_ROWS rows at once. */
	CT_STMT_REGIONS,
	CT_STMT_REGION_COUNTS,
	CT_STMT_TIMELINE,
	CT_STMT_WITNESS,
	CT_STMT_EVENT,
	CT_STMT_RUN,
	CT_STMT_RUNS,
	CT_STMT_WRITE,
	CT_STMT_WRITE_KIND,
	CT_STMT_THP_LOSS,
	CT_STMT_UNATTRIBUTED,
	CT_STMT_CARRIED,
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

/* Rows that wait to be enough for one statement (put_rows.c). */
#define CT_MANY_ROWS 16

struct ct_rows {
	struct ct_rec v[CT_MANY_ROWS];
	u32 nr;
};

struct ct_store {
	sqlite3 *db;
	sqlite3_stmt *stmt[CT_STMT_NR];
	struct ct_place place;
	struct ct_kinds kinds;
	struct ct_rows regions, counts;
	char region_names[CT_MANY_ROWS][128];
	bool in_batch;
	int failed; /* the first failure, -errno; nothing is written after it */
	struct ct_err why;
};

/* Binds rec's values and runs its statements.  An SQLite result code. */
int ct_put_rec(struct ct_store *s, const struct ct_rec *rec);

/* The same for tables of many rows (put_rows.c); some wait until there are more. */
int ct_put_region(struct ct_store *s, const struct ct_rec *rec);
int ct_put_region_count(struct ct_store *s, const struct ct_rec *rec);
int ct_put_runs(struct ct_store *s, const struct ct_rec *rec);
/* Those that still wait. */
int ct_put_waiting(struct ct_store *s);

/* The same of a CT_REC_WRITE (put_write.c). */
int ct_put_write(struct ct_store *s, const struct ct_rec *rec);

/* Runs a statement that returns no rows, and makes it ready for the next time. */
int ct_put_step(sqlite3_stmt *st);

#endif
