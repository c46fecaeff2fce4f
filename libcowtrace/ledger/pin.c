/* SPDX-License-Identifier: MIT */
/*
 * References that are no mappings: vmsplice's and get_user_pages', and pins for
 * DMA.
 *
 * Invariant: each pin in the list holds its frame; it goes with its process.
 */
#include "ledger/internal.h"

/* Of a small page; a large folio counts them apart, and is not broken up while held. */
static u32 weight(enum ct_pin kind)
{
	return kind == CT_PIN_LONGTERM ? PIN_BIAS : 1;
}

static int hold(struct ct_ledger *l, u32 frame, enum ct_pin kind)
{
	struct folio *fo = ct_folio_at(l, frame);
	struct frame *fr;

	if (fo) {
		fo->extra++;
		fo->pins += kind == CT_PIN_LONGTERM;
		return 0;
	}
	fr = ct_frame_at(l, frame);
	if (!fr)
		return -ENOMEM;
	if (fr->extra > UINT16_MAX - PIN_BIAS)
		return -EBUSY;
	fr->extra += weight(kind);
	return ct_result(l, 0);
}

static void let_go(struct ct_ledger *l, size_t i)
{
	struct pin pin = l->pins[i];
	struct folio *fo = ct_folio_at(l, pin.frame);

	memmove(&l->pins[i], &l->pins[i + 1], (--l->nr_pins - i) * sizeof(*l->pins));
	if (fo) {
		fo->extra--;
		fo->pins -= pin.kind == CT_PIN_LONGTERM;
		if (!fo->own.total)
			ct_frame_put(l, pin.frame);
		return;
	}
	ct_frame_at(l, pin.frame)->extra -= weight(pin.kind);
	ct_frame_release(l, pin.frame);
}

void ct_pin_drop_mm(struct ct_ledger *l, u32 mm)
{
	for (size_t i = l->nr_pins; i-- > 0;)
		if (l->pins[i].mm == mm)
			let_go(l, i);
}

/* A pin for writing needs a writable entry; in 5.8 so does any reference. */
static bool needs_write(const struct ct_ledger *l, enum ct_pin kind)
{
	return kind == CT_PIN_LONGTERM || l->opts.model == COWTRACE_MODEL_G2_SPLIT;
}

int ct_ledger_pin(struct ct_ledger *l, u32 pid, u64 page, enum ct_pin kind, struct ct_effect *eff)
{
	struct proc *p;
	struct unit *u;
	ct_pte pte;
	int rc;

	rc = ct_range_check(l, pid, page, 1, &p);
	if (rc)
		return rc;
	u = ct_unit_find(p, page);
	pte = u ? ct_pte_get(u, page & UNIT_MASK) : PTE_NONE;
	if (!(pte & PTE_FLAG) || ct_pte_kind(pte) != PTE_PRESENT)
		rc = ct_entry_fault(l, p, page, needs_write(l, kind), eff);
	if (rc)
		return rc;
	u = ct_unit_find(p, page);
	pte = ct_pte_get(u, page & UNIT_MASK);
	/* The zero page and a file's may be held too: nothing here depends on it. */
	if (ct_pte_kind(pte) != PTE_PRESENT)
		return -EFAULT;
	if (!ct_mem_room(l, (void **)&l->pins, l->nr_pins, &l->max_pins, sizeof(*l->pins)))
		return -ENOMEM;
	rc = hold(l, pte & PTE_FRAME_MASK, kind);
	if (!rc)
		l->pins[l->nr_pins++] = (struct pin){ p->mm, pte & PTE_FRAME_MASK, page, kind };
	return rc;
}

int ct_ledger_unpin(struct ct_ledger *l, u32 pid, u64 page)
{
	struct proc *p;
	int rc;

	rc = ct_range_check(l, pid, page, 1, &p);
	if (rc)
		return rc;
	for (size_t i = l->nr_pins; i-- > 0;) {
		if (l->pins[i].mm != p->mm || l->pins[i].page != page)
			continue;
		let_go(l, i);
		return ct_result(l, 0);
	}
	return -ENOENT;
}

int ct_ledger_drain(struct ct_ledger *l)
{
	for (size_t i = 0; i < l->nr_blocks; i++)
		ct_block_flags(l, i << UNIT_SHIFT, 0, FR_BATCHED);
	return ct_result(l, 0);
}
