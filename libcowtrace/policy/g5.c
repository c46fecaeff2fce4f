/* SPDX-License-Identifier: MIT */
/*
 * G5, Linux 5.19 to 6.14: each anonymous page remembers that it is exclusive ("mm:
 * remember exclusively mapped anonymous pages with PG_anon_exclusive"); such a
 * page is reused with no further question, pinned or in the swap cache or not.
 * Only fork, KSM and unmapping for swap clear the mark; a reuse by G4's rule sets
 * it again.
 *
 * Invariant: exclusive means REUSE, before anything else is looked at.
 * Read in: 5.19.0, 6.1.20, 6.8.0, 6.13.7, 6.14.0 mm/memory.c.
 */
#include "policy/rules.h"

static bool marked(struct ct_eval *ev, enum cowtrace_reason reason)
{
	return ct_when(ev, COWTRACE_FIELD_EXCLUSIVE, ct_flag(ev, COWTRACE_FIELD_EXCLUSIVE),
		       COWTRACE_REUSE, reason);
}

void ct_g5_small(struct ct_eval *ev)
{
	if (!marked(ev, COWTRACE_REASON_ANON_EXCLUSIVE))
		ct_g4_small(ev);
}

/* From 6.10 a page of a large folio is never reused: give the folio back soon. */
void ct_g5_late_small(struct ct_eval *ev)
{
	if (marked(ev, COWTRACE_REASON_ANON_EXCLUSIVE))
		return;
	if (ct_when(ev, COWTRACE_FIELD_ORDER, ct_above(ev, COWTRACE_FIELD_ORDER, ev->st->order, 0),
		    COWTRACE_COPY, COWTRACE_REASON_LARGE_FOLIO))
		return;
	ct_g4_small(ev);
}

void ct_g5_huge(struct ct_eval *ev)
{
	if (!marked(ev, COWTRACE_REASON_THP_ANON_EXCLUSIVE))
		ct_g4_huge(ev);
}
