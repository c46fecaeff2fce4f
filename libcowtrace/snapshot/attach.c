/* SPDX-License-Identifier: MIT */
/*
 * Whether memory of the caller's can become a heap: the process's own map says what
 * it is.  Whether somebody else's userfaultfd has it, the kernel says at the
 * registration.
 */
#include <errno.h>

#include "snapshot/heap.h"
#include "sys/maps.h"

static int check_vma(const struct ct_vma *v)
{
	/* hugetlb mappings are files, their name says; shared anonymous memory too. */
	if (v->shared || v->ino || v->dev_major || v->dev_minor)
		return -ENOTSUP;
	return v->r && v->w ? 0 : -EACCES;
}

int ct_snap_attach_check(const void *addr, size_t len)
{
	struct ct_maps maps = { 0 };
	u64 at = (uintptr_t)addr, end = at + len;
	int err;

	if (!len || end < at || (at | len) & (CT_PAGE_SIZE - 1))
		return -EINVAL;
	err = ct_maps_load(getpid(), &maps);
	while (!err && at < end) {
		const struct ct_vma *v = ct_maps_find(&maps, at);

		err = v ? check_vma(v) : -EFAULT;
		if (!err)
			at = v->end;
	}
	ct_maps_fini(&maps);
	return err;
}
