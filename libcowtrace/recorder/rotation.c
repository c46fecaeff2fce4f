/* SPDX-License-Identifier: MIT */
/*
 * The change from one file of a recording to the next.
 *
 * No process is read for it and nobody waits: what was told of an open fork by the last
 * look at it stays in the old file, and what the next look finds beyond that goes into
 * the new one.  The new file is told anew of every process that lives and every fork
 * that is open; modules, call sites and regions when something names them.
 *
 * Invariant: for each fork and side the counts of all files sum up to what one file
 * would have (portion.c); a file that could not be written to its end is made up for by
 * the next one.
 */
#include <string.h>

#include "recorder/portion.h"
#include "recorder/rotation.h"

/* The disk is full, or worse: try another file this often. */
#define RETRY_NS (2 * CT_NSEC_PER_SEC)
/* More than this on its way to the disk: what goes on would not all find room. */
#define QUEUED_MAX (4UL << 20)

static bool is_due(const struct ct_rec_ctx *c, u64 now)
{
	const struct ct_rotation *r = c->rotation;
	/* A file has to have more in it than what it was told at its beginning. */
	const u64 nr_new = ct_outbox_nr_put(c->out) - r->nr_put;

	if (ct_outbox_queued(c->out) > QUEUED_MAX || ct_outbox_file(c->out) != r->file)
		return false;
	if (ct_outbox_error(c->out))
		return now - r->tried_ns >= RETRY_NS;
	if (r->asked)
		return true;
	if (r->len && ct_outbox_file_len(c->out) >= r->len && nr_new > r->nr_told)
		return true;
	return r->every_ns && now - r->began_ns >= r->every_ns && nr_new;
}

static void tell_side(struct ct_rec_ctx *c, const struct ct_fork *f, enum ct_side side,
		      enum ct_side_end why, bool known)
{
	const struct ct_portion *p = f->portion;
	const struct ct_tally *t = &p->told[side];
	struct ct_rec rec = { .type = CT_REC_SIDE };

	rec.side.fork = f->id;
	rec.side.side = side;
	rec.side.end = why;
	rec.side.t_ns = ct_rec_since(c, ct_now_ns());
	rec.side.copied = known ? t->copied : CT_UNKNOWN;
	rec.side.dropped = known ? t->dropped : CT_UNKNOWN;
	rec.side.fresh = known ? t->fresh : CT_UNKNOWN;
	rec.side.unknown = known ? t->unknown : CT_UNKNOWN;
	rec.side.kept = known ? t->kept : CT_UNKNOWN;
	rec.side.attributed = p->told_attributed[side];
	ct_outbox_put(c->out, &rec);
}

/* Calls fn for every fork that is open on either side, once. */
static void each_open_fork(struct ct_rec_ctx *c, u32 mark,
			   void (*fn)(struct ct_rec_ctx *c, struct ct_fork *f))
{
	struct ct_share *s;
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next) {
		for (s = p->shares; s; s = s->next) {
			if (!s->fork->portion || s->fork->portion->mark == mark)
				continue;
			s->fork->portion->mark = mark;
			fn(c, s->fork);
		}
	}
}

/* The old file: these sides go on.  Without page frames the counts are the last file's. */
static void leave_open(struct ct_rec_ctx *c, struct ct_fork *f)
{
	int side;

	for (side = 0; side < 2; side++)
		if (!f->closed[side])
			tell_side(c, f, side, CT_SIDE_END_NEXT_FILE, c->caps.pfns);
	ct_close_tell_witness(c, f);
}

static void move_base(struct ct_rec_ctx *c, struct ct_fork *f)
{
	if (c->caps.pfns)
		ct_portion_next(f->portion, f->regions->nr);
}

/* A process of an open fork that has gone itself. */
static void tell_gone(struct ct_rec_ctx *c, const struct ct_portion_proc *p)
{
	struct ct_rec rec = { .type = CT_REC_PROCESS };

	if (!p->id || ct_proc_of_id(c, p->id))
		return;
	rec.process.id = p->id;
	rec.process.pid = p->pid;
	rec.process.comm = p->comm;
	rec.process.exe = "";
	rec.process.start_ns = p->start_ns;
	ct_outbox_put(c->out, &rec);
	rec = (struct ct_rec){ .type = CT_REC_PROCESS_END };
	rec.process_end.id = p->id;
	rec.process_end.ended = CT_ENDED_EXIT;
	rec.process_end.end_ns = ct_rec_since(c, c->rotation->began_ns);
	rec.process_end.wstatus = -1;
	ct_outbox_put(c->out, &rec);
}

