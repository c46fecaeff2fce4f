/* SPDX-License-Identifier: MIT */
/*
 * What the naive ledger's files know of each other; see naive.h.
 */
#ifndef TEST_NAIVE_INNER_H
#define TEST_NAIVE_INNER_H

#include "naive.h"

/* naive.c */
void *nv_get(struct nv *nv, size_t size); /* freed with @nv */
void nv_maps(struct nv *nv, const struct nv_frame *f, u32 *ptes, u32 *swaps);

/* naive_state.c */
void nv_state_of(struct nv *nv, const struct nv_proc *p, u32 q, struct cowtrace_page_state *st);

u32 nv_own(const struct nv_proc *p, const struct nv_folio *fo); /* its entries */

/* naive_entry.c */
struct nv_frame *nv_frame_new(struct nv *nv, u8 order, struct nv_folio *fo, u32 index);
void nv_link(struct nv_proc *p, u32 q, struct nv_frame *f, bool writable);
void nv_clear_page(struct nv_proc *p, u32 q);
void nv_clear_unit(struct nv_proc *p, u32 unit);
void nv_huge(struct nv *nv, struct nv_proc *p, u32 unit, bool writable);
void nv_split_unit(struct nv_proc *p, u32 unit, struct ct_effect *eff);
void nv_split_folio(struct nv *nv, struct nv_folio *fo);

/* naive_fault.c */
void nv_judge(struct nv *nv, struct nv_proc *p, u32 q, struct ct_effect *eff);
int nv_fault(struct nv *nv, struct nv_proc *p, u32 q, bool write, struct ct_effect *eff);

/* naive_swap.c */
void nv_swap_in(struct nv *nv, struct nv_proc *p, u32 q, bool write, struct ct_effect *eff);

/* naive_hold.c */
void nv_unhold(struct nv *nv, int i);

#endif
