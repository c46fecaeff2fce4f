/* SPDX-License-Identifier: MIT */
/*
 * See naive.h.  Not fast and not small: every count is a walk over all pages of
 * all processes.
 *
 * Invariant: no number is stored that a walk can tell, but the owner slots, whose
 * value depends on the order of events.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "naive.h"

static void *get(struct nv *nv, size_t size)
{
	void *p = calloc(1, size);

	if (!p || nv->nr_mem == ct_array_size(nv->mem))
		abort();
	nv->mem[nv->nr_mem++] = p;
	return p;
}

void nv_free(struct nv *nv)
{
	while (nv->nr_mem)
		free(nv->mem[--nv->nr_mem]);
}

struct nv_proc *nv_find(struct nv *nv, u32 pid)
{
	for (int i = 0; i < NV_PROCS; i++)
		if (nv->proc[i].pid == pid)
			return &nv->proc[i];
	return NULL;
}

void nv_spawn(struct nv *nv, u32 pid)
{
	struct nv_proc *p = nv_find(nv, 0);

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	p->mm = ++nv->next_mm;
}

void nv_map(struct nv *nv, u32 pid, u32 unit, enum ct_backing backing)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 i = unit * 512; i < (unit + 1) * 512; i++) {
		p->page[i].mapped = p->page[i].writable = true;
		p->page[i].backing = backing;
		p->page[i].vma = p->page[i].map = unit;
	}
}

static void zero_counts(struct nv_frame *f)
{
	f->ptes = f->swaps = 0;
	if (f->folio)
		f->folio->entire = f->folio->max = 0;
}

static void count_page(const struct nv_proc *p, u32 q)
{
	const struct nv_page *pg = &p->page[q];

	if (p->pmd[q / 512]) {
		pg->frame->folio->entire += q % 512 == 0;
		return;
	}
	pg->frame->ptes += pg->kind == NV_PRESENT;
	pg->frame->swaps += pg->kind == NV_SWAP;
}

static void max_page(const struct nv_proc *p, u32 q)
{
	const struct nv_frame *f = p->page[q].frame;

	if (f->folio)
		f->folio->max = ct_max(f->folio->max, f->ptes + f->swaps + f->folio->entire);
}

void nv_count(struct nv *nv)
{
	for (int walk = 0; walk < 3; walk++)
		for (int i = 0; i < NV_PROCS; i++) {
			const struct nv_proc *p = &nv->proc[i];

			for (u32 q = 0; p->pid && q < NV_PAGES; q++) {
				if (!p->page[q].frame)
					continue;
				if (walk == 0)
					zero_counts(p->page[q].frame);
				else if (walk == 1)
					count_page(p, q);
				else
					max_page(p, q);
			}
		}
}

static void maps(struct nv *nv, const struct nv_frame *f, u32 *ptes, u32 *swaps)
{
	if (!nv->counted)
		nv_count(nv);
	*ptes = f->ptes;
	*swaps = f->swaps;
}

static u32 own(const struct nv_proc *p, const struct nv_folio *fo)
{
	u32 n = 0;

	for (u32 q = 0; q < NV_PAGES; q++)
		n += p->page[q].kind == NV_PRESENT && p->page[q].frame->folio == fo &&
		     (!p->pmd[q / 512] || q % 512 == 0);
	return n;
}

static void set(struct cowtrace_page_state *st, enum cowtrace_field f, u32 v)
{
	cowtrace_page_state_set(st, f, v);
}

static void state_of(struct nv *nv, const struct nv_proc *p, u32 q, struct cowtrace_page_state *st)
{
	const struct nv_page *pg = &p->page[q];
	const struct nv_frame *f = pg->frame;
	enum cowtrace_model_id model = nv->opts.model;
	u32 ptes, swaps;

	cowtrace_page_state_init(st);
	set(st, COWTRACE_FIELD_PMD, p->pmd[q / 512]);
	set(st, COWTRACE_FIELD_ZERO, pg->kind == NV_ZERO);
	set(st, COWTRACE_FIELD_FILE, pg->kind == NV_FILE);
	if (pg->kind != NV_PRESENT)
		return;
	maps(nv, f, &ptes, &swaps);
	set(st, COWTRACE_FIELD_EXCLUSIVE, f->exclusive);
	set(st, COWTRACE_FIELD_SWAPCACHE, f->cached);
	set(st, COWTRACE_FIELD_KSM, f->ksm);
	st->swapcount = swaps;
	st->mapcount = st->large_mapcount = ptes;
	st->max_mapcount = ptes + swaps;
	st->refcount = ptes + f->extra + f->cached;
	set(st, COWTRACE_FIELD_PINNED, f->extra >= 1024);
	if (!f->order)
		return;
	st->order = f->order;
	st->entire_mapcount = f->folio->entire;
	st->mapcount = ptes + st->entire_mapcount;
	st->large_mapcount = f->folio->own.total;
	st->refcount = f->folio->own.total + f->folio->extra;
	set(st, COWTRACE_FIELD_MM_SHARED, f->folio->own.shared);
	set(st, COWTRACE_FIELD_PINNED, f->folio->pins > 0);
	st->own_mapcount = 1;
	st->max_mapcount = 1;
	if (model == COWTRACE_MODEL_RMAPID)
		st->own_mapcount = own(p, f->folio);
	else
		st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_OWN_MAPCOUNT);
	if (model <= COWTRACE_MODEL_G3 || model == COWTRACE_MODEL_DRAFT)
		st->max_mapcount = f->folio->max;
	else
		st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_MAX_MAPCOUNT);
}

int nv_state(struct nv *nv, u32 pid, u32 page, struct cowtrace_page_state *st)
{
	struct nv_proc *p = nv_find(nv, pid);

	if (p->page[page].kind == NV_NONE || p->page[page].kind == NV_SWAP)
		return -EFAULT;
	state_of(nv, p, page, st);
	return 0;
}

static struct nv_frame *frame(struct nv *nv, u8 order, struct nv_folio *fo)
{
	struct nv_frame *f = get(nv, sizeof(*f));

	f->order = order;
	f->folio = fo;
	f->exclusive = nv->has_mark;
	return f;
}

static void link_page(struct nv_proc *p, u32 q, struct nv_frame *f, bool writable)
{
	p->page[q].kind = NV_PRESENT;
	p->page[q].frame = f;
	p->page[q].flag = writable;
	if (f->folio && !p->pmd[q / 512])
		cowtrace_owners_map(&f->folio->own, p->mm, 1);
}

static void clear_page(struct nv_proc *p, u32 q)
{
	struct nv_page *pg = &p->page[q];

	if (pg->kind == NV_PRESENT && pg->frame->folio && !p->pmd[q / 512])
		cowtrace_owners_unmap(&pg->frame->folio->own, p->mm, 1);
	pg->kind = NV_NONE;
	pg->frame = NULL;
	pg->flag = false;
}

static void clear_unit(struct nv_proc *p, u32 unit)
{
	struct nv_frame *f = p->page[unit * 512].frame;

	if (p->pmd[unit] && f)
		cowtrace_owners_unmap(&f->folio->own, p->mm, 1);
	for (u32 q = unit * 512; q < (unit + 1) * 512; q++)
		clear_page(p, q);
}

static void huge(struct nv *nv, struct nv_proc *p, u32 unit, bool writable)
{
	struct nv_folio *fo = get(nv, sizeof(*fo));

	clear_unit(p, unit);
	p->pmd[unit] = p->table[unit] = true;
	cowtrace_owners_map(&fo->own, p->mm, 1);
	for (u32 q = unit * 512; q < (unit + 1) * 512; q++)
		link_page(p, q, frame(nv, 9, fo), writable);
}

static void split_unit(struct nv_proc *p, u32 unit, struct ct_effect *eff)
{
	struct nv_frame *f = p->page[unit * 512].frame;

	if (!p->pmd[unit])
		return;
	p->pmd[unit] = false;
	eff->split++;
	if (!f)
		return;
	cowtrace_owners_map(&f->folio->own, p->mm, 512);
	cowtrace_owners_unmap(&f->folio->own, p->mm, 1);
}

static void populate(struct nv *nv, struct nv_proc *p, u32 q, bool write)
{
	u32 unit = q / 512, first = q & ~15U;
	struct nv_page *pg = &p->page[q];
	struct nv_folio *fo;
	bool room = pg->backing == CT_BACK_MTHP64 && write;

	for (u32 i = unit * 512; i < (unit + 1) * 512; i++)
		room = room && p->page[i].backing == pg->backing;
	if (pg->backing == CT_BACK_THP && !p->table[unit]) {
		for (u32 i = unit * 512; i < (unit + 1) * 512; i++)
			if (!p->page[i].mapped || p->page[i].vma != pg->vma)
				goto small;
		p->anon[pg->vma] = true;
		if (write) {
			huge(nv, p, unit, true);
			return;
		}
		p->pmd[unit] = p->table[unit] = true;
		for (u32 i = unit * 512; i < (unit + 1) * 512; i++)
			p->page[i].kind = NV_ZERO;
		return;
	}
small:
	p->table[unit] = true;
	if (!write) {
		for (u32 i = first; i < first + 16; i++)
			if (pg->backing == CT_BACK_FILE && p->page[i].vma == pg->vma &&
			    p->page[i].kind == NV_NONE)
				p->page[i].kind = NV_FILE;
		pg->kind = pg->backing == CT_BACK_FILE ? NV_FILE : NV_ZERO;
		return;
	}
	p->anon[pg->vma] = true;
	for (u32 i = first; i < first + 16; i++)
		room = room && p->page[i].kind == NV_NONE && p->page[i].vma == pg->vma;
	if (!room) {
		link_page(p, q, frame(nv, 0, NULL), true);
		return;
	}
	fo = get(nv, sizeof(*fo));
	for (u32 i = first; i < first + 16; i++)
		link_page(p, i, frame(nv, 4, fo), true);
}

static void reuse(struct nv *nv, struct nv_proc *p, u32 q, enum cowtrace_reason why)
{
	u32 unit = q / 512;

	if (p->pmd[unit]) {
		for (u32 i = unit * 512; i < (unit + 1) * 512; i++) {
			p->page[i].flag = true;
			p->page[i].frame->exclusive = nv->has_mark;
		}
		return;
	}
	p->page[q].flag = true;
	p->page[q].frame->exclusive = p->page[q].frame->exclusive || nv->has_mark;
	if (why != COWTRACE_REASON_ANON_EXCLUSIVE)
		p->page[q].frame->cached = p->page[q].frame->ksm = false;
}

static void judge(struct nv *nv, struct nv_proc *p, u32 q, struct ct_effect *eff)
{
	struct cowtrace_page_state st;
	struct cowtrace_verdict v;

	state_of(nv, p, q, &st);
	if (cowtrace_policy_judge(nv->opts.model, &st, &v) || v.action == COWTRACE_UNCERTAIN)
		abort();
	eff->reasons[v.reason]++;
	switch (v.action) {
	case COWTRACE_REUSE:
		eff->reuse++;
		reuse(nv, p, q, v.reason);
		return;
	case COWTRACE_SPLIT:
		split_unit(p, q / 512, eff);
		judge(nv, p, q, eff);
		return;
	case COWTRACE_COPY_HUGE:
		eff->copy++;
		eff->copied_huge++;
		huge(nv, p, q / 512, true);
		return;
	default:
		break;
	}
	eff->copy += v.action == COWTRACE_COPY;
	eff->zeroed += v.action == COWTRACE_ALLOC_ZEROED;
	p->anon[p->page[q].vma] = true;
	if (p->pmd[q / 512]) {
		huge(nv, p, q / 512, true);
		return;
	}
	clear_page(p, q);
	link_page(p, q, frame(nv, 0, NULL), true);
}

static void swap_in(struct nv *nv, struct nv_proc *p, u32 q, bool write, struct ct_effect *eff)
{
	struct nv_page *pg = &p->page[q];
	struct nv_frame *f = pg->frame;
	struct cowtrace_page_state st;
	struct cowtrace_swapin in;
	struct ct_effect more = { 0 };
	bool mark = pg->flag;

	pg->kind = NV_PRESENT;
	pg->flag = false;
	if (f->swapped) {
		u32 ptes, swaps;

		maps(nv, f, &ptes, &swaps);
		f->swapped = f->exclusive = false;
		f->cached = !nv->opts.sync_swap || swaps;
	}
	state_of(nv, p, q, &st);
	if (cowtrace_policy_swapin(nv->opts.model, &st, write, mark, &in))
		abort();
	f->exclusive = f->exclusive || in.exclusive;
	if (in.writable && write)
		f->cached = false;
	pg->flag = in.writable && pg->writable;
	if (!write || pg->flag)
		return;
	judge(nv, p, q, &more);
	for (int r = 0; r < COWTRACE_NR_REASONS; r++)
		eff->reasons[r] += more.reasons[r];
}

static int fault(struct nv *nv, struct nv_proc *p, u32 q, bool write, struct ct_effect *eff)
{
	struct nv_page *pg = &p->page[q];

	if (!pg->mapped || (write && !pg->writable))
		return -EFAULT;
	if (pg->kind == NV_NONE || pg->kind == NV_SWAP) {
		eff->fresh++;
		eff->reasons[COWTRACE_REASON_NOT_PRESENT]++;
		if (pg->kind == NV_NONE)
			populate(nv, p, q, write);
		else
			swap_in(nv, p, q, write, eff);
		return 0;
	}
	if (!write)
		return 0;
	if (pg->flag) {
		eff->reuse++;
		eff->reasons[COWTRACE_REASON_WRITABLE]++;
		return 0;
	}
	judge(nv, p, q, eff);
	return 0;
}

int nv_touch(struct nv *nv, u32 pid, u32 page, u32 nr, bool write, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);
	int rc = 0;

	for (u32 q = page; q < page + nr && !rc; q++)
		rc = fault(nv, p, q, write, eff);
	return rc;
}

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
	state_of(nv, p, q, &st);
	cowtrace_policy_fork(nv->opts.model, &st, &action);
	if (action == COWTRACE_FORK_COPY) {
		link_page(c, q, frame(nv, 0, NULL), true);
		return;
	}
	link_page(c, q, pg->frame, false);
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
			state_of(nv, p, u * 512, &st);
			cowtrace_policy_fork(nv->opts.model, &st, &action);
			if (action == COWTRACE_FORK_SPLIT_COPY)
				split_unit(p, u, eff);
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

static void unhold(struct nv *nv, int i)
{
	struct nv_frame *f = nv->pin[i].frame;
	bool dma = nv->pin[i].kind == CT_PIN_LONGTERM;

	if (f->folio) {
		f->folio->extra--;
		f->folio->pins -= dma;
	} else {
		f->extra -= dma ? 1024 : 1;
	}
	memmove(&nv->pin[i], &nv->pin[i + 1], (--nv->nr_pins - i) * sizeof(nv->pin[0]));
}

void nv_exit(struct nv *nv, u32 pid)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (int i = nv->nr_pins; i-- > 0;)
		if (nv->pin[i].pid == pid)
			unhold(nv, i);
	for (u32 u = 0; u < NV_UNITS; u++)
		clear_unit(p, u);
	p->pid = 0;
}

void nv_dontneed(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 u = page / 512; u <= (page + nr - 1) / 512; u++) {
		u32 a = ct_max(u * 512, page), b = ct_min((u + 1) * 512, page + nr);

		if (b - a == 512 && p->pmd[u]) {
			clear_unit(p, u);
			p->pmd[u] = p->table[u] = false;
			continue;
		}
		split_unit(p, u, eff);
		for (u32 q = a; q < b; q++)
			clear_page(p, q);
	}
}

/* Neighbours of one mmap() that are alike again are one mapping again. */
static void merge_vmas(struct nv_proc *p, u32 page, u32 end)
{
	for (u32 q = ct_max(page, 1U); q < ct_min(end + 1, (u32)NV_PAGES); q++) {
		int upper = p->page[q].vma, lower = p->page[q - 1].vma;

		if (upper == lower || p->page[q].map != p->page[q - 1].map ||
		    p->page[q].writable != p->page[q - 1].writable)
			continue;
		p->anon[lower] |= p->anon[upper];
		for (u32 i = q; i < NV_PAGES && p->page[i].vma == upper; i++)
			p->page[i].vma = lower;
	}
}

