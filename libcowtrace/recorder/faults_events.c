/* SPDX-License-Identifier: MIT */
/*
 * The events that the recorder holds for the programs: switched on when a process is
 * about to fork, off when it has been without a relative for a while, closed when it
 * steps back.
 *
 * It looks at no fault.  Invariant: an event is on only while its process has a relative,
 * has a fork under way, or has had one within the linger.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/futex.h"
#include "recorder/faults_int.h"
#include "sys/pidfd.h"

#define UNBORN_NS (5 * CT_NSEC_PER_SEC)

static struct ct_slot *slot_of(struct ct_rec_ctx *c, const struct ct_proc *p)
{
	return &c->seg->slots[p->slot];
}

static void add_own(struct ct_proc *p, const u64 own[2])
{
	u32 i;

	if (!p->own || own[0] >= own[1] || p->own->nr == ct_array_size(p->own->v))
		return;
	for (i = 0; i < p->own->nr; i++)
		if (p->own->v[i].start == own[0])
			return;
	p->own->v[p->own->nr++] = (struct ct_own_range){ own[0], own[1] };
}

static void refused(struct ct_rec_ctx *c, struct ct_proc *p, int status)
{
	ct_rec_note(c, p->id, "warning", "no_perf_event",
		    status == -EBUSY
			    ? "process %d ignores SIGTRAP or has no room for a handler (%s): its "
			      "writes have no call sites"
			    : "process %d could not open a page-fault event (%s): its writes have "
			      "no call sites",
		    p->pid, strerror(-status));
}

/* Takes s->fd. */
static void attach(struct ct_rec_ctx *c, struct ct_proc *p, const struct ct_perf_sent *s)
{
	add_own(p, s->msg.own);
	if (p->perf.fd >= 0 || s->fd < 0) {
		if (s->fd >= 0)
			close(s->fd);
		else if (s->msg.status)
			refused(c, p, s->msg.status);
		return;
	}
	p->perf.fd = s->fd;
	p->perf.had = true;
	p->perf.on = atomic_load(&slot_of(c, p)->watched);
}

static bool is_of(struct ct_rec_ctx *c, const struct ct_proc *p, const struct ct_perf_sent *s)
{
	return p && p->slot == s->msg.slot && slot_of(c, p)->generation == s->msg.generation;
}

static void keep_unborn(struct ct_faults *fs, const struct ct_perf_sent *s, u64 now)
{
	u32 i, kept = 0;

	for (i = 0; i < fs->nr_unborn; i++) {
		if (now - fs->unborn[i].t_ns < UNBORN_NS)
			fs->unborn[kept++] = fs->unborn[i];
		else if (fs->unborn[i].fd >= 0)
			close(fs->unborn[i].fd);
	}
	fs->nr_unborn = kept;
	if (kept < CT_FAULTS_UNBORN)
		fs->unborn[fs->nr_unborn++] = *s;
	else if (s->fd >= 0)
		close(s->fd);
}

void ct_faults_receive(struct ct_rec_ctx *c)
{
	struct ct_faults *fs = c->faults;
	u64 now = ct_now_ns();
	struct ct_perf_sent s;

	while (ct_perf_events_next(&fs->events, now, &s)) {
		struct ct_proc *p = c->by_slot[s.msg.slot];

		if (is_of(c, p, &s))
			attach(c, p, &s);
		else
			keep_unborn(fs, &s, now);
	}
}

void ct_faults_claim(struct ct_rec_ctx *c, struct ct_proc *child)
{
	struct ct_faults *fs = c->faults;
	u32 i, kept = 0;

	ct_faults_receive(c);
	for (i = 0; i < fs->nr_unborn; i++) {
		if (is_of(c, child, &fs->unborn[i]))
			attach(c, child, &fs->unborn[i]);
		else
			fs->unborn[kept++] = fs->unborn[i];
	}
	fs->nr_unborn = kept;
}

static void close_event(struct ct_rec_ctx *c, struct ct_proc *p)
{
	atomic_store(&slot_of(c, p)->watched, 0);
	if (p->perf.fd >= 0)
		close(p->perf.fd);
	p->perf.fd = -1;
	p->perf.on = false;
}

