/* SPDX-License-Identifier: MIT */
/*
 * Copying pages that another thread may be writing: the copy is checked afterwards
 * and thrown away if so.  That is no race that matters, and a thread sanitizer is to
 * be told so.
 */
#ifndef CT_SNAPSHOT_COPY_H
#define CT_SNAPSHOT_COPY_H

#include <errno.h>
#include <string.h>

#include "base/base.h"

#include "base/rawsys.h"

/*
 * A hole in the heap is an error, not a crash: 0 or -EFAULT.  At most 2 MiB at once.
 */
static inline int ct_snap_check_mapped(const char *addr, size_t len)
{
	unsigned char present[CT_HUGE_PAGES + 1];
	u64 start = ct_page_down((uintptr_t)addr);

	return ct_sys3(SYS_mincore, start, (uintptr_t)addr + len - start, present) ? -EFAULT : 0;
}

#if defined(__SANITIZE_THREAD__)
#define CT_SNAP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CT_SNAP_TSAN 1
#endif
#endif

#ifdef CT_SNAP_TSAN
__attribute__((no_sanitize("thread"))) static inline void ct_snap_copy(void *to, const void *from,
								       size_t len)
{
	/* Not memcpy, which the sanitizer watches wherever it is called from. */
	for (size_t i = 0; i < len; i++)
		((volatile char *)to)[i] = ((const volatile char *)from)[i];
}
#else
static inline void ct_snap_copy(void *to, const void *from, size_t len)
{
	memcpy(to, from, len);
}
#endif

/* Most pages that are not zero say so in their first words. */
#ifdef CT_SNAP_TSAN
__attribute__((no_sanitize("thread")))
#endif
static inline bool
ct_snap_is_zero(const void *page)
{
	const u64 *w = page;

	for (size_t i = 0; i < CT_PAGE_SIZE / sizeof(*w); i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] |
		    w[i + 7])
			return false;
	return true;
}

#endif
