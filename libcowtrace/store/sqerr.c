/* SPDX-License-Identifier: MIT */
/*
 * SQLite's result codes as -errno and a sentence that says what to do.  Knows
 * nothing of traces.
 *
 * Invariant: a full disk is -ENOSPC, whichever of SQLite's codes it comes as.
 */
#include <errno.h>
#include <string.h>

#include "store/sqerr.h"

static bool is_full(int rc, int e)
{
	/* The wal-index grows by ftruncate and pwrite, and says IOERR_SHMSIZE then. */
	return (rc & 0xff) == SQLITE_FULL ||
	       ((rc & 0xff) == SQLITE_IOERR && (e == ENOSPC || e == EDQUOT || e == EFBIG));
}

static int full(struct ct_err *err, int e, const char *path)
{
	if (e == EDQUOT)
		return ct_err_set(
			err, -ENOSPC,
			"no quota left for %s: free some, or record to another place with -o",
			path);
	if (e == EFBIG)
		return ct_err_set(err, -ENOSPC,
				  "%s reached the largest file size permitted: raise `ulimit -f`",
				  path);
	return ct_err_set(err, -ENOSPC,
			  "no space left for %s: free some, or record to another place with -o",
			  path);
}

int ct_sqerr_set(struct ct_err *err, sqlite3 *db, int rc, const char *path)
{
	int e = db ? sqlite3_system_errno(db) : 0;

	if (db && sqlite3_extended_errcode(db) != SQLITE_OK)
		rc = sqlite3_extended_errcode(db);
	if (is_full(rc, e))
		return full(err, e, path);
	switch (rc & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a table or column that is not there */
		return ct_err_set(err, -EBADMSG, "%s is damaged (%s): record again", path,
				  db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ct_err_set(err, -EBUSY, "%s is in use by another process: try again later",
				  path);
	case SQLITE_NOMEM:
		return ct_err_set(err, -ENOMEM, "not enough memory to work on %s", path);
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return ct_err_set(err, -EACCES, "cannot write %s: permission denied", path);
	}
	return ct_err_set(err, e ? -e : -EIO, "cannot work on %s: %s", path,
			  e ? strerror(e) : sqlite3_errstr(rc));
}

int ct_syserr_set(struct ct_err *err, int e, const char *doing, const char *path)
{
	if (e == ENOSPC || e == EDQUOT)
		return full(err, e, path);
	return ct_err_set(err, -e, "cannot %s %s: %s", doing, path, strerror(e));
}
