/* SPDX-License-Identifier: MIT */
/*
 * From the book to a page state, as the kernel's counters would show it; and the
 * book read out in runs.
 *
 * Invariant: what is returned passes cowtrace_page_state_check().
 */
#include "ledger/internal.h"

/* Only the rules to 5.17 ask, and only of large folios. */
static u32 max_mapcount(const struct ct_ledger *l, u32 frame)
{
	const struct block *b = ct_block_of(l, frame);
	u32 first, best = 0;

	if (!b->is_each)
		return b->same.mapcount + b->folio.entire;
	first = (frame & UNIT_MASK) & ~((1U << b->order) - 1);
	for (u32 i = first; i < first + (1U << b->order); i++)
		best = ct_max(best, (u32)b->each[i].mapcount + b->each[i].swapcount);
	return best + b->folios[first >> b->order].entire;
}

static u32 own_in_unit(const struct unit *u, u32 first, u32 nr)
{
	u32 own = 0;

	if (!u->is_each) {
		if (ct_pte_kind(u->same) != PTE_PRESENT ||
		    first - (u->same & PTE_FRAME_MASK) >= UNIT_PAGES)
			return 0;
		return u->pmd ? 1 : nr;
	}
	for (u32 i = 0; i < UNIT_PAGES; i++)
		own += ct_pte_kind(u->each[i]) == PTE_PRESENT &&
		       (u->each[i] & PTE_FRAME_MASK) - first < nr;
	return own;
}

/* Mappings of one folio by one process, told exactly: a walk over all of its units. */
static u32 own_mapcount(const struct proc *p, u32 frame, u8 order)
{
	u32 first = (frame & PTE_FRAME_MASK) & ~((1U << order) - 1);
	u32 own = 0;

	for (size_t i = 0; i < p->nr_units; i++)
		own += own_in_unit(&p->units[i], first, 1U << order);
	return own;
}

bool ct_folio_mine(const struct ct_ledger *l, const struct proc *p, u32 frame)
{
	const struct folio *fo = ct_folio_see(l, frame);
	u32 mine = 0;

	if (!l->has_slots)
		return !fo->extra &&
		       own_mapcount(p, frame, ct_frame_see(l, frame)->order) == fo->own.total;
	for (int i = 0; i < 2; i++)
		mine += fo->own.id[i] == p->mm ? fo->own.count[i] : 0;
	return !fo->extra && mine == fo->own.total;
}

static void state_large(struct ct_ledger *l, const struct proc *p, const struct unit *u, u32 frame,
			const struct frame *fr, struct cowtrace_page_state *st)
{
	const struct folio *fo = ct_folio_see(l, frame);
	enum cowtrace_model_id model = l->opts.model;

	st->order = fr->order;
	st->mapcount = fr->mapcount + fo->entire;
	st->entire_mapcount = fo->entire;
	st->large_mapcount = fo->own.total;
	st->refcount = fo->own.total + fo->extra + (fo->swapcache ? 1U << fr->order : 0);
	st->swapcount = fo->swaps;
	if (fo->swapcache)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_SWAPCACHE);
	if (fo->own.shared)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_MM_SHARED);
	if (fo->pins)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_PINNED);
	if (u->pmd)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_PMD);
	if (model == COWTRACE_MODEL_RMAPID)
		st->own_mapcount = own_mapcount(p, frame, fr->order);
	else
		st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_OWN_MAPCOUNT);
	if (model <= COWTRACE_MODEL_G3 || model == COWTRACE_MODEL_DRAFT)
		st->max_mapcount = max_mapcount(l, frame);
	else
		st->known &= ~COWTRACE_BIT(COWTRACE_FIELD_MAX_MAPCOUNT);
}

static void state_anon(struct ct_ledger *l, const struct proc *p, const struct unit *u, ct_pte pte,
		       struct cowtrace_page_state *st)
{
	u32 frame = pte & PTE_FRAME_MASK;
	const struct frame *fr = ct_frame_see(l, frame);

	st->swapcount = fr->swapcount;
	if (fr->flags & FR_EXCLUSIVE)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_EXCLUSIVE);
	if (fr->flags & FR_SWAPCACHE)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_SWAPCACHE);
	if (fr->flags & FR_KSM)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_KSM);
	if (fr->flags & FR_HUGETLB)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_HUGETLB);
	if (fr->order) {
		state_large(l, p, u, frame, fr, st);
		return;
	}
	st->mapcount = st->max_mapcount = st->large_mapcount = fr->mapcount;
	st->max_mapcount += fr->swapcount;
	st->refcount = fr->mapcount + fr->extra + !!(fr->flags & FR_SWAPCACHE);
	if (fr->extra >= PIN_BIAS)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_PINNED);
	/* Many things drain a batch (exit and munmap among them, to 6.12): who knows? */
	if (fr->flags & FR_BATCHED)
		st->known &= ~(COWTRACE_BIT(COWTRACE_FIELD_LRU) |
			       COWTRACE_BIT(COWTRACE_FIELD_LRU_LOCAL) |
			       COWTRACE_BIT(COWTRACE_FIELD_REFCOUNT));
}

