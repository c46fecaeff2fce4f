/* SPDX-License-Identifier: MIT */
/*
 * The ground that every module stands on: page arithmetic, scope guards and a
 * few macros.  Header only, async-signal-safe, no libc calls but in the guards.
 */
#ifndef CT_BASE_BASE_H
#define CT_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

/* Every count in cowtrace is in pages of this size; x86-64 and most arm64. */
#define CT_PAGE_SHIFT 12
#define CT_PAGE_SIZE (1UL << CT_PAGE_SHIFT)
/* A PMD-mapped unit: 512 pages of 4 KiB. */
#define CT_HUGE_SHIFT 21
#define CT_HUGE_SIZE (1UL << CT_HUGE_SHIFT)
#define CT_HUGE_PAGES (CT_HUGE_SIZE / CT_PAGE_SIZE)

#define CT_NSEC_PER_SEC 1000000000ULL
#define CT_NSEC_PER_MSEC 1000000ULL
#define CT_NSEC_PER_USEC 1000ULL

#define ct_array_size(a) (sizeof(a) / sizeof((a)[0]))
#define ct_container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ct_min(a, b)                    \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ < b_ ? a_ : b_;      \
	})
#define ct_max(a, b)                    \
	({                              \
		__typeof__(a) a_ = (a); \
		__typeof__(b) b_ = (b); \
		a_ > b_ ? a_ : b_;      \
	})
#define ct_likely(x) __builtin_expect(!!(x), 1)
#define ct_unlikely(x) __builtin_expect(!!(x), 0)
#define ct_hidden __attribute__((visibility("hidden")))
#define ct_public __attribute__((visibility("default")))
#define ct_printf(f, a) __attribute__((format(printf, f, a)))
#define ct_must_check __attribute__((warn_unused_result))

static inline u64 ct_page_down(u64 addr)
{
	return addr & ~(u64)(CT_PAGE_SIZE - 1);
}

static inline u64 ct_page_up(u64 addr)
{
	return (addr + CT_PAGE_SIZE - 1) & ~(u64)(CT_PAGE_SIZE - 1);
}

/* Page number of an address, and back. */
static inline u64 ct_page_of(u64 addr)
{
	return addr >> CT_PAGE_SHIFT;
}

static inline u64 ct_addr_of(u64 page)
{
	return page << CT_PAGE_SHIFT;
}

/* Scope guards, for code outside the signal path: `ct_auto_fd int fd = -1;` */
static inline void ct_fd_put(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void ct_free_put(void *p)
{
	free(*(void **)p);
}

#define ct_auto_fd __attribute__((cleanup(ct_fd_put)))
#define ct_auto_free __attribute__((cleanup(ct_free_put)))

/* Hands a guarded value over to the caller: the guard then has nothing to do. */
static inline int ct_take_fd(int *fd)
{
	int v = *fd;

	*fd = -1;
	return v;
}

#define ct_take_ptr(p)                     \
	({                                 \
		__typeof__(p) take_ = (p); \
		(p) = NULL;                \
		take_;                     \
	})

#endif
