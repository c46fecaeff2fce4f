/* SPDX-License-Identifier: MIT */
/*
 * Protecting a process that is about to fork, and letting it be when it has been
 * without a relative for a while.
 *
 * Whole VMAs are registered, because a part would split them; of what is in them
 * only that is protected which is not already.  The kernel hands both on to the
 * child.  Nothing of the shim's own memory is touched.
 *
 * Invariant: an arming that fails in part leaves what it could not protect to
 * the census, and the program never hears of it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/futex.h"
#include "recorder/arm.h"
#include "sys/pagemap.h"
#include "sys/uffd.h"

#define RUNS_AT_ONCE 512
/* The heart beats between slices, and the program's mmap lock is free. */
#define SLICE (256UL << 20)
/* Pages that may be protected twice to save a system call (1 us, a page 20 ns). */
#define GAP_PAGES 16
/* Another thread's fork is under way: its event is read within this time. */
#define CHANGING_NS (50 * CT_NSEC_PER_MSEC)
#define CHANGING_STEP_NS (20 * CT_NSEC_PER_USEC)

struct arming {
	struct ct_rec_ctx *c;
	struct ct_proc *p;
	struct ct_watch *w;
	struct ct_armed *armed; /* under construction */
	u32 cap;
	u64 pages;
};

static void pause_a_little(void)
{
	const struct timespec ts = { .tv_nsec = CHANGING_STEP_NS };

	nanosleep(&ts, NULL);
}

static int protect(const struct arming *a, u64 start, u64 end)
{
	u64 until = 0;
	int err;

	for (;;) {
		err = ct_uffd_protect(a->w->uffd, start, end - start);
		if (err == -ENOENT && !ct_uffd_register_wp(a->w->uffd, start, end - start))
			err = ct_uffd_protect(a->w->uffd, start, end - start);
		if (err != -EAGAIN)
			return err;
		if (!until)
			until = ct_now_ns() + CHANGING_NS;
		else if (ct_now_ns() > until)
			return err;
		pause_a_little();
	}
}

