/* SPDX-License-Identifier: MIT */
/*
 * The census without page frame numbers: bounds, from who maps a page once.
 *
 * What can be seen of one process changes when a relative goes.  So all of a
 * family is looked at while the one that is about to go is still there, and what
 * was seen then holds.
 *
 * Invariant: bound_min never falls; bound_max never falls below what a closed
 * side may have copied.
 */
#include <errno.h>
#include <string.h>

#include "recorder/state.h"

/* A family larger than this is not looked at as a whole each time one of it leaves. */
#define EVALUATE_MAX 16

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

	ct_drops_apply(c, p, UINT64_MAX);
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

int ct_blind_compare(struct ct_rec_ctx *c, struct ct_share *s, struct ct_image *now,
		     enum ct_side_end why, struct ct_tally *ret)
{
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
