/* SPDX-License-Identifier: MIT */
/*
 * Processes: they appear, fork, exec and go.
 *
 * Invariant: after fork no private page that both map is writable or exclusive in
 * either; a process that is gone has no entry, mapping or pin left.
 */
#include <stdlib.h>

#include "ledger/internal.h"
#include "policy/rules.h"

static int proc_add(struct ct_ledger *l, u32 pid)
{
	if (l->broken)
		return -ENOMEM;
	if (!pid)
		return -EINVAL;
	if (ct_proc_find(l, pid))
		return -EEXIST;
	if (l->nr_procs >= CT_LEDGER_MAX_PROCS)
		return -EAGAIN;
	if (!ct_mem_room(l, (void **)&l->procs, l->nr_procs, &l->max_procs, sizeof(*l->procs)))
		return -ENOMEM;
	l->procs[l->nr_procs++] = (struct proc){ .pid = pid, .mm = ++l->next_mm };
	return 0;
}

int ct_ledger_spawn(struct ct_ledger *l, u32 pid)
{
	return proc_add(l, pid);
}

/* One PTE of the parent; the child's is returned. */
static ct_pte fork_entry(struct ct_ledger *l, struct proc *parent, struct unit *u, u32 i,
			 u32 child_mm)
{
	ct_pte pte = ct_pte_get(u, i);
	u32 frame = pte & PTE_FRAME_MASK;
	enum cowtrace_fork_action action = COWTRACE_FORK_SHARE;
	struct cowtrace_page_state st;
	struct frame *fr;

	if (ct_pte_kind(pte) != PTE_PRESENT && ct_pte_kind(pte) != PTE_SWAP)
		return pte;
	fr = ct_frame_at(l, frame);
	if (!fr)
		return PTE_NONE;
	if (ct_pte_kind(pte) == PTE_SWAP) {
		ct_frame_count_swap(l, frame, 1);
		ct_pte_set(u, i, pte & ~PTE_FLAG);
		return pte & ~PTE_FLAG;
	}
	ct_state_of(l, parent, u, i, &st);
	cowtrace_policy_fork(l->opts.model, &st, &action);
	if (action == COWTRACE_FORK_COPY) {
		frame = ct_frame_new(l);
		if (frame == UINT32_MAX)
			return PTE_NONE;
		ct_frame_map(l, frame, child_mm);
		return PTE_PRESENT | PTE_FLAG | frame;
	}
	ct_frame_map(l, frame, child_mm);
	fr->flags &= ~FR_EXCLUSIVE;
	ct_pte_set(u, i, pte & ~PTE_FLAG);
	return pte & ~PTE_FLAG;
}

/* A unit that one entry, or one kind of entry, maps; false: page by page. */
static bool fork_alike(struct ct_ledger *l, struct proc *parent, struct unit *u, struct proc *child,
		       struct ct_effect *eff)
{
	u32 frame = u->same & PTE_FRAME_MASK;
	enum cowtrace_fork_action action = COWTRACE_FORK_SHARE;
	struct cowtrace_page_state st;
	struct unit *to;

	if (u->is_each)
		return false;
	if (ct_pte_kind(u->same) == PTE_PRESENT) {
		ct_state_of(l, parent, u, 0, &st);
		cowtrace_policy_fork(l->opts.model, &st, &action);
		if (action == COWTRACE_FORK_SPLIT_COPY)
			ct_unit_split(l, parent, u, eff);
		/* Frames that are told apart may be pinned one by one. */
		if (action != COWTRACE_FORK_SHARE || (!u->pmd && ct_block_of(l, frame)->is_each))
			return false;
	}
	to = ct_unit_get(l, child, u->nr << UNIT_SHIFT);
	if (!to)
		return true;
	u->same &= ~PTE_FLAG;
	*to = *u;
	to->wp = false;
	if (ct_pte_kind(u->same) != PTE_PRESENT)
		return true;
	ct_block_flags(l, frame, 0, FR_EXCLUSIVE);
	if (u->pmd)
		ct_block_map_pmd(l, frame, child->mm);
	else
		ct_block_map_all(l, frame, child->mm);
	return true;
}

static int fork_unit(struct ct_ledger *l, struct proc *parent, const struct vma *v, struct unit *u,
		     struct proc *child, struct ct_effect *eff)
{
	u64 base = u->nr << UNIT_SHIFT;
	u64 first = ct_max(base, v->start), end = ct_min(base + UNIT_PAGES, v->end);
	struct unit *to;

