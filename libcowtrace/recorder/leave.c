/* SPDX-License-Identifier: MIT */
/*
 * How processes leave: the reading before an exit or an exec, the end as the
 * kernel tells it, and the image that comes after an exec.
 *
 * Invariant: the sides of a process are closed exactly once, with the reading
 * that was taken while it stood still, or as unread.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "recorder/faults.h"
#include "recorder/leave.h"
#include "recorder/reap.h"
#include "recorder/strays.h"
#include "recorder/writes.h"
#include "sys/pidfd.h"
#include "sys/smaps.h"

/* An exec that neither failed nor said HELLO by then went to a program we are not in. */
#define EXEC_PATIENCE_NS CT_NSEC_PER_SEC

/* Asking the kernel (smaps_rollup) takes this share of one core at most: 1 in ... */
#define WITNESS_DUTY 40
/*
 * And of a server's hundreds of short children a second some are enough: ten, and
 * all of the sixteen that a pool of workers has when it ends.
 */
#define WITNESS_PAUSE_NS (100 * CT_NSEC_PER_MSEC)
#define WITNESS_BURST_NS (16 * WITNESS_PAUSE_NS)
/*
 * One call of the kernel walks all of the process: 60 ns a page on an idle machine, and
 * several times that on a busy one.  The heart has beaten for that long before.
 */
#define WITNESS_PAGE_NS CT_NSEC_PER_USEC

/* The kernel's own word on the process, while it stands still. */
static void take_witness(struct ct_rec_ctx *c, struct ct_proc *p)
{
	u64 now = ct_now_ns();
	struct ct_smaps_sum sum;
	struct ct_fork *f;
	int err;

	if (!p->shares || p->shares->side != CT_SIDE_CHILD ||
	    now + WITNESS_BURST_NS < c->witness_due_ns)
		return;
	ct_rec_beat_until(c, now + (p->last ? p->last->pages : 0) * WITNESS_PAGE_NS);
	err = ct_smaps_rollup(p->pid, &sum);
	ct_rec_beat(c);
	if (err)
		return;
	c->witness_due_ns = ct_max(c->witness_due_ns, now);
	c->witness_due_ns += ct_max((ct_now_ns() - now) * WITNESS_DUTY, WITNESS_PAUSE_NS);
	f = p->shares->fork;
	f->have_witness = true;
	f->witness_process = p->id;
	f->witness_ns = ct_rec_since(c, ct_now_ns());
	f->witness_dirty = sum.private_dirty;
	f->witness_alone = c->reader.nr_alone;
}

/*
 * The last reading of a process that stands still.  NULL: nothing to read, or
 * its memory has gone.
 */
static struct ct_image *last_reading(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_image *img = NULL;

	if (!p->shares || ct_proc_read(c, p, &img))
		return NULL;
	take_witness(c, p);
	if (!c->caps.pfns) {
		/* Both sides must be seen while both are there: inside the hold. */
		ct_events_drain(c, ct_now_ns());
		ct_drops_apply(c, p, UINT64_MAX);
		ct_close_evaluate(c, p, img);
	}
	return img;
}

/* Servers name their workers after the fork. */
static void learn_name(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_rec rec = { .type = CT_REC_PROCESS_COMM };
	char comm[sizeof(p->comm)];

	/* What lived that short is one of many: not worth another 15 us of its exit. */
	if (ct_now_ns() - p->born_ns < 100 * CT_NSEC_PER_MSEC)
		return;
	if (ct_proc_comm(p->pid, comm, sizeof(comm)) || !strcmp(comm, p->comm))
		return;
	memcpy(p->comm, comm, sizeof(comm));
	rec.process.id = p->id;
	rec.process.comm = p->comm;
	rec.process.exe = ct_names_get(c->names, p->exe);
	ct_outbox_put(c->out, &rec);
}

void ct_leave_exit(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_image *img;
	struct ct_proc *alone;
	bool late;

	/* The word that an exec failed can be lost in a full ring; this says it too. */
	if (p->exec_read)
		ct_leave_stays(c, p);
	img = last_reading(c, p);
	alone = ct_parting_begin(c, p);
	learn_name(c, p);
	/* While its code can still be looked at. */
	ct_writes_settle(c, p, img, UINT32_MAX);
	if (c->faults) {
		ct_events_drain(c, ct_now_ns());
		ct_faults_settle(c, p, img);
	}
	/* Before it is let go: what the survivor does then comes later than this. */
	ct_parting_end(alone);
	late = !ct_ask_done(c->seg, p->slot);
	ct_urgency_for(c, img);
	p->exit_read = true;
	/* What this process told before it asked is in the ring by now. */
	ct_events_drain(c, ct_now_ns());
	ct_drops_apply(c, p, UINT64_MAX);
	ct_close_all(c, p, img, late ? CT_SIDE_END_TIMEOUT : CT_SIDE_END_EXIT);
	ct_image_unref(img);
	ct_reap_add(c, p);
}

