/* SPDX-License-Identifier: MIT */
/*
 * Faults on their way from the handlers to the trace: which fork each belongs to, and
 * whether it was the first write of a page that the fork shared.
 *
 * The event counts every fault, of reads and of new memory too.  One is a first write
 * when what lay at its address was shared at the process's newest fork and has not been
 * dropped since: such a page faults only because it is written.
 *
 * Invariant: a page is told once for each side of a fork, and no total depends on it.
 */
#include <errno.h>
#include <string.h>

#include <cowtrace/policy.h>

#include "base/futex.h"
#include "recorder/faults_int.h"
#include "recorder/observe.h"
#include "recorder/writes.h"

/* Younger ones are let be: word of what was dropped before them is on its way. */
#define RIPE_NS (5 * CT_NSEC_PER_MSEC)
/* A store that was not tried again within this time faults anew, or never. */
#define PATIENCE_NS (500 * CT_NSEC_PER_MSEC)
/* A child is born by then, or never. */
#define BIRTH_NS (2 * CT_NSEC_PER_SEC)
#define PENDING_MAX 65536u
/* With so much on the way to the disk the faults wait here, and then in the ring. */
#define OUTBOX_MAX (6UL << 20)
#define BEAT_FAULTS 1024u

int ct_faults_create(struct ct_rec_ctx *c, u64 period)
{
	struct ct_faults *fs = calloc(1, sizeof(*fs));
	int err;

	if (!fs)
		return -ENOMEM;
	err = ct_perf_events_open(&fs->events, c->seg);
	if (err) {
		free(fs);
		return err;
	}
	c->seg->perf.period = period;
	c->faults = fs;
	return 0;
}

void ct_faults_destroy(struct ct_rec_ctx *c)
{
	struct ct_faults *fs = c->faults;
	u32 i;

	if (!fs)
		return;
	for (i = 0; i < fs->nr_unborn; i++)
		if (fs->unborn[i].fd >= 0)
			close(fs->unborn[i].fd);
	ct_perf_events_close(&fs->events);
	free(fs->v);
	free(fs);
	c->faults = NULL;
}

static bool has_room(struct ct_faults *fs)
{
	u32 cap = fs->cap ? fs->cap * 2 : 1024;
	struct ct_fault_pending *v;

	if (fs->nr < fs->cap)
		return true;
	v = cap <= PENDING_MAX ? realloc(fs->v, cap * sizeof(*v)) : NULL;
	if (!v)
		return false;
	fs->v = v;
	fs->cap = cap;
	return true;
}

static void take_in(struct ct_rec_ctx *c, const struct ct_fault *fault)
{
	struct ct_faults *fs = c->faults;
	struct ct_fault_pending *f = &fs->v[fs->nr++];
	u64 now = ct_now_ns();

	*f = (struct ct_fault_pending){
		.page = ct_page_of(fault->addr),
		/* Another clock, or a lie. */
		.t_ns = fault->t_ns > now || fault->t_ns < c->start_ns ? now : fault->t_ns,
		.moved = ct_observe_moved(c),
		.slot = fault->slot,
		.generation = fault->generation,
		.nr_pcs = fault->nr_pcs,
		.flags = fault->flags,
	};
	memcpy(f->pcs, fault->pcs, fault->nr_pcs * sizeof(*f->pcs));
}

void ct_faults_ingest(struct ct_rec_ctx *c)
{
	struct ct_faults *fs = c->faults;
	struct ct_fault fault;

	/* What finds no room stays in the ring; what finds none there is counted. */
	while (fs && has_room(fs) && ct_fault_next(c->seg, &fs->reader, ct_now_ns(), &fault) == 1)
		take_in(c, &fault);
}

static struct ct_proc *proc_of(struct ct_rec_ctx *c, const struct ct_fault_pending *f)
{
	struct ct_proc *p = c->by_slot[f->slot];

	return p && c->seg->slots[f->slot].generation == f->generation ? p : NULL;
}

/* The share that page belonged to at t_ns. */
static struct ct_share *share_at(const struct ct_proc *p, u64 page, u64 t_ns)
{
	struct ct_share *s;

