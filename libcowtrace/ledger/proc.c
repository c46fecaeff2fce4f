/* SPDX-License-Identifier: MIT */
/*
 * The process side of the book: mappings and units, found and cut.  Knows no
 * frames but to pass them on when a huge mapping is split.
 *
 * Invariant: a process's mappings and units are sorted and do not overlap; a unit
 * that is PMD-mapped, or "same", lies whole in one mapping.
 */
#include "ledger/internal.h"

struct proc *ct_proc_find(struct ct_ledger *l, u32 pid)
{
	for (size_t i = 0; i < l->nr_procs; i++)
		if (l->procs[i].pid == pid)
			return &l->procs[i];
	return NULL;
}

int ct_range_check(struct ct_ledger *l, u32 pid, u64 page, u64 nr, struct proc **ret_proc)
{
	struct proc *p;

	if (l->broken)
		return -ENOMEM;
	if (!nr || page + nr < page || page + nr > 1ULL << 52)
		return -EINVAL;
	p = ct_proc_find(l, pid);
	if (!p)
		return -ESRCH;
	*ret_proc = p;
	return 0;
}

static size_t vma_index(const struct proc *p, u64 page)
{
	size_t lo = 0, hi = p->nr_vmas;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->vmas[mid].end <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct vma *ct_vma_after(struct proc *p, u64 page)
{
	size_t i = vma_index(p, page);

	return i < p->nr_vmas ? &p->vmas[i] : NULL;
}

struct vma *ct_vma_at(struct proc *p, u64 page)
{
	struct vma *v = ct_vma_after(p, page);

	return v && v->start <= page ? v : NULL;
}

int ct_vma_add(struct ct_ledger *l, struct proc *p, const struct vma *vma)
{
	size_t i = vma_index(p, vma->start);

	if (!ct_mem_room(l, (void **)&p->vmas, p->nr_vmas, &p->max_vmas, sizeof(*p->vmas)))
		return -ENOMEM;
	memmove(&p->vmas[i + 1], &p->vmas[i], (p->nr_vmas - i) * sizeof(*p->vmas));
	p->vmas[i] = *vma;
	p->nr_vmas++;
	return 0;
}

/* A border between mappings at @page, if one spans it. */
int ct_vma_cut(struct ct_ledger *l, struct proc *p, u64 page)
{
	struct vma *v = ct_vma_at(p, page);
	struct vma upper;

	if (!v || v->start == page)
		return 0;
	upper = *v;
	upper.start = page;
	v->end = page;
	return ct_vma_add(l, p, &upper);
}

static bool mergeable(const struct vma *a, const struct vma *b)
{
	return a->end == b->start && a->map == b->map && a->writable == b->writable &&
	       a->dontfork == b->dontfork && a->wipeonfork == b->wipeonfork &&
	       a->nohuge == b->nohuge && a->backing == b->backing && a->uffd == b->uffd;
}

/* Pieces that have become alike are one mapping again, as the kernel has it. */
void ct_vma_merge(struct proc *p, u64 start, u64 end)
{
	size_t i = vma_index(p, start ? start - 1 : 0);

	while (i + 1 < p->nr_vmas && p->vmas[i].end <= end) {
		if (!mergeable(&p->vmas[i], &p->vmas[i + 1])) {
			i++;
			continue;
		}
		p->vmas[i].anon |= p->vmas[i + 1].anon;
		p->vmas[i].end = p->vmas[i + 1].end;
		memmove(&p->vmas[i + 1], &p->vmas[i + 2], (p->nr_vmas - i - 2) * sizeof(*p->vmas));
		p->nr_vmas--;
	}
}

/* The borders must have been cut. */
void ct_vma_drop(struct proc *p, u64 start, u64 end)
{
	size_t i = vma_index(p, start), j = i;

	while (j < p->nr_vmas && p->vmas[j].end <= end)
		j++;
	memmove(&p->vmas[i], &p->vmas[j], (p->nr_vmas - j) * sizeof(*p->vmas));
	p->nr_vmas -= j - i;
}

static size_t unit_index(const struct proc *p, u64 nr)
{
	size_t lo = 0, hi = p->nr_units;

	if (hi && p->units[hi - 1].nr < nr)
		return hi;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->units[mid].nr < nr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct unit *ct_unit_after(struct proc *p, u64 nr)
{
	size_t i = unit_index(p, nr);

	return i < p->nr_units ? &p->units[i] : NULL;
}

struct unit *ct_unit_find(struct proc *p, u64 page)
{
	u64 nr = page >> UNIT_SHIFT;
	size_t i = p->hint;

	if (i < p->nr_units && p->units[i].nr == nr)
		return &p->units[i];
	i = unit_index(p, nr);
	if (i == p->nr_units || p->units[i].nr != nr)
		return NULL;
	p->hint = i;
	return &p->units[i];
}

struct unit *ct_unit_get(struct ct_ledger *l, struct proc *p, u64 page)
{
	struct unit *u = ct_unit_find(p, page);
	size_t i;

	if (u)
		return u;
	if (!ct_mem_room(l, (void **)&p->units, p->nr_units, &p->max_units, sizeof(*p->units)))
		return NULL;
	i = unit_index(p, page >> UNIT_SHIFT);
	u = &p->units[i];
	memmove(u + 1, u, (p->nr_units - i) * sizeof(*u));
	p->nr_units++;
	*u = (struct unit){ .nr = page >> UNIT_SHIFT };
	return u;
}

/* Its entries must be gone, or be somebody else's now. */
void ct_unit_drop(struct ct_ledger *l, struct proc *p, struct unit *u)
{
	if (u->is_each)
		ct_mem_put(l, u->each, UNIT_PAGES * sizeof(*u->each));
	memmove(u, u + 1, (&p->units[p->nr_units] - (u + 1)) * sizeof(*u));
	p->nr_units--;
}

bool ct_unit_each(struct ct_ledger *l, struct unit *u)
{
	ct_pte *each;

	if (u->is_each)
		return true;
	each = ct_mem_get(l, UNIT_PAGES * sizeof(*each));
	if (!each)
		return false;
	for (u32 i = 0; i < UNIT_PAGES; i++)
		each[i] = ct_pte_get(u, i);
	u->each = each;
	u->is_each = true;
	return true;
}

/* A PMD becomes 512 PTEs of the same frames, with the same permission. */
void ct_unit_split(struct ct_ledger *l, struct proc *p, struct unit *u, struct ct_effect *eff)
{
	if (!u->pmd)
		return;
	u->pmd = u->wp = false;
	eff->split++;
	if (ct_pte_kind(u->same) == PTE_PRESENT)
		ct_block_split_pmd(l, u->same, p->mm);
}
