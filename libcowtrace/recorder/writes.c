/* SPDX-License-Identifier: MIT */
/*
 * The list of writes that are on their way, and their end.
 *
 * Each waits for its stack, for the birth that tells which fork it belongs to, and
 * for word of what the kernel did (observe.c); all of it within bounds.
 *
 * Invariant: a page is told once for each side of a fork.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/futex.h"
#include "channel/stacks.h"
#include "channel/threads.h"
#include "recorder/callers.h"
#include "recorder/firsts.h"
#include "recorder/observe.h"
#include "recorder/watches.h"
#include "sys/pidfd.h"

/* Younger writes are let be: their stacks and pages are on their way. */
#define RIPE_NS (5 * CT_NSEC_PER_MSEC)
/* Nothing more is hoped for after this. */
#define PATIENCE_NS (200 * CT_NSEC_PER_MSEC)
#define STARVED_NS (5 * CT_NSEC_PER_SEC)
/* A child whose clone was seen is read by then, or never. */
#define BIRTH_NS (2 * CT_NSEC_PER_SEC)
#define WINDOW_NS (50 * CT_NSEC_PER_MSEC)
#define PENDING_MAX 32768u
/* With so much on the way to the disk the writes wait here, and then in the engine's queue. */
#define OUTBOX_MAX (6UL << 20)
/* Some milliseconds of them. */
#define BEAT_WRITES 1024u
#define SEEN_TIDS 4096u
#define RACING 4096u
#define LAST_WRITES 1024u
#define RACE_NS (50 * CT_NSEC_PER_MSEC)

struct pending {
	struct ct_seen s;
	struct ct_watch *w;
	u64 moved; /* pages that anything else had moved on this machine, when it was taken in */
	u32 site;
	bool answered; /* the stack: nothing more will come */
};

struct ct_writes {
	struct ct_engine *engine;
	struct ct_watches watches;
	struct pending *v;
	u32 nr, cap;
	u64 next_ns;
	u64 lost_told;
	/* The newest write of a thread, by a hash of its id. */
	struct {
		s32 tid;
		bool asked; /* it was asked for a stack at some time */
		u64 t_ns, first_ns;
	} newest[SEEN_TIDS];
	/* The newest writes that found their page reused, or not written yet, by page. */
	struct {
		u64 page;
		u32 ctx, epoch, site;
	} last[LAST_WRITES];
	/* The newest write of a frame. */
	struct {
		u64 pfn, t_ns;
		u32 ctx;
	} racing[RACING];
};

int ct_writes_create(struct ct_engine *engine, struct ct_writes **ret)
{
	struct ct_writes *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->engine = engine;
	*ret = w;
	return 0;
}

void ct_writes_destroy(struct ct_writes *ws)
{
	if (!ws)
		return;
	ct_watches_fini(&ws->watches);
	free(ws->v);
	free(ws);
}

void ct_writes_watch(struct ct_rec_ctx *c, struct ct_proc *p, int fd)
{
	int mine = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct ct_watch *w = NULL;
	u32 ctx = 0;

	if (mine >= 0)
		ctx = ct_engine_add(c->engine, fd, p->pid);
	else
		close(fd);
	if (ctx)
		w = ct_watch_create(&c->writes->watches, ctx, mine);
	if (!w) {
		if (ctx)
			ct_engine_remove(c->engine, ctx);
		if (mine >= 0)
			close(mine);
		return;
	}
	w->pid = p->pid;
	w->proc = p;
	w->process = p->id;
	p->watch = w;
}

static void note_thread(struct ct_writes *ws, const struct ct_seen *s)
{
	u32 i = (u32)s->tid % SEEN_TIDS;

	if (ws->newest[i].tid != s->tid)
		ws->newest[i].first_ns = s->t_ns;
	ws->newest[i].asked = (ws->newest[i].tid == s->tid && ws->newest[i].asked) ||
			      (s->ticket && s->access == CT_ACCESS_USER);
	ws->newest[i].tid = s->tid;
	ws->newest[i].t_ns = s->t_ns;
}