static u64 still_shared(const struct ct_fork *f)
{
	u64 pages = 0;
	int side;

	for (side = 0; side < 2; side++)
		if (!f->closed[side])
			pages = ct_max(pages, f->portion->told[side].kept);
	return pages;
}

/* The new file: a fork that began in an older one. */
static void carry_on(struct ct_rec_ctx *c, struct ct_fork *f)
{
	struct ct_portion *p = f->portion;
	struct ct_rec rec = { .type = CT_REC_CARRIED };
	int side;

	rec.carried.fork = f->id;
	rec.carried.pages_shared = f->orig->pages;
	ct_outbox_put(c->out, &rec);
	rec = p->row;
	ct_sites_need(c->sites, rec.fork.site);
	rec.fork.pages_shared = still_shared(f);
	rec.fork.hold_ns = rec.fork.huge_pages_shared = rec.fork.swapped = CT_UNKNOWN;
	rec.fork.runs_of = 0;
	ct_outbox_put(c->out, &rec);
	free(ct_take_ptr(f->told_regions));
	for (side = 0; side < 2; side++) {
		tell_gone(c, &p->proc[side]);
		if (c->caps.pfns || f->closed[side])
			tell_side(c, f, side, f->closed[side] ? p->why[side] : CT_SIDE_END_OPEN,
				  true);
		if (c->caps.pfns) {
			f->copied[side] = f->unknown[side] = 0;
			f->unread[side] = f->unread[side] && !f->closed[side];
		}
	}
	if (f->proc[CT_SIDE_PARENT] && !f->closed[CT_SIDE_PARENT])
		ct_birth_tell_shared(c, f->proc[CT_SIDE_PARENT], f);
}

static void tell_process(struct ct_rec_ctx *c, struct ct_proc *p)
{
	const u32 parent = p->parent_id;

	p->nr_region_ids = 0;
	memset(p->region_ids, 0, p->cap_region_ids * sizeof(*p->region_ids));
	p->told_runs.fork = 0;
	/* One that has gone is not in this file: a process of its own, then. */
	if (!ct_proc_of_id(c, parent))
		p->parent_id = 0;
	ct_proc_announce(c, p, p->parent_pid, p->start_ns);
}

static void put_number(struct ct_rec_ctx *c, const char *key, u64 value)
{
	struct ct_rec rec = { .type = CT_REC_META };
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	rec.meta.key = key;
	rec.meta.value = text;
	ct_outbox_put(c->out, &rec);
}

void ct_rotation_run(struct ct_rec_ctx *c, u64 now)
{
	struct ct_rotation *r = c->rotation;
	struct ct_proc *p;
	bool failed;
	u64 first;

	if (!r || !is_due(c, now))
		return;
	r->tried_ns = now;
	failed = ct_outbox_error(c->out);
	ct_events_drain(c, now);
	if (!failed)
		each_open_fork(c, ++r->mark, leave_open);
	put_number(c, "next_file", r->file + 2);
	if (!ct_outbox_next_file(c->out))
		return;
	r->asked = false;
	r->began_ns = now;
	r->file++;
	first = ct_outbox_nr_put(c->out);
	if (!failed)
		each_open_fork(c, ++r->mark, move_base);
	c->nr_warnings = 0;
	ct_sites_next_file(c->sites);
	ct_modules_next_file(c->modules);
	ct_rec_repeat_metas(c);
	put_number(c, "file", r->file + 1);
	put_number(c, "file_start_ns", ct_rec_since(c, r->began_ns));
	for (p = c->procs; p; p = p->next)
		tell_process(c, p);
	each_open_fork(c, ++r->mark, carry_on);
	r->nr_put = ct_outbox_nr_put(c->out);
	r->nr_told = r->nr_put - first;
}
