/* SPDX-License-Identifier: MIT */
/*
 * Of the pages that the census found copied: whose call site is known, and why
 * that of the others is not.
 *
 * Invariant: each copied page is counted once, so that copied = attributed + the
 * sum of the reasons.
 */
#include "recorder/faults.h"
#include "recorder/firsts.h"
#include "recorder/writes.h"

static enum ct_no_site unseen(const struct ct_attribution *a, size_t region)
{
	const struct ct_regionset *set = a->share->fork->regions;
	enum ct_kind kind = region < set->nr ? set->v[region].kind : CT_KIND_ANON;

	if (a->c->faults)
		return ct_faults_unseen(a->c, a->share->fork->proc[a->share->side]);
	/* A userfaultfd takes no private file mapping: .data, .got, and the head of .bss. */
	return kind == CT_KIND_FILE_PRIVATE ? CT_NO_FILE_PRIVATE : CT_NO_FORK_WINDOW;
}

void ct_attribution_add(void *arg, u64 src, u64 page, size_t region)
{
	struct ct_attribution *a = arg;
	u8 value = ct_firsts_get(&a->share->firsts, src);

	/* Written before we heard that it had been moved there. */
	if (!value && page != src)
		value = ct_firsts_get(&a->share->firsts, page);
	a->pages[value ? value - 1u : (u32)unseen(a, region)]++;
}

/*
 * A write that found the queue full left no word of its page: as many of the pages that
 * nobody saw written are the recorder's own fault.
 */
void ct_attribution_blame(struct ct_rec_ctx *c, const struct ct_proc *p, struct ct_attribution *a)
{
	const u64 lost = ct_writes_lost(c, p, a->share->fork->id, a->share->side);
	const u64 nr = ct_min(lost, a->pages[CT_NO_FORK_WINDOW]);

	a->pages[CT_NO_FORK_WINDOW] -= nr;
	a->pages[CT_NO_RECORDER_LATE] += nr;
}

void ct_attribution_tell(struct ct_rec_ctx *c, const struct ct_attribution *a)
{
	struct ct_rec rec = { .type = CT_REC_UNATTRIBUTED };
	u32 i;

	for (i = CT_SITE_KNOWN + 1; i < CT_NO_SITE_NR; i++) {
		if (!a->pages[i] && !(a->share->reasons_told & 1u << i))
			continue;
		a->share->reasons_told |= 1u << i;
		rec.unattributed.fork = a->share->fork->id;
		rec.unattributed.side = a->share->side;
		rec.unattributed.reason = (enum ct_no_site)i;
		rec.unattributed.pages = a->pages[i];
		ct_outbox_put(c->out, &rec);
	}
}
