/* SPDX-License-Identifier: MIT */
/*
 * Was a changed page copied, or did something else move it?
 *
 * Migration, swap, collapse and ksmd put another page frame where one was, and no
 * fork had a part in it.  The counters of the machine tell whether any of them
 * was at work; only then is each changed page looked at by itself.
 *
 * Invariant: COPIED is never said of a page that may have been moved.
 */
#include <errno.h>
#include <string.h>

#include "base/futex.h"
#include "recorder/writes.h"
#include "sys/pagemap.h"
#include "sys/vmstat.h"

/* Samples of what else moves pages are this old at most where older is as good. */
#define RECENT_NS (20 * CT_NSEC_PER_MSEC)

/*
 * Is anything merged that may have been merged, or taken apart, since the
 * recording began?  Where ksmd has stood still all the time, no.
 */
static bool ksm_at_work(struct ct_rec_ctx *c)
{
	struct ct_ksm k;

	if (ct_ksm_read(&k))
		return false;
	if (!c->ksm_ns) {
		c->ksm_merged = k.merged;
		c->ksm_scans = k.full_scans;
	}
	if (k.run || k.merged != c->ksm_merged || k.full_scans != c->ksm_scans)
		c->ksm_woken = true;
	return c->ksm_woken && k.merged;
}

void ct_activity_read(struct ct_rec_ctx *c, struct ct_activity *ret)
{
	struct ct_activity *a = &c->activity;
	u64 now = ct_now_ns();
	struct ct_vmstat v = { 0 };

	if (c->vmstat_fd >= 0)
		ct_vmstat_read_moves(c->vmstat_fd, &v);
	a->migrated = v.v[CT_VMSTAT_PGMIGRATE_SUCCESS];
	a->swapped_in = v.v[CT_VMSTAT_PSWPIN];
	a->swapped_out = v.v[CT_VMSTAT_PSWPOUT];
	a->collapsed = v.v[CT_VMSTAT_THP_COLLAPSE_ALLOC];
	/* ksmd needs two passes, 20 ms apart, before it merges anything. */
	if (now - c->ksm_ns > RECENT_NS) {
		a->ksm = ksm_at_work(c);
		c->ksm_ns = now;
	}
	c->activity_ns = now;
	*ret = *a;
}

void ct_activity_recent(struct ct_rec_ctx *c, struct ct_activity *ret)
{
	if (ct_now_ns() - c->activity_ns > RECENT_NS)
		ct_activity_read(c, ret);
	else
		*ret = c->activity;
}

/* Pages that anything but copy-on-write has moved between two samples, at most. */
u64 ct_activity_moved(const struct ct_activity *a, const struct ct_activity *b)
{
	return (b->migrated - a->migrated) + (b->swapped_in - a->swapped_in) +
	       (b->swapped_out - a->swapped_out) + (b->collapsed - a->collapsed) * CT_HUGE_PAGES;
}

/*
 * The counters rise when a batch of pages has been moved (32 in compaction, on
 * each of some CPUs), and the readings are not of the counters' instants: where
 * anything moves, this many more may have been.
 */
#define MOVED_SLACK 64

#define BEAT_PAGES 4096

/* Judging a changed page when more than copy-on-write has been at work. */
struct judge {
	struct ct_rec_ctx *c;
	bool ksm;    /* ksmd may have changed these pages */
	bool forked; /* the process has forked again, which clears AnonExclusive */
	struct ct_proc *self;
	struct ct_proc *partner;
	const struct ct_image *partner_end; /* of a partner that has gone */
	/*
	 * Pages that anything else has moved on the whole machine since the fork, and
	 * since the partner's last reading: no more of ours can have been among them.
	 */
	u64 moved, moved_since_end;
	u32 asked;
};

static enum ct_outcome unless_moved(u64 *budget)
{
	if (!*budget)
		return CT_OUT_COPIED;
	--*budget;
	return CT_OUT_UNKNOWN;
}

/*
 * Flags are the frame's: they say something of the page while it is still there,
 * and nothing once it has been moved on.
 */
static bool still_there(const struct judge *j, u64 page, ct_ent now)
{
	ct_ent again = CT_ENT_NONE;

	if (!j->self || j->self->pagemap_fd < 0)
		return false;
	ct_reading_pages(j->self->pagemap_fd, &j->c->caps, &page, 1, &again);
	return again == now;
}

