/* SPDX-License-Identifier: MIT */
/*
 * Memory of the library's own: tables that grow as they are touched, and reserved
 * addresses.  None of it is copied into a forked child (where nothing reads it), and
 * none comes from malloc, which a signal handler could not call.
 */
#ifndef CT_SNAPSHOT_MAP_H
#define CT_SNAPSHOT_MAP_H

#include <sys/mman.h>

#include "base/base.h"
#include "base/rawsys.h"

static inline void *ct_snap_map(size_t len, int prot)
{
	long p = ct_sys6(SYS_mmap, 0, (long)len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			 -1, 0);

	if (p < 0 && p > -4096)
		return NULL;
	ct_sys3(SYS_madvise, p, len, MADV_DONTFORK);
	return (void *)p;
}

/* Zeroed, touched in part: never huge.  NULL: no memory. */
static inline void *ct_snap_map_table(size_t len)
{
	void *p = ct_snap_map(len, PROT_READ | PROT_WRITE);

	if (p)
		ct_sys3(SYS_madvise, p, len, MADV_NOHUGEPAGE);
	return p;
}

static inline void ct_snap_unmap(const void *p, size_t len)
{
	if (p)
		ct_sys2(SYS_munmap, p, len);
}

/* Addresses without memory, aligned to huge pages. */
static inline void *ct_snap_map_reserve(size_t len)
{
	char *p = len > SIZE_MAX - CT_HUGE_SIZE ? NULL : ct_snap_map(len + CT_HUGE_SIZE, PROT_NONE);
	size_t head = p ? -(uintptr_t)p & (CT_HUGE_SIZE - 1) : 0;

	if (!p)
		return NULL;
	if (head)
		ct_snap_unmap(p, head);
	ct_snap_unmap(p + head + len, CT_HUGE_SIZE - head);
	return p + head;
}

#endif
