/* SPDX-License-Identifier: MIT */
/*
 * First writes of a trace, streamed: a million of them are read in a third of a
 * second, and never stand in memory.
 *
 * As in load.c the file may say anything: what no writer of ours would have
 * written makes the trace damaged.
 */
#include <errno.h>

#include "store/load.h"
#include "store/sqerr.h"

#define SQL "SELECT process,fork,t_ns,page,pages,site,kind,syscall,pc FROM writes"

/* The columns of SQL. */
enum { PROCESS, FORK, T_NS, PAGE, PAGES, SITE, KIND, SYSCALL, PC };

/* The largest huge page of a kernel we know: 1 GiB. */
#define MAX_PAGES (1u << 18)

static bool take(sqlite3_stmt *st, int col, u64 max, u64 *ret)
{
	s64 v = sqlite3_column_int64(st, col);

	*ret = (u64)v;
	return v >= 0 && (u64)v <= max;
}

static bool take_u32(sqlite3_stmt *st, int col, u32 *ret)
{
	u64 v;
	bool fits = take(st, col, UINT32_MAX, &v);

	*ret = (u32)v;
	return fits;
}

/* A side and a verdict are part of what a write is: no kind, no write. */
static bool take_row(const struct ct_trace *t, sqlite3_stmt *st, struct ct_trace_write *w)
{
	u64 syscall = 0;
	u32 kind;

	if (!take_u32(st, PROCESS, &w->process) || !take_u32(st, FORK, &w->fork) ||
	    !take(st, T_NS, INT64_MAX, &w->t_ns) || !take(st, PAGE, UINT64_MAX >> 12, &w->page) ||
	    !take_u32(st, PAGES, &w->pages) || !take_u32(st, SITE, &w->site) ||
	    !take_u32(st, KIND, &kind) || !take(st, PC, INT64_MAX, &w->pc))
		return false;
	w->syscall = -1;
	if (sqlite3_column_type(st, SYSCALL) != SQLITE_NULL) {
		if (!take(st, SYSCALL, INT32_MAX, &syscall))
			return false;
		w->syscall = (s32)syscall;
	}
	if (!w->kind || w->kind->id != kind)
		w->kind = ct_trace_kind(t, kind);
	return w->kind && w->pages && w->pages <= MAX_PAGES;
}

int ct_trace_writes(struct ct_trace *t, const char *path,
		    int (*fn)(void *ctx, const struct ct_trace_write *w), void *ctx,
		    struct ct_err *err)
{
	struct ct_trace_write w = { .kind = NULL };
	sqlite3_stmt *st;
	u64 row = 0;
	int rc, ret = 0;

	if (!t->db)
		return ct_err_set(err, -EBADF, "%s is closed", path);
	if (!ct_load_has_table(t->db, "writes"))
		return 0;
	rc = sqlite3_prepare_v2(t->db, SQL, -1, &st, NULL);
	while (rc == SQLITE_OK && !ret && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		row++;
		ret = take_row(t, st, &w) ? fn(ctx, &w) : ct_load_damaged(path, row, "writes", err);
		rc = SQLITE_OK;
	}
	if (!ret && rc != SQLITE_DONE)
		ret = ct_sqerr_set(err, t->db, rc, path);
	sqlite3_finalize(st);
	return ret;
}
