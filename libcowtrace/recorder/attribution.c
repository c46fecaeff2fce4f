/* SPDX-License-Identifier: MIT */
/*
 * Of the pages that the census found copied: whose call site is known, and why
 * that of the others is not.
 *
 * Invariant: each copied page is counted once, so that copied = attributed + the
 * sum of the reasons.
 */
#include "recorder/firsts.h"
#include "recorder/writes.h"

static enum ct_no_site unseen(const struct ct_fork *f, size_t region)
{
	const struct ct_regionset *set = f->regions;
	enum ct_kind kind = region < set->nr ? set->v[region].kind : CT_KIND_ANON;

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
	a->pages[value ? value - 1u : (u32)unseen(a->share->fork, region)]++;
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
