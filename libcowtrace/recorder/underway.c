/* SPDX-License-Identifier: MIT */
/*
 * Forks under way: what a parent tells of its clones, beside what their children
 * say at their births.
 *
 * A fork is begun (the parent says so before the clone), and settled once: by the
 * birth of its child, by a clone that failed, or by patience running out.  A
 * parent whose word was lost (the ring was full) must not wait for ever, and so
 * the two are compared from time to time.
 *
 * Invariant: no more forks are settled than were begun.
 */
#include <errno.h>
#include <signal.h>

#include "channel/slot.h"
#include "recorder/state.h"
#include "sys/pidfd.h"

/* Beyond its hold no child waits; this is for the parent's word to come. */
#define PATIENCE_NS CT_NSEC_PER_SEC

void ct_birth_tell_times(struct ct_rec_ctx *c, u32 fork, u64 fork_ns, u64 arm_ns)
{
	struct ct_rec rec = { .type = CT_REC_FORK_TIMES };

	rec.fork_times.id = fork;
	rec.fork_times.fork_ns = fork_ns;
	rec.fork_times.arm_ns = arm_ns;
	ct_outbox_put(c->out, &rec);
}

static u32 find_expected(const struct ct_rec_ctx *c, u32 slot)
{
	u32 i;

	for (i = 0; i < c->nr_expected; i++)
		if (c->expected[i].slot == slot)
			break;
	return i;
}

static void expect(struct ct_rec_ctx *c, const struct ct_expected *e)
{
	u32 i = find_expected(c, e->slot);
	struct ct_expected *v;

	/* One for each slot: so they are bounded, whatever a program tells. */
	if (i == c->nr_expected && i == c->cap_expected) {
		u32 cap = c->cap_expected ? c->cap_expected * 2 : 32;

		v = realloc(c->expected, cap * sizeof(*v));
		if (!v)
			return;
		c->expected = v;
		c->cap_expected = cap;
	}
	c->nr_expected += i == c->nr_expected;
	c->expected[i] = *e;
}

void ct_birth_remember(struct ct_rec_ctx *c, const struct ct_recent *r)
{
	u32 i = find_expected(c, r->slot);

	if (i < c->nr_expected)
		c->expected[i] = c->expected[--c->nr_expected];
	c->recent[c->nr_recent++ % CT_RECENT] = *r;
}

/* The birth that a parent's word is about; NULL: it has not been. */
static const struct ct_recent *find_recent(const struct ct_rec_ctx *c, u32 slot,
					   const struct ct_event *ev)
{
	u32 i;

	for (i = 1; i <= CT_RECENT && i <= c->nr_recent; i++) {
		const struct ct_recent *r = &c->recent[(c->nr_recent - i) % CT_RECENT];

		/* A parent that does not know the pid (daemon) knows when it was. */
		if (r->slot == slot &&
		    (ev->arg2 ? r->pid == (s32)ev->arg2 : r->clone_ns == ev->t_ns))
			return r;
	}
	return NULL;
}

void ct_birth_returned(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev)
{
	const struct ct_recent *r;

	if (ev->arg >= CT_SEG_SLOTS)
		return;
	r = find_recent(c, (u32)ev->arg, ev);
	if (r && r->fork)
		ct_birth_tell_times(c, r->fork, ev->arg3, c->seg->slots[ev->arg].prepare_ns);
	else if (!r && !c->by_slot[ev->arg])
		expect(c, &(struct ct_expected){
				  .slot = (u32)ev->arg,
				  .parent = p->id,
				  .pid = (s32)ev->arg2,
				  .other_pidns = p->pid != atomic_load(&c->seg->slots[p->slot].pid),
				  .deadline_ns = ct_now_ns() + c->hold_ns + PATIENCE_NS });
}

void ct_birth_settled(struct ct_proc *p)
{
	p->forks_seen++;
	ct_tagmap_unref(p->fork_tags);
	p->fork_tags = NULL;
}

void ct_birth_forget(struct ct_rec_ctx *c, struct ct_proc *p, u32 slot)
{
	u32 i = find_expected(c, slot);

	if (i < c->nr_expected)
		c->expected[i] = c->expected[--c->nr_expected];
	if (ct_birth_under_way(c, p))
		ct_birth_settled(p);
}

bool ct_birth_under_way(const struct ct_rec_ctx *c, const struct ct_proc *p)
{
	return atomic_load(&c->seg->slots[p->slot].forks_begun) != p->forks_seen;
}

