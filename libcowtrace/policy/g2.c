/* SPDX-License-Identifier: MIT */
/*
 * G2, Linux 5.1 to 5.8: G1, but a KSM page that only one entry maps is taken out
 * of KSM and reused ("mm: reuse only-pte-mapped KSM page in do_wp_page()",
 * 52d1e606ee73): the merge is lost, a copy is saved.  In 5.8 a shared huge page
 * is split and no longer copied whole (ct_g2_split_huge, g1.c).
 *
 * Invariant: what is not KSM is judged exactly as by G1.
 * Read in: 5.2.1 and 5.8.1 mm/memory.c do_wp_page, mm/ksm.c reuse_ksm_page.
 */
#include "policy/rules.h"

/* Tests made before the lock is taken. */
static bool ksm_hopeless(struct ct_eval *ev, enum cowtrace_truth ksm)
{
	if (ct_when(ev, COWTRACE_FIELD_SWAPCACHE,
		    ct_and(ksm, ct_flag(ev, COWTRACE_FIELD_SWAPCACHE)), COWTRACE_COPY,
		    COWTRACE_REASON_KSM_SWAPCACHE))
		return true;
	return ct_when(ev, COWTRACE_FIELD_REFCOUNT, ct_and(ksm, ct_ref_above(ev, 1)), COWTRACE_COPY,
		       COWTRACE_REASON_KSM_SHARED);
}

static bool ksm_reused(struct ct_eval *ev, enum cowtrace_truth ksm)
{
	enum cowtrace_truth unstable = ct_not(ct_flag(ev, COWTRACE_FIELD_KSM_STABLE));

	/* Not linked to the stable tree yet, or its count could not be frozen at one. */
	if (ct_when(ev, COWTRACE_FIELD_KSM_STABLE,
		    ct_and(ksm, ct_or(unstable, ct_flag(ev, COWTRACE_FIELD_RACED))), COWTRACE_COPY,
		    COWTRACE_REASON_KSM_FREEZE_FAILED))
		return true;
	return ct_when(ev, COWTRACE_FIELD_KSM, ksm, COWTRACE_REUSE, COWTRACE_REASON_KSM_REUSED);
}

void ct_g2_small(struct ct_eval *ev)
{
	enum cowtrace_truth ksm = ct_flag(ev, COWTRACE_FIELD_KSM);

	if (ksm_hopeless(ev, ksm) || ct_g1_changed(ev) || ksm_reused(ev, ksm))
		return;
	ct_g1_not_ksm(ev);
}
