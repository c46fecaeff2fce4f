/* SPDX-License-Identifier: MIT */
/*
 * Looking at a process's own huge pages, by PAGEMAP_SCAN of /proc/self/pagemap.  The
 * descriptor is opened for a look and closed after it: one that stayed would be in the
 * way of a program that closes all, and of a forked child it would be the parent's.
 *
 * It does not say why the kernel did what it did; the caller knows what it called.
 *
 * Invariant: whatever cannot be looked at (no /proc, no descriptor to be had, a kernel
 * before 6.7) is as if there were no huge pages.
 */
#include <fcntl.h>

#include "base/rawsys.h"
#include "sys/uapi.h"
#include "traced/thp.h"

static bool is_open(struct ct_thp_look *look)
{
	if (look->fd < 0)
		look->fd = (s32)ct_sys4(SYS_openat, AT_FDCWD, "/proc/self/pagemap",
					O_RDONLY | O_CLOEXEC, 0);
	return look->fd >= 0;
}

void ct_thp_forget(struct ct_thp_look *look)
{
	if (look->fd >= 0)
		ct_sys1(SYS_close, look->fd);
	ct_thp_look_none(look);
}

/* The kernel's list has breaks where there are none. */
static void grow(struct page_region *first, const struct page_region *next)
{
	if (!first->end)
		*first = *next;
	else if (first->end == next->start)
		first->end = next->end;
}

/* Bytes of [start, end) that are anonymous and mapped by PMDs; the first run of them. */
static u64 huge_len(const struct ct_thp_look *look, u64 start, u64 end,
		    struct page_region *ret_first)
{
	struct page_region vec[16];
	struct page_region first = { 0 };
	struct pm_scan_arg arg;
	u64 sum = 0;

	while (start < end) {
		long n;

		arg = (struct pm_scan_arg){
			.size = sizeof(arg),
			.start = start,
			.end = end,
			.vec = (u64)vec,
			.vec_len = ct_array_size(vec),
			.category_inverted = PAGE_IS_FILE | PAGE_IS_PFNZERO,
			.category_mask = PAGE_IS_FILE | PAGE_IS_PFNZERO | PAGE_IS_HUGE,
			.return_mask = PAGE_IS_HUGE,
		};
		n = ct_sys3(SYS_ioctl, look->fd, PAGEMAP_SCAN, &arg);
		for (long i = 0; i < n; i++) {
			sum += vec[i].end - vec[i].start;
			grow(&first, &vec[i]);
		}
		/* Where the walk says it ended is not always so: a full vector goes on. */
		if (n < (long)ct_array_size(vec))
			break;
		start = vec[n - 1].end;
	}
	if (ret_first)
		*ret_first = first;
	return sum;
}

static void keep(struct ct_thp_look *look, u64 start, u64 end, u64 len)
{
	if (len)
		look->run[look->nr++] = (struct ct_thp_run){ start, end, len };
}

/* Nothing to lose: the call runs without a descriptor of ours. */
static void settle(struct ct_thp_look *look)
{
	if (!look->nr)
		ct_thp_forget(look);
}

static struct ct_slot *slot_of(const struct ct_call *call)
{
	return &call->self.seg->slots[call->self.slot];
}

static bool may_have_huge(const struct ct_call *call)
{
	if (!call->t_ns)
		return false;
	return atomic_load_explicit(&call->self.seg->thp_always, memory_order_relaxed) ||
	       (atomic_load_explicit(&slot_of(call)->flags, memory_order_relaxed) & CT_SLOT_HUGE);
}

void ct_thp_asked(const struct ct_call *call)
{
	if (call->t_ns)
		atomic_fetch_or_explicit(&slot_of(call)->flags, CT_SLOT_HUGE, memory_order_relaxed);
}

static void look_at_unit(struct ct_thp_look *look, u64 unit)
{
	for (u32 i = 0; i < look->nr; i++)
		if (look->run[i].start == unit)
			return;
	if (look->nr < CT_THP_RUNS && is_open(look))
		keep(look, unit, unit + CT_HUGE_SIZE,
		     huge_len(look, unit, unit + CT_HUGE_SIZE, NULL));
}

void ct_thp_look_edge(struct ct_thp_look *look, const struct ct_call *call, u64 addr)
{
	if (addr % CT_HUGE_SIZE == 0 || !may_have_huge(call))
		return;
	look_at_unit(look, addr & ~(CT_HUGE_SIZE - 1));
	settle(look);
}

void ct_thp_look_unaligned(struct ct_thp_look *look, const struct ct_call *call, u64 start, u64 end)
{
	const u64 first = start & ~(CT_HUGE_SIZE - 1), last = end & ~(CT_HUGE_SIZE - 1);

	if (!may_have_huge(call))
		return;
	if (start != first)
		look_at_unit(look, first);
	if (end != last && (last != first || start == first))
		look_at_unit(look, last);
	settle(look);
}

void ct_thp_look_all(struct ct_thp_look *look, const struct ct_call *call, const void *addr,
		     size_t len)
{
	u64 at = (u64)addr & ~(CT_HUGE_SIZE - 1), end = (u64)addr + len;
	struct page_region first;

	if (!may_have_huge(call) || end <= at || end > UINT64_MAX - CT_HUGE_SIZE || !is_open(look))
		return;
	end = (end + CT_HUGE_SIZE - 1) & ~(CT_HUGE_SIZE - 1);
	while (at < end && look->nr < CT_THP_RUNS) {
		const u64 all = huge_len(look, at, end, &first);

		if (!all)
			break;
		if (look->nr + 1 == CT_THP_RUNS || all == first.end - first.start) {
			keep(look, first.start, end, all);
			break;
		}
		keep(look, first.start, first.end, first.end - first.start);
		at = first.end;
	}
	settle(look);
}

void ct_thp_tell(struct ct_thp_look *look, const struct ct_call *call, u32 cause, u32 detail)
{
	for (u32 i = 0; i < look->nr; i++) {
		const struct ct_thp_run *run = &look->run[i];
		const u64 left = huge_len(look, run->start, run->end, NULL);
		struct ct_event ev = {
			.type = CT_EV_THP_LOST,
			.t_ns = call->t_ns,
			.addr = run->start,
			.len = run->huge_len - left,
			.arg = cause,
			.arg2 = detail,
		};

		if (left < run->huge_len)
			ct_event_now(&call->self, &ev, CT_SITE_FULL);
	}
	ct_thp_forget(look);
}