	/* Pages that newer forks did not get (MADV_DONTFORK) stay with an older one. */
	for (s = p->shares; s; s = s->next)
		if (s->frozen && ct_page_runs_hold(s->carried, s->nr_carried, page))
			return s;
	for (s = p->shares; s; s = s->next)
		if (!s->frozen && s->fork->clone_ns <= t_ns)
			return s;
	return NULL;
}

/* Where what lay at page at t_ns was at the fork; 0: it was not there. */
static u64 source_at(const struct ct_proc *p, const struct ct_share *s, u64 page, u64 t_ns)
{
	u32 i;

	/* Drops that are not in the extents yet, newest first. */
	for (i = p->nr_drops; i; i--) {
		const struct ct_drop *d = &p->drops[i - 1];

		if (d->begin_ns > t_ns || d->end_ns < s->fork->clone_ns)
			continue;
		if (d->to != CT_DROPPED && page >= d->to && page - d->to < d->pages)
			page = page - d->to + d->page;
		else if (page >= d->page && page - d->page < d->pages)
			return 0;
	}
	return ct_extents_hold(&s->extents, page) ? ct_extents_source(&s->extents, page) : 0;
}

/* NULL: it was no write to a page that a fork shared. */
static struct ct_share *place(const struct ct_proc *p, struct ct_fault_pending *f)
{
	struct ct_share *s;

	if (f->placed) {
		for (s = p->shares; s; s = s->next)
			if (s->fork->id == f->fork && s->side == f->side)
				return s;
		return NULL;
	}
	s = share_at(p, f->page, f->t_ns);
	if (!s)
		return NULL;
	f->src = source_at(p, s, f->page, f->t_ns);
	if (!f->src || ct_image_get(s->fork->orig, f->src) == CT_ENT_NONE)
		return NULL;
	f->fork = s->fork->id;
	f->side = s->side;
	f->placed = true;
	return s;
}

static u32 site_of(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_fault_pending *f)
{
	if (!f->nr_pcs)
		return 0;
	/* As call sites are kept: one past the instruction. */
	f->pcs[0]++;
	return ct_proc_site(c, p, f->pcs, f->nr_pcs);
}

static void note_first(struct ct_share *s, u64 src, bool whole, enum ct_no_site no_site)
{
	const u64 first = whole ? src & ~(CT_HUGE_PAGES - 1) : src;
	u64 i;

	for (i = 0; i < (whole ? CT_HUGE_PAGES : 1); i++)
		ct_firsts_add(&s->firsts, first + i, (u8)(1 + no_site));
}

static struct ct_rec row(const struct ct_rec_ctx *c, const struct ct_proc *p,
			 const struct ct_share *s, u64 t_ns)
{
	struct ct_rec rec = { .type = CT_REC_WRITE };

	rec.write.process = p->id;
	rec.write.fork = s->fork->id;
	rec.write.side = s->side;
	rec.write.t_ns = ct_rec_since(c, t_ns);
	rec.write.pages = 1;
	rec.write.syscall = -1;
	/* Nobody looked before the kernel decided. */
	rec.write.predicted = COWTRACE_UNCERTAIN;
	rec.write.likely = COWTRACE_UNCERTAIN;
	rec.write.decides = COWTRACE_NR_FIELDS;
	return rec;
}

static void tell(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_share *s,
		 struct ct_fault_pending *f, enum cowtrace_action observed, bool whole)
{
	struct ct_rec rec = row(c, p, s, f->t_ns);

	rec.write.page = whole ? f->page & ~(CT_HUGE_PAGES - 1) : f->page;
	rec.write.pages = whole ? CT_HUGE_PAGES : 1;
	rec.write.pc = f->nr_pcs ? f->pcs[0] : 0;
	rec.write.site = site_of(c, p, f);
	rec.write.no_site = rec.write.site	       ? CT_SITE_KNOWN
			    : f->flags & CT_FAULT_LATE ? CT_NO_BLOCKED_SIGNAL
						       : CT_NO_STACK;
	rec.write.observed = observed;
	/* The first write of a huge page that is shared splits it. */
	rec.write.huge = ct_image_is_huge(s->fork->orig, f->src) &&
			 (whole || !ct_firsts_any(&s->firsts, f->src));
	note_first(s, f->src, whole, rec.write.no_site);
	ct_outbox_put(c->out, &rec);
}

