/* SPDX-License-Identifier: MIT */
/*
 * The birth of a child: the one reading that tells what a fork shared.
 *
 * The child is held in its first atfork handler while its page map is read; the
 * parent runs on, and whatever it writes meanwhile leaves the original page in
 * the child.  The few pages that the child itself has written by then are traced
 * back to the page they were copied from (written.c).
 *
 * The same reading closes what the parent held of earlier forks: the child's
 * page table is the parent's, at the instant of the clone.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/slot.h"
#include "recorder/faults.h"
#include "recorder/portion.h"
#include "recorder/writes.h"
#include "sys/pagemap.h"
#include "sys/pidfd.h"

/* What is known while a birth is being served. */
struct birth {
	struct ct_rec_ctx *c;
	u32 idx;
	/*
	 * What the child and its parent have said, read once and within what can be:
	 * the slot is theirs, and may say something else a moment later.
	 */
	u32 parent_slot, how, nr_pcs, prepare_ns;
	s32 said_pid;
	u64 clone_ns, born_ns, sp, tp;
	u64 pcs[CT_SITE_PCS];
	char phase[CT_TAG_NAME];
	s32 pid; /* in our namespace */
	struct ct_proc *parent, *child;
	struct ct_image *img;
	struct ct_regionset *regions;
	u32 fork; /* its id; 0: not counted */
	int pagemap_fd, statm_fd;
	struct ct_mapset *maps;	     /* the child's VMAs */
	struct ct_activity activity; /* before the reading */
	bool late;
	u64 read_ns;		   /* when the reading was over */
	struct ct_written written; /* by the child, before it was held */
};

static u64 within(u64 ns, u64 from, u64 to)
{
	return ns < from ? from : ct_min(ns, to);
}

static void listen(struct birth *b)
{
	const struct ct_segment *seg = b->c->seg;
	struct ct_slot s;
	u64 now = ct_now_ns();

	memcpy(&s, &seg->slots[b->idx], sizeof(s));
	b->parent_slot = s.parent_slot;
	b->how = s.how;
	b->prepare_ns = s.prepare_ns;
	b->said_pid = s.pid;
	b->clone_ns = within(s.clone_ns, b->c->start_ns, now);
	b->born_ns = within(s.born_ns, b->clone_ns, now);
	b->sp = s.sp;
	b->tp = s.tp;
	b->nr_pcs = ct_min(s.nr_pcs, CT_SITE_PCS);
	memcpy(b->pcs, s.pcs, sizeof(b->pcs));
	if (s.phase < ct_array_size(seg->phases))
		memcpy(b->phase, seg->phases[s.phase], sizeof(b->phase) - 1);
}

/* When the clone returned in the parent; 0: it has not yet. */
static u64 parent_ns(const struct birth *b)
{
	u64 ns = atomic_load(&b->c->seg->slots[b->idx].parent_ns);

	return ns ? within(ns, b->clone_ns, ct_now_ns()) : 0;
}

static const char *how_name(u32 how)
{
	switch (how) {
	case CT_HOW__FORK:
		return "_Fork";
	case CT_HOW_CLONE:
		return "clone";
	default:
		return "fork";
	}
}

/*
 * The child's pid in our namespace.  What it says itself is right where its
 * parent's pid is the same in both; else the kernel's list is asked.
 */
static s32 global_pid(const struct birth *b)
{
	s32 said = b->said_pid, pid;
	struct ct_proc_status st;
	char path[64], line[128];
	FILE *f;

	if (b->parent && b->parent->pid == atomic_load(&b->c->seg->slots[b->parent->slot].pid))
		return said;
	if (!b->parent)
		return said;
	/* Another pid namespace: look among the kernel's processes for our parent's child. */
	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", b->parent->pid, b->parent->pid);
	f = fopen(path, "re");
	if (!f)
		return said;
	while (fscanf(f, "%d", &pid) == 1) {
		FILE *s;
		s32 last = -1;

		snprintf(path, sizeof(path), "/proc/%d/status", pid);
		s = fopen(path, "re");
		while (s && fgets(line, sizeof(line), s))
			if (!strncmp(line, "NSpid:", 6))
				last = (s32)atol(strrchr(line, '\t') ? strrchr(line, '\t') : "0");
		if (s)
			fclose(s);
		if (last == said && !ct_proc_status_read(pid, &st)) {
			said = pid;
			break;
		}
	}
	fclose(f);
	return said;
}

