/* SPDX-License-Identifier: MIT */
/* The inside of the store's writer, shared by writer.c and put.c only. */
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
	CT_STMT_NOTE,
	CT_STMT_BEGIN,
	CT_STMT_COMMIT,
	CT_STMT_NR,
};

extern const char *const ct_stmt_sql[CT_STMT_NR];

struct ct_store {
	sqlite3 *db;
	sqlite3_stmt *stmt[CT_STMT_NR];
	struct ct_place place;
	bool in_batch;
	int failed; /* the first failure, -errno; nothing is written after it */
	struct ct_err why;
};

/* Binds rec's values and runs its statements.  An SQLite result code. */
int ct_put_rec(struct ct_store *s, const struct ct_rec *rec);

/* Runs a statement that returns no rows, and makes it ready for the next time. */
int ct_put_step(sqlite3_stmt *st);

#endif
