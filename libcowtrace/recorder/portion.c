/* SPDX-License-Identifier: MIT */
/*
 * Counts since the fork, less what older files of the recording have.
 *
 * A page can change its mind: what was copied and is then dropped counts as dropped.
 * A file that is closed cannot take its copy back, so it stays a copy there, and is
 * nothing in the file where it was dropped.
 *
 * Invariant: in each file no count is negative, the counts of the regions sum up to
 * the side's, and copied, dropped, unknown and kept to what the side still had of the
 * fork when the file began.
 */
#include <stdlib.h>
#include <string.h>

#include "recorder/portion.h"

static void proc_set(struct ct_portion_proc *to, const struct ct_proc *p)
{
	if (!p)
		return;
	to->id = p->id;
	to->pid = p->pid;
	to->start_ns = p->start_ns;
	memcpy(to->comm, p->comm, sizeof(to->comm));
}

struct ct_portion *ct_portion_create(const struct ct_rec *row, const struct ct_proc *parent,
				     const struct ct_proc *child)
{
	struct ct_portion *p = calloc(1, sizeof(*p));
	int side;

	if (!p)
		return NULL;
	p->row = *row;
	snprintf(p->phase, sizeof(p->phase), "%s", row->fork.phase);
	p->row.fork.phase = p->phase;
	proc_set(&p->proc[CT_SIDE_PARENT], parent);
	proc_set(&p->proc[CT_SIDE_CHILD], child);
	for (side = 0; side < 2; side++)
		p->told[side].kept = row->fork.pages_shared;
	return p;
}

void ct_portion_destroy(struct ct_portion *p)
{
	int side;

	if (!p)
		return;
	for (side = 0; side < 2; side++) {
		free(p->now[side].regions);
		free(p->base[side].regions);
	}
	free(p);
}

static u64 less(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

/* Takes up to *debt from *count. */
static void pay(u64 *count, u64 *debt)
{
	const u64 paid = ct_min(*count, *debt);

	*count -= paid;
	*debt -= paid;
}

static void cut(struct ct_tally *now, const struct ct_tally *base)
{
	/* Pages that were one thing in an older file and are another now. */
	u64 debt = less(base->copied, now->copied) + less(base->dropped, now->dropped) +
		   less(base->unknown, now->unknown);

	now->copied = less(now->copied, base->copied);
	now->dropped = less(now->dropped, base->dropped);
	now->unknown = less(now->unknown, base->unknown);
	now->fresh = less(now->fresh, base->fresh);
	pay(&now->dropped, &debt);
	pay(&now->unknown, &debt);
	pay(&now->copied, &debt);
}

static void cut_who(u64 *who, const u64 *base, u64 copied)
{
	u64 sum = 0, debt;
	u32 i, most = CT_NO_FORK_WINDOW;

	for (i = 0; i < CT_NO_SITE_NR; i++) {
		who[i] = less(who[i], base[i]);
		sum += who[i];
		if (i != CT_SITE_KNOWN && who[i] > who[most])
			most = i;
	}
	who[most] += less(copied, sum);
	debt = less(sum, copied);
	for (i = CT_NO_SITE_NR; i-- > 0;)
		pay(&who[i], &debt);
}

void ct_portion_cut(struct ct_portion *p, enum ct_side side, u32 nr, struct ct_tally *sum,
		    struct ct_tally *tallies, u64 *who)
{
	struct ct_portion_look *now = &p->now[side];
	const struct ct_portion_look *base = &p->base[side];
	u32 i;

	if (!now->regions)
		now->regions = calloc(nr + 1, sizeof(*now->regions));
	if (now->regions)
		memcpy(now->regions, tallies, (nr + 1) * sizeof(*tallies));
	now->sum = *sum;
	if (who)
		memcpy(now->who, who, sizeof(now->who));
	if (base->regions) {
		struct ct_tally all = { .kept = sum->kept };

		for (i = 0; i <= nr; i++) {
			cut(&tallies[i], &base->regions[i]);
			all.copied += tallies[i].copied;
			all.dropped += tallies[i].dropped;
			all.fresh += tallies[i].fresh;
			all.unknown += tallies[i].unknown;
		}
		*sum = all;
		if (who)
			cut_who(who, base->who, all.copied);
	}
	p->told[side] = *sum;
	p->told_attributed[side] = who ? who[CT_SITE_KNOWN] : 0;
}

u64 ct_portion_gone(const struct ct_portion *p, enum ct_side side, u32 region)
{
	const struct ct_tally *t = p->base[side].regions;

	return t ? t[region].copied + t[region].dropped + t[region].unknown : 0;
}

void ct_portion_next(struct ct_portion *p, u32 nr)
{
	int side;

	for (side = 0; side < 2; side++) {
		struct ct_portion_look *now = &p->now[side], *base = &p->base[side];

		if (now->regions && !base->regions)
			base->regions = calloc(nr + 1, sizeof(*base->regions));
		/* Without memory the running file repeats what the older one has. */
		if (now->regions && base->regions) {
			memcpy(base->regions, now->regions, (nr + 1) * sizeof(*now->regions));
			memcpy(base->who, now->who, sizeof(now->who));
			base->sum = now->sum;
			p->told[side] = (struct ct_tally){ .kept = now->sum.kept };
		}
		p->told_attributed[side] = 0;
	}
}