/* Whoever has our segment mapped is one of ours, and not a process that a program names. */
static bool is_ours(const struct ct_maps *m)
{
	size_t i;

	for (i = 0; i < m->nr; i++)
		if (m->vmas[i].shared && strstr(m->vmas[i].name, CT_SEG_MEMFD_NAME))
			return true;
	return false;
}

/* All that needs the child to stand still. */
static int read_child(struct birth *b)
{
	struct ct_rec_ctx *c = b->c;
	const struct ct_proc *from = b->parent;
	struct ct_reading_opts opts = {
		.caps = &c->caps,
		.own = from && from->own ? from->own->v : NULL,
		.nr_own = from && from->own ? from->own->nr : 0,
		.base = from ? from->last : NULL,
		.tick = ct_proc_keep_alive,
		.tick_arg = c,
	};
	int err;

	if (from && from->shares && !opts.base)
		opts.base = from->shares->fork->orig;
	err = ct_pagemap_open(b->pid, &b->pagemap_fd);
	if (!err)
		err = ct_mapset_get(b->pid, &b->statm_fd, b->pagemap_fd, &c->caps, from->mapset,
				    false, &b->maps);
	if (!err && !is_ours(&b->maps->maps))
		err = -ESRCH;
	if (!err) {
		opts.maps = &b->maps->maps;
		opts.plan = &b->maps->plan;
		opts.plan_is_current = true;
		opts.newborn = true;
		err = ct_reading_take(&c->reader, b->pagemap_fd, &opts, &b->img);
	}
	if (!err)
		ct_written_find(c, from, b->img, b->sp, b->tp, &b->written);
	return err;
}

static void share_create(struct ct_fork *f, enum ct_side side, struct ct_proc *p)
{
	struct ct_share *s = calloc(1, sizeof(*s));

	if (!s || ct_extents_init(&s->extents)) {
		free(s);
		return;
	}
	s->fork = f;
	s->side = side;
	s->next = p->shares;
	p->shares = s;
	f->proc[side] = p;
	f->refs++;
}

/* Counts what was shared, region by region, for the side that everybody looks at first. */
void ct_birth_tell_shared(struct ct_rec_ctx *c, struct ct_proc *parent, struct ct_fork *f)
{
	struct ct_regionset *set = f->regions;
	struct ct_rec rec = { .type = CT_REC_REGION_COUNT };
	u64 none = c->caps.pfns ? 0 : CT_UNKNOWN;
	u64 *huge;
	u32 i;

	if (ct_tallies_reserve(c, set->nr + 1))
		return;
	huge = c->counts + set->nr + 1;
	memset(c->counts, 0, 2 * (set->nr + 1) * sizeof(*c->counts));
	ct_compare_count(f->orig, set->runs, set->nr, c->counts, huge);
	for (i = 0; i < set->nr; i++) {
		const u64 gone = f->portion ? ct_portion_gone(f->portion, CT_SIDE_PARENT, i) : 0;

		if (c->counts[i] <= gone)
			continue;
		rec.region_count.fork = f->id;
		rec.region_count.side = CT_SIDE_PARENT;
		rec.region_count.region = ct_proc_region_id(c, parent, &set->v[i]);
		rec.region_count.shared = c->counts[i] - gone;
		rec.region_count.huge = ct_min(huge[i], c->counts[i] - gone);
		rec.region_count.copied = rec.region_count.fresh = none;
		ct_outbox_put(c->out, &rec);
	}
}

