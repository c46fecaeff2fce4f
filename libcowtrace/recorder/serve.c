/* SPDX-License-Identifier: MIT */
/*
 * The serving loop: everything that a program may be waiting for is done here,
 * births first, and nothing here waits for a disk.
 *
 * Sleeps on the segment's doorbell; wakes by itself for the heartbeat and for
 * readings that are due.  One reading between two looks at the doorbell, so that
 * a held child waits for one reading at most.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "channel/slot.h"
#include "recorder/arm.h"
#include "recorder/asks.h"
#include "recorder/faults.h"
#include "recorder/io.h"
#include "recorder/leave.h"
#include "recorder/reap.h"
#include "recorder/rotation.h"
#include "recorder/serve.h"
#include "recorder/strays.h"
#include "sys/pidfd.h"
#include "sys/uffd.h"

#define HEARTBEAT_NS (200 * CT_NSEC_PER_MSEC)
#define TIMELINE_NS CT_NSEC_PER_SEC
/* Readings for the timeline take this share of one core at most: 1 in TIMELINE_DUTY. */
#define TIMELINE_DUTY 100
#define ORPHANS_NS (5 * CT_NSEC_PER_SEC)
/* A program may start another as its last act: that one has yet to say HELLO. */
#define LINGER_NS (150 * CT_NSEC_PER_MSEC)
/* Where no vfork or spawn was seen, only a raw one can still be on its way. */
#define SHORT_LINGER_NS (20 * CT_NSEC_PER_MSEC)

struct serve {
	struct ct_rec_ctx *c;
	int seg_fd;
	bool command_ended, stop;
	u64 empty_since_ns; /* no process since; 0: there are some */
	u64 next_sweep_ns, next_orphans_ns;
	struct ct_asks asks;
};

static void set_own(struct ct_proc *p, const struct ct_hello *h)
{
	struct ct_own_set *own = calloc(1, sizeof(*own));
	u32 i;

	if (!own)
		return;
	own->refs = 1;
	for (i = 0; i < ct_array_size(h->own); i++)
		if (h->own[i][0] < h->own[i][1])
			own->v[own->nr++] = (struct ct_own_range){ h->own[i][0], h->own[i][1] };
	p->own = own;
}