static void on_write(struct ct_rec_ctx *c, const struct ct_seen *s)
{
	struct ct_writes *ws = c->writes;
	struct ct_watch *w = ct_watch_of(&ws->watches, s->ctx);
	struct pending *p;

	if (!w) {
		if (s->ticket)
			ct_stack_drop(c->seg, s->ticket);
		return;
	}
	/* Of a fork whose word was lost: its writes are none of an older one's. */
	ct_watch_epochs_reach(w, s->epoch, s->t_ns);
	p = &ws->v[ws->nr++];
	memset(p, 0, sizeof(*p));
	p->s = *s;
	p->w = w;
	p->answered = !s->ticket;
	p->moved = ct_observe_moved(c);
	w->nr_pending++;
	note_thread(ws, s);
	ws->racing[(u32)s->pfn & (RACING - 1)].pfn = s->pfn;
	ws->racing[(u32)s->pfn & (RACING - 1)].t_ns = s->t_ns;
	ws->racing[(u32)s->pfn & (RACING - 1)].ctx = s->ctx;
}

static bool has_room(struct ct_writes *ws)
{
	u32 cap = ws->cap ? ws->cap * 2 : 1024;
	struct pending *v;

	if (ws->nr < ws->cap)
		return true;
	v = cap <= PENDING_MAX ? realloc(ws->v, cap * sizeof(*v)) : NULL;
	if (!v)
		return false;
	ws->v = v;
	ws->cap = cap;
	return true;
}

void ct_writes_ingest(struct ct_rec_ctx *c)
{
	struct ct_writes *ws = c->writes;
	struct ct_watch *w;
	struct ct_seen s;

	/* What finds no room stays in the queue, which counts what it cannot hold. */
	while (has_room(ws) && ct_engine_take(ws->engine, &s)) {
		switch ((enum ct_seen_type)s.type) {
		case CT_SEEN_WRITE:
			on_write(c, &s);
			break;
		case CT_SEEN_FORK:
			ct_watch_forked(&ws->watches, &s);
			break;
		case CT_SEEN_PID:
			w = ct_watch_of(&ws->watches, s.ctx);
			if (w)
				w->pid = s.tid;
			break;
		}
	}
}

/* It may be newer than the clock was read here. */
static u64 age_ns(const struct pending *p, u64 now)
{
	return now > p->s.t_ns ? now - p->s.t_ns : 0;
}

/*
 * Nothing more is to be hoped for: a thread that has not run since its fault, on a
 * machine with too much to do, is waited for a while longer.
 */
static bool is_overdue(const struct pending *p, u64 now)
{
	struct ct_proc_status st;
	u64 age = age_ns(p, now);

	return age > PATIENCE_NS &&
	       (age > STARVED_NS || ct_proc_status_read(p->s.tid, &st) || !st.running);
}

/* The stack: true when nothing more will come. */
static bool collect(struct ct_rec_ctx *c, struct pending *p, bool last_chance)
{
	u64 pcs[CT_STACK_PCS];
	u32 nr = 0;

	if (p->answered)
		return true;
	switch (ct_stack_collect(c->seg, p->s.ticket, pcs, &nr)) {
	case CT_STACK_PENDING:
		if (!last_chance)
			return false;
		ct_stack_drop(c->seg, p->s.ticket);
		break;
	case CT_STACK_MOVED_ON:
		break;
	case CT_STACK_ANSWERED:
		if (!nr || !p->w->proc)
			break;
		if (p->s.flags & CT_SEEN_WORDS)
			nr = ct_callers_pick(p->w->proc->pid, p->w->proc->modmap, p->s.pc, pcs, nr);
		else
			/* As call sites are kept: one past the instruction. */
			pcs[0]++;
		p->site = nr ? ct_proc_site(c, p->w->proc, pcs, ct_min(nr, CT_SITE_PCS)) : 0;
		if (p->site && (!(p->s.flags & CT_SEEN_WORDS) || nr > 1))
			p->s.no_site = CT_SITE_KNOWN;
		break;
	}
	p->answered = true;
	return true;
}

/*
 * Between its clone and its birth a child cannot be asked, and stands in the
 * fork() that its parent called: the stack is known.
 */
