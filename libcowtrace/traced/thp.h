/* SPDX-License-Identifier: MIT */
/*
 * Huge pages that a call is about to lose: a wrapper looks before its call and after it.
 *
 *	ct_thp_look_none(&look);
 *	ct_thp_look_edges(&look, &call, addr, len);
 *	ret = ...the call...
 *	ct_thp_tell(&look, &call, CT_THP_MUNMAP, 0);
 *
 * A call changes whole pages of 2 MiB without a loss, so that its range's two ends alone
 * are looked at, and those only that are no multiple of 2 MiB: else it costs a compare.
 * What changes all of a range (a move, a page-out) is looked at as a whole.
 *
 * Where the process can have no huge pages (the system gives them to those alone who ask,
 * and it has not) nothing is looked at.  Else a look costs an open and a close of our page
 * map, and a scan: some 3 to 7 us.
 *
 * Any context of the program's; errno is untouched; nothing stays open.
 */
#ifndef CT_TRACED_THP_H
#define CT_TRACED_THP_H

#include "traced/self.h"

#define CT_THP_RUNS 8

struct ct_thp_run {
	u64 start, end; /* as addresses; multiples of 2 MiB */
	u64 huge_len;	/* of these, anonymous and mapped by PMDs before the call */
};

struct ct_thp_look {
	s32 fd; /* of our own page map, while there is something to lose; else -1 */
	u32 nr;
	struct ct_thp_run run[CT_THP_RUNS];
};

/* Nothing is looked at; to begin with. */
static inline void ct_thp_look_none(struct ct_thp_look *look)
{
	look->fd = -1;
	look->nr = 0;
}

/* The unit that holds addr, unless that is where it begins. */
void ct_thp_look_edge(struct ct_thp_look *look, const struct ct_call *call, u64 addr);

/* Those at both ends of the range, in whole pages as the kernel takes it. */
void ct_thp_look_unaligned(struct ct_thp_look *look, const struct ct_call *call, u64 start,
			   u64 end);
static inline void ct_thp_look_edges(struct ct_thp_look *look, const struct ct_call *call,
				     const void *addr, size_t len)
{
	const u64 start = ct_page_down((u64)addr), end = ct_page_up((u64)addr + len);

	if ((start | end) % CT_HUGE_SIZE && start < end)
		ct_thp_look_unaligned(look, call, start, end);
}

/* The program asks for huge pages: from now on it may have some. */
void ct_thp_asked(const struct ct_call *call);

/* All units that the range touches; what does not fit is one run in the end. */
void ct_thp_look_all(struct ct_thp_look *look, const struct ct_call *call, const void *addr,
		     size_t len);

/*
 * After the call, whatever came of it: an event for each run that is less huge than it
 * was, with the whole call site.  cause: CT_THP_*; detail: MADV_* of CT_THP_MADVISE.
 */
void ct_thp_tell(struct ct_thp_look *look, const struct ct_call *call, u32 cause, u32 detail);

/* Nothing was lost after all: forgets what was looked at. */
void ct_thp_forget(struct ct_thp_look *look);

#endif