static int send_welcome(const struct serve *s, int fd, s32 status, u32 slot)
{
	struct ct_welcome w = { .status = status, .slot = slot, .seg_size = s->c->seg_size };
	const int fds[2] = { s->seg_fd, s->c->uffd_dev };
	const size_t fds_len = sizeof(int) * (s->c->engine ? 2 : 1);
	char control[CMSG_SPACE(sizeof(fds))] = { 0 };
	struct iovec iov = { &w, sizeof(w) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;

	if (!status) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(fds_len);
		cm = CMSG_FIRSTHDR(&msg);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(fds_len);
		memcpy(CMSG_DATA(cm), fds, fds_len);
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(w) ? 0 : -errno;
}

/* The image that ran under this pid before has been replaced. */
static u32 end_old_image(struct ct_rec_ctx *c, s32 pid)
{
	struct ct_proc *old = ct_proc_of_pid(c, pid);
	u32 parent;

	if (!old)
		return 0;
	parent = old->parent_id;
	ct_leave_replaced(c, old);
	return parent;
}

static struct ct_proc *admit(struct serve *s, const struct ct_inbox_item *in, u32 slot)
{
	struct ct_rec_ctx *c = s->c;
	struct ct_proc_status st = { 0 };
	struct ct_proc *p, *parent;
	char exe[256];
	u32 parent_id = end_old_image(c, in->pid);

	ct_proc_status_read(in->pid, &st);
	if (!parent_id && (parent = ct_proc_of_pid(c, st.ppid)))
		parent_id = parent->id;
	p = ct_proc_create(c, slot, in->pid, NULL);
	if (!p)
		return NULL;
	p->parent_id = parent_id;
	set_own(p, &in->hello);
	ct_pagemap_open(in->pid, &p->pagemap_fd);
	if (ct_proc_comm(in->pid, p->comm, sizeof(p->comm)))
		p->comm[0] = '\0';
	if (!ct_proc_exe(in->pid, exe, sizeof(exe)))
		p->exe = ct_names_id(c->names, exe);
	ct_proc_announce(c, p, st.ppid, ct_rec_since(c, ct_now_ns()));
	return p;
}

/* Its userfaultfd, and where the shim's new memory is. */
static void on_uffd(struct serve *s, const struct ct_inbox_item *in)
{
	struct ct_rec_ctx *c = s->c;
	struct ct_proc *p = ct_proc_of_id(c, in->id);
	u64 missing = 0;
	int err = in->uffd.status;

	if (!p || !c->engine || p->watch) {
		if (in->fd >= 0)
			close(in->fd);
		return;
	}
	p->watch_due_ns = 0;
	if (!err)
		err = in->fd < 0 ? -EPROTO : ct_uffd_api(in->fd, &missing);
	if (err) {
		if (in->fd >= 0)
			close(in->fd);
		ct_rec_note(c, p->id, "warning", "no_userfaultfd",
			    "process %d has no userfaultfd (%s): its first writes are not seen; "
			    "run `cowtrace doctor`",
			    p->pid, strerror(-err));
		return;
	}
	if (p->own && in->uffd.own[0] < in->uffd.own[1] && p->own->nr < ct_array_size(p->own->v))
		p->own->v[p->own->nr++] = (struct ct_own_range){ in->uffd.own[0], in->uffd.own[1] };
	ct_writes_watch(c, p, in->fd);
}

/*
 * Processes are told apart in the segment by the pid that they see themselves.  Of
 * programs that do not know of each other, two in different pid namespaces may have
 * the same one.
 */
static bool is_foreign(const struct ct_rec_ctx *c, const struct ct_inbox_item *in)
{
	return c->listens && in->pid != in->hello.pid;
}

static int refuse(struct serve *s, const struct ct_inbox_item *in)
{
	send_welcome(s, in->fd, -EXDEV, 0);
	ct_rec_note(s->c, 0, "warning", "other_pid_namespace",
		    "process %d sees itself as %d: it is in another pid namespace (a container), "
		    "and goes untraced; run a recorder in there",
		    in->pid, in->hello.pid);
	return -EXDEV;
}

/* 0: the descriptor is in other hands now. */
static int on_hello(struct serve *s, const struct ct_inbox_item *in)
{
	struct ct_rec_ctx *c = s->c;
	struct ct_proc *p = NULL;
	int slot;

	if (is_foreign(c, in))
		return refuse(s, in);
	slot = ct_slot_claim(c->seg, CT_HOW_HELLO, CT_SEG_SLOTS);
	if (slot >= 0)
		p = admit(s, in, (u32)slot);
	if (!p) {
		send_welcome(s, in->fd, slot < 0 ? slot : -ENOMEM, 0);
		if (slot >= 0)
			ct_slot_free(c->seg, (u32)slot);
		ct_rec_note(c, 0, "warning", "too_many_processes",
			    "process %d could not be taken in: %s", in->pid,
			    slot < 0 ? "too many processes at once" : "out of memory");
		return -EAGAIN;
	}
	ct_slot_bind_pid(c->seg, (u32)slot, in->hello.pid);
	atomic_store(&c->seg->slots[slot].state, CT_SLOT_LIVE);
	if (c->engine)
		p->watch_due_ns = ct_now_ns() + CT_HELLO_TIMEOUT_MS * CT_NSEC_PER_MSEC;
	send_welcome(s, in->fd, 0, (u32)slot);
	if (c->engine)
		ct_io_expect_uffd(c->io, in->fd, p->id);
	/* While its maps are as they are: call sites of short programs come late. */
	ct_proc_read_modules(c, p);
	return c->engine ? 0 : -ENOENT;
}

static void read_inbox(struct serve *s)
{
	struct ct_inbox_item *in = ct_io_take(s->c->io), *next;
	struct ct_proc *p;

	for (; in; in = next) {
		next = in->next;
		switch (in->type) {
		case CT_IN_HELLO:
			if (on_hello(s, in))
				close(in->fd);
			break;
		case CT_IN_UFFD:
			on_uffd(s, in);
			break;
		case CT_IN_GONE:
			p = ct_proc_of_id(s->c, in->id);
			if (p)
				ct_leave_gone(s->c, p, in->t_ns);
			break;
		case CT_IN_COMMAND_ENDED:
			s->command_ended = true;
			break;
		case CT_IN_STOP:
			s->stop = true;
			break;
		case CT_IN_NEXT_FILE:
			if (s->c->rotation)
				s->c->rotation->asked = true;
			break;
		}
		free(in);
	}
}

/* One process whose relatives have gone, or whose timeline is due.  True: did something. */
static bool one_reading(struct ct_rec_ctx *c, u64 now)
{
	struct ct_image *img;
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next) {
		bool close = p->close_due_ns && p->close_due_ns <= now;
		bool look = p->shares && p->next_read_ns && p->next_read_ns <= now;

		if (p->gone_ns || p->exec_read || (!close && !look))
			continue;
		if (ct_birth_under_way(c, p)) {
			/* Its next child tells the same, and more surely. */
			p->close_due_ns = close ? now + 10 * CT_NSEC_PER_MSEC : p->close_due_ns;
			p->next_read_ns = look ? now + 10 * CT_NSEC_PER_MSEC : p->next_read_ns;
			continue;
		}
		ct_urgency_for(c, p->last);
		p->close_due_ns = close ? 0 : p->close_due_ns;
		p->next_read_ns = now + TIMELINE_NS;
		if (ct_proc_read(c, p, &img))
			continue; /* it is on its way out */
		/* What the reading shows anew was told before it was done. */
		ct_events_drain(c, ct_now_ns());
		if (close)
			ct_close_all(c, p, img, CT_SIDE_END_RELATIVE_GONE);
		else
			ct_close_look(c, p, img);
		ct_image_unref(img);
		p->next_read_ns = now + ct_max(TIMELINE_NS, (ct_now_ns() - now) * TIMELINE_DUTY);
		return true;
	}
	return false;
}

