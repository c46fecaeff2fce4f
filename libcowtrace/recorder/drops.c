/* SPDX-License-Identifier: MIT */
/*
 * Memory that a program unmaps, gives back or moves after a fork.
 *
 * A drop matters to the census only by its place before or after a fork, and
 * before or after the end of the last relative, of which the recorder may hear
 * later than of the drop.  So drops are kept until what they change is looked at.
 */
#include "channel/ring.h"
#include "recorder/faults.h"
#include "recorder/state.h"

/* Drops that may wait for a fork; a program that says that one is for ever under way lies. */
#define DROPS_MAX 65536

/* Only what is still this fork's can be dropped from it. */
static void drop_carried(struct ct_share *s, const struct ct_drop *d)
{
	size_t i;

	for (i = 0; i < s->nr_carried; i++) {
		u64 end = s->carried[i].page + s->carried[i].pages;
		u64 from = ct_max(d->page, s->carried[i].page);
		u64 to = ct_min(d->page + d->pages, end);

		if (from < to)
			ct_extents_cut(&s->extents, from, to - from);
	}
}

static void apply_drop(struct ct_proc *p, const struct ct_drop *d)
{
	struct ct_share *s;

	if (ct_parting_drop(p, d))
		return;
	for (s = p->shares; s; s = s->next) {
		if (d->end_ns < s->fork->clone_ns)
			continue; /* it was gone before the fork: the image has it not */
		if (s->frozen)
			drop_carried(s, d);
		else if (d->begin_ns < s->fork->born_ns && s->side == CT_SIDE_PARENT)
			/*
			 * It overlapped the clone: whether the child has the memory from
			 * before or after it cannot be told.
			 */
			ct_extents_doubt(&s->extents, d->page, d->pages);
		else if (d->to == CT_DROPPED)
			ct_extents_cut(&s->extents, d->page, d->pages);
		else
			ct_extents_move(&s->extents, d->page, d->pages, d->to);
	}
}

void ct_drops_apply(struct ct_rec_ctx *c, struct ct_proc *p, u64 before_ns)
{
	u32 i, kept = 0;

	if (p->nr_drops)
		ct_faults_place(c, p);
	for (i = 0; i < p->nr_drops; i++) {
		if (p->drops[i].end_ns < before_ns)
			apply_drop(p, &p->drops[i]);
		else
			p->drops[kept++] = p->drops[i];
	}
	p->nr_drops = kept;
}

void ct_drops_add(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_event *ev, u64 addr,
		  u64 len, u64 to)
{
	struct ct_drop d = {
		.begin_ns = ev->t_ns,
		.end_ns = ev->t_ns + ev->dur_ns,
		.page = ct_page_of(addr),
		.pages = ct_page_of(ct_page_up(len)),
		.to = to == CT_DROPPED ? to : ct_page_of(to),
	};
	struct ct_drop *v;

	if (!d.pages || (!p->shares && !ct_birth_under_way(c, p)))
		return;
	if (p->nr_drops >= DROPS_MAX)
		ct_drops_apply(c, p, UINT64_MAX);
	if (p->nr_drops == p->cap_drops) {
		u32 cap = p->cap_drops ? p->cap_drops * 2 : 32;

		v = realloc(p->drops, cap * sizeof(*v));
		if (!v)
			return;
		p->drops = v;
		p->cap_drops = cap;
	}
	p->drops[p->nr_drops++] = d;
}