static void use_fork_stack(struct ct_rec_ctx *c, struct pending *p)
{
	const struct ct_watch *w = p->w;
	u64 pcs[CT_SITE_PCS];
	u32 nr = ct_min(w->nr_fork_pcs, CT_SITE_PCS - 1);

	if (p->s.epoch || p->s.t_ns > w->born_ns || !w->nr_fork_pcs || !p->s.pc || !w->proc ||
	    p->s.access == CT_ACCESS_FOREIGN)
		return;
	pcs[0] = p->s.pc + (p->s.access == CT_ACCESS_USER);
	memcpy(pcs + 1, w->fork_pcs, nr * sizeof(*pcs));
	p->site = ct_proc_site(c, w->proc, pcs, nr + 1);
	if (p->site)
		p->s.no_site = CT_SITE_KNOWN;
}

/* The function at least, where there is no stack. */
static u32 leaf_site(struct ct_rec_ctx *c, const struct pending *p)
{
	/* Past a system call is a return address as it is. */
	u64 pc = p->s.pc + (p->s.access == CT_ACCESS_USER);

	return p->s.pc && p->w->proc ? ct_proc_site(c, p->w->proc, &pc, 1) : 0;
}

/*
 * A thread that can be asked at other times, and could not be here, is in libc's
 * code at its beginning or its end: nobody called it, the function is all there is.
 * False: it may yet be heard of, because it has just begun.
 */
static bool use_thread_edge(struct ct_rec_ctx *c, struct pending *p, bool last_chance)
{
	const struct ct_proc *q = p->w->proc;
	u32 i = (u32)p->s.tid % SEEN_TIDS;
	bool same = c->writes->newest[i].tid == p->s.tid;

	if (p->s.no_site != CT_NO_STACK || p->s.access != CT_ACCESS_USER || !q ||
	    p->s.tid == q->pid)
		return true;
	if (!(same && c->writes->newest[i].asked) && !ct_thread_known(c->seg, q->slot, p->s.tid))
		return last_chance || !same ||
		       p->s.t_ns - c->writes->newest[i].first_ns > PATIENCE_NS;
	p->site = leaf_site(c, p);
	if (p->site)
		p->s.no_site = CT_SITE_KNOWN;
	return true;
}

/*
 * A store that was let through just before the clone and ran just after it, or the
 * next one of the same loop: its page is copied in the window, and the write before
 * the clone tells who it was.
 */
static void remember_last(struct ct_writes *ws, const struct pending *p)
{
	u32 i = (u32)p->s.page & (LAST_WRITES - 1);

	ws->last[i].page = p->s.page;
	ws->last[i].ctx = p->s.ctx;
	ws->last[i].epoch = p->s.epoch;
	ws->last[i].site = p->site;
}

static u32 last_site(const struct ct_writes *ws, const struct ct_seen *s)
{
	u32 i = (u32)s->page & (LAST_WRITES - 1);

	return s->epoch && ws->last[i].page == s->page && ws->last[i].ctx == s->ctx &&
			       ws->last[i].epoch == s->epoch - 1
		       ? ws->last[i].site
		       : 0;
}

/* The window's other writes are fork()'s own, where nobody else can have made them. */
static void use_fork_site(struct ct_rec_ctx *c, struct pending *p)
{
	const struct ct_watch *w = p->w;
	const struct ct_epoch *ep = ct_watch_epoch(w, p->s.epoch);

	if (p->s.no_site == CT_SITE_KNOWN && ep)
		p->site = ep->site;
	else if (p->s.no_site == CT_SITE_KNOWN && w->proc && w->nr_fork_pcs)
		p->site = ct_proc_site(c, w->proc, w->fork_pcs, w->nr_fork_pcs);
	if (p->s.no_site == CT_NO_FORK_WINDOW)
		p->site = last_site(c->writes, &p->s);
	p->s.no_site = p->site ? CT_SITE_KNOWN : CT_NO_FORK_WINDOW;
}

static bool seen_again(const struct ct_writes *ws, const struct ct_seen *s)
{
	u32 i = (u32)s->tid % SEEN_TIDS;

	return ws->newest[i].tid == s->tid && ws->newest[i].t_ns > s->t_ns;
}

static enum cowtrace_action observe(struct ct_rec_ctx *c, const struct pending *p,
				    const struct ct_image *img, bool last_chance)
{
	const struct ct_observe_hints hints = {
		.moved = p->moved,
		.seen_again = seen_again(c->writes, &p->s),
		.last_chance = last_chance,
	};

	return ct_observe(c, p->w->proc, &p->s, img, &hints);
}

