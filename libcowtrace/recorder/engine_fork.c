/* SPDX-License-Identifier: MIT */
/*
 * The fork window: pages that were written between the arming and the clone.
 *
 * They are unprotected in both processes when the clone is done.  While the
 * EVENT_FORK has not been read the parent sleeps in it and the child does not run
 * yet: that is the time to list them.  As soon as it is read they are protected,
 * in the child first, whose first instruction comes soonest.
 *
 * A page that the parent writes between the two is copied unseen: its frame has
 * changed when the protection is there, and it is told as a write of the window.
 */
#include <dirent.h>
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
/*
 * Where the arming did not get through, as with many gigabytes on a busy machine, the
 * window is all of the rest: 17 ms a GiB, or several times that.  A slice ends where a
 * huge page may, or it would be split there.
 */
#define SLICE (256UL << 20)
/* Frames of this many pages are remembered; a window of more is protected unseen. */
#define FRAMES_MAX 8192
/*
 * The parent's protection can be changed some tens of us after the event was read,
 * or, on a busy machine, when its thread is scheduled again.
 */
#define PARENT_SPIN_NS (200 * CT_NSEC_PER_USEC)
#define PARENT_PATIENCE_NS CT_NSEC_PER_SEC

#define PF_EXITING 0x4ul /* include/linux/sched.h, shown in stat */

struct run {
	u64 start, end;
	u32 frame; /* index of the first page's; UINT32_MAX: not remembered */
};

struct ct_fork_window {
	u32 nr, cap, done; /* done: runs that are protected in the parent */
	u32 refs;
	u64 since_ns;
	struct run *v;
	u32 nr_frames;
	u64 frames[FRAMES_MAX];
};

/*
 * The kernel hands out waiting faults before events: with no fault waiting and
 * something to read, it is an event.
 */
static enum ct_engine_next what_is_next(struct ct_engine_ctx *x, u32 *ret_faults)
{
	struct pollfd p = { .fd = x->fd, .events = POLLIN };
	char path[48], text[256], *at;
	ssize_t n;

