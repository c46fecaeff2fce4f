/* SPDX-License-Identifier: MIT */
/*
 * What became of the pages that a fork shared: the second half of the census.
 *
 * A side of a fork is looked at while it lives (for the timeline, and so that a
 * killed recorder leaves what it knew) and closed once: when its process forks
 * again, exits, execs, is left by its last relative, or the recording ends.
 *
 * Invariant: what is told of a closed side is never told anew.
 */
#include <errno.h>
#include <string.h>

#include "base/futex.h"
#include "recorder/faults.h"
#include "recorder/portion.h"
#include "recorder/writes.h"
#include "sys/pagemap.h"
#include "sys/vmstat.h"

int ct_tallies_reserve(struct ct_rec_ctx *c, u32 nr)
{
	struct ct_tally *t;
	u64 *counts;

	if (nr <= c->cap_tallies)
		return 0;
	nr += nr / 2;
	t = realloc(c->tallies, nr * sizeof(*t));
	if (!t)
		return -ENOMEM;
	c->tallies = t;
	counts = realloc(c->counts, 2 * nr * sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	c->counts = counts;
	c->cap_tallies = nr;
	return 0;
}

void ct_fork_unref(struct ct_fork *f)
{
	if (--f->refs)
		return;
	ct_image_unref(f->orig);
	ct_image_unref(f->end[0]);
	ct_image_unref(f->end[1]);
	ct_regionset_unref(f->regions);
	free(f->told_regions);
	ct_portion_destroy(f->portion);
	free(f);
}

void ct_share_free(struct ct_share *s)
{
	if (s->fork->proc[s->side])
		s->fork->proc[s->side] = NULL;
	ct_fork_unref(s->fork);
	ct_extents_fini(&s->extents);
	ct_image_unref(s->frozen);
	ct_firsts_fini(&s->firsts);
	free(s->carried);
	free(s);
}

/*
 * What an earlier look told of a region and is not so any more has to be taken
 * back: pages that it took for dropped, before the end of a relative was known.
 */
static bool worth_telling(struct ct_fork *f, enum ct_side side, u32 i, const struct ct_tally *t)
{
	const u8 bit = (u8)(1u << side);
	bool some = t->copied || t->dropped || t->fresh || t->unknown;
	bool told;

	if (!f->told_regions)
		f->told_regions = calloc(f->regions->nr + 1, 1);
	if (!f->told_regions)
		return some;
	told = f->told_regions[i] & bit;
	f->told_regions[i] = some ? f->told_regions[i] | bit : f->told_regions[i] & (u8)~bit;
	return some || told;
}

static void tell_regions(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_fork *f,
			 enum ct_side side)
{
	const struct ct_regionset *set = f->regions;
	struct ct_rec rec = { .type = CT_REC_REGION_COUNT };
	/* What lies in no region was mapped since, by calls that nobody saw. */
	const struct ct_region elsewhere = { .kind = CT_KIND_ANON };
	u64 *huge = c->counts + set->nr + 1;
	bool counted = false;
	u32 i;

	for (i = 0; i <= set->nr; i++) {
		const struct ct_tally *t = &c->tallies[i];
		const u64 gone = f->portion ? ct_portion_gone(f->portion, side, i) : 0;

		if (!worth_telling(f, side, i, t))
			continue;
		if (!counted) {
			memset(c->counts, 0, 2 * (set->nr + 1) * sizeof(*c->counts));
			ct_compare_count(f->orig, set->runs, set->nr, c->counts, huge);
			counted = true;
		}
		rec.region_count.fork = f->id;
		rec.region_count.side = side;
		rec.region_count.region =
			ct_proc_region_id(c, p, i < set->nr ? &set->v[i] : &elsewhere);
		rec.region_count.shared = c->counts[i] - ct_min(gone, c->counts[i]);
		rec.region_count.huge = ct_min(huge[i], rec.region_count.shared);
		rec.region_count.copied = c->caps.pfns ? t->copied : CT_UNKNOWN;
		rec.region_count.dropped = t->dropped;
		rec.region_count.fresh = c->caps.pfns ? t->fresh : CT_UNKNOWN;
		rec.region_count.unknown = t->unknown;
		ct_outbox_put(c->out, &rec);
	}
}

static void tell_timeline(struct ct_rec_ctx *c, struct ct_fork *f, enum ct_side side, u64 copied,
			  u64 t_ns)
{
	struct ct_rec rec = { .type = CT_REC_TIMELINE };

	if (copied <= f->told[side])
		return;
	rec.timeline.t_ns = t_ns;
	rec.timeline.fork = f->id;
	rec.timeline.side = side;
	rec.timeline.copied = copied - f->told[side];
	f->told[side] = copied;
	ct_outbox_put(c->out, &rec);
}

static void tell_side(struct ct_rec_ctx *c, const struct ct_fork *f, enum ct_side side,
		      const struct ct_tally *t, enum ct_side_end why, u64 t_ns, u64 attributed)
{
	struct ct_rec rec = { .type = CT_REC_SIDE };

	rec.side.fork = f->id;
	rec.side.side = side;
	rec.side.end = why;
	rec.side.t_ns = t_ns;
	/* Without PFNs: whose copy it was, and what a parent had besides, cannot be seen. */
	rec.side.copied = t && c->caps.pfns ? t->copied : CT_UNKNOWN;
	rec.side.dropped = t ? t->dropped : CT_UNKNOWN;
	rec.side.fresh = t && (c->caps.pfns || side == CT_SIDE_CHILD) ? t->fresh : CT_UNKNOWN;
	rec.side.unknown = t ? t->unknown : CT_UNKNOWN;
	rec.side.kept = t ? t->kept : CT_UNKNOWN;
	rec.side.attributed = attributed;
	ct_outbox_put(c->out, &rec);
}

/*
 * Pages that the child's last reading shows and that nobody else had any more:
 * what the kernel calls its Private memory, told from the two sides' readings.
 */
static u64 private_of_child(const struct ct_fork *f)
{
	const struct ct_image *mine = f->end[CT_SIDE_CHILD], *theirs = f->end[CT_SIDE_PARENT];
	ct_ent a[CT_HUGE_PAGES], b[CT_HUGE_PAGES];
	u64 nr = 0;
	u32 i, k, at;

	for (i = 0; i < mine->nr; i++) {
		const struct ct_window win = ct_chunk_window(mine->chunks[i]);

		at = ct_image_seek(theirs, mine->keys[i]);
		if (at < theirs->nr && theirs->keys[at] == mine->keys[i]) {
			if (theirs->chunks[at] == mine->chunks[i])
				continue;
			ct_chunk_expand(theirs->chunks[at], b);
		} else {
			memset(b, 0, sizeof(b));
		}
		ct_chunk_expand(mine->chunks[i], a);
		for (k = win.from; k < win.to; k++)
			nr += ct_ent_is_page(a[k]) && a[k] != b[k];
	}
	return nr;
}

void ct_close_tell_witness(struct ct_rec_ctx *c, struct ct_fork *f)
{
	struct ct_rec rec = { .type = CT_REC_WITNESS };
	bool both = c->caps.pfns && f->pair && f->end[0] && f->end[1];

	if (!f->have_witness)
		return;
	f->have_witness = false;
	rec.witness.process = f->witness_process;
	rec.witness.fork = f->id;
	rec.witness.t_ns = f->witness_ns;
	rec.witness.private_dirty = f->witness_dirty;
	rec.witness.census_private = both ? private_of_child(f) : f->witness_alone;
	rec.witness.why = both ? "" : "pages mapped once, by the child's page map";
	ct_outbox_put(c->out, &rec);
}

/* Both sides are closed: the fork as a whole. */
static void tell_fork_end(struct ct_rec_ctx *c, struct ct_fork *f)
{
	struct ct_rec rec = { .type = CT_REC_FORK_END };
	int i;

	rec.fork_end.id = f->id;
	rec.fork_end.end_ns = f->end_ns;
	if (!c->caps.pfns) {
		rec.fork_end.copied_min = f->bound_min;
		rec.fork_end.copied_max = f->have_bounds ? f->bound_max : f->orig->pages;
	} else {
		for (i = 0; i < 2; i++) {
			rec.fork_end.copied_min += f->copied[i];
			rec.fork_end.copied_max +=
				f->unread[i] ? f->orig->pages : f->copied[i] + f->unknown[i];
		}
	}
	ct_close_tell_witness(c, f);
	ct_outbox_put(c->out, &rec);
}

static void mark_closed(struct ct_rec_ctx *c, struct ct_fork *f, enum ct_side side,
			enum ct_side_end why, u64 t_ns)
{
	if (f->portion)
		f->portion->why[side] = why;
	f->closed[side] = true;
	f->end_ns = ct_max(f->end_ns, t_ns);
	if (f->closed[0] && f->closed[1])
		tell_fork_end(c, f);
}

static void set_end(struct ct_fork *f, enum ct_side side, struct ct_image *now,
		    const struct ct_activity *activity)
{
	ct_image_unref(f->end[side]);
	f->end[side] = ct_image_ref(now);
	f->end_activity[side] = *activity;
}

static void close_share(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
			struct ct_image *now, enum ct_side_end why, enum ct_close how)
{
	u64 t_ns = ct_rec_since(c, ct_now_ns());
	struct ct_fork *f = s->fork;
	struct ct_activity activity;
	struct ct_tally sum = { 0 }, whole;
	struct ct_attribution who = { .c = c, .share = s };
	bool watched = c->faults || (c->writes && p->watch);
	int err;

	if (f->closed[s->side])
		return;
	if (!now) {
		f->unread[s->side] = true;
		tell_side(c, f, s->side, NULL, why, t_ns, 0);
		mark_closed(c, f, s->side, why, t_ns);
		return;
	}
	ct_activity_read(c, &activity);
	err = c->caps.pfns
		      ? ct_judge_compare(c, s, now, why, &activity, &sum, watched ? &who : NULL)
		      : ct_blind_compare(c, s, now, why, &sum);
	if (err == -ENODATA) {
		tell_side(c, f, s->side, NULL, why, t_ns, 0);
		mark_closed(c, f, s->side, why, t_ns);
		return;
	}
	if (err) {
		ct_rec_note(c, p->id, "error", "no_memory", "a fork could not be compared: %s",
			    strerror(-err));
		return;
	}
	if (watched)
		ct_attribution_blame(c, p, &who);
	whole = sum;
	if (f->portion && c->caps.pfns)
		ct_portion_cut(f->portion, s->side, f->regions->nr, &sum, c->tallies,
			       watched ? who.pages : NULL);
	f->copied[s->side] = sum.copied;
	f->unknown[s->side] = sum.unknown;
	tell_side(c, f, s->side, &sum, how == CT_CLOSE_FINAL ? why : CT_SIDE_END_OPEN, t_ns,
		  who.pages[CT_SITE_KNOWN]);
	if (watched)
		ct_attribution_tell(c, &who);
	tell_regions(c, p, f, s->side);
	tell_timeline(c, f, s->side, whole.copied, t_ns);
	atomic_store(&c->seg->slots[p->slot].stat_copied, whole.copied);
	atomic_store(&c->seg->slots[p->slot].stat_dropped, whole.dropped);
	if (how != CT_CLOSE_FINAL)
		return;
	set_end(f, s->side, now, &activity);
	c->totals.copied += whole.copied;
	c->totals.dropped += whole.dropped;
	mark_closed(c, f, s->side, why, t_ns);
}

void ct_close_share(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
		    struct ct_image *now, enum ct_side_end why, enum ct_close how)
{
	struct ct_image *whole = NULL, *later = NULL;

	if (now && how == CT_CLOSE_FINAL && !s->frozen && !s->fork->closed[s->side])
		ct_thp_compare(c, p, s, now);
	/* Without PFNs the memory of who was left alone tells nothing any more. */
	if (now && !c->caps.pfns && why != CT_SIDE_END_NEXT_FORK && p->parted_ns && p->parting_held)
		now = p->parting;
	if (now && s->frozen && !ct_carry_compose(s, now, &whole))
		now = whole;
	if (now && !ct_parting_compose(p, s->fork->orig, now, &later))
		now = later;
	close_share(c, p, s, now, why, how);
	ct_image_unref(whole);
	ct_image_unref(later);
}

void ct_close_all(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now,
		  enum ct_side_end why)
{
	struct ct_share *s, **at = &p->shares;

	/* At a fork the birth has done so, with what came before the clone. */
	if (why != CT_SIDE_END_NEXT_FORK) {
		ct_writes_settle(c, p, now, UINT32_MAX);
		ct_faults_settle(c, p, now);
	}
	/* At a fork, what came before the clone has been applied, and no more. */
	if (why != CT_SIDE_END_NEXT_FORK)
		ct_drops_apply(c, p, UINT64_MAX);
	while ((s = *at)) {
		if (why == CT_SIDE_END_NEXT_FORK && ct_carry_on(c, p, s, now)) {
			at = &s->next;
			continue;
		}
		ct_close_share(c, p, s, now, why, CT_CLOSE_FINAL);
		*at = s->next;
		ct_share_free(s);
	}
	ct_parting_forget(p);
}

void ct_close_look(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_image *now)
{
	struct ct_share *s;

	ct_drops_apply(c, p, UINT64_MAX);
	for (s = p->shares; s; s = s->next)
		ct_close_share(c, p, s, now, CT_SIDE_END_OPEN, CT_CLOSE_LOOK);
}
