/* SPDX-License-Identifier: MIT */
/*
 * The engine's thread: reads messages, hands them on, takes orders, and puts what
 * it saw into the queue (engine_queue.c).
 *
 * While faults come it looks again for a while before it sleeps: waking an idle
 * processor costs more than serving the fault.  Where that finds nothing, because
 * the writes come seldom or their thread waits for this very processor, the while is
 * halved, down to none.  It sleeps without a time limit, because to set one and to take
 * it back with each fault is dearer than any system call (in a virtual machine two exits
 * of it); what has to be done now and then hangs on one timer that ticks by itself.
 *
 * Invariant: it takes no lock that is held over anything that waits.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/futex.h"
#include "channel/ask.h"
#include "recorder/engine_int.h"
#include "sys/pagemap.h"
#include "sys/uffd.h"

#define SPIN_NS (50 * CT_NSEC_PER_USEC)
/* After so many sleeps that were shorter than that, looking again is tried anew. */
#define SHORT_SLEEPS 64
#define MESSAGES 16u
/* The serving thread is called after this long, if the queue has not done so. */
#define RING_NS (10 * CT_NSEC_PER_MSEC)
/* A child that has not faulted by then is asked whether it is there at all. */
#define SWEEP_NS (200 * CT_NSEC_PER_MSEC)
#define STUCK_NS (500 * CT_NSEC_PER_MSEC)
#define HUSH_ROUNDS 2000
#define HUSH_STEP_NS (20 * CT_NSEC_PER_USEC)

void ct_engine_is_here(struct ct_engine *e)
{
	atomic_store_explicit(&e->round_ns, ct_now_ns(), memory_order_relaxed);
}

bool ct_engine_is_alive(const struct ct_engine *e)
{
	u64 then = atomic_load_explicit(&e->round_ns, memory_order_relaxed);
	u32 at = atomic_load_explicit(&e->o.seg->looks_at[1], memory_order_relaxed);
	u64 bound = ct_slot_is_cloning(e->o.seg, at) ? CT_ASK_CLONE_NS : STUCK_NS;

	return (s64)(ct_now_ns() - then) < (s64)bound;
}

void ct_engine_hush(struct ct_engine *e, u32 slot)
{
	const struct timespec ts = { .tv_nsec = HUSH_STEP_NS };
	u32 round;

	/* Some us; but we may keep the engine's thread from the only processor. */
	for (round = 0; atomic_load(&e->signalling) == slot + 1; round++)
		if (round > HUSH_ROUNDS)
			nanosleep(&ts, NULL);
}

struct ct_engine_ctx *ct_engine_ctx_create(struct ct_engine *e, u32 id, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct ct_engine_ctx *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	ev.data.ptr = x;
	if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		free(x);
		return NULL;
	}
	x->id = id;
	x->fd = fd;
	x->info_fd = x->pagemap_fd = x->mem_fd = x->slot = -1;
	x->born_ns = ct_now_ns();
	x->next = e->ctxs;
	x->at = &e->ctxs;
	if (e->ctxs)
		e->ctxs->at = &x->next;
	e->ctxs = x;
	x->next_like = e->by_id[id % CT_ENGINE_BUCKETS];
	e->by_id[id % CT_ENGINE_BUCKETS] = x;
	return x;
}

static void ctx_free(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct ct_engine_ctx **like = &e->by_id[x->id % CT_ENGINE_BUCKETS];

	*x->at = x->next;
	if (x->next)
		x->next->at = x->at;
	while (*like != x)
		like = &(*like)->next_like;
	*like = x->next_like;
	/* The serving thread has another descriptor of it: take ours out by name. */
	epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, x->fd, NULL);
	ct_engine_threads_close(x);
	close(x->fd);
	if (x->info_fd >= 0)
		close(x->info_fd);
	if (x->pagemap_fd >= 0)
		close(x->pagemap_fd);
	if (x->mem_fd >= 0)
		close(x->mem_fd);
	ct_fork_window_free(x->window);
	ct_fork_window_free(x->birth);
	free(x->ranges);
	free(x->deferred);
	free(x);
}