static void switch_on(struct ct_rec_ctx *c, struct ct_proc *p)
{
	p->perf.idle_ns = 0;
	if (p->perf.fd < 0 || (!p->perf.on && ioctl(p->perf.fd, PERF_EVENT_IOC_ENABLE, 0)))
		return;
	p->perf.on = true;
	atomic_store(&slot_of(c, p)->watched, 1);
}

void ct_faults_arm(struct ct_rec_ctx *c, struct ct_proc *p)
{
	if (!c->faults)
		return;
	ct_faults_receive(c);
	if (p->perf.fd >= 0 && ct_proc_tracer(p->pid) > 0) {
		ct_rec_note(c, p->id, "warning", "debugger",
			    "process %d is being debugged, and its SIGTRAPs are the debugger's: "
			    "its writes have no call sites",
			    p->pid);
		close_event(c, p);
		return;
	}
	switch_on(c, p);
}

static const char *const why_back[CT_BACK_NR] = {
	[CT_BACK_SIGNAL] = "handles or waits for SIGTRAP itself",
	[CT_BACK_STACK] = "has set an alternate signal stack with no room for another handler",
	[CT_BACK_QUIET] = "restricts its system calls",
	[CT_BACK_MEMORY] = "takes away memory that its handler needs",
	[CT_BACK_HANDLER] = "has a SIGTRAP handler of its own",
	[CT_BACK_THREAD] = "makes threads by clone(), whose stacks nobody knows",
};

void ct_faults_disarm(struct ct_rec_ctx *c, struct ct_proc *p)
{
	u32 why = atomic_load(&slot_of(c, p)->stepped_back);

	if (!c->faults)
		return;
	ct_faults_receive(c);
	close_event(c, p);
	if (!p->perf.back)
		ct_rec_note(c, p->id, "warning", "stepped_back",
			    "process %d %s: the perf engine lets it be from here on, its writes "
			    "have no call sites",
			    p->pid, why < CT_BACK_NR && why_back[why] ? why_back[why] : "wants so");
	p->perf.back = true;
}

void ct_faults_pause(struct ct_rec_ctx *c, struct ct_proc *p)
{
	if (c->faults && p->perf.fd >= 0)
		ioctl(p->perf.fd, PERF_EVENT_IOC_DISABLE, 0);
}

void ct_faults_resume(struct ct_rec_ctx *c, struct ct_proc *p)
{
	if (c->faults && p->perf.fd >= 0 && p->perf.on)
		ioctl(p->perf.fd, PERF_EVENT_IOC_ENABLE, 0);
}

/* A fork that begins in this instant sees `watched` unset and asks, or is seen here. */
static void switch_off(struct ct_rec_ctx *c, struct ct_proc *p)
{
	atomic_store(&slot_of(c, p)->watched, 0);
	if (ct_birth_under_way(c, p)) {
		atomic_store(&slot_of(c, p)->watched, 1);
		p->perf.idle_ns = 0;
		return;
	}
	ioctl(p->perf.fd, PERF_EVENT_IOC_DISABLE, 0);
	p->perf.on = false;
	ct_rec_note(c, p->id, "info", "watching_paused",
		    "without a relative for %llu ms: its writes are not watched until it forks "
		    "again",
		    (unsigned long long)(c->linger_ns / CT_NSEC_PER_MSEC));
}

void ct_faults_lift(struct ct_rec_ctx *c, u64 now)
{
	struct ct_proc *p;

	for (p = c->faults ? c->procs : NULL; p; p = p->next) {
		if (p->perf.fd < 0 || !p->perf.on || p->gone_ns || p->exec_read || p->exit_read)
			continue;
		if (p->shares || ct_birth_under_way(c, p))
			p->perf.idle_ns = 0;
		else if (!p->perf.idle_ns)
			p->perf.idle_ns = now;
		else if (now - p->perf.idle_ns >= c->linger_ns)
			switch_off(c, p);
	}
}

enum ct_no_site ct_faults_unseen(const struct ct_rec_ctx *c, const struct ct_proc *p)
{
	if (!p || (!p->perf.had && !p->perf.back))
		return CT_NO_ENGINE;
	if (p->perf.back)
		return CT_NO_STACK;
	return atomic_load(&c->seg->slots[p->slot].faults_lost) ? CT_NO_RECORDER_LATE
								: CT_NO_KERNEL_WRITE;
}