static bool was_armed(const struct ct_watch *w, u64 start, u64 end)
{
	const struct ct_armed *a = w->armed;
	u32 lo = 0, hi = a ? a->nr : 0;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (a->v[mid].end <= start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return a && lo < a->nr && a->v[lo].start == start && a->v[lo].end == end;
}

static bool remember(struct arming *a, u64 start, u64 end)
{
	if (a->armed->nr == a->cap) {
		u32 cap = a->cap * 2;
		struct ct_armed *v = realloc(a->armed, sizeof(*v) + cap * sizeof(v->v[0]));

		if (!v)
			return false;
		a->armed = v;
		a->cap = cap;
	}
	a->armed->v[a->armed->nr].start = start;
	a->armed->v[a->armed->nr++].end = end;
	return true;
}

/* Protects runs, close neighbours together.  -errno of the first that failed for good. */
static int protect_runs(struct arming *a, const struct ct_scan_run *runs, ssize_t nr)
{
	u64 start, end;
	ssize_t i;
	int err;

	for (i = 0; i < nr;) {
		start = runs[i].start;
		end = runs[i].end;
		for (i++; i < nr && runs[i].start - end <= GAP_PAGES * CT_PAGE_SIZE; i++)
			end = runs[i].end;
		a->pages += ct_page_of(end - start);
		err = protect(a, start, end);
		if (err)
			return err;
	}
	return 0;
}

/* One VMA, or what of it is not the shim's. */
static int arm_range(struct arming *a, u64 start, u64 end)
{
	struct ct_scan_run runs[RUNS_AT_ONCE];
	bool known = was_armed(a->w, start, end);
	u64 at = start, stop;
	ssize_t n;
	int err;

	while (at < end) {
		/* Not in the middle of a huge page: it would be split there. */
		stop = ct_min(end, (at + SLICE) & ~(u64)(CT_HUGE_SIZE - 1));
		n = ct_pagemap_scan_unprotected(a->p->pagemap_fd, at, stop, runs, RUNS_AT_ONCE,
						&at);
		if (n < 0)
			return (int)n;
		if (n && !known) {
			err = ct_uffd_register_wp(a->w->uffd, start, end - start);
			if (err)
				return err == -ESRCH ? err : 0;
			known = true;
		}
		err = protect_runs(a, runs, n);
		if (err)
			return err == -ESRCH ? err : 0;
		ct_proc_keep_alive(a->c);
	}
	/* Where nothing is, nothing is registered: an empty reserve stays as it was. */
	return !known || remember(a, start, end) ? 0 : -ENOMEM;
}

/* Cuts the shim's own memory out, with which the kernel may have merged a mapping. */
static int arm_vma(struct arming *a, u64 start, u64 end)
{
	const struct ct_own_set *own = a->p->own;
	u32 i;
	int err;

	for (i = 0; own && i < own->nr; i++) {
		u64 from = own->v[i].start, to = own->v[i].end;

		if (to <= start || from >= end)
			continue;
		if (from > start) {
			err = arm_vma(a, start, from);
			if (err)
				return err;
		}
		return to < end ? arm_vma(a, to, end) : 0;
	}
	return arm_range(a, start, end);
}

static bool can_be_watched(const struct ct_vma *v)
{
	return !v->shared && !v->ino && v->start < CT_USER_END && v->name[0] != '/' &&
	       strcmp(v->name, "[vvar]") && strcmp(v->name, "[vvar_vclock]") &&
	       strcmp(v->name, "[vdso]") && strcmp(v->name, "[vsyscall]");
}

void ct_arm(struct ct_rec_ctx *c, struct ct_proc *p)
{
	struct arming a = { .c = c, .p = p, .w = p->watch, .cap = 256 };
	struct ct_armed *theirs;
	size_t i;

	ct_rec_looks_at(c, p);
	if (!a.w || p->pagemap_fd < 0 || ct_maps_load(p->pid, &c->maps))
		return;
	a.armed = malloc(sizeof(*a.armed) + a.cap * sizeof(a.armed->v[0]));
	if (!a.armed)
		return;
	a.armed->nr = 0;
	for (i = 0; i < c->maps.nr; i++) {
		const struct ct_vma *v = &c->maps.vmas[i];

		if (can_be_watched(v) && arm_vma(&a, v->start, v->end))
			break;
	}
	free(a.w->armed);
	a.w->armed = a.armed;
	a.w->idle_ns = 0;
	a.w->lift_range = 0;
	a.w->lift_at = 0;
	theirs = ct_armed_copy(a.armed);
	if (theirs)
		ct_engine_set_ranges(c->engine, a.w->ctx, theirs);
	ct_urgency_on(c);
}

/* A slice of it; true: all is lifted. */
static bool lift_some(struct ct_watch *w)
{
	struct ct_armed *a = w->armed;
	u64 start, end;

	if (w->lift_range >= a->nr)
		return true;
	start = ct_max(w->lift_at, a->v[w->lift_range].start);
	end = ct_min((start + SLICE / 4) & ~(u64)(CT_HUGE_SIZE - 1), a->v[w->lift_range].end);
	/* -EAGAIN: it forks or remaps just now; the next round comes here again. */
	if (ct_uffd_unprotect(w->uffd, start, end - start, true) == -EAGAIN)
		return false;
	w->lift_at = end;
	if (end == a->v[w->lift_range].end) {
		/* The VMA is as it was before: it merges again, khugepaged sees it. */
		ct_uffd_unregister(w->uffd, a->v[w->lift_range].start,
				   end - a->v[w->lift_range].start);
		w->lift_range++;
		w->lift_at = 0;
	}
	return w->lift_range >= a->nr;
}

static void lifted(struct ct_rec_ctx *c, struct ct_proc *p)
{
	ct_rec_note(c, p->id, "info", "protection_lifted",
		    "without a relative for %llu ms: its memory is no longer protected, its writes "
		    "are not watched until it forks again",
		    (unsigned long long)(c->linger_ns / CT_NSEC_PER_MSEC));
	free(p->watch->armed);
	p->watch->armed = NULL;
	p->watch->idle_ns = 0;
	ct_engine_set_ranges(c->engine, p->watch->ctx, NULL);
}

bool ct_arm_lift(struct ct_rec_ctx *c, u64 now)
{
	struct ct_proc *p;

	for (p = c->procs; p; p = p->next) {
		struct ct_watch *w = p->watch;

		if (!w || p->gone_ns || p->exec_read || p->exit_read)
			continue;
		if (p->shares || ct_birth_under_way(c, p)) {
			w->idle_ns = 0;
			continue;
		}
		/* A child's protection came with the fork: its ranges are its parent's. */
		if (!w->armed)
			continue;
		if (!w->idle_ns)
			w->idle_ns = now;
		if (now - w->idle_ns < c->linger_ns)
			continue;
		if (lift_some(w))
			lifted(c, p);
		return true;
	}
	return false;
}
