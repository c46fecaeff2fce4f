/* SPDX-License-Identifier: MIT */
/*
 * What the kernel did at a fault that it resolved before anybody heard of it.
 *
 * With page frames: the frame that both had at the fork against the one that lies there
 * since.  Without: who came first.  Of two processes that alone share a page the first
 * to write copies it, and the other has it for itself from then on.
 *
 * Invariant: COPY and REUSE are never guessed; what can be neither is UNCERTAIN.
 */
#include <cowtrace/policy.h>

#include "base/futex.h"
#include "recorder/faults_int.h"
#include "recorder/observe.h"
#include "sys/pagemap.h"

/* Nothing more is hoped for after this. */
#define PATIENCE_NS (200 * CT_NSEC_PER_MSEC)

/* Where the fork's page is now; 0: gone.  *ret_doubtful: it may be another page there. */
static u64 place_now(const struct ct_proc *p, const struct ct_share *s,
		     const struct ct_fault_pending *f)
{
	u64 page = f->page;
	u32 i;

	if (!ct_extents_hold(&s->extents, page) || ct_extents_source(&s->extents, page) != f->src)
		page = ct_extents_place(&s->extents, f->src);
	for (i = 0; page && i < p->nr_drops; i++) {
		const struct ct_drop *d = &p->drops[i];

		if (d->end_ns < s->fork->clone_ns || page < d->page || page - d->page >= d->pages)
			continue;
		page = d->to == CT_DROPPED ? 0 : page - d->page + d->to;
	}
	return page;
}

/* The other side of the fork has written the page, dropped it, or has gone. */
static bool is_alone(const struct ct_share *s, u64 src)
{
	const struct ct_fork *f = s->fork;
	const enum ct_side other = s->side == CT_SIDE_PARENT ? CT_SIDE_CHILD : CT_SIDE_PARENT;
	const struct ct_proc *q = f->closed[other] ? NULL : f->proc[other];
	const struct ct_share *t = q ? q->shares : NULL;

	while (t && t->fork != f)
		t = t->next;
	return !t || ct_firsts_get(&t->firsts, src) || !ct_extents_place(&t->extents, src);
}

static enum cowtrace_action by_order(const struct ct_share *s, u64 src)
{
	if (!s->fork->pair)
		return COWTRACE_UNCERTAIN;
	return is_alone(s, src) ? COWTRACE_REUSE : COWTRACE_COPY;
}

/* Of a small page that lies where it lay: has its writer got it for itself? */
static bool may_be_shared_still(const struct ct_rec_ctx *c, u64 pfn)
{
	u64 flags;

	/* Of a large folio the flag may be the head's. */
	return c->caps.anon_exclusive && ct_kpage_flags(&c->kpage, pfn, 1, &flags) == 1 &&
	       !(flags & (CT_KPF_ANON_EXCLUSIVE | CT_KPF_COMPOUND_HEAD | CT_KPF_COMPOUND_TAIL));
}

static bool is_huge_now(const struct ct_proc *p, u64 page)
{
	const u64 at = ct_addr_of(page & ~(CT_HUGE_PAGES - 1));
	struct ct_scan_run run;
	u64 next;

	return p->pagemap_fd >= 0 &&
	       ct_pagemap_scan_huge(p->pagemap_fd, at, at + CT_HUGE_SIZE, &run, 1, &next) == 1 &&
	       run.end - run.start == CT_HUGE_SIZE;
}

/* Something else may have moved it: then a copy is believed where one had to be. */
static enum cowtrace_action changed(struct ct_rec_ctx *c, const struct ct_proc *p,
				    const struct ct_share *s, const struct ct_fault_pending *f)
{
	if (ct_observe_moved(c) == f->moved && !p->ksm_eyes)
		return COWTRACE_COPY;
	return by_order(s, f->src) == COWTRACE_COPY ? COWTRACE_COPY : COWTRACE_UNCERTAIN;
}

enum cowtrace_action ct_faults_judge(struct ct_rec_ctx *c, const struct ct_proc *p,
				     const struct ct_share *s, const struct ct_fault_pending *f,
				     const struct ct_image *img, bool last, bool *ret_whole)
{
	const ct_ent orig = ct_image_get(s->fork->orig, f->src);
	const bool late = last || ct_now_ns() > f->t_ns + PATIENCE_NS;
	u64 page, now;

	*ret_whole = false;
	if (!c->caps.pfns)
		return by_order(s, f->src);
	page = place_now(p, s, f);
	now = page ? ct_observe_frame(p, page, img) : 0;
	if (!now || !ct_ent_is_page(orig) || orig == CT_ENT_AMBIGUOUS)
		return late || now ? COWTRACE_UNCERTAIN : COWTRACE_RETRY;
	if (now != ct_ent_pfn(orig))
		return changed(c, p, s, f);
	if (ct_image_is_huge(s->fork->orig, f->src) &&
	    (img ? ct_image_is_huge(img, page) : is_huge_now(p, page))) {
		*ret_whole = true;
		return COWTRACE_REUSE;
	}
	/* The store has not been tried again yet; where there was a fork in between, it is anew. */
	if (!img && may_be_shared_still(c, now))
		return COWTRACE_RETRY;
	return COWTRACE_REUSE;
}