void nv_protect(struct nv *nv, u32 pid, u32 page, u32 nr, bool writable, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);
	u32 end = page + nr;

	for (u32 a = page, b; a < end; a = b) {
		/* A stretch of one mapping at a time, as mprotect goes. */
		for (b = a + 1; b < end && p->page[b].vma == p->page[a].vma;)
			b++;
		if (p->page[a].writable == writable)
			continue;
		/* New borders: the middle and what is above become mappings of their own. */
		for (int side = 0; side < 2; side++) {
			u32 cut = side ? b : a;
			int old, fresh = ++nv->next_vma;

			if (!cut || cut == NV_PAGES || p->page[cut].vma != p->page[cut - 1].vma)
				continue;
			if (fresh >= (int)ct_array_size(p->anon))
				abort();
			if (cut % 512)
				split_unit(p, cut / 512, eff);
			old = p->page[cut].vma;
			p->anon[fresh] = p->anon[old];
			for (u32 q = cut; q < NV_PAGES && p->page[q].vma == old; q++)
				p->page[q].vma = fresh;
		}
		for (u32 q = a; q < b; q++) {
			p->page[q].writable = writable;
			if (p->page[q].kind == NV_PRESENT)
				p->page[q].flag = writable &&
						  (p->page[q].flag || p->page[q].frame->exclusive);
			else if (p->page[q].kind != NV_SWAP)
				p->page[q].flag = false;
		}
	}
	merge_vmas(p, page, end);
}

