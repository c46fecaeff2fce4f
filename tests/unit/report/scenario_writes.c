/* SPDX-License-Identifier: MIT */
/* First writes for the trace of scenario.h: each kind a few times, never as often as another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cowtrace/policy.h>

#include "scenario.h"

#define SEC CT_NSEC_PER_SEC
#define MSEC CT_NSEC_PER_MSEC

static void put(struct ct_store *s, struct ct_rec rec)
{
	if (ct_store_put(s, &rec))
		fail_msg("put: %s", ct_store_error(s));
}

static void put_sites(struct ct_store *s)
{
	struct ct_rec_frame plain[] = { { 2, 0x501 }, { 2, 0x600 } };
	struct ct_rec_frame in_libc[] = { { 1, 0x70 }, { 2, 0x700 }, { 2, 0x800 } };
	struct ct_rec_frame in_ours[] = { { 4, 0x10 }, { 4, 0x20 }, { 2, 0x900 } };
	struct ct_rec_frame leaf[] = { { 2, 0x501 } };
	struct ct_rec_frame ours[] = { { 4, 0x10 } };

	put(s, (struct ct_rec){ CT_REC_MODULE,
				.module = { 4, "/none/libcowtrace-preload.so", { 0 }, 0 } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 10, 2, plain } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 11, 3, in_libc } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 12, 3, in_ours } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 13, 1, leaf } });
	put(s, (struct ct_rec){ CT_REC_SITE, .site = { 14, 1, ours } });
}

/* n alike, page after page. */
static void put_some(struct ct_store *s, struct ct_rec w, int n)
{
	for (; n; n--, w.write.page += w.write.pages, w.write.t_ns += 10 * MSEC)
		put(s, w);
}

/* The parent of fork 1 copies, from site 10, as was predicted. */
static struct ct_rec usual(void)
{
	return (struct ct_rec){ CT_REC_WRITE,
				.write = { .process = 1,
					   .fork = 1,
					   .side = CT_SIDE_PARENT,
					   .t_ns = 1200 * MSEC,
					   .page = 0x10000,
					   .pages = 1,
					   .site = 10,
					   .access = CT_ACCESS_USER,
					   .syscall = -1,
					   .predicted = COWTRACE_COPY,
					   .observed = COWTRACE_COPY,
					   .reason = COWTRACE_REASON_EARLY_REFCOUNT } };
}

static void put_system_calls(struct ct_store *s)
{
	struct ct_rec w = usual();

	w.write.page = 0x10020;
	w.write.site = 11;
	w.write.access = CT_ACCESS_KERNEL;
	w.write.syscall = 0;
	w.write.predicted = COWTRACE_UNCERTAIN;
	w.write.decides = COWTRACE_FIELD_REFCOUNT;
	w.write.likely = COWTRACE_COPY;
	put_some(s, w, 4);
	w.write.page += 10;
	w.write.observed = COWTRACE_REUSE;
	put_some(s, w, 1);
	w.write.page += 10;
	w.write.observed = COWTRACE_UNCERTAIN;
	put_some(s, w, 1);
	/* The same code without a system call. */
	w = usual();
	w.write.page = 0x10060;
	w.write.site = 11;
	put_some(s, w, 6);
}

static void put_huge(struct ct_store *s)
{
	struct ct_rec w = usual();

	w.write.fork = 2;
	w.write.page = 0x10200;
	w.write.pages = 512;
	w.write.huge = true;
	w.write.t_ns = 2400 * MSEC;
	w.write.predicted = w.write.observed = COWTRACE_REUSE;
	put_some(s, w, 1);
	w = usual();
	w.write.page = 0x10400;
	w.write.huge = true;
	w.write.site = 13;
	w.write.no_site = CT_NO_BLOCKED_SIGNAL;
	w.write.predicted = COWTRACE_SPLIT;
	put_some(s, w, 7);
}

