/* SPDX-License-Identifier: MIT */
/*
 * What the wrappers share.  A wrapper does three things: it takes the time, it
 * calls the next function of its name, and it says what has happened.  Results
 * and errno are those of the next function.
 */
#ifndef CT_PRELOAD_PRELOAD_H
#define CT_PRELOAD_PRELOAD_H

#include <errno.h>

#include "base/rawsys.h"
#include "traced/self.h"
#include "traced/shim.h"

/* libc's way of giving a kernel's result. */
static inline long ct_libc_ret(long ret)
{
	if (ret < 0 && ret > -4096) {
		errno = (int)-ret;
		return -1;
	}
	return ret;
}

/*
 * Before our constructor has run (another library's is earlier) the wrappers
 * of plain system calls make the call themselves.
 */
#define CT_READY() ct_likely(ct_shim != NULL)

#endif