void nv_split(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff)
{
	for (u32 u = page / 512; u <= (page + nr - 1) / 512; u++)
		split_unit(nv_find(nv, pid), u, eff);
}

int nv_pin(struct nv *nv, u32 pid, u32 page, enum ct_pin kind, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);
	struct nv_page *pg = &p->page[page];
	bool dma = kind == CT_PIN_LONGTERM;
	int rc = 0;

	if (!pg->flag || pg->kind != NV_PRESENT)
		rc = fault(nv, p, page, dma || nv->opts.model == COWTRACE_MODEL_G2_SPLIT, eff);
	if (rc)
		return rc;
	if (pg->kind != NV_PRESENT)
		return -EFAULT;
	if (pg->frame->folio) {
		pg->frame->folio->extra++;
		pg->frame->folio->pins += dma;
	} else {
		pg->frame->extra += dma ? 1024 : 1;
	}
	nv->pin[nv->nr_pins].pid = pid;
	nv->pin[nv->nr_pins].page = page;
	nv->pin[nv->nr_pins].frame = pg->frame;
	nv->pin[nv->nr_pins++].kind = kind;
	return 0;
}

int nv_unpin(struct nv *nv, u32 pid, u32 page)
{
	for (int i = nv->nr_pins; i-- > 0;) {
		if (nv->pin[i].pid != pid || nv->pin[i].page != page)
			continue;
		unhold(nv, i);
		return 0;
	}
	return -ENOENT;
}

