/* SPDX-License-Identifier: MIT */
/*
 * Pages that a child has written before its page map was read: its stack, its
 * thread descriptor, libc's locks.  They are found by the AnonExclusive flag and
 * traced back to the page that both shared at the clone.
 *
 * Not: pages that the parent writes meanwhile; those leave the original in the
 * child.  Invariant: where it cannot be told which page was shared, the answer is
 * CT_ENT_AMBIGUOUS, never a guess.
 */
#include "recorder/state.h"

static ct_ent known_before(const struct ct_proc *p, u64 page)
{
	u32 lo = 0, hi = p->nr_hot;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (p->hot[mid].page < page)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < p->nr_hot && p->hot[lo].page == page)
		return p->hot[lo].ent;
	return p->last ? ct_image_get(p->last, page) : CT_ENT_NONE;
}

/* The kernel's flags of a page; 0 when they cannot be read. */
static u64 flags_of(const struct ct_rec_ctx *c, ct_ent e)
{
	u64 flags;

	if (!ct_ent_is_page(e) || ct_kpage_flags(&c->kpage, ct_ent_pfn(e), 1, &flags) != 1)
		return 0;
	return flags;
}

/*
 * The page at `page` when the clone ran, given that the child has `mine` there now
 * and has written it: the parent's, unless the parent wrote as well; then what
 * was known of the parent before the fork decides which of them it was.
 */
static ct_ent original_of(const struct ct_rec_ctx *c, const struct ct_proc *parent, u64 page,
			  ct_ent mine)
{
	ct_ent theirs = CT_ENT_NONE, known = parent ? known_before(parent, page) : CT_ENT_NONE;

	if (parent && parent->pagemap_fd >= 0)
		ct_reading_pages(parent->pagemap_fd, &c->caps, &page, 1, &theirs);
	if (ct_ent_is_page(theirs) && theirs != mine &&
	    !(flags_of(c, theirs) & CT_KPF_ANON_EXCLUSIVE))
		return theirs;
	if (ct_ent_is_page(known) && (known == theirs || known == mine))
		return known;
	return CT_ENT_AMBIGUOUS;
}

/* True when the child can be told to have written this page of its own. */
static bool written_by_child(const struct ct_rec_ctx *c, u64 page, ct_ent mine, u64 sp, u64 tp)
{
	if (c->caps.kpage && c->caps.anon_exclusive)
		/* A large folio is never the product of a copy: the child reused it. */
		return (flags_of(c, mine) & (CT_KPF_ANON_EXCLUSIVE | CT_KPF_THP)) ==
		       CT_KPF_ANON_EXCLUSIVE;
	/* No flag to ask: the thread's own stack and descriptor are written for sure. */
	sp = ct_page_of(sp);
	tp = ct_page_of(tp);
	return (page + 2 >= sp && page <= sp + 2) || (page + 1 >= tp && page <= tp + 1);
}

void ct_written_find(struct ct_rec_ctx *c, const struct ct_proc *parent, const struct ct_image *img,
		     u64 sp, u64 tp, struct ct_written *ret)
{
	const struct ct_reader *r = &c->reader;
	struct ct_written w = { 0 };
	u32 cap = 0;
	size_t i;

	for (i = 0; c->caps.pfns && i < r->nr_exclusive; i++) {
		u64 page = r->exclusive[i];
		ct_ent mine = ct_image_get(img, page);

		if (!written_by_child(c, page, mine, sp, tp))
			continue;
		if (w.nr == cap) {
			struct ct_patch *v;

			cap = cap ? cap * 2 : 64;
			v = realloc(w.v, cap * sizeof(*v));
			if (!v)
				break;
			w.v = v;
		}
		w.v[w.nr++] = (struct ct_patch){ page, original_of(c, parent, page, mine) };
	}
	*ret = w;
}

void ct_written_remember(struct ct_rec_ctx *c, struct ct_proc *parent, struct ct_proc *child,
			 const struct ct_image *img, const struct ct_written *w)
{
	struct ct_patch *hp, *hc;
	u32 i;

	if (!w->nr || parent->pagemap_fd < 0)
		return;
	hp = malloc(w->nr * sizeof(*hp));
	hc = malloc(w->nr * sizeof(*hc));
	if (!hp || !hc) {
		free(hp);
		free(hc);
		return;
	}
	for (i = 0; i < w->nr; i++) {
		u64 page = w->v[i].page;
		ct_ent theirs = CT_ENT_NONE;

		ct_reading_pages(parent->pagemap_fd, &c->caps, &page, 1, &theirs);
		hp[i] = (struct ct_patch){ page, theirs };
		hc[i] = (struct ct_patch){ page, ct_image_get(img, page) };
	}
	free(parent->hot);
	free(child->hot);
	parent->hot = hp;
	parent->nr_hot = w->nr;
	child->hot = hc;
	child->nr_hot = w->nr;
}
