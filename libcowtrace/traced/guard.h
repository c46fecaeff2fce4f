/* SPDX-License-Identifier: MIT */
/*
 * The two ways in which a process stops being traced without ending: it takes
 * our memory away, or it forbids system calls.
 *
 * Both replace the shared struct by a private copy, so that the other processes
 * of the recording do not notice.  None of it touches errno.
 */
#ifndef CT_TRACED_GUARD_H
#define CT_TRACED_GUARD_H

#include "base/base.h"

/*
 * [addr, addr + len) is about to be unmapped, replaced, protected or kept from
 * children: where the segment or the shim lies in it, the process goes on
 * untraced, from now on.
 */
void ct_guard_range(const void *addr, size_t len);

/* This process, and the children it will have, are traced no longer. */
void ct_guard_detach(void);

/*
 * From here on no system call of ours: a filter may kill the process for one.
 * Returns whether this call made it so (then ct_guard_loud() can undo it, where
 * the program's call has failed).  Nothing in a vfork child: it shares the flag
 * with its parent.
 */
bool ct_guard_quiet(void);
void ct_guard_loud(void);

#endif