/* The folio is no more: its frames are small pages from now on. */
static void split_folio(struct nv *nv, struct nv_folio *fo)
{
	for (int i = 0; i < NV_PROCS; i++)
		for (u32 q = 0; q < NV_PAGES; q++) {
			struct nv_frame *f = nv->proc[i].pid ? nv->proc[i].page[q].frame : NULL;

			if (f && f->folio == fo) {
				f->folio = NULL;
				f->order = 0;
			}
		}
}

static int small(struct nv *nv, struct nv_frame *f, struct ct_effect *eff)
{
	struct nv_folio *fo = f->folio;

	if (!fo)
		return 0;
	if (fo->extra)
		return -EBUSY;
	for (int i = 0; i < NV_PROCS; i++)
		for (u32 u = 0; u < NV_UNITS; u++)
			if (nv->proc[i].pid && nv->proc[i].pmd[u] &&
			    nv->proc[i].page[u * 512].frame &&
			    nv->proc[i].page[u * 512].frame->folio == fo)
				split_unit(&nv->proc[i], u, eff);
	split_folio(nv, fo);
	return 0;
}

int nv_merge(struct nv *nv, u32 pid_a, u32 a, u32 pid_b, u32 b, struct ct_effect *eff)
{
	struct nv_page *pa = &nv_find(nv, pid_a)->page[a], *pb = &nv_find(nv, pid_b)->page[b];
	struct nv_frame *keep;
	int rc;

	if (pa->kind != NV_PRESENT || pb->kind != NV_PRESENT)
		return -EINVAL;
	rc = small(nv, pa->frame, eff);
	if (!rc)
		rc = small(nv, pb->frame, eff);
	if (rc || pa->frame->extra || pb->frame->extra)
		return -EBUSY;
	pa->flag = pb->flag = false;
	pa->frame->exclusive = pb->frame->exclusive = false;
	keep = pb->frame->ksm ? pb->frame : pa->frame;
	keep->ksm = true;
	pa->frame = pb->frame = keep;
	return 0;
}

