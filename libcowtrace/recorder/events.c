/* SPDX-License-Identifier: MIT */
/*
 * What the programs tell through the ring: tags, advice, drops, forks.  Everything
 * is also written to the trace, for a later replay.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "base/futex.h"
#include "channel/slot.h"
#include "recorder/leave.h"
#include "recorder/state.h"

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

/* Where no program's memory ends behind, with five levels of page tables too. */
#define END_OF_MEMORY (1ULL << 56)
/* Between two beats of the heart: some milliseconds of the costliest events. */
#define BEAT_EVENTS 64

static const char *const event_names[CT_EV_NR] = {
	[CT_EV_MAP] = "map",	       [CT_EV_UNMAP] = "unmap",
	[CT_EV_REMAP] = "remap",       [CT_EV_ADVISE] = "advise",
	[CT_EV_PROTECT] = "protect",   [CT_EV_LOCK] = "lock",
	[CT_EV_BIND] = "bind",	       [CT_EV_BRK] = "brk",
	[CT_EV_VMA_NAME] = "vma_name", [CT_EV_PRCTL] = "prctl",
	[CT_EV_THREAD] = "thread",     [CT_EV_TAG] = "tag",
	[CT_EV_UNTAG] = "untag",       [CT_EV_PHASE] = "phase",
	[CT_EV_FORK] = "fork",	       [CT_EV_EXEC_FAIL] = "exec_fail",
	[CT_EV_SPAWN] = "spawn",       [CT_EV_MODULES] = "modules",
	[CT_EV_REAPED] = "reaped",     [CT_EV_LOSS] = "loss",
	[CT_EV_THP_LOST] = "thp_lost",
};

static void set_thp(struct ct_tag *t, const void *arg)
{
	t->thp = *(const u8 *)arg;
}

static void set_ksm(struct ct_tag *t, const void *arg)
{
	t->ksm = *(const u8 *)arg;
}

static void set_fork_advice(struct ct_tag *t, const void *arg)
{
	t->fork_advice = *(const u8 *)arg;
}

struct naming {
	u32 name, site;
	u64 t_ns;
	bool by_program; /* cowtrace_region_tag(), not prctl */
};

static void set_name(struct ct_tag *t, const void *arg)
{
	const struct naming *n = arg;

	t->name = n->name;
	t->named = n->by_program && n->name;
	/* Who mapped it says more than who named it. */
	if (!t->mapped) {
		t->site = n->site;
		t->t_ns = n->t_ns;
	}
}

static void change(struct ct_proc *p, const struct ct_event *ev,
		   void (*fn)(struct ct_tag *, const void *), u8 value)
{
	ct_tagmap_change(&p->tags, ct_page_down(ev->addr), ct_page_up(ev->addr + ev->len), fn,
			 &value);
}

static void on_advise(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	switch (ev->arg) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_GUARD_INSTALL:
		ct_drops_add(c, p, ev, ev->addr, ev->len, CT_DROPPED);
		break;
	case MADV_HUGEPAGE:
		change(p, ev, set_thp, CT_THP_HUGEPAGE);
		break;
	case MADV_NOHUGEPAGE:
		change(p, ev, set_thp, CT_THP_NOHUGEPAGE);
		break;
	case MADV_MERGEABLE:
		change(p, ev, set_ksm, CT_KSM_MERGEABLE);
		break;
	case MADV_UNMERGEABLE:
		change(p, ev, set_ksm, CT_KSM_UNMERGEABLE);
		break;
	case MADV_DONTFORK:
		change(p, ev, set_fork_advice, CT_FORK_DONTFORK);
		break;
	case MADV_WIPEONFORK:
		change(p, ev, set_fork_advice, CT_FORK_WIPEONFORK);
		break;
	case MADV_DOFORK:
	case MADV_KEEPONFORK:
		change(p, ev, set_fork_advice, CT_FORK_UNSET);
		break;
	default:
		break;
	}
}

static void tag(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u64 addr,
		u64 len, enum ct_kind kind, u32 site)
{
	struct ct_tag t = {
		.start = ct_page_down(addr),
		.end = ct_page_up(addr + len),
		.t_ns = ct_rec_since(c, ev->t_ns),
		.site = site,
		.kind = (u8)kind,
		.mapped = true,
	};

	ct_tagmap_set(&p->tags, &t);
}

static void on_map(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u32 site)
{
	u32 flags = (u32)ev->arg;
	enum ct_kind kind = CT_KIND_ANON;

	if (flags & MAP_SHARED)
		kind = CT_KIND_SHARED;
	else if (!(flags & MAP_ANONYMOUS))
		kind = CT_KIND_FILE_PRIVATE;
	/* Nothing that was shared can lie where a new mapping does, however it went. */
	ct_drops_add(c, p, ev, ev->addr, ev->len, CT_DROPPED);
	tag(c, p, ev, ev->addr, ev->len, kind, site);
}