/* Which fork, and which side of it.  -EAGAIN: the child has yet to be read. */
static int place(const struct ct_watch *w, u32 epoch, u64 give_up_before, u32 *ret_fork,
		 enum ct_side *ret_side)
{
	const struct ct_epoch *ep;

	for (epoch = ct_min(epoch, w->old_epochs + w->nr_epochs); (ep = ct_watch_epoch(w, epoch));
	     epoch--) {
		if (!ep->settled && ep->t_ns >= give_up_before)
			return -EAGAIN;
		if (!ep->fork)
			continue; /* nobody counted it: the pages are the older one's */
		*ret_fork = ep->fork;
		*ret_side = CT_SIDE_PARENT;
		return 0;
	}
	*ret_fork = w->old_fork ? w->old_fork : w->birth_fork;
	*ret_side = w->old_fork ? CT_SIDE_PARENT : CT_SIDE_CHILD;
	return 0;
}

/* Pages that newer forks did not get (MADV_DONTFORK) stay with an older one. */
static struct ct_share *share_of(const struct ct_proc *p, u64 page, u32 *fork, enum ct_side *side)
{
	struct ct_share *s;

	for (s = p ? p->shares : NULL; s; s = s->next) {
		if (s->frozen && ct_page_runs_hold(s->carried, s->nr_carried, page)) {
			*fork = s->fork->id;
			*side = s->side;
			return s;
		}
	}
	for (s = p ? p->shares : NULL; s; s = s->next)
		if (s->fork->id == *fork && s->side == *side)
			return s;
	return NULL;
}

/* False: it is told already. */
static bool note_first(struct ct_share *s, const struct pending *p)
{
	const u8 value = (u8)(1 + p->s.no_site);
	u64 page = ct_extents_source(&s->extents, p->s.page), i;
	bool first;

	if (!(p->s.flags & CT_SEEN_WHOLE))
		return ct_firsts_add(&s->firsts, page, value);
	first = ct_firsts_add(&s->firsts, page, value);
	page = p->s.page & ~(CT_HUGE_PAGES - 1);
	for (i = 0; i < CT_HUGE_PAGES; i++)
		ct_firsts_add(&s->firsts, ct_extents_source(&s->extents, page + i), value);
	return first;
}

static void tell(struct ct_rec_ctx *c, const struct pending *p, u32 fork, enum ct_side side,
		 enum cowtrace_action observed)
{
	const struct ct_seen *s = &p->s;
	struct ct_rec rec = { .type = CT_REC_WRITE };
	bool whole = s->flags & CT_SEEN_WHOLE;

	rec.write.process = p->w->process;
	rec.write.fork = fork;
	rec.write.side = side;
	rec.write.t_ns = ct_rec_since(c, s->t_ns);
	rec.write.page = whole ? s->page & ~(CT_HUGE_PAGES - 1) : s->page;
	rec.write.pages = whole ? CT_HUGE_PAGES : 1;
	rec.write.site = p->site ? p->site : leaf_site(c, p);
	ct_sites_need(c->sites, rec.write.site);
	rec.write.no_site = s->no_site;
	rec.write.access = s->access;
	rec.write.syscall = s->syscall;
	rec.write.pc = s->pc;
	rec.write.predicted = s->predicted;
	rec.write.reason = s->reason;
	rec.write.decides = s->decides;
	rec.write.likely = s->likely;
	rec.write.observed = observed;
	rec.write.huge = s->flags & CT_SEEN_HUGE;
	ct_outbox_put(c->out, &rec);
}

/* A relative wrote the same page at the same time, and may have taken its copy first. */
static void doubt_racing(const struct ct_writes *ws, struct pending *p)
{
	u32 i = (u32)p->s.pfn & (RACING - 1);
	u64 t = ws->racing[i].t_ns;

	if (p->s.predicted != COWTRACE_COPY || ws->racing[i].pfn != p->s.pfn ||
	    ws->racing[i].ctx == p->s.ctx || t < p->s.t_ns || t - p->s.t_ns > RACE_NS)
		return;
	p->s.predicted = COWTRACE_UNCERTAIN;
	p->s.decides = COWTRACE_FIELD_MAPCOUNT;
	p->s.likely = COWTRACE_COPY;
}

