/* SPDX-License-Identifier: MIT */
/*
 * The naive ledger's births and deaths.
 *
 * Invariant: what fork shares is writable and exclusive for neither.
 */
#include <string.h>

#include "naive_inner.h"

static void fork_page(struct nv *nv, struct nv_proc *p, struct nv_proc *c, u32 q)
{
	struct nv_page *pg = &p->page[q], *to = &c->page[q];
	enum cowtrace_fork_action action = COWTRACE_FORK_SHARE;
	struct cowtrace_page_state st;

	if (pg->kind != NV_PRESENT) {
		to->kind = pg->kind;
		to->frame = pg->frame;
		to->flag = pg->flag = false;
		return;
	}
	nv_state_of(nv, p, q, &st);
	cowtrace_policy_fork(nv->opts.model, &st, &action);
	if (action == COWTRACE_FORK_COPY) {
		nv_link(c, q, nv_frame_new(nv, 0, NULL, 0), true);
		return;
	}
	nv_link(c, q, pg->frame, false);
	pg->flag = false;
	pg->frame->exclusive = false;
}

void nv_fork(struct nv *nv, u32 parent, u32 child, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, parent), *c;

	nv_spawn(nv, child);
	c = nv_find(nv, child);
	memcpy(c->anon, p->anon, sizeof(c->anon));
	for (u32 q = 0; q < NV_PAGES; q++) {
		c->page[q] = p->page[q];
		c->page[q].kind = NV_NONE;
		c->page[q].frame = NULL;
		c->page[q].flag = false;
	}
	for (u32 u = 0; u < NV_UNITS; u++) {
		enum cowtrace_fork_action action = COWTRACE_FORK_SHARE;
		struct nv_frame *f = p->page[u * 512].frame;
		struct cowtrace_page_state st;
		bool any = false;

		if (p->pmd[u] && f) {
			nv_state_of(nv, p, u * 512, &st);
			cowtrace_policy_fork(nv->opts.model, &st, &action);
			if (action == COWTRACE_FORK_SPLIT_COPY)
				nv_split_unit(p, u, eff);
		}
		for (u32 q = u * 512; q < (u + 1) * 512; q++)
			any = any || (p->page[q].mapped && p->anon[p->page[q].vma]);
		if (!any || !p->table[u])
			continue;
		c->table[u] = true;
		c->pmd[u] = p->pmd[u];
		if (c->pmd[u] && f)
			cowtrace_owners_map(&f->folio->own, c->mm, 1);
		for (u32 q = u * 512; q < (u + 1) * 512; q++)
			if (p->page[q].mapped && p->anon[p->page[q].vma])
				fork_page(nv, p, c, q);
	}
}

void nv_exit(struct nv *nv, u32 pid)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (int i = nv->nr_pins; i-- > 0;)
		if (nv->pin[i].pid == pid)
			nv_unhold(nv, i);
	for (u32 u = 0; u < NV_UNITS; u++)
		nv_clear_unit(p, u);
	p->pid = 0;
}