static void tell_fork(const struct birth *b, struct ct_fork *f)
{
	struct ct_rec_ctx *c = b->c;
	struct ct_rec rec = { .type = CT_REC_FORK };

	rec.fork.id = f->id;
	rec.fork.parent = b->parent->id;
	rec.fork.child = b->child ? b->child->id : 0;
	rec.fork.child_pid = b->pid;
	rec.fork.site = ct_proc_site(c, b->parent, b->pcs, b->nr_pcs);
	rec.fork.phase = b->phase;
	rec.fork.how = how_name(b->how);
	rec.fork.start_ns = f->start_ns;
	rec.fork.hold_ns = b->read_ns - b->born_ns;
	rec.fork.pages_shared = f->orig->pages;
	rec.fork.huge_pages_shared = f->orig->huge_pages;
	rec.fork.swapped = f->orig->swapped;
	rec.fork.late = b->late;
	rec.fork.runs_of = ct_runs_tell(c, b->parent, f);
	if (f->orig->huge_pages) {
		ct_thp_had(c, b->parent);
		ct_thp_had(c, b->child);
	}
	ct_outbox_put(c->out, &rec);
	if (c->rotation)
		f->portion = ct_portion_create(&rec, b->parent, b->child);
}

static struct ct_fork *fork_create(struct birth *b)
{
	u64 back_ns = parent_ns(b);
	struct ct_fork *f = calloc(1, sizeof(*f));
	struct ct_rec_ctx *c = b->c;

	if (!f)
		return NULL;
	f->refs = 1;
	f->id = ++c->next_fork;
	f->start_ns = ct_rec_since(c, b->clone_ns);
	f->clone_ns = b->clone_ns;
	f->born_ns = b->born_ns;
	/* What the parent does once it is back from the clone comes after the fork. */
	if (back_ns && back_ns < f->born_ns)
		f->born_ns = back_ns;
	f->regions = ct_regionset_ref(b->regions);
	f->pair = b->parent->family && b->parent->family->alive <= 2;
	if (b->written.nr) {
		if (ct_image_patch(ct_image_ref(b->img), b->written.v, b->written.nr, &f->orig)) {
			ct_regionset_unref(f->regions);
			free(f);
			return NULL;
		}
	} else {
		f->orig = ct_image_ref(b->img);
	}
	f->activity = b->activity;
	return f;
}

static void no_longer_pairs(struct ct_rec_ctx *c, const struct ct_family *family)
{
	struct ct_share *s;
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next)
		for (s = p->family == family ? p->shares : NULL; s; s = s->next)
			s->fork->pair = false;
}

/* The engine's writes before and after the clone are told apart from here on. */
static void tell_writes(const struct birth *b, const struct ct_image *at_clone)
{
	const struct ct_birth_word word = {
		.fork = b->fork,
		.born_ns = b->born_ns,
		.pcs = b->pcs,
		.nr_pcs = b->nr_pcs,
		.at_clone = at_clone,
	};

	ct_writes_born(b->c, b->parent, b->child, &word);
}