static bool all_of(const struct cowtrace_owners *own, u32 mm)
{
	return (own->id[0] == mm && own->count[0] == own->total) ||
	       (own->id[1] == mm && own->count[1] == own->total);
}

void nv_pageout(struct nv *nv, u32 pid, u32 page, u32 nr, struct ct_effect *eff)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 q = page; q < page + nr; q++) {
		struct nv_page *pg = &p->page[q];
		u32 ptes, swaps;

		if (pg->kind != NV_PRESENT)
			continue;
		/* All of the large folio is this process's, as far as its slots know. */
		if (pg->frame->folio && !pg->frame->folio->extra &&
		    all_of(&pg->frame->folio->own, p->mm)) {
			split_unit(p, q / 512, eff);
			split_folio(nv, pg->frame->folio);
		}
		maps(nv, pg->frame, &ptes, &swaps);
		if (pg->frame->order || ptes != 1 || pg->frame->extra || pg->frame->ksm)
			continue;
		pg->kind = NV_SWAP;
		pg->flag = pg->frame->exclusive;
		pg->frame->exclusive = pg->frame->cached = false;
		pg->frame->swapped = true;
	}
}

int nv_collapse(struct nv *nv, u32 pid, u32 unit)
{
	struct nv_proc *p = nv_find(nv, pid);

	for (u32 q = unit * 512; q < (unit + 1) * 512; q++)
		if (!p->page[q].mapped || p->page[q].vma != p->page[unit * 512].vma ||
		    p->page[q].backing == CT_BACK_FILE)
			return -EINVAL;
	if (!p->table[unit])
		return -EINVAL;
	if (p->pmd[unit])
		return p->page[unit * 512].kind == NV_ZERO ? -EINVAL : 0;
	for (u32 q = unit * 512; q < (unit + 1) * 512; q++) {
		struct nv_frame *f = p->page[q].kind == NV_PRESENT ? p->page[q].frame : NULL;

		if (f && (f->folio ? f->folio->extra : f->extra))
			return -EBUSY;
	}
	huge(nv, p, unit, p->page[unit * 512].writable);
	p->anon[p->page[unit * 512].vma] = true;
	return 0;
}