/* addr,len: old; arg: new address; arg2: new length. */
static void on_remap(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	u64 old_len = ct_page_up(ev->len), new_len = ct_page_up(ev->arg2);
	u64 moved = ct_min(old_len, new_len);

	if (old_len > moved)
		ct_drops_add(c, p, ev, ev->addr + moved, old_len - moved, CT_DROPPED);
	if (ev->arg == ev->addr) {
		if (old_len > moved)
			ct_tagmap_clear(&p->tags, ev->addr + moved, ev->addr + old_len);
		else
			ct_tagmap_grow(&p->tags, ev->addr + old_len, new_len - old_len);
		return;
	}
	ct_drops_add(c, p, ev, ev->arg, new_len, CT_DROPPED);
	ct_drops_add(c, p, ev, ev->addr, moved, ev->arg);
	ct_tagmap_clear(&p->tags, ev->addr + moved, ev->addr + old_len);
	ct_tagmap_move(&p->tags, ev->addr, ev->addr + moved, ev->arg);
	if (new_len > moved)
		ct_tagmap_grow(&p->tags, ev->arg + moved, new_len - moved);
}

static void on_brk(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u32 site)
{
	u64 old = ct_page_up(ev->addr), new = ct_page_up(ev->arg);

	if (new > old) {
		ct_drops_add(c, p, ev, old, new - old, CT_DROPPED);
		tag(c, p, ev, old, new - old, CT_KIND_HEAP, site);
	} else {
		ct_drops_add(c, p, ev, new, old - new, CT_DROPPED);
		ct_tagmap_clear(&p->tags, new, old);
	}
}

static void on_name(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev,
		    const char *name, u32 site)
{
	struct naming n = {
		.name = ct_names_id(c->names, name),
		.site = site,
		.t_ns = ct_rec_since(c, ev->t_ns),
		.by_program = ev->type == CT_EV_TAG,
	};

	ct_tagmap_change(&p->tags, ct_page_down(ev->addr), ct_page_up(ev->addr + ev->len), set_name,
			 &n);
}

static void on_prctl(struct ct_proc *p, const struct ct_event *ev)
{
	if (ev->arg == PR_SET_THP_DISABLE)
		p->thp = ev->arg2 ? CT_THP_DISABLED : CT_THP_UNSET;
	else if (ev->arg == PR_SET_MEMORY_MERGE)
		p->ksm = ev->arg2 ? CT_KSM_PROCESS : CT_KSM_UNSET;
}

/* The parent's clone has returned: its times, and whether there is a child at all. */
static void on_fork(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	s64 ret = (s64)ev->arg2;

	if (ret < 0) {
		ct_birth_settled(p);
		return;
	}
	ct_birth_returned(c, p, ev);
}

static void on_loss(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	switch (ev->arg) {
	case CT_LOSS_PIDNS:
		/* That child will not say another word. */
		ct_birth_forget(c, p, (u32)ev->arg2);
		ct_rec_note(
			c, p->id, "warning", "pid_namespace",
			"a child of process %d lives in another pid namespace and was not traced",
			p->pid);
		break;
	case CT_LOSS_UNMAPPED:
		ct_rec_note(c, p->id, "warning", "segment_unmapped",
			    "process %d unmapped or protected the memory that it shares with the "
			    "recorder: it is not traced from here on",
			    p->pid);
		break;
	default:
		ct_rec_note(c, p->id, "warning", "too_many_processes",
			    "more than %u traced processes at once: a child of %d was not traced",
			    CT_SEG_SLOTS, p->pid);
		break;
	}
}

/* Its parent has waited for it before we heard of its end. */
static void on_reaped(struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_event *ev)
{
	struct ct_proc *child = ct_proc_of_pid(c, (s32)ev->arg);
	u64 now = ct_now_ns();

	/* Pids of another namespace are somebody else's here. */
	if (child && child->parent_id == p->id && !child->waited_ns)
		child->waited_ns = ct_min(ev->t_ns, now);
}

static void tell_event(struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_event *ev,
		       u32 site, const char *name)
{
	struct ct_rec rec = { .type = CT_REC_EVENT };

	rec.event.process = p->id;
	rec.event.type = event_names[ev->type];
	rec.event.t_ns = ct_rec_since(c, ev->t_ns);
	rec.event.dur_ns = ev->dur_ns;
	rec.event.addr = ev->addr;
	rec.event.len = ev->len;
	rec.event.arg = ev->arg;
	rec.event.arg2 = ev->arg2;
	rec.event.arg3 = ev->arg3;
	rec.event.site = site;
	rec.event.name = name;
	ct_outbox_put(c->out, &rec);
}

/* The child of a fork under way has the tags of the clone, not what comes after it. */
static void keep_fork_tags(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	if (!p->fork_tags && ct_birth_under_way(c, p) &&
	    ev->t_ns >= atomic_load(&c->seg->slots[p->slot].fork_began_ns))
		p->fork_tags = ct_tagmap_ref(p->tags);
}

