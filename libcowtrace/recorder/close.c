/* SPDX-License-Identifier: MIT */
/*
 * What became of the pages that a fork shared: the second half of the census.
 *
 * A side of a fork is looked at while it lives (for the timeline, and so that a
 * killed recorder leaves what it knew) and closed once: when its process forks
 * again, exits, execs, is left by its last relative, or the recording ends.
 *
 * Invariant: what is told of a closed side is never told anew.
 */
#include <errno.h>
#include <string.h>

#include "base/futex.h"
#include "recorder/state.h"
#include "sys/pagemap.h"
#include "sys/vmstat.h"

/* A family larger than this is not looked at as a whole each time one of it leaves. */
#define EVALUATE_MAX 16

/* Samples of what else moves pages are this old at most where older is as good. */
#define RECENT_NS (20 * CT_NSEC_PER_MSEC)

void ct_activity_read(struct ct_rec_ctx *c, struct ct_activity *ret)
{
	struct ct_activity *a = &c->activity;
	u64 merged = 0, scans = 0, now = ct_now_ns();
	struct ct_vmstat v = { 0 };

	if (c->vmstat_fd >= 0)
		ct_vmstat_read(c->vmstat_fd, &v);
	a->migrated = v.v[CT_VMSTAT_PGMIGRATE_SUCCESS];
	a->swapped_in = v.v[CT_VMSTAT_PSWPIN];
	a->swapped_out = v.v[CT_VMSTAT_PSWPOUT];
	a->collapsed = v.v[CT_VMSTAT_THP_COLLAPSE_ALLOC];
	/* ksmd needs two passes, 20 ms apart, before it merges anything. */
	if (now - c->ksm_ns > RECENT_NS) {
		a->ksm = !ct_ksm_read(&merged, &scans) && merged;
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
static u64 moved_between(const struct ct_activity *a, const struct ct_activity *b)
{
	return (b->migrated - a->migrated) + (b->swapped_in - a->swapped_in) +
	       (b->swapped_out - a->swapped_out) +
	       (b->collapsed - a->collapsed) * CT_HUGE_PAGES;
}

int ct_tallies_reserve(struct ct_rec_ctx *c, u32 nr)
{
	struct ct_tally *t;
	u64 *counts;

	if (nr <= c->cap_tallies)
		return 0;
	nr += nr / 2;
	t = realloc(c->tallies, nr * sizeof(*t));
	if (!t)
		return -ENOMEM;
	c->tallies = t;
	counts = realloc(c->counts, 2 * nr * sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	c->counts = counts;
	c->cap_tallies = nr;
	return 0;
}

void ct_fork_unref(struct ct_fork *f)
{
	if (--f->refs)
		return;
	ct_image_unref(f->orig);
	ct_image_unref(f->end[0]);
	ct_image_unref(f->end[1]);
	ct_regionset_unref(f->regions);
	free(f);
}

void ct_share_free(struct ct_share *s)
{
	if (s->fork->proc[s->side])
		s->fork->proc[s->side] = NULL;
	ct_fork_unref(s->fork);
	ct_extents_fini(&s->extents);
	ct_image_unref(s->frozen);
	free(s->carried);
	free(s);
}

/* Judging a changed page when more than copy-on-write has been at work. */
struct judge {
	struct ct_rec_ctx *c;
	struct ct_share *s;
	bool ksm; /* ksmd may have changed these pages */
	bool forked; /* the process has forked again, which clears AnonExclusive */
	struct ct_proc *partner;
	const struct ct_image *partner_end; /* of a partner that has gone */
	/*
	 * Pages that anything else has moved on the whole machine since the fork, and
	 * since the partner's last reading: no more of ours can have been among them.
	 */
	u64 moved, moved_since_end;
};

static enum ct_outcome unless_moved(u64 *budget)
{
	if (!*budget)
		return CT_OUT_COPIED;
	--*budget;
	return CT_OUT_UNKNOWN;
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

	if (live)
		ct_reading_pages(j->partner->pagemap_fd, &j->c->caps, &page, 1, &theirs);
	else if (j->partner_end)
		theirs = ct_image_get(j->partner_end, page);
	if (theirs == orig && live && !j->ksm)
		return CT_OUT_COPIED;
	if (!j->c->caps.anon_exclusive ||
	    ct_kpage_flags(&j->c->kpage, ct_ent_pfn(now), 1, &flags) != 1)
		return CT_OUT_UNKNOWN;
	/* Of a large folio the flag is the head's: it says nothing of this page. */
	written = (flags & CT_KPF_ANON_EXCLUSIVE) || (flags & CT_KPF_THP) || j->forked;
	if (j->ksm)
		/* Merged pages are never exclusive, whatever KPF_KSM says on this kernel. */
		return theirs == orig && written ? CT_OUT_COPIED : CT_OUT_UNKNOWN;
	if (theirs == now || !written)
		return CT_OUT_KEPT;
	return unless_moved(theirs == orig ? &j->moved_since_end : &j->moved);
}

static void tell_regions(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_fork *f,
			 enum ct_side side)
{
	const struct ct_regionset *set = f->regions;
	struct ct_rec rec = { .type = CT_REC_REGION_COUNT };
	/* What lies in no region was mapped since, by calls that nobody saw. */
	const struct ct_region elsewhere = { .kind = CT_KIND_ANON };
	u64 *huge = c->counts + set->nr + 1;
	bool counted = false;
	u32 i;

	for (i = 0; i <= set->nr; i++) {
		const struct ct_tally *t = &c->tallies[i];

		if (!t->copied && !t->dropped && !t->fresh && !t->unknown)
			continue;
		if (!counted) {
			memset(c->counts, 0, 2 * (set->nr + 1) * sizeof(*c->counts));
			ct_compare_count(f->orig, set->runs, set->nr, c->counts, huge);
			counted = true;
		}
		rec.region_count.fork = f->id;
		rec.region_count.side = side;
		rec.region_count.region =
			ct_proc_region_id(c, p, i < set->nr ? &set->v[i] : &elsewhere);
		rec.region_count.shared = c->counts[i];
		rec.region_count.huge = huge[i];
		rec.region_count.copied = t->copied;
		rec.region_count.dropped = t->dropped;
		rec.region_count.fresh = t->fresh;
		rec.region_count.unknown = t->unknown;
		ct_outbox_put(c->out, &rec);
	}
}

static void tell_timeline(struct ct_rec_ctx *c, struct ct_fork *f, enum ct_side side, u64 copied,
			  u64 t_ns)
{
	struct ct_rec rec = { .type = CT_REC_TIMELINE };

	if (copied <= f->told[side])
		return;
	rec.timeline.t_ns = t_ns;
	rec.timeline.fork = f->id;
	rec.timeline.side = side;
	rec.timeline.copied = copied - f->told[side];
	f->told[side] = copied;
	ct_outbox_put(c->out, &rec);
}

static void tell_side(struct ct_rec_ctx *c, const struct ct_fork *f, enum ct_side side,
		      const struct ct_tally *t, enum ct_side_end why, u64 t_ns)
{
	struct ct_rec rec = { .type = CT_REC_SIDE };

	rec.side.fork = f->id;
	rec.side.side = side;
	rec.side.end = why;
	rec.side.t_ns = t_ns;
	rec.side.copied = t ? t->copied : CT_UNKNOWN;
	rec.side.dropped = t ? t->dropped : CT_UNKNOWN;
	rec.side.fresh = t ? t->fresh : CT_UNKNOWN;
	rec.side.unknown = t ? t->unknown : CT_UNKNOWN;
	rec.side.kept = t ? t->kept : CT_UNKNOWN;
	ct_outbox_put(c->out, &rec);
}

/*
 * Pages that the child's last reading shows and that nobody else had any more:
 * what the kernel calls its Private memory, told from the two sides' readings.
 */
static u64 private_of_child(const struct ct_fork *f)
{
	const struct ct_image *mine = f->end[CT_SIDE_CHILD], *theirs = f->end[CT_SIDE_PARENT];
	ct_ent a[CT_HUGE_PAGES], b[CT_HUGE_PAGES];
	u64 nr = 0;
	u32 i, k, at;

	for (i = 0; i < mine->nr; i++) {
		at = ct_image_seek(theirs, mine->keys[i]);
		if (at < theirs->nr && theirs->keys[at] == mine->keys[i]) {
			if (theirs->chunks[at] == mine->chunks[i])
				continue;
			ct_chunk_expand(theirs->chunks[at], b);
		} else {
			memset(b, 0, sizeof(b));
		}
		ct_chunk_expand(mine->chunks[i], a);
		for (k = 0; k < CT_HUGE_PAGES; k++)
			nr += ct_ent_is_page(a[k]) && a[k] != b[k];
	}
	return nr;
}

static void tell_witness(struct ct_rec_ctx *c, struct ct_fork *f)
{
	struct ct_rec rec = { .type = CT_REC_WITNESS };
	bool both = f->pair && f->end[0] && f->end[1];

	if (!f->have_witness)
		return;
	rec.witness.process = f->witness_process;
	rec.witness.fork = f->id;
	rec.witness.t_ns = f->witness_ns;
	rec.witness.private_dirty = f->witness_dirty;
	rec.witness.census_private = both ? private_of_child(f) : f->witness_alone;
	rec.witness.why = both ? ""
			       : "more than two processes shared: pages mapped once, by the "
				 "child's page map";
	ct_outbox_put(c->out, &rec);
}

/* Both sides are closed: the fork as a whole. */
static void tell_fork_end(struct ct_rec_ctx *c, struct ct_fork *f)
{
	struct ct_rec rec = { .type = CT_REC_FORK_END };
	int i;

	rec.fork_end.id = f->id;
	rec.fork_end.end_ns = f->end_ns;
	if (!c->caps.pfns) {
		rec.fork_end.copied_min = f->bound_min;
		rec.fork_end.copied_max = f->have_bounds ? f->bound_max : f->orig->pages;
	} else {
		for (i = 0; i < 2; i++) {
			rec.fork_end.copied_min += f->copied[i];
			rec.fork_end.copied_max += f->unread[i] ? f->orig->pages
								: f->copied[i] + f->unknown[i];
		}
	}
	tell_witness(c, f);
	ct_outbox_put(c->out, &rec);
}

static void mark_closed(struct ct_rec_ctx *c, struct ct_fork *f, enum ct_side side, u64 t_ns)
{
	f->closed[side] = true;
	f->end_ns = ct_max(f->end_ns, t_ns);
	if (f->closed[0] && f->closed[1])
		tell_fork_end(c, f);
}

static int compare(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		   enum ct_side_end why, const struct ct_activity *activity, struct ct_tally *ret)
{
	struct ct_fork *f = s->fork;
	enum ct_side other = s->side == CT_SIDE_PARENT ? CT_SIDE_CHILD : CT_SIDE_PARENT;
	struct ct_proc *p = f->proc[s->side];
	struct judge j = { .c = c, .s = s, .ksm = p && p->ksm_eyes,
			   .forked = why == CT_SIDE_END_NEXT_FORK, .partner = f->proc[other] };
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
	memset(c->tallies, 0, (f->regions->nr + 1) * sizeof(*c->tallies));
	j.moved = moved_between(&f->activity, activity);
	if (f->end[other]) {
		j.partner_end = f->end[other];
		j.moved_since_end = moved_between(&f->end_activity[other], activity);
	}
	if (j.ksm || j.moved) {
		cmp.judge = judge_change;
		cmp.judge_arg = &j;
	}
	return ct_compare_run(&cmp, ret);
}

static void set_end(struct ct_fork *f, enum ct_side side, struct ct_image *now,
		    const struct ct_activity *activity)
{
	ct_image_unref(f->end[side]);
	f->end[side] = ct_image_ref(now);
	f->end_activity[side] = *activity;
}

/*
 * A copy does not un-happen; and a side that has closed may have copied what it
 * may have copied then, whatever its relatives do to the page now.
 */
static void remember_bounds(struct ct_fork *f, const struct ct_bounds_result *r, enum ct_side side,
			    enum ct_side other)
{
	if (f->pair && f->closed[other])
		return; /* nobody is left to share with: nothing is copied any more */
	f->may[side] = r->may[side];
	if (!f->closed[other])
		f->may[other] = r->may[other];
	f->bound_min = ct_max(f->bound_min, r->copied_min);
	f->bound_max = f->pair ? r->copied_max : f->may[0] + f->may[1];
	f->bound_max = ct_max(f->bound_max, f->bound_min);
	f->have_bounds = true;
}

/*
 * Without PFNs: both sides together, as far as they can be read.  A side that has
 * closed has said what it had to say: then only this side's own drops are new.
 * now NULL: this side has forked again, which hides what it shared before.
 */
static int bounds(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		  struct ct_tally *ret)
{
	struct ct_fork *f = s->fork;
	enum ct_side other = s->side == CT_SIDE_PARENT ? CT_SIDE_CHILD : CT_SIDE_PARENT;
	struct ct_proc *q = f->closed[other] ? NULL : f->proc[other];
	struct ct_bounds b = {
		.orig = f->orig,
		.pair = f->pair,
		.regions = f->regions->runs,
		.nr_regions = f->regions->nr,
	};
	struct ct_bounds_result r;
	struct ct_image *theirs = NULL;
	struct ct_share *t;
	int err;

	if (ct_tallies_reserve(c, f->regions->nr + 1))
		return -ENOMEM;
	memset(c->tallies, 0, (f->regions->nr + 1) * sizeof(*c->tallies));
	b.side[s->side] = (struct ct_bounds_side){ &s->extents, now, c->tallies };
	for (t = q ? q->shares : NULL; t; t = t->next)
		if (t->fork == f && !ct_proc_read(c, q, &theirs)) {
			b.side[other] = (struct ct_bounds_side){ &t->extents, theirs, NULL };
			break;
		}
	err = ct_bounds_run(&b, &r);
	ct_image_unref(theirs);
	if (err)
		return err;
	remember_bounds(f, &r, s->side, other);
	*ret = r.sum[s->side];
	return 0;
}

/* This side's drops and new pages, when nothing more can be learned of copies. */
static int bounds_of_side(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
			  struct ct_tally *ret)
{
	struct ct_fork *f = s->fork;
	struct ct_fork saved = *f;
	int err = bounds(c, s, now, ret);

	f->bound_min = saved.bound_min;
	f->bound_max = saved.bound_max;
	f->may[0] = saved.may[0];
	f->may[1] = saved.may[1];
	return err;
}

/* Too many to look at in one hold: their copies are not bounded any more. */
static void lose_sight(struct ct_proc *q)
{
	struct ct_share *s;

	for (s = q->shares; s; s = s->next) {
		s->fork->may[s->side] = s->fork->orig->pages;
		s->fork->bound_max = s->fork->may[0] + s->fork->may[1];
		s->fork->have_bounds = true;
	}
}

static void evaluate_one(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now)
{
	struct ct_tally ignored;
	struct ct_share *s;

	for (s = p->shares; s; s = s->next)
		if (!s->fork->closed[s->side])
			bounds(c, s, now, &ignored);
}

void ct_close_evaluate(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now)
{
	struct ct_image *img;
	struct ct_proc *q;

	if (c->caps.pfns)
		return;
	evaluate_one(c, p, now);
	for (q = c->procs; q; q = q->next) {
		if (q == p || q->family != p->family || !q->shares || q->gone_ns)
			continue;
		if (p->family->alive > EVALUATE_MAX) {
			lose_sight(q);
		} else if (!ct_proc_read(c, q, &img)) {
			evaluate_one(c, q, img);
			ct_image_unref(img);
		}
	}
}

/* What this side's pages have become.  0; -ENODATA: cannot be seen any more; -ENOMEM. */
static int look_at(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		   enum ct_side_end why, const struct ct_activity *activity, struct ct_tally *ret)
{
	if (c->caps.pfns)
		return compare(c, s, now, why, activity, ret);
	switch (why) {
	case CT_SIDE_END_NEXT_FORK:
		bounds(c, s, NULL, ret);
		return -ENODATA;
	case CT_SIDE_END_RELATIVE_GONE:
	case CT_SIDE_END_EXIT:
	case CT_SIDE_END_EXEC:
	case CT_SIDE_END_TIMEOUT:
		/* Everything is mapped once by now: what ct_close_evaluate() saw holds. */
		return s->fork->have_bounds ? bounds_of_side(c, s, now, ret) : -ENODATA;
	default:
		return bounds(c, s, now, ret);
	}
}

static void close_share(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
			struct ct_image *now, enum ct_side_end why, enum ct_close how)
{
	u64 t_ns = ct_rec_since(c, ct_now_ns());
	struct ct_fork *f = s->fork;
	struct ct_activity activity;
	struct ct_tally sum = { 0 };
	int err;

	if (f->closed[s->side])
		return;
	if (!now) {
		f->unread[s->side] = true;
		tell_side(c, f, s->side, NULL, why, t_ns);
		mark_closed(c, f, s->side, t_ns);
		return;
	}
	ct_activity_read(c, &activity);
	err = look_at(c, s, now, why, &activity, &sum);
	if (err == -ENODATA) {
		tell_side(c, f, s->side, NULL, why, t_ns);
		mark_closed(c, f, s->side, t_ns);
		return;
	}
	if (err) {
		ct_rec_note(c, p->id, "error", "no_memory", "a fork could not be compared: %s",
			    strerror(-err));
		return;
	}
	f->copied[s->side] = sum.copied;
	f->unknown[s->side] = sum.unknown;
	tell_side(c, f, s->side, &sum, how == CT_CLOSE_FINAL ? why : CT_SIDE_END_OPEN, t_ns);
	tell_regions(c, p, f, s->side);
	tell_timeline(c, f, s->side, sum.copied, t_ns);
	atomic_store(&c->seg->slots[p->slot].stat_copied, sum.copied);
	atomic_store(&c->seg->slots[p->slot].stat_dropped, sum.dropped);
	if (how != CT_CLOSE_FINAL)
		return;
	set_end(f, s->side, now, &activity);
	c->totals.copied += sum.copied;
	c->totals.dropped += sum.dropped;
	mark_closed(c, f, s->side, t_ns);
}

void ct_close_share(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
		    struct ct_image *now, enum ct_side_end why, enum ct_close how)
{
	struct ct_image *whole = NULL, *later = NULL;

	if (now && s->frozen && !ct_carry_compose(s, now, &whole))
		now = whole;
	if (now && !ct_parting_compose(p, s->fork->orig, now, &later))
		now = later;
	close_share(c, p, s, now, why, how);
	ct_image_unref(whole);
	ct_image_unref(later);
}

void ct_close_all(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now,
		  enum ct_side_end why)
{
	struct ct_share *s, **at = &p->shares;

	while ((s = *at)) {
		if (why == CT_SIDE_END_NEXT_FORK && ct_carry_on(c, p, s, now)) {
			at = &s->next;
			continue;
		}
		ct_close_share(c, p, s, now, why, CT_CLOSE_FINAL);
		*at = s->next;
		ct_share_free(s);
	}
	ct_parting_forget(p);
}

void ct_close_look(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now)
{
	struct ct_share *s;

	for (s = p->shares; s; s = s->next)
		ct_close_share(c, p, s, now, CT_SIDE_END_OPEN, CT_CLOSE_LOOK);
}
