/* SPDX-License-Identifier: MIT */
/*
 * Reused or copied: the frame that lay there before the write, and the one after.
 *
 * The same page frame a microsecond after the write means nothing: the store may
 * not have been tried again yet.  It is believed when the thread has been seen
 * again, when the page has become exclusive, or when the process stands still.
 *
 * Invariant: COPY is never said of a page that something else may have moved, unless
 * a copy was foreseen.
 */
#include "recorder/observe.h"
#include "sys/pagemap.h"
#include "sys/pidfd.h"

u64 ct_observe_moved(struct ct_rec_ctx *c)
{
	const struct ct_activity none = { 0 };
	struct ct_activity now;

	ct_activity_recent(c, &now);
	return ct_activity_moved(&none, &now);
}

static bool is_asleep(s32 tid)
{
	struct ct_proc_status st;

	/* One that has ended has not stopped before its store. */
	return ct_proc_status_read(tid, &st) || (!st.stopped && !st.running);
}

static bool is_exclusive(const struct ct_rec_ctx *c, u64 pfn)
{
	u64 flags;

	/* Of a large folio the flag may be the head's. */
	return c->caps.anon_exclusive && ct_kpage_flags(&c->kpage, pfn, 1, &flags) == 1 &&
	       (flags & CT_KPF_ANON_EXCLUSIVE) &&
	       !(flags & (CT_KPF_COMPOUND_HEAD | CT_KPF_COMPOUND_TAIL));
}

u64 ct_observe_frame(const struct ct_proc *p, u64 page, const struct ct_image *img)
{
	u64 entry;
	ct_ent ent;

	ent = img ? ct_image_get(img, page) : CT_ENT_NONE;
	/* What a child did not get is not in its image. */
	if (ent != CT_ENT_NONE)
		return ct_ent_is_page(ent) ? ct_ent_pfn(ent) : 0;
	if (!p || p->pagemap_fd < 0 || ct_pagemap_read(p->pagemap_fd, page, 1, &entry) != 1 ||
	    !(entry & CT_PM_PRESENT) || (entry & CT_PM_FILE))
		return 0;
	return entry & CT_PM_PFN_MASK;
}

/*
 * Where the page is now: moved, as far as we have heard.  *ret_doubtful: it may
 * have been unmapped or given back, and another frame there be no copy of it.
 */
static u64 page_now(const struct ct_proc *p, const struct ct_seen *seen, bool *ret_doubtful)
{
	const struct ct_share *s = p ? p->shares : NULL;
	u64 page = seen->page, at;
	u32 i;

	*ret_doubtful = false;
	/* What has been taken into account already; the drops are newer. */
	if (s && !s->frozen && !ct_extents_hold(&s->extents, page)) {
		at = ct_extents_place(&s->extents, page);
		*ret_doubtful = !at;
		page = at ? at : page;
	}
	for (i = 0; p && i < p->nr_drops; i++) {
		const struct ct_drop *d = &p->drops[i];

		if (d->end_ns < seen->t_ns || page < d->page || page - d->page >= d->pages)
			continue;
		if (d->to == CT_DROPPED)
			*ret_doubtful = true;
		else
			page = page - d->page + d->to;
	}
	return page;
}

enum cowtrace_action ct_observe(struct ct_rec_ctx *c, const struct ct_proc *p,
				const struct ct_seen *s, const struct ct_image *img,
				const struct ct_observe_hints *hints)
{
	bool doubtful;
	u64 page = page_now(p, s, &doubtful), now;

	if (p)
		ct_rec_looks_at(c, p);
	now = s->pfn ? ct_observe_frame(p, page, img) : 0;

	if (s->flags & CT_SEEN_WINDOW)
		return COWTRACE_COPY;
	/* Gone: we may hear yet that it was moved. */
	if (!now)
		return hints->last_chance || !s->pfn ? COWTRACE_UNCERTAIN : COWTRACE_RETRY;
	if (s->flags & CT_SEEN_ZERO)
		return now != s->pfn ? COWTRACE_ALLOC_ZEROED : COWTRACE_RETRY;
	if (now != s->pfn) {
		if (doubtful)
			return COWTRACE_UNCERTAIN;
		/* Anything may have moved it; then only a copy that was foreseen is believed. */
		if ((ct_observe_moved(c) != hints->moved || (p && p->ksm_eyes)) &&
		    s->predicted != COWTRACE_COPY && s->likely != COWTRACE_COPY)
			return COWTRACE_UNCERTAIN;
		return COWTRACE_COPY;
	}
	if (img || hints->seen_again || is_exclusive(c, now))
		return COWTRACE_REUSE;
	if (!hints->last_chance)
		return COWTRACE_RETRY;
	/* It was woken long ago, and waits for something else by now. */
	return p && is_asleep(s->tid) ? COWTRACE_REUSE : COWTRACE_UNCERTAIN;
}