static bool is_range(u64 addr, u64 len)
{
	return addr <= END_OF_MEMORY && len <= END_OF_MEMORY - addr;
}

/* False: addresses that no call of a program can have had. */
static bool makes_sense(const struct ct_event *ev)
{
	switch (ev->type) {
	case CT_EV_REMAP:
		return is_range(ev->addr, ev->len) && is_range(ev->arg, ev->arg2) &&
		       !((ev->addr | ev->arg) % CT_PAGE_SIZE);
	case CT_EV_BRK:
		return is_range(ev->addr, 0) && is_range(ev->arg, 0);
	case CT_EV_THP_LOST:
		return is_range(ev->addr, ev->len) && ev->len &&
		       !((ev->addr | ev->len) % CT_HUGE_SIZE);
	case CT_EV_MAP:
	case CT_EV_UNMAP:
	case CT_EV_ADVISE:
	case CT_EV_THREAD:
	case CT_EV_TAG:
	case CT_EV_UNTAG:
	case CT_EV_VMA_NAME:
		return is_range(ev->addr, ev->len);
	default:
		return true;
	}
}

static void one_event(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	bool named = ct_event_has_name(ev->type);
	const char *name = named ? ev->name : NULL;
	u32 site = ct_proc_site(c, p, named ? ev->few_pcs : ev->pcs, ev->nr_pcs);

	keep_fork_tags(c, p, ev);
	switch (ev->type) {
	case CT_EV_MAP:
		on_map(c, p, ev, site);
		break;
	case CT_EV_UNMAP:
		ct_drops_add(c, p, ev, ev->addr, ev->len, CT_DROPPED);
		ct_tagmap_clear(&p->tags, ct_page_down(ev->addr), ct_page_up(ev->addr + ev->len));
		break;
	case CT_EV_REMAP:
		on_remap(c, p, ev);
		break;
	case CT_EV_ADVISE:
		on_advise(c, p, ev);
		break;
	case CT_EV_BRK:
		on_brk(c, p, ev, site);
		break;
	case CT_EV_THREAD:
		tag(c, p, ev, ev->addr, ev->len, CT_KIND_STACK, site);
		break;
	case CT_EV_TAG:
	case CT_EV_VMA_NAME:
		on_name(c, p, ev, name, site);
		break;
	case CT_EV_UNTAG:
		on_name(c, p, ev, "", site);
		break;
	case CT_EV_PRCTL:
		on_prctl(p, ev);
		break;
	case CT_EV_FORK:
		on_fork(c, p, ev);
		break;
	case CT_EV_EXEC_FAIL:
		ct_leave_stays(c, p);
		break;
	case CT_EV_SPAWN:
		c->spawns++;
		p->spawned_ns = ct_now_ns();
		p->spawn_tid = (s32)ev->tid;
		break;
	case CT_EV_REAPED:
		on_reaped(c, p, ev);
		return; /* not worth a row: the process has its end */
	case CT_EV_THP_LOST:
		ct_thp_lost(c, p, ev, site);
		return; /* a row of its own */
	case CT_EV_MODULES:
		p->modmap_ns = 0;
		break;
	case CT_EV_LOSS:
		on_loss(c, p, ev);
		break;
	default:
		break;
	}
	tell_event(c, p, ev, site, name);
}

static void tell_ring_losses(struct ct_rec_ctx *c)
{
	u64 dropped = atomic_load(&c->seg->dropped), torn = c->ring.torn + c->ring.skipped;

	if (dropped == c->dropped_told && torn == c->torn_told)
		return;
	ct_rec_note(c, 0, "warning", "events_lost",
		    "%llu events of the programs were lost (the ring was full): memory that was "
		    "dropped and filled again then may be counted as copied",
		    (unsigned long long)(dropped - c->dropped_told + torn - c->torn_told));
	c->dropped_told = dropped;
	c->torn_told = torn;
}

void ct_events_drain_to(struct ct_rec_ctx *c, u64 now, u64 ticket)
{
	struct ct_event ev;
	u32 budget = CT_SEG_EVENTS;

	while (budget-- && atomic_load(&c->seg->tail) < ticket &&
	       ct_ring_next(c->seg, &c->ring, now, &ev) == 1) {
		struct ct_proc *p = c->by_slot[ev.slot];

		if (budget % BEAT_EVENTS == 0)
			ct_rec_beat(c);
		/* A time that cannot be: another clock (a time namespace), or a lie. */
		if (ev.t_ns < c->start_ns || ev.t_ns > ct_now_ns())
			ev.t_ns = ct_now_ns();
		if (p && makes_sense(&ev))
			one_event(c, p, &ev);
		else if (p)
			c->ring.torn++;
	}
	tell_ring_losses(c);
}

void ct_events_drain(struct ct_rec_ctx *c, u64 now)
{
	ct_events_drain_to(c, now, UINT64_MAX);
}
