/* SPDX-License-Identifier: MIT */
/*
 * The fork window: pages that were written between the arming and the clone.
 *
 * They are unprotected in both processes when the clone is done.  While the
 * EVENT_FORK has not been read the parent sleeps in it and the child does not run
 * yet: that is the time to list them.  As soon as it is read they are protected,
 * in the child first, whose first instruction comes soonest.
 *
 * A page that another thread of the parent writes between the two is copied
 * unseen: it is left unprotected here (its frame has changed), and the census
 * counts it as fork_window.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/futex.h"
#include "recorder/engine_int.h"
#include "sys/pagemap.h"
#include "sys/uffd.h"

#define RUNS_AT_ONCE 512
/* Frames of this many pages are remembered; a window of more is protected unseen. */
#define FRAMES_MAX 8192
/* The parent's protection can be changed some tens of us after the event was read. */
#define PARENT_PATIENCE_NS CT_NSEC_PER_MSEC

struct run {
	u64 start, end;
	u32 frame; /* index of the first page's; UINT32_MAX: not remembered */
};

struct ct_fork_window {
	u32 nr, cap;
	struct run *v;
	u32 nr_frames;
	u64 frames[FRAMES_MAX];
};

/*
 * The kernel hands out waiting faults before events: with no fault waiting and
 * something to read, it is an event.
 */
static bool event_is_next(struct ct_engine_ctx *x)
{
	struct pollfd p = { .fd = x->fd, .events = POLLIN };
	char path[48], text[256], *at;
	ssize_t n;

	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
		return false;
	if (x->info_fd < 0) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", x->fd);
		x->info_fd = open(path, O_RDONLY | O_CLOEXEC);
		if (x->info_fd < 0)
			return false;
	}
	n = pread(x->info_fd, text, sizeof(text) - 1, 0);
	if (n <= 0)
		return false;
	text[n] = '\0';
	at = strstr(text, "pending:");
	return at && strtoul(at + 8, NULL, 10) == 0;
}

static bool add_run(struct ct_fork_window *w, u64 start, u64 end)
{
	struct run *v;

	if (w->nr == w->cap) {
		u32 cap = w->cap ? w->cap * 2 : 64;

		v = realloc(w->v, cap * sizeof(*v));
		if (!v)
			return false;
		w->v = v;
		w->cap = cap;
	}
	w->v[w->nr++] = (struct run){ start, end, UINT32_MAX };
	return true;
}

static void read_frames(const struct ct_engine_ctx *x, struct ct_fork_window *w, struct run *r)
{
	size_t pages = ct_page_of(r->end - r->start);

	if (pages > FRAMES_MAX - w->nr_frames ||
	    ct_pagemap_read(x->pagemap_fd, ct_page_of(r->start), pages, w->frames + w->nr_frames) !=
		    (ssize_t)pages)
		return;
	r->frame = w->nr_frames;
	w->nr_frames += (u32)pages;
}

static void scan(const struct ct_engine_ctx *x, struct ct_fork_window *w, u64 start, u64 end)
{
	struct ct_scan_run runs[RUNS_AT_ONCE];
	ssize_t n, i;

	while (start < end) {
		n = ct_pagemap_scan_unprotected(x->pagemap_fd, start, end, runs, RUNS_AT_ONCE,
						&start);
		if (n < 0)
			return;
		for (i = 0; i < n; i++)
			if (!add_run(w, runs[i].start, runs[i].end))
				return;
	}
}

struct ct_fork_window *ct_fork_window_look(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct ct_fork_window *w;
	u32 i;

	if (!x->ranges || x->pagemap_fd < 0 || !ct_engine_forking(e, x) || !event_is_next(x))
		return NULL;
	w = malloc(sizeof(*w));
	if (!w)
		return NULL;
	w->v = NULL;
	w->nr = w->cap = w->nr_frames = 0;
	for (i = 0; i < x->ranges->nr; i++)
		scan(x, w, x->ranges->v[i].start, x->ranges->v[i].end);
	for (i = 0; i < w->nr; i++)
		read_frames(x, w, &w->v[i]);
	return w;
}

void ct_fork_window_free(struct ct_fork_window *w)
{
	if (w)
		free(w->v);
	free(w);
}

/* A mapping newer than the arming is not registered yet. */
static int protect(int fd, u64 start, u64 end)
{
	int err = ct_uffd_protect(fd, start, end - start);

	if (err == -ENOENT && !ct_uffd_register_wp(fd, start, end - start))
		err = ct_uffd_protect(fd, start, end - start);
	return err;
}

static bool same_frame(u64 a, u64 b)
{
	return (a & (CT_PM_PRESENT | CT_PM_PFN_MASK)) == (b & (CT_PM_PRESENT | CT_PM_PFN_MASK));
}

/* Protects the pages of a run whose frame is still the one that was shared. */
static int protect_unwritten(const struct ct_engine_ctx *x, const struct ct_fork_window *w,
			     const struct run *r)
{
	u64 now[CT_HUGE_PAGES], page = ct_page_of(r->start), end = ct_page_of(r->end), i, from;
	const u64 *then = w->frames + r->frame;
	int err = 0;

	if (r->frame == UINT32_MAX)
		return protect(x->fd, r->start, r->end);
	for (; page < end && !err; page += i, then += i) {
		u64 n = ct_min(end - page, CT_HUGE_PAGES);

		if (ct_pagemap_read(x->pagemap_fd, page, n, now) != (ssize_t)n)
			return -ESRCH;
		for (i = 0; i < n && !err;) {
			for (from = i; i < n && same_frame(now[i], then[i]); i++)
				;
			if (i > from)
				err = protect(x->fd, (page + from) << CT_PAGE_SHIFT,
					      (page + i) << CT_PAGE_SHIFT);
			for (; i < n && !same_frame(now[i], then[i]); i++)
				;
		}
	}
	return err;
}

static void protect_window(struct ct_engine_ctx *x, struct ct_engine_ctx *child,
			   const struct ct_fork_window *w)
{
	u64 until = ct_now_ns() + PARENT_PATIENCE_NS;
	u32 i;
	int err;

	for (i = 0; i < w->nr; i++)
		protect(child->fd, w->v[i].start, w->v[i].end);
	for (i = 0; i < w->nr; i++) {
		do
			err = protect_unwritten(x, w, &w->v[i]);
		while (err == -EAGAIN && ct_now_ns() < until);
	}
}

void ct_engine_forked(struct ct_engine *e, struct ct_engine_ctx *x, int child_fd,
		      struct ct_fork_window *w)
{
	struct ct_seen seen = { .type = CT_SEEN_FORK, .ctx = x->id, .epoch = ++x->epoch };
	struct ct_engine_ctx *child =
		ct_engine_ctx_create(e, atomic_fetch_add(&e->next_id, 1), child_fd);

	if (!child) {
		/* Closed: the child runs unprotected, and the census has it all the same. */
		close(child_fd);
		return;
	}
	if (w)
		protect_window(x, child, w);
	child->ranges = ct_armed_copy(x->ranges);
	seen.child = child->id;
	seen.fd = fcntl(child_fd, F_DUPFD_CLOEXEC, 0);
	seen.t_ns = ct_now_ns();
	ct_engine_put(e, &seen);
}