/* True: it is told, or there is nothing to tell. */
static bool finish(struct ct_rec_ctx *c, struct ct_proc *p, struct ct_fault_pending *f,
		   const struct ct_image *img, bool last)
{
	struct ct_share *s = place(p, f);
	enum cowtrace_action observed;
	bool whole;

	if (!s || ct_firsts_get(&s->firsts, f->src))
		return true;
	observed = ct_faults_judge(c, p, s, f, img, last, &whole);
	/* The store was never tried again: what it does then is another fault. */
	if (observed == COWTRACE_RETRY)
		return last;
	tell(c, p, s, f, observed, whole);
	return true;
}

/* True: done with. */
static bool look(struct ct_rec_ctx *c, struct ct_fault_pending *f, u64 now)
{
	u64 age = now > f->t_ns ? now - f->t_ns : 0;
	struct ct_proc *p = proc_of(c, f);

	if (!p)
		return age > BIRTH_NS;
	/* Whose fork it belongs to may be known in a moment. */
	if (age < RIPE_NS || (age < BIRTH_NS && ct_birth_under_way(c, p)))
		return false;
	return finish(c, p, f, NULL, age > PATIENCE_NS);
}

static void tell_lost(struct ct_rec_ctx *c)
{
	struct ct_faults *fs = c->faults;
	u64 lost = fs->reader.skipped - fs->skipped_told;
	struct ct_proc *p;

	fs->skipped_told = fs->reader.skipped;
	for (p = c->procs; p; p = p->next) {
		u64 n = atomic_load(&c->seg->slots[p->slot].faults_lost);

		lost += n > p->perf.lost ? n - p->perf.lost : 0;
		p->perf.lost = n;
	}
	if (lost)
		ct_rec_note(c, 0, "warning", "writes_lost",
			    "%llu faults found the ring full: the recorder was late, the first "
			    "writes among them have no call site",
			    (unsigned long long)lost);
}

void ct_faults_run(struct ct_rec_ctx *c, u64 now)
{
	bool full = ct_outbox_queued(c->out) > OUTBOX_MAX;
	struct ct_faults *fs = c->faults;
	u32 i, kept = 0;

	if (!fs)
		return;
	ct_faults_receive(c);
	ct_faults_ingest(c);
	for (i = 0; i < fs->nr; i++) {
		if (i % BEAT_FAULTS == BEAT_FAULTS - 1) {
			ct_rec_beat(c);
			full = ct_outbox_queued(c->out) > OUTBOX_MAX;
		}
		if (full || !look(c, &fs->v[i], now))
			fs->v[kept++] = fs->v[i];
	}
	fs->nr = kept;
	fs->next_ns = kept ? now + RIPE_NS : UINT64_MAX;
	tell_lost(c);
}

u64 ct_faults_due(const struct ct_rec_ctx *c)
{
	return c->faults && c->faults->next_ns ? c->faults->next_ns : UINT64_MAX;
}

void ct_faults_place(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_faults *fs = c->faults;
	u32 i;

	/* While a fork is under way nobody knows yet which are before it. */
	if (!fs || ct_birth_under_way(c, p))
		return;
	ct_faults_ingest(c);
	for (i = 0; i < fs->nr; i++)
		if (!fs->v[i].placed && proc_of(c, &fs->v[i]) == p)
			place(p, &fs->v[i]);
}

/*
 * Without page frames the order of all that a family wrote decides, and who goes must
 * not go before what was written while he was there has been judged.
 */
static bool concerns(const struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_proc *q)
{
	return q && (q == p || (!c->caps.pfns && q->family == p->family));
}