	if (poll(&p, 1, 0) != 1 || !(p.revents & POLLIN))
		return CT_NEXT_NOTHING;
	if (x->info_fd < 0) {
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", x->fd);
		x->info_fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	n = x->info_fd >= 0 ? pread(x->info_fd, text, sizeof(text) - 1, 0) : -1;
	if (n <= 0)
		return CT_NEXT_ANY;
	text[n] = '\0';
	at = strstr(text, "pending:");
	*ret_faults = at ? (u32)strtoul(at + 8, NULL, 10) : 0;
	return *ret_faults ? CT_NEXT_FAULTS : CT_NEXT_EVENT;
}

static u64 slice_end(u64 at, u64 end)
{
	return ct_min(end, (at + SLICE) & ~(u64)(CT_HUGE_SIZE - 1));
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

static void scan(struct ct_engine *e, const struct ct_engine_ctx *x, struct ct_fork_window *w,
		 u64 start, u64 end)
{
	struct ct_scan_run runs[RUNS_AT_ONCE];
	ssize_t n, i;

	while (start < end) {
		n = ct_pagemap_scan_unprotected(x->pagemap_fd, start, slice_end(start, end), runs,
						RUNS_AT_ONCE, &start);
		if (n < 0)
			return;
		ct_engine_is_here(e);
		for (i = 0; i < n; i++)
			if (!add_run(w, runs[i].start, runs[i].end))
				return;
	}
}

static struct ct_fork_window *window_of(struct ct_engine *e, const struct ct_engine_ctx *x)
{
	struct ct_fork_window *w = malloc(sizeof(*w));
	u32 i;

	if (!w)
		return NULL;
	w->refs = 1;
	w->v = NULL;
	w->nr = w->cap = w->done = w->nr_frames = 0;
	for (i = 0; i < x->ranges->nr; i++)
		scan(e, x, w, x->ranges->v[i].start, x->ranges->v[i].end);
	for (i = 0; i < w->nr; i++)
		read_frames(x, w, &w->v[i]);
	return w;
}

enum ct_engine_next ct_engine_look(struct ct_engine *e, struct ct_engine_ctx *x, u32 *ret_faults,
				   struct ct_fork_window **ret_window)
{
	enum ct_engine_next next;

	*ret_window = NULL;
	if (!x->ranges || x->pagemap_fd < 0 || !ct_engine_forking(e, x))
		return CT_NEXT_ANY;
	next = what_is_next(x, ret_faults);
	if (next == CT_NEXT_EVENT)
		*ret_window = window_of(e, x);
	return next;
}

/* Parent and child have the same one. */
void ct_fork_window_free(struct ct_fork_window *w)
{
	if (!w || --w->refs)
		return;
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

/* -EAGAIN: not now, none or not all of it. */
static int protect_run(struct ct_engine *e, int fd, const struct run *r)
{
	u64 at, end;
	int err;

	for (at = r->start; at < r->end; at = end) {
		end = slice_end(at, r->end);
		err = protect(fd, at, end);
		if (err)
			return err;
		ct_engine_is_here(e);
	}
	return 0;
}

static bool same_frame(u64 a, u64 b)
{
	return (a & (CT_PM_PRESENT | CT_PM_PFN_MASK)) == (b & (CT_PM_PRESENT | CT_PM_PFN_MASK));
}

/* Its last act was to wake who joins it; it is listed for some us more. */
static bool is_exiting(const char *task)
{
	char path[96], text[512], *at;
	int fd, skip;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/stat", task);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	/* After the name: state, ppid, pgrp, session, tty_nr, tpgid, flags. */
	at = strrchr(text, ')');
	for (skip = 0; at && skip < 7; skip++)
		at = strchr(at + 1, ' ');
	return !at || (strtoul(at + 1, NULL, 10) & PF_EXITING);
}

/* With one thread it can only have been the one that forked, in its fork(). */
static bool is_single(s32 pid)
{
	char path[64];
	struct dirent *d;
	u32 nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && nr < 2 && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s", pid, d->d_name);
		nr += !is_exiting(path);
	}
	if (dir)
		closedir(dir);
	return nr == 1;
}

static void tell_unseen(struct ct_engine *e, const struct ct_engine_ctx *x, bool single, u64 page,
			u64 entry)
{
	struct ct_seen seen = {
		.type = CT_SEEN_WRITE,
		.flags = CT_SEEN_WINDOW,
		.no_site = single ? CT_SITE_KNOWN : CT_NO_FORK_WINDOW,
		.predicted = COWTRACE_UNCERTAIN,
		.likely = COWTRACE_UNCERTAIN,
		.decides = COWTRACE_NR_FIELDS,
		.syscall = -1,
		.ctx = x->id,
		.epoch = x->epoch,
		.tid = x->pid,
		.page = page,
		.pfn = entry & CT_PM_PFN_MASK,
		.t_ns = ct_now_ns(),
	};

	ct_engine_remember(e, x, seen.pfn, seen.t_ns);
	ct_engine_put(e, &seen);
}

/* After the protection: what has another frame by now was copied before it. */
static void tell_copied(struct ct_engine *e, const struct ct_engine_ctx *x,
			const struct ct_fork_window *w, bool single, const struct run *r)
{
	u64 now[CT_HUGE_PAGES], page = ct_page_of(r->start), end = ct_page_of(r->end), i, n;
	const u64 *then = w->frames + r->frame;

	for (; r->frame != UINT32_MAX && page < end; page += n, then += n) {
		n = ct_min(end - page, CT_HUGE_PAGES);
		if (ct_pagemap_read(x->pagemap_fd, page, n, now) != (ssize_t)n)
			return;
		for (i = 0; i < n; i++)
			if ((now[i] & CT_PM_PRESENT) && !same_frame(now[i], then[i]))
				tell_unseen(e, x, single, page + i, then[i]);
	}
}

/*
 * The parent's half, as soon as the kernel lets it be changed: when the thread
 * that forked has been scheduled again.
 */
void ct_engine_close_window(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct ct_fork_window *w = x->window;
	u64 now = ct_now_ns(), until = now + PARENT_SPIN_NS;
	bool single;
	u32 i;

	for (; w->done < w->nr; w->done++) {
		const struct run *r = &w->v[w->done];

		while (protect_run(e, x->fd, r) == -EAGAIN) {
			if (ct_now_ns() < until)
				continue;
			if (now - w->since_ns < PARENT_PATIENCE_NS)
				return;
			break;
		}
	}
	single = w->nr && is_single(x->pid);
	for (i = 0; i < w->nr; i++)
		tell_copied(e, x, w, single, &w->v[i]);
	ct_fork_window_free(w);
	x->window = NULL;
}

void ct_engine_tell_birth(struct ct_engine *e, struct ct_engine_ctx *x)
{
	struct ct_fork_window *w = x->birth;
	u32 i;

	/* No write of its own has been let through yet, and it has one thread. */
	for (i = 0; i < w->nr; i++)
		tell_copied(e, x, w, true, &w->v[i]);
	ct_fork_window_free(w);
	x->birth = NULL;
}

static void protect_child(struct ct_engine *e, const struct ct_engine_ctx *child,
			  const struct ct_fork_window *w)
{
	u32 i;

	for (i = 0; i < w->nr; i++)
		protect_run(e, child->fd, &w->v[i]);
}

void ct_engine_forked(struct ct_engine *e, struct ct_engine_ctx *x, int child_fd,
		      struct ct_fork_window *w)
{
	struct ct_seen seen = { .type = CT_SEEN_FORK, .ctx = x->id, .epoch = ++x->epoch };
	struct ct_engine_ctx *child =
		ct_engine_ctx_create(e, atomic_fetch_add(&e->next_id, 1), child_fd);

	/*
	 * Closed: the child runs unprotected, and the census has it all the same.  The
	 * parent's writes from here on are this fork's in any case.
	 */
	if (!child)
		close(child_fd);
	if (child && w)
		protect_child(e, child, w);
	seen.fd = child ? fcntl(child_fd, F_DUPFD_CLOEXEC, 0) : -1;
	seen.child = seen.fd >= 0 ? child->id : 0;
	seen.t_ns = ct_now_ns();
	if (child)
		child->ranges = ct_armed_copy(x->ranges);
	/* Whom the serving thread does not know nobody can take out of here. */
	if ((!ct_engine_put(e, &seen) || !seen.child) && child) {
		child->gone = true;
		child = NULL;
	}
	if (!w)
		return;
	/* An older one whose time never came: its writes are the census's. */
	ct_fork_window_free(x->window);
	x->window = w;
	e->waits = true;
	if (child) {
		child->birth = w;
		w->refs++;
	}
	w->since_ns = seen.t_ns;
	ct_engine_close_window(e, x);
}