void ct_engine_identify(struct ct_engine *e, struct ct_engine_ctx *x, s32 pid)
{
	struct ct_seen seen = { .type = CT_SEEN_PID, .ctx = x->id, .tid = pid };

	/* Its only thread so far: the thread's id is the process's. */
	x->pid = pid;
	ct_pagemap_open(pid, &x->pagemap_fd);
	seen.t_ns = ct_now_ns();
	ct_engine_put(e, &seen);
	if (x->birth)
		ct_engine_tell_birth(e, x);
}

static void on_message(struct ct_engine *e, struct ct_engine_ctx *x, const struct uffd_msg *m,
		       struct ct_fork_window **w)
{
	switch (m->event) {
	case UFFD_EVENT_PAGEFAULT:
		if (ct_engine_fault(e, x, m->arg.pagefault.address,
				    (s32)m->arg.pagefault.feat.ptid) == -ESRCH)
			x->gone = true;
		break;
	case UFFD_EVENT_FORK:
		ct_engine_forked(e, x, (int)m->arg.fork.ufd, *w);
		*w = NULL;
		break;
	default:
		/* EVENT_REMAP: to have read it lets the mremap() return. */
		break;
	}
}

/* True: there was something. */
static bool serve(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct uffd_msg m[MESSAGES];
	struct ct_fork_window *w;
	u32 want = MESSAGES;
	ssize_t i, n = 0;

	switch (ct_engine_look(e, x, &want, &w)) {
	case CT_NEXT_EVENT:
		want = 1;
		break;
	case CT_NEXT_NOTHING:
		want = 0;
		break;
	default:
		break;
	}
	if (want)
		n = ct_uffd_read(x->fd, m, ct_min(want, MESSAGES));
	for (i = 0; i < n; i++)
		on_message(e, x, &m[i], &w);
	ct_fork_window_free(w);
	if (x->window)
		ct_engine_close_window(e, x);
	if (n > 0 || x->nr_deferred)
		ct_engine_retry(e, x);
	return n > 0;
}

static struct ct_engine_ctx *ctx_of(struct ct_engine *e, u32 id)
{
	struct ct_engine_ctx *x = e->by_id[id % CT_ENGINE_BUCKETS];

	while (x && x->id != id)
		x = x->next_like;
	return x;
}

static void obey(struct ct_engine *e, struct ct_engine_cmd *cmd)
{
	struct ct_engine_ctx *x = cmd->type == CT_CMD_ADD
					  ? ct_engine_ctx_create(e, cmd->ctx, cmd->fd)
					  : ctx_of(e, cmd->ctx);

	switch (cmd->type) {
	case CT_CMD_ADD:
		if (!x) {
			close(cmd->fd);
			break;
		}
		x->pid = cmd->pid;
		ct_pagemap_open(cmd->pid, &x->pagemap_fd);
		break;
	case CT_CMD_REMOVE:
		if (x)
			x->gone = true;
		break;
	case CT_CMD_RANGES:
		if (x) {
			free(x->ranges);
			x->ranges = cmd->ranges;
			cmd->ranges = NULL;
		}
		break;
	}
	free(cmd->ranges);
	free(cmd);
}

static void take_orders(struct ct_engine *e)
{
	struct ct_engine_cmd *cmd, *next;
	u64 count;

	if (read(e->wake_fd, &count, sizeof(count)) != sizeof(count))
		return;
	pthread_mutex_lock(&e->lock);
	cmd = e->cmds;
	e->cmds = NULL;
	e->cmds_tail = &e->cmds;
	pthread_mutex_unlock(&e->lock);
	for (; cmd; cmd = next) {
		next = cmd->next;
		obey(e, cmd);
	}
}

/* Children that were killed before they faulted never say a word. */
static void sweep(struct ct_engine *e, u64 now)
{
	struct ct_engine_ctx *x, *next;

	for (x = e->ctxs; x; x = next) {
		next = x->next;
		if (!x->gone && !x->pid && now - x->born_ns > SWEEP_NS)
			x->gone = ct_uffd_unprotect(x->fd, 0, CT_PAGE_SIZE, false) == -ESRCH;
		if (x->gone)
			ctx_free(e, x);
	}
	e->next_sweep_ns = now + SWEEP_NS;
}

/* What could not be done when it came. */
static void catch_up(struct ct_engine *e)
{
	struct ct_engine_ctx *x;
	bool waits = false;

	/* With thousands of processes a walk costs more than what it is for. */
	if (!e->waits)
		return;
	for (x = e->ctxs; x; x = x->next) {
		if (x->window)
			ct_engine_close_window(e, x);
		ct_engine_retry(e, x);
		waits = waits || x->window || x->nr_deferred;
	}
	e->waits = waits;
}

