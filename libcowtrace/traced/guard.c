/* SPDX-License-Identifier: MIT */
/*
 * Leaving a process in peace.
 *
 * Invariant: ct_shim always points to memory that can be read; what it pointed
 * to before is never unmapped by us, because another thread may be reading it.
 */
#include <string.h>
#include <sys/mman.h>

#include "base/rawsys.h"
#include "traced/guard.h"
#include "traced/perf.h"
#include "traced/self.h"
#include "traced/shim.h"

/* A private copy to write in; NULL where there is no memory. */
static struct ct_shim *copy_of(const struct ct_shim *shim)
{
	long at = ct_sys6(SYS_mmap, 0, (long)ct_page_up(sizeof(*shim)), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at < 0 && at > -4096)
		return NULL;
	memcpy((void *)at, shim, sizeof(*shim));
	return (struct ct_shim *)at;
}

void ct_guard_detach(void)
{
	struct ct_shim *copy = copy_of(ct_shim);

	if (copy)
		copy->seg = NULL;
	/* Without a copy the wrappers find their way as before the constructor. */
	__atomic_store_n(&ct_shim, copy, __ATOMIC_RELEASE);
}

static bool overlaps(u64 start, u64 end, const void *ours, size_t len)
{
	return start < (u64)ours + len && (u64)ours < end;
}

/* No stacks are asked for from now on; whether they were. */
static bool stacks_off(struct ct_slot *slot, u32 why)
{
	u32 ok = CT_STACKS_OK;

	return atomic_compare_exchange_strong_explicit(&slot->no_stacks, &ok, why,
						       memory_order_acq_rel, memory_order_relaxed);
}

void ct_guard_range(const void *addr, size_t len)
{
	struct ct_shim *shim = ct_shim;
	const u64 start = (u64)addr, end = start + ct_page_up(len);
	struct ct_event ev = { .type = CT_EV_LOSS, .arg = CT_LOSS_UNMAPPED };
	struct ct_self self;

	/* The kernel refuses what begins inside a page, and what wraps. */
	if (ct_likely(!shim || !shim->seg) || end < start || start % CT_PAGE_SIZE)
		return;
	if (ct_likely(!overlaps(start, end, shim->seg, shim->seg->size) &&
		      !overlaps(start, end, shim, ct_page_up(sizeof(*shim))) &&
		      !overlaps(start, end, (void *)shim->stacks_start,
				shim->stacks_end - shim->stacks_start)))
		return;
	if (!ct_self_get(&self))
		return;
	ct_perf_step_back(&self, CT_BACK_MEMORY);
	stacks_off(&self.seg->slots[self.slot], CT_STACKS_TAKEN);
	ct_event_now(&self, &ev, CT_SITE_FULL);
	ct_guard_detach();
}

bool ct_guard_quiet(void)
{
	struct ct_shim *copy;
	struct ct_self self;

	if (!ct_self_get(&self))
		return false;
	ct_perf_step_back(&self, CT_BACK_QUIET);
	copy = copy_of(ct_shim);
	if (!copy)
		return false;
	copy->quiet = true;
	copy->quiet_slot = (s32)self.slot;
	stacks_off(&self.seg->slots[self.slot], CT_STACKS_QUIET);
	atomic_fetch_or_explicit(&self.seg->slots[self.slot].flags, CT_SLOT_QUIET,
				 memory_order_release);
	__atomic_store_n(&ct_shim, copy, __ATOMIC_RELEASE);
	return true;
}

void ct_guard_loud(void)
{
	struct ct_shim *shim = ct_shim;
	struct ct_slot *slot = &shim->seg->slots[shim->quiet_slot];
	u32 quiet = CT_STACKS_QUIET;

	atomic_fetch_and_explicit(&slot->flags, ~CT_SLOT_QUIET, memory_order_release);
	atomic_compare_exchange_strong_explicit(&slot->no_stacks, &quiet, CT_STACKS_OK,
						memory_order_acq_rel, memory_order_relaxed);
	shim->quiet = false;
}
