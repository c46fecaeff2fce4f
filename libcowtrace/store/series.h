/* SPDX-License-Identifier: MIT */
/*
 * The files of a recording that goes on for ever: the running one, NAME, and those
 * before it, NAME.000001 and up, the newest last.
 */
#ifndef CT_STORE_SERIES_H
#define CT_STORE_SERIES_H

#include "base/err.h"

struct ct_series;

struct ct_series_limits {
	u32 keep;    /* older files, at most; 0: any number */
	u64 max_len; /* bytes of all files together; 0: any number */
};

/*
 * Finds the older files of path.  With `adopt`, a trace that stands at path itself, and
 * that nobody writes any more, becomes the newest of them; anything else there is left
 * for ct_store_create() to refuse or replace.  0 or -ENOMEM.
 */
int ct_series_open(const char *path, const struct ct_series_limits *limits, bool adopt,
		   struct ct_series **ret);
void ct_series_destroy(struct ct_series *s); /* touches no file; NULL is fine */

/* The running file, with what SQLite keeps beside it.  Bytes. */
u64 ct_series_running(const struct ct_series *s);

/* The running file becomes the newest of the older ones.  0 or -errno. */
int ct_series_archive(struct ct_series *s);

/*
 * Removes the oldest files until the limits hold with `running` bytes beside them.
 * Only what has the header of a trace is ever removed, and never the running file.
 * Returns the bytes that are left beside it.
 */
u64 ct_series_trim(struct ct_series *s, u64 running);

const char *ct_series_path(const struct ct_series *s);

#endif
