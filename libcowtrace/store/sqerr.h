/* SPDX-License-Identifier: MIT */
/* What SQLite reports, as -errno and one sentence. */
#ifndef CT_STORE_SQERR_H
#define CT_STORE_SQERR_H

#include <sqlite3.h>

#include "base/err.h"

/*
 * Turns the last failure of db (an SQLite result code rc) into -errno, and the
 * sentence about the file at path into *err.  db may be NULL.
 */
int ct_sqerr_set(struct ct_err *err, sqlite3 *db, int rc, const char *path);

/* A sentence for a system call that failed on path with errno value e.  Returns -e. */
int ct_syserr_set(struct ct_err *err, int e, const char *doing, const char *path);

#endif
