/* SPDX-License-Identifier: MIT */
/*
 * Values into a statement, in order.  SQLite's bind calls fail only for a column
 * that is not there or for want of memory (TEXT is bound STATIC: no copy), so
 * their results are not looked at: the step that follows fails then.
 */
#ifndef CT_STORE_BIND_H
#define CT_STORE_BIND_H

#include "store/writer.h"

struct ct_binder {
	sqlite3_stmt *st;
	int col;
};

static inline struct ct_binder ct_bind(struct ct_store *s, enum ct_stmt n)
{
	return (struct ct_binder){ .st = s->stmt[n] };
}

static inline void ct_bind_int(struct ct_binder *b, s64 v)
{
	sqlite3_bind_int64(b->st, ++b->col, v);
}

static inline void ct_bind_null(struct ct_binder *b)
{
	sqlite3_bind_null(b->st, ++b->col);
}

static inline void ct_bind_count(struct ct_binder *b, u64 v)
{
	if (v == CT_UNKNOWN)
		ct_bind_null(b);
	else
		ct_bind_int(b, (s64)v);
}

static inline void ct_bind_text(struct ct_binder *b, const char *s)
{
	if (s)
		sqlite3_bind_text(b->st, ++b->col, s, -1, SQLITE_STATIC);
	else
		ct_bind_null(b);
}

#endif
