/* SPDX-License-Identifier: MIT */
/*
 * Pages that stay with an older fork.
 *
 * A fork shares all private memory, so that a process's newer fork takes its
 * pages over from the older one; except what the program keeps from its
 * children (MADV_DONTFORK, MADV_WIPEONFORK) after it was shared once.  Such a
 * page goes on belonging to the older fork.
 *
 * The share then goes on with two images: the one frozen at the newer fork for
 * all pages that went over, and the process's memory for those carried.
 */
#include "recorder/state.h"

/* More absent pages than this are not looked for in the parent one by one. */
#define CARRY_MAX 65536

/* True when the page is where it was at the fork, and nobody has dropped it. */
static bool in_place(const struct ct_extents *x, u64 page)
{
	return ct_extents_hold(x, page) && ct_extents_source(x, page) == page;
}

static bool append(struct ct_page_run **v, size_t *nr, u64 page)
{
	struct ct_page_run *grown;

	if (*nr && (*v)[*nr - 1].page + (*v)[*nr - 1].pages == page) {
		(*v)[*nr - 1].pages++;
		return true;
	}
	if ((*nr & (*nr - 1)) == 0) { /* at powers of two */
		grown = realloc(*v, (*nr ? *nr * 2 : 1) * sizeof(*grown));
		if (!grown)
			return false;
		*v = grown;
	}
	(*v)[(*nr)++] = (struct ct_page_run){ page, 1 };
	return true;
}

/* Pages of the share that the new child has not, although its parent has them still. */
static size_t find_carried(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_share *s,
			   const struct ct_image *child, struct ct_page_run **ret_runs)
{
	const struct ct_image *orig = s->fork->orig;
	ct_ent e[CT_HUGE_PAGES], now;
	size_t nr = 0, looked = 0;
	u32 i, k;

	for (i = 0; i < orig->nr; i++) {
		const struct ct_window win = ct_chunk_window(orig->chunks[i]);
		u32 at = ct_image_seek(child, orig->keys[i]);

		if (at < child->nr && child->chunks[at] == orig->chunks[i])
			continue;
		ct_chunk_expand(orig->chunks[i], e);
		for (k = win.from; k < win.to && looked < CARRY_MAX; k++) {
			u64 page = orig->keys[i] * CT_HUGE_PAGES + k;

			if (e[k] == CT_ENT_NONE || ct_image_get(child, page) != CT_ENT_NONE ||
			    !in_place(&s->extents, page) ||
			    (s->frozen && !ct_page_runs_hold(s->carried, s->nr_carried, page)))
				continue;
			looked++;
			if (!ct_reading_pages(p->pagemap_fd, &c->caps, &page, 1, &now) &&
			    now != CT_ENT_NONE && !append(ret_runs, &nr, page))
				return nr;
		}
	}
	return nr;
}

int ct_carry_compose(const struct ct_share *s, const struct ct_image *now,
		     struct ct_image **ret_whole)
{
	ct_auto_free struct ct_patch *patch = NULL;
	size_t i, nr = 0;
	u64 page;

	for (i = 0; i < s->nr_carried; i++)
		nr += s->carried[i].pages;
	patch = malloc((nr ? nr : 1) * sizeof(*patch));
	if (!patch)
		return -1;
	nr = 0;
	for (i = 0; i < s->nr_carried; i++)
		for (page = s->carried[i].page; page < s->carried[i].page + s->carried[i].pages;
		     page++)
			patch[nr++] = (struct ct_patch){ page, ct_image_get(now, page) };
	return ct_image_patch(ct_image_ref(s->frozen), patch, nr, ret_whole);
}

bool ct_carry_on(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
		 struct ct_image *child)
{
	struct ct_image *frozen, *at_fork = NULL;
	struct ct_page_run *runs = NULL;
	size_t nr;

	if (p->pagemap_fd < 0 || s->fork->closed[s->side])
		return false;
	/* Without PFNs the newer fork hides what was copied before: everything is shared again. */
	if (!c->caps.pfns)
		return false;
	nr = find_carried(c, p, s, child, &runs);
	if (!nr) {
		free(runs);
		return false;
	}
	/* What was dropped after the last relative had left was no drop of this fork. */
	if (ct_parting_compose(p, s->fork->orig, child, &at_fork))
		at_fork = ct_image_ref(child);
	if (!s->frozen) {
		frozen = at_fork;
	} else {
		int err = ct_carry_compose(s, at_fork, &frozen);

		ct_image_unref(at_fork);
		if (err) {
			free(runs);
			return false;
		}
	}
	ct_image_unref(s->frozen);
	free(s->carried);
	s->frozen = frozen;
	s->carried = runs;
	s->nr_carried = nr;
	return true;
}