	if (fork_alike(l, parent, u, child, eff))
		return ct_result(l, 0);
	to = ct_unit_get(l, child, base);
	if (!to || !ct_unit_each(l, u) || !ct_unit_each(l, to))
		return -ENOMEM;
	for (u64 page = first; page < end; page++)
		ct_pte_set(to, page & UNIT_MASK,
			   fork_entry(l, parent, u, page & UNIT_MASK, child->mm));
	return ct_result(l, 0);
}

static int fork_vma(struct ct_ledger *l, struct proc *parent, const struct vma *v,
		    struct proc *child, struct ct_effect *eff)
{
	struct vma copy = *v;
	struct unit *u;
	int rc;

	if (v->dontfork)
		return 0;
	/* The child's events would need a monitor of their own. */
	copy.uffd = CT_UFFD_NONE;
	if (v->wipeonfork)
		copy.anon = false;
	rc = ct_vma_add(l, child, &copy);
	/* What never held anonymous memory is faulted in again by the child. */
	if (rc || v->wipeonfork || !v->anon)
		return rc;
	for (u = ct_unit_after(parent, v->start >> UNIT_SHIFT);
	     u && u < parent->units + parent->nr_units && u->nr << UNIT_SHIFT < v->end && !rc; u++)
		rc = fork_unit(l, parent, v, u, child, eff);
	return rc;
}

int ct_ledger_fork(struct ct_ledger *l, u32 parent, u32 child, struct ct_effect *eff)
{
	struct proc *from, *to;
	int rc;

	rc = ct_range_check(l, parent, 0, 1, &from);
	if (!rc)
		rc = proc_add(l, child);
	if (rc)
		return rc;
	from = ct_proc_find(l, parent);
	to = ct_proc_find(l, child);
	for (size_t i = 0; i < from->nr_vmas && !rc; i++)
		rc = fork_vma(l, from, &from->vmas[i], to, eff);
	return rc;
}

/* Everything but the process itself. */
static void forget(struct ct_ledger *l, struct proc *p)
{
	ct_pin_drop_mm(l, p->mm);
	for (size_t i = 0; i < p->nr_units; i++) {
		struct unit *u = &p->units[i];

		ct_unit_clear(l, p, u);
		if (u->is_each)
			ct_mem_put(l, u->each, UNIT_PAGES * sizeof(*u->each));
	}
	ct_mem_put(l, p->units, p->max_units * sizeof(*p->units));
	ct_mem_put(l, p->vmas, p->max_vmas * sizeof(*p->vmas));
	*p = (struct proc){ .pid = p->pid, .mm = ++l->next_mm };
}

int ct_ledger_exec(struct ct_ledger *l, u32 pid)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, 0, 1, &p);
	if (!rc)
		forget(l, p);
	return ct_result(l, rc);
}

int ct_ledger_exit(struct ct_ledger *l, u32 pid)
{
	struct proc *p;
	int rc;

	rc = ct_ledger_exec(l, pid);
	if (rc)
		return rc;
	p = ct_proc_find(l, pid);
	*p = l->procs[--l->nr_procs];
	return 0;
}

int ct_ledger_create(const struct ct_ledger_options *opts, struct ct_ledger **ret_ledger)
{
	struct cowtrace_page_state marked;
	struct cowtrace_verdict v;
	struct ct_ledger *l;

	/* A generation has the mark if the mark changes its verdict. */
	cowtrace_page_state_init(&marked);
	cowtrace_page_state_set(&marked, COWTRACE_FIELD_EXCLUSIVE, 1);
	if (cowtrace_policy_judge(opts->model, &marked, &v))
		return -EINVAL;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	memcpy(&l->opts, opts, ct_min(opts->sz, sizeof(*opts)));
	l->has_mark = v.reason == COWTRACE_REASON_ANON_EXCLUSIVE;
	l->knows_pins = ct_rules_get(opts->model)->pin_copies;
	l->has_slots = ct_rules_get(opts->model)->has_slots;
	l->whole_swap = ct_rules_get(opts->model)->whole_swap;
	l->memory = sizeof(*l);
	*ret_ledger = l;
	return 0;
}

void ct_ledger_destroy(struct ct_ledger *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->nr_procs; i++) {
		for (size_t j = 0; j < l->procs[i].nr_units; j++)
			if (l->procs[i].units[j].is_each)
				free(l->procs[i].units[j].each);
		free(l->procs[i].units);
		free(l->procs[i].vmas);
	}
	for (size_t i = 0; i < l->nr_blocks; i++) {
		if (!l->blocks[i].is_each)
			continue;
		free(l->blocks[i].each);
		free(l->blocks[i].folios);
	}
	free(l->procs);
	free(l->blocks);
	free(l->free_blocks);
	free(l->free_frames.frames);
	free(l->free_mthps.frames);
	free(l->pins);
	free(l);
}

size_t ct_ledger_memory(const struct ct_ledger *l)
{
	return l->memory;
}