void ct_state_of(struct ct_ledger *l, const struct proc *p, const struct unit *u, u32 i,
		 struct cowtrace_page_state *st)
{
	ct_pte pte = ct_pte_get(u, i);

	cowtrace_page_state_init(st);
	if (u->pmd)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_PMD);
	if (ct_pte_kind(pte) == PTE_ZERO)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_ZERO);
	else if (ct_pte_kind(pte) == PTE_FILE)
		st->flags |= COWTRACE_BIT(COWTRACE_FIELD_FILE);
	else
		state_anon(l, p, u, pte, st);
}

int ct_ledger_state(struct ct_ledger *l, u32 pid, u64 page, struct cowtrace_page_state *ret_st)
{
	struct proc *p;
	struct unit *u;
	ct_pte kind;
	int rc;

	rc = ct_range_check(l, pid, page, 1, &p);
	if (rc)
		return rc;
	u = ct_unit_find(p, page);
	kind = u ? ct_pte_kind(ct_pte_get(u, page & UNIT_MASK)) : PTE_NONE;
	if (kind == PTE_NONE || kind == PTE_SWAP)
		return -EFAULT;
	ct_state_of(l, p, u, page & UNIT_MASK, ret_st);
	if (ct_vma_at(p, page)->backing == CT_BACK_SHARED)
		ret_st->flags |= COWTRACE_BIT(COWTRACE_FIELD_SHARED);
	return 0;
}

static void run_of(struct ct_ledger *l, const struct proc *p, const struct unit *u, u32 i,
		   struct ct_ledger_run *run)
{
	ct_pte pte = ct_pte_get(u, i);
	ct_pte kind = ct_pte_kind(pte);

	memset(run, 0, sizeof(*run));
	run->page = (u->nr << UNIT_SHIFT) + i;
	run->nr = 1;
	run->swapped = kind == PTE_SWAP;
	run->zero = kind == PTE_ZERO;
	run->file = kind == PTE_FILE;
	run->present = kind != PTE_SWAP;
	run->writable = run->present && (pte & PTE_FLAG);
	if (run->present)
		ct_state_of(l, p, u, i, &run->st);
}

static bool alike(const struct ct_ledger_run *a, const struct ct_ledger_run *b)
{
	return a->page + a->nr == b->page && a->swapped == b->swapped &&
	       a->writable == b->writable && a->zero == b->zero && a->file == b->file &&
	       !memcmp(&a->st, &b->st, sizeof(a->st));
}

struct runs {
	struct ct_ledger_run open; /* nr == 0: none */
	int (*fn)(void *arg, const struct ct_ledger_run *run);
	void *arg;
};

static int push(struct runs *r, const struct ct_ledger_run *run)
{
	int rc;

	if (r->open.nr && alike(&r->open, run)) {
		r->open.nr += run->nr;
		return 0;
	}
	rc = r->open.nr ? r->fn(r->arg, &r->open) : 0;
	r->open = *run;
	return rc;
}

static int runs_of_unit(struct ct_ledger *l, struct proc *p, struct unit *u, struct runs *r)
{
	struct ct_ledger_run run;
	int rc = 0;

	/* Alike on both sides of the book: one look at the first page is enough. */
	if (!u->is_each && ct_pte_kind(u->same) != PTE_NONE &&
	    (ct_pte_kind(u->same) != PTE_PRESENT || !ct_block_of(l, u->same)->is_each)) {
		run_of(l, p, u, 0, &run);
		run.nr = UNIT_PAGES;
		return push(r, &run);
	}
	for (u32 i = 0; i < UNIT_PAGES && !rc; i++) {
		if (ct_pte_kind(ct_pte_get(u, i)) == PTE_NONE)
			continue;
		run_of(l, p, u, i, &run);
		rc = push(r, &run);
	}
	return rc;
}

int ct_ledger_runs(struct ct_ledger *l, u32 pid,
		   int (*fn)(void *arg, const struct ct_ledger_run *run), void *arg)
{
	struct runs r = { .fn = fn, .arg = arg };
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, 0, 1, &p);
	for (size_t i = 0; !rc && i < p->nr_units; i++)
		rc = runs_of_unit(l, p, &p->units[i], &r);
	if (!rc && r.open.nr)
		rc = fn(arg, &r.open);
	return rc;
}

u64 ct_ledger_nr_huge(struct ct_ledger *l, u32 pid)
{
	u64 nr = 0;

	for (size_t i = 0; i < l->nr_procs; i++) {
		const struct proc *p = &l->procs[i];

		if (pid && p->pid != pid)
			continue;
		for (size_t j = 0; j < p->nr_units; j++) {
			const struct unit *u = &p->units[j];

			/* The huge zero page and hugetlb are not counted by smaps either. */
			nr += u->pmd && ct_pte_kind(u->same) == PTE_PRESENT &&
			      !(ct_frame_see(l, u->same)->flags & FR_HUGETLB);
		}
	}
	return nr;
}
