/* SPDX-License-Identifier: MIT */
/*
 * Self and events.  It decides nothing about what an event means.
 *
 * Invariant: a process that is not in the pid table writes nothing.
 */
#include "base/futex.h"
#include "channel/ask.h"
#include "channel/ring.h"
#include "channel/slot.h"
#include "traced/self.h"
#include "traced/shim.h"
#include "traced/stack.h"

bool ct_self_get(struct ct_self *ret)
{
	struct ct_shim *shim = ct_shim;
	struct ct_segment *seg;
	s32 tid;
	int slot;

	if (!shim || !shim->seg || shim->quiet)
		return false;
	seg = shim->seg;
	if (atomic_load_explicit(&seg->state, memory_order_acquire) != CT_SEG_ON)
		return false;
	/* A thread's id is also a pid only if it leads its process: one call for most. */
	tid = (s32)ct_sys0(SYS_gettid);
	slot = ct_slot_of_pid(seg, tid);
	if (slot < 0)
		slot = ct_slot_of_pid(seg, (s32)ct_sys0(SYS_getpid));
	if (slot < 0)
		return false;
	ret->seg = seg;
	ret->slot = (u32)slot;
	ret->tid = tid;
	return true;
}

bool ct_self_recorded(const struct ct_self *self, u64 now_ns)
{
	return ct_recorder_alive(self->seg, now_ns);
}

void ct_call_begin(struct ct_call *call)
{
	call->t_ns = ct_self_get(&call->self) ? ct_now_ns() : 0;
}

static void put(const struct ct_self *self, struct ct_event *ev)
{
	ev->slot = self->slot;
	ev->tid = (u32)self->tid;
	ct_ring_put(self->seg, ev);
}

static bool call_over(struct ct_call *call, struct ct_event *ev)
{
	u64 now;

	if (!call->t_ns)
		return false;
	now = ct_now_ns();
	ev->t_ns = call->t_ns;
	ev->dur_ns = (u32)ct_min(now - call->t_ns, (u64)UINT32_MAX);
	/* Nobody would read it: spare the program the unwinding. */
	return ct_self_recorded(&call->self, now);
}

static u16 capture(struct ct_event *ev, enum ct_site site)
{
	if (site == CT_SITE_NONE)
		return 0;
	return (u16)ct_stack_capture(ev->pcs, ct_event_max_pcs(ev->type));
}

void ct_call_end(struct ct_call *call, struct ct_event *ev, enum ct_site site)
{
	if (!call_over(call, ev))
		return;
	ev->nr_pcs = capture(ev, site);
	put(&call->self, ev);
}

void ct_call_end_at(struct ct_call *call, struct ct_event *ev, void *caller)
{
	if (!call_over(call, ev))
		return;
	ev->pcs[0] = (u64)caller;
	ev->nr_pcs = 1;
	put(&call->self, ev);
}

void ct_event_now(const struct ct_self *self, struct ct_event *ev, enum ct_site site)
{
	u64 now = ct_now_ns();

	if (!ct_self_recorded(self, now))
		return;
	if (!ev->t_ns)
		ev->t_ns = now;
	ev->nr_pcs = capture(ev, site);
	put(self, ev);
}