/* A child between its clone and its birth; not one that did not wait for it. */
static bool is_unborn(const struct ct_rec_ctx *c, u32 slot)
{
	struct ct_slot *s = &c->seg->slots[slot];
	u32 state = atomic_load(&s->state), ask = atomic_load(&s->ask);

	if (c->by_slot[slot] || state == CT_SLOT_FREE)
		return false;
	return state == CT_SLOT_CLAIMED || ((ask == CT_ASK_BIRTH || ask == CT_ASK_NONE) &&
					    !(atomic_load(&s->flags) & CT_SLOT_HOLD_EXPIRED));
}

bool ct_birth_in_order(const struct ct_rec_ctx *c, u32 slot)
{
	const struct ct_slot *mine = &c->seg->slots[slot];
	u32 parent = mine->parent_slot, i, left, newest;
	const struct ct_proc *p = parent < CT_SEG_SLOTS ? c->by_slot[parent] : NULL;

	/* Mostly it is the only one, and nothing need be searched. */
	left = p ? atomic_load(&c->seg->slots[parent].forks_begun) - p->forks_seen : 0;
	if (left <= 1)
		return true;
	/*
	 * From the newest slots on, until all that the parent has begun are found:
	 * they lie together, and to look at all slots costs more than a reading.
	 */
	newest = atomic_load(&c->seg->slot_hint);
	for (i = 1; i <= CT_SEG_SLOTS && left; i++) {
		const u32 at = (newest - i) % CT_SEG_SLOTS;
		const struct ct_slot *s = &c->seg->slots[at];

		if (s->parent_slot != parent || !s->clone_ns || !is_unborn(c, at))
			continue;
		if (at != slot && s->clone_ns < mine->clone_ns)
			return false;
		left--;
	}
	return true;
}

static void give_up(struct ct_rec_ctx *c, const struct ct_expected *e)
{
	struct ct_proc *p = ct_proc_of_id(c, e->parent);

	if (!p)
		return;
	ct_birth_settled(p);
	ct_rec_note(c, p->id, "warning", "child_unseen",
		    "child %d of process %d was gone before it could be read: its fork is not "
		    "counted",
		    e->pid, p->pid);
	if (!c->by_slot[e->slot] && atomic_load(&c->seg->slots[e->slot].state) == CT_SLOT_CLAIMED)
		ct_slot_free(c->seg, e->slot);
}

/* Others wait for this birth: if the child was killed before it spoke, let them go on. */
static bool is_dead(const struct ct_expected *e)
{
	struct ct_proc_status st;
	int err;

	/* The parent's word on a pid is of its own namespace. */
	if (e->pid <= 0 || e->other_pidns)
		return false;
	err = ct_proc_status_read(e->pid, &st);
	return err == -ESRCH || (!err && st.zombie);
}

void ct_birth_expire(struct ct_rec_ctx *c, u64 now)
{
	u32 i = 0;

	while (i < c->nr_expected) {
		struct ct_expected e = c->expected[i];

		if (now < e.deadline_ns && !is_dead(&e)) {
			i++;
			continue;
		}
		c->expected[i] = c->expected[--c->nr_expected];
		give_up(c, &e);
	}
}

void ct_birth_resync(struct ct_rec_ctx *c, struct ct_proc *p, u64 now)
{
	u32 begun = atomic_load(&c->seg->slots[p->slot].forks_begun);

	if ((s32)(p->forks_seen - begun) > 0)
		p->forks_seen = begun;
	if (p->begun_ns && now - p->begun_ns < c->hold_ns + 2 * PATIENCE_NS)
		return;
	/* What was begun when we looked last has had its time. */
	if (p->begun_ns && (s32)(p->begun - p->forks_seen) > 0) {
		p->forks_seen = p->begun - 1;
		ct_birth_settled(p);
		if (!ct_birth_under_way(c, p))
			ct_drops_apply(c, p, UINT64_MAX);
	}
	p->begun = begun;
	p->begun_ns = now;
}

void ct_birth_free_orphans(struct ct_rec_ctx *c)
{
	u32 i;

	for (i = 0; i < CT_SEG_SLOTS; i++) {
		struct ct_slot *s = &c->seg->slots[i];
		s32 pid = atomic_load(&s->pid);

		/*
		 * A child that did not wait for its birth to be served lives on in its
		 * slot, and nobody is told of its end.
		 */
		if (!c->by_slot[i] && atomic_load(&s->state) == CT_SLOT_LIVE &&
		    atomic_load(&s->ask) != CT_ASK_BIRTH && pid > 0 && kill(pid, 0) &&
		    errno == ESRCH)
			ct_slot_free(c->seg, i);
	}
}