static struct timespec timespec_of(u64 ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / CT_NSEC_PER_SEC),
				  .tv_nsec = (long)(ns % CT_NSEC_PER_SEC) };
}

/* It ticks for the serving thread while there is something to tell, else for the sweep. */
static int tick_every(struct ct_engine *e, u64 ns)
{
	const struct itimerspec its = { timespec_of(ns), timespec_of(ns) };

	if (e->tick_ns == ns)
		return 0;
	e->tick_ns = ns;
	return timerfd_settime(e->tick_fd, 0, &its, NULL) ? -errno : 0;
}

static void on_tick(struct ct_engine *e)
{
	const u64 now = ct_now_ns();
	u64 count;

	if (read(e->tick_fd, &count, sizeof(count)) != sizeof(count))
		return;
	if (e->unrung) {
		ct_engine_ring(e, now);
	} else {
		tick_every(e, SWEEP_NS);
		e->next_sweep_ns = now;
	}
}

/* For epoll: -1 with all that will wake it. */
static int timeout_of(struct ct_engine *e, u64 now, u64 spin_until)
{
	if (now < spin_until || e->waits)
		return 0;
	if (e->unrung)
		tick_every(e, RING_NS);
	return -1;
}

/* Serves whom epoll has named; true: there was a message. */
static bool serve_ready(struct ct_engine *e, const struct epoll_event *ev, int n,
			struct ct_engine_ctx **ret_last)
{
	bool any = false, orders = false;
	int i;

	for (i = 0; i < n; i++) {
		struct ct_engine_ctx *x = ev[i].data.ptr;

		if (!x) {
			orders = true;
			continue;
		}
		if (ev[i].data.ptr == e) {
			on_tick(e);
			continue;
		}
		if (serve(e, x)) {
			any = true;
			*ret_last = x;
		} else if (ev[i].events & (EPOLLHUP | EPOLLERR)) {
			x->gone = true;
			epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, x->fd, NULL);
		}
	}
	/* Contexts are freed by orders and by the sweep only: not while they are named here. */
	if (orders)
		take_orders(e);
	return any;
}

/* How long to look again, as it has paid so far. */
struct spin {
	u64 ns, until; /* until 0: asleep, or about to be */
	u32 short_sleeps;
};

/* There was a message; slept_ns: 0 where it was found by looking again. */
static void spin_on(struct spin *s, u64 now, u64 slept_ns)
{
	if (!slept_ns) {
		s->ns = ct_min(2 * s->ns + CT_NSEC_PER_USEC, SPIN_NS);
	} else if (slept_ns < SPIN_NS && ++s->short_sleeps == SHORT_SLEEPS) {
		s->short_sleeps = 0;
		s->ns = SPIN_NS;
	}
	s->until = s->ns ? now + s->ns : 0;
}

/* The time is over, and nothing came. */
static void spin_off(struct spin *s)
{
	if (!s->until)
		return;
	s->until = 0;
	s->ns = s->ns > 4 * CT_NSEC_PER_USEC ? s->ns / 2 : 0;
}

static void *engine_thread(void *arg)
{
	struct ct_engine *e = arg;
	struct spin spin = { .ns = SPIN_NS };
	struct ct_engine_ctx *last = NULL;
	struct epoll_event ev[32];
	u64 now, then;
	u32 round = 0;
	int n;

	while (!atomic_load_explicit(&e->stop, memory_order_relaxed)) {
		now = ct_now_ns();
		atomic_store_explicit(&e->round_ns, now, memory_order_relaxed);
		/* Most faults follow one of the same process. */
		if (last && now < spin.until && ++round % 8) {
			if (serve(e, last))
				spin_on(&spin, ct_now_ns(), 0);
			continue;
		}
		then = now;
		if (now >= spin.until)
			spin_off(&spin);
		n = epoll_wait(e->epoll_fd, ev, ct_array_size(ev), timeout_of(e, now, spin.until));
		now = ct_now_ns();
		if (n > 0 && serve_ready(e, ev, n, &last)) {
			then = spin.until ? 0 : now - then;
			now = ct_now_ns();
			spin_on(&spin, now, then);
		}
		if (n <= 0)
			catch_up(e);
		if (e->unrung && now - e->rung_ns > RING_NS)
			ct_engine_ring(e, now);
		if (now >= e->next_sweep_ns) {
			last = NULL;
			sweep(e, now);
		}
	}
	return NULL;
}