/* True: it is told, or there is nothing to tell. */
static bool finish(struct ct_rec_ctx *c, struct pending *p, const struct ct_image *img,
		   bool standstill, u64 now)
{
	bool last_chance = standstill || is_overdue(p, now);
	struct ct_share *share;
	enum ct_side side;
	enum cowtrace_action observed;
	bool waited;
	u32 fork;

	/* A child that is not born yet: nobody knows whose it is, or ever will. */
	if (!p->w->process) {
		if (!p->w->ended && age_ns(p, now) < BIRTH_NS)
			return false;
		if (!p->answered)
			ct_stack_drop(c->seg, p->s.ticket);
		return true;
	}
	if (place(p->w, p->s.epoch, standstill ? UINT64_MAX : now - BIRTH_NS, &fork, &side))
		return false;
	/* What its page is now may be the next fork's doing; on a busy machine that takes long. */
	if (!standstill && p->w->proc && age_ns(p, now) < BIRTH_NS &&
	    ct_birth_under_way(c, p->w->proc))
		return false;
	/* Who it was may come with a write that was let through before the clone. */
	if (p->s.no_site == CT_NO_FORK_WINDOW && !standstill && age_ns(p, now) < WINDOW_NS)
		return false;
	waited = p->answered;
	if (!collect(c, p, last_chance))
		return false;
	if (p->s.flags & CT_SEEN_WINDOW)
		use_fork_site(c, p);
	else
		use_fork_stack(c, p);
	if (!use_thread_edge(c, p, last_chance))
		return false;
	doubt_racing(c->writes, p);
	observed = observe(c, p, img, last_chance);
	if (observed == COWTRACE_RETRY) {
		if (!last_chance)
			return false;
		observed = COWTRACE_UNCERTAIN;
	}
	/*
	 * The process stands still, the handler has not run and the page is what it
	 * was: the store has not been tried again.  It will fault anew.
	 */
	if (standstill && !waited && p->s.no_site == CT_NO_BLOCKED_SIGNAL &&
	    observed == COWTRACE_REUSE)
		return true;
	if (p->site && observed == COWTRACE_REUSE)
		remember_last(c->writes, p);
	share = share_of(p->w->proc, p->s.page, &fork, &side);
	if (!share || note_first(share, p))
		tell(c, p, fork, side, observed);
	return true;
}

static void let_go(struct ct_writes *ws, struct ct_watch *w)
{
	w->nr_pending--;
	if (w->ended && !w->nr_pending)
		ct_watch_free(&ws->watches, w);
}

/* Killed before it could be read. */
static void died_unborn(void *arg, struct ct_watch *w)
{
	struct ct_writes *ws = arg;

	ct_engine_remove(ws->engine, w->ctx);
	if (!w->nr_pending)
		ct_watch_free(&ws->watches, w);
}

void ct_writes_run(struct ct_rec_ctx *c, u64 now)
{
	bool full = ct_outbox_queued(c->out) > OUTBOX_MAX;
	struct ct_writes *ws = c->writes;
	u32 i, kept = 0;

	ct_writes_ingest(c);
	ct_watches_sweep(&ws->watches, now, died_unborn, ws);
	for (i = 0; i < ws->nr; i++) {
		struct pending *p = &ws->v[i];

		if (i % BEAT_WRITES == BEAT_WRITES - 1) {
			ct_rec_beat(c);
			full = ct_outbox_queued(c->out) > OUTBOX_MAX;
		}
		if (full || age_ns(p, now) < RIPE_NS || !finish(c, p, NULL, false, now))
			ws->v[kept++] = *p;
		else
			let_go(ws, p->w);
	}
	ws->nr = kept;
	ws->next_ns = kept ? now + RIPE_NS : UINT64_MAX;
	if (ct_engine_lost(ws->engine) > ws->lost_told) {
		ct_rec_note(c, 0, "warning", "writes_lost",
			    "%llu first writes found the queue full: the recorder was late, they "
			    "have no call site",
			    (unsigned long long)(ct_engine_lost(ws->engine) - ws->lost_told));
		ws->lost_told = ct_engine_lost(ws->engine);
	}
}

u64 ct_writes_due(const struct ct_rec_ctx *c)
{
	return c->writes->next_ns ? c->writes->next_ns : UINT64_MAX;
}