static void put_odd(struct ct_store *s)
{
	struct ct_rec w = usual();

	/* Wrong. */
	w.write.process = 2;
	w.write.side = CT_SIDE_CHILD;
	w.write.predicted = COWTRACE_REUSE;
	w.write.reason = COWTRACE_REASON_REFCOUNT_ONE;
	put_some(s, w, 2);
	/* No stack, and nothing to be seen. */
	w.write.page += 100;
	w.write.site = 0;
	w.write.no_site = CT_NO_STACK;
	w.write.predicted = COWTRACE_COPY;
	w.write.observed = COWTRACE_UNCERTAIN;
	put_some(s, w, 5);
	/* The zero page. */
	w = usual();
	w.write.page = 0x10080;
	w.write.site = 12;
	w.write.predicted = w.write.observed = COWTRACE_ALLOC_ZEROED;
	put_some(s, w, 8);
	w.write.page = 0x100a0;
	w.write.site = 14;
	put_some(s, w, 10);
	/* Of no fork; then where no region is. */
	w = usual();
	w.write.fork = 0;
	w.write.predicted = w.write.observed = COWTRACE_REUSE;
	put_some(s, w, 9);
	w = usual();
	w.write.page = 1;
	put_some(s, w, 11);
}

/* By calls: two units at once, the same again, of another process, of a region that nobody knows.
 */
static void put_losses(struct ct_store *s)
{
	struct ct_rec l = { CT_REC_THP_LOSS, .thp_loss = { 1, 0, 1300 * MSEC, "madvise_dontneed",
							   0x10000000, 2UL << 21, 11 } };

	put(s, l);
	l.thp_loss.t_ns = 2600 * MSEC;
	put(s, l);
	l.thp_loss =
		(__typeof__(l.thp_loss)){ 2, 0, 1400 * MSEC, "munmap", 0x7000000000, 1UL << 21, 0 };
	put(s, l);
}

static void put_side(struct ct_store *s, u32 fork, enum ct_side side, enum ct_side_end end,
		     u64 copied, u64 attributed)
{
	put(s, (struct ct_rec){ CT_REC_SIDE, .side = { fork, side, end, (fork + 1) * SEC, copied, 0,
						       0, 1, 10, attributed } });
}

static void put_reason(struct ct_store *s, u32 fork, enum ct_side side, enum ct_no_site reason,
		       u64 pages)
{
	put(s,
	    (struct ct_rec){ CT_REC_UNATTRIBUTED, .unattributed = { fork, side, reason, pages } });
}

static void put_attribution(struct ct_store *s)
{
	put_side(s, 1, CT_SIDE_PARENT, CT_SIDE_END_NEXT_FORK, 300, 280);
	put_reason(s, 1, CT_SIDE_PARENT, CT_NO_FILE_PRIVATE, 15);
	put_reason(s, 1, CT_SIDE_PARENT, CT_NO_FORK_WINDOW, 5);
	/* It was one once, and is none any more. */
	put_reason(s, 1, CT_SIDE_PARENT, CT_NO_STACK, 0);
	/* Four pages that nobody explains. */
	put_side(s, 1, CT_SIDE_CHILD, CT_SIDE_END_EXIT, 70, 60);
	put_reason(s, 1, CT_SIDE_CHILD, CT_NO_STACK, 6);
	put_side(s, 2, CT_SIDE_PARENT, CT_SIDE_END_RELATIVE_GONE, 11, 11);
	/* More than were copied. */
	put_side(s, 3, CT_SIDE_PARENT, CT_SIDE_END_EXIT, 7, 5);
	put_reason(s, 3, CT_SIDE_PARENT, CT_NO_KILLED, 4);
}

void scenario_put_writes(struct ct_store *s)
{
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "engine", "uffd" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "machine", "x86_64" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "fault_copy_ns", "2000" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "fault_reuse_ns", "700" } });
	put(s, (struct ct_rec){ CT_REC_META, .meta = { "fault_huge_ns", "13000" } });
	put_sites(s);
	put_some(s, usual(), 3);
	put_system_calls(s);
	put_huge(s);
	put_odd(s);
	put_losses(s);
	put_attribution(s);
}
