/* SPDX-License-Identifier: MIT */
/*
 * Reading what the program passes to a system call, before the kernel has
 * looked at it: a bad pointer must be the kernel's EFAULT, not our SIGSEGV.
 */
#ifndef CT_TRACED_PROBE_H
#define CT_TRACED_PROBE_H

#include <errno.h>

#include "base/rawsys.h"
#include "base/base.h"

struct ct_probe {
	u64 page; /* the last one found readable, plus one; 0: none */
};

/*
 * May this byte be read?  rt_sigprocmask() copies the set in before it looks at
 * `how`: EFAULT or EINVAL, and nothing is changed.  One call per page.
 */
static inline bool ct_probe_ok(struct ct_probe *probe, const void *addr)
{
	u64 page = ct_page_of((u64)addr) + 1;

	if (page == probe->page)
		return true;
	if (ct_sys4(SYS_rt_sigprocmask, -1, (u64)addr & ~7UL, 0, 8) == -EFAULT)
		return false;
	probe->page = page;
	return true;
}

#endif