static u64 linger_ns(const struct serve *s)
{
	return s->c->spawns ? LINGER_NS : SHORT_LINGER_NS;
}

static u64 next_wake(const struct serve *s, u64 now)
{
	u64 at = ct_min(now + HEARTBEAT_NS, ct_reap_due(s->c));
	const struct ct_proc *p;

	for (p = s->c->procs; p; p = p->next) {
		if (p->close_due_ns)
			at = ct_min(at, p->close_due_ns);
		if (p->shares && p->next_read_ns)
			at = ct_min(at, p->next_read_ns);
	}
	if (s->c->writes)
		at = ct_min(at, ct_writes_due(s->c));
	at = ct_min(at, ct_faults_due(s->c));
	if (ct_asks_waiting(&s->asks))
		at = ct_min(at, now + CT_NSEC_PER_MSEC);
	if (s->empty_since_ns)
		at = ct_min(at, s->empty_since_ns + linger_ns(s));
	return at > now ? at - now : 0;
}

static bool finished(struct serve *s, u64 now)
{
	if (s->stop)
		return true;
	if (s->c->procs || !s->command_ended) {
		s->empty_since_ns = 0;
		return false;
	}
	if (!s->empty_since_ns)
		s->empty_since_ns = now;
	return now - s->empty_since_ns >= linger_ns(s);
}

/* The recording ends while programs run on: what they hold is read once more. */
static void end_running(struct ct_rec_ctx *c)
{
	struct ct_image *img;

	while (c->procs) {
		struct ct_proc *p = c->procs;

		img = NULL;
		if (p->shares && ct_proc_read(c, p, &img))
			img = NULL;
		ct_close_all(c, p, img, CT_SIDE_END_RECORDING);
		ct_image_unref(img);
		ct_proc_end(c, p, CT_ENDED_RUNNING, ct_now_ns());
		ct_rec_beat(c);
	}
}

void ct_serve(struct ct_rec_ctx *c, int seg_fd)
{
	struct serve s = { .c = c, .seg_fd = seg_fd };
	u64 now = ct_now_ns();
	u32 i, bell;

	for (;;) {
		/* Before the inbox is looked into: what comes in later rings anew. */
		bell = ct_bell_rung(c->seg);
		ct_rec_beat(c);
		read_inbox(&s);
		ct_events_drain(c, now);
		ct_asks_serve(c, &s.asks);
		now = ct_now_ns();
		ct_reap_look(c, now);
		if (finished(&s, now))
			break;
		if (now >= s.next_sweep_ns) {
			s.next_sweep_ns = now + HEARTBEAT_NS;
			ct_birth_expire(c, now);
			ct_leave_sweep(c, now);
			ct_leave_check_execs(c, now);
			ct_strays_check(c, now);
			ct_rotation_run(c, now);
		}
		if (now >= s.next_orphans_ns) {
			s.next_orphans_ns = now + ORPHANS_NS;
			ct_birth_free_orphans(c);
			ct_thp_setting(c);
		}
		if (c->writes) {
			ct_writes_run(c, now);
			if (ct_arm_lift(c, now))
				continue;
		}
		ct_faults_run(c, now);
		ct_faults_lift(c, now);
		if (one_reading(c, now)) {
			ct_urgency_on(c);
			continue;
		}
		ct_urgency_on(c);
		ct_bell_wait_since(c->seg, bell, next_wake(&s, now));
		now = ct_now_ns();
	}
	/* A writer that died in the middle of a record is waited for no longer. */
	for (i = 0; i < 4; i++)
		ct_events_drain(c, ct_now_ns() + i * CT_RING_STUCK_NS * 2);
	end_running(c);
}