struct ct_armed *ct_armed_copy(const struct ct_armed *a)
{
	size_t len = a ? sizeof(*a) + a->nr * sizeof(a->v[0]) : 0;
	struct ct_armed *b = a ? malloc(len) : NULL;

	if (b)
		memcpy(b, a, len);
	return b;
}

static void wake(struct ct_engine *e)
{
	const u64 one = 1;
	ssize_t n = write(e->wake_fd, &one, sizeof(one));

	/* It fails where 2^64 calls have not been read: it is awake then. */
	(void)n;
}

/* -ENOMEM: then what it holds is still the caller's. */
static int order(struct ct_engine *e, struct ct_engine_cmd order)
{
	struct ct_engine_cmd *cmd = malloc(sizeof(*cmd));

	if (!cmd)
		return -ENOMEM;
	*cmd = order;
	cmd->next = NULL;
	pthread_mutex_lock(&e->lock);
	*e->cmds_tail = cmd;
	e->cmds_tail = &cmd->next;
	pthread_mutex_unlock(&e->lock);
	wake(e);
	return 0;
}

u32 ct_engine_add(struct ct_engine *e, int uffd, s32 pid)
{
	u32 id = atomic_fetch_add(&e->next_id, 1);

	if (!order(e,
		   (struct ct_engine_cmd){ .type = CT_CMD_ADD, .ctx = id, .fd = uffd, .pid = pid }))
		return id;
	close(uffd);
	return 0;
}

void ct_engine_remove(struct ct_engine *e, u32 ctx)
{
	order(e, (struct ct_engine_cmd){ .type = CT_CMD_REMOVE, .ctx = ctx });
}

void ct_engine_set_ranges(struct ct_engine *e, u32 ctx, struct ct_armed *ranges)
{
	if (order(e, (struct ct_engine_cmd){ .type = CT_CMD_RANGES, .ctx = ctx, .ranges = ranges }))
		free(ranges);
}

int ct_engine_create(const struct ct_engine_opts *opts, struct ct_engine **ret)
{
	struct epoll_event ev = { .events = EPOLLIN };
	struct ct_engine *e = aligned_alloc(64, (sizeof(*e) + 63) & ~63UL);
	struct epoll_event tick = { .events = EPOLLIN, .data.ptr = e };
	int err;

	if (!e)
		return -ENOMEM;
	memset(e, 0, offsetof(struct ct_engine, queue));
	e->o = *opts;
	e->caps = *opts->caps;
	e->pid = getpid();
	e->uid = (s32)getuid();
	e->next_ticket = 1;
	atomic_store(&e->round_ns, ct_now_ns());
	atomic_store(&e->next_id, 1);
	e->cmds_tail = &e->cmds;
	pthread_mutex_init(&e->lock, NULL);
	e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	e->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	e->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	err = e->epoll_fd < 0 || e->wake_fd < 0 || e->tick_fd < 0 || tick_every(e, SWEEP_NS) ||
			      epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->wake_fd, &ev) ||
			      epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, e->tick_fd, &tick)
		      ? -errno
		      : -pthread_create(&e->thread, NULL, engine_thread, e);
	if (err) {
		if (e->epoll_fd >= 0)
			close(e->epoll_fd);
		if (e->wake_fd >= 0)
			close(e->wake_fd);
		if (e->tick_fd >= 0)
			close(e->tick_fd);
		free(e);
		return err;
	}
	*ret = e;
	return 0;
}

void ct_engine_destroy(struct ct_engine *e)
{
	struct ct_seen seen;

	if (!e)
		return;
	atomic_store(&e->stop, true);
	wake(e);
	pthread_join(e->thread, NULL);
	wake(e);
	take_orders(e);
	while (e->ctxs)
		ctx_free(e, e->ctxs);
	while (ct_engine_take(e, &seen))
		if (seen.type == CT_SEEN_FORK && seen.fd >= 0)
			close(seen.fd);
	close(e->epoll_fd);
	close(e->wake_fd);
	close(e->tick_fd);
	pthread_mutex_destroy(&e->lock);
	free(e);
}
