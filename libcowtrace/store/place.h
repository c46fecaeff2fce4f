/* SPDX-License-Identifier: MIT */
/* Where a new trace goes: may it, and how it takes the place of an older one. */
#ifndef CT_STORE_PLACE_H
#define CT_STORE_PLACE_H

#include "base/err.h"

struct ct_place {
	char *path; /* the trace's, symbolic links resolved */
	char *temp; /* in the same folder: built there, then renamed */
	/*
	 * An unlinked file beside the trace that holds some blocks: released when the
	 * disk is full, so that the trace can still say so.  -1 where the file system
	 * has none to give.
	 */
	int reserve_fd;
};

/*
 * Looks at path and claims ret->temp (an empty file now).  Refuses, with the
 * sentence in *err: what is no regular file or no trace (-EEXIST), a trace that
 * is open elsewhere (-EBUSY), a folder that is not there or not writable.
 */
int ct_place_claim(const char *path, struct ct_place *ret, struct ct_err *err);

/* The temp file becomes the trace; what an older trace left beside it goes first. */
int ct_place_take(struct ct_place *p, struct ct_err *err);

/* Removes the trace and what SQLite keeps beside it; the temp file where it is still there. */
void ct_place_remove(struct ct_place *p);

void ct_place_release_reserve(struct ct_place *p);

/* Frees memory and the reserve; touches no name.  A zeroed object is fine. */
void ct_place_fini(struct ct_place *p);

#endif
