/* SPDX-License-Identifier: MIT */
/*
 * /proc/kpagecount and /proc/kpageflags: what the kernel knows of a physical
 * page.  Root only.  Values are of the instant and lie in places, see kcaps.h.
 */
#ifndef CT_SYS_KPAGE_H
#define CT_SYS_KPAGE_H

#include "base/base.h"

#define CT_KPF_LOCKED (1ULL << 0)
#define CT_KPF_LRU (1ULL << 5)
#define CT_KPF_WRITEBACK (1ULL << 8)
#define CT_KPF_ANON (1ULL << 12)
#define CT_KPF_SWAPCACHE (1ULL << 13)
#define CT_KPF_COMPOUND_HEAD (1ULL << 15)
#define CT_KPF_COMPOUND_TAIL (1ULL << 16)
#define CT_KPF_HUGE (1ULL << 17)
#define CT_KPF_KSM (1ULL << 21)
#define CT_KPF_THP (1ULL << 22)
#define CT_KPF_ZERO_PAGE (1ULL << 24)
/*
 * PG_anon_exclusive on an anonymous page (5.19 on; the bit is mappedtodisk's).
 * Exact for order-0 pages; for a large folio it is the head's on 6.12 and later.
 */
#define CT_KPF_ANON_EXCLUSIVE (1ULL << 34)

struct ct_kpage {
	int flags_fd; /* -1: not permitted */
	int count_fd;
};

/* Opens both.  0, or -errno: then both fds are -1 and the object is still valid. */
int ct_kpage_open(struct ct_kpage *k);
void ct_kpage_close(struct ct_kpage *k);

/* Flags / map counts of PFNs [pfn, pfn + nr).  Returns how many were read, or -errno. */
ssize_t ct_kpage_flags(const struct ct_kpage *k, u64 pfn, size_t nr, u64 *ret_flags);
ssize_t ct_kpage_counts(const struct ct_kpage *k, u64 pfn, size_t nr, u64 *ret_counts);

#endif
