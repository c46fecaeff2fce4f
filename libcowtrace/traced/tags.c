/* SPDX-License-Identifier: MIT */
/*
 * Tags, phases and live totals.
 *
 * A phase is a number in the segment, so that a fork can note it with one load.
 * Its name is written once, by whoever claims the number: all but the first
 * byte, then the first byte.  Two processes may claim two numbers for one name;
 * readers compare names.
 *
 * Invariant: phases[id] has a first byte only when the rest of it is there.
 */
#include <errno.h>
#include <string.h>

#include "traced/self.h"
#include "traced/tags.h"

void ct_tag_copy_name(char *to, const char *name)
{
	size_t i;

	for (i = 0; i < CT_TAG_NAME - 1 && name[i]; i++)
		to[i] = name[i];
	memset(to + i, 0, CT_TAG_NAME - i);
}

int ct_tag_add(const void *addr, size_t len, const char *name)
{
	struct ct_event ev = { .type = CT_EV_TAG, .addr = (u64)addr, .len = len };
	struct ct_self self;

	if (ct_tag_check_range(addr, len) || !name)
		return -EINVAL;
	if (!ct_self_get(&self))
		return 0;
	ct_tag_copy_name(ev.name, name);
	ct_event_now(&self, &ev, CT_SITE_FULL);
	return 0;
}

int ct_tag_remove(const void *addr, size_t len)
{
	struct ct_event ev = { .type = CT_EV_UNTAG, .addr = (u64)addr, .len = len };
	struct ct_self self;

	if (ct_tag_check_range(addr, len))
		return -EINVAL;
	if (ct_self_get(&self))
		ct_event_now(&self, &ev, CT_SITE_NONE);
	return 0;
}

static _Atomic char *first_byte(struct ct_segment *seg, u32 id)
{
	return (_Atomic char *)&seg->phases[id][0];
}

/* The number of a phase, claimed if it is new; 0 for "", -ENOSPC when all are used. */
static int phase_id(struct ct_segment *seg, const char *name)
{
	u32 nr = atomic_load_explicit(&seg->nr_phases, memory_order_acquire);
	u32 id;

	if (!*name)
		return 0;
	for (id = 1; id < ct_min(nr, ct_array_size(seg->phases)); id++)
		if (atomic_load_explicit(first_byte(seg, id), memory_order_acquire) == *name &&
		    !strncmp(seg->phases[id], name, CT_TAG_NAME))
			return (int)id;
	do {
		id = ct_max(nr, 1U); /* number 0 is taken, said or not */
		if (id >= ct_array_size(seg->phases))
			return -ENOSPC;
	} while (!atomic_compare_exchange_weak_explicit(
		&seg->nr_phases, &nr, id + 1, memory_order_acq_rel, memory_order_acquire));
	memcpy(&seg->phases[id][1], name + 1, strlen(name));
	atomic_store_explicit(first_byte(seg, id), *name, memory_order_release);
	return (int)id;
}

int ct_tag_phase(const char *name)
{
	struct ct_event ev = { .type = CT_EV_PHASE };
	struct ct_self self;
	int id;

	if (!ct_self_get(&self))
		return 0;
	ct_tag_copy_name(ev.name, name ? name : "");
	id = phase_id(self.seg, ev.name);
	if (id < 0)
		return id;
	atomic_store_explicit(&self.seg->slots[self.slot].phase_now, (u32)id, memory_order_relaxed);
	ev.arg = (u64)id;
	ct_event_now(&self, &ev, CT_SITE_NONE);
	return 0;
}

int ct_tag_stats(struct cowtrace_stats *ret)
{
	struct cowtrace_stats stats = { 0 };
	const struct ct_slot *slot;
	struct ct_self self;

	if (!ret || ret->sz < sizeof(size_t))
		return -EINVAL;
	if (!ct_self_get(&self))
		return -ENOTCONN;
	slot = &self.seg->slots[self.slot];
	stats.forks = atomic_load_explicit(&slot->stat_forks, memory_order_relaxed);
	stats.shared_pages = atomic_load_explicit(&slot->stat_shared, memory_order_relaxed);
	stats.copied_pages = atomic_load_explicit(&slot->stat_copied, memory_order_relaxed);
	stats.dropped_pages = atomic_load_explicit(&slot->stat_dropped, memory_order_relaxed);
	stats.lost_events = atomic_load_explicit(&self.seg->dropped, memory_order_relaxed);
	stats.sz = ret->sz;
	/* A caller built with another version knows fewer fields, or more. */
	memcpy(ret, &stats, ct_min(ret->sz, sizeof(stats)));
	return 0;
}