void ct_faults_settle(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_image *now)
{
	struct ct_faults *fs = c->faults;
	u32 i, kept = 0;

	if (!fs)
		return;
	ct_faults_ingest(c);
	for (i = 0; i < fs->nr; i++) {
		struct ct_proc *q = proc_of(c, &fs->v[i]);
		/* The reading may have begun before the write. */
		bool newer = fs->v[i].t_ns > p->read_ns;

		if (i % BEAT_FAULTS == BEAT_FAULTS - 1)
			ct_rec_beat(c);
		if (!concerns(c, p, q) ||
		    !finish(c, q, &fs->v[i], newer || q != p ? NULL : now, q == p))
			fs->v[kept++] = fs->v[i];
	}
	fs->nr = kept;
}

/* Written before the clone?  In its window the frames tell: the child has the old one. */
static bool is_older(const struct ct_rec_ctx *c, const struct ct_proc *parent,
		     const struct ct_fault_pending *f, const struct ct_image *at_clone,
		     u64 clone_ns, u64 back_ns)
{
	ct_ent then = ct_image_get(at_clone, f->page);

	if (f->t_ns < clone_ns || f->t_ns >= back_ns)
		return f->t_ns < clone_ns;
	return c->caps.pfns && ct_ent_is_page(then) &&
	       ct_observe_frame(parent, f->page, NULL) == ct_ent_pfn(then);
}

void ct_faults_forked(struct ct_rec_ctx *c, struct ct_proc *parent, const struct ct_image *at_clone,
		      u64 clone_ns, u64 back_ns)
{
	struct ct_faults *fs = c->faults;
	u32 i, kept = 0;

	if (!fs)
		return;
	ct_faults_ingest(c);
	for (i = 0; i < fs->nr; i++) {
		struct ct_fault_pending *f = &fs->v[i];
		struct ct_proc *q = proc_of(c, f);

		if (i % BEAT_FAULTS == BEAT_FAULTS - 1)
			ct_rec_beat(c);
		/* The others of the family, in their order, as of now. */
		if (concerns(c, parent, q) && q != parent
			    ? !finish(c, q, f, NULL, false)
			    : q != parent || !is_older(c, parent, f, at_clone, clone_ns, back_ns) ||
				      !finish(c, q, f, at_clone, true))
			fs->v[kept++] = *f;
	}
	fs->nr = kept;
}

/* Between its clone and its birth a child stands in the fork() that its parent called. */
static void tell_written(struct ct_rec_ctx *c, struct ct_proc *child, const struct ct_image *now,
			 const struct ct_written *w, u32 site)
{
	struct ct_share *s = child->shares;
	u32 i;

	for (i = 0; i < w->nr; i++) {
		const u64 page = w->v[i].page;
		ct_ent orig = ct_image_get(s->fork->orig, page), mine = ct_image_get(now, page);
		struct ct_rec rec = row(c, child, s, s->fork->born_ns);

		if (!ct_ent_is_page(orig) || !ct_ent_is_page(mine) || orig == mine)
			continue;
		rec.write.page = page;
		rec.write.site = site;
		rec.write.no_site = site ? CT_SITE_KNOWN : CT_NO_KERNEL_WRITE;
		rec.write.observed = COWTRACE_COPY;
		note_first(s, page, false, rec.write.no_site);
		ct_outbox_put(c->out, &rec);
	}
}

void ct_faults_born(struct ct_rec_ctx *c, struct ct_proc *child, const struct ct_image *now,
		    const struct ct_written *written, const u64 *pcs, u32 nr_pcs)
{
	if (!c->faults)
		return;
	ct_faults_claim(c, child);
	if (child->shares && child->perf.had)
		tell_written(c, child, now, written, ct_proc_site(c, child, pcs, nr_pcs));
}

void ct_faults_ended(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_faults *fs = c->faults;
	u32 i, kept = 0;

	if (!fs)
		return;
	ct_faults_settle(c, p, NULL);
	for (i = 0; i < fs->nr; i++)
		if (proc_of(c, &fs->v[i]) != p)
			fs->v[kept++] = fs->v[i];
	fs->nr = kept;
	if (p->perf.fd >= 0)
		close(p->perf.fd);
	p->perf.fd = -1;
}
