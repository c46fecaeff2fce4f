/* SPDX-License-Identifier: MIT */
/*
 * Ends that are asked for, not told.  A pidfd is either here or with the io
 * thread (io.c), never in both places: a process that takes its time to go is
 * handed back there.
 *
 * Invariant: the processes in the list are in c->procs and have exit_read set.
 */
#include <poll.h>
#include <string.h>

#include "recorder/io.h"
#include "recorder/leave.h"
#include "recorder/reap.h"

/* The report may hear of an end this much late. */
#define LOOK_NS (5 * CT_NSEC_PER_MSEC)
/* Whoever has more to do after its last reading than this is waited for. */
#define SOON_NS (50 * CT_NSEC_PER_MSEC)

void ct_reap_add(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_reap *r = &c->reap;
	u64 now = ct_now_ns();

	if (p->pidfd < 0 || r->nr == ct_array_size(r->v))
		return;
	ct_io_release(c->io, p->pidfd);
	if (!r->nr)
		r->due_ns = now + LOOK_NS;
	p->reaped = true;
	r->v[r->nr++] = (struct ct_reap_one){ p->id, p->pidfd, now };
}

static void drop(struct ct_reap *r, u32 i)
{
	/* Kept in order: what gives up is the oldest. */
	memmove(&r->v[i], &r->v[i + 1], (r->nr - i - 1) * sizeof(r->v[0]));
	r->nr--;
}

void ct_reap_forget(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct ct_reap *r = &c->reap;
	u32 i;

	for (i = 0; p->reaped && i < r->nr; i++) {
		if (r->v[i].id == p->id) {
			drop(r, i);
			break;
		}
	}
	p->reaped = false;
}

/* Longer than usual: the io thread tells. */
static void hand_back(struct ct_rec_ctx *c, struct ct_proc *p)
{
	ct_reap_forget(c, p);
	if (ct_io_watch(c->io, p->pidfd, p->id)) {
		/* The sweep will find out. */
		close(p->pidfd);
		p->pidfd = -1;
	}
}

void ct_reap_look(struct ct_rec_ctx *c, u64 now)
{
	struct ct_reap *r = &c->reap;
	struct ct_reap_one was[ct_array_size(r->v)];
	struct pollfd fds[ct_array_size(r->v)];
	u32 i, nr = r->nr;

	if (!nr)
		return;
	r->due_ns = now + LOOK_NS;
	for (i = 0; i < nr; i++) {
		was[i] = r->v[i];
		fds[i] = (struct pollfd){ .fd = was[i].pidfd, .events = POLLIN };
	}
	if (poll(fds, nr, 0) < 0)
		return;
	for (i = 0; i < nr; i++) {
		/* One's end may have taken another with it. */
		struct ct_proc *p = ct_proc_of_id(c, was[i].id);

		if (!p || !p->reaped)
			continue;
		if (fds[i].revents) {
			ct_reap_forget(c, p);
			ct_leave_gone(c, p, now);
		} else if (now > was[i].since_ns + SOON_NS) {
			hand_back(c, p);
		}
	}
}