/* The child runs again; now the books. */
static void enter(struct birth *b)
{
	struct ct_rec_ctx *c = b->c;
	struct ct_fork *f;

	if (b->parent->family->alive >= 2)
		no_longer_pairs(c, b->parent->family);
	b->child = ct_proc_create(c, b->idx, b->pid, b->parent);
	if (!b->child)
		return;
	b->child->parent_id = b->parent->id;
	b->child->pagemap_fd = b->pagemap_fd;
	b->pagemap_fd = -1;
	b->child->statm_fd = b->statm_fd;
	b->statm_fd = -1;
	ct_proc_announce(c, b->child, b->parent->pid, ct_rec_since(c, b->clone_ns));

	b->child->mapset = ct_mapset_ref(b->maps);
	ct_mapset_unref(b->parent->mapset);
	b->parent->mapset = ct_mapset_ref(b->maps);
	b->regions = ct_proc_regions(c, b->parent, b->child->tags, b->maps);
	f = b->regions ? fork_create(b) : NULL;
	if (!f) {
		tell_writes(b, b->img);
		ct_faults_born(c, b->child, b->img, &b->written, b->pcs, b->nr_pcs);
		return;
	}
	b->child->regions = ct_regionset_ref(b->regions);
	b->child->regions_hash = b->parent->regions_hash;

	tell_fork(b, f);
	b->fork = f->id;
	tell_writes(b, f->orig);
	ct_faults_forked(c, b->parent, f->orig, b->clone_ns,
			 parent_ns(b) ? parent_ns(b) : ct_now_ns());
	ct_drops_apply(c, b->parent, b->clone_ns);
	ct_close_all(c, b->parent, f->orig, CT_SIDE_END_NEXT_FORK);
	share_create(f, CT_SIDE_PARENT, b->parent);
	share_create(f, CT_SIDE_CHILD, b->child);
	b->child->birth_fork = f->id;
	ct_faults_born(c, b->child, b->img, &b->written, b->pcs, b->nr_pcs);
	b->parent->close_due_ns = 0;
	b->parent->forked_ns = ct_now_ns();
	ct_birth_tell_shared(c, b->parent, f);
	ct_written_remember(c, b->parent, b->child, b->img, &b->written);
	ct_image_unref(b->child->last);
	b->child->last = ct_image_ref(b->img);
	ct_image_unref(b->parent->last);
	b->parent->last = ct_image_ref(f->orig);
	b->parent->next_read_ns = b->child->next_read_ns = ct_now_ns() + CT_NSEC_PER_SEC;
	c->totals.forks++;
	c->totals.shared += f->orig->pages;
	atomic_fetch_add(&c->seg->slots[b->parent->slot].stat_forks, 1);
	atomic_store(&c->seg->slots[b->parent->slot].stat_shared, f->orig->pages);
	atomic_store(&c->seg->slots[b->idx].stat_shared, f->orig->pages);
	ct_fork_unref(f);
}

/* What the parent tells of the clone may have come already, or comes later. */
static void tell_parents_part(const struct birth *b)
{
	u64 back_ns = parent_ns(b);

	ct_birth_remember(b->c, &(struct ct_recent){ .slot = b->idx,
						     .fork = b->fork,
						     .pid = b->said_pid,
						     .clone_ns = b->clone_ns });
	if (b->fork && back_ns)
		ct_birth_tell_times(b->c, b->fork, back_ns - b->clone_ns, b->prepare_ns);
	ct_birth_settled(b->parent);
	if (!ct_birth_under_way(b->c, b->parent))
		ct_drops_apply(b->c, b->parent, UINT64_MAX);
}

void ct_birth_serve(struct ct_rec_ctx *c, u32 idx)
{
	struct birth b = { .c = c, .idx = idx, .pagemap_fd = -1, .statm_fd = -1 };
	u64 told;
	int err;

	if (c->by_slot[idx]) {
		/* Born already: nobody is twice. */
		ct_ask_done(c->seg, idx);
		return;
	}
	listen(&b);
	if (b.parent_slot < CT_SEG_SLOTS)
		b.parent = c->by_slot[b.parent_slot];
	b.pid = global_pid(&b);
	/* Before the reading; an older sample only makes the comparison more careful. */
	ct_activity_recent(c, &b.activity);
	err = b.parent ? read_child(&b) : -ESRCH;
	told = atomic_load(&c->seg->head);
	b.late = !ct_ask_done(c->seg, idx);
	b.read_ns = ct_now_ns();
	if (!err) {
		/*
		 * What the parent told before the clone comes first, and nothing of the
		 * child's, which is not known yet.
		 */
		ct_events_drain_to(c, b.read_ns, told);
		ct_urgency_for(c, b.img);
		enter(&b);
	} else if (b.parent) {
		ct_rec_note(
			c, b.parent->id, "warning", "birth_unread",
			"child %d of process %d could not be read at its birth (%s): its fork is "
			"not counted",
			b.pid, b.parent->pid, strerror(-err));
	}
	if (b.parent)
		tell_parents_part(&b);
	if (!c->by_slot[idx])
		ct_slot_free(c->seg, idx);
	if (b.pagemap_fd >= 0)
		close(b.pagemap_fd);
	if (b.statm_fd >= 0)
		close(b.statm_fd);
	ct_image_unref(b.img);
	ct_regionset_unref(b.regions);
	ct_mapset_unref(b.maps);
	free(b.written.v);
}