/*
 * Let through before the clone, and at the clone its handler had not run nor its
 * store: it happens after the clone, and what was foreseen is no longer so.
 */
static bool move_past_clone(struct ct_rec_ctx *c, struct pending *p, const struct ct_image *now,
			    u32 epoch)
{
	if (collect(c, p, false) || !p->s.pfn ||
	    ct_observe_frame(p->w->proc, p->s.page, now) != p->s.pfn)
		return false;
	p->s.epoch = epoch;
	p->s.predicted = COWTRACE_UNCERTAIN;
	p->s.decides = COWTRACE_FIELD_MAPCOUNT;
	p->s.likely = COWTRACE_COPY;
	return true;
}

void ct_writes_settle(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_image *now,
		      u32 max_epoch)
{
	struct ct_writes *ws = c->writes;
	u64 t = ct_now_ns();
	u32 i, kept = 0;
	bool at_clone = max_epoch != UINT32_MAX;

	if (!ws || !p->watch)
		return;
	ct_writes_ingest(c);
	for (i = 0; i < ws->nr; i++) {
		struct pending *q = &ws->v[i];
		/* The reading may have begun before the write. */
		bool newer = !at_clone && q->s.t_ns > p->read_ns;

		if (i % BEAT_WRITES == BEAT_WRITES - 1)
			ct_rec_beat(c);
		if (q->w != p->watch || q->s.epoch >= max_epoch ||
		    (at_clone && move_past_clone(c, q, now, max_epoch)) ||
		    !finish(c, q, newer ? NULL : now, true, t))
			ws->v[kept++] = *q;
		else
			let_go(ws, q->w);
	}
	ws->nr = kept;
}

u64 ct_writes_lost(struct ct_rec_ctx *c, const struct ct_proc *p, u32 fork, enum ct_side side)
{
	struct ct_loss v[CT_ENGINE_LOSSES];
	u32 i, nr = p->watch ? ct_engine_losses(c->writes->engine, p->watch->ctx, v) : 0;
	enum ct_side on;
	u64 sum = 0;
	u32 of;

	for (i = 0; i < nr; i++)
		if (!place(p->watch, v[i].epoch, UINT64_MAX, &of, &on) && of == fork && on == side)
			sum += v[i].writes;
	return sum;
}

static void bind(struct ct_watch *w, const struct ct_proc *parent, struct ct_proc *child,
		 const struct ct_birth_word *birth)
{
	ct_watch_is_born(w);
	w->proc = child;
	w->process = child->id;
	w->birth_fork = birth->fork;
	w->born_ns = birth->born_ns;
	w->nr_fork_pcs = ct_min(birth->nr_pcs, CT_SITE_PCS);
	memcpy(w->fork_pcs, birth->pcs, w->nr_fork_pcs * sizeof(*birth->pcs));
	child->watch = w;
	/* Protected as its parent was. */
	if (parent->watch)
		w->armed = ct_armed_copy(parent->watch->armed);
}

void ct_writes_born(struct ct_rec_ctx *c, struct ct_proc *parent, struct ct_proc *child,
		    const struct ct_birth_word *birth)
{
	struct ct_writes *ws = c->writes;
	struct ct_watch *w;
	struct ct_epoch *ep;
	u32 epoch;

	if (!ws)
		return;
	ct_writes_ingest(c);
	w = ct_watch_unborn(&ws->watches, child->pid);
	if (w)
		bind(w, parent, child, birth);
	/* Where the child could not be watched its parent may well be. */
	epoch = parent->watch ? ct_watch_epoch_of_child(parent->watch, w ? w->ctx : 0) : 0;
	if (!epoch)
		return;
	/* What came before the clone is the older forks'. */
	ct_writes_settle(c, parent, birth->at_clone, epoch);
	ep = ct_watch_epoch(parent->watch, epoch);
	ep->fork = birth->fork;
	ep->site = ct_proc_site(c, parent, birth->pcs, birth->nr_pcs);
	ep->settled = true;
}

void ct_writes_ended(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_watch *w = p->watch;

	if (!w)
		return;
	ct_writes_settle(c, p, NULL, UINT32_MAX);
	ct_engine_remove(c->engine, w->ctx);
	p->watch = NULL;
	w->proc = NULL;
	w->ended = true;
	if (!w->nr_pending)
		ct_watch_free(&c->writes->watches, w);
}