void ct_leave_exec(struct ct_rec_ctx *c, struct ct_proc *p)
{
	const struct ct_slot *s = &c->seg->slots[p->slot];
	struct ct_proc *alone;

	/* A signal of ours that is still on its way would kill the new image. */
	if (c->engine)
		ct_engine_hush(c->engine, p->slot);
	ct_faults_pause(c, p);
	memcpy(p->exec_path, s->exec_path, sizeof(p->exec_path) - 1);
	ct_image_unref(p->exec_image);
	p->exec_image = last_reading(c, p);
	alone = ct_parting_begin(c, p);
	ct_writes_settle(c, p, p->exec_image, UINT32_MAX);
	if (c->faults) {
		ct_events_drain(c, ct_now_ns());
		ct_faults_settle(c, p, p->exec_image);
	}
	p->exec_read = true;
	p->exec_ns = ct_now_ns();
	ct_parting_end(alone);
	ct_ask_done(c->seg, p->slot);
}

void ct_leave_stays(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_proc *q;

	p->exec_read = false;
	ct_faults_resume(c, p);
	for (q = c->procs; q; q = q->next)
		if (q != p && q->family == p->family)
			ct_parting_forget(q);
}

/* The exec has happened: the old image ends. */
void ct_leave_replaced(struct ct_rec_ctx *c, struct ct_proc *p)
{
	ct_events_drain(c, ct_now_ns());
	ct_drops_apply(c, p, UINT64_MAX);
	ct_parting_killed(c, p, ct_now_ns());
	ct_close_all(c, p, p->exec_image, CT_SIDE_END_EXEC);
	ct_proc_end(c, p, CT_ENDED_EXEC, p->exec_read ? p->exec_ns : ct_now_ns());
}

/* Is the segment still mapped there?  Then the exec has not happened. */
static bool still_our_image(struct ct_rec_ctx *c, const struct ct_proc *p)
{
	size_t i;

	if (ct_maps_load(p->pid, &c->maps))
		return true; /* cannot look: say nothing */
	for (i = 0; i < c->maps.nr; i++)
		if (strstr(c->maps.vmas[i].name, CT_SEG_MEMFD_NAME))
			return true;
	return c->maps.nr == 0;
}

void ct_leave_check_execs(struct ct_rec_ctx *c, u64 now)
{
	struct ct_proc *p, *next;

	for (p = c->procs; p; p = next) {
		next = p->next;
		if (!p->exec_read || p->gone_ns || now - p->exec_ns < EXEC_PATIENCE_NS)
			continue;
		if (still_our_image(c, p)) {
			p->exec_ns = now; /* a slow exec, or one that failed: ask again later */
			continue;
		}
		ct_strays_explain(c, p->id, p->pid, p->exec_path);
		ct_leave_replaced(c, p);
	}
}

static void finish_gone(struct ct_rec_ctx *c, struct ct_proc *p)
{
	enum ct_ended ended = CT_ENDED_KILLED;

	if (p->exec_read) {
		ct_strays_explain(c, p->id, p->pid, p->exec_path);
		ct_leave_replaced(c, p);
		return;
	}
	if (p->exit_read || (p->wstatus >= 0 && WIFEXITED(p->wstatus)))
		ended = CT_ENDED_EXIT;
	/* Still open: it never asked to be read, or could not wait for it. */
	ct_close_all(c, p, NULL,
		     ended == CT_ENDED_KILLED ? CT_SIDE_END_KILLED : CT_SIDE_END_TIMEOUT);
	ct_proc_end(c, p, ended, p->gone_ns);
}

void ct_leave_gone(struct ct_rec_ctx *c, struct ct_proc *p, u64 told_ns)
{
	int wstatus;

	if (p->gone_ns)
		return;
	if (p->pidfd >= 0 && !ct_pidfd_exit_status(p->pidfd, &wstatus))
		p->wstatus = wstatus;
	p->gone_ns = ct_now_ns();
	ct_events_drain(c, p->gone_ns);
	if (!p->exit_read && !p->exec_read)
		ct_parting_killed(c, p, told_ns);
	/* A child of its that has not spoken yet still needs it as a parent. */
	if (!ct_birth_under_way(c, p))
		finish_gone(c, p);
}

void ct_leave_sweep(struct ct_rec_ctx *c, u64 now)
{
	struct ct_proc_status st;
	struct ct_proc *p, *next;

	for (p = c->procs; p; p = next) {
		next = p->next;
		ct_birth_resync(c, p, now);
		if (p->gone_ns &&
		    (!ct_birth_under_way(c, p) || now - p->gone_ns > c->hold_ns + CT_NSEC_PER_SEC))
			finish_gone(c, p);
		else if (!p->gone_ns && p->pidfd < 0 &&
			 (ct_proc_status_read(p->pid, &st) || st.zombie))
			ct_leave_gone(c, p, now);
	}
}