static bool is_exclusive(const struct judge *j, ct_ent e)
{
	u64 flags = 0;

	if (!j->c->caps.anon_exclusive)
		return false;
	ct_kpage_flags(&j->c->kpage, ct_ent_pfn(e), 1, &flags);
	return flags & CT_KPF_ANON_EXCLUSIVE;
}

/*
 * A page that still lies in the relative, at the same address, has not moved:
 * then a changed frame here is a copy, whatever else went on.  A frame that both
 * have now has moved under both.  A frame that its owner never wrote (not
 * AnonExclusive) was moved, or merged, not copied.  Of the rest no more can have
 * been moved than were moved on the whole machine.
 */
static enum ct_outcome judge_change(void *arg, u64 page, ct_ent orig, ct_ent now)
{
	struct judge *j = arg;
	ct_ent theirs = CT_ENT_NONE;
	u64 flags = 0;
	bool live = j->partner && j->partner->pagemap_fd >= 0, written;

	/* Some system calls each: a million pages take seconds. */
	if (++j->asked % BEAT_PAGES == 0)
		ct_rec_beat(j->c);
	if (live)
		ct_reading_pages(j->partner->pagemap_fd, &j->c->caps, &page, 1, &theirs);
	else if (j->partner_end)
		theirs = ct_image_get(j->partner_end, page);
	/*
	 * Unless it was moved, and the relative's own new page was given the frame
	 * that became free: but then it has written it.
	 */
	if (theirs == orig && live && !j->ksm)
		return is_exclusive(j, theirs) ? unless_moved(&j->moved) : CT_OUT_COPIED;
	if (!j->c->caps.anon_exclusive ||
	    ct_kpage_flags(&j->c->kpage, ct_ent_pfn(now), 1, &flags) != 1)
		return CT_OUT_UNKNOWN;
	/* Of a large folio the flag is the head's: it says nothing of this page. */
	written = (flags & CT_KPF_ANON_EXCLUSIVE) || (flags & CT_KPF_THP) || j->forked;
	if (j->ksm)
		/* Merged pages are never exclusive, whatever KPF_KSM says on this kernel. */
		return theirs == orig && written ? CT_OUT_COPIED : CT_OUT_UNKNOWN;
	if (theirs == now || (!written && still_there(j, page, now)))
		return CT_OUT_KEPT;
	return unless_moved(theirs == orig ? &j->moved_since_end : &j->moved);
}

int ct_judge_compare(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		     enum ct_side_end why, const struct ct_activity *activity, struct ct_tally *ret,
		     struct ct_attribution *who)
{
	struct ct_fork *f = s->fork;
	enum ct_side other = s->side == CT_SIDE_PARENT ? CT_SIDE_CHILD : CT_SIDE_PARENT;
	struct ct_proc *p = f->proc[s->side];
	struct judge j = { .c = c,
			   .ksm = p && p->ksm_eyes,
			   .forked = why == CT_SIDE_END_NEXT_FORK || s->frozen,
			   .self = p,
			   .partner = f->proc[other] };
	struct ct_compare cmp = {
		.orig = f->orig,
		.extents = &s->extents,
		.now = now,
		.regions = f->regions->runs,
		.nr_regions = f->regions->nr,
	};

	if (ct_tallies_reserve(c, f->regions->nr + 1))
		return -ENOMEM;
	cmp.tallies = c->tallies;
	if (who) {
		cmp.copied = ct_attribution_add;
		cmp.copied_arg = who;
	}
	memset(c->tallies, 0, (f->regions->nr + 1) * sizeof(*c->tallies));
	j.moved = ct_activity_moved(&f->activity, activity);
	if (f->end[other]) {
		j.partner_end = f->end[other];
		j.moved_since_end = ct_activity_moved(&f->end_activity[other], activity);
	}
	if (j.ksm || j.moved) {
		j.moved += MOVED_SLACK;
		j.moved_since_end += MOVED_SLACK;
		cmp.judge = judge_change;
		cmp.judge_arg = &j;
	}
	return ct_compare_run(&cmp, ret);
}
